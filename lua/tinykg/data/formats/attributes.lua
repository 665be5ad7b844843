--- Columns of a table of items as relations of the graph: `a1,Woolf,"novel|essay"` under the header
--- `item,author,genre` is a1 - author - Woolf, a1 - genre - novel, a1 - genre - essay.

local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local format = require 'tinykg.base.format'
local link = require 'tinykg.data.formats.link'

local attributes = {}

--- The names in option attributes.
---@param options table
---@return string[]
function attributes.list(options)
  local given = options.attributes or {}
  return tables.map(type(given) == 'table' and given or { given }, tostring)
end

--- The same. Errors: one of them is a column that says which item a row is of.
---@param options table
---@param own table<string, boolean> those columns
---@return string[]
function attributes.checked(options, own)
  local list = attributes.list(options)
  for _, name in ipairs(list) do
    if own[name] then
      error(('option attributes: column %s says which item a row is of: it is no attribute')
        :format(name), 0)
    end
  end
  return list
end

-- The values in a field, separated by |, else by ;, else by blanks (a sequence of RecBole).
local function values_of(text, sequence)
  local separator = text:find('|', 1, true) and '|' or text:find(';', 1, true) and ';'
  if not separator and not sequence then return text:find('%S') and { text } or {} end
  local list = {}
  for value in text:gmatch(separator and '[^' .. separator .. ']+' or '%S+') do
    value = format.trimmed(value)
    if value ~= '' then list[#list + 1] = value end
  end
  return list
end

-- Values as entities. A value that is an entity of the graph, and no item, is that entity. Others
-- are called 'attribute:value', so that a year, a page count and an item's number differ.
local function entity_finder(tokens, links)
  local known = tokens:count()
  return function(name, value)
    local place = tokens:find(value)
    if place and place < known and not links.taken[place] then return place end
    return tokens:add(name .. ':' .. value)
  end
end

-- The places of the values in each distinct field, found once.
local function value_places(column, entity)
  local found = {}
  return function(row)
    local id = column.values[row]
    if not found[id] then
      found[id] = values_of(column.texts:at(id), column.sequence)
      for k, value in ipairs(found[id]) do found[id][k] = entity(column.name, value) end
    end
    return found[id]
  end
end

local function longer(graph, more)
  local longest = { n = graph.n + more }
  for _, name in ipairs { 'heads', 'relations', 'tails' } do
    longest[name] = arrays.ints(longest.n)
    for i = 0, graph.n - 1 do longest[name][i] = graph[name][i] end
  end
  if graph.weights then -- the others weigh as much as these on average
    local sum = 0
    longest.weights = arrays.floats(longest.n)
    for i = 0, graph.n - 1 do
      longest.weights[i], sum = graph.weights[i], sum + graph.weights[i]
    end
    for i = graph.n, longest.n - 1 do longest.weights[i] = sum / math.max(graph.n, 1) end
  end
  return longest
end

--- Adds triples to raw.graph, which has the places of `tokens`. Items without a link get their own.
---@param raw table
---@param list table[] columns: { name, n, items, values, texts, sequence }, values: ids in texts
---@param items tinykg.Dictionary
---@param tokens tinykg.Dictionary of entities
---@param relations tinykg.Dictionary
---@param links table of tinykg.data.link
function attributes.add(raw, list, items, tokens, relations, links)
  local triples, entity = {}, entity_finder(tokens, links)
  for _, column in ipairs(list) do
    local relation, places = relations:add(column.name), value_places(column, entity)
    for row = 0, column.n - 1 do
      local item = column.items[row]
      for _, place in ipairs(places(row)) do
        if links.places[item] < 0 then
          link.add(links, item, link.own_entity(tokens, items:at(item)))
        end
        local n = #triples
        triples[n + 1], triples[n + 2], triples[n + 3] = links.places[item], relation, place
      end
    end
  end
  if #triples == 0 then return end
  local first, graph = raw.graph.n, longer(raw.graph, #triples / 3)
  for at = first, graph.n - 1 do
    local i = 3 * (at - first)
    graph.heads[at], graph.relations[at], graph.tails[at] = triples[i + 1], triples[i + 2],
      triples[i + 3]
  end
  raw.graph = graph
end

return attributes
