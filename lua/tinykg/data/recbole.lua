--- RecBole atomic files: X.inter, X.kg, X.link, X.item, X.user, tab separated, with headers of
-- name:type. Instead of X.inter there may be X.train.inter, X.valid.inter and X.test.inter: a
-- split. Items come first among the entities: item i is entity i, and an item without a link gets
-- an entity of its own. https://recbole.io/atomic_files.html

local columns = require 'tinykg.columns'
local files = require 'tinykg.data.files'
local link = require 'tinykg.data.link'
local names = require 'tinykg.data.names'
local rows = require 'tinykg.data.rows'
local split = require 'tinykg.data.split'

local recbole = { name = 'recbole', looked_for = '*.inter' }

--- Whether a folder holds this format.
---@param dir string
---@return boolean
function recbole.probe(dir) return #files.with_ending(dir, '.inter') > 0 end

-- The columns of a file by name: { at = { name = number }, types = { ... } }.
local function header_of(path)
  local line = files.first_line(path)
  local header = { at = {}, types = {}, line = line, path = path }
  for i, field in ipairs(files.fields(line, '\t')) do
    local name, kind = field:match('^(.-):(%a+_?%a*)$')
    if not name then
      error(("%s:1: '%s' is not name:type (token, float, token_seq or float_seq), column %d")
        :format(path, field, i), 0)
    end
    header.at[name], header.types[i] = i, kind
  end
  return header
end

-- Reads the wanted columns: { field = 's' or 'f' }; `need` are those that must be there.
local function read_columns(path, want, need, dictionaries, may_be_empty)
  local header, kinds, taken = header_of(path), {}, {}
  for i = 1, #header.types do kinds[i] = '-' end
  for field, kind in pairs(want) do
    local at = header.at[field]
    if at then
      kinds[at] = kind
      taken[at] = dictionaries[field]
    end
  end
  for _, field in ipairs(need) do
    if not header.at[field] then
      error(('%s:1: no column %s:token (has %s)'):format(path, field,
        header.line:gsub('\t', ', ')), 0)
    end
  end
  local read = files.read(path, {
    kinds = table.concat(kinds),
    separator = '\t',
    skip = 1,
    names = taken,
    may_be_empty = may_be_empty,
  })
  return read, header.at
end

