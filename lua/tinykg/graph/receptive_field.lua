--- Nodes around nodes, hop by hop, over a fixed number of sampled neighbours of each (Wang et al.,
--- KGCN, WWW 2019, section 3.2).
local arguments = require 'tinykg.base.arguments'

---@class ReceptiveField
---@field neighbors integer sampled neighbours of each node
---@field tails Tensor int32 [nodes, neighbors]
---@field relations Tensor int32 [nodes, neighbors], of the edges there
local ReceptiveField = {}
ReceptiveField.__index = ReceptiveField

--- Ids at 0 to `hops` steps from some nodes, and what the edges between them weigh.
---@param ids Tensor int32 [n]
---@param hops integer
---@param weigh fun(relations: Tensor): Tensor of the relations of one hop's edges, int32 [n, edges]
---@return Tensor[] ids at h - 1 steps, int32 [n * neighbors^(h - 1)]
---@return Tensor[] weights of the edges of hop h, as `weigh` returns them
function ReceptiveField:expand(ids, hops, weigh)
  local n, at, weights = ids:size(1), {ids}, {}
  for h = 1, hops do
    weights[h] = weigh(self.relations:gather(at[h]):reshape(n, -1))
    at[h + 1] = self.tails:gather(at[h]):reshape(-1)
  end
  return at, weights
end

arguments.class(ReceptiveField, 'ReceptiveField', 'a receptive field: graph:receptive_field')

---@return ReceptiveField
return function(neighbors, tails, relations)
  return setmetatable({neighbors = neighbors, tails = tails, relations = relations},
                      ReceptiveField)
end
