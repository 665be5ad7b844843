--- Arrays of texts in NumPy's format, dtype <U: each text as UTF-32, lowest byte first, filled up
--- with zeros to the width of the longest.
local ffi = require 'ffi'
local bytes = require 'tinykg.store.bytes'
local utf8 = require 'tinykg.base.utf8'

local npy_texts = {}

local words = ffi.typeof 'uint32_t[?]'
local LARGEST = 0x10ffff -- code point

--- The code points of a text; bytes that are not UTF-8 are U+FFFD.
local function code_points(text)
  local list = {}
  for char in utf8.valid(text):gmatch '[%z\1-\127\194-\244][\128-\191]*' do
    local point = char:byte()
    if #char > 1 then point = point % 2 ^ (7 - #char) end
    for k = 2, #char do point = point * 64 + char:byte(k) % 64 end
    list[#list + 1] = point
  end
  return list
end

local function char_of(point)
  if point < 0x80 then return string.char(point) end
  local tail = {}
  local first = 0x80 -- the bits that say how many bytes follow
  local room = 64
  while point >= room do
    table.insert(tail, 1, string.char(0x80 + point % 64))
    point = math.floor(point / 64)
    first, room = first / 2 + 0x80, #tail == 1 and 32 or room / 2
  end
  return string.char(first + point) .. table.concat(tail)
end

--- A list of texts as elements, and the dtype. ---@param list string[]
---@return ffi.cdata* memory, integer bytes, string dtype
function npy_texts.elements(list)
  local all, width = {}, 1
  for i, text in ipairs(list) do
    all[i] = code_points(text)
    width = math.max(width, #all[i])
  end
  local memory = words(math.max(1, #list * width))
  for i, points in ipairs(all) do
    for k, point in ipairs(points) do memory[(i - 1) * width + k - 1] = point end
  end
  return memory, 4 * #list * width, '<U' .. width
end

--- Reads the texts of an array of one dimension. Refuses what is no text and more than there is.
---@param width integer characters of each ---@param shape integer[] ---@param what string
---@return string[]
function npy_texts.read(source, width, shape, what)
  local n = shape[1]
  if #shape ~= 1 then bytes.refuse('%s: texts in %d dimensions, 1 is read', what, #shape) end
  local size = 4 * math.max(1, width) * n
  if size > source.left then
    bytes.refuse('truncated: %s needs %.0f bytes, %.0f are left', what, size, source.left)
  end
  local memory, list = words(math.max(1, width)), {}
  for i = 1, n do
    source:read(memory, 4 * width)
    local last, chars = width, {}
    while last > 0 and memory[last - 1] == 0 do last = last - 1 end
    for k = 1, last do
      local point = memory[k - 1]
      if point > LARGEST or point >= 0xd800 and point < 0xe000 then
        bytes.refuse('%s: text %d is not Unicode', what, i)
      end
      chars[k] = char_of(point)
    end
    list[i] = table.concat(chars)
  end
  return list
end

return npy_texts
