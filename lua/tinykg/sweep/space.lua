--- What --grid names: the values of one option, an axis, and the points that a sweep tries.
--
--   KEY=a,b,c         each of them (a;b;c where they have commas themselves)
--   KEY=a..b          any number from a to b, of which --search draws
--   KEY=a..b:log      the same, uniform in its logarithm
--   KEY=a..b:int      whole numbers; :int:log, or :log:int, both
local C = require 'tinykg.engine.lib'
local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'

local space = {}

---@class Axis
---@field key string ---@field values string[]? what it lists
---@field low number? of a range ---@field high number? ---@field log boolean ---@field int boolean

---@class Point
---@field settings table<string, string> a value per key of the axes
---@field label string '-dim=8-lr=0.01', a part of the name of a folder
---@field text string 'dim=8 lr=0.01'

local function values_of(text)
  local list = {}
  for value in text:gmatch(text:find(';', 1, true) and '[^;]+' or '[^,]+') do
    list[#list + 1] = value
  end
  return list
end

--- The range that a text is, nil if it is none. ---@return Axis? ---@return string? what is wrong
local function range_of(key, text)
  local low, high, marks = text:match('^([^:,;]-)%.%.([^:,;]-)(:?[%a:]*)$')
  low, high = tonumber(low), tonumber(high)
  if not (low and high) then return nil end
  local axis = {key = key, low = low, high = high, log = false, int = false}
  for mark in marks:gmatch('[^:]+') do
    if axis[mark] ~= false then return nil, (":%s is not :log or :int"):format(mark) end
    axis[mark] = true
  end
  if not (low < high and high - low < math.huge) then
    return nil, 'the first number must be less'
  end
  if axis.log and low <= 0 then return nil, ':log needs numbers above 0' end
  if axis.int and (low % 1 ~= 0 or high % 1 ~= 0) then return nil, ':int needs whole numbers' end
  return axis
end

--- The axis of an item 'key=a,b,c' or 'key=a..b'.
---@return Axis? axis, string? message
function space.axis(item)
  local key, text = item:match('^([%w_]+)=(.+)$')
  if not key then return nil, ("'%s' is not key=a,b,c or key=a..b"):format(item) end
  local range, wrong = range_of(key, text)
  if wrong then return nil, ('%s: %s: %s'):format(key, text, wrong) end
  if range then return range end
  local values, seen = values_of(text), {}
  for _, value in ipairs(values) do
    local number = tonumber(value)
    local same = number == number and number or value -- 8 and 8.0 train the same
    local before = seen[same]
    if before then
      return nil, ('%s: %s is given twice%s'):format(key, before,
        before ~= value and ', once as ' .. value or '')
    end
    seen[same] = value
  end
  return {key = key, values = values}
end

---@param order string[] of the keys ---@return Point
local function point_of(settings, order)
  local parts = tables.map(order, function(key) return ('%s=%s'):format(key, settings[key]) end)
  return {settings = settings, text = table.concat(parts, ' '),
          label = #parts > 0 and '-' .. table.concat(parts, '-') or ''}
end

--- All points of axes that list their values, the last axis fastest; one without settings for none.
---@param axes Axis[] ---@return Point[]
function space.grid(axes)
  local list = {{}}
  for _, axis in ipairs(axes) do
    local more = {}
    for _, settings in ipairs(list) do
      for _, value in ipairs(axis.values) do
        more[#more + 1] = tables.merged(settings, {[axis.key] = value})
      end
    end
    list = more
  end
  local order = tables.map(axes, function(axis) return axis.key end)
  return tables.map(list, function(settings) return point_of(settings, order) end)
end

local DIGITS = '%.4g' -- of a number that is drawn: a command can be typed again

--- The value of an axis at u of [0, 1).
local function value_at(axis, u)
  if axis.values then return axis.values[math.floor(u * #axis.values) + 1] end
  local low, high = axis.low, axis.high
  if axis.int then low, high = low - 0.5, high + 0.5 end
  local x = low + u * (high - low)
  if axis.log then x = low * (high / low) ^ u end
  if axis.int then x = math.floor(x + 0.5) end
  x = math.max(axis.low, math.min(axis.high, x))
  return (axis.int and '%.0f' or DIGITS):format(x)
end

local STREAM = 0x53454152 -- of random numbers: no other draw has it
local TRIES = 100         -- draws in a row that repeat a point before there are no more

--- Up to `count` points that differ. The first are the same for any count: each depends on the seed
--- and its place alone, and not on the order of the axes.
---@param axes Axis[] ---@param count integer ---@param seed number ---@return Point[]
function space.draw(axes, count, seed)
  local sorted, list, seen, words = {unpack(axes)}, {}, {}, ffi.new 'uint32_t[4]'
  table.sort(sorted, function(a, b) return a.key < b.key end)
  local order = tables.map(sorted, function(axis) return axis.key end)
  local place, failed = 0, 0
  while #list < count and failed < TRIES do
    local settings = {}
    for i, axis in ipairs(sorted) do
      C.tkg_philox(seed, place, i, STREAM, words)
      settings[axis.key] = value_at(axis, words[0] / 4294967296)
    end
    local point = point_of(settings, order)
    place, failed = place + 1, seen[point.label] and failed + 1 or 0
    if not seen[point.label] then list[#list + 1], seen[point.label] = point, true end
  end
  return list
end

--- The point of settings that somebody else chose.
---@param settings table<string, string> ---@return Point
function space.point(settings) return point_of(settings, tables.sorted_keys(settings)) end

return space
