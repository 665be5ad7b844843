--- `? x`: shows the comment of a function, or the kind and the methods of a value.
local comments = require 'tinykg.base.arguments.comments'
local tables = require 'tinykg.base.tables'
local member_names = require 'tinykg.repl.member_names'
local show = require 'tinykg.repl.show'

local help = {}

local WIDTH, NAMES = 78, 20 -- columns of a line, and of the name at its beginning

local function indented(text, by)
  return ((by .. text:gsub('\n', '\n' .. by)):gsub('[ \t]+\n', '\n'))
end

local function first_sentence(text, room)
  text = text:gsub('et al%.', 'et al\1')
  local sentence = (text:match('^(.-%S%.)%s') or text):gsub('%s+', ' '):gsub('\1', '.')
  return #sentence > room and sentence:sub(1, room - 3) .. '...' or sentence
end

local function tag_lines(doc)
  local lines = {}
  for _, p in ipairs(doc.params) do
    lines[#lines + 1] = ('  %s%s: %s%s'):format(p.name, p.optional and ' (optional)' or '',
                                                p.type or '', p.text and ', ' .. p.text or '')
  end
  for _, r in ipairs(doc.returns) do
    lines[#lines + 1] = '  gives ' .. (r.type or '') .. (r.text and ' ' .. r.text or '')
  end
  return lines
end

local function of_function(fn, name)
  local doc = comments.of(fn, name)
  if not doc then
    return (name or 'this') .. ": a function of Lua's own, see www.lua.org/manual/5.1, or of C"
  end
  local lines = {doc.signature}
  lines[#lines + 1] = doc.text and indented(doc.text, '  ') or '  (its source has no comment on it)'
  tables.append(lines, tag_lines(doc))
  lines[#lines + 1] = '  ' .. doc.source
  return table.concat(lines, '\n')
end

--- The comment at the top of the file that most of a module's functions come from.
local function file_comment(module)
  local count, best = {}, nil
  for _, fn in pairs(module) do
    local info = type(fn) == 'function' and debug.getinfo(comments.origin(fn), 'S')
    local path = info and info.source:match('^@(.*)')
    if path then
      count[path] = (count[path] or 0) + 1
      if not best or count[path] > count[best] then best = path end
    end
  end
  return best and comments.of_file(best)
end

local function is_module(value)
  return type(value) == 'table' and (not getmetatable(value) or comments.call_of(value) ~= nil)
end

--- One or two lines about a function or module: its signature and its first sentence.
local function entry(prefix, name, value)
  local doc = comments.of(value, name)
  local call = prefix .. (doc and doc.signature or name)
  local text = doc and doc.text or is_module(value) and file_comment(value) or ''
  if #call > NAMES then call = call .. '\n' .. (' '):rep(NAMES + 2) end
  local line = ('  %-' .. NAMES .. 's %s'):format(call, first_sentence(text, WIDTH - NAMES - 3))
  return (line:gsub('%s+$', ''))
end

--- An entry per function and, with_modules, per module within a module.
local function listing(value, prefix, with_modules)
  local lines, found = {}, member_names(value)
  for _, name in ipairs(tables.sorted_keys(found)) do
    local what = found[name]
    if what == true then what = value[name] end
    local is_listed = type(what) == 'function' or with_modules and is_module(what)
    if is_listed and not name:find('^_') then lines[#lines + 1] = entry(prefix, name, what) end
  end
  return table.concat(lines, '\n')
end

local function of_value(value, name)
  local text, list
  if is_module(value) or value == require 'tinykg' then
    text, list = file_comment(value), listing(value, name and name .. '.' or '', true)
    if list == '' then text = nil end
  else
    list = listing(value, ':')
  end
  text = text or (name and name .. ' = ' or '')
    .. (list == '' and show.value(value) or show.kind(value))
  return list == '' and text or text .. '\n' .. list
end

--- Help on a function or any other value.
---@param value any ---@param name? string as the user typed it
---@return string
function help.of(value, name)
  if type(value) == 'function' then return of_function(value, name) end
  if comments.call_of(value) then
    return of_function(value, name) .. '\n' .. listing(value, name and name .. '.' or '')
  end
  return of_value(value, name)
end

--- Help on the value of an expression, which may be a method: `x:relu`.
---@param expression string
---@return string? text
---@return string? message
function help.on(expression)
  local name = expression:match('^%s*(.-)[%s;()]*$')
  local fn, message = loadstring('return ' .. name:gsub(':([%a_][%w_]*)$', '.%1'), '=?')
  if not fn then return nil, (message:gsub('^%?:1: ', '? ' .. name .. ': ')) end
  local ok, value = pcall(fn)
  if not ok or value == nil then return nil, ('nothing here is called %s'):format(name) end
  return help.of(value, name:find('^[%w_.:]+$') and name or nil)
end

return help
