--- Element types of FFI arrays and pointers that a caller hands in.
local ffi = require 'ffi'

local pointers = {}

local INTS, FLOATS = ffi.typeof('int32_t[?]'), ffi.typeof('float[?]')

--- Element type of an FFI array or pointer, such as 'int' (int32_t) or 'float', and how many
--- elements there are where its C type knows; nil for anything else.
---@return string? element, integer? length
function pointers.type(value)
  if type(value) ~= 'cdata' then return nil end
  -- What batches are of, without parsing a type's text.
  if ffi.istype(INTS, value) then return 'int', ffi.sizeof(value) / 4 end
  if ffi.istype(FLOATS, value) then return 'float', ffi.sizeof(value) / 4 end
  local element, kind = tostring(ffi.typeof(value)):match('^ctype<([%w_ ]-) ?(%*?[%[%]%d?]*)>$')
  if not element or kind == '' then return nil end
  element = element:gsub('^const ', ''):gsub(' const$', '')
  if element == 'void' or element:find('^struct ') then return nil end
  if kind ~= '*' and kind:find('*', 1, true) then return nil end -- of pointers
  local length = kind ~= '*' and ffi.sizeof(value) / ffi.sizeof(element) or nil
  return element, length
end

return pointers
