--- Layers without parameters: means over neighbours, normalised on both sides (LightGCN).
local ops = require 'tinykg.engine.ops'

local methods = {}

--- Rows and columns of the graph's matrix A scaled by this are D^-1/2 A D^-1/2 of the part of it
--- between the nodes that are left (as 'symmetric' of the whole): x -> aggregate(x * s) * s.
---@param left? Tensor [nodes, 1]: 1, or 0 for nodes that are not there
---@return Tensor s [nodes, 1] left / sqrt(edges to nodes that are left)
function methods:symmetric_scale(left)
  left = left or ops.full(1, self.tail_nodes or self.nodes, 1)
  return left / self:aggregate(left):clamp(1):sqrt()
end

--- LightGCN's layers: the mean of x, of its aggregate, of that one's, ... (He et al., SIGIR 2020).
---@param x Tensor [nodes, d] ---@param layers integer
---@param s? Tensor [nodes, 1] of symmetric_scale: the matrix is scaled by it
---@return Tensor [nodes, d]
function methods:smooth(x, layers, s)
  local sum = x
  for _ = 1, layers do
    x = s and self:aggregate(x * s) * s or self:aggregate(x)
    sum = sum + x
  end
  return sum / (layers + 1)
end

return {methods = methods}
