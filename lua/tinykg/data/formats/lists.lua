--- Name lists of the KGAT family: a header with org_id and remap_id, then a name and an id per
--- line. Without a header the id is the last number of the first line, and the name is what stands
--- before it, or else behind it. Names may have blanks.

local arrays = require 'tinykg.engine.arrays'
local files = require 'tinykg.data.formats.files'
local header = require 'tinykg.data.formats.header'
local names = require 'tinykg.data.names'
local sparse = require 'tinykg.data.formats.sparse'

local lists = {}

local function is_id(field) return field:find('^%d+$') ~= nil end

-- Kinds of the columns of a list without a header, by its first line; nil if that has no id. A name
-- of several words is one column.
local function kinds_by_place(fields)
  local last = #fields
  if last < 2 then return nil end
  if is_id(fields[last]) then return 'Si', 1, 2 end
  if last > 2 and is_id(fields[last - 1]) then return 'Si-', 1, 2 end
  if is_id(fields[1]) then return 'iS', 2, 1 end
end

local function no_header(path, line)
  error(("%s:1: expected a header with org_id and remap_id, or a name and an id, got '%s'"):format(
    path, line:sub(1, 60)), 0)
end

-- Kinds of the columns, which of them are name and id, lines to skip. Notes what is not read.
local function layout(path, line, separator, raw)
  local fields = files.fields(line, separator)
  local found = header.layout(path, fields, { org_id = 'S', remap_id = 'i' }, {})
  if found.at.org_id and found.at.remap_id then
    if raw then header.note_unread(raw, path, found.unread) end
    return found.kinds, found.at.org_id, found.at.remap_id, 1
  end
  local kinds, name, id = kinds_by_place(fields)
  if not kinds then no_header(path, line) end
  return kinds, name, id, 0
end

---@class tinykg.NameList
---@field dictionary tinykg.Dictionary
---@field read tinykg.Columns for the lines of what is wrong
---@field ids tinykg.IdColumn may be numbered anew (tinykg.data.sparse)
---@field places ffi.cdata* the name of each id, in the dictionary

--- Reads a list.
---@param path string
---@param raw table? for notes
---@return tinykg.NameList
function lists.read(path, raw)
  local line = files.first_line(path)
  local separator = files.separator_of(line)
  if separator == '::' then separator = ' ' end
  local kinds, name_column, id_column, skip = layout(path, line, separator, raw)
  local dictionary = arrays.dictionary()
  local read = files.read(path, { kinds = kinds, separator = separator, skip = skip,
    names = { [name_column] = dictionary }, may_be_empty = true })
  return { dictionary = dictionary, read = read, ids = sparse.column(read, id_column),
    places = read:ids(name_column) }
end

--- The lists that a folder has: a table with users, items, entities, relations, or nil for each.
---@param raw table for notes
---@param ... string folders, the first that has a list wins
function lists.find(raw, ...)
  local found = {}
  for _, kind in ipairs { 'user', 'item', 'entity', 'relation' } do
    local name = kind == 'entity' and 'entities' or kind .. 's'
    for _, dir in ipairs { ... } do
      local path = files.find(dir, kind .. '_list.txt')
      if path and not found[name] then found[name] = lists.read(path, raw) end
    end
  end
  return found
end

-- The place of the name of each id, -1 if it has none.
local function places_by_id(list, count)
  local source = arrays.ints(count, -1)
  for i = 0, list.ids.n - 1 do
    local id = list.ids.ids[i]
    if source[id] >= 0 and source[id] ~= list.places[i] then
      error(('%s: id %d has a second name'):format(list.read:where(i), id), 0)
    end
    source[id] = list.places[i]
  end
  return source
end

--- Names of `count` ids from a list, or their decimal numbers: those before renumbering.
---@param list tinykg.NameList? may not be used afterwards
---@param count number
---@param old_of ffi.cdata*? of tinykg.data.sparse
---@return tinykg.Names
function lists.names(list, count, old_of)
  if not list then return names.new(count, nil, old_of) end
  local source = places_by_id(list, count)
  list.read:free()
  for id = 0, old_of and count - 1 or -1 do
    if source[id] < 0 then source[id] = list.dictionary:add(('%d'):format(old_of[id])) end
  end
  return names.new(count, list.dictionary, source)
end

--- Reads the triples of a kg_final.txt. Their columns are added to those of `spaces`.
---@param path string
---@param spaces table as of tinykg.data.sparse
---@return table graph
function lists.triples(path, spaces)
  local read = files.read(path, { kinds = 'iii' })
  local heads, relations, tails = sparse.column(read, 1), sparse.column(read, 2),
    sparse.column(read, 3)
  local n = #spaces.entities
  spaces.entities[n + 1], spaces.entities[n + 2] = heads, tails
  spaces.relations[#spaces.relations + 1] = relations
  read:free()
  return { n = read.n, heads = heads.ids, relations = relations.ids, tails = tails.ids }
end

--- Sets the counts of a set and the names from its lists; renumbers sparse ids.
---@param raw table
---@param named table<string, tinykg.NameList> of lists.find
---@param spaces table the columns of ids, as of tinykg.data.sparse
---@param mode string? the option ids
---@return boolean renumbered
function lists.name(raw, named, spaces, mode)
  for kind, list in pairs(named) do spaces[kind][#spaces[kind] + 1] = list.ids end
  local old_of = sparse.apply(raw, spaces, mode)
  for kind in pairs(spaces) do
    raw.names[kind] = lists.names(named[kind], raw[kind], old_of[kind])
  end
  return next(old_of) ~= nil
end

return lists
