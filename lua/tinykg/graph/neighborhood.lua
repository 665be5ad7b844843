--- Samples a fixed number of edges of every node on the host, as KGCN's program does
--- (hwwang55/KGCN src/data_loader.py:96-104): distinct ones if a node has enough, else with
--- replacement, which misses some.
local ffi = require 'ffi'
local packed = require 'tinykg.graph.packed'
local random = require 'tinykg.base.random'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- A node without edges is its own neighbour, by relation id `relations`.
---@param graph Graph ---@param k integer
---@return Tensor tails int32 [nodes, k], Tensor relations int32 [nodes, k]
return function(graph, k)
  packed.need_relations(graph, 'neighborhood')
  local generator = random.new(runtime.seed, runtime.stream())
  local edges, offsets, nodes = graph:triples(), packed.read(graph, 'offsets'), graph.nodes
  local tails = ffi.new('int32_t[?]', nodes * k + 1)
  local relations = ffi.new('int32_t[?]', nodes * k + 1)
  local picked = ffi.new('double[?]', k)
  for node = 0, nodes - 1 do
    local first, degree = offsets[node], offsets[node + 1] - offsets[node]
    if degree > 0 then generator:some(degree, k, picked, true) end
    for j = 0, k - 1 do
      local at = degree > 0 and first + picked[j]
      tails[node * k + j] = at and edges.tails[at] or node
      relations[node * k + j] = at and edges.relations[at] or graph.relations
    end
  end
  return tensor.constant(tensor.I32, {nodes, k}, tails),
    tensor.constant(tensor.I32, {nodes, k}, relations)
end
