--- Writes event files for TensorBoard: curves and texts of a run, without any library.
--
--     local events = assert(tensorboard.open('runs/1'))
--     assert(events:scalar('loss', 0.25, 100))
--     assert(events:close())
--
-- A file is a sequence of records: length, masked CRC-32C of the length, data, masked CRC-32C of
-- the data (TFRecord: tensorflow/core/lib/io/record_writer.cc). The data of each is an Event in
-- protocol buffers' wire format; the numbers of its fields come from event.proto in
-- tensorflow/core/util and summary, tensor, tensor_shape.proto in tensorflow/core/framework. By
-- hand: a library of protocol buffers would be one more to install for two kinds of records.
local bit = require 'bit'
local ffi = require 'ffi'
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local clock = require 'tinykg.base.clock'
local pack = require('tinykg.store.bytes').pack
local posix = require 'tinykg.base.posix'
local uname = require('posix.sys.utsname').uname
local utf8 = require 'tinykg.base.utf8'

local tensorboard = {}

-- ---- records ----

local POLYNOMIAL = 0x82f63b78 -- Castagnoli's, bits reversed (RFC 3720, section 12.1)
local crc_table = ffi.new('int32_t[256]')
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    local low = bit.band(crc, 1)
    crc = bit.rshift(crc, 1)
    if low == 1 then crc = bit.bxor(crc, POLYNOMIAL) end
  end
  crc_table[byte] = crc
end

--- CRC-32C of a text, 0 .. 2^32 - 1.
---@param text string
---@return number
function tensorboard.crc32c(text)
  local crc = -1
  for i = 1, #text do
    local index = bit.band(bit.bxor(crc, text:byte(i)), 255)
    crc = bit.bxor(bit.rshift(crc, 8), crc_table[index])
  end
  return bit.bnot(crc) % 2 ^ 32
end

--- The CRC as TFRecord stores it: masked, because CRCs of data that contain CRCs are poor.
local function masked(text)
  local crc = tensorboard.crc32c(text)
  return pack((bit.ror(bit.tobit(crc), 15) + 0xa282ead8) % 2 ^ 32, 4)
end

