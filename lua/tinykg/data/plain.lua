--- Plain tables: interactions.{tsv,csv,txt} with user, item [, rating or label][, timestamp]
-- [, split: train, valid or test], and kg.{tsv,csv,txt} or triples.* with head, relation, tail.
-- Everything is a name; an entity that is called like an item is that item. Two more files may say
-- what those do not: items.* with item [, entity: what it is called in kg] [, title], and users.*
-- with user.
--
-- Option `columns` says where other files have them, by name or by number (from 1):
--   columns = { user = 'uid', item = 'isbn', rating = 3, head = 1, relation = 2, tail = 3 }
-- Where all columns used of a file are numbers, the file has no header. A .csv is separated by
-- commas, or by semicolons where its first line has no comma.

local columns = require 'tinykg.columns'
local files = require 'tinykg.data.files'
local link = require 'tinykg.data.link'
local names = require 'tinykg.data.names'
local split = require 'tinykg.data.split'

local plain = { name = 'plain', looked_for = 'interactions.{tsv,csv,txt}' }

local function path_of(dir, ...)
  for _, stem in ipairs { ... } do
    local path = files.find(dir, stem .. '.tsv', stem .. '.csv', stem .. '.txt')
    if path then return path end
  end
end

--- Whether a folder holds this format.
---@param dir string
---@return boolean
function plain.probe(dir) return path_of(dir, 'interactions') ~= nil end

-- A column's position by the given name or number, by its own name, or by its own name with _id.
local function locate(field, given, at)
  if type(given) == 'number' then return given end
  return at[given or field] or (not given and at[field .. '_id']) or nil
end

-- What separates the fields. Spreadsheets of languages with a decimal comma write CSV with
-- semicolons.
local function separator_of(path, line)
  if path:match('%.tsv') then return '\t' end
  if not path:match('%.csv') then return files.separator_of(line) end
  return line:find(';', 1, true) and not line:find('[,\t]') and ';' or ','
end

-- Positions of the fields: { user = 1, ... }, the kinds, the separator, the header lines to skip.
local function layout(path, wanted, required, given)
  local line = files.first_line(path)
  local separator = separator_of(path, line)
  local header = files.fields(line:gsub('^\239\187\191', ''), separator)
  local at, found, kinds, named = {}, {}, {}, false
  for i, field in ipairs(header) do at[field:lower()], at[field], kinds[i] = i, i, '-' end
  for field, kind in pairs(wanted) do
    local position = locate(field, given[field], at)
    if given[field] and not kinds[position or 0] then
      error(('%s:1: no column %s for %s (has %s)'):format(path, given[field], field,
        table.concat(header, ', ')), 0)
    end
    -- What has only numbers given has no header to find anything else in.
    if position and type(given[field]) ~= 'number' then named = true end
    if position then found[field], kinds[position] = position, kind end
  end
  for _, field in ipairs(required) do
    if not found[field] then
      error(("%s:1: no column '%s': expected a header with %s, or the option columns (has %s)")
        :format(path, field, table.concat(required, ', '), table.concat(header, ', ')), 0)
    end
  end
  return found, table.concat(kinds), separator, named and 1 or 0
end

local function read_table(path, wanted, required, given, dictionaries, may_be_empty)
  local at, kinds, separator, skip = layout(path, wanted, required, given)
  local taken = {}
  for field, dictionary in pairs(dictionaries) do
    if at[field] then taken[at[field]] = dictionary end
  end
  local read = files.read(path, {
    kinds = kinds, separator = separator, skip = skip, names = taken, may_be_empty = may_be_empty,
  })
  return read, at
end

