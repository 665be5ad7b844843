--- Whose row a row of a parameter is. A recipe does not say, so two things must agree: the
--- parameter's name has the word (users.weight, item_table, relation_weights), and it has as many
--- rows as the data set has of them. Nodes and relations are as tk.graph numbers them: entities (or
--- items), perhaps then users; the data set's relations, then, without a name here, those that
--- interactions, inverses, loops and isolated nodes add. What does not agree has no names.

local rows = {}

-- A word of a parameter's name, and what it stands for.
local WORDS = { { 'user', 'users' }, { 'item', 'items' }, { 'entit', 'entities' },
  { 'relation', 'relations' }, { 'node', 'nodes' } }

-- Where the users of n nodes begin, if there are any: nodes are entities or items, alone or with
-- the users behind them. nil where n is none of that, or two of them.
local function first_user_of(data, n)
  local found
  for _, first in ipairs { data.entities, data.items } do
    if n == first or n == first + data.users then
      if found and found ~= first then return nil end
      found = first
    end
  end
  return found
end

-- What tk.graph makes of r relations: perhaps one more for interactions, each perhaps both ways,
-- and perhaps one for loops or isolated nodes.
local function relations_fit(r, n)
  return r > 0 and (n == r or n == r + 1 or n == r + 2 or (n >= 2 * r and n <= 2 * r + 3))
end

-- The first node that is a user, for nodes; true for another kind; false where the counts differ.
local function agrees(kind, data, n)
  if kind == 'nodes' then return first_user_of(data, n) or false end
  if kind == 'relations' then return relations_fit(data.relations, n) end
  return n == data[kind]
end

-- Kind and name of entity i: an item goes by its own name.
local function entity(data, i)
  if i < data.items then return 'item', data.names.items:name(i) end
  return 'entity', data.names.entities:name(i)
end

local namers = {
  users = function(data, i) return 'user', data.names.users:name(i) end,
  items = entity,
  entities = entity,
  relations = function(data, i) return 'relation', data.names.relations:name(i) or '' end,
  nodes = function(data, i, first_user)
    if i < first_user then return entity(data, i) end
    return 'user', data.names.users:name(i - first_user)
  end,
}

--- A function of a row (from 0) that gives what it is of ('user', 'item', 'entity', 'relation')
--- and its name; nil where that is not certain.
---@param parameter string its name
---@param n integer its rows
---@param data tinykg.Data
---@return (fun(row: integer): string, string)?
function rows.namer(parameter, n, data)
  local found, first_user
  for _, word in ipairs(WORDS) do
    local fits = parameter:lower():find(word[1], 1, true) and agrees(word[2], data, n)
    if fits and found then return nil end -- of users or of items?
    if fits then found, first_user = word[2], fits end
  end
  local name = found and namers[found]
  return name and function(row) return name(data, row, first_user) end
end

return rows
