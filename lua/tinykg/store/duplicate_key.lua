--- Finds a key that an object of a JSON text has twice. Parsers silently take one of the two, not
--- all the same one, so the file would mean different things to different programs.
local json = require 'tinykg.base.json'

--- The position of the closing quote of the string whose opening quote is at `first`.
local function end_of(text, first)
  local at = first + 1
  while true do
    local stop = text:find('["\\]', at)
    if text:byte(stop) == 34 then return stop end
    at = stop + 2 -- behind the escaped character
  end
end

local function key_at(text, first, last)
  local key = text:sub(first + 1, last - 1)
  return key:find('\\', 1, true) and json.decode('["' .. key .. '"]')[1] or key
end

--- Returns the first such key, or nil.
---@param text string JSON, well formed
---@return string?
return function(text)
  local objects, at = {}, 1 -- keys of the objects that are open, the innermost last
  while true do
    local first = text:find('["{}]', at)
    if not first then return nil end
    local c, last = text:byte(first), first
    if c == 123 then
      objects[#objects + 1] = {}
    elseif c == 125 then
      objects[#objects] = nil
    else
      last = end_of(text, first)
      if text:find('^%s*:', last + 1) then
        local keys, key = objects[#objects], key_at(text, first, last)
        if keys[key] then return key end
        keys[key] = true
      end
    end
    at = last + 1
  end
end
