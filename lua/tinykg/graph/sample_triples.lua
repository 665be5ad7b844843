--- Samples triples of a graph to train on, each with a tail that makes no edge with its head and
--- relation. By heads, as the programs of KGAT and CKE do: distinct heads, uniformly among those
--- with edges, and one edge of each. By triples, as RecBole does: distinct ones, uniformly. Each is
--- sampled equally often if there are fewer.
local arrays = require 'tinykg.engine.arrays'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- The table of one row that the engine samples from: the n ids of an FFI array.
local function one_row(ids, n)
  return {offsets = tensor.constant(tensor.I32, {2}, {0, n}),
          ids = tensor.constant(tensor.I32, {n}, ids),
          row = tensor.create(tensor.I32, {1}, 'graph')}
end

local function nodes_with_edges(graph)
  local offsets = graph.packed:values() -- the packed array begins with them
  return one_row(arrays.filled_rows(offsets, graph.nodes))
end

local function all_edges(graph)
  return one_row(arrays.range(graph.edges), graph.edges)
end

--- Records n of the ids that `make` lists, distinct if there are as many. The list is made once.
local function sample(graph, make, n)
  local shared = graph.shared
  shared[make] = shared[make] or make(graph)
  local from, a = shared[make], tensor.attribute()
  a.i[0] = n
  return tensor.record('sample_neighbors', a, from.offsets, from.ids, from.ids, from.row)
    :rows(1, 1):reshape(-1)
end

local by = {}

function by.heads(graph, n)
  local heads = sample(graph, nodes_with_edges, n)
  local tails, relations = graph:sample(heads, 1)
  return heads, relations:reshape(-1), tails:reshape(-1)
end

function by.triples(graph, n)
  local at = sample(graph, all_edges, n)
  return graph:heads():gather(at), graph:edge_relations():gather(at), graph:tails():gather(at)
end

return function(graph, n, what)
  local fail = runtime.fail
  if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
    fail('sample_triples: %s triples asked for, expected a whole number from 1', tostring(n))
  end
  local sample_by = by[what or 'heads']
  if not sample_by then fail("sample_triples: by '%s': heads or triples", tostring(what)) end
  if graph.edges == 0 then fail('sample_triples: this graph has no edges') end
  local heads, relations, tails = sample_by(graph, n)
  return {heads = heads, relations = relations, tails = tails,
          negatives = graph:negatives(heads, relations, 1):reshape(-1)}
end
