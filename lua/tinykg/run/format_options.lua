--- Options as text, as the command line takes them.
local format = require 'tinykg.base.format'

local function text_of(value)
  if type(value) == 'number' then return format.number(value) end
  if type(value) ~= 'table' then return tostring(value) end
  local parts = {}
  for _, item in ipairs(value) do parts[#parts + 1] = text_of(item) end
  for key, item in pairs(value) do
    if type(key) == 'string' then parts[#parts + 1] = key .. ':' .. text_of(item) end
  end
  return table.concat(parts, ',')
end

--- {'a=1', 'ratios=0.8,0.1,0.1'}, sorted. Numbers keep all their digits.
---@param values table<string, any>
---@return string[]
return function(values)
  local list = {}
  for key, value in pairs(values) do list[#list + 1] = key .. '=' .. text_of(value) end
  table.sort(list)
  return list
end
