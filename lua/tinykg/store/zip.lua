--- The part of ZIP that .npz needs: writes stored entries, reads stored and deflated ones.
-- Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.4. Without ZIP64: up to 4 GiB.
-- By hand, not by libzip: that would be one more library on each machine that reads or writes .npz,
-- and tables of more than 4 GiB have .safetensors.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local bytes = require 'tinykg.store.bytes'
local pack, unpack, refuse = bytes.pack, bytes.unpack, bytes.refuse

-- The engine links zlib, so its functions are found through the engine.
ffi.cdef [[
unsigned long crc32(unsigned long crc, const void *from, unsigned int n);
const char *zlibVersion(void);
int inflateInit2_(void *stream, int window_bits, const char *version, int stream_size);
int inflate(void *stream, int flush);
int inflateEnd(void *stream);
]]

-- z_stream of zlib.h.
local Stream = ffi.typeof [[struct {
  const uint8_t *next_in; unsigned int avail_in; unsigned long total_in;
  uint8_t *next_out; unsigned int avail_out; unsigned long total_out;
  const char *msg; void *state; void *zalloc; void *zfree; void *opaque;
  int data_type; unsigned long adler, reserved;
}]]

local Bytes = ffi.typeof 'uint8_t *'

local zip = {}

local LOCAL, CENTRAL, LAST = 'PK\3\4', 'PK\1\2', 'PK\5\6'
local LIMIT, MOST_ENTRIES = 2 ^ 32 - 1, 65535
local VERSION = 20               -- 2.0: deflate
local UTF8, SIZES_LATER, ENCRYPTED = 2048, 8, 1 -- flags
local DATE = 33                  -- 1980-01-01, so that equal tensors make equal files

--- Continues a CRC-32, 0 at the beginning, over n bytes of memory. ---@return number
function zip.crc32(crc, from, n) return tonumber(C.crc32(crc, from, n)) end

-- ---- writing ----

