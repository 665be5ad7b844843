--- SHA-256 of a text, as hexadecimal digits.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

---@param text string ---@return string
return function(text)
  local digits = ffi.new('char[65]')
  C.tkg_sha256(text, #text, digits)
  return ffi.string(digits)
end
