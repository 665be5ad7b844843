--- Renumbers for locality: the most connected first, so that the rows that most edges read lie
--- together and stay in cache. Users, items and other entities stay in their own ranges.

local arrays = require 'tinykg.engine.arrays'

local order = {}

-- New ids in a range first .. last - 1 by falling degree; equal ones stay in order.
local function by_degree(degree, first, last, new_of, old_of)
  local list = {}
  for id = first, last - 1 do list[#list + 1] = id end
  table.sort(list, function(a, b)
    if degree[a] ~= degree[b] then return degree[a] > degree[b] end
    return a < b
  end)
  for k, id in ipairs(list) do
    new_of[id], old_of[first + k - 1] = first + k - 1, id
  end
end

local function mapping(n)
  return { degree = arrays.ints(n), new_of = arrays.ints(n), old_of = arrays.ints(n) }
end

--- Renumbers users, items and entities of a data set being loaded, by their degrees in train and
-- graph. Names, parts and triples follow.
---@param raw table with train, valid, test
function order.by_degree(raw)
  local users, entities = mapping(raw.users), mapping(raw.entities)
  for i = 0, raw.train.n - 1 do
    local u, item = raw.train.users[i], raw.train.items[i]
    users.degree[u] = users.degree[u] + 1
    entities.degree[item] = entities.degree[item] + 1
  end
  local graph = raw.graph
  for i = 0, graph.n - 1 do
    local h, t = graph.heads[i], graph.tails[i]
    entities.degree[h], entities.degree[t] = entities.degree[h] + 1, entities.degree[t] + 1
  end
  by_degree(users.degree, 0, raw.users, users.new_of, users.old_of)
  by_degree(entities.degree, 0, raw.items, entities.new_of, entities.old_of)
  by_degree(entities.degree, raw.items, raw.entities, entities.new_of, entities.old_of)
  for _, name in ipairs { 'train', 'valid', 'test' } do
    local part = raw[name]
    for i = 0, part and part.n - 1 or -1 do
      part.users[i] = users.new_of[part.users[i]]
      part.items[i] = entities.new_of[part.items[i]]
    end
  end
  for i = 0, graph.n - 1 do
    graph.heads[i], graph.tails[i] = entities.new_of[graph.heads[i]],
      entities.new_of[graph.tails[i]]
  end
  raw.names.users = raw.names.users:renumbered(raw.users, users.old_of)
  raw.names.items = raw.names.items:renumbered(raw.items, entities.old_of)
  raw.names.entities = raw.names.entities:renumbered(raw.entities, entities.old_of)
  raw.notes[#raw.notes + 1] = 'users, items and entities numbered by falling degree'
end

return order
