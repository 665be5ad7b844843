--- A loaded data set as one file that is mapped into memory: a line that says where the header is,
--- arrays, and the header in JSON, which says where they are. All of it has checksums. It is read
--- by the machine and the version that wrote it.

local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'
local atomic_file = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'
local lib = require 'tinykg.engine.lib'
local names = require 'tinykg.data.names'
local posix = require 'tinykg.base.posix'
local tables = require 'tinykg.base.tables'
local utf8 = require 'tinykg.base.utf8'
local libc = posix.libc

local cache_file = {}

local ALIGN = 65536 -- a multiple of every page size
local FIRST = 'tinykg data set 1: header of %d bytes at %d, %s\n'
local FIRST_PATTERN = '^tinykg data set 1: header of (%d+) bytes at (%d+), (%x+)\n'

local KINDS = { -- of arrays: pointers to them, bytes of a value
  { 'int32', ffi.typeof('int32_t *'), 4 }, { 'float', ffi.typeof('float *'), 4 },
  { 'double', ffi.typeof('double *'), 8 },
}
-- The keys under which a description has an array, and names.
local ARRAY, NAMES = '#array', '#names'

local BYTES = { 'bytes', ffi.typeof('char *'), 1 }
local kind_of = { bytes = BYTES }
for _, kind in ipairs(KINDS) do kind_of[kind[1]] = kind end

local empty = { int32 = arrays.ints, float = arrays.floats, double = arrays.doubles,
  bytes = arrays.ints }

local function checksum(block, n) return bit.tohex(lib.tkg_checksum(block, n), 16) end

-- ---- packing: a description for JSON, and a list of arrays ----

-- Raises a reason for which the set cannot be stored.
local function refuse(why) error({ refused = why }, 0) end

