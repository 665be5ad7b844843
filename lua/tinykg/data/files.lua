--- Finding the files of a data set, and their first lines.

local lfs = require 'lfs'
local columns = require 'tinykg.columns'
local entries = require 'tinykg.entries'

local files = {}

--- Returns its first argument, or raises the second: for calls that give `nil, message`.
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

--- Names in a folder that end so, compressed or not, without ending, sorted.
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
  local line = files.check(columns.line(path))
  if not line then error(('%s: the file is empty'):format(path), 0) end
  return line
end

--- Tabs, else commas, else blanks: what separates the fields of this line.
function files.separator_of(line)
  return line:find('\t', 1, true) and '\t' or line:find(',', 1, true) and ',' or ' '
end

--- The fields of a header line, without quotes around them.
---@param line string
---@param separator string
---@return string[]
function files.fields(line, separator)
  local found = {}
  if separator == ' ' then
    for field in line:gmatch('%S+') do found[#found + 1] = field end
    return found
  end
  for field in (line .. separator):gmatch('([^' .. separator .. ']*)' .. separator) do
    found[#found + 1] = field:match('^"(.*)"$') or field:match('^%s*(.-)%s*$')
  end
  return found
end

--- Whether a file has any line.
function files.is_empty(path) return not files.check(columns.line(path)) end

--- Reads a file and raises what is wrong with it. An empty file is an error, unless allowed.
---@param path string
---@param spec table as of columns.read
---@return tinykg.Columns
function files.read(path, spec)
  local read = files.check(columns.read(path, spec))
  if read.n == 0 and not spec.may_be_empty then
    error(('%s: no rows: the file is empty'):format(read.path), 0)
  end
  return read
end

return files
