--- Finds the columns of a table by its first line, those that are not read, and names given twice.

local tables = require 'tinykg.base.tables'
local files = require 'tinykg.data.formats.files'

local header = {}

-- Columns by name, in lower case too, and how often each name occurs.
local function by_name(list)
  local at, count = {}, {}
  for i, name in ipairs(list) do
    for _, key in ipairs(name ~= name:lower() and { name, name:lower() } or { name }) do
      count[key] = (count[key] or 0) + 1
      at[key] = at[key] or i
    end
  end
  return at, count
end

-- A column's position by the given name or number, by its own name, or by its own name with _id.
local function locate(path, field, given, at, count)
  if type(given) == 'number' then return given end
  local name = given or (at[field] and field or field .. '_id')
  if at[name] and count[name] > 1 then
    error(("%s:1: %d columns are called '%s': which of them is meant?"):format(path, count[name],
      name), 0)
  end
  return at[name]
end

-- Columns by place, of a file without a header.
local function by_place(names, wanted, places)
  local found = {}
  for position, field in ipairs(places) do
    if wanted[field] and names[position] then found[field] = position end
  end
  return found
end

local function find_all(path, names, wanted, given)
  local at, count = by_name(names)
  local found, named = {}, false
  for field in pairs(wanted) do
    local position = locate(path, field, given[field], at, count)
    if given[field] and not names[position or 0] then
      error(('%s:1: no column %s for %s (has %s)'):format(path, given[field], field,
        table.concat(names, ', ')), 0)
    end
    -- If all columns are given by number, there is no header to find others in, unless the first
    -- line has the fields' own names there.
    named = named or position ~= nil and (type(given[field]) ~= 'number'
      or names[position]:lower():gsub('_id$', '') == field)
    found[field] = position
  end
  return found, named
end

-- Refuses a column that is to be two fields, unless both are the same numbers.
local function check_apart(path, names, wanted, found)
  local field_of = {}
  for _, field in ipairs(tables.sorted_keys(found)) do
    local position, kind = found[field], wanted[field]
    local other = field_of[position]
    if other and (kind ~= wanted[other] or not kind:find('^[fF]$')) then
      error(('%s:1: column %s cannot be both %s and %s (option columns)'):format(path,
        names[position], other, field), 0)
    end
    field_of[position] = field
  end
end

local function check_required(path, names, found, required)
  local missing = tables.filter(required, function(field) return not found[field] end)
  if #missing == 0 then return end
  local columns = table.concat(missing, ':COLUMN,') .. ':COLUMN'
  error(("%s:1: no column '%s': expected a header with %s, or --data-set columns=%s (has %s)")
    :format(path, missing[1], table.concat(required, ', '), columns, table.concat(names, ', ')), 0)
end

---@class tinykg.Layout
---@field at table<string, number> the column (from 1) of each field that there is
---@field kinds string as of arrays.read
---@field skip number lines of the header
---@field unread string[] names of the columns that are not read

--- Finds the fields of a table. Errors: a required one is missing, or two columns have its name.
---@param path string
---@param names string[] the fields of the first line
---@param wanted table<string, string> the kind of each field
---@param o {required: string[]?, given: table?, places: string[]?} given: names or numbers of
---  columns, by field; places: the fields of a file that may have no header, in order
---@return tinykg.Layout
function header.layout(path, names, wanted, o)
  local found, named = find_all(path, names, wanted, o.given or {})
  if o.places and next(found) == nil then
    found, named = by_place(names, wanted, o.places), false
  end
  check_required(path, names, found, o.required or {})
  check_apart(path, names, wanted, found)
  local kinds = tables.map(names, function() return '-' end)
  for field, position in pairs(found) do kinds[position] = wanted[field] end
  local unread = tables.map(named and names or {}, function(name, i)
    return kinds[i] == '-' and name or nil
  end)
  return { at = found, kinds = table.concat(kinds), skip = named and 1 or 0, unread = unread }
end

--- Adds a note that names the columns of a file that are not read.
---@param raw table with notes
---@param path string
---@param unread string[]
---@param hint string? behind the names
function header.note_unread(raw, path, unread, hint)
  if #unread == 0 then return end
  raw.notes[#raw.notes + 1] = ('%s: not read: %s%s'):format(files.basename(path),
    table.concat(unread, ', '), hint or '')
end

return header
