--- Checks the arguments of public functions against the types in their comments. An error is one
--- line that names the function, the argument and the expected type. A comment is read when its
--- function is first called. Calls within the library that bypass the public table are not checked.
local comments = require 'tinykg.base.arguments.comments'
local source_line = require 'tinykg.base.source_line'
local types = require 'tinykg.base.arguments.types'

local arguments = {}

local SOURCE = debug.getinfo(1, 'S').source -- checks have it too, so no error is on their line

-- Classes of plain tables, and the file that lists their fields. One whose fields name another
-- stands below it.
local RECORDS = {{'tinykg.Csr', 'train/metrics'}, {'tinykg.RankingOptions', 'train/metrics'},
                 {'tinykg.TopkOptions', 'train/metrics'}, {'OpenRun', 'run/open'},
                 {'tinykg.RunSettings', 'run/init'}, {'tinykg.RunOptions', 'run/init'}}

local function declare_records()
  local folder = SOURCE:match('^@(.*)base/arguments/init%.lua$')
  for _, record in ipairs(RECORDS) do
    local name, file = unpack(record)
    types.declare_record(name, comments.fields(folder .. file .. '.lua', name))
  end
  declare_records = function() end
end

local function refuse(name, argument, x, check)
  error(source_line.message(('%s: %s is %s, expected %s'):format(name, argument, types.described(x),
                                                           check.text)), 0)
end

--- Refuses fields of a record that have the wrong type, and missing ones where they are `required`.
local function check_fields(name, argument, x, fields, required)
  for key, check in pairs(fields) do
    local value = x[key]
    if (value ~= nil or required and check.required) and not check.is(value) then
      refuse(name, argument .. '.' .. key, value, check)
    end
    if value ~= nil and check.fields and type(value) == 'table' then
      check_fields(name, argument .. '.' .. key, value, check.fields, required)
    end
  end
end

--- A function's parameters in order, {name, check, optional} each, and the one for `...` or nil.
local function signature_of(fn, doc, class)
  declare_records()
  local by_name, info, list = {}, debug.getinfo(fn, 'u'), {}
  for _, p in ipairs(doc.params) do
    by_name[p.name] = {name = p.name, optional = p.optional or p.type == 'any',
                       check = types.of(p.type or 'any')}
  end
  for i = 1, info.nparams do
    local name = debug.getlocal(fn, i)
    list[i] = by_name[name] or {name = name, optional = true, check = types.of('any')}
    if i == 1 and doc.method then
      list[i] = {name = 'what stands before the colon', check = types.of(class), before = true}
    end
  end
  local rest = by_name['...']
  if rest and rest.optional then rest.check = types.optional(rest.check) end
  return list, info.isvararg and (rest or {check = types.of('any')}) or nil
end

--- Lua code that checks argument `a<i>`.
local function question(i, p)
  local x = 'a' .. i
  local fails = 'not ' .. (p.check.inline and '(' .. p.check.inline:gsub('%f[%w]x%f[%W]', x) .. ')'
                           or ('is[%d](%s)'):format(i, x))
  fails = fails:gsub('%f[%w]class%f[%W]', 'class' .. i)
  if p.optional then fails = ('%s ~= nil and %s'):format(x, fails) end
  local lines = {('if %s then refuse(%d, %s) end'):format(fails, i, x)}
  if p.check.fields then
    lines[2] = ('if %s ~= nil then fields(%d, %s) end'):format(x, i, x)
  end
  return table.concat(lines, '\n')
end

-- The first without a loop: LuaJIT compiles no function with a loop inside of another's.
local REST = [[
local before, n, x1, x2, x3, x4 = %d, select('#', ...), ...
if n > 0 and not rest(x1) then refuse(before + 1, x1, true) end
if n > 1 and not rest(x2) then refuse(before + 2, x2, true) end
if n > 2 and not rest(x3) then refuse(before + 3, x3, true) end
if n > 3 and not rest(x4) then refuse(before + 4, x4, true) end
for i = 5, n do
  local x = select(i, ...)
  if not rest(x) then refuse(before + i, x, true) end
end]]

