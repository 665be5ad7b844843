--- CRC-32 checksums in the metadata of a safetensors file: one of the header and one of each
-- tensor's bytes. A file has both or, as files of other programs, neither, so that a change of any
-- bit is noticed: a checksum differs, or one of the two is missing.
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local bytes = require 'tinykg.store.bytes'
local elements = require 'tinykg.store.elements'
local json = require 'tinykg.base.json'

local checksums = {}

local HEADER, TENSORS = 'checksum.header', 'checksum.tensors'
local MARK, NONE = '"checksum.header": "crc32:', '00000000'

local function hex(crc) return ('%08x'):format(crc) end

--- The checksum of a text as eight digits.
function checksums.of_text(text) return hex(C.tkg_crc32(0, text, #text)) end

--- Whether a key of the metadata is reserved for checksums.
function checksums.is_reserved(key) return key == HEADER or key == TENSORS end

local function of_tensor(t)
  local crc = 0
  elements.each_chunk(t, function(memory, n) crc = C.tkg_crc32(crc, memory, n) end)
  return hex(crc)
end

--- Metadata with the checksums of tensors and room for the header's.
---@param order string[] ---@param tensors table<string, Tensor> ---@param metadata? table
---@return table<string, string>
function checksums.added(order, tensors, metadata)
  local all, each = tables.merged(metadata), {}
  for _, name in ipairs(order) do each[name] = of_tensor(tensors[name]) end
  all[HEADER], all[TENSORS] = 'crc32:' .. NONE, json.encode(each)
  return all
end

--- The position of a header's own checksum in its text, or nil.
local function place_of(text)
  local _, last = text:find(MARK, 1, true)
  return last and last + 1
end

--- Puts the checksum of a text into the text, in the place of eight zeros.
---@param first integer position of the zeros ---@return string
function checksums.fill(text, first)
  return text:sub(1, first - 1) .. checksums.of_text(text) .. text:sub(first + #NONE)
end

--- Whether the eight digits in a text are its checksum, computed with zeros in their place.
---@param first integer position of the digits ---@return boolean
function checksums.is_right(text, first)
  local zeroed = text:sub(1, first - 1) .. NONE .. text:sub(first + #NONE)
  return checksums.of_text(zeroed) == text:sub(first, first + #NONE - 1)
end

--- The header with its own checksum. ---@param text string ---@return string
function checksums.sealed(text) return checksums.fill(text, place_of(text)) end

--- Refuses a header whose checksum is wrong.
function checksums.check_header(text)
  local first = place_of(text)
  if first and not checksums.is_right(text, first) then
    bytes.refuse('damaged: the header is not what its checksum is of (a program that changes such '
                   .. 'a file has to leave out the metadata checksum.*)')
  end
end

--- Removes the checksums from metadata.
---@param text string the header ---@param metadata table<string, string>
---@return table<string, string>? sums by tensor name; nil for a file without checksums
function checksums.remove(text, metadata)
  local header, each = metadata[HEADER], metadata[TENSORS]
  if not header and not each then return nil end
  each = each and json.decode(each)
  if not place_of(text) or type(each) ~= 'table' then
    bytes.refuse('damaged: one of the two checksums checksum.* in the header is missing')
  end
  metadata[HEADER], metadata[TENSORS] = nil, nil
  return each
end

--- Two functions: one takes the bytes of a tensor in pieces, the other refuses a tensor whose bytes
--- do not have the expected checksum.
---@param name string ---@param expected string?
---@return fun(memory: ffi.cdata*, n: integer) take, fun() finish
function checksums.verifier(name, expected)
  local crc = 0
  return function(memory, n) crc = C.tkg_crc32(crc, memory, n) end, function()
    if hex(crc) ~= expected then
      bytes.refuse('%s: damaged: its bytes are not what its checksum is of', name)
    end
  end
end

return checksums
