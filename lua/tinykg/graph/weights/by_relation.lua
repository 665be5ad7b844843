--- Weights of edges: 1 / (edges of its head by its relation).
local ffi = require 'ffi'

--- Edges sorted by head: counts one head's relations at a time.
local function by_head(edges, kinds, offsets, weights)
  local relations, count, at = edges.relations, ffi.new('int32_t[?]', kinds + 1), 0
  for h = 0, math.huge do
    if at >= edges.n then return end
    local from, to = offsets[h], offsets[h + 1] - 1
    for p = from, to do count[relations[p]] = count[relations[p]] + 1 end
    for p = from, to do weights[p] = 1 / count[relations[p]] end
    for p = from, to do count[relations[p]] = 0 end
    at = to + 1
  end
end

--- Edges in any order.
local function anywhere(edges, kinds, weights)
  local count = {}
  for p = 0, edges.n - 1 do
    local key = edges.heads[p] * kinds + edges.relations[p]
    count[key] = (count[key] or 0) + 1
  end
  for p = 0, edges.n - 1 do weights[p] = 1 / count[edges.heads[p] * kinds + edges.relations[p]] end
end

---@param edges table as a graph's triples() ---@param kinds integer relations
---@param offsets? ffi.cdata* where each head's edges begin, if they are sorted by head
---@param weights ffi.cdata* float, one per edge, to be filled
return function(edges, kinds, offsets, weights)
  if offsets then by_head(edges, kinds, offsets, weights) else anywhere(edges, kinds, weights) end
end