--- Lua code that checks all arguments, then calls the function; nil if no argument needs a check.
--- A number or a boolean beyond the last argument is refused: x:softmax(1) would else go over the
--- last dimension. What else stands there may be results of a call, and behind a text the number
--- that string.gsub returns.
local function code_of(list, rest)
  local names, lines = {}, {}
  for i, p in ipairs(list) do
    names[i] = 'a' .. i
    if p.check.text ~= 'anything' then lines[#lines + 1] = question(i, p) end
  end
  if rest then names[#names + 1] = '...' end
  if rest and rest.check.text ~= 'anything' then
    lines[#lines + 1] = REST:format(#list - (list[1] and list[1].before and 1 or 0))
  end
  local closed = not rest and not (list[1] and list[#list].check.text == 'a string')
  if closed then lines[#lines + 1] = 'if more ~= nil then surplus(more) end' end
  if #lines == 0 then return nil end
  local all = table.concat(names, ', ')
  local classes = {}
  for i in ipairs(list) do classes[i] = ('local class%d = class[%d]\n'):format(i, i) end
  local given = not closed and all or (all == '' and 'more' or all .. ', more')
  return ('local fn, is, class, refuse, surplus, fields, rest = ...\nlocal getmetatable, type, ' ..
          'select = getmetatable, type, select\n%sreturn function(%s)\n%s\nreturn fn(%s)\nend')
    :format(table.concat(classes), given, table.concat(lines, '\n'), all)
end

--- The error of a number or a boolean behind the arguments that the function has.
local function refuse_surplus(name, list, x)
  if type(x) ~= 'number' and type(x) ~= 'boolean' then return end
  local names = {}
  for _, p in ipairs(list) do
    if not p.before then names[#names + 1] = p.name end
  end
  error(source_line.message(('%s: argument %d is %s, but %s'):format(name, #names + 1,
    types.described(x), #names == 0 and 'it takes none'
      or 'all it takes is ' .. table.concat(names, ', '))), 0)
end

local function compile(fn, name, class)
  local list, rest = signature_of(fn, comments.of(fn), class)
  local code, is, class_of = code_of(list, rest), {}, {}
  if not code then return fn end
  for i, p in ipairs(list) do is[i], class_of[i] = p.check.is, p.check.class end
  local function refused(i, x, of_rest)
    local p = of_rest and {name = 'argument ' .. i, check = rest.check} or list[i]
    refuse(name, p.name, x, p.check)
  end
  local function surplus(x) refuse_surplus(name, list, x) end
  local function fields(i, x)
    check_fields(name, list[i].name, x, list[i].check.fields, not list[i].optional)
  end
  return loadstring(code, SOURCE)(fn, is, class_of, refused, surplus, fields,
                                  rest and rest.check.is)
end

--- Wraps fn with checks of its arguments.
---@param fn function ---@param name string in messages
---@param class? string the type of self
---@param made? fun(checked: function) called with the wrapped function when it is made
---@return function
function arguments.checked(fn, name, class, made)
  local checked
  comments.keep(fn)
  local function first(...)
    if not checked then
      checked = compile(fn, name, class)
      comments.stands_for(checked, fn)
      if made then made(checked) end
    end
    return checked(...)
  end
  comments.stands_for(first, fn)
  return first
end

--- Replaces the functions of a table by checked ones, except those whose names begin with _.
---@param functions table ---@param prefix string before their names in messages: 'loss.'
---@param class? string the type of self ---@return table functions
function arguments.check(functions, prefix, class)
  for name, fn in pairs(functions) do
    if type(fn) == 'function' and type(name) == 'string' and not name:find('^_') then
      functions[name] = arguments.checked(fn, prefix .. name, class, function(checked)
        functions[name] = checked
      end)
    end
  end
  return functions
end

--- Checks the methods of a class, and makes the class a type that comments can name.
---@param class table the metatable of its instances ---@param name string in comments
---@param text string in messages: 'a graph' ---@param methods? table the class by default
function arguments.class(class, name, text, methods)
  types.declare_class(name, class, text)
  arguments.check(methods or class, '', name)
end

return arguments
