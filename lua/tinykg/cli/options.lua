--- argparse with the project's manners: one line for wrong usage, exit status 2, and an example at
--- the end of each --help.
local argparse = require 'argparse'

local options = {}

---@return table parser
function options.parser(name, description, example)
  return argparse(name, description):epilog('Example: ' .. example)
end

--- Parses; --help prints and leaves, wrong usage raises {usage = message}.
function options.parse(parser, ...)
  local ok, result = parser:pparse{...}
  if ok then return result end
  error({usage = tostring(result) .. '; see --help'}, 0)
end

--- 'a,b,c' as a list of numbers. ---@param what string for the message
function options.numbers(text, what)
  local list = {}
  for part in text:gmatch('[^,]+') do
    local n = tonumber(part)
    if not n then error({usage = string.format("%s: '%s' is not a number", what, part)}, 0) end
    list[#list + 1] = n
  end
  if #list == 0 then error({usage = what .. ': no number given'}, 0) end
  return list
end

--- {'a=1', 'b=2'} as a table of texts.
function options.pairs(list, what)
  local out = {}
  for _, item in ipairs(list) do
    local key, value = item:match('^([%w_]+)=(.*)$')
    if not key then error({usage = string.format("%s: '%s' is not key=value", what, item)}, 0) end
    out[key] = value
  end
  return out
end

return options
