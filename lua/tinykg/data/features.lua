--- Frozen features of a data set's items, such as vectors of their texts: one row of numbers per
--- item, in a file of the data set's folder, found by the items' names.
--
--   features.npy                    the rows
--   features.npz, .safetensors      the rows as `features`; maybe the items' names as `items`:
--                                   texts (.npz), or whole numbers that are their names, below
--                                   2^24 where they are floats
--   features.txt                    the item's name of each row, one per line; without it, and
--                                   without `items`, row i (from 0) is of the item that is called i
--
-- Items without a row have zeros; rows of nobody are left out.

local ffi = require 'ffi'
local lfs = require 'lfs'
local arrays = require 'tinykg.engine.arrays'
local format = require 'tinykg.base.format'
local read_file = require 'tinykg.base.read_file'
local runtime = require 'tinykg.engine.runtime'
local store = require 'tinykg.store'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'
local utf8 = require 'tinykg.base.utf8'

local features = {}

local ENDINGS = { 'npy', 'npz', 'safetensors' }

local function refuse(path, ...) error(path .. ': ' .. string.format(...), 0) end

-- ---- the file ----

local function is_file(path) return lfs.attributes(path, 'mode') == 'file' end

--- The file of features in a folder, nil without one. Errors: there are several.
local function file_of(dir)
  local found = tables.filter(tables.map(ENDINGS, function(ending)
    return ('%s/features.%s'):format(dir, ending)
  end), is_file)
  if #found > 1 then refuse(found[1], 'there is also %s: one of them is read', found[2]) end
  return found[1]
end

--- The tensor `features` and what has the items' names, if something has.
local function parts_of(path)
  local read, message = store.read(path)
  if read == nil then error(message, 0) end
  if tensor.is(read) then return read end
  if not tensor.is(read.features) then
    refuse(path, "no tensor 'features' (it has %s)", table.concat(tables.sorted_keys(read), ', '))
  end
  return read.features, read.items
end

--- Rows, columns and numbers of a tensor of features, which is freed.
local function numbers_of(path, t)
  local shape = t:size()
  if #shape ~= 2 or shape[2] == 0 then
    refuse(path, 'features are [%s], expected [rows, columns]', table.concat(shape, ', '))
  end
  local values, n = t:values()
  local is_whole = t:dtype() == 'i32'
  t:free()
  if not is_whole then return shape[1], shape[2], values end
  local floats = ffi.new('float[?]', n)
  for i = 0, n - 1 do floats[i] = values[i] end
  return shape[1], shape[2], floats
end

-- ---- whose rows they are ----

local function lines_of(path)
  local text, list = utf8.unmarked(assert(read_file(path))), {}
  for line in text:gmatch('([^\n]*)\n?') do -- as names in tables are read
    list[#list + 1] = format.trimmed(line)
  end
  while list[#list] == '' do list[#list] = nil end
  return list
end

local EXACT = 2 ^ 24 -- from here on float32 has not every whole number

--- Numbers that are names as texts. Errors: a float that may have been another number.
local function texts_of(path, items)
  local values, n = items:values()
  local is_float, list = items:dtype() ~= 'i32', {}
  for i = 0, n - 1 do
    local x = values[i]
    if is_float and (x % 1 ~= 0 or math.abs(x) >= EXACT) then
      refuse(path, 'items: number %d is %.9g, as a float that is no exact name: save items as '
        .. 'integers or as texts', i + 1, x)
    end
    list[i + 1] = ('%d'):format(x)
  end
  return list
end

--- The names of the rows as a list, and where they stand.
local function names_in(path, items)
  if items == nil then
    local beside = path:gsub('%.%w+$', '.txt')
    if is_file(beside) then return lines_of(beside), beside end
    return nil
  end
  if not tensor.is(items) then return items, path .. ': items' end
  return texts_of(path, items), path .. ': items'
end

--- The item of each row, -1 for none. Errors: another number of names, a name that is there twice.
local function items_of(path, rows, items, names)
  local list, where = names_in(path, items)
  if list and #list ~= rows then refuse(where, '%d names of %d rows', #list, rows) end
  local ids, taken = arrays.ints(rows, -1), arrays.ints(names.count)
  for row = 0, rows - 1 do
    local name = list and list[row + 1] or not list and tostring(row)
    local id = name ~= '' and names:id(name)
    if id and taken[id] == 1 then
      refuse(where, "'%s' is there twice, the second time as number %d", format.line(name), row + 1)
    end
    if id then ids[row], taken[id] = id, 1 end
  end
  return ids, list ~= nil
end

--- Copies a row. Errors: it has a number that is none.
local function copy_row(path, to, from, columns, row)
  for c = 0, columns - 1 do
    if from[c] - from[c] ~= 0 then
      refuse(path, 'row %d has %s at column %d', row + 1, tostring(from[c]), c + 1)
    end
    to[c] = from[c]
  end
end

--- Reads the features beside a data set, if there are some, and adds a warning where rows and items
--- do not match.
---@param dir string ---@param raw table with items, names and warnings (tinykg.data)
---@return {n: integer, columns: integer, values: ffi.cdata*}? n = items * columns
function features.read(dir, raw)
  local path = file_of(dir)
  if not path then return nil end
  local t, items = parts_of(path)
  local rows, columns, from = numbers_of(path, t)
  local ids, named = items_of(path, rows, items, raw.names.items)
  local values, used = arrays.floats(raw.items * columns), 0
  for row = 0, rows - 1 do
    if ids[row] >= 0 then
      copy_row(path, values + ids[row] * columns, from + row * columns, columns, row)
      used = used + 1
    end
  end
  if used == 0 and raw.items > 0 then
    refuse(path, 'none of its %d rows is of an item%s', rows, named and '' or ': features.txt has '
      .. 'the name of each row, one per line')
  end
  local missing, nobody = raw.items - used, rows - used
  if missing > 0 or nobody > 0 and not raw.dropped.kcore then
    raw.warnings[#raw.warnings + 1] = ('%s: %d of %d items have no row and are zero; %d rows are '
      .. 'of no item'):format(path:match('[^/]*$'), missing, raw.items, nobody)
  end
  return { n = raw.items * columns, columns = columns, values = values }
end

-- ---- in a data set ----

--- The features after a renumbering of items: new_id[id] of each old one.
---@param held table? what `read` returned ---@param new_id ffi.cdata* int32 by id
function features.renumbered(held, new_id)
  if not held then return nil end
  local values, columns = arrays.floats(held.n), held.columns
  for id = 0, held.n / columns - 1 do
    ffi.copy(values + new_id[id] * columns, held.values + id * columns, 4 * columns)
  end
  return { n = held.n, columns = columns, values = values }
end

--- The features of a data set as a tensor of the engine in use, made at its first use; nil without.
---@param data tinykg.Data ---@return Tensor? f32 [items, columns]
function features.tensor(data)
  local held = rawget(data, 'feature_rows')
  if not held then return nil end
  local made = runtime.cache.features or setmetatable({}, { __mode = 'k' })
  runtime.cache.features = made
  if not (made[held] and made[held].kept) then
    made[held] = tensor.create(tensor.F32, { data.items, held.columns }, 'data')
      :write(held.values, 0, held.n)
  end
  return made[held]
end

return features
