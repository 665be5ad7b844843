--- JSON with a checksum of its text, so that a flipped bit in a number is noticed: a key `checksum`
-- whose value is `crc32:` and eight digits, computed with zeros in their place. Reading finds it by
-- the key or by the value, so that no single change hides it. A text with neither is of an older
-- version.
local tables = require 'tinykg.base.tables'
local checksums = require 'tinykg.store.checksums'
local json = require 'tinykg.base.json'

local json_checksum = {}

local KEY, NONE = 'checksum', '00000000'

--- The JSON text of an object with its checksum.
---@param object table ---@param options? table those of json.encode ---@return string
function json_checksum.encode(object, options)
  local text = json.encode(tables.merged({[KEY] = 'crc32:' .. NONE}, object), options)
  local _, before = text:find('"checksum": "crc32:', 1, true)
  return checksums.fill(text, before + 1)
end

--- Whether the checksum of a text is right; true for a text without one. A line break may follow.
local function is_whole(text)
  text = text:gsub('\n$', '')
  local first = text:match('"checksum": "crc32:()%x%x%x%x%x%x%x%x"')
    or text:match('"crc32:()%x%x%x%x%x%x%x%x"')
  if not first then return not text:find('"checksum"', 1, true) end
  return checksums.is_right(text, first)
end

--- The value of a text, without the checksum; nil and one line when the text is damaged.
---@param text string ---@param name string the file, for messages
---@return any|nil value ---@return string? message ---@return boolean? damaged
function json_checksum.decode(text, name)
  if not is_whole(text) then
    return nil, name .. ': damaged: not what its checksum is of (after a change by hand, take out '
      .. 'its "checksum")', true
  end
  local value, message = json.decode(text, name)
  if type(value) == 'table' then value[KEY] = nil end
  return value, message
end

--- The value of a line of a log; nil if a crash cut the line off, or it is no JSON (of an older
--- version). Raises one line if it is damaged.
---@param line string ---@param ended boolean by a line break ---@param name string for messages
---@return any|nil
function json_checksum.line(line, ended, name)
  local value, message, damaged = json_checksum.decode(line, name)
  -- A line without an end may be cut off, but not if it is whole without its last character.
  if damaged and (ended or json_checksum.decode(line:sub(1, -2), name)) then error(message, 0) end
  return value
end

return json_checksum
