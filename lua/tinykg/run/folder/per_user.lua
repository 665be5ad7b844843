--- per_user.tsv in a run's folder: the test metrics of each user, by name. The mean of a column
--- over all lines is the figure in summary.json.
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local tables = require 'tinykg.base.tables'

local per_user = {}

per_user.FILE = 'per_user.tsv'

local ESCAPED = {['\\'] = '\\\\', ['\t'] = '\\t', ['\n'] = '\\n', ['\r'] = '\\r'}

--- Writes the metrics of users. ---@param path string the run's folder
---@param names table of the data set's users ---@param list {user: integer, values: table}[]
function per_user.write(path, names, list)
  local columns = tables.sorted_keys(list[1] and list[1].values or {})
  local lines = {'user\t' .. table.concat(columns, '\t')}
  for i, entry in ipairs(list) do
    local user = names:name(entry.user):gsub('[\\\t\n\r]', ESCAPED)
    lines[i + 1] = format.cell(user) .. '\t' ..
      table.concat(tables.map(columns, function(name)
        return ('%.9g'):format(entry.values[name])
      end), '\t')
  end
  must(atomic_file.write(path .. '/' .. per_user.FILE, table.concat(lines, '\n') .. '\n',
                         {links = false}))
end

local function fields_of(line)
  local fields = {}
  for field in (line .. '\t'):gmatch('([^\t]*)\t') do fields[#fields + 1] = field end
  return fields
end

--- The name in a cell. Older versions wrote quotation marks as they are: a cell is taken for quoted
--- only if all marks inside are doubled, and some are, as format.cell leaves them.
local function name_in(cell)
  local inner = cell:match('^"(.*)"$') or ''
  local rest, n = inner:gsub('""', '')
  return n > 0 and not rest:find('"', 1, true) and inner:gsub('""', '"') or cell
end

--- Columns that are wanted, by number, with an empty table for each in `out`.
local function columns_of(names, wanted, out)
  local columns = {}
  for i = 2, #names do
    if not wanted or tables.any(wanted, function(name) return name == names[i] end) then
      columns[i], out[names[i]] = names[i], {}
    end
  end
  return columns
end

--- Reads them. ---@param path string the run's folder ---@param wanted? string[] metrics; all
---@return table<string, table<string, number>>? values by metric, then by user, a tab as \t;
---  nil without such a file
---@return string? why one line if it is damaged
function per_user.read(path, wanted)
  local file = path .. '/' .. per_user.FILE
  if not lfs.attributes(file, 'mode') then return nil end
  local text, why = read_file(file)
  if not text then return nil, why end
  local out, number, count, columns = {}, 0, nil, nil
  for line in text:gmatch('([^\n]*)\n') do
    local fields = fields_of(line)
    local user = name_in(fields[1])
    number, count = number + 1, count or #fields
    for i, name in pairs(columns or {}) do
      local value = #fields == count and tonumber(fields[i])
      if not value then return nil, ('%s:%d: not the metrics of a user'):format(file, number) end
      out[name][user] = value
    end
    columns = columns or columns_of(fields, wanted, out)
  end
  return out
end

return per_user
