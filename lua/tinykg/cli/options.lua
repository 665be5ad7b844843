--- argparse with one line for wrong usage, exit status 2, and an example at the end of each --help.
local argparse = require 'argparse'
local posix = require 'tinykg.base.posix'
local tables = require 'tinykg.base.tables'
local terminal = require 'tinykg.base.terminal'

local options = {}

-- For each parser, the names of its options that take a value.
local takes_value = setmetatable({}, {__mode = 'k'})

--- Raises wrong usage: the command prints the message and leaves with status 2.
function options.usage(...) error({usage = string.format(...)}, 0) end

--- The result of fn; an error that it raises is wrong usage.
function options.usage_of(fn, ...)
  local ok, result = pcall(fn, ...)
  if not ok then options.usage('%s', tostring(result)) end
  return result
end

--- Makes a parser refuse an option with a value that is given twice; argparse would take the last.
--- A flag may be given twice.
local function strict(p, names)
  local option, command, flag = p.option, p.command, p.flag
  takes_value[p] = names
  function p:option(...)
    for name in ((...) or ''):gmatch('%S+') do names[name] = true end
    return option(self, ...):overwrite(false)
  end
  function p:flag(...)
    for name in (...):gmatch('%S+') do names[name] = nil end
    return flag(self, ...):overwrite(true)
  end
  function p:command(...) return strict(command(self, ...), names) end
  return p
end

---@return table parser
function options.parser(name, description, example)
  local p = argparse(name, description):epilog('Example: ' .. example)
  if posix.is_terminal(1) then p:help_max_width(terminal.width(1) - 1) end
  return strict(p, {})
end

--- An option with a list 'a,b,c'; given several times, the lists become one.
---@return table option its value is a text, or nil
function options.add_list(p, name, description)
  return p:option(name, description):count('*'):init(nil):action(function(result, target, text)
    result[target] = result[target] and result[target] .. ',' .. text or text
  end)
end

--- Adds --data, --data-set and --set.
function options.add_data(p)
  p:option('--data', 'a data set; its format is recognised')
  p:option('--set', 'an option of the recipe, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  p:option('--data-set',
           'an option of the data set (split, at, kcore, kg, attributes, ...); repeatable')
    :count('*'):argname('KEY=VALUE')
end

--- Adds --budget and --sensitivity.
function options.add_budget(p)
  p:option('--budget', 'most memory that the run may take: 2GiB, 500MB, ...: what was not asked ' ..
           'for is chosen so that it fits, --bits too (without: nine tenths of what is free)')
  p:option('--sensitivity', 'how sensitive gradients are to each saved value, for choosing bits')
    :argname('FILE')
end

--- Adds --device and --threads.
function options.add_engine(p)
  p:option('--device', 'auto, cpu, cuda or cuda:N', 'auto')
  p:option('--threads', '0 = one per core', '0')
end

--- Adds --trust, for commands that run the recipe in a run's folder.
function options.add_trust(p)
  p:flag('--trust', 'run the recipe of the folder, which is a program, whoever owns it')
end

--- A hint for a value that begins with a dash and was therefore taken for an option; else nil.
local function dash_hint(message, words, names)
  for i, word in ipairs(words) do
    local value = words[i + 1]
    if names[word] and value and value:find('^%-.')
      and (message:find("unknown option '" .. value .. "'", 1, true)
           or message:find("option '" .. word .. "' requires", 1, true)) then
      return ("%s: a value that begins with a dash is written %s%s%s"):format(
        word, word, word:find('^%-%-') and '=' or '', value)
    end
  end
end

--- argparse's message as one line.
local function clear(message, words, names)
  local twice = message:match("^option '(.-)' must be used .*1 time")
  if twice then return twice .. ' is given twice; see --help' end
  local hint = dash_hint(message, words, names)
  if hint then return hint end
  local text = message:gsub('%s*\nDid you mean', ': did you mean'):gsub('%s*\n%s*', '; ')
  return text .. (text:match('%?$') and ' See --help' or '; see --help')
end

--- Parses; --help prints and leaves, wrong usage raises {usage = message}.
function options.parse(parser, ...)
  local ok, result = parser:pparse{...}
  if ok then return result end
  error({usage = clear(result, {...}, takes_value[parser])}, 0)
end

--- The value of an option as a whole number of `least` to `most`.
---@param most? number 2^31 - 1
function options.whole(text, name, least, most)
  local n = tonumber(text)
  if n and n % 1 == 0 and n >= least and n <= (most or 2 ^ 31 - 1) then return n end
  local range = most and ('%d to %.0f'):format(least, most) or ('%d on'):format(least)
  options.usage("%s: '%s' is not a whole number from %s", name, tostring(text), range)
end

