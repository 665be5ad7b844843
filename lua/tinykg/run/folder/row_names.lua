--- Names the rows of a parameter. Its name must contain the kind (users.weight, item_table,
--- relation_weights), and its number of rows must be that of the data set. Nodes and relations are
--- numbered as by tk.graph: entities or items, then possibly users; the data set's relations, then
--- those that interactions, inverses, loops and isolated nodes add, which have no names.

local rows = {}

-- Words in parameters' names, and their kinds.
local WORDS = { { 'user', 'users' }, { 'item', 'items' }, { 'entit', 'entities' },
  { 'relation', 'relations' }, { 'node', 'nodes' } }

-- The number of nodes before the users, where n nodes are entities or items, with or without users
-- behind them. nil if n fits none of these, or two.
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

-- Whether tk.graph may make n relations of r: possibly one more for interactions, all doubled by
-- inverses, and one each for loops and isolated nodes.
local function relations_fit(r, n)
  return r > 0 and (n == r or n == r + 1 or n == r + 2 or (n >= 2 * r and n <= 2 * r + 3))
end

-- The first node that is a user, for nodes; true for other kinds; false if the counts differ.
local function agrees(kind, data, n)
  if kind == 'nodes' then return first_user_of(data, n) or false end
  if kind == 'relations' then return relations_fit(data.relations, n) end
  return n == data[kind]
end

-- Kind and name of entity i; an item has its own name.
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

--- Returns a function from a row (from 0) to its kind ('user', 'item', 'entity', 'relation') and
--- name; nil if that is not certain.
---@param parameter string its name
---@param n integer its rows
---@param data tinykg.Data
---@return (fun(row: integer): string, string)?
function rows.namer(parameter, n, data)
  local found, first_user
  for _, word in ipairs(WORDS) do
    local fits = parameter:lower():find(word[1], 1, true) and agrees(word[2], data, n)
    if fits and found then return nil end -- ambiguous
    if fits then found, first_user = word[2], fits end
  end
  local name = found and namers[found]
  return name and function(row) return name(data, row, first_user) end
end

return rows
