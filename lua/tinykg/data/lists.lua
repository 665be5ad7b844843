--- Name lists of the KGAT family: a header with org_id and remap_id, then a name and an id a line.

local columns = require 'tinykg.columns'
local files = require 'tinykg.data.files'
local names = require 'tinykg.data.names'

local lists = {}

-- Column letters for a header: the name may hold blanks, other columns are skipped.
local function kinds_of(path, line, separator)
  local kinds, at = {}, {}
  for i, field in ipairs(files.fields(line, separator)) do
    kinds[i] = field == 'org_id' and 'S' or field == 'remap_id' and 'i' or '-'
    at[field] = i
  end
  if not at.org_id or not at.remap_id then
    error(("%s:1: expected a header with org_id and remap_id, got '%s'"):format(path,
      line:sub(1, 60)), 0)
  end
  return table.concat(kinds), at.org_id, at.remap_id
end

--- Reads a list into its dictionary, int32 places by id, and one more than its largest id.
---@param path string
---@return {dictionary: tinykg.Dictionary, source: ffi.cdata*, extent: number}
function lists.read(path)
  local line = files.first_line(path)
  local separator = files.separator_of(line)
  local kinds, name_column, id_column = kinds_of(path, line, separator)
  local dictionary = columns.dictionary()
  local read = files.read(path, {
    kinds = kinds,
    separator = separator,
    skip = 1,
    names = { [name_column] = dictionary },
    may_be_empty = true,
  })
  local extent, ids, places = read:extent(id_column), read:ids(id_column), read:ids(name_column)
  local source = columns.ints(extent)
  for i = 0, extent - 1 do source[i] = -1 end
  for i = 0, read.n - 1 do
    if source[ids[i]] >= 0 and source[ids[i]] ~= places[i] then
      error(('%s: id %d has a second name'):format(read:where(i), ids[i]), 0)
    end
    source[ids[i]] = places[i]
  end
  read:free()
  return { dictionary = dictionary, source = source, extent = extent }
end

--- The lists that a folder has: a table with users, items, entities, relations, or nil for each.
---@param ... string folders, the first that has a list wins
function lists.find(...)
  local found = {}
  for name, file in pairs {
    users = 'user_list.txt',
    items = 'item_list.txt',
    entities = 'entity_list.txt',
    relations = 'relation_list.txt',
  } do
    for _, dir in ipairs { ... } do
      local path = files.find(dir, file)
      if path and not found[name] then found[name] = lists.read(path) end
    end
  end
  return found
end

--- How many ids a list names; 0 without a list.
function lists.extent(list) return list and list.extent or 0 end

--- Names of `count` ids out of a list, or their decimal numbers.
---@param list table?
---@param count number
---@return tinykg.Names
function lists.names(list, count)
  if not list then return names.new(count) end
  local source = columns.ints(count)
  for id = 0, count - 1 do source[id] = id < list.extent and list.source[id] or -1 end
  return names.new(count, list.dictionary, source)
end

return lists