--- 'a,b,c' as a list of numbers. ---@param what string for the message
function options.numbers(text, what)
  local list = {}
  for part in text:gmatch('[^,]+') do
    local n = tonumber(part)
    if not n then options.usage("%s: '%s' is not a number", what, part) end
    list[#list + 1] = n
  end
  if #list == 0 then options.usage('%s: no number given', what) end
  return list
end

local UNITS = {[''] = 1, B = 1, KB = 1e3, MB = 1e6, GB = 1e9, TB = 1e12,
               KIB = 2 ^ 10, MIB = 2 ^ 20, GIB = 2 ^ 30, TIB = 2 ^ 40,
               K = 2 ^ 10, M = 2 ^ 20, G = 2 ^ 30, T = 2 ^ 40}

--- '2GiB', '2G', '500 MB' or '1073741824' as bytes. A number alone must be a million or more: 8 may
--- stand for 8 GiB. ---@param what string for the message
---@return number
function options.bytes(text, what)
  local number, unit = text:match('^%s*(%d*%.?%d*)%s*(%a*)%s*$')
  local bytes = tonumber(number) and UNITS[unit:upper()] and tonumber(number) * UNITS[unit:upper()]
  if bytes and bytes >= (unit == '' and 1e6 or 1) then return math.floor(bytes) end
  options.usage("%s: '%s' is no size: a number and B, KB, MB, GB (thousands) or K, M, G, KiB, MiB, "
                .. 'GiB (1024s)', what, text)
end

local function list_of(text, part)
  local list = {}
  for item in text:gmatch(part) do list[#list + 1] = tonumber(item) or item end
  return list
end

local function given_twice(what, key) options.usage('%s: %s is given twice', what, key) end

--- 'user:reader,item:3' as a table. ---@param option string of --data-set, for the message
local function map_of(text, option)
  local map, what = {}, '--data-set'
  for part in (text .. ','):gmatch('(.-),') do
    local key, value = part:match('^([%w_]+):(.+)$')
    if not key then
      options.usage("%s: %s: '%s' is not NAME:VALUE", what, option, part)
    end
    if map[key] ~= nil then given_twice(what, option .. ' of ' .. key) end
    map[key] = tonumber(value) or value
  end
  return map
end

--- The value of an option of a data set: a number, a text, a list of numbers '0.8,0.1,0.1' or, as
--- `data info` shows ratios, '0.8:0.1:0.1', or 'user:reader,item:3' by name.
local function value_of(text, option)
  if text:find('^[%d%.]+:[%d%.:]+$') then return list_of(text, '[^:]+') end
  if text:find(':', 1, true) then return map_of(text, option) end
  if text:find(',', 1, true) then return list_of(text, '[^,]+') end
  return tonumber(text) or text
end

--- The key and the text of 'key=value'.
local function pair_of(item, what)
  local key, value = item:match('^([%w_]+)=(.*)$')
  if not key then options.usage("%s: '%s' is not key=value", what, item) end
  return key, value
end

--- {'a=1', 'b=2'} as a table of texts. Refuses a key that is there twice.
function options.pairs(list, what)
  local out = {}
  for _, item in ipairs(list) do
    local key, value = pair_of(item, what)
    if out[key] then given_twice(what, key) end
    out[key] = value
  end
  return out
end

--- The value of --data-set as a table. A map, such as columns, may be given in several items.
function options.of_data(list)
  local out, what = {}, '--data-set'
  for _, item in ipairs(list) do
    local key, text = pair_of(item, what)
    local value, before = value_of(text, key), out[key]
    if before == nil then
      out[key] = value
    elseif not (text:find(':', 1, true) and type(before) == 'table' and #before == 0) then
      given_twice(what, key)
    else
      for name, part in pairs(value) do
        if before[name] ~= nil then given_twice(what, key .. ' of ' .. name) end
        before[name] = part
      end
    end
  end
  return out
end

--- Items 'key=value' of `given`, and of `known` where `given` lacks the key. The last of equal keys
--- in `known` counts.
---@param known string[] ---@param given string[] ---@param what string
---@return string[]
function options.overridden(known, given, what)
  local seen, list = options.pairs(given, what), {unpack(given)}
  for i = #known, 1, -1 do
    local key = pair_of(known[i], what)
    if not seen[key] then table.insert(list, 1, known[i]) end
    seen[key] = true
  end
  return list
end

--- The value, if it is in a list. ---@param text any ---@param list table
---@param message string the error's, with %s for the value
function options.choice(text, list, message)
  if tables.any(list, function(choice) return choice == text end) then return text end
  options.usage(message, tostring(text))
end

--- The path of a file to write, which must not be one that a run needs.
---@param path string ---@param option string by which it was given
function options.output(path, option)
  if not require('tinykg.run.folder').owns(path) then return path end
  options.usage('%s: %s is a file of the run in that folder: name another', option, path)
end

local DEVICES = {auto = true, cpu = true, cuda = true, emu = true}

--- The name of a device, checked.
function options.device(text)
  if DEVICES[text] or text:match('^cuda:%d+$') or text:match('^emu:%d+$') then return text end
  options.usage('--device: %s is not auto, cpu, cuda or cuda:N', text)
end

return options
