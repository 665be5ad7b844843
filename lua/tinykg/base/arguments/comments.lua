--- Reads the comment above a function's definition, for the prompt's `?`, the reference page and
--- the checks of arguments. A function's file and line come from Lua's debug library.
local read_file = require 'tinykg.base.read_file'

local comments = {}

local here = debug.getinfo(1, 'S').source:match('^@(.*)lua/tinykg/base/arguments/comments%.lua$')

local texts = {} -- by path: files as they were when they were loaded

local function lines_of(path)
  local text, lines = texts[path] or read_file(path), {}
  if not text then return nil end
  for line in text:gmatch('([^\n]*)\n') do lines[#lines + 1] = line end
  return lines
end

--- Keeps the source file of a function that was just loaded, so that its line numbers stay right if
--- the file is replaced later. ---@param fn function
function comments.keep(fn)
  local path = debug.getinfo(fn, 'S').source:match('^@(.*)')
  if path and not texts[path] then texts[path] = read_file(path) end
end

--- 'number by how much' -> 'number', 'by how much'. A blank ends a type, except within brackets and
--- behind ':', ',' or '|'. The third result says whether a bracket is still open at the end.
local function split_type(text)
  local depth, from = 0, 1
  while true do
    local at, _, c = text:find('([%s(){}<>])', from)
    if not at then return text, nil, depth > 0 end
    if c:find('[({<]') then depth = depth + 1
    elseif c:find('[)}>]') then depth = depth - 1
    elseif depth == 0 and not text:sub(1, at - 1):find('[:,|]$') then
      return text:sub(1, at - 1), text:sub(at):match('^%s*(.-)%s*$'), false
    end
    from = at + 1
  end
end

--- Whether the type of a tag goes on in the comment's next line.
local function goes_on(tag)
  local _, _, open = split_type(tag:match('^@param%s+[%w_.]+%??%s*(.*)$')
                                or tag:match('^@field%s+[%w_.]+%??%s*(.*)$')
                                or tag:match('^@return%s+(.*)$') or '')
  return open
end

--- `fields` is by class; `last` in it has those of the class whose tag came last.
local function new_doc() return {params = {}, returns = {}, fields = {}, method = false} end

local function add_tag(doc, tag)
  local kind, rest = tag:match('^@(%w+)%s*(.-)%s*$')
  if kind == 'class' then
    doc.fields[rest:match('^[%w_.]+')] = {}
    doc.fields.last = doc.fields[rest:match('^[%w_.]+')]
  elseif kind == 'param' or kind == 'field' then
    local name, optional, after = rest:match('^([%w_.]+)(%??)%s*(.*)$')
    if not name then return nil end
    local list = kind == 'param' and doc.params or doc.fields.last or {}
    local type_name, text = split_type(after)
    if type_name:find(kind == 'param' and '[%w}]%?$' or '%?$') then
      type_name, optional = type_name:sub(1, -2), '?'
    end
    list[#list + 1] = {name = name, optional = optional == '?', type = type_name, text = text}
    return list[#list]
  elseif kind == 'return' then
    local type_name, text = split_type(rest)
    doc.returns[#doc.returns + 1] = {type = type_name, text = text}
    return doc.returns[#doc.returns]
  end
end

--- Fills in text, params and returns from the lines of a comment.
local function parse(doc, comment)
  local text, last, unfinished = {}, nil, nil
  for _, line in ipairs(comment) do
    local body = line:gsub('^%s*%-%-%-?', ''):gsub('%-%-%-@', '\n@')
    local first = true
    for piece in (body .. '\n'):gmatch('([^\n]*)\n') do
      if unfinished and piece:find('^ ') then
        piece, unfinished = unfinished .. piece:gsub('^%s*', ' '):gsub('%s+$', ''), nil
      end
      if goes_on(piece) then
        unfinished = piece
      elseif piece:find('^@') then
        last = add_tag(doc, piece)
      elseif last and piece:find('^  ') then
        last.text = (last.text and last.text .. ' ' or '') .. piece:match('^%s*(.-)%s*$')
      elseif first and not (last and piece:find('^%s*$')) then
        text[#text + 1], last = piece:gsub('^ ', ''):gsub('%s+$', ''), nil
      end
      first = false
    end
  end
  doc.text = table.concat(text, '\n'):gsub('^%s+', ''):gsub('%s+$', '')
  if doc.text == '' then doc.text = nil end
end

local function is_ruler(line) return line:find('^%s*%-%- ?%-%-%-%-') ~= nil end

--- The lines of the comment that ends right above line `n`.
local function comment_above(lines, n)
  local first = n
  while first > 1 and lines[first - 1]:find('^%s*%-%-') and not is_ruler(lines[first - 1]) do
    first = first - 1
  end
  local comment = {}
  for i = first, n - 1 do comment[#comment + 1] = lines[i] end
  return comment
end

--- The name that a definition's line gives the function, and whether it is a method.
local function name_on(line)
  local name = line:match('function%s+([%w_.:]+)%s*%(') or line:match('([%w_.]+)%s*=%s*function')
  if not name then return nil, false end
  return name:match('[%w_]+$'), name:find(':', 1, true) ~= nil
end

--- The names of a function's arguments, separated by commas.
local function arguments_of(fn, method)
  local info, names = debug.getinfo(fn, 'u'), {}
  for i = method and 2 or 1, info.nparams do names[#names + 1] = debug.getlocal(fn, i) end
  if info.isvararg then names[#names + 1] = '...' end
  return table.concat(names, ', ')
end

local function relative(path)
  if here and here ~= '' and path:sub(1, #here) == here then return path:sub(#here + 1) end
  return (path:gsub('^%./', ''))
end

local stands_for = setmetatable({}, {__mode = 'k'})

--- Documents `other`, which checks its arguments and calls fn, as fn.
function comments.stands_for(other, fn)
  if other ~= fn then stands_for[other] = fn end
end

--- The function that fn stands for, or fn itself. ---@param fn function
---@return function
function comments.origin(fn) return stands_for[fn] or fn end

--- The function that a module is when it is called, as tk.graph is: its metatable names it `make`;
--- nil for other values. ---@param value any ---@return function?
function comments.call_of(value)
  local meta = type(value) == 'table' and getmetatable(value)
  local make = type(meta) == 'table' and rawget(meta, '__call') and rawget(meta, 'make')
  return type(make) == 'function' and make or nil
end

--- Describes a Lua function: {name, method, signature, text, params, returns, source}. `text` is
--- its comment without LuaLS tags (nil: none), params a list of {name, optional, type, text},
--- returns a list of {type, text}. A method's signature is without self. `source` is 'path:line',
--- where the library's paths begin with lua/tinykg.
---@param fn function|table or a module that is called (comments.call_of)
---@param as? string a name for the signature instead of the definition's
---@return table? doc nil for a function that is not written in Lua
function comments.of(fn, as)
  fn = comments.call_of(fn) or fn
  if type(fn) ~= 'function' then return nil end
  fn = comments.origin(fn)
  local info = debug.getinfo(fn, 'S')
  if info.what == 'C' or info.source:find('^=%[builtin') then return nil end
  local doc, lines = new_doc(), nil
  local path = info.source:match('^@(.*)')
  if path then lines = lines_of(path) end
  if lines and lines[info.linedefined] then
    local line = lines[info.linedefined]
    doc.name, doc.method = name_on(line)
    parse(doc, comment_above(lines, info.linedefined))
    if line:find('^return function') then -- the module is the function
      doc.name = path:match('([^/]*)%.lua$')
      doc.text = doc.text or comments.of_file(path)
    end
  end
  doc.signature = (as or doc.name or 'function') .. '(' .. arguments_of(fn, doc.method) .. ')'
  doc.source = (path and relative(path) or info.short_src) .. ':' .. info.linedefined
  return doc
end

--- The comment that a file begins with, or nil. ---@param path string
---@return string?
function comments.of_file(path)
  local lines = lines_of(path)
  if not lines then return nil end
  local n = 1
  while lines[n] and lines[n]:find('^%-%-') and not is_ruler(lines[n]) do n = n + 1 end
  local doc = new_doc()
  parse(doc, comment_above(lines, n))
  return doc.text
end

--- The `field` tags of a class in a file: a list of {name, optional, type, text}.
---@param path string ---@param class string the class by its name
function comments.fields(path, class)
  local doc, comment = new_doc(), {}
  for _, line in ipairs(lines_of(path) or {}) do
    if line:find('^%-%-%-') then comment[#comment + 1] = line end
  end
  parse(doc, comment)
  return doc.fields[class] or {}
end

return comments