local function read_graph(dir, given, tokens, relations, raw)
  local path = path_of(dir, 'kg', 'triples')
  if not path then
    raw.warnings[#raw.warnings + 1] = 'no kg.{tsv,csv,txt}: the graph has no triples'
    return { n = 0, heads = columns.ints(0), relations = columns.ints(0), tails = columns.ints(0) }
  end
  local read, at = read_table(path, { head = 's', relation = 's', tail = 's' },
    { 'head', 'relation', 'tail' }, given,
    { head = tokens, relation = relations, tail = tokens }, true)
  local graph = { n = read.n, heads = read:ids(at.head), relations = read:ids(at.relation),
    tails = read:ids(at.tail) }
  read:free()
  return graph
end

-- Adds the names of a file of users or items that no interaction has. Returns what was read and
-- where; nil where there is no such file, or none with that column.
local function read_side(dir, stem, field, dictionary, more)
  local path = path_of(dir, stem)
  if not path then return nil end
  local wanted, dictionaries = { [field] = 's' }, { [field] = dictionary }
  for name, names_of in pairs(more or {}) do
    wanted[name], dictionaries[name] = name == 'title' and 'S' or 's', names_of
  end
  if not layout(path, wanted, {}, {})[field] then return nil end
  return read_table(path, wanted, { field }, {}, dictionaries, true)
end

-- Which entity each item is: as items.* says, else the one of its name.
local function read_items(dir, items, tokens, raw)
  local entities, titles = columns.dictionary(), columns.dictionary()
  local read, at = read_side(dir, 'items', 'item', items, { entity = entities, title = titles })
  local links = link.none(items:count())
  if read then
    local ids, entity = read:ids(at.item), at.entity and read:ids(at.entity)
    local title = at.title and read:ids(at.title)
    raw.titles = title and {} or nil
    for i = 0, read.n - 1 do
      if entity then link.add(links, ids[i], tokens:add(entities:at(entity[i]))) end
      local text = title and titles:at(title[i])
      if text and text ~= '' then raw.titles[ids[i]] = text end
    end
    read:free()
  end
  for item = 0, items:count() - 1 do
    local place = links.places[item] < 0 and tokens:find(items:at(item))
    if place and not links.taken[place] then link.add(links, item, place) end
  end
  if links.twice > 0 then
    raw.warnings[#raw.warnings + 1] =
      ('%d lines of items ignored: their item or entity was there before'):format(links.twice)
  end
  return links
end

local PART_OF = {}
for number, name in ipairs(split.parts) do PART_OF[name] = number - 1 end

-- The part of each row, out of the column split.
local function parts_of(read, column, dictionary)
  local parts, number_of = read:ids(column), {}
  for id = 0, dictionary:count() - 1 do number_of[id] = PART_OF[dictionary:at(id)] end
  for i = 0, read.n - 1 do
    local number = number_of[parts[i]]
    if not number then
      error(("%s: '%s' is not train, valid or test, column split (option split=ratio or another "
        .. 'method does without it)'):format(read:where(i), dictionary:at(parts[i])), 0)
    end
    parts[i] = number
  end
  return parts
end

local function read_interactions(path, options, users, items)
  local parts = not (options.split or options.ratios) and columns.dictionary() or nil
  local read, at = read_table(path, { user = 's', item = 's', rating = 'f', label = 'f',
    timestamp = 'f', split = parts and 's' }, { 'user', 'item' }, options.columns or {},
    { user = users, item = items, split = parts })
  local all = { n = read.n, users = read:ids(at.user), items = read:ids(at.item) }
  if at.rating then all.ratings = read:numbers(at.rating, 'float') end
  if at.label then all.labels = read:numbers(at.label, 'float') end
  if at.timestamp then all.times = read:numbers(at.timestamp) end
  if at.split then all.parts = parts_of(read, at.split, parts) end
  return all, read
end

--- Reads the set; what is returned is described in tinykg.data.
---@param dir string
---@param options table
---@return table raw
function plain.load(dir, options)
  local path = path_of(dir, 'interactions')
  if not path then error(('%s/%s: no such file'):format(dir, plain.looked_for), 0) end
  local raw = { notes = {}, warnings = {}, names = {}, split = 'ratio' }
  local users, items = columns.dictionary(), columns.dictionary()
  local tokens, relations = columns.dictionary(), columns.dictionary()
  raw.all, raw.read = read_interactions(path, options, users, items)
  read_side(dir, 'users', 'user', users)
  raw.graph = read_graph(dir, options.columns or {}, tokens, relations, raw)
  local links = read_items(dir, items, tokens, raw)
  raw.users, raw.items, raw.relations = users:count(), items:count(), relations:count()
  link.arrange(raw, items, tokens, links)
  raw.names.users = names.new(raw.users, users)
  raw.names.items = names.new(raw.items, items)
  raw.names.items.titles = raw.titles
  raw.names.relations = names.new(raw.relations, relations)
  return raw
end

return plain
