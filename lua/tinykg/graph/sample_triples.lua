--- Samples triples of a graph to train on, each with a tail that makes no edge with its head and
--- relation. By heads, as the programs of KGAT and CKE do: distinct heads, uniformly among those
--- with edges, and one edge of each. By triples, as RecBole does: distinct ones, uniformly. Each is
--- sampled equally often if there are fewer.
local arrays = require 'tinykg.engine.arrays'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- Records k of the numbers 0 .. n - 1, distinct if there are as many.
local function sample(k, n)
  local a = tensor.attribute()
  a.i[0], a.i[2] = k, n
  return tensor.record('sample', a)
end

--- The nodes that have edges and their number; nil where all have. Made once.
local function nodes_with_edges(graph)
  local shared = graph.shared
  if not shared.with_edges then
    local ids, n = arrays.filled_rows(packed.read(graph, 'offsets'), graph.nodes)
    shared.with_edges = {n = n, ids = n < graph.nodes and tensor.constant(tensor.I32, {n}, ids)}
  end
  return shared.with_edges
end

local by = {}

function by.heads(graph, n)
  local among = nodes_with_edges(graph)
  local heads = sample(n, among.n)
  if among.ids then heads = among.ids:gather(heads) end
  local tails, relations = graph:sample(heads, 1)
  return heads, relations:reshape(-1), tails:reshape(-1)
end

function by.triples(graph, n)
  local numbers, a = sample(n, graph.edges), tensor.attribute()
  a.i[0], a.i[1], a.i[2], a.i[3] = graph.nodes, graph.tail_nodes, graph.edges, graph.layout
  local triples = tensor.record('triples', a, graph.packed, numbers)
  local function row(k) return triples:rows(k, k):reshape(n) end
  return row(1), row(2), row(3)
end

--- Tails of other triples, sampled in the same way, and 0 where the head has them too, else 1.
local function of_others(graph, n, heads, sample_by)
  local _, _, tails = sample_by(graph, n)
  local is_tail = tensor.record('lookup', nil, graph:offsets(), graph:tails(), heads,
                                tails:reshape(-1, 1), ops.full(1, graph.edges))
  return tails, 1 - is_tail:reshape(-1)
end

return function(graph, n, what, o)
  local fail = runtime.fail
  runtime.options('sample_triples', o, 'negatives')
  local negatives = o and o.negatives or 'uniform'
  if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
    fail('sample_triples: %s triples asked for, expected a whole number from 1', tostring(n))
  end
  local sample_by = by[what or 'heads']
  if not sample_by then fail("sample_triples: by '%s': heads or triples", tostring(what)) end
  if negatives ~= 'uniform' and negatives ~= 'tails' then
    fail("sample_triples: negatives '%s': uniform or tails", tostring(negatives))
  end
  packed.need_relations(graph, 'sample_triples')
  if graph.edges == 0 then fail('sample_triples: this graph has no edges: see graph.edges') end
  local heads, relations, tails = sample_by(graph, n)
  local b = {heads = heads, relations = relations, tails = tails}
  if negatives == 'tails' then b.negatives, b.counts = of_others(graph, n, heads, sample_by)
  else b.negatives = graph:negatives(heads, relations, 1):reshape(-1) end
  return b
end
