--- Looks into a loaded data set by name: its first rows, what a user took, what is around an
--- entity.
local find = require 'tinykg.data.find'

local look = {}

local PARTS = {'train', 'valid', 'test'}

---@class tinykg.Shown
---@field kind 'user'|'item'|'entity' ---@field id integer ---@field name string
---@field title string?

--- A user, or an item, which is an entity whose name is its own, or an entity.
---@return tinykg.Shown
local function shown(data, kind, id)
  if kind == 'entity' and id < data.items then kind = 'item' end
  local names = data.names[({user = 'users', item = 'items', entity = 'entities'})[kind]]
  return {kind = kind, id = id, name = names:name(id), title = names.titles and names.titles[id]}
end

local function relation_of(data, id) return data.names.relations:name(id) or ('%d'):format(id) end

--- The first rows of train and the first triples, at most n of each.
---@param data tinykg.Data ---@param n integer
---@return {user: tinykg.Shown, item: tinykg.Shown, label: number?}[] interactions
---@return {head: tinykg.Shown, relation: string, tail: tinykg.Shown}[] triples
function look.head(data, n)
  local interactions, triples, train, graph = {}, {}, data.train, data.graph
  for i = 0, math.min(n, train.n) - 1 do
    interactions[i + 1] = {user = shown(data, 'user', train.users[i]),
                           item = shown(data, 'item', train.items[i]),
                           label = train.labels and train.labels[i] or nil}
  end
  for i = 0, math.min(n, graph.n) - 1 do
    triples[i + 1] = {head = shown(data, 'entity', graph.heads[i]),
                      relation = relation_of(data, graph.relations[i]),
                      tail = shown(data, 'entity', graph.tails[i])}
  end
  return interactions, triples
end

--- The items that a user took, train's first. ---@param data tinykg.Data ---@param user integer
---@return {item: tinykg.Shown, part: string}[]
function look.history(data, user)
  local list = {}
  for _, part in ipairs(PARTS) do
    local csr = data[part] and data:positives(part)
    for p = csr and csr.offsets[user] or 0, csr and csr.offsets[user + 1] - 1 or -1 do
      list[#list + 1] = {item = shown(data, 'item', csr.items[p]), part = part}
    end
  end
  return list
end

--- The users who took an item, those of train first. ---@param data tinykg.Data
---@param item integer ---@return {user: tinykg.Shown, part: string}[]
function look.takers(data, item)
  local list = {}
  for _, part in ipairs(PARTS) do
    local rows = data[part]
    for i = 0, rows and rows.n - 1 or -1 do
      if rows.items[i] == item and (not rows.labels or rows.labels[i] ~= 0) then
        list[#list + 1] = {user = shown(data, 'user', rows.users[i]), part = part}
      end
    end
  end
  return list
end

--- The triples of an entity, in the order of the data set: what is at the other end of each, and
--- whether the entity is the tail.
---@param data tinykg.Data ---@param entity integer
---@return {relation: string, inverse: boolean, entity: tinykg.Shown}[]
function look.neighbours(data, entity)
  local list, graph = {}, data.graph
  local function add(other, relation, inverse)
    list[#list + 1] = {relation = relation_of(data, relation), inverse = inverse,
                       entity = shown(data, 'entity', other)}
  end
  for i = 0, graph.n - 1 do
    if graph.heads[i] == entity then add(graph.tails[i], graph.relations[i], false) end
    if graph.tails[i] == entity then add(graph.heads[i], graph.relations[i], true) end
  end
  return list
end

--- The user of a name or a number (from 0). Errors: none, with names that are close.
---@return tinykg.Shown?, string? message
function look.user(data, text)
  local id, message = find.id(data.names.users, 'user', text)
  return id and shown(data, 'user', id), message
end

--- The entity of a name or a number (from 0); a name is looked for among items first.
---@return tinykg.Shown?, string? message
function look.entity(data, text)
  local names = data.names
  local id = type(text) == 'string' and find.exact(names.items, text)
  local message
  if not id then id, message = find.id(names.entities, 'item or entity', text) end
  return id and shown(data, 'entity', id), message
end

return look
