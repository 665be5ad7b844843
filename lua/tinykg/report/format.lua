--- Numbers for the report: significant digits, units, means with deviations.
local json = require 'tinykg.base.json'

local NONE = '\226\128\147' -- an en dash
local TIMES, PLUS_MINUS = '\195\151', '\194\177'

--- tinykg.base.format and more; `none` stands for a missing number.
local format = setmetatable({none = NONE}, {__index = require 'tinykg.base.format'})

--- x with three significant digits: 0.0123, 1.23, 123, 12346, 1.2e+08.
function format.significant(x)
  if x == 0 then return '0' end
  local magnitude = math.floor(math.log10(math.abs(x)) + 1e-12)
  if magnitude >= 7 or magnitude < -4 then return ('%.3g'):format(x) end
  return ('%%.%df'):format(math.max(0, 2 - magnitude)):format(x)
end

--- A metric between 0 and 1, as the command line prints it.
function format.metric(x) return ('%.4f'):format(x) end

--- 23.7 -> '23.7x', with a multiplication sign.
function format.times(x) return (x < 100 and '%.1f' or '%.0f'):format(x) .. TIMES end

--- {1462, 64} -> '1462x64', with a multiplication sign.
function format.shape(shape) return table.concat(shape, TIMES) end

--- 'mean +- deviation' of a statistic, each formatted by `show`; a dash for nil.
---@param stat {mean: number, sd: number?}|nil ---@param show fun(x: number): string
function format.deviation(stat, show)
  if not stat then return NONE end
  if not stat.sd then return show(stat.mean) end
  return show(stat.mean) .. ' ' .. PLUS_MINUS .. ' ' .. show(stat.sd)
end

--- A setting of a run; tables as JSON.
function format.setting(value)
  if value == nil then return NONE end
  if type(value) == 'number' then return ('%.10g'):format(value) end
  if type(value) == 'table' then return json.encode(value) end
  return value == '' and "''" or tostring(value)
end

--- 'a, b and c'
function format.list(texts)
  local n = #texts
  if n < 2 then return texts[1] or '' end
  return table.concat(texts, ', ', 1, n - 1) .. ' and ' .. texts[n]
end

return format
