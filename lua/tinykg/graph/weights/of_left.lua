--- The weights of Graph:normalized where masks or dropouts left edges out: by sums of what is left.
local arrays = require 'tinykg.engine.arrays'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local tensor = require 'tinykg.engine.tensor'
local triple_weights = require 'tinykg.graph.weights.of_triples'

--- A number for each head and relation that have edges, by edge, and how many there are: {ids, n}.
--- Made once per orientation.
local function relations_of_heads(graph)
  local key = packed.is_backward(graph.layout) and 'groups_by_tail' or 'groups_by_head'
  if not graph.shared[key] then
    local e, number, n, ids = graph:triples(), {}, 0, arrays.ints(graph.edges)
    for p = 0, e.n - 1 do
      local pair = e.heads[p] * graph.relations + e.relations[p]
      if not number[pair] then number[pair], n = n, n + 1 end
      ids[p] = number[pair]
    end
    graph.shared[key] = {ids = tensor.constant(tensor.I32, {e.n}, ids), n = n}
    arrays.free(e.heads, e.relations, e.tails, ids)
  end
  return graph.shared[key]
end

--- Of each edge, the sum of `parts` over the edges with its id; 1 where that is 0.
local function sums(parts, ids, n)
  local sum = parts:reshape(-1, 1):scatter_add(ids, n):reshape(n):gather(ids)
  return ops.where(sum:gt(0), sum, 1)
end

---@param graph Graph with `left` ---@param kind string as of Graph:normalized
---@return Tensor [edges] to be multiplied with `left`
return function(graph, kind)
  local weights = triple_weights.of(graph)
  local parts = weights and graph.left * weights or graph.left
  local degree
  if kind == 'relation' then
    local pairs_ = relations_of_heads(graph)
    degree = sums(parts, pairs_.ids, pairs_.n)
  else
    degree = sums(parts, graph:heads(), graph.nodes)
  end
  if kind == 'symmetric' then
    degree = (degree * sums(parts, graph:tails(), graph.tail_nodes)):sqrt()
  end
  return (weights or 1) / degree
end
