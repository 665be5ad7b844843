--- RecBole atomic files: X.inter, X.kg, X.link, X.item, X.user, separated by tabs (or commas), with
-- headers of name:type. Instead of X.inter there may be X.train.inter, X.valid.inter and
-- X.test.inter: a split. Items come first among the entities: item i is entity i, and an item
-- without a link gets an entity of its own. https://recbole.io/atomic_files.html

local tables = require 'tinykg.base.tables'
local attributes = require 'tinykg.data.formats.attributes'
local arrays = require 'tinykg.engine.arrays'
local files = require 'tinykg.data.formats.files'
local format = require 'tinykg.base.format'
local header = require 'tinykg.data.formats.header'
local link = require 'tinykg.data.formats.link'
local rows = require 'tinykg.data.rows'
local split = require 'tinykg.data.split'

local recbole = { name = 'recbole', looked_for = '*.inter', has_attributes = true,
  columns = { weight = true, triple_weight = true } }

--- How many files of this format a folder has; 0 without interactions.
---@param dir string
---@return number
function recbole.score(dir)
  local score = #files.with_ending(dir, '.inter') > 0 and 1 or 0
  for _, ending in ipairs { '.kg', '.link', '.item', '.user' } do
    if score > 0 and #files.with_ending(dir, ending) > 0 then score = score + 1 end
  end
  return score
end

-- The columns of a file: names, types by name, separator.
local function header_of(path)
  local line = files.first_line(path)
  local found = { names = {}, types = {}, path = path }
  found.separator = not line:find('\t', 1, true) and line:find(',', 1, true) and ',' or '\t'
  for i, field in ipairs(files.fields(line, found.separator)) do
    local name, kind = field:match('^(.-):(%a+_?%a*)$')
    if not name then
      error(("%s:1: '%s' is not name:type (token, float, token_seq or float_seq), column %d")
        :format(path, field, i), 0)
    end
    found.names[i], found.types[name] = name, kind
  end
  return found
end

local function check_needed(found, at, need)
  for _, field in ipairs(need) do
    if not at[field] then
      local has = tables.map(found.names, function(name)
        return name .. ':' .. found.types[name]
      end)
      error(('%s:1: no column %s:token (has %s)'):format(found.path, field,
        table.concat(has, ', ')), 0)
    end
  end
end

-- Reads the wanted columns: { field = kind }; `need` must be there. Notes the others. `given`:
-- names of columns that are not called as their fields.
local function read_columns(path, want, need, dictionaries, raw, may_be_empty, given)
  local found, taken = header_of(path), {}
  local where = header.layout(path, found.names, want, { given = given })
  check_needed(found, where.at, need)
  for field, at in pairs(where.at) do taken[at] = dictionaries[field] end
  local read = files.read(path, { kinds = where.kinds, separator = found.separator, skip = 1,
    names = taken, may_be_empty = may_be_empty })
  header.note_unread(raw, path, where.unread)
  return read, where.at
end

-- The column of X.item with titles.
local function title_of(found)
  local title
  for _, name in ipairs(found.names) do
    if found.types[name]:find('^token') and (name:find('title') or name:match('name$')) then
      title = name
    end
  end
  return title
end

-- The texts of a column of names, by the ids of another.
local function titles_of(read, ids, column, texts)
  local titles, places = {}, read:ids(column)
  for i = 0, read.n - 1 do
    local text = texts:at(places[i])
    if text ~= '' then titles[ids[i]] = text end
  end
  return titles
end

-- Adds the names of X.item or X.user that no interaction has. Returns the titles and the columns
-- that are attributes.
local function read_side(path, field, dictionary, raw, wanted_attributes)
  if not path then return end
  local found = header_of(path)
  local want, dictionaries, title = { [field] = 's' }, { [field] = dictionary }, title_of(found)
  if title then want[title], dictionaries[title] = 'S', arrays.dictionary() end
  for _, name in ipairs(wanted_attributes) do
    want[name] = want[name] or 'e'
    dictionaries[name] = dictionaries[name] or arrays.dictionary()
  end
  local read, at = read_columns(path, want, { field }, dictionaries, raw, true)
  local ids, list = read:ids(at[field]), {}
  for k, name in ipairs(wanted_attributes) do
    list[k] = at[name] and { name = name, n = read.n, items = ids, values = read:ids(at[name]),
      texts = dictionaries[name], sequence = found.types[name]:find('_seq$') ~= nil }
  end
  local titles = title and titles_of(read, ids, at[title], dictionaries[title])
  read:free()
  return titles, list
end

-- Columns of X.item as relations.
local function add_attributes(raw, stem, found, wanted, ...)
  for k, name in ipairs(wanted) do
    if not (found and found[k]) then
      error(("option attributes: %s.item has no column '%s'"):format(stem, name), 0)
    end
  end
  attributes.add(raw, found or {}, ...)
end

local function read_interactions(path, options, users, items, raw)
  local time = split.by_time[options.split] and 't' or 'T'
  local weight = (options.columns or {}).weight
  local read, at = read_columns(path, {
    user_id = 's', item_id = 's', rating = 'f', label = 'f', timestamp = time,
    weight = weight and 'f',
  }, { 'user_id', 'item_id' }, { user_id = users, item_id = items }, raw, false,
    { weight = weight })
  return files.interactions(raw, read, at, 'user_id', 'item_id'), read
