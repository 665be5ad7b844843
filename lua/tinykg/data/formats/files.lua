--- Finds the files of a data set and reads their first lines.

local lfs = require 'lfs'
local arrays = require 'tinykg.engine.arrays'
local entries = require 'tinykg.base.folder_entries'
local format = require 'tinykg.base.format'

local files = {}

--- Returns its first argument, or raises the second as an error: for calls that return `nil,
--- message`.
function files.check(value, message)
  if value == nil then error(message, 0) end
  return value
end

local function is_file(path) return lfs.attributes(path, 'mode') == 'file' end

--- Whether a file exists, plain or compressed.
---@param path string
---@return boolean
function files.exists(path)
  return is_file(path) or is_file(path .. '.gz') or is_file(path .. '.xz')
end

--- The path of the first of several names that exists in a folder, else nil.
---@param dir string
---@param ... string
function files.find(dir, ...)
  for _, name in ipairs { ... } do
    local path = dir .. '/' .. name
    if files.exists(path) then return path end
  end
end

--- How many of several names exist in one of the folders.
---@param folders string[]
---@param names string[]
---@return number
function files.count(folders, names)
  local count = 0
  for _, name in ipairs(names) do
    for _, dir in ipairs(folders) do
      if files.exists(dir .. '/' .. name) then
        count = count + 1
        break
      end
    end
  end
  return count
end

--- Those of several names under which a folder has a file, compressed ones with their endings. More
--- than one is ambiguous.
---@param dir string
---@param names string[]
---@return string[]
function files.all(dir, names)
  local found = {}
  for _, name in ipairs(names) do
    for _, ending in ipairs { '', '.gz', '.xz' } do
      if is_file(dir .. '/' .. name .. ending) then found[#found + 1] = name .. ending end
    end
  end
  return found
end

--- The name of a path's last part, without a trailing slash.
function files.basename(path)
  local full = path:gsub('/+$', '')
  if full == '' or full == '.' or full:match('%.%.$') then
    full = (lfs.currentdir() .. '/' .. full):gsub('/%.$', '')
    local up = 0
    while full:match('/%.%.$') do
      full, up = full:gsub('/%.%.$', ''), up + 1
    end
    for _ = 1, up do full = full:gsub('/[^/]*$', '') end
  end
  return full:match('[^/]+$') or full
end

--- Names in a folder with an ending, compressed or not, without the ending, sorted.
---@param dir string
---@param ending string
---@return string[]
function files.with_ending(dir, ending)
  local found, seen = {}, {}
  for _, entry in ipairs(entries(dir)) do
    local plain = entry:gsub('%.gz$', ''):gsub('%.xz$', '')
    local stem = plain:sub(-#ending) == ending and plain:sub(1, -#ending - 1)
    if stem and stem ~= '' and not seen[stem] then
      seen[stem] = true
      found[#found + 1] = stem
    end
  end
  table.sort(found)
  return found
end

--- The first line of a file; an empty file is an error.
---@param path string
---@return string
function files.first_line(path)
  local line = files.check(arrays.line(path))
  if not line then error(('%s: the file is empty'):format(path), 0) end
  return line
end

-- Whether two colons separate fields, rather than being part of a name between blanks or commas.
local function has_colons(line)
  return line:find('::.+::') or (line:find('::', 1, true) and not line:find('[ ,]'))
end

--- The separator of a line's fields: tabs, else two colons, else commas, else blanks.
function files.separator_of(line)
  return line:find('\t', 1, true) and '\t' or has_colons(line) and '::'
    or line:find(',', 1, true) and ',' or ' '
end

-- The end and the text of the field in quotes that begins at `at`.
local function quoted(line, at, separator)
  local from = at + 1
  while true do
    local quote = line:find('"', from, true)
    if not quote then return nil end
    local stop = line:match('^ *()$', quote + 1) or line:match('^ *()%' .. separator, quote + 1)
    if stop then return stop, (line:sub(at + 1, quote - 1):gsub('""', '"')) end
    from = quote + (line:sub(quote + 1, quote + 1) == '"' and 2 or 1)
  end
end

--- The fields of a line, without quotes and blanks around them.
---@param line string
---@param separator string
---@return string[]
function files.fields(line, separator)
  local found, at = {}, 1
  if separator == ' ' then
    for field in line:gmatch('%S+') do found[#found + 1] = field end
    return found
  end
  while at do
    local first, stop, text = line:match('^ *()"', at), nil, nil
    if first and #separator == 1 then stop, text = quoted(line, first, separator) end
    stop = stop or line:find(separator, at, true) or #line + 1
    found[#found + 1] = text or format.trimmed(line:sub(at, stop - 1))
    at = stop <= #line and stop + #separator
  end
  return found
end

--- Reads a file. Errors: its mistakes; an empty file, unless allowed.
---@param path string
---@param spec table as of arrays.read
---@return tinykg.Columns
function files.read(path, spec)
  local read = files.check(arrays.read(path, spec))
  if read.n == 0 and not spec.may_be_empty then
    error(('%s: no rows: the file is empty'):format(read.path), 0)
  end
  return read
end

--- A column of weights; nil without one. Errors: one is below 0, by its line.
---@param read tinykg.Columns ---@param column number? ---@return ffi.cdata*? float
local function weights_of(read, column)
  local weights = column and read:numbers(column, 'float')
  for i = 0, weights and read.n - 1 or -1 do
    if weights[i] < 0 then
      error(("%s: '%g' is not a weight (0 or more), column %d"):format(read:where(i),
        weights[i], column), 0)
    end
  end
  return weights
end

--- The interactions of a table: { n, users, items [, ratings, labels, times, weights] }, whose
--- other columns it forgets. Warns of columns of numbers that were not read, since they have other
--- texts.
---@param raw table with warnings
---@param read tinykg.Columns
---@param at table<string, number> fields and their columns
---@param user string the field of users ---@param item string that of items
---@return table
function files.interactions(raw, read, at, user, item)
  local all = { n = read.n, users = read:ids(at[user]), items = read:ids(at[item]) }
  all.ratings = at.rating and read:numbers(at.rating, 'float')
  all.labels = at.label and read:numbers(at.label, 'float')
  all.times = at.timestamp and read:numbers(at.timestamp)
  all.weights = weights_of(read, at.weight)
  for _, field in ipairs { 'rating', 'label', 'timestamp' } do
    local why = at[field] and read:unread(at[field])
    if why then
      raw.warnings[#raw.warnings + 1] = ('column %s not read: %s'):format(field, why)
    end
  end
  read:forget()
  return all
end

--- The triples of a table, which it frees: { n, heads, relations, tails [, weights] }; none without
--- a table.
---@param read tinykg.Columns? ---@param head number? the column ---@param relation number?
---@param tail number? ---@param weight number? ---@return table
function files.triples(read, head, relation, tail, weight)
  if not read then
    return { n = 0, heads = arrays.ints(0), relations = arrays.ints(0), tails = arrays.ints(0) }
  end
  local graph = { n = read.n, heads = read:ids(head), relations = read:ids(relation),
    tails = read:ids(tail), weights = weights_of(read, weight) }
  read:free()
  return graph
end

return files
