--- Completion: names, fields, methods, commands, and files within strings.
local commands = require 'tinykg.repl.commands'
local member_names = require 'tinykg.repl.member_names'
local sorted_keys = require('tinykg.base.tables').sorted_keys
local types = require 'tinykg.base.arguments.types'

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
               return then true until while]]):gmatch('%a+') do
  KEYWORDS[#KEYWORDS + 1] = word
end

local function begins(name, start) return name:sub(1, #start) == start end

--- Names of a value's members that begin with `start`; behind a colon only functions.
local function names(value, start, colon)
  local found = {}
  for name, field in pairs(member_names(value)) do
    local hidden = name:find('^_') and not start:find('^_')
    if begins(name, start) and not hidden and (not colon or types.is_callable(field)) then
      found[name] = true
    end
  end
  return found
end

--- The value of `a.b.1`, looked up without calling anything.
local function value_of(path)
  local value = _G
  for name in path:gmatch('[^.]+') do
    value = value[tonumber(name) or name]
    if value == nil then return nil end
  end
  return value
end

local function of_field(path, colon, start)
  local ok, value = pcall(value_of, path)
  if not ok or value == nil then return {} end
  return names(value, start, colon)
end

local function of_global(start)
  local found = names(_G, start, false)
  for _, word in ipairs(KEYWORDS) do
    if start ~= '' and begins(word, start) then found[word] = true end
  end
  return found
end

--- Files and folders whose path begins with `start`.
local function of_file(start)
  local lfs = require 'lfs'
  local folder, name = start:match('^(.*/)([^/]*)$')
  if not folder then folder, name = '', start end
  local found = {}
  local ok, iterate, state = pcall(lfs.dir, folder == '' and '.' or folder)
  if not ok then return found end
  for entry in iterate, state do
    local hidden = entry:find('^%.') and not name:find('^%.')
    if begins(entry, name) and not hidden and entry ~= '.' and entry ~= '..' then
      local is_folder = lfs.attributes(folder .. entry, 'mode') == 'directory'
      found[folder .. entry .. (is_folder and '/' or '')] = true
    end
  end
  return found
end

--- The position of a string that is open at the end of the text, or nil.
local function open_string(text)
  local quote, from, i = nil, nil, 1
  while i <= #text do
    local c = text:sub(i, i)
    if quote and c == '\\' then
      i = i + 1
    elseif c == quote then
      quote = nil
    elseif not quote and (c == '"' or c == "'") then
      quote, from = c, i + 1
    end
    i = i + 1
  end
  return quote and from
end

--- Splits the end of a text into a chain of names and numbers, a dot or colon, and the beginning of
--- the next name; nil if there is no chain.
local function chain(text)
  local before, path, mark, typed =
    text:gsub('%[(%d+)%]', '.%1'):match('(.?)%f[%w_]([%a_][%w_.]*)([.:])([%w_]*)$')
  if not path or before:find('[.:)%]]') or path:find('%.%.') or path:find('%.$') then return nil end
  return path, mark, typed
end

--- Completes the end of a text.
---@param text string the line up to the cursor
---@return string[] candidates sorted
---@return integer start the position from which a candidate replaces the text
return function(text)
  local at, typed = text:match('^%s*:()(%a*)$')
  if at then return sorted_keys(names(commands.all, typed)), at end
  at, typed = text:match('^%s*:load%s+()(.*)$')
  if at then return sorted_keys(of_file(typed)), at end
  at = open_string(text)
  if at then return sorted_keys(of_file(text:sub(at))), at end
  local path, mark, field = chain(text)
  if path then return sorted_keys(of_field(path, mark == ':', field)), #text - #field + 1 end
  at, typed = text:match('()([%a_]?[%w_]*)$')
  local before = text:sub(at - 1, at - 1)
  if before == '.' or before == ':' then return {}, at end -- of a call's result: unknown
  return sorted_keys(of_global(typed)), at
end
