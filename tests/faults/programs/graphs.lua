--- Random graphs of random programs: the Lua text that makes one, and its edges in the graph's own
--- order, by head, then by tail, then as given.
local arrays = require 'tests.support.arrays'

local graphs = {}

local function triples(g, n, heads, tails, kinds)
  local list, r = {}, g.r
  local hub = r:one_in(3) and r:below(heads) or nil -- one head with half of the edges
  for k = 1, n do
    local h = hub and r:one_in(2) and hub or r:below(heads)
    list[k] = {h, r:below(kinds), r:below(tails)}
  end
  return list
end

--- With inverses, both directions, loops: as graph/build.lua documents.
local function extended(list, o, nodes, kinds)
  local out, total = {}, kinds
  for _, e in ipairs(list) do
    if not (o.self_loops == false and e[1] == e[3]) then
      out[#out + 1] = e
      if o.undirected then out[#out + 1] = {e[3], e[2], e[1]} end
    end
  end
  if o.inverse then
    for k = 1, #out do out[#out + 1] = {out[k][3], out[k][2] + kinds, out[k][1]} end
    total = 2 * kinds
  end
  if o.self_loops then
    for v = 0, nodes - 1 do out[#out + 1] = {v, total, v} end
    total = total + 1
  end
  return out, total
end

local function column(list, k)
  local out = {}
  for i, e in ipairs(list) do out[i] = e[k] end
  return '{' .. table.concat(out, ', ') .. '}'
end

local function in_order(list)
  for i, e in ipairs(list) do e[4] = i end
  table.sort(list, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    if a[3] ~= b[3] then return a[3] < b[3] end
    return a[4] < b[4]
  end)
  return list
end

local function as_arrays(list, nodes, tail_nodes, kinds)
  local g = {n = #list, nodes = nodes, tail_nodes = tail_nodes, kinds = kinds,
             heads = arrays.ints(#list + 1), tails = arrays.ints(#list + 1),
             relations = arrays.ints(#list + 1)}
  for i, e in ipairs(list) do
    g.heads[i - 1], g.relations[i - 1], g.tails[i - 1] = e[1], e[2], e[3]
  end
  return g
end

--- Some way to extend a graph: its text and the options.
local function extension(r, nodes, tail_nodes)
  if nodes ~= tail_nodes then return '', {} end
  local kind = r:below(8)
  if kind == 0 then return ', undirected = true', {undirected = true} end
  if kind == 1 then return ', inverse = true', {inverse = true} end
  if kind == 2 then return ', self_loops = true', {self_loops = true} end
  if kind == 3 then return ', self_loops = false', {self_loops = false} end
  if kind == 4 then
    return ', inverse = true, self_loops = true', {inverse = true, self_loops = true}
  end
  return '', {}
end

local function copied(list)
  local out = {}
  for k, e in ipairs(list) do out[k] = {e[1], e[2], e[3]} end
  return out
end

--- A graph between so many heads and tails: its edges, and `text`, the name of the constant.
---@param g table a generator
function graphs.new(g, nodes, tail_nodes)
  local r = g.r
  local edges, kinds = r:below(3 * math.max(nodes, tail_nodes) + 1), r:from(1, 4)
  if r:one_in(12) then edges = 0 end
  local list = triples(g, edges, nodes, tail_nodes, kinds)
  local more, o = extension(r, nodes, tail_nodes)
  local counts = nodes == tail_nodes and tostring(nodes) or
    ('{%d, %d}'):format(nodes, tail_nodes)
  local text = g:constant('tk.graph{head = %s, relation = %s, tail = %s, nodes = %s, ' ..
    'relations = %d%s}', column(list, 1), column(list, 2), column(list, 3), counts, kinds, more)
  local all, total = extended(copied(list), o, nodes, kinds)
  local graph = as_arrays(in_order(all), nodes, tail_nodes, total)
  graph.text = text
  return graph
end

--- Weights that normalized(kind) of a graph, or of its transpose, gives, in doubles.
function graphs.normalized(graph, kind, flip)
  local e, weights = graph.n, arrays.doubles(graph.n + 1)
  local most = math.max(graph.nodes, graph.tail_nodes)
  local by_head, by_tail, by_kind = arrays.doubles(most + 1), arrays.doubles(most + 1), {}
  local heads, tails = graph.heads, graph.tails
  if flip then heads, tails = tails, heads end
  for k = 0, e - 1 do
    local h, t = heads[k], tails[k]
    local key = h * 1000 + graph.relations[k]
    by_head[h], by_tail[t] = by_head[h] + 1, by_tail[t] + 1
    by_kind[key] = (by_kind[key] or 0) + 1
  end
  for k = 0, e - 1 do
    local h, t = heads[k], tails[k]
    weights[k] = kind == 'row' and 1 / by_head[h]
      or kind == 'relation' and 1 / by_kind[h * 1000 + graph.relations[k]]
      or 1 / math.sqrt(by_head[h] * by_tail[t])
  end
  return weights
end

return graphs
