--- Files of tensors made by hand, after the descriptions of their formats.
local bit = require 'bit'
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

ffi.cdef 'int compress(void *to, unsigned long *room, const void *from, unsigned long n);'

local files = {}

--- A whole number as `size` bytes, the lowest first.
function files.le(x, size)
  local out = {}
  for k = 1, size do out[k], x = string.char(x % 256), math.floor(x / 256) end
  return table.concat(out)
end
local le = files.le

function files.npy_dict(descr, shape, order)
  return ("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n")
    :format(descr, order or 'False', shape)
end

function files.npy_text(dict, data, version)
  local major = version or 1
  local length = le(#dict, major == 1 and 2 or 4)
  return '\147NUMPY' .. string.char(major) .. '\0' .. length .. dict .. data
end

function files.safetensors(header, data) return le(#header, 8) .. header .. (data or '') end

--- The deflated form of a text. zlib is inside the engine; its own format has 2 bytes before and 4
--- after the deflated data.
function files.deflated(text)
  local room = ffi.new('unsigned long[1]', #text * 1.1 + 100)
  local to = ffi.new('uint8_t[?]', room[0])
  assert(C.compress(to, room, text, #text) == 0)
  return ffi.string(to + 2, tonumber(room[0]) - 6)
end

--- The checksum that entries of a ZIP archive have.
function files.crc(text) return tonumber(C.crc32(0, text, #text)) end

--- A cyclic redundancy check bit by bit, without a table: a number of 32 bits.
---@param polynomial integer reversed: 0xEDB88320 for CRC-32 (ISO 3309)
function files.crc_by_bits(text, polynomial)
  local crc = -1
  for k = 1, #text do
    crc = bit.bxor(crc, text:byte(k))
    for _ = 1, 8 do
      crc = bit.bxor(bit.rshift(crc, 1), bit.band(crc, 1) ~= 0 and polynomial or 0)
    end
  end
  return bit.bnot(crc) % 2 ^ 32
end

return files