local function record(data)
  local length = pack(#data, 8)
  return length .. masked(length) .. data .. masked(data)
end

-- ---- protocol buffers ----

local VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5 -- wire types

--- A whole number of 0 .. 2^53 as seven bits per byte, lowest first.
local function varint(x)
  local out = {}
  while x >= 128 do
    out[#out + 1] = string.char(x % 128 + 128)
    x = math.floor(x / 128)
  end
  out[#out + 1] = string.char(x)
  return table.concat(out)
end

local function field(number, wire, bytes) return varint(number * 8 + wire) .. bytes end
local function integer(number, x) return field(number, VARINT, varint(x)) end
local function text(number, bytes) return field(number, BYTES, varint(#bytes) .. bytes) end
local function real(number, wire, ctype, size, x)
  return field(number, wire, ffi.string(ffi.new(ctype, x), size))
end
local function double(number, x) return real(number, DOUBLE, 'double[1]', 8, x) end
local function float(number, x) return real(number, FLOAT, 'float[1]', 4, x) end

--- An Event. `what`: its content as a field.
local function event(wall_time, step, what)
  return record(double(1, wall_time) .. (step and integer(2, step) or '') .. what)
end

local function summary(value) return text(5, text(1, value)) end

-- A text is a tensor of strings (DT_STRING = 7) of one element, marked for the text plugin.
local TEXT_PLUGIN = text(9, text(1, text(1, 'text')))
local function string_tensor(value)
  return text(8, integer(1, 7) .. text(2, text(2, integer(1, 1))) .. text(8, value))
end

-- ---- event files ----

---@class EventFile an event file that is being written
---@field path string
local EventFile = {}
EventFile.__index = EventFile

local function cannot(path, why)
  return ('%s: cannot be written: %s'):format(path, (tostring(why):gsub('^.*: ', '')))
end

--- The result of a write or flush, as the methods return it. After a failure nothing more is
--- written, and every call returns the same message. ferror is checked too: compiled code repeats a
--- write that failed, and the second one may find room in the buffer.
local function outcome(self, ok, why)
  if ok and posix.libc.ferror(self.file) ~= 0 then ok, why = nil, posix.reason() end
  if ok then return true end
  self.failure = cannot(self.path, why)
  self.file:close()
  self.file = nil
  return nil, self.failure
end

local function closed(self) return nil, self.failure or self.path .. ': is closed' end

local function put(self, bytes)
  if not self.file then return closed(self) end
  return outcome(self, self.file:write(bytes))
end

local function check(what, tag, step)
  if type(tag) ~= 'string' or tag == '' then
    error(('tensorboard: %s: expected a tag, got %s'):format(what, tostring(tag)), 3)
  end
  if type(step) ~= 'number' or step % 1 ~= 0 or step < 0 or step > 2 ^ 53 then
    error(('tensorboard: %s: %s is not a step: a whole number from 0 on'):format(
      tag, tostring(step)), 3)
  end
end

--- Writes a point of a curve, as a 32-bit float; NaN and infinities are allowed.
---@param tag string the curve's name; 'valid/auc' groups it under valid
---@param value number
---@param step integer
---@param wall_time? number seconds since 1970; now
---@return true|nil ok
---@return string? message "PATH: cannot be written: WHY"
function EventFile:scalar(tag, value, step, wall_time)
  check('scalar', tag, step)
  if type(value) ~= 'number' then
    error(('tensorboard: %s: expected a number, got a %s'):format(tag, type(value)), 2)
  end
  local content = text(1, utf8.valid(tag)) .. float(2, value)
  return put(self, event(wall_time or clock.wall(), step, summary(content)))
end

--- Writes a text, shown as Markdown.
---@param tag string ---@param value string ---@param step integer ---@param wall_time? number
---@return true|nil ok
---@return string? message
function EventFile:text(tag, value, step, wall_time)
  check('text', tag, step)
  local content = text(1, utf8.valid(tag)) .. string_tensor(utf8.valid(value)) .. TEXT_PLUGIN
  return put(self, event(wall_time or clock.wall(), step, summary(content)))
end

--- Flushes the file, so that readers see all that was written.
---@return true|nil ok
---@return string? message
function EventFile:flush()
  if not self.file then return closed(self) end
  return outcome(self, self.file:flush())
end

--- Ends the file. A second call does nothing.
---@return true|nil ok
---@return string? message
function EventFile:close()
  if not self.file then return not self.failure or nil, self.failure end
  local ok, message = self:flush()
  if not ok then return nil, message end
  local file = self.file
  self.file = nil
  local done, why = file:close()
  if done then return true end
  self.failure = cannot(self.path, why)
  return nil, self.failure
end

--- A new name in the folder. TensorBoard reads every file with 'tfevents' in its name.
local function new_path(folder, now)
  local host = uname().nodename:gsub('[^%w.-]', '_')
  local base = ('%s/events.out.tfevents.%010d.%s.%d'):format(folder, now, host, posix.getpid())
  local path, n = base, 0
  while lfs.symlinkattributes(path, 'mode') do
    n = n + 1
    path = base .. '.' .. n
  end
  return path
end

--- Begins an event file in a folder, which is made if it is missing. TensorBoard reads all event
--- files of a folder as one run, so a resumed run opens a new one; with purge_step, TensorBoard
--- drops that step and later ones of the earlier files.
---@param folder string
---@param options? {purge_step: integer}
---@return EventFile|nil
---@return string? message
function tensorboard.open(folder, options)
  local purge = options and options.purge_step
  if purge then check('open', 'purge_step', purge) end
  local made, message = atomic_file.mkdirs(folder)
  if not made then return nil, message end
  local now = clock.wall()
  local path = new_path((folder:gsub('(.)/+$', '%1')), now)
  local file, why = atomic_file.create(path)
  if not file then return nil, cannot(path, why) end
  local events = setmetatable({path = path, file = file}, EventFile)
  local ok, failure = put(events, event(now, nil, text(3, 'brain.Event:2')))
  if ok and purge then -- SessionLog with status START
    ok, failure = put(events, event(now, purge, text(7, integer(1, 1))))
  end
  if ok then ok, failure = events:flush() end
  if not ok then return nil, failure end
  return events
end

return tensorboard
