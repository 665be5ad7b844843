--- How a graph lies in memory (engine/data/graph.h): ways of a layout, parts of the packed array.
--- Graphs here are {packed, layout, counts = {heads, tails, edges}}.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arrays = require 'tinykg.engine.arrays'
local runtime = require 'tinykg.engine.runtime'
local check = runtime.check

local packed = {}

local BACKWARD, SYMMETRIC, KINDS = C.TKG_GRAPH_BACKWARD, C.TKG_GRAPH_SYMMETRIC, C.TKG_GRAPH_KINDS
local RELATIONS = C.TKG_GRAPH_RELATIONS

--- Whether ops with this layout go from heads to tails. A layout may have more than 32 bits.
---@param layout integer ---@return boolean
function packed.is_backward(layout) return layout % (2 * BACKWARD) >= BACKWARD end

--- Whether each edge has one that leads back; not known of graphs that go one way.
---@param layout integer ---@return boolean
function packed.leads_back(layout) return layout % (2 * SYMMETRIC) >= SYMMETRIC end

--- The layout to go through the graph itself. ---@param layout integer ---@return integer
function packed.forward(layout)
  return packed.is_backward(layout) and layout - BACKWARD or layout
end

--- The layout to go the other way. ---@param layout integer ---@return integer
function packed.flipped(layout)
  return packed.is_backward(layout) and layout - BACKWARD or layout + BACKWARD
end

--- Errors: the graph has no relations. `name`: of the function that reads them.
function packed.need_relations(graph, name)
  if graph.relations then return end
  runtime.fail('%s: this graph has no relations: make it with relation = ids and relations = ' ..
               'how many (for edges of one kind: ids of 0, and 1)', name)
end

--- The type of relation ids and the bytes of each.
local function relation_type(layout)
  local kinds = math.floor(layout / KINDS)
  if kinds == 0 or kinds > 65536 then return 'int32_t *', 4 end
  if kinds > 256 then return 'uint16_t *', 2 end
  return 'uint8_t *', 1
end

local function relation_words(e, layout)
  local _, bytes = relation_type(layout)
  return layout % (2 * RELATIONS) >= RELATIONS and math.ceil(e * bytes / 4) or 0
end

--- First element and length of each part of the array. Where edges lead back and forth, `order` is
--- of each edge the number of the one that leads back.
local PARTS = {
  offsets = function(n) return 0, n + 1 end,
  tails = function(n, e) return n + 1, e end,
  relations = function(n, e, layout) return n + 1 + e, relation_words(e, layout) end,
  order = function(n, e, layout) return n + 1 + e + relation_words(e, layout), e end,
}

--- A view that shares the graph's memory. Relation ids are as ops read them, with the layout.
---@param graph table ---@param name string 'offsets', 'tails', 'relations' or 'order'
---@return Tensor
function packed.view(graph, name)
  local first, count = PARTS[name](graph.counts.heads, graph.counts.edges, graph.layout)
  return graph.packed:narrow(1, first + 1, count)
end

--- A copy of a part as it is stored: relation ids take 1, 2 or 4 bytes each.
---@param graph table ---@param name string as of packed.view ---@return ffi.cdata* int32
function packed.stored(graph, name)
  local first, count = PARTS[name](graph.counts.heads, graph.counts.edges, graph.layout)
  local stored = arrays.ints(count)
  check(C.tkg_tensor_read(graph.packed.kept, stored, first, count))
  return stored
end

--- A copy of a part, one number per element, row or edge.
---@param graph table ---@param name string 'offsets', 'tails' or 'relations'
---@return ffi.cdata* int32
function packed.read(graph, name)
  local stored, edges = packed.stored(graph, name), graph.counts.edges
  if name ~= 'relations' then return stored end
  local ids, out = ffi.cast(relation_type(graph.layout), stored), arrays.ints(edges)
  for p = 0, edges - 1 do out[p] = ids[p] end
  arrays.free(stored)
  return out
end

--- The head of each edge. ---@param graph table ---@return ffi.cdata* int32 [edges]
function packed.heads(graph)
  local offsets, heads = packed.read(graph, 'offsets'), arrays.ints(graph.counts.edges)
  for h = 0, graph.counts.heads - 1 do
    for p = offsets[h], offsets[h + 1] - 1 do heads[p] = h end
  end
  arrays.free(offsets)
  return heads
end

--- How many edges each head, or each tail, has. ---@param graph table ---@param of_tails boolean
---@return ffi.cdata* double
function packed.degrees(graph, of_tails)
  local c = graph.counts
  local out = ffi.new('double[?]', math.max(c.heads, c.tails) + 1)
  if of_tails then
    local ids = packed.read(graph, 'tails')
    for p = 0, c.edges - 1 do out[ids[p]] = out[ids[p]] + 1 end
    arrays.free(ids)
  else
    local offsets = packed.read(graph, 'offsets')
    for h = 0, c.heads - 1 do out[h] = offsets[h + 1] - offsets[h] end
    arrays.free(offsets)
  end
  return out
end

return packed