-- Notes which columns of a file are of no use here.
local function note_unread(raw, header, want)
  local unread = {}
  for _, field in ipairs(files.fields(header.line, '\t')) do
    local name = field:match('^(.-):')
    if not want[name] then unread[#unread + 1] = name end
  end
  if #unread > 0 then
    raw.notes[#raw.notes + 1] = ('%s: not read: %s'):format(header.path:match('[^/]+$'),
      table.concat(unread, ', '))
  end
end

-- Adds the names of X.item or X.user that no interaction has; returns what was read of the titles.
local function read_side(path, field, dictionary, raw)
  if not path then return end
  local header = header_of(path)
  local want, dictionaries, title = { [field] = 's' }, { [field] = dictionary }, nil
  for name, at in pairs(header.at) do
    if header.types[at]:find('^token') and (name:find('title') or name:match('name$')) then
      title = name
    end
  end
  if title then want[title], dictionaries[title] = 'S', columns.dictionary() end
  note_unread(raw, header, want)
  local read, at = read_columns(path, want, { field }, dictionaries, true)
  if not title then return read:free() end
  local titles, ids, places = {}, read:ids(at[field]), read:ids(at[title])
  for i = 0, read.n - 1 do
    local text = dictionaries[title]:at(places[i])
    if text ~= '' then titles[ids[i]] = text end
  end
  read:free()
  return titles
end

local function read_interactions(path, users, items)
  local read, at = read_columns(path, {
    user_id = 's', item_id = 's', rating = 'f', label = 'f', timestamp = 'f',
  }, { 'user_id', 'item_id' }, { user_id = users, item_id = items })
  local all = { n = read.n, users = read:ids(at.user_id), items = read:ids(at.item_id) }
  if at.rating then all.ratings = read:numbers(at.rating, 'float') end
  if at.label then all.labels = read:numbers(at.label, 'float') end
  if at.timestamp then all.times = read:numbers(at.timestamp) end
  return all, read
end

local function read_links(path, items, count, tokens, raw)
  local links = link.none(count)
  if not path then return links end
  local everything = columns.dictionary() -- links may name items that the set does not have
  local read, at = read_columns(path, { item_id = 's', entity_id = 's' },
    { 'item_id', 'entity_id' }, { item_id = everything, entity_id = tokens }, true)
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

local function read_triples(path, tokens, relations)
  local graph = { n = 0, heads = columns.ints(0), relations = columns.ints(0),
    tails = columns.ints(0) }
  if not path then return graph end
  local read, at = read_columns(path, { head_id = 's', relation_id = 's', tail_id = 's' },
    { 'head_id', 'relation_id', 'tail_id' },
    { head_id = tokens, tail_id = tokens, relation_id = relations }, true)
  graph = { n = read.n, heads = read:ids(at.head_id), relations = read:ids(at.relation_id),
    tails = read:ids(at.tail_id) }
  read:free()
  return graph
end

-- X of a file X.inter, or X.train.inter.
local function stem_of_file(dir, stem)
  local base = stem:match('^(.+)%.train$') or stem:match('^(.+)%.valid$')
    or stem:match('^(.+)%.test$')
  return base and files.find(dir, base .. '.train.inter') and base or stem
end

-- X of X.inter: the folder's name, or the only one there is.
local function stem_of(dir)
  local stems, folder, found = {}, files.basename(dir), {}
  for _, name in ipairs(files.with_ending(dir, '.inter')) do
    local stem = stem_of_file(dir, name)
    if stem == folder then return stem end
    if not found[stem] then stems[#stems + 1], found[stem] = stem, true end
  end
  if #stems == 0 then error(('%s/*.inter: no such file'):format(dir), 0) end
  if #stems > 1 then
    error(('%s: %s.inter and %s.inter: name the folder as the set to use'):format(dir, stems[1],
      stems[2]), 0)
  end
  return stems[1]
end

-- The interactions of X.inter, or of X.train.inter, X.valid.inter and X.test.inter.
local function read_all(dir, stem, users, items)
  local whole = files.find(dir, stem .. '.inter')
  if whole then return read_interactions(whole, users, items) end
  local parts, reads = {}, {}
  for number, name in ipairs(split.parts) do
    local path = files.find(dir, ('%s.%s.inter'):format(stem, name))
    if path then
      local part, read = read_interactions(path, users, items)
      part.parts = columns.ints(part.n)
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

--- Reads the set; what is returned is described in tinykg.data.
---@param dir string
---@return table raw
function recbole.load(dir)
  local stem = stem_of(dir)
  local function path(ending) return files.find(dir, stem .. ending) end
  local users, items = columns.dictionary(), columns.dictionary()
  local tokens, relations = columns.dictionary(), columns.dictionary()
  local raw = { name = stem, notes = {}, warnings = {}, names = {}, split = 'ratio' }
  raw.all, raw.read = read_all(dir, stem, users, items)
  read_side(path '.user', 'user_id', users, raw)
  local titles = read_side(path '.item', 'item_id', items, raw)
  raw.users, raw.items = users:count(), items:count()
  raw.graph = read_triples(path '.kg', tokens, relations)
  if raw.graph.n == 0 then
    raw.warnings[1] = ('no triples in %s.kg: the graph is empty'):format(stem)
  end
  raw.relations = relations:count()
  local alone = link.arrange(raw, items, tokens,
    read_links(path '.link', items, raw.items, tokens, raw))
  if alone > 0 then
    raw.notes[#raw.notes + 1] = ('%d items without a link are entities of their own'):format(alone)
  end
  raw.names.users = names.new(raw.users, users)
  raw.names.items = names.new(raw.items, items)
  raw.names.items.titles = titles
  raw.names.relations = names.new(raw.relations, relations)
  return raw
end

return recbole