end

local function read_links(path, items, tokens, raw)
  local links = link.none(items:count())
  if not path then return links end
  local everything = arrays.dictionary() -- links may name items that the set does not have
  local read, at = read_columns(path, { item_id = 's', entity_id = 's' },
    { 'item_id', 'entity_id' }, { item_id = everything, entity_id = tokens }, raw, true)
  local ids, places = read:ids(at.item_id), read:ids(at.entity_id)
  for i = 0, read.n - 1 do
    local item = items:find(everything:at(ids[i]))
    if item then link.add(links, item, places[i]) end
  end
  read:free()
  if links.twice > 0 then
    raw.warnings[#raw.warnings + 1] =
      ('%d links ignored: their item or entity was linked before'):format(links.twice)
  end
  return links
end

local function read_triples(path, options, tokens, relations, raw)
  if not path then return files.triples() end
  local weight = (options.columns or {}).triple_weight
  local read, at = read_columns(path, { head_id = 's', relation_id = 's', tail_id = 's',
    triple_weight = weight and 'f' }, { 'head_id', 'relation_id', 'tail_id' },
    { head_id = tokens, tail_id = tokens, relation_id = relations }, raw, true,
    { triple_weight = weight })
  return files.triples(read, at.head_id, at.relation_id, at.tail_id, at.triple_weight)
end

-- X of a file X.inter, or X.train.inter. In a folder x.train, x.train.inter is a whole set unless
-- other parts of x are there.
local function stem_of_file(dir, stem, folder)
  local base = stem:match('^(.+)%.train$') or stem:match('^(.+)%.valid$')
    or stem:match('^(.+)%.test$')
  local function has(part) return base and files.find(dir, base .. part) end
  if not has '.train.inter' then return stem end
  return stem == folder and not has '.valid.inter' and not has '.test.inter' and stem or base
end

-- X of X.inter: the folder's name, or the only one there is.
local function stem_of(dir)
  local folder = files.basename(dir)
  local stems = tables.unique(tables.map(files.with_ending(dir, '.inter'), function(name)
    return stem_of_file(dir, name, folder)
  end))
  if tables.any(stems, function(stem) return stem == folder end) then return folder end
  if #stems == 0 then error(('%s/*.inter: no such file'):format(dir), 0) end
  if #stems > 1 then
    error(('%s: %s.inter and %s.inter: name the folder as the set to use'):format(dir, stems[1],
      stems[2]), 0)
  end
  return stems[1]
end

-- The interactions of X.inter, or of X.train.inter, X.valid.inter and X.test.inter.
local function read_all(dir, stem, options, users, items, raw)
  local whole = files.find(dir, stem .. '.inter')
  if whole and files.find(dir, stem .. '.train.inter') then
    raw.warnings[1] = ('%s.inter is read, not %s.train.inter: remove what is not meant'):format(
      stem, stem)
  end
  if whole then return read_interactions(whole, options, users, items, raw) end
  local parts, reads = {}, {}
  for number, name in ipairs(split.parts) do
    local path = files.find(dir, ('%s.%s.inter'):format(stem, name))
    if path then
      local part, read = read_interactions(path, options, users, items, raw)
      part.parts = arrays.ints(part.n)
      for i = 0, part.n - 1 do part.parts[i] = number - 1 end
      parts[#parts + 1], reads[#reads + 1] = part, read
    end
  end
  return rows.concat(parts), { where = function(_, row)
    local k = 1
    while row >= reads[k].n do row, k = row - reads[k].n, k + 1 end
    return reads[k]:where(row)
  end }
end

--- Reads the set. tinykg.data describes what it returns.
---@param dir string
---@param options table
---@return table raw
function recbole.load(dir, options)
  local stem, wanted = stem_of(dir), attributes.checked(options, { item_id = true })
  local function path(ending) return files.find(dir, stem .. ending) end
  local users, items = arrays.dictionary(), arrays.dictionary()
  local tokens, relations = arrays.dictionary(), arrays.dictionary()
  local raw = { name = stem, notes = {}, warnings = {}, names = {}, split = 'ratio' }
  raw.all, raw.read = read_all(dir, stem, options, users, items, raw)
  read_side(path '.user', 'user_id', users, raw, {})
  local titles, found = read_side(path '.item', 'item_id', items, raw, wanted)
  raw.graph = read_triples(path '.kg', options, tokens, relations, raw)
  local links = read_links(path '.link', items, tokens, raw)
  add_attributes(raw, stem, found, wanted, items, tokens, relations, links)
  if raw.graph.n == 0 then
    raw.warnings[#raw.warnings + 1] = ('no triples in %s.kg: the graph is empty'):format(stem)
  end
  local alone = link.arrange(raw, users, items, tokens, relations, links)
  if alone > 0 then
    raw.notes[#raw.notes + 1] = format.count(alone, 'item')
      .. ' without a link: entities of their own'
  end
  raw.names.items.titles = titles or nil
  return raw
end

return recbole
