--- The readers written in Lua, for readers.c: each takes the bytes of an input and returns nothing.
--- Raises a message where what it found breaks a promise; what a reader refuses breaks none.
local ffi = require 'ffi'
local lfs = require 'lfs'
local bytes = require 'tinykg.store.bytes'
local complaint = require 'tests.faults.refusal'
local json = require 'tinykg.base.json'
local npy = require 'tinykg.store.npy'
local npz = require 'tinykg.store.npz'
local safetensors = require 'tinykg.store.safetensors'
local tk = require 'tinykg'
local utf8 = require 'tinykg.base.utf8'

-- ---- a source in memory, as tinykg.store.bytes makes them of files ----

local Memory = {text = bytes.text}
Memory.__index = Memory

function Memory:read(to, n)
  if n > self.left then bytes.refuse('truncated') end
  ffi.copy(to, self.bytes:sub(self.at + 1, self.at + n), n)
  self.at, self.left = self.at + n, self.left - n
end

function Memory:seek(at, stop)
  assert(at >= 0 and at % 1 == 0, 'a place in the file')
  self.at, self.left = at, math.max(0, (stop or self.size) - at)
end

local function source_of(text)
  return setmetatable({bytes = text, at = 0, size = #text, left = #text}, Memory)
end

-- ---- reading ----

--- What fn returns, or nil where it refuses the input in a message that people can read.
local function reads(fn, ...)
  local ok, result, message = pcall(bytes.guard, 'input', fn, ...)
  if not ok then error('raised: ' .. tostring(result), 0) end
  if result ~= nil then return result end
  local wrong = complaint(message)
  if wrong then error(wrong, 0) end
end

--- Looks at the first and the last element of each tensor and frees it.
local function use(tensors)
  for name, t in pairs(tensors) do
    local values, n = t:values()
    assert(type(name) == 'string' and n == t:count(), 'a tensor has its elements')
    if n > 0 then assert(tonumber(values[0]) and tonumber(values[n - 1]), 'they are numbers') end
    t:free()
  end
end

local readers = {}

function readers.npy(text)
  local t = reads(npy.read, source_of(text), 'array')
  if t then use{array = t} end
end

function readers.npz(text)
  local tensors = reads(npz.read, source_of(text))
  if tensors then use(tensors) end
end

function readers.safetensors(text)
  local tensors = reads(safetensors.read, source_of(text))
  if tensors then use(tensors) end
end

--- What is read and written again is read as the same. Keys that are not UTF-8 are written changed.
function readers.json(text)
  local value, message = json.decode(text, 'input')
  if value == nil then
    local wrong = complaint(message)
    if wrong then error(wrong, 0) end
    return
  end
  if utf8.valid(text) ~= text then return end
  local ok, written = pcall(json.encode, value)
  if not ok then
    local wrong = complaint(written)
    if wrong then error(wrong, 0) end
    return
  end
  local again = json.decode(written, 'written')
  assert(again ~= nil and json.encode(again) == written, 'JSON survives the way out and back')
end

-- ---- data sets ----

local MEMORY = lfs.attributes('/dev/shm', 'mode') == 'directory' and '/dev/shm' or '/tmp'
local folder = ('%s/tinykg-fuzz-%d'):format(MEMORY, require('posix.unistd').getpid())

local function empty()
  for name in lfs.dir(folder) do
    if name ~= '.' and name ~= '..' then assert(os.remove(folder .. '/' .. name)) end
  end
end

-- The folder goes when the process ends, also after a violation.
local guard = newproxy(true)
getmetatable(guard).__gc = function()
  empty()
  lfs.rmdir(folder)
end

--- Fills the folder. A line `== NAME` begins each file of the input.
local function fill(text)
  if not lfs.attributes(folder, 'mode') then assert(lfs.mkdir(folder)) end
  empty()
  local file
  for line in text:gmatch('[^\n]*\n?') do
    local name = line:match('^== ([%w._]+)\n?$')
    if name and name:find('%w') then
      if file then file:close() end
      file = io.open(folder .. '/' .. name, 'wb')
    elseif file then
      file:write(line)
    end
  end
  if file then file:close() end
end

local OPTIONS = {{}, {split = 'time'}, {kcore = 2}, {task = 'ctr'}, {task = 'ranking'},
                 {order = 'degree'}, {order = 'bfs'}, {rating_threshold = 3},
                 {split = 'leave_one_out'}}

--- Looks at all that a data set offers. What is refused here too must be refused in words.
local function look_at(data)
  tostring(data:info())
  for batch in data:batches{size = 4, negatives = data.task == 'ranking' and 1 or nil} do
    batch.users:totable()
    batch.items:totable()
  end
  tostring(tk.graph(data, {of = 'both'}))
  for id = 0, math.min(data.users, 3) - 1 do data.names.users:name(id) end
  for id = 0, math.min(data.items, 3) - 1 do data.names.items:label(id) end
end

--- A whole folder, loaded as the first byte says. Ids of seven digits are left out: their tables
--- take memory by right.
function readers.folder(text)
  if text == '' or text:find('%d%d%d%d%d%d%d') then return end
  fill(text:sub(2))
  local options = OPTIONS[text:byte() % #OPTIONS + 1]
  local ok, data = pcall(tk.data.load, folder, options)
  if ok then ok, data = pcall(look_at, data) end
  local wrong = not ok and complaint(data)
  if wrong then error(wrong, 0) end
end

--- Messages quote their input: one that reads as an error of Lua itself is left out.
return setmetatable({guard = guard}, {__index = function(_, name)
  return readers[name] and function(text)
    if text == '' or not complaint(text) then readers[name](text) end
  end
end})
