--- The output of benchmarks: tables, or one JSON object per line.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'

---@class tinykg.BenchOutput
local Output = {}
Output.__index = Output

local function cell(value, form)
  if value == nil then return '' end
  return type(value) == 'number' and form:format(value) or tostring(value)
end

--- Prints a line above a table; nothing with JSON output.
function Output:heading(...)
  if not self.json then print('\n' .. format.line((...):format(select(2, ...)))) end
end

local function print_table(columns, records)
  local lines = {{}}
  for k, column in ipairs(columns) do lines[1][k] = column[2] end
  for _, record in ipairs(records) do
    local line = {}
    for k, column in ipairs(columns) do line[k] = cell(record[column[1]], column[3] or '%s') end
    lines[#lines + 1] = line
  end
  print(format.table(lines, function(k) return not columns[k][3] end)) -- numbers to the right
end

-- Six digits are more than times and ratios have.
local function rounded(record)
  for key, value in pairs(record) do
    if type(value) == 'number' and value % 1 ~= 0 then
      record[key] = tonumber(('%.6g'):format(value))
    end
  end
  return record
end

--- Prints records: the columns, or as JSON all fields and `part`.
---@param part string
---@param columns string[][] {field, heading, format of a number; nil for texts}
---@param records table[]
function Output:table(part, columns, records)
  if not self.json then return print_table(columns, records) end
  for _, record in ipairs(records) do
    record.part = part
    print(json.encode(rounded(record)))
  end
  io.stdout:flush()
end

--- Shows what is being timed, if standard error is a terminal.
function Output:doing(text)
  self.line.update(function() return text end)
end

---@param as_json boolean?
---@return tinykg.BenchOutput
return function(as_json)
  return setmetatable({json = as_json, line = require('tinykg.base.progress').line()}, Output)
end
