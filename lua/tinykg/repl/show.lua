--- Values as text: tables with sorted keys, two levels deep, long ones cut.
local comments = require 'tinykg.base.arguments.comments'
local format = require 'tinykg.base.format'
local tensor = require 'tinykg.engine.tensor'
local terminal = require 'tinykg.base.terminal'

local show = {}

local DEPTH = 2    -- levels of tables that are shown
local ITEMS = 40   -- entries of one table
local STRING = 60  -- characters of a string within a table

--- Whether a value says itself what it is: a metatable may be hidden by any value.
local function has_text(value)
  local meta = getmetatable(value)
  return type(meta) == 'table' and meta.__tostring ~= nil
end

local function escaped(bytes)
  return (bytes:gsub('.', function(c) return ('\\%d'):format(c:byte()) end))
end

local function quoted(text)
  return (('%q'):format(text):gsub('\\\n', '\\n'):gsub('[%z\1-\31\127]', escaped)
            :gsub('\194[\128-\159]', escaped))
end

local function number(x)
  if x ~= x then return 'nan' end
  return ('%.14g'):format(x)
end

---@param name? string as it was typed
local function described_function(fn, name)
  local doc = comments.of(fn, name)
  return doc and 'function ' .. doc.signature:gsub('^function%(', '('), doc and doc.source
end

--- One line for a value inside a table.
local function brief(value)
  local kind = type(value)
  if kind == 'string' then
    return quoted(#value > STRING and value:sub(1, STRING - 3) .. '...' or value)
  elseif kind == 'number' then
    return number(value)
  elseif kind == 'function' or comments.call_of(value) then
    return (described_function(comments.call_of(value) or value)) or 'function'
  elseif tensor.is(value) then
    return show.kind(value)
  end
  local line = format.lines(tostring(value)):match('^[^\n]*')
  local width = terminal.room(1)
  return #line > width and line:sub(1, width - 3) .. '...' or line
end

local function ordered(a, b)
  local x, y = type(a), type(b)
  if x == y and (x == 'number' or x == 'string') then return a < b end
  if x ~= y then return x < y end
  return tostring(a) < tostring(b)
end

local function key_text(key)
  if type(key) == 'string' then
    return key:find('^[%a_][%w_]*$') and key or '[' .. quoted(key) .. ']'
  end
  return '[' .. brief(key) .. ']'
end

--- Entries on lines as wide as the screen: list entries share lines, those with keys have their
--- own.
local function laid_out(items, listed, indent)
  local all, width = '{' .. table.concat(items, ', ') .. '}', terminal.room(1)
  if #all + #indent <= width and not all:find('\n', 1, true) then return all end
  local inner, lines, current = indent .. '  ', {}, nil
  for i, item in ipairs(items) do
    local one = i <= listed and not item:find('\n', 1, true)
    if one and current and #current + #item + 3 <= width then
      current = current .. ' ' .. item .. ','
    else
      lines[#lines + 1] = current
      current = inner .. item .. ','
    end
    if not one then lines[#lines + 1], current = current, nil end
  end
  lines[#lines + 1] = current
  return '{\n' .. table.concat(lines, '\n') .. '\n' .. indent .. '}'
end

--- The keys behind the list, sorted. A module is asked for parts that it loads when they are used,
--- so that they are there.
local function keys_of(t, listed)
  local keys, meta = {}, getmetatable(t)
  for _, name in ipairs(type(meta) == 'table' and rawget(meta, '__fields') or {}) do
    local _ = t[name]
  end
  for key in pairs(t) do
    if not (type(key) == 'number' and key >= 1 and key <= listed and key % 1 == 0) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, ordered)
  return keys
end

local function table_text(t, depth, indent, above)
  if above[t] then return '{as above}' end
  local listed = #t
  local keys = keys_of(t, listed)
  if depth == 0 then return listed + #keys == 0 and '{}' or '{...}' end
  local items, left = {}, ITEMS
  local function add(value, before)
    if left > 0 then
      local opened = type(value) == 'table' and not has_text(value)
        and not comments.call_of(value)
      items[#items + 1] = before
        .. (opened and table_text(value, depth - 1, indent .. '  ', above) or brief(value))
    end
    left = left - 1
  end
  above[t] = true
  for i = 1, math.min(listed, ITEMS) do add(rawget(t, i), '') end
  local shown = #items
  left = left - (listed - shown)
  for _, key in ipairs(keys) do add(rawget(t, key), key_text(key) .. ' = ') end
  above[t] = nil
  if left < 0 then items[#items + 1] = ('... %d more'):format(-left) end
  return laid_out(items, shown, indent)
end

--- The kind of a value: 'f32 [2, 3]', 'table of 5', 'string of 12 bytes'.
---@return string
function show.kind(value)
  if tensor.is(value) then
    return value:dtype() .. ' [' .. table.concat(value:size(), ', ') .. ']'
  elseif type(value) == 'table' and not has_text(value) then
    local n = 0
    for _ in pairs(value) do n = n + 1 end
    return 'table of ' .. n
  elseif type(value) == 'string' then
    return 'string of ' .. format.count(#value, 'byte')
  elseif type(value) == 'table' or type(value) == 'number' or type(value) == 'boolean' then
    return (tostring(value):match('^[^\n]*'))
  end
  return type(value)
end

--- A value as the prompt prints it. A text of several lines is shown as it is, such as a report.
---@param name? string of a function, as it was typed
---@return string
function show.value(value, name)
  if type(value) == 'string' then
    return value:find('\n.*%S') and format.lines((value:gsub('\n$', ''))) or quoted(value)
  end
  if type(value) == 'number' then return number(value) end
  local call = type(value) == 'function' and value or comments.call_of(value)
  if call then
    local line, source = described_function(call, name)
    return line and line .. '  ' .. source or (name or 'function') .. ": a function of Lua's own"
  end
  if type(value) == 'table' and not has_text(value) then
    return table_text(value, DEPTH, '', {})
  end
  return format.lines(tostring(value))
end

--- The name that an expression is, such as tk.optim.adam; else nil. ---@return string?
function show.name_of(expression)
  return expression and expression:match('^[%s=]*(%a[%w_.:]*)%s*$')
end

--- Prints each value and keeps the first as the global `_`, unless it is nil. Computes tensors.
---@param expression? string what was typed
function show.all(expression, ...)
  if (...) ~= nil then rawset(_G, '_', (...)) end
  for i = 1, select('#', ...) do
    local value = select(i, ...)
    print(show.value(value, show.name_of(expression)))
  end
end

return show
