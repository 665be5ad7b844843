--- A generated film data set whose graph explains what people watch, in the format of KGCN with
-- name lists. Films have a genre, decade, director, actors, some a series; directors have a
-- country. A user likes two things ("westerns", "the 1970s", "films by directors from India") and
-- watches some of the films that fit, all equally likely: popularity says nothing, and the graph
-- says more than other users do (KGCN beats BPR-MF).

local lfs = require 'lfs'
local atomic = require 'tinykg.base.atomic_file'
local entries = require 'tinykg.base.folder_entries'
local must = require 'tinykg.base.must'
local random = require 'tinykg.base.random'
local tables = require 'tinykg.base.tables'

local demo = {}

local defaults = {
  users = 1000, items = 400, interactions = 20, noise = 0.08,
  directors = 16, actors = 16, series = 4, seed = 1,
}

local genres = { 'drama', 'comedy', 'western', 'crime', 'horror', 'romance', 'war', 'fantasy',
  'animation', 'thriller', 'musical', 'science fiction' }
local countries = { 'France', 'Italy', 'Japan', 'India', 'Brazil', 'Senegal', 'Poland', 'Iran' }
local decades = { '1940s', '1950s', '1960s', '1970s', '1980s', '1990s', '2000s', '2010s' }
local relations = { 'genre', 'decade', 'director', 'actor', 'series', 'country' }
local relation_id = {}
for i, name in ipairs(relations) do relation_id[name] = i - 1 end

