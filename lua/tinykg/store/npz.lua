--- Named tensors and lists of texts in NumPy's .npz: a ZIP archive of NAME.npy entries.
local bytes = require 'tinykg.store.bytes'
local elements = require 'tinykg.store.elements'
local npy = require 'tinykg.store.npy'
local sorted_keys = require('tinykg.base.tables').sorted_keys
local zip = require 'tinykg.store.zip'

local npz = {}

-- The checksum comes before the elements, so they are read twice. Going back in the file to fill it
-- in would not work for a pipe.
local function checksum(head, t)
  local crc = zip.crc32(0, head, #head)
  elements.each_chunk(t, function(memory, n) crc = zip.crc32(crc, memory, n) end)
  return crc
end

local function write_texts(sink, entries, name, list)
  local head, memory, size = npy.texts(list)
  local crc = zip.crc32(zip.crc32(0, head, #head), memory, size)
  zip.begin_entry(sink, entries, {name = name .. '.npy', size = #head + size, crc = crc})
  sink:write(head)
  sink:write(memory, size)
end

--- Writes tensors in the order of the list `order`, then lists of texts.
---@param texts? table<string, string[]> by name
function npz.write(sink, order, tensors, texts)
  local entries = {}
  for _, name in ipairs(order) do
    local t = tensors[name]
    local head = npy.header(t)
    zip.begin_entry(sink, entries, {name = name .. '.npy', size = #head + 4 * t:count(),
                                    crc = checksum(head, t)})
    npy.write(sink, t)
  end
  for _, name in ipairs(sorted_keys(texts or {})) do
    write_texts(sink, entries, name, texts[name])
  end
  zip.finish(sink, entries)
end

--- Reads all arrays of a source. ---@return table<string, Tensor|string[]>
function npz.read(source)
  local tensors = {}
  for _, entry in ipairs(zip.entries(source)) do
    local name = entry.name:match('^(.*)%.npy$')
    if not name then
      bytes.refuse('%s: not an array: an .npz file has .npy entries only', entry.name)
    end
    if tensors[name] then bytes.refuse('damaged: %s is there twice', entry.name) end
    tensors[name] = zip.with_entry(source, entry, function(from) return npy.read(from, name) end)
  end
  return tensors
end

return npz
