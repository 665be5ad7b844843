--- Renumbers for locality: sums over a graph read rows by id, and find in cache those that lie near
--- others read of late. Users, items and other entities stay in their own ranges.

local arrays = require 'tinykg.engine.arrays'

local order = {}

-- What is linked in train and graph, both ways: those that node k is linked to are ends[offsets[k]]
-- to ends[offsets[k + 1] - 1]. Nodes are entities, then users.
local function links_of(raw)
  local nodes, train, graph = raw.entities + raw.users, raw.train, raw.graph
  local offsets = arrays.ints(nodes + 2)
  local ends = arrays.ints(2 * (train.n + graph.n))
  local function each(visit)
    for i = 0, train.n - 1 do visit(train.items[i], raw.entities + train.users[i]) end
    for i = 0, graph.n - 1 do visit(graph.heads[i], graph.tails[i]) end
  end
  each(function(a, b) -- where a node's begin lies, while they are filled in, two places on
    offsets[a + 2] = offsets[a + 2] + 1
    offsets[b + 2] = offsets[b + 2] + 1
  end)
  for k = 2, nodes + 1 do offsets[k] = offsets[k] + offsets[k - 1] end
  each(function(a, b)
    ends[offsets[a + 1]], offsets[a + 1] = b, offsets[a + 1] + 1
    ends[offsets[b + 1]], offsets[b + 1] = a, offsets[b + 1] + 1
  end)
  return {nodes = nodes, offsets = offsets, ends = ends}
end

-- All nodes by falling degree; equal ones stay in order.
local function by_degree(links)
  local list, offsets = {}, links.offsets
  for k = 0, links.nodes - 1 do list[k + 1] = k end
  local function degree(k) return offsets[k + 1] - offsets[k] end
  table.sort(list, function(a, b)
    local da, db = degree(a), degree(b)
    if da ~= db then return da > db end
    return a < b
  end)
  return list
end

-- All nodes breadth first from the most connected, those of other components behind it likewise.
local function by_search(links)
  local seen, list, count = arrays.ints(links.nodes), {}, 0
  local function add(k)
    if seen[k] == 1 then return end
    seen[k], count = 1, count + 1
    list[count] = k
  end
  local at = 0
  for _, start in ipairs(by_degree(links)) do
    add(start)
    while at < count do
      at = at + 1
      for p = links.offsets[list[at]], links.offsets[list[at] + 1] - 1 do add(links.ends[p]) end
    end
  end
  return list
end

local KINDS = {
  degree = {of = by_degree, note = 'by falling degree'},
  bfs = {of = by_search, note = 'breadth first from the most connected'},
}

--- New ids of nodes first .. last - 1, counted from `from` on, as they come in a list of all nodes.
local function numbered(list, first, last, from, new_of, old_of)
  local base = first - from -- ids of users begin at 0 again
  local id = from
  for _, node in ipairs(list) do
    if node >= first and node < last then
      new_of[node - base], old_of[id] = id, node - base
      id = id + 1
    end
  end
end

local function apply(raw, users, entities)
  for _, name in ipairs { 'train', 'valid', 'test' } do
    local part = raw[name]
    for i = 0, part and part.n - 1 or -1 do
      part.users[i] = users.new_of[part.users[i]]
      part.items[i] = entities.new_of[part.items[i]]
    end
  end
  local graph = raw.graph
  for i = 0, graph.n - 1 do
    graph.heads[i], graph.tails[i] = entities.new_of[graph.heads[i]],
      entities.new_of[graph.tails[i]]
  end
  raw.names.users = raw.names.users:renumbered(raw.users, users.old_of)
  raw.names.items = raw.names.items:renumbered(raw.items, entities.old_of)
  raw.names.entities = raw.names.entities:renumbered(raw.entities, entities.old_of)
end

--- Whether ids can be given in this order. ---@param kind string ---@return boolean
function order.is_known(kind) return kind == 'given' or KINDS[kind] ~= nil end

--- Renumbers users, items and entities of a data set being loaded, by their links in train and
-- graph. Names, parts and triples follow.
---@param raw table with train, valid, test
---@param kind string 'degree', 'bfs', or 'given' to leave all as it is
function order.apply(raw, kind)
  if kind == 'given' then return end
  local function mapping(n) return { new_of = arrays.ints(n), old_of = arrays.ints(n) } end
  local users, entities = mapping(raw.users), mapping(raw.entities)
  local list, all = KINDS[kind].of(links_of(raw)), raw.entities + raw.users
  numbered(list, 0, raw.items, 0, entities.new_of, entities.old_of)
  numbered(list, raw.items, raw.entities, raw.items, entities.new_of, entities.old_of)
  numbered(list, raw.entities, all, 0, users.new_of, users.old_of)
  apply(raw, users, entities)
  raw.notes[#raw.notes + 1] = 'users, items and entities numbered ' .. KINDS[kind].note
end

return order
