--- The options of tinykg.data.load, checked before anything is read.

local close_word = require 'tinykg.base.arguments.close_word'
local tables = require 'tinykg.base.tables'
local choose = require 'tinykg.data.formats'
local controls = require 'tinykg.data.controls'
local order = require 'tinykg.data.order'
local split = require 'tinykg.data.split'

local options = {}

local function is_number(low, high, whole)
  return function(value)
    return type(value) == 'number' and value >= low and value <= high
      and (not whole or value % 1 == 0)
  end
end

-- Whether a table has entries 1 to n, and no others.
local function is_list(value)
  local entries = 0
  for _ in pairs(value) do entries = entries + 1 end
  return entries == #value
end

local function is_core(value)
  local count = is_number(0, 2 ^ 31, true)
  if type(value) ~= 'table' then return count(value) end
  for kind, least in pairs(value) do
    if (kind ~= 'user' and kind ~= 'item') or not count(least) then return false end
  end
  return next(value) ~= nil
end

local function is_ratios(value)
  if type(value) ~= 'table' or #value ~= 3 or not is_list(value) then return false end
  local sum = 0
  for i = 1, 3 do
    if type(value[i]) ~= 'number' or value[i] < 0 then return false end
    sum = sum + value[i]
  end
  return math.abs(sum - 1) < 1e-6 and value[1] > 0
end

local FIELDS = choose.formats.plain.columns

-- Returns false and, for a table, the wrong field.
local function is_columns(value)
  for field, column in pairs(type(value) == 'table' and value or {}) do
    local fits = type(column) == 'string' or is_number(1, 1e6, true)(column)
    if not (FIELDS[field] and fits) then return false, ('%s:%s'):format(field, tostring(column)) end
  end
  return type(value) == 'table'
end

local function is_at(value)
  return (type(value) ~= 'table' or is_list(value)) and split.is_dates(value)
end

local function keys(map) return table.concat(tables.sorted_keys(map), ', ') end

local function is_attributes(value)
  if type(value) ~= 'table' then return value ~= '' and value ~= true end
  for _, name in ipairs(value) do
    if type(name) == 'table' or name == '' then return false end
  end
  return #value > 0 and is_list(value)
end

-- Tests of the options' values, with words for the message.
local known_options = {
  format = { function(v) return choose.formats[v] ~= nil end, 'one of ' .. keys(choose.formats) },
  split = { function(v) return split.methods[v] ~= nil end, 'one of ' .. keys(split.methods) },
  ratios = { is_ratios, 'three shares that add up to 1, the first above 0, as 0.8:0.1:0.1' },
  valid_ratio = { function(v) return is_number(0, 1)(v) and v < 1 end, 'a share of 0 up to 1' },
  seed = { is_number(0, 2 ^ 53, true), 'an integer from 0' },
  kcore = { is_core, 'an integer from 0, or { user = n, item = n }' },
  rating_threshold = { is_number(-math.huge, math.huge), 'a number' },
  order = { order.is_known, 'given, degree or bfs' },
  task = { function(v) return v == 'ctr' or v == 'ranking' end, 'ctr or ranking' },
  ids = { function(v) return v == 'given' or v == 'compact' end, 'given or compact' },
  attributes = { is_attributes, 'columns of the items, as author,genre' },
  kg = { function(v) return controls.kinds[v] ~= nil end, 'given, none or shuffled' },
  at = { is_at, 'a date as 2024-01-31, or a number; or two, for valid and for test' },
  cache = { function(v) return v == 'auto' or v == 'on' or v == 'off' end, 'auto, on or off' },
  columns = { is_columns, 'field:column with a field of ' .. keys(FIELDS) },
}

--- A value as text, as on the command line. ---@param value any ---@return string
function options.shown(value)
  if type(value) ~= 'table' then return tostring(value) end
  local named = {}
  for key, item in pairs(value) do
    if type(key) == 'string' then named[#named + 1] = key .. ':' .. tostring(item) end
  end
  table.sort(named)
  return table.concat(tables.append(tables.map(value, tostring), named), ',')
end

-- Refuses ratios where a split has no shares.
local function check_ratios(given)
  if not given.ratios then return end
  local dates = type(given.at) == 'table' and #given.at or 0
  if given.split == 'leave_one_out' or dates == 2 then
    error(('data: option ratios: %s splits without shares'):format(
      dates == 2 and 'at with two dates' or 'split=leave_one_out'), 0)
  end
end

--- Checks the names and values of options. Errors: one that is not known, a wrong value, ratios
--- where a split has none.
---@param given table<string, any>
function options.check(given)
  for name, value in pairs(given) do
    local known = known_options[name]
    if not known then
      local hint = close_word.hint(name, tables.sorted_keys(known_options))
      error(("data: no option '%s'%s (has %s)"):format(name, hint, keys(known_options)), 0)
    end
    local fits, wrong = known[1](value)
    if not fits then
      error(('data: option %s: %s is not %s'):format(name, wrong or options.shown(value),
        known[2]), 0)
    end
  end
  check_ratios(given)
end

return options
