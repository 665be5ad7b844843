--- Links items to entities that have other names. Items come first among the entities: item i is
--- entity i.

local arrays = require 'tinykg.engine.arrays'
local names = require 'tinykg.data.names'

local link = {}

--- Makes links without any: for each item the place of its entity's name, -1.
---@param items number
---@return {places: ffi.cdata*, taken: table, twice: number}
function link.none(items)
  return { places = arrays.ints(items, -1), taken = {}, twice = 0 }
end

--- Links an item. If it or its entity is linked already, it is counted in `twice` instead.
function link.add(links, item, place)
  if links.places[item] == place then return end
  if links.places[item] >= 0 or links.taken[place] then
    links.twice = links.twice + 1
  else
    links.places[item], links.taken[place] = place, true
  end
end

--- Makes an entity for an item without a link.
---@param tokens tinykg.Dictionary
---@param name string the item's
---@return number place
function link.own_entity(tokens, name)
  return tokens:add(tokens:find(name) and 'item:' .. name or name)
end

--- Numbers entities so that item i is entity i: the counts, triples and names of `raw`.
---@param raw table graph still has the places of `tokens`
---@param users tinykg.Dictionary
---@param items tinykg.Dictionary
---@param tokens tinykg.Dictionary names of entities
---@param relations tinykg.Dictionary
---@param links table of link.none
---@return number alone items without a link
function link.arrange(raw, users, items, tokens, relations, links)
  raw.users, raw.items, raw.relations = users:count(), items:count(), relations:count()
  raw.names.users = names.new(raw.users, users)
  raw.names.items = names.new(raw.items, items)
  raw.names.relations = names.new(raw.relations, relations)
  local found = tokens:count() -- before items without a link get tokens of their own
  local id_of, source = arrays.ints(found, -1), arrays.ints(found + raw.items)
  local alone = 0
  for item = 0, raw.items - 1 do
    local place = links.places[item]
    if place >= 0 then
      source[item], id_of[place] = place, item
    else
      source[item], alone = link.own_entity(tokens, items:at(item)), alone + 1
    end
  end
  local count = raw.items
  for place = 0, found - 1 do
    if id_of[place] < 0 then
      id_of[place], source[count] = count, place
      count = count + 1
    end
  end
  for i = 0, raw.graph.n - 1 do
    raw.graph.heads[i] = id_of[raw.graph.heads[i]]
    raw.graph.tails[i] = id_of[raw.graph.tails[i]]
  end
  raw.entities, raw.names.entities = count, names.new(count, tokens, source)
  return alone
end

return link
