--- Drawing triples of a graph to train on, each with a tail with which head and relation make no
--- edge. By heads, as the programs of KGAT and CKE do: distinct heads, uniformly among the nodes
--- with edges, and one of each head's edges. By triples, as RecBole does: distinct ones, uniformly.
--- Each equally often where there are fewer.
local ffi = require 'ffi'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- The nodes with edges as one row of a table: {offsets, nodes, row}. Made once.
local function nodes_with_edges(graph)
  local shared = graph.shared
  if not shared.with_edges then
    local offsets = graph.packed:values() -- they come first
    local nodes, n = ffi.new('int32_t[?]', graph.nodes + 1), 0
    for v = 0, graph.nodes - 1 do
      if offsets[v + 1] > offsets[v] then
        nodes[n] = v
        n = n + 1
      end
    end
    if n == 0 then runtime.fail('draw: this graph has no edges') end
    shared.with_edges = {
      offsets = tensor.create(tensor.I32, {2}, 'graph'):write{0, n},
      nodes = tensor.create(tensor.I32, {n}, 'graph'):write(nodes, 0, n),
      row = tensor.create(tensor.I32, {1}, 'graph'),
    }
  end
  return shared.with_edges
end

--- The numbers of all edges as one row of a table, as above.
local function all_edges(graph)
  local shared, n = graph.shared, graph.edges
  if n == 0 then runtime.fail('draw: this graph has no edges') end
  if not shared.all_edges then
    local numbers = ffi.new('int32_t[?]', n)
    for p = 0, n - 1 do numbers[p] = p end
    shared.all_edges = {
      offsets = tensor.create(tensor.I32, {2}, 'graph'):write{0, n},
      nodes = tensor.create(tensor.I32, {n}, 'graph'):write(numbers, 0, n),
      row = tensor.create(tensor.I32, {1}, 'graph'),
    }
  end
  return shared.all_edges
end

--- n of the ids in such a table, distinct where there are so many.
local function some(from, n)
  local a = tensor.attribute()
  a.i[0] = n
  return tensor.record('sample_neighbors', a, from.offsets, from.nodes, from.nodes, from.row)
    :rows(1, 1):reshape(-1)
end

local by = {}

function by.heads(graph, n)
  local heads = some(nodes_with_edges(graph), n)
  local tails, relations = graph:sample(heads, 1)
  return heads, relations:reshape(-1), tails:reshape(-1)
end

function by.triples(graph, n)
  local at = some(all_edges(graph), n)
  return graph:heads():gather(at), graph:edge_relations():gather(at), graph:tails():gather(at)
end

return function(graph, n, what)
  if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
    runtime.fail('draw: %s triples asked for, expected a whole number from 1', tostring(n))
  end
  local draw = by[what or 'heads']
  if not draw then runtime.fail("draw: by '%s': heads or triples", tostring(what)) end
  local heads, relations, tails = draw(graph, n)
  return {heads = heads, relations = relations, tails = tails,
          negatives = graph:negatives(heads, relations, 1):reshape(-1)}
end
