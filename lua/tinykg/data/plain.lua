--- Plain tables: interactions.{tsv,csv,txt} with user, item [, rating or label][, timestamp]
-- and kg.{tsv,csv,txt} or triples.* with head, relation, tail. Everything is a name; an entity that
-- is called like an item is that item.
--
-- Option `columns` says where other files have them, by name or by number (from 1):
--   columns = { user = 'uid', item = 'isbn', rating = 3, head = 1, relation = 2, tail = 3 }
-- Where all columns used of a file are numbers, the file has no header.

local columns = require 'tinykg.columns'
local files = require 'tinykg.data.files'
local names = require 'tinykg.data.names'

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

-- Positions of the fields: { user = 1, ... }, the kinds, the separator, the header lines to skip.
local function layout(path, wanted, required, given)
  local line = files.first_line(path)
  local separator = path:match('%.csv') and ',' or path:match('%.tsv') and '\t'
    or files.separator_of(line)
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
  for field, dictionary in pairs(dictionaries) do taken[at[field]] = dictionary end
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

--- Reads the set; what is returned is described in tinykg.data.
---@param dir string
---@param options table
---@return table raw
function plain.load(dir, options)
  local given = options.columns or {}
  local path = path_of(dir, 'interactions')
  if not path then error(('%s/%s: no such file'):format(dir, plain.looked_for), 0) end
  local raw = { notes = {}, warnings = {}, names = {}, split = 'ratio' }
  -- One dictionary for items and entities: items come first, and equal names are one node.
  local users, tokens, relations = columns.dictionary(), columns.dictionary(), columns.dictionary()
  local read, at = read_table(path,
    { user = 's', item = 's', rating = 'f', label = 'f', timestamp = 'f' }, { 'user', 'item' },
    given, { user = users, item = tokens })
  raw.all = { n = read.n, users = read:ids(at.user), items = read:ids(at.item) }
  if at.rating then raw.all.ratings = read:numbers(at.rating, 'float') end
  if at.label then raw.all.labels = read:numbers(at.label, 'float') end
  if at.timestamp then raw.all.times = read:numbers(at.timestamp) end
  raw.read, raw.users, raw.items = read, users:count(), tokens:count()
  raw.graph = read_graph(dir, given, tokens, relations, raw)
  raw.entities, raw.relations = tokens:count(), relations:count()
  raw.names.users = names.new(raw.users, users)
  raw.names.items = names.new(raw.items, tokens)
  raw.names.entities = names.new(raw.entities, tokens)
  raw.names.relations = names.new(raw.relations, relations)
  return raw
end

return plain
