--- Small graphs for specs: odd edges, and graphs packed as kernels read them.
local ffi = require 'ffi'
local arrays = require 'tests.support.arrays'
local C = require 'tinykg.engine.lib'

local graphs = {
  BACKWARD = 1, SYMMETRIC = 2, RELATIONS = 4, ONE_WAY = 8, LOOPLESS = 16, KINDS = 256,
}

local function ids_of(list) return arrays.of('int32_t', list) end

--- A packed graph as an array (flat from 1, with `shape`, marked as ids) that knows its edges by
--- number: `graph` = {n edges, nodes, tail_nodes, heads, tails, relations, layout}, as
--- reference_graph.lua reads it.
---@param n integer ---@param m integer ---@param edges table of {head, tail, relation}
---@param layout? integer RELATIONS and ONE_WAY
function graphs.pack(n, m, edges, layout)
  local e, list = #edges, {{}, {}, {}}
  layout = layout or 0
  for i, edge in ipairs(edges) do
    for k = 1, 3 do list[k][i] = edge[k] or 0 end
  end
  local length = tonumber(C.tkg_graph_length(n, m, e, layout))
  local packed, found = ffi.new('int32_t[?]', length), ffi.new('int64_t[1]')
  local place = ffi.new('int32_t[?]', math.max(e, 1))
  assert(C.tkg_graph_pack(n, m, e, ids_of(list[1]), ids_of(list[3]), ids_of(list[2]), layout,
                          packed, found, place) == 0)
  layout = tonumber(found[0])
  local out = {ids = true, shape = {tonumber(C.tkg_graph_length(n, m, e, layout))}}
  for i = 1, out.shape[1] do out[i] = packed[i - 1] end
  local ends = {{}, {}, {}}
  for i = 1, e do
    for k = 1, 3 do ends[k][place[i - 1] + 1] = list[k][i] end
  end
  out.graph = {n = e, nodes = n, tail_nodes = m, layout = layout, heads = ids_of(ends[1]),
               tails = ids_of(ends[2]), relations = ids_of(ends[3])}
  return out
end

--- Draws edges between some of the nodes; others are isolated. One in `hub` leads from head 0,
--- one in five repeats the edge before.
function graphs.random(random, n, m, e, relations, hub)
  local edges = {}
  for i = 1, e do
    local head = i % (hub or 3) == 0 and 0 or math.floor(random() ^ 2 * n * 0.9)
    edges[i] = {head, math.floor(random() ^ 2 * m * 0.9), math.floor(random() * (relations or 1))}
    if i % 5 == 0 then edges[i] = {unpack(edges[i - 1])} end
  end
  return edges
end

--- Returns the edges, their inverses, and a loop at every third node.
function graphs.both_ways(edges, n)
  local out = {}
  for i, edge in ipairs(edges) do
    out[2 * i - 1], out[2 * i] = edge, {edge[2], edge[1], edge[3]}
  end
  for node = 0, n - 1, 3 do out[#out + 1] = {node, node, 0} end
  return out
end

--- Returns the graph as an op with these flags reads it: heads n, tails m, edges e, edges' heads.
---@return table view {n, m, e, rows}, rows from 0
function graphs.view(graph, flags)
  local n, m, rows = graph.nodes, graph.tail_nodes, graph.heads
  if flags % 2 == 1 then n, m, rows = m, n, graph.tails end
  return {n = n, m = m, e = graph.n, rows = rows}
end

return graphs
