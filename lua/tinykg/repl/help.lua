--- `? x`: shows the comment of a function, or the kind and the methods of a value.
local comments = require 'tinykg.base.arguments.comments'
local tables = require 'tinykg.base.tables'
local terminal = require 'tinykg.base.terminal'
local types = require 'tinykg.base.arguments.types'
local close_word = require 'tinykg.base.arguments.close_word'
local member_names = require 'tinykg.repl.member_names'
local reflow = require 'tinykg.repl.reflow'
local show = require 'tinykg.repl.show'

local help = {}

local NAMES = 20 -- columns of a name at the beginning of a line

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
  local width, lines = terminal.room(1), {terminal.paint(doc.signature, 'bold', 1)}
  lines[#lines + 1] = doc.text and indented(reflow(doc.text, width - 2), '  ')
    or '  (its source has no comment on it)'
  for _, line in ipairs(tag_lines(doc)) do lines[#lines + 1] = reflow(line, width) end
  lines[#lines + 1] = terminal.paint('  ' .. doc.source, 'dim', 1)
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

--- Whether a value is a table of functions: one without a class, or a module that is called. Old
--- names of functions are found by a metatable that has nothing else
--- (tinykg.base.arguments.renamed).
local function is_module(value)
  if type(value) ~= 'table' then return false end
  local meta = getmetatable(value)
  return meta == nil or comments.call_of(value) ~= nil
    or type(meta) == 'table' and next(meta) == '__index' and next(meta, '__index') == nil
end

--- One or two lines about a function or module: its signature and its first sentence.
local function entry(prefix, name, value)
  local doc = comments.of(value, name)
  local call = prefix .. (doc and doc.signature or name)
  local text = doc and doc.text or is_module(value) and file_comment(value) or ''
  if #call > NAMES then call = call .. '\n' .. (' '):rep(NAMES + 2) end
  local room = terminal.room(1) - NAMES - 3
  local line = ('  %-' .. NAMES .. 's %s'):format(call, first_sentence(text, room))
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
    text = list ~= '' and text and reflow(text, terminal.room(1)) or nil
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

--- The message for a name that stands for nothing: `data`, before there is one, is tk.data.
---@param name string ---@return string
function help.unknown(name)
  local tk, hint = require 'tinykg', ''
  local plain = name:match('^[%a_][%w_]*$')
  if plain and tk[plain] ~= nil then
    hint = '; there is tk.' .. plain
  elseif plain or name:find('^tk%.[%w_]+$') then
    local close = close_word.of(name:match('[%w_]+$'), tables.sorted_keys(member_names(tk)))
    hint = close and ': did you mean tk.' .. close .. '?' or '; :search finds words in help'
  end
  return ('nothing here is called %s%s'):format(name, hint)
end

--- Calls visit(path, function) for each function of a module and of its modules, and methods of
--- tensors and graphs.
local function each_function(visit)
  local tk, seen = require 'tinykg', {}
  local function walk(value, prefix, depth)
    seen[value] = true
    for name, field in pairs(member_names(value)) do
      if field == true then field = value[name] end
      local is_new = field ~= nil and not seen[field] and not name:find('^_')
      if type(field) == 'function' and is_new then
        seen[field] = true
        visit(prefix .. name, field)
      elseif is_new and depth > 0 and is_module(field) then
        walk(field, prefix .. name .. '.', depth - 1)
      end
    end
  end
  walk(tk, 'tk.', 2)
  for _, name in ipairs{'Tensor', 'Graph', 'tinykg.Data'} do
    local class = types.of(name).class
    walk(class.__methods or class, name:match('%w+$'):lower() .. ':', 0)
  end
end

--- A line per function whose name or comment has a word, those named so first.
---@param word string in any case ---@return string
function help.search(word)
  local found, wanted = {}, word:lower()
  each_function(function(path, fn)
    local doc = comments.of(fn)
    local text = doc and doc.text or ''
    local named = path:lower():find(wanted, 1, true)
    if named or text:lower():find(wanted, 1, true) then
      found[#found + 1] = {path = path, fn = fn, rank = named and 1 or 2}
    end
  end)
  table.sort(found, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.path < b.path
  end)
  if #found == 0 then return ('no help has the word %s'):format(word) end
  return table.concat(tables.map(found, function(one)
    return entry(one.path:match('^.*[.:]'), one.path:match('[%w_]+$'), one.fn)
  end), '\n')
end

--- Help on the value of an expression, which may be a method: `x:relu`. Of a call, `tk.zeros(3)`,
--- it is help on the function.
---@param expression string
---@return string? text
---@return string? message
function help.on(expression)
  local name = expression:match('^%s*(.-)[%s;]*$')
  if name:find('^[%a_]') then name = name:gsub('[%s.:]+$', '') end
  if name:find('^[%a_]') then name = name:gsub('%s*%b()$', ''):gsub('[%s()]*$', '') end
  local fn, message = loadstring('return ' .. name:gsub(':([%a_][%w_]*)$', '.%1'), '=?')
  if not fn then return nil, (message:gsub('^%?:1: ', '? ' .. name .. ': ')) end
  local ok, value = pcall(fn)
  if not ok or value == nil then return nil, help.unknown(name) end
  return help.of(value, name:find('^[%w_.:]+$') and name or nil)
end

return help
