--- JSON: read by cjson, written here, with sorted keys for readers and diffs, and with as many
--- digits as a number needs (cjson prints 14).
local cjson = require 'cjson'
local format = require 'tinykg.base.format'
local utf8 = require 'tinykg.base.utf8'

local reader = cjson.new()
reader.decode_invalid_numbers(false)

local json = {null = cjson.null}

json.replaced = 0 -- texts written so far that are no UTF-8: other bytes became U+FFFD

local Array = {}

--- Marks a table as an array, for one that may be empty. Returns it.
---@param list table
function json.array(list) return setmetatable(list, Array) end

-- ---- writing ----

local escapes = {['"'] = '\\"', ['\\'] = '\\\\', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n',
                 ['\r'] = '\\r', ['\t'] = '\\t'}

local function escape(c) return escapes[c] or ('\\u%04x'):format(c:byte()) end

local function string_text(text)
  local valid = utf8.valid(text)
  if valid ~= text then json.replaced = json.replaced + 1 end
  -- U+0080 to U+009F are control characters too, which a terminal may obey.
  return '"' .. valid:gsub('[%c"\\]', escape):gsub('\194([\128-\159])', escape) .. '"'
end

local function number_text(x)
  if x ~= x or x == math.huge or x == -math.huge then return 'null' end
  return x % 1 == 0 and math.abs(x) < 2 ^ 53 and ('%.0f'):format(x) or format.number(x)
end

local function is_array(t)
  if getmetatable(t) == Array then return true end
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n > 0 and n == #t
end

--- A number that LuaJIT boxes, such as an int64.
local function boxed_text(value)
  local whole = tostring(value):match('^(%-?%d+)U?LL$')
  return whole or (tonumber(value) and number_text(tonumber(value)))
end

local write -- (out, value, pad, step, at): `pad` is the line break and indent here, or nil

local function refuse(at, what)
  error({refused = ('json: cannot write %s%s'):format(what, at ~= '' and ' at ' .. at or '')}, 0)
end

local function keys_of(t, at)
  local keys, from = {}, {}
  for key in pairs(t) do
    local kind = type(key)
    if kind ~= 'string' and kind ~= 'number' then refuse(at, 'a ' .. kind .. ' as a key') end
    local text = kind == 'number' and number_text(key) or key
    if from[text] ~= nil then refuse(at, 'the key ' .. text .. ' as number and as string') end
    keys[#keys + 1], from[text] = text, key
  end
  table.sort(keys)
  return keys, from
end

local function holds_table(list)
  for k = 1, #list do
    if type(list[k]) == 'table' then return true end
  end
end

-- With an indent, a list of plain values stays on one line.
local function write_table(out, value, pad, step, at)
  local array = is_array(value)
  local keys, from
  if not array then keys, from = keys_of(value, at) end
  local n = array and #value or #keys
  if array and not holds_table(value) then pad = nil end
  local inner = pad and pad .. step
  out[#out + 1] = array and '[' or '{'
  for k = 1, n do
    if k > 1 then out[#out + 1] = pad and ',' or ', ' end
    if inner then out[#out + 1] = inner end
    local key = array and k or from[keys[k]]
    if not array then out[#out + 1] = string_text(keys[k]) .. ': ' end
    write(out, value[key], inner, step, at .. (array and '[' .. k .. ']' or '.' .. keys[k]))
  end
  if inner and n > 0 then out[#out + 1] = pad end
  out[#out + 1] = array and ']' or '}'
end

local MOST_NESTED = 200

function write(out, value, pad, step, at)
  local kind = type(value)
  if value == nil or value == json.null then out[#out + 1] = 'null'
  elseif kind == 'string' then out[#out + 1] = string_text(value)
  elseif kind == 'number' then out[#out + 1] = number_text(value)
  elseif kind == 'boolean' then out[#out + 1] = tostring(value)
  elseif kind == 'table' then
    if select(2, at:gsub('[.[]', '')) > MOST_NESTED then refuse('', 'a table that holds itself') end
    write_table(out, value, pad, step, at)
  elseif kind == 'cdata' and boxed_text(value) then out[#out + 1] = boxed_text(value)
  else refuse(at, 'a ' .. kind) end
end

--- The JSON text of a value. A table with the keys 1..n is an array; an empty one an object unless
--- json.array() marked it; number keys of an object become strings. NaN and infinities: null.
---@param value any
---@param options? {indent: integer} spaces per level; without it, all is on one line
---@return string
function json.encode(value, options)
  local indent = options and options.indent
  local out = {}
  local ok, message = pcall(write, out, value, indent and '\n', (' '):rep(indent or 0), '')
  if ok then return table.concat(out) end
  error(type(message) == 'table' and message.refused or message, 2)
end

-- ---- reading ----

--- The value of a JSON text; null is json.null.
---@param text string
---@param name? string whose text this is, for the message: a file, or "file:line"
---@return any|nil value
---@return string? message "NAME: not JSON: WHY"
function json.decode(text, name)
  name = name or 'text'
  if type(text) ~= 'string' then error('json.decode: expected a string, got ' .. type(text), 2) end
  if not text:find('%S') then return nil, name .. ': not JSON: it is empty' end
  local nul = text:find('\0', 1, true) -- cjson would ignore the rest
  if nul then return nil, ('%s: not JSON: byte %d is NUL'):format(name, nul) end
  local ok, value = pcall(reader.decode, text)
  if ok then return value end
  return nil, ('%s: not JSON: %s'):format(name, (tostring(value):gsub('^.-:%d+: ', '')))
end

return json
