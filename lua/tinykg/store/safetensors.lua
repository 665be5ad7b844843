--- Named tensors in the safetensors format: the header's length in 8 bytes, a JSON header, the
-- elements of all tensors without gaps.
-- Source: the format's description in github.com/huggingface/safetensors (README, "Format").
local bytes = require 'tinykg.store.bytes'
local checksums = require 'tinykg.store.checksums'
local duplicate_key = require 'tinykg.store.duplicate_key'
local elements = require 'tinykg.store.elements'
local json = require 'tinykg.base.json'
local utf8 = require 'tinykg.base.utf8'
local refuse = bytes.refuse

local safetensors = {}

local LONGEST_HEADER = 100e6 -- as in the format's own reader
local ALIGNMENT = 8          -- of the elements: spaces fill the header
local METADATA = '__metadata__'

local names = {F32 = 'f32', I32 = 'i32', F64 = 'f64', I64 = 'i64', U8 = 'u8', BOOL = 'bool'}
local dtypes = {f32 = 'F32', i32 = 'I32'}

-- ---- writing ----

local function header(order, tensors, metadata)
  local entries, at = {[METADATA] = checksums.added(order, tensors, metadata)}, 0
  for _, name in ipairs(order) do
    local t = tensors[name]
    local stop = at + 4 * t:count()
    entries[name] = {dtype = dtypes[t:dtype()], shape = json.array(t:size()),
                     data_offsets = json.array{at, stop}}
    at = stop
  end
  local text = json.encode(entries)
  return checksums.sealed(text .. (' '):rep(-#text % ALIGNMENT))
end

--- Writes tensors in the order of the list `order`.
---@param order string[] the names, sorted
---@param tensors table<string, Tensor>
---@param metadata? table<string, string>
function safetensors.write(sink, order, tensors, metadata)
  local text = header(order, tensors, metadata)
  if #text > LONGEST_HEADER then
    refuse('cannot be written: %d names make a header of %d bytes, at most %.0f are allowed',
           #order, #text, LONGEST_HEADER)
  end
  sink:write(bytes.pack(#text, 8) .. text)
  for _, name in ipairs(order) do
    elements.each_chunk(tensors[name], function(memory, n) sink:write(memory, n) end)
  end
end

-- ---- reading ----

local function read_header(source)
  if source.size < 8 then
    refuse('truncated: %.0f bytes, a safetensors file has at least 8', source.size)
  end
  local length = bytes.unpack(source:text(8), 1, 8)
  if length > LONGEST_HEADER then
    refuse('not a safetensors file: its first 8 bytes say that the header has %.0f bytes', length)
  end
  if length > source.left then
    refuse('truncated: the header has %.0f bytes, %.0f are left', length, source.left)
  end
  local text = source:text(length)
  if text:sub(1, 1) ~= '{' then refuse('not a safetensors file: its header is not an object') end
  checksums.check_header(text)
  local entries, message = json.decode(text, 'header')
  if type(entries) ~= 'table' then refuse('not a safetensors file: %s', message) end
  if utf8.valid(text) ~= text then refuse('not a safetensors file: its header is not UTF-8') end
  local twice = duplicate_key(text)
  if twice then refuse("damaged: '%s' is in the header twice", twice) end
  return entries, text
end

local function is_list(x)
  if type(x) ~= 'table' then return false end
  local n = 0
  for _ in pairs(x) do n = n + 1 end
  return n == #x
end

local function whole(x) return type(x) == 'number' and x >= 0 and x % 1 == 0 end

--- Checks one entry of the header. ---@return table {name, kind, shape, from, to}
local function checked(name, entry)
  if type(entry) ~= 'table' or type(entry.dtype) ~= 'string' or not is_list(entry.shape)
    or not is_list(entry.data_offsets) or #entry.data_offsets ~= 2 then
    refuse('%s: bad entry in the header: dtype, shape and data_offsets expected', name)
  end
  local kind = names[entry.dtype]
  if not kind then
    refuse('%s: dtype %s is not supported: convert it to F32 or I32 before saving', name,
           entry.dtype)
  end
  local from, to = entry.data_offsets[1], entry.data_offsets[2]
  local count = elements.count(entry.shape, name)
  if not (whole(from) and whole(to)) or to - from ~= count * elements.types[kind].size then
    refuse('%s: data_offsets %s to %s do not fit %s of %s', name, tostring(from), tostring(to),
           elements.shape_text(entry.shape), entry.dtype)
  end
  return {name = name, kind = kind, shape = entry.shape, from = from, to = to}
end

--- The entries in the order of their offsets, which must leave no gaps or overlaps.
local function in_order(entries, size)
  local list = {}
  for name, entry in pairs(entries) do
    if name ~= METADATA then list[#list + 1] = checked(name, entry) end
  end
  table.sort(list, function(a, b)
    if a.from ~= b.from then return a.from < b.from end
    if a.to ~= b.to then return a.to < b.to end
    return a.name < b.name
  end)
  local at = 0
  for _, e in ipairs(list) do
    if e.from ~= at then
      refuse('%s: starts at byte %.0f of the data, expected %.0f: gap or overlap', e.name, e.from,
             at)
    end
    at = e.to
  end
  if at > size then
    refuse('truncated: the tensors need %.0f bytes of data, %.0f are there', at, size)
  end
  if at < size then refuse('%.0f bytes after the last tensor: damaged', size - at) end
  return list
end

local function checked_metadata(metadata)
  if metadata == nil then return {} end
  if type(metadata) ~= 'table' then refuse('%s in the header is not an object', METADATA) end
  for key, value in pairs(metadata) do
    if type(key) ~= 'string' or type(value) ~= 'string' then
      refuse('%s: the value of %s is not a string', METADATA, tostring(key))
    end
  end
  return metadata
end

--- Reads all tensors of a source.
---@param place? fun(name: string, dtype: integer, shape: integer[]): Tensor? as of elements.read
---@return table<string, Tensor> tensors
---@return table<string, string> metadata empty when there is none
---@return boolean checked whether the file has checksums; wrong ones are refused
function safetensors.read(source, place)
  local entries, text = read_header(source)
  local metadata = checked_metadata(entries[METADATA])
  local sums, tensors = checksums.remove(text, metadata), {}
  for _, e in ipairs(in_order(entries, source.left)) do
    local take, finish = nil, nil
    if sums then take, finish = checksums.verifier(e.name, sums[e.name]) end
    tensors[e.name] = elements.read(source, e.kind, e.shape, e.name, take, place)
    if finish then finish() end
  end
  return tensors, metadata, sums ~= nil
end

return safetensors