local function pick(generator, list) return list[generator:below(#list) + 1] end

-- The films' attributes, 0-based films: { genre, decade, director, country, actor = {...} }.
local function make_films(generator, options)
  local country_of, films = {}, {}
  for director = 1, options.directors do country_of[director] = pick(generator, countries) end
  for film = 0, options.items - 1 do
    local director = generator:below(options.directors) + 1
    local made = {
      genre = 'genre:' .. pick(generator, genres),
      decade = 'decade:' .. pick(generator, decades),
      director = 'director:' .. director,
      country = 'country:' .. country_of[director],
      actor = {},
    }
    for _ = 1, 1 + generator:below(3) do
      made.actor['actor:' .. generator:below(options.actors) + 1] = true
    end
    if options.series > 0 and generator:uniform() < 0.4 then
      made.series = 'series:' .. generator:below(options.series) + 1
    end
    films[film] = made
  end
  return films
end

-- The entities after the films, and the triples, each once.
local function make_graph(films, options)
  local id_of, entity_names, triples, count = {}, {}, {}, options.items
  local function entity(name)
    if not id_of[name] then
      id_of[name], entity_names[count] = count, name
      count = count + 1
    end
    return id_of[name]
  end
  local function add(head, relation, name)
    triples[#triples + 1] = ('%d\t%d\t%d'):format(head, relation_id[relation], entity(name))
  end
  local has_country = {}
  for film = 0, options.items - 1 do
    local made = films[film]
    entity_names[film] = ('film %d'):format(film)
    for _, relation in ipairs { 'genre', 'decade', 'director', 'series' } do
      if made[relation] then add(film, relation, made[relation]) end
    end
    for number = 1, options.actors do
      local name = 'actor:' .. number
      if made.actor[name] then add(film, 'actor', name) end
    end
    if not has_country[made.director] then
      has_country[made.director] = true
      add(entity(made.director), 'country', made.country)
    end
  end
  return entity_names, triples, count
end

-- Films by taste: 'genre:war', 'decade:1950s' or 'country:India' -> list of films. The country is
-- the director's, two steps away in the graph.
local function films_by_taste(films, options)
  local found, order = {}, {}
  for film = 0, options.items - 1 do
    local made = films[film]
    for _, taste in ipairs { made.genre, made.decade, made.country } do
      if not found[taste] then
        found[taste] = {}
        order[#order + 1] = taste
      end
      found[taste][#found[taste] + 1] = film
    end
  end
  return found, order
end

-- Returns up to `wanted` random members of a list that are not seen, and marks them as seen.
local function take(generator, list, wanted, seen)
  local left, taken = tables.filter(list, function(film) return not seen[film] end), {}
  for i = 1, math.min(wanted, #left) do
    local j = i + generator:below(#left - i + 1)
    left[i], left[j] = left[j], left[i]
    seen[left[i]], taken[i] = true, left[i]
  end
  return taken
end

local function watch(generator, fitting, tastes, options, everything)
  local seen, pool, in_pool, liked = {}, {}, {}, {}
  for i = 1, 2 do
    liked[i] = pick(generator, tastes)
    for _, film in ipairs(fitting[liked[i]]) do
      if not in_pool[film] then in_pool[film], pool[#pool + 1] = true, film end
    end
  end
  local spread = math.floor(options.interactions / 2)
  local wanted = options.interactions - spread + generator:below(2 * spread + 1)
  wanted = math.max(math.min(wanted, math.floor(options.items / 2)), 1)
  local by_taste = math.min(wanted, #pool)
  local by_chance = 0
  for _ = 1, by_taste do
    if generator:uniform() < options.noise then by_chance = by_chance + 1 end
  end
  local watched = take(generator, pool, by_taste - by_chance, seen)
  tables.append(watched, take(generator, everything, by_chance, seen))
  return watched, take(generator, everything, #watched, seen), liked
end

local function make_ratings(generator, films, options)
  local fitting, tastes = films_by_taste(films, options)
  local everything, lines, liked, positives = {}, {}, {}, 0
  for film = 0, options.items - 1 do everything[film + 1] = film end
  for user = 0, options.users - 1 do
    local watched, unwatched
    watched, unwatched, liked[user] = watch(generator, fitting, tastes, options, everything)
    positives = positives + #watched
    for _, film in ipairs(watched) do lines[#lines + 1] = ('%d\t%d\t1'):format(user, film) end
    for _, film in ipairs(unwatched) do lines[#lines + 1] = ('%d\t%d\t0'):format(user, film) end
  end
  return lines, liked, positives
end

local function write_lines(path, lines)
  must(atomic.write(path, table.concat(lines, '\n') .. '\n'))
end

local function write_list(path, count, name_of)
  local lines = { 'org_id\tremap_id' }
  for id = 0, count - 1 do lines[#lines + 1] = ('%s\t%d'):format(name_of(id), id) end
  write_lines(path, lines)
end

-- The least and the largest value of an option.
local function limits(name)
  if name == 'noise' then return 0, 1 end
  if name == 'seed' then return 0, 2 ^ 53 end
  return name == 'series' and 0 or name == 'items' and 8 or 1, 1e7
end

local function merged(options)
  local all = {}
  for name, value in pairs(defaults) do all[name] = value end
  for name, value in pairs(options or {}) do
    if defaults[name] == nil then error(("demo: no option '%s'"):format(name), 0) end
    local low, high = limits(name)
    if type(value) ~= 'number' or not (value >= low and value <= high)
      or (name ~= 'noise' and value % 1 ~= 0) then
      error(('demo: %s = %s is out of range: %d to %.0f'):format(name, tostring(value), low, high),
        0)
    end
    all[name] = value
  end
  return all
end

local FILES = {['ratings_final.txt'] = true, ['kg_final.txt'] = true, ['user_list.txt'] = true,
  ['item_list.txt'] = true, ['entity_list.txt'] = true, ['relation_list.txt'] = true}

-- Errors: no name; a folder that has other files than an earlier demo data set.
local function check_folder(dir)
  if type(dir) ~= 'string' or dir == '' then error('demo: the folder to write has no name', 0) end
  if lfs.attributes(dir, 'mode') ~= 'directory' then return end
  local users, found = io.open(dir .. '/user_list.txt'), false
  local made_here = users and (users:read(64) or ''):find('\nuser 0\t0\n', 1, true)
  if users then users:close() end
  for _, name in ipairs(entries(dir)) do
    found = found or not (made_here and FILES[name])
  end
  if found then error(dir .. ': there are other files in this folder: name a new one', 0) end
end

--- Writes the data set to a folder, which it makes. The files are the same for the same options on
-- every machine.
---@param dir string
---@param options table?
---@return table made { users, items, entities, relations, triples, positives, tastes[user] }
function demo.write(dir, options)
  options = merged(options)
  local generator = random.new(options.seed, 0x44454D4F)
  local films = make_films(generator, options)
  local entity_names, triples, entities = make_graph(films, options)
  local ratings, tastes, positives = make_ratings(generator, films, options)
  check_folder(dir)
  must(atomic.mkdirs(dir))
  -- The first marks the others as ours, should writing fail midway.
  write_list(dir .. '/user_list.txt', options.users, function(id) return 'user ' .. id end)
  write_lines(dir .. '/ratings_final.txt', ratings)
  write_lines(dir .. '/kg_final.txt', triples)
  write_list(dir .. '/item_list.txt', options.items, function(id) return entity_names[id] end)
  write_list(dir .. '/entity_list.txt', entities, function(id) return entity_names[id] end)
  write_list(dir .. '/relation_list.txt', #relations, function(id) return relations[id + 1] end)
  return {
    users = options.users, items = options.items, entities = entities, relations = #relations,
    triples = #triples, positives = positives, tastes = tastes,
  }
end

return demo
