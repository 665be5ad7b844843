--- Reads and writes bytes of a file without Lua strings of a tensor's size, and refuses bad files.
-- A source has `left`, the bytes not read yet, and source:read(to, n). A sink has `at`, the bytes
-- written so far, and sink:write(from, n). All numbers are little-endian, as on all machines that
-- the project is built for.
local ffi = require 'ffi'
local posix = require 'tinykg.base.posix'
local libc = posix.libc

local bytes = {CHUNK = 1048576}

local Refusal = {__tostring = function(refusal) return refusal.message end}

--- Refuses the current file. The message is without the path, which guard() puts in front.
function bytes.refuse(message, ...)
  if select('#', ...) > 0 then message = message:format(...) end
  error(setmetatable({message = message}, Refusal), 0)
end

--- Returns the results of fn, or nil, "PATH: message" when it refused. Other errors pass through.
function bytes.guard(path, fn, ...)
  local function caught(ok, first, ...)
    if ok then return first, ... end
    if getmetatable(first) ~= Refusal then error(first, 0) end
    return nil, ('%s: %s'):format(path, first.message)
  end
  return caught(pcall(fn, ...))
end

--- `x` as `size` bytes, lowest first. ---@return string
function bytes.pack(x, size)
  local out = {}
  for k = 1, size do
    out[k] = string.char(x % 256)
    x = math.floor(x / 256)
  end
  return table.concat(out)
end

--- The number in `size` bytes of a string from position `at`. Exact below 2^53. ---@return number
function bytes.unpack(text, at, size)
  local x = 0
  for k = at + size - 1, at, -1 do x = x * 256 + text:byte(k) end
  return x
end

local Source = {}
Source.__index = Source

--- Reads exactly n bytes to memory, or refuses.
function Source:read(to, n)
  if n > self.left then
    bytes.refuse('truncated: %.0f more bytes expected, %.0f are left', n, self.left)
  end
  self.left = self.left - n
  if n > 0 and tonumber(libc.fread(to, 1, n, self.file)) ~= n then
    bytes.refuse('cannot be read: the file ended while it was read, or the disk failed')
  end
end

--- The next n bytes of a source as a string, for headers. ---@return string
function bytes.text(source, n)
  local buffer = ffi.new('uint8_t[?]', math.max(1, math.min(n, source.left)))
  source:read(buffer, n)
  return ffi.string(buffer, n)
end
Source.text = bytes.text

--- Moves to a position in the file; `left` then counts from there to `stop`.
function Source:seek(at, stop)
  self.file:seek('set', at)
  self.left = math.max(0, (stop or self.size) - at)
end

--- Opens a file, returns the results of fn(source), and closes the file in any case.
function bytes.reading(path, fn)
  local file, message = io.open(path, 'rb')
  if not file then bytes.refuse('cannot be read: %s', (message:gsub('^.*: ', ''))) end
  local size = file:seek('end')
  -- A folder opens too, and its size is 2^63 - 1.
  if not size or size >= 2 ^ 53 or not file:seek('set', 0) or (size > 0 and not file:read(0)) then
    file:close()
    bytes.refuse('cannot be read: it is not a plain file')
  end
  file:seek('set', 0)
  local source = setmetatable({file = file, size = size, left = size}, Source)
  local function closed(ok, ...)
    file:close()
    if not ok then error(..., 0) end
    return ...
  end
  return closed(pcall(fn, source))
end

local Sink = {}
Sink.__index = Sink

--- Writes memory or a string.
function Sink:write(from, n)
  n = n or #from
  if n > 0 and tonumber(libc.fwrite(from, 1, n, self.file)) ~= n then
    bytes.refuse('cannot be written: %s', posix.reason())
  end
  self.at = self.at + n
end

--- A sink that keeps nothing.
function bytes.nowhere()
  return {at = 0, write = function(self, from, n) self.at = self.at + (n or #from) end}
end

--- A sink on an open file.
function bytes.sink(file) return setmetatable({file = file, at = 0}, Sink) end

return bytes
