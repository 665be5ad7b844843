--- KGCN and RippleNet: ratings_final.txt (user item label) and kg_final.txt (head relation tail),
-- or the raw files they come from: a ratings file, item_index2entity_id.txt and kg.txt.
-- Wang et al., "Knowledge Graph Convolutional Networks for Recommender Systems", WWW 2019.
--
-- Raw files are numbered as the authors' preprocessing does: item i is line i of
-- item_index2entity_id.txt and entity i; other entities and relations follow in the order of
-- kg.txt, users in the order of their first positive rating. The first item of an entity is that
-- entity, a later one has an entity of its own. Of an item with several lines the first one counts.

local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local files = require 'tinykg.data.formats.files'
local filter = require 'tinykg.data.filter'
local header = require 'tinykg.data.formats.header'
local link = require 'tinykg.data.formats.link'
local lists = require 'tinykg.data.formats.lists'
local names = require 'tinykg.data.names'
local rows = require 'tinykg.data.rows'
local sparse = require 'tinykg.data.formats.sparse'

local kgcn = { name = 'kgcn', looked_for = 'ratings_final.txt or item_index2entity_id.txt',
  has_ids = true }

-- Raw ratings: kinds of the columns, separator, header lines, and the threshold of the authors'
-- preprocessing (KGCN: music none, movie 4, book 0).
local rating_files = {
  { file = 'user_artists.dat', kinds = 'ssf', separator = '\t', header = 1 },
  { file = 'ratings.csv', kinds = 'ssf', separator = ',', header = 1, threshold = 4 },
  { file = 'ratings.dat', kinds = 'ssf', separator = '::', header = 0, threshold = 4 },
  { file = 'BX-Book-Ratings.csv', kinds = 'ssf', separator = ';', header = 1, threshold = 0 },
}
local item_files = { 'item_index2entity_id.txt', 'item_index2entity_id_rehashed.txt' }
local graph_files = {
  { 'kg.txt' }, { 'kg_rehashed.txt' }, { 'kg_part1_rehashed.txt', 'kg_part2_rehashed.txt' },
}

local FINAL = { 'ratings_final.txt', 'kg_final.txt', 'user_list.txt', 'item_list.txt',
  'entity_list.txt', 'relation_list.txt' }

--- How many of the final files a folder has; 1 if it has the raw ones, which other formats may have
--- beside theirs; less without ratings.
---@param dir string
---@return number
function kgcn.score(dir)
  local folders = { dir .. '/derived', dir }
  if files.count(folders, { FINAL[1] }) > 0 then return files.count(folders, FINAL) end
  if files.count({ dir }, item_files) == 0 then return 0 end
  for _, form in ipairs(rating_files) do
    if files.find(dir, form.file) then return 1 end
  end
  return 0.5
end

---------------------------------------------------------------------------------------------------
-- Raw files.

