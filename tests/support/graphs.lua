--- Small graphs for specs: edges of every awkward kind, and packed as kernels read them.
local ffi = require 'ffi'
local C = require 'tinykg.lib'

local graphs = {
  BACKWARD = 1, SYMMETRIC = 2, RELATIONS = 4, ONE_WAY = 8, LOOPLESS = 16,
}

local function ids_of(list) return ffi.new('int32_t[?]', math.max(#list, 1), list) end

--- A packed graph as an array (flat from 1, with `shape`, marked as ids) that knows its edges by
--- number: `graph` = {n, m, e, layout, heads, relations, tails}, edge number e at place e + 1.
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
  local by_number = {n = n, m = m, e = e, layout = layout, heads = {}, tails = {}, relations = {}}
  for i, edge in ipairs(edges) do
    local number = place[i - 1] + 1
    by_number.heads[number], by_number.tails[number] = edge[1], edge[2]
    by_number.relations[number] = edge[3] or 0
  end
  out.graph = by_number
  return out
end

--- Edges at random between some of the nodes: others are isolated. One in `hub` leads from head 0,
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

--- The same edges and their opposites, and a loop at every third node.
function graphs.both_ways(edges, n)
  local out = {}
  for i, edge in ipairs(edges) do
    out[2 * i - 1], out[2 * i] = edge, {edge[2], edge[1], edge[3]}
  end
  for node = 0, n - 1, 3 do out[#out + 1] = {node, node, 0} end
  return out
end

--- Rows, ids and numbers of edges as an op with these attributes goes through them.
---@return table view {n, m, e, rows, ids, relations}, edge number e at place e + 1
function graphs.view(graph, flags)
  if flags % 2 == 0 then
    return {n = graph.n, m = graph.m, e = graph.e, rows = graph.heads, ids = graph.tails,
            relations = graph.relations}
  end
  return {n = graph.m, m = graph.n, e = graph.e, rows = graph.tails, ids = graph.heads,
          relations = graph.relations}
end

return graphs
