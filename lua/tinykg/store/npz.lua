--- Named tensors in NumPy's .npz: a ZIP archive of NAME.npy entries.
local bytes = require 'tinykg.store.bytes'
local elements = require 'tinykg.store.elements'
local npy = require 'tinykg.store.npy'
local zip = require 'tinykg.store.zip'

local npz = {}

-- The checksum comes before the elements, so they are read twice. Going back in the file to fill it
-- in would not work for a pipe.
local function checksum(head, t)
  local crc = zip.crc32(0, head, #head)
  elements.each_chunk(t, function(memory, n) crc = zip.crc32(crc, memory, n) end)
  return crc
end

--- Writes tensors in the order of the list `order`.
function npz.write(sink, order, tensors)
  local entries = {}
  for _, name in ipairs(order) do
    local t = tensors[name]
    local head = npy.header(t)
    zip.begin_entry(sink, entries, {name = name .. '.npy', size = #head + 4 * t:count(),
                                    crc = checksum(head, t)})
    npy.write(sink, t)
  end
  zip.finish(sink, entries)
end

--- Reads all arrays of a source. ---@return table<string, Tensor>
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