-- Warns of lines of item_index2entity_id: the first of some, and how many there are.
local function warn_of_lines(found, first, count, text)
  if count == 0 then return end
  local more = count > 1 and (' (and %d more)'):format(count - 1) or ''
  found.warnings[#found.warnings + 1] = ('%s: %s%s'):format(first, text, more)
end

-- Links each item to the entity of its first line, unless that is an earlier item's.
local function link_items(found, read, entities)
  local ids, places, links = read:ids(1), read:ids(2), found.links
  local line_of, again, shared = {}, 0, 0
  for i = 0, read.n - 1 do
    local item = ids[i]
    if not line_of[item] then
      line_of[item] = i
      local place = found.tokens:add(entities:at(places[i]))
      if links.taken[place] then
        found.first_shared, shared = found.first_shared or read:where(i), shared + 1
      else
        link.add(links, item, place)
      end
    elseif places[line_of[item]] ~= places[i] then
      found.first_again, again = found.first_again or read:where(i), again + 1
    end
  end
  found.again = again
  warn_of_lines(found, found.first_shared, shared, 'an entity that an earlier item has: this item '
    .. 'gets one of its own')
  warn_of_lines(found, found.first_again, again, 'an item that is there before: ignored')
end

-- Reads item_index2entity_id: the items' names in the order of their first lines, the dictionary of
-- entities, which begins with those of items, and the links between the two.
local function read_items(dir)
  local path = files.find(dir, item_files[1], item_files[2])
  if not path then return nil end
  local raw_items, entities = arrays.dictionary(), arrays.dictionary()
  local read = files.read(path, { kinds = 'ss', separator = files.separator_of(
    files.first_line(path)), names = { raw_items, entities } })
  local found = { path = path, dictionary = raw_items, tokens = arrays.dictionary(),
    links = link.none(raw_items:count()), warnings = {}, names = {} }
  link_items(found, read, entities)
  read:free()
  return found
end

-- Reads kg.txt: triples. Adds to the dictionary of entities and fills that of relations.
local function read_raw_graph(dir, tokens)
  local relations = arrays.dictionary()
  for _, group in ipairs(graph_files) do
    local parts, n = {}, 0
    for i, name in ipairs(group) do
      local path = files.find(dir, name)
      if not path then break end
      parts[i] = files.read(path, { kinds = 'sss', names = { tokens, relations, tokens },
        separator = files.separator_of(files.first_line(path)) })
      n = n + parts[i].n
    end
    if #parts == #group then
      local graph = { n = n, relation_names = relations }
      for column, name in ipairs { 'heads', 'relations', 'tails' } do
        local target, at = arrays.ints(n), 0
        for _, part in ipairs(parts) do
          local ids = part:ids(column)
          for i = 0, part.n - 1 do target[at + i] = ids[i] end
          at = at + part.n
        end
        graph[name] = target
      end
      return graph
    end
  end
end

-- Reads item_index2entity_id and kg.txt: counts and names of items, entities and relations; the
-- triples, if there is a kg.txt (has_graph); warnings; how many lines name an item `again`. nil
-- without the former.
local function read_index(dir)
  local found = read_items(dir)
  if not found then return nil end
  local graph = read_raw_graph(dir, found.tokens)
  found.has_graph, found.graph = graph ~= nil, graph or files.triples()
  link.arrange(found, arrays.dictionary(), found.dictionary, found.tokens,
    graph and graph.relation_names or arrays.dictionary(), found.links)
  return found
end

-- Reads a ratings file: columns of users and items by name, and ratings.
local function read_rating_file(path, form, users, seen, raw)
  local first = files.fields(files.first_line(path), form.separator)
  local unread = {}
  for i = #form.kinds + 1, #first do unread[#unread + 1] = first[i] end
  if form.header > 0 and raw then header.note_unread(raw, path, unread) end
  local read = files.read(path, { kinds = form.kinds .. ('-'):rep(#unread),
    separator = form.separator, skip = form.header, names = { users, seen } })
  local all = { n = read.n, users = read:ids(1), items = read:ids(2),
    ratings = read:numbers(3, 'float') }
  read:free()
  return all
end

-- The raw ratings of known items: rows, the dictionary of users, the threshold, how many were left
-- out.
local function read_raw_ratings(dir, items, raw)
  for _, form in ipairs(rating_files) do
    local path = files.find(dir, form.file)
    if path then
      local users, seen = arrays.dictionary(), arrays.dictionary()
      local all = read_rating_file(path, form, users, seen, raw)
      local item_of = arrays.ints(seen:count())
      for i = 0, seen:count() - 1 do
        item_of[i] = items.dictionary:find(seen:at(i)) or -1
      end
      for i = 0, all.n - 1 do all.items[i] = item_of[all.items[i]] end
      local kept, dropped = rows.filter(all, function(i) return all.items[i] >= 0 end)
      return { all = kept, users = users, threshold = form.threshold, dropped = dropped,
        file = form.file }
    end
  end
end

-- Numbers users by their first positive rating; others have no rows afterwards.
local function number_users(ratings, threshold)
  local all, count = ratings.all, ratings.users:count()
  local id_of, source, users = arrays.ints(count, -1), arrays.ints(count), 0
  local is_positive = threshold and filter.at_least(all.ratings, threshold)
  for i = 0, all.n - 1 do
    if id_of[all.users[i]] < 0 and (not is_positive or is_positive(i)) then
      id_of[all.users[i]], source[users] = users, all.users[i]
      users = users + 1
    end
  end
  local kept = rows.filter(all, function(i) return id_of[all.users[i]] >= 0 end)
  if kept == all then kept = rows.concat { all } end
  for i = 0, kept.n - 1 do kept.users[i] = id_of[kept.users[i]] end
  return kept, users, source
end

---------------------------------------------------------------------------------------------------
-- Final files.

local function read_final_ratings(path, spaces)
  local read = files.read(path, { kinds = 'iif' })
  local users, items = sparse.column(read, 1), sparse.column(read, 2)
  spaces.users[1], spaces.items[1] = users, items
  local all = { n = read.n, users = users.ids, items = items.ids,
    labels = read:numbers(3, 'float') }
  read:forget()
  return all, read
end

local function same_triples(a, b)
  if a.n ~= b.n then return false end
  for i = 0, a.n - 1 do
    if a.heads[i] ~= b.heads[i] or a.relations[i] ~= b.relations[i] or a.tails[i] ~= b.tails[i] then
      return false
    end
  end
  return true
end

-- Whether the raw ratings, numbered, are exactly the positive ones of the final file.
local function same_positives(final, raw_rows, raw_users, users)
  if raw_users ~= users then return false end
  local known = rows.csr(rows.positives(final), users):unique()
  local other = rows.csr(raw_rows, users):unique()
  if known.n ~= other.n then return false end
  for user = 1, users do
    if known.offsets[user] ~= other.offsets[user] then return false end
  end
  for i = 0, known.n - 1 do
    if known.items[i] ~= other.items[i] then return false end
  end
  return true
end

-- The users' names, if the final file was made of the raw ratings.
local function recover_users(dir, raw, items)
  local ratings = read_raw_ratings(dir, items)
  if not ratings then return end
  local kept, count, source = number_users(ratings, ratings.threshold)
  if ratings.threshold then
    kept = filter.threshold(kept, ratings.threshold)
  end
  if same_positives(raw.all, kept, count, raw.users) then
    raw.names.users = names.new(count, ratings.users, source)
  end
end

-- Names that lists do not have, from the raw files beside the final ones if they agree.
local function recover_names(dir, raw, index)
  -- Where an item has two lines, the authors' preprocessing numbers by the last.
  if not index or index.again > 0 or index.items > raw.items then return end
  if index.items == raw.items then
    raw.names.items = raw.names.items or index.names.items
    if not raw.names.users then recover_users(dir, raw, index) end
  end
  if not index.has_graph or not same_triples(index.graph, raw.graph) then return end
  if not raw.names.relations and index.relations == raw.relations then
    raw.names.relations = index.names.relations
  end
  if not raw.names.entities and index.entities == raw.entities then
    raw.names.entities = index.names.entities
  end
end

---------------------------------------------------------------------------------------------------

local function empty_graph(raw)
  raw.warnings[#raw.warnings + 1] = 'no kg_final.txt or kg.txt: the graph has no triples'
  return files.triples()
end

-- The triples of kg_final.txt, else those of kg.txt.
local function final_graph(dir, folder, raw, index, spaces)
  local path = files.find(folder, 'kg_final.txt') or files.find(dir, 'kg_final.txt')
  if path then return lists.triples(path, spaces) end
  if not index or not index.has_graph then return empty_graph(raw) end
  local graph, entities, relations = index.graph, index.entities, index.relations
  tables.append(raw.warnings, index.warnings)
  spaces.entities = { sparse.range(entities), { ids = graph.heads, n = graph.n, extent = entities },
    { ids = graph.tails, n = graph.n, extent = entities } }
  spaces.relations = { sparse.range(relations),
    { ids = graph.relations, n = graph.n, extent = relations } }
  return graph
end

local function load_final(dir, folder, raw, options)
  local spaces = { users = {}, items = {}, entities = {}, relations = {} }
  raw.all, raw.read = read_final_ratings(files.find(folder, 'ratings_final.txt'), spaces)
  raw.drawn = true -- by KGCN's preprocessing, which writes the file
  if folder ~= dir then raw.notes[1] = 'ratings from derived/' end
  local index = read_index(dir)
  if index then spaces.items[2] = sparse.range(index.items) end
  raw.graph = final_graph(dir, folder, raw, index, spaces)
  local named = lists.find(raw, folder, dir)
  local renumbered = lists.name(raw, named, spaces, options.ids)
  if renumbered then return end
  for _, kind in ipairs { 'users', 'items', 'entities', 'relations' } do
    if not named[kind] then raw.names[kind] = nil end -- the raw files may know more
  end
  recover_names(dir, raw, index)
end

local function load_raw(dir, options, raw)
  if options.ids then
    error('option ids: raw files of kgcn have names, no ids to keep or to renumber', 0)
  end
  local index = read_index(dir)
  local ratings = read_raw_ratings(dir, index, raw)
  if not ratings then
    local wanted = tables.map(rating_files, function(form) return form.file end)
    error(('%s: no ratings: looked for ratings_final.txt, %s'):format(dir,
      table.concat(wanted, ', ')), 0)
  end
  local threshold = options.rating_threshold or ratings.threshold
  raw.all, raw.users, raw.user_source = number_users(ratings, threshold)
  if raw.all.n == 0 then
    error(('%s: no rating of an item of %s'):format(dir, index.path), 0)
  end
  raw.threshold = threshold
  tables.append(raw.warnings, index.warnings)
  if ratings.dropped > 0 then
    raw.warnings[#raw.warnings + 1] = ('%d ratings of items without an entity left out')
      :format(ratings.dropped)
  end
  raw.graph = index.has_graph and index.graph or empty_graph(raw)
  raw.items, raw.entities, raw.relations = index.items, index.entities, index.relations
  raw.names = index.names
  raw.names.users = names.new(raw.users, ratings.users, raw.user_source)
end

--- Reads the set. tinykg.data describes what it returns.
---@param dir string
---@param options table
---@return table raw
function kgcn.load(dir, options)
  local raw = { notes = {}, warnings = {}, names = {}, split = 'ratio_global', task = 'ctr',
    ratios = { 0.6, 0.2, 0.2 } }
  local path = files.find(dir, 'derived/ratings_final.txt', 'ratings_final.txt')
  if path then
    load_final(dir, path:match('^(.*)/'), raw, options)
  elseif files.find(dir, item_files[1], item_files[2]) then
    load_raw(dir, options, raw)
  else
    error(('%s: no %s'):format(dir, kgcn.looked_for), 0)
  end
  for _, name in ipairs { 'users', 'items', 'entities', 'relations' } do
    raw.names[name] = raw.names[name] or names.new(raw[name])
  end
  return raw
end

return kgcn
