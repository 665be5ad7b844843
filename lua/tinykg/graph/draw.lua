--- Drawing triples of a graph to train on, as KGAT, CKE and CFKG do: distinct heads, uniformly
--- among the nodes with edges (each equally often where there are fewer); one of each head's edges;
--- a tail with which head and relation make no edge.
local ffi = require 'ffi'
local session = require 'tinykg.session'
local tensor = require 'tinykg.tensor'

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
    if n == 0 then session.fail('draw: this graph has no edges') end
    shared.with_edges = {
      offsets = tensor.create(tensor.I32, {2}, 'graph'):write{0, n},
      nodes = tensor.create(tensor.I32, {n}, 'graph'):write(nodes, 0, n),
      row = tensor.create(tensor.I32, {1}, 'graph'),
    }
  end
  return shared.with_edges
end

return function(graph, n)
  if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
    session.fail('draw: %s triples asked for, expected a whole number from 1', tostring(n))
  end
  local from, a = nodes_with_edges(graph), tensor.attribute()
  a.i[0] = n
  local drawn = tensor.record('sample_neighbors', a, from.offsets, from.nodes, from.nodes, from.row)
  local heads = drawn:rows(1, 1):reshape(-1)
  local tails, relations = graph:sample(heads, 1)
  relations = relations:reshape(-1)
  return {heads = heads, relations = relations, tails = tails:reshape(-1),
          negatives = graph:negatives(heads, relations, 1):reshape(-1)}
end
