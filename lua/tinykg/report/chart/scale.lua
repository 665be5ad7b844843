--- Axes: positions and labels of the ticks for a range.
---@class Scale
---@field low number ---@field high number
---@field ticks {at: number, label: string}[]
---@field place fun(x: number): number 0 at low, 1 at high
local scale = {}

--- 1, 2 or 5 times a power of ten, the least that is at least x.
local function nice(x)
  local power = 10 ^ math.floor(math.log10(x) + 1e-9)
  for _, step in ipairs{1, 2, 5} do
    if x <= step * power * (1 + 1e-9) then return step * power end
  end
  return 10 * power
end

local MOST_DECIMALS = 99 -- that a format takes

--- A format such as '%.2f' with as many decimals as multiples of `step` need.
local function decimals(step)
  local count = math.max(0, -math.floor(math.log10(step) + 1e-9))
  return ('%%.%df'):format(math.min(count, MOST_DECIMALS))
end

local function ticks_of(low, high, step, label)
  local ticks, n = {}, math.floor(high / step + 1e-6)
  for k = math.ceil(low / step - 1e-6), n do
    ticks[#ticks + 1] = {at = k * step, label = label(k * step)}
  end
  return ticks
end

local function linear(low, high, step, label)
  return {low = low, high = high, ticks = ticks_of(low, high, step, label),
          place = function(x) return (x - low) / (high - low) end}
end

--- The axis of measured values: the range with a margin and about `ticks` (5) ticks.
---@param options? {ticks: integer, whole: boolean} whole: ticks at whole numbers only, no margin
---@return Scale
function scale.values(low, high, options)
  options = options or {}
  local span = high - low
  if span <= 1e-9 * math.max(math.abs(low), math.abs(high)) then -- equal, but for rounding
    span = options.whole and 1 or math.max(math.abs(low) * 0.1, 1e-3)
    low, high = low - span / 2, high + span / 2
  end
  local step = nice(span / (options.ticks or 5))
  if options.whole then step = math.max(1, step)
  else low, high = low - 0.04 * span, high + 0.04 * span end
  local text = decimals(step)
  if step >= 1e6 or step < 1e-6 then text = '%g' end
  return linear(low, high, step, function(x) return text:format(x == 0 and 0 or x) end)
end

--- 20000 -> '2e4'
local function short(x)
  return ((x < 1e4 and '%g' or '%.0e'):format(x):gsub('e%+?(-?)0*', 'e%1'))
end

--- The logarithmic axis of positive values, with ticks at 1, 2 and 5 times powers of ten, or over
--- more than so many of them at the powers alone.
---@param most? number 3
---@return Scale
function scale.logarithmic(low, high, most)
  local first, last = math.log10(low) - 0.04, math.log10(high) + 0.04
  local ticks = {}
  for power = math.floor(first), math.ceil(last) do
    for _, digit in ipairs(last - first > (most or 3) and {1} or {1, 2, 5}) do
      local at = digit * 10 ^ power
      if math.log10(at) >= first and math.log10(at) <= last then
        ticks[#ticks + 1] = {at = at, label = short(at)}
      end
    end
  end
  return {low = low, high = high, ticks = ticks,
          place = function(x) return (math.log10(x) - first) / (last - first) end}
end

local UNITS = {'B', 'KiB', 'MiB', 'GiB', 'TiB'}

--- The axis of bytes, from 0, with round steps in a unit that fits.
---@return Scale
function scale.bytes(high)
  high = math.max(high, 1)
  local k = math.min(#UNITS, 1 + math.floor(math.log(high) / math.log(1024) + 1e-9))
  local unit = 1024 ^ (k - 1)
  local step = nice(high / unit / 5)
  local text = decimals(step) .. ' ' .. UNITS[k]
  return linear(0, high, step * unit, function(x)
    return x == 0 and '0' or text:format(x / unit)
  end)
end

return scale