-- Adds an array; returns its place in the list.
local function add(list, kind, block, n)
  list[#list + 1] = { kind = kind[1], n = n, bytes = n * kind[3], block = block }
  return #list
end

local function add_values(list, block, n)
  for _, kind in ipairs(KINDS) do
    if n and ffi.istype(kind[2], block) then return { [ARRAY] = add(list, kind, block, n) } end
  end
  refuse('it has an array of another type')
end

-- Adds the texts of a table by id.
local function add_texts(list, texts)
  local ids = tables.sorted_keys(texts)
  local all, number, length = {}, arrays.ints(#ids), arrays.ints(#ids)
  for k, id in ipairs(ids) do all[k], number[k - 1], length[k - 1] = texts[id], id, #texts[id] end
  local text = table.concat(all)
  return { n = #ids, ids = add(list, KINDS[1], number, #ids),
    lengths = add(list, KINDS[1], length, #ids), text = add(list, BYTES, text, #text) }
end

local function add_dictionary(list, dictionary, known)
  if not known[dictionary] then
    local places = tables.map(dictionary:parts(), function(part)
      return add(list, BYTES, part[1], part[2])
    end)
    known[#known + 1] = { parts = places, count = dictionary:count() }
    known[dictionary] = #known
  end
  return known[dictionary]
end

local function add_names(list, of, known)
  return { [NAMES] = { count = of.count,
    dictionary = of.dictionary and add_dictionary(list, of.dictionary, known),
    source = of.source and add(list, KINDS[1], of.source, of.count),
    titles = of.titles and add_texts(list, of.titles) } }
end

-- Packs a table whose arrays have its field n of values.
local function packed(value, list, known)
  local kind = type(value)
  if kind == 'number' and value - value ~= 0 then refuse('it has an infinite number') end
  if kind == 'string' and utf8.valid(value) ~= value then refuse('it has text in no UTF-8') end
  if type(value) ~= 'table' then return value end
  if getmetatable(value) == names.class then return add_names(list, value, known) end
  local to = {}
  for key, item in pairs(value) do
    to[key] = type(item) == 'cdata' and add_values(list, item, value.n)
      or packed(item, list, known)
  end
  return to
end

-- ---- writing ----

-- Where the arrays are, and where the last one ends.
local function placed(list)
  local at = ALIGN
  return tables.map(list, function(array)
    local place = { kind = array.kind, n = array.n, bytes = array.bytes, at = at,
      checksum = checksum(array.block, array.bytes) }
    at = at + math.ceil(array.bytes / ALIGN) * ALIGN
    return place
  end), at
end

-- Writes text at a place behind the end of the file.
local function write_at(file, at, text)
  local gap = at - file:seek('end')
  return file:write(('\0'):rep(gap), text)
end

local function write(file, list, places, header, at)
  local ok, why = file:write(FIRST:format(#header, at, checksum(header, #header)))
  for k, array in ipairs(list) do
    if ok then ok, why = write_at(file, places[k].at, '') end
    if ok and libc.fwrite(array.block, 1, array.bytes, file) ~= array.bytes then
      ok, why = nil, posix.reason()
    end
  end
  if ok then ok, why = write_at(file, at, header) end
  return ok, why
end

--- Writes a data set.
---@param path string
---@param key string what a reader must ask for
---@param set table
---@return true? ok
---@return string? message
function cache_file.write(path, key, set)
  local list, known = {}, {}
  local ok, result = pcall(packed, set, list, known)
  if not ok then
    if type(result) == 'table' and result.refused then return nil, result.refused end
    error(result, 0)
  end
  local places, at = placed(list)
  local header = json.encode { key = key, set = result, arrays = places,
    dictionaries = tables.map(known, function(one) return one end) }
  return atomic_file.write(path, function(file) return write(file, list, places, header, at) end,
    { links = false, sync = false })
end

-- ---- reading ----

-- The header of a file that is whole.
local function read_header(file)
  local length, at, sum = (file:read(200) or ''):match(FIRST_PATTERN)
  if not length or file:seek('end') ~= at + length or not file:seek('set', tonumber(at)) then
    return nil
  end
  local text = file:read(tonumber(length)) or ''
  return #text == tonumber(length) and checksum(text, #text) == sum and json.decode(text) or nil
end

-- The arrays; nil if one is not as it was written.
local function map_all(file, list)
  local blocks = {}
  for k, array in ipairs(list) do
    local block = array.bytes == 0 and empty[array.kind](0)
      or posix.map(posix.fileno(file), array.at, array.bytes, kind_of[array.kind][2])
    if not block or checksum(block, array.bytes) ~= array.checksum then return nil end
    blocks[k] = block
  end
  return blocks
end

local function texts_of(stored, blocks)
  local texts, at = {}, blocks[stored.text]
  for k = 0, stored.n - 1 do
    local length = blocks[stored.lengths][k]
    texts[blocks[stored.ids][k]], at = ffi.string(at, length), at + length
  end
  return texts
end

local function dictionaries_of(header, blocks)
  return tables.map(header.dictionaries, function(stored)
    return arrays.dictionary_of(tables.map(stored.parts, function(k)
      return { blocks[k], header.arrays[k].bytes }
    end), stored.count)
  end)
end

-- What `packed` made a description of.
local function unpacked(value, blocks, dictionaries)
  if type(value) ~= 'table' then return value end
  if value[ARRAY] then return blocks[value[ARRAY]] end
  local stored, to = value[NAMES], {}
  if stored then
    local of = names.new(stored.count, dictionaries[stored.dictionary], blocks[stored.source])
    of.titles = stored.titles and texts_of(stored.titles, blocks)
    return of
  end
  for key, item in pairs(value) do to[key] = unpacked(item, blocks, dictionaries) end
  return to
end

--- Reads a data set.
---@param path string
---@param key string what it was written with
---@return table? set
---@return string? reason none if there is no such file, or it has another key
function cache_file.read(path, key)
  local file = io.open(path, 'rb')
  if not file then return nil end
  local header = read_header(file)
  local blocks = header and header.key == key and map_all(file, header.arrays)
  file:close()
  if header and header.key ~= key then return nil end
  if not blocks then return nil, 'it is damaged' end
  return unpacked(header.set, blocks, dictionaries_of(header, blocks))
end

return cache_file
