--- argparse with the project's manners: one line for wrong usage, exit status 2, and an example at
--- the end of each --help.
local argparse = require 'argparse'

local options = {}

---@return table parser
function options.parser(name, description, example)
  return argparse(name, description):epilog('Example: ' .. example)
end

--- What a recipe is trained on, and its options.
function options.add_data(p)
  p:option('--data', 'a data set; its format is recognised')
  p:option('--set', 'an option of the recipe, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  p:option('--data-set',
           'an option of the data set (split, kcore, rating_threshold, ...); repeatable')
    :count('*'):argname('KEY=VALUE')
end

--- Parses; --help prints and leaves, wrong usage raises {usage = message}.
function options.parse(parser, ...)
  local ok, result = parser:pparse{...}
  if ok then return result end
  local text = tostring(result):gsub('%s*\nDid you mean', ': did you mean'):gsub('%s*\n%s*', '; ')
  error({usage = text .. (text:match('%?$') and ' See --help' or '; see --help')}, 0)
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

local UNITS = {[''] = 1, B = 1, KB = 1e3, MB = 1e6, GB = 1e9, TB = 1e12,
               KIB = 2 ^ 10, MIB = 2 ^ 20, GIB = 2 ^ 30, TIB = 2 ^ 40}

--- '2GiB', '500 MB' or '1073741824' as bytes. ---@param what string for the message
---@return number
function options.bytes(text, what)
  local number, unit = text:match('^%s*(%d*%.?%d*)%s*(%a*)%s*$')
  local bytes = tonumber(number) and UNITS[unit:upper()] and tonumber(number) * UNITS[unit:upper()]
  if bytes and bytes >= 1 then return math.floor(bytes) end
  error({usage = string.format(
    "%s: '%s' is no size: a number and B, KB, MB, GB (thousands) or KiB, MiB, GiB (1024s)", what,
    text)}, 0)
end

--- The value of an option of a data set: a number, a text, a list '0.8,0.1,0.1' of numbers or
--- 'user:reader,item:3' by name.
local function value_of(text)
  if text:find(':', 1, true) then
    local map = {}
    for key, value in text:gmatch('([%w_]+):([^,]*)') do map[key] = tonumber(value) or value end
    return map
  elseif text:find(',', 1, true) then
    local list = {}
    for part in text:gmatch('[^,]+') do list[#list + 1] = tonumber(part) or part end
    return list
  end
  return tonumber(text) or text
end

--- Options of a data set from the command line.
function options.of_data(list)
  local given = options.pairs(list, '--data-set')
  for key, value in pairs(given) do given[key] = value_of(value) end
  return given
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

local DEVICES = {auto = true, cpu = true, cuda = true, emu = true}

--- The name of a device, checked.
function options.device(text)
  if DEVICES[text] or text:match('^cuda:%d+$') or text:match('^emu:%d+$') then return text end
  error({usage = '--device: ' .. text .. ' is not auto, cpu, cuda or cuda:N'}, 0)
end

return options
