--- Small data sets for specs, and their names, triples and warnings.
local fixtures = require 'tests.support.fixtures'
local data = require 'tinykg.data'

local sets = {}

--- A graph of three items.
sets.kg = { 'head,relation,tail', 'a1,is,x', 'a2,is,y', 'a3,is,x' }

--- Loads a folder of these contents. ---@return tinykg.Data ---@return string dir
function sets.load(contents, options)
  local dir = fixtures.dir(contents)
  return data.load(dir, options), dir
end

--- Loads interactions with the graph above; `more` adds files, or removes one by false.
function sets.plain(interactions, more, options)
  local contents = { ['interactions.csv'] = interactions, ['kg.csv'] = sets.kg }
  return sets.load(fixtures.merged(contents, more), options)
end

--- Returns the message for a folder that cannot be loaded, with DIR for its name.
function sets.fails(contents, options)
  local dir = fixtures.dir(contents)
  local message = fixtures.message(data.load, dir, options)
  return (message:gsub(dir:gsub('%p', '%%%0'), 'DIR'))
end

--- Returns the first of some warnings or notes that matches a pattern. Fails if none does.
function sets.said(list, pattern)
  for _, text in ipairs(list) do
    if text:find(pattern) then return text end
  end
  error(('nothing said that matches %s, only: %s'):format(pattern, table.concat(list, '; ')), 2)
end

--- Returns the number of interactions in all parts.
function sets.count(set) return set.train.n + set.valid.n + set.test.n end

--- Returns all names. Fails unless each is found again.
function sets.names_of(names)
  local list = {}
  for id = 0, names.count - 1 do
    list[id + 1] = names:name(id)
    assert(names:id(list[id + 1]) == id, 'another id has the name ' .. list[id + 1])
  end
  return list
end

--- Returns the lines of a name list in KGAT's format: a header, then names with ids from 0.
---@param names table|integer texts, or how many there are of x0, x1, ...
function sets.id_list(names)
  local lines = {'org_id\tremap_id'}
  for i = 0, (tonumber(names) or #names) - 1 do
    lines[i + 2] = ('%s\t%d'):format(tonumber(names) and 'x' .. i or names[i + 1], i)
  end
  return lines
end

--- Returns the triples by names, sorted.
function sets.triples(set)
  local list, g = {}, set.graph
  for i = 0, g.n - 1 do
    list[i + 1] = ('%s %s %s'):format(set.names.entities:name(g.heads[i]),
      set.names.relations:name(g.relations[i]), set.names.entities:name(g.tails[i]))
  end
  table.sort(list)
  return list
end

--- Interactions of 6 users with 5 items each, in order or backwards.
function sets.rows(backwards)
  local list = {}
  for u = 1, 6 do
    for i = 1, 5 do list[#list + 1] = ('u%d,a%d'):format(u, (u * 3 + i * i) % 11) end
  end
  if backwards then table.sort(list, function(a, b) return a > b end) end
  table.insert(list, 1, 'user,item')
  return list
end

--- Makes a folder with interactions and a graph, that above by default.
function sets.folder(interactions, kg)
  return fixtures.dir{['interactions.csv'] = interactions, ['kg.csv'] = kg or sets.kg}
end

return sets