-- The fields that the local header and the central directory share (4.4.2 to 4.4.11).
local function common(entry)
  local flags = entry.name:find('[\128-\255]') and UTF8 or 0
  return pack(VERSION, 2) .. pack(flags, 2) .. pack(0, 2) .. pack(0, 2) .. pack(DATE, 2)
    .. pack(entry.crc, 4) .. pack(entry.size, 4) .. pack(entry.size, 4) .. pack(#entry.name, 2)
    .. pack(0, 2)
end

local function check_size(bytes_written)
  if bytes_written > LIMIT then
    refuse('cannot be written: more than 4 GiB do not fit an .npz: save as .safetensors')
  end
end

--- Begins an entry; its `size` bytes must follow in the sink, then the next entry or finish().
---@param entries table[] the entries so far; begins empty
---@param entry {name: string, size: number, crc: number}
function zip.begin_entry(sink, entries, entry)
  check_size(sink.at + entry.size)
  if #entries == MOST_ENTRIES then
    refuse('cannot be written: more than %d tensors do not fit an .npz: save as .safetensors',
           MOST_ENTRIES)
  end
  entry.at = sink.at
  entries[#entries + 1] = entry
  sink:write(LOCAL .. common(entry) .. entry.name)
end

--- Writes the central directory.
function zip.finish(sink, entries)
  local start = sink.at
  for _, entry in ipairs(entries) do
    sink:write(CENTRAL .. pack(VERSION, 2) .. common(entry) .. pack(0, 2) .. pack(0, 2)
      .. pack(0, 2) .. pack(0, 4) .. pack(entry.at, 4) .. entry.name)
  end
  check_size(sink.at)
  sink:write(LAST .. pack(0, 2) .. pack(0, 2) .. pack(#entries, 2) .. pack(#entries, 2)
    .. pack(sink.at - start, 4) .. pack(start, 4) .. pack(0, 2))
end

-- ---- reading the directory ----

--- Finds the end record, which only its comment follows. ---@return string record, number position
local function find_end(source)
  local n = math.min(source.size, 22 + 65535)
  source:seek(source.size - n)
  local tail = source:text(n)
  for at = n - 21, 1, -1 do
    if tail:sub(at, at + 3) == LAST and at + 21 + unpack(tail, at + 20, 2) == n then
      return tail:sub(at, at + 21), source.size - n + at - 1
    end
  end
  refuse('truncated or not an .npz file: it has no end record of a ZIP archive')
end

local function parse_entry(text, at)
  if text:sub(at, at + 3) ~= CENTRAL or at + 45 > #text then
    refuse('damaged: bad central directory of the ZIP archive')
  end
  local function field(offset, size) return unpack(text, at + offset, size) end
  local name_length = field(28, 2)
  local entry = {flags = field(8, 2), method = field(10, 2), crc = field(16, 4),
                 stored = field(20, 4), size = field(24, 4), at = field(42, 4),
                 name = text:sub(at + 46, at + 45 + name_length)}
  return entry, at + 46 + name_length + field(30, 2) + field(32, 2)
end

local function check_entry(e)
  if e.flags % (2 * ENCRYPTED) >= ENCRYPTED then refuse('%s: encrypted entry', e.name) end
  if e.method ~= 0 and e.method ~= 8 then
    refuse('%s: compressed with method %d, known are 0 (stored) and 8 (deflated)', e.name, e.method)
  end
  if e.size == LIMIT or e.stored == LIMIT then
    refuse('%s: more than 4 GiB (ZIP64) is not supported: save as .safetensors', e.name)
  end
  -- Deflate expands a byte to at most 1032.
  if e.method == 0 and e.size ~= e.stored or e.size > 1032 * e.stored + 64 then
    refuse('damaged: %s has impossible sizes', e.name)
  end
end

--- Sizes in a ZIP64 field (4.5.3), which NumPy adds to local headers of small files too.
local function long_sizes(extra)
  local at = 1
  while at + 3 <= #extra do
    local id, size = unpack(extra, at, 2), unpack(extra, at + 2, 2)
    if id == 1 and size >= 16 and at + 19 <= #extra then
      return unpack(extra, at + 4, 8), unpack(extra, at + 12, 8)
    end
    at = at + 4 + size
  end
end

--- Reads an entry's local header, which must agree with the directory (4.3.7), and sets where the
--- entry's bytes begin and end.
local function check_local(source, e)
  source:seek(e.at)
  local head = source:text(math.min(30, source.left))
  if #head < 30 or head:sub(1, 4) ~= LOCAL then refuse('damaged: no local header of %s', e.name) end
  local function field(offset, size) return unpack(head, 1 + offset, size) end
  local name = source:text(math.min(field(26, 2), source.left))
  local extra = source:text(math.min(field(28, 2), source.left))
  local crc, stored, size = field(14, 4), field(18, 4), field(22, 4)
  if stored == LIMIT and size == LIMIT then size, stored = long_sizes(extra) end
  local later = field(6, 2) % (2 * SIZES_LATER) >= SIZES_LATER -- behind the bytes: zeros here
  local same = later or crc == e.crc and stored == e.stored and size == e.size
  if name ~= e.name or field(8, 2) ~= e.method or not same then
    refuse('damaged: the local header of %s is not what the directory says', e.name)
  end
  e.first = e.at + 30 + #name + #extra
  e.last = e.first + e.stored
end

--- Checks that entries lie one behind the other before the directory, which begins at `stop`.
--- Entries that share bytes could claim any amount of memory (CVE-2024-0450).
local function check_offsets(source, entries, stop)
  local by_offset = {}
  for k, e in ipairs(entries) do
    check_entry(e)
    check_local(source, e)
    by_offset[k] = e
  end
  table.sort(by_offset, function(a, b) return a.at < b.at end)
  for k, e in ipairs(by_offset) do
    local after = by_offset[k + 1]
    if e.last > (after and after.at or stop) then
      refuse('damaged: %s and %s overlap', e.name, after and after.name or 'the directory')
    end
  end
end

--- The entries of an archive. ---@return table[]
function zip.entries(source)
  local last, last_at = find_end(source)
  local count, size, start = unpack(last, 11, 2), unpack(last, 13, 4), unpack(last, 17, 4)
  if start == LIMIT or count == MOST_ENTRIES then
    refuse('a ZIP64 archive is not supported: save as .safetensors')
  end
  if start + size > last_at then refuse('damaged: bad end record of the ZIP archive') end
  source:seek(start, start + size)
  local text = source:text(size)
  local entries, at = {}, 1
  for k = 1, count do entries[k], at = parse_entry(text, at) end
  if at ~= #text + 1 then refuse('damaged: bad central directory of the ZIP archive') end
  check_offsets(source, entries, start)
  return entries
end

-- ---- an entry as a source ----

local Entry = {}
Entry.__index = Entry
Entry.text = bytes.text

--- Inflates up to n bytes into `to`. Returns how many; fewer at the end of the stream or entry.
function Entry:inflate(to, n)
  local z = self.stream
  z.next_out, z.avail_out = ffi.cast(Bytes, to), n
  while z.avail_out > 0 and not self.ended do
    if z.avail_in == 0 and self.packed > 0 then
      local piece = math.min(self.packed, bytes.CHUNK)
      self.source:read(self.buffer, piece)
      self.packed = self.packed - piece
      z.next_in, z.avail_in = self.buffer, piece
    end
    local status = C.inflate(z, 0)
    if status ~= 0 and status ~= 1 then refuse('damaged: %s does not inflate', self.name) end
    self.ended = status == 1 -- Z_STREAM_END
  end
  return n - z.avail_out
end

--- Refuses an entry that is longer than the directory says.
function Entry:check_end()
  if self:inflate(ffi.new('uint8_t[1]'), 1) > 0 or self.stream.avail_in + self.packed > 0 then
    refuse('damaged: %s has more in it than the directory says', self.name)
  end
end

function Entry:read(to, n)
  if n > self.left then
    refuse('truncated: %.0f more bytes expected in %s, %.0f are left', n, self.name, self.left)
  end
  self.left = self.left - n
  if n == 0 then return end
  if not self.stream then self.source:read(to, n)
  elseif self:inflate(to, n) < n then refuse('damaged: %s does not inflate', self.name) end
  self.crc = zip.crc32(self.crc, to, n)
end

local function inflating(entry)
  local stream = ffi.new(Stream)
  local status = C.inflateInit2_(stream, -15, C.zlibVersion(), ffi.sizeof(Stream))
  if status ~= 0 then refuse('cannot be read: zlib gives error %d', status) end
  entry.stream = ffi.gc(stream, C.inflateEnd)
  entry.buffer = ffi.new('uint8_t[?]', math.max(1, math.min(entry.packed, bytes.CHUNK)))
end

--- Returns the result of fn(entry_source). Refuses an entry that fn did not read to its end or
--- whose checksum is wrong.
---@param e table from zip.entries
function zip.with_entry(source, e, fn)
  source:seek(e.first, e.last)
  local entry = setmetatable({source = source, name = e.name, left = e.size, packed = e.stored,
                              crc = 0}, Entry)
  if e.method == 8 then inflating(entry) end
  local result = fn(entry)
  if entry.left > 0 then refuse('damaged: %.0f bytes too many in %s', entry.left, e.name) end
  if entry.stream then entry:check_end() end
  if entry.crc ~= e.crc then refuse('damaged: the checksum of %s is wrong', e.name) end
  return result
end

return zip
