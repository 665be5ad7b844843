--- Types that comments name (LuaLS: 'integer', 'Tensor[]', 'fun(x): Tensor', '{k: integer}') as
--- checks of values.
local types = {}

---@class TypeCheck
---@field is fun(x): boolean
---@field text string what is expected: 'a whole number'
---@field inline? string the same check as a Lua expression in `x` and `class`, the next field
---@field class? table the metatable of all values of the type
---@field fields? table<string, TypeCheck> the fields of a record
---@field required? boolean for a field: nil is refused

local MOST = 2 ^ 53 -- beyond, doubles skip whole numbers

local function is_whole(x)
  return type(x) == 'number' and x % 1 == 0 and x <= MOST and x >= -MOST
end

--- Whether a value can be called.
function types.is_callable(x)
  local meta = type(x) == 'table' and getmetatable(x)
  return type(x) == 'function' or type(meta) == 'table' and meta.__call ~= nil
end

local function of_lua(name, text)
  return {is = function(x) return type(x) == name end, text = text,
          inline = ("type(x) == '%s'"):format(name)}
end

local ANY = {is = function() return true end, text = 'anything', inline = 'true'}
local TABLE, FUNCTION = of_lua('table', 'a table'), {is = types.is_callable, text = 'a function'}

local known = {
  any = ANY, table = TABLE, ['function'] = FUNCTION,
  number = of_lua('number', 'a number'), string = of_lua('string', 'a string'),
  boolean = of_lua('boolean', 'true or false'), ['nil'] = of_lua('nil', 'nil'),
  integer = {is = is_whole, text = 'a whole number'},
  ['ffi.cdata*'] = of_lua('cdata', 'an FFI array'),
}

--- Declares a type by the name that comments have for it.
---@param name string ---@param is fun(x): boolean ---@param text string
function types.declare(name, is, text) known[name] = {is = is, text = text} end

--- Declares the type of values with a metatable.
function types.declare_class(name, class, text)
  known[name] = {is = function(x) return getmetatable(x) == class end, text = text, class = class,
                 inline = 'getmetatable(x) == class'}
end

--- The check of a field.
function types.field(text, optional)
  local of = types.of(text)
  return {is = of.is, text = of.text, fields = of.fields, required = not optional}
end

--- Declares the type of plain tables with certain fields.
---@param name string ---@param fields {name: string, optional: boolean, type: string}[]
function types.declare_record(name, fields)
  local check = {is = TABLE.is, text = TABLE.text, inline = TABLE.inline, fields = {}}
  known[name] = check -- before its fields, which may name it
  for _, f in ipairs(fields) do
    check.fields[f.name] = types.field(f.type, f.optional)
  end
end

--- `text` cut at the separators that are not within brackets.
local function split(text, separator)
  local parts, depth, from = {}, 0, 1
  for at = 1, #text do
    local c = text:sub(at, at)
    if c:find('[({<]') then depth = depth + 1
    elseif c:find('[)}>]') then depth = depth - 1
    elseif c == separator and depth == 0 then
      parts[#parts + 1] = text:sub(from, at - 1)
      from = at + 1
    end
  end
  parts[#parts + 1] = text:sub(from)
  return parts
end

--- {k: integer, part: string?}: a table; its fields have their types.
local function record(text)
  local fields = {}
  for _, field in ipairs(split(text:sub(2, -2), ',')) do
    local name, before, kind, behind = field:match('^%s*([%w_]+)(%??):%s*(.-)(%??)%s*$')
    if name then fields[name] = types.field(kind, before .. behind ~= '') end
  end
  return {is = TABLE.is, text = TABLE.text, inline = TABLE.inline, fields = fields}
end

local function literal(text)
  local value = tonumber(text) or text:match("^'(.*)'$")
  return value and {is = function(x) return x == value end, text = text} or nil
end

local function single(text)
  if known[text] then return known[text] end
  if text:find('^fun%(') then return FUNCTION end
  if text:find('%[%]$') then return {is = TABLE.is, text = 'a list', inline = TABLE.inline} end
  if text:find('^{') then return record(text) end
  if text:find('^table<') then return TABLE end
  return literal(text) or ANY
end

local function union(parts)
  local checks, texts = {}, {}
  for i, part in ipairs(parts) do
    checks[i] = single(part:match('^%s*(.-)%s*$'))
    if checks[i] == ANY then return ANY end
    if checks[i] ~= known['nil'] then texts[#texts + 1] = checks[i].text end
  end
  return {text = table.concat(texts, ' or '), is = function(x)
    for i = 1, #checks do
      if checks[i].is(x) then return true end
    end
    return false
  end}
end

--- The check for a type. A class that is not declared may be anything.
---@param text string ---@return TypeCheck
function types.of(text)
  if text:find('^fun%(') then return FUNCTION end -- its results may have a | of their own
  local parts = split(text, '|')
  return #parts == 1 and single(text) or union(parts)
end

--- The same check, which nil passes too.
function types.optional(check)
  return {is = function(x) return x == nil or check.is(x) end, text = check.text}
end

--- A value as messages name it: 'nil', '1.5', 'a table'.
function types.described(x)
  if type(x) == 'number' or x == nil then return tostring(x) end
  return 'a ' .. type(x)
end

return types
