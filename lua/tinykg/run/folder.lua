--- The folder of a run: what its files are called, reading and writing them.
--   config.json       every option, seed, version, device
--   recipe.lua        the recipe as it was
--   log.jsonl         one object an epoch
--   best.safetensors  parameters of the best epoch
--   last.safetensors  all that is needed to go on (tinykg.run.checkpoint)
--   kept.json         what each phase's step keeps for backward, value by value
--   summary.json      metrics, memory, kept bytes, times: there when the run is finished
local ffi = require 'ffi'
local lfs = require 'lfs'
local atomic = require 'tinykg.atomic'
local clock = require 'tinykg.clock'
local json = require 'tinykg.json'

local folder = {}

local FILES = {'config.json', 'recipe.lua', 'log.jsonl', 'best.safetensors', 'last.safetensors',
               'kept.json', 'summary.json'}

local function must(ok, message)
  if not ok then error(message, 0) end
  return ok
end

--- Whether a file of the run is there.
function folder.has(path, name) return lfs.attributes(path .. '/' .. name, 'mode') == 'file' end

--- The text of a file; nil where there is none.
function folder.text(path, name) return folder.text_of(path .. '/' .. name) end

--- The same, of any file.
function folder.text_of(path)
  local file = io.open(path, 'rb')
  if not file then return nil end
  local text = file:read('*a')
  file:close()
  return text
end

local MOST_SAID = 4000

--- The end of what a member of a batch printed, which may be any amount, and its last line.
---@return string text ---@return string line ---@return boolean whole whether that is all
function folder.said(path)
  local file = io.open(path .. '/output.txt', 'rb')
  if not file then return '', '', true end
  local size = file:seek('end')
  file:seek('set', math.max(0, size - MOST_SAID))
  local text = file:read('*a')
  file:close()
  return text, ('\n' .. text):match('.*\n([^\n]+)') or '', size <= MOST_SAID
end

-- The folder may have come from somebody else: a link in it, which may lead to any file of the
-- user's, is replaced, not followed.
function folder.write_text(path, name, text)
  must(atomic.write(path .. '/' .. name, text, {links = false}))
end

function folder.write(path, name, value)
  must(json.write(path .. '/' .. name, value, {indent = 2, links = false}))
end

--- A JSON file of the run; nil where there is none. Raises a message that names a broken one.
function folder.read(path, name)
  if not folder.has(path, name) then return nil end
  return must(json.read(path .. '/' .. name))
end

--- The configuration of a run's folder. Raises a message where it is none.
function folder.config(path)
  if not lfs.attributes(path, 'mode') then error(path .. ': no such run', 0) end
  local config = folder.read(path, 'config.json')
  if not config then error(path .. ': not the folder of a run (it has no config.json)', 0) end
  return config
end

--- All of FILES, and the event files that are there: TensorBoard takes a folder's for one run's.
local function files_of(path)
  local list = {unpack(FILES)}
  for name in lfs.dir(path) do
    if name:find('tfevents', 1, true) then list[#list + 1] = name end
  end
  return list
end

--- What an earlier run left there goes to previous/: nothing of it is read as this run's.
local function set_aside(path)
  if not folder.has(path, 'config.json') then return end
  local aside = path .. '/previous'
  if lfs.symlinkattributes(aside, 'mode') == 'link' then os.remove(aside) end
  must(atomic.mkdirs(aside))
  for _, name in ipairs(files_of(aside)) do os.remove(aside .. '/' .. name) end
  for _, name in ipairs(files_of(path)) do os.rename(path .. '/' .. name, aside .. '/' .. name) end
end

--- Makes the folder ready for a new run.
function folder.fresh(path)
  must(atomic.mkdirs(path))
  set_aside(path)
  return path
end

-- ---- one writer at a time ----

ffi.cdef 'int flock(int descriptor, int operation);'
local CLOSE_ON_EXEC = ffi.os == 'OSX' and 0x1000000 or 0x80000
local EXCLUSIVE, HELD = 2 + 4, ffi.os == 'OSX' and 35 or 11 -- LOCK_EX | LOCK_NB; EWOULDBLOCK
local PATIENCE = 3 -- seconds: a member outlives its batch, when that is killed, for a moment

--- Keeps other processes from writing into a folder until this one ends, however it ends, or calls
--- what is returned. Raises a message when another is at it.
---@param path string a folder that is there
---@return fun() release
function folder.lock(path)
  local until_then = clock.now() + PATIENCE
  local descriptor = ffi.C.open(path, CLOSE_ON_EXEC)
  while descriptor >= 0 and ffi.C.flock(descriptor, EXCLUSIVE) ~= 0 do
    if ffi.errno() ~= HELD then break end -- a file system without locks
    if clock.now() > until_then then
      ffi.C.close(descriptor)
      error(path .. ': another process is writing there', 0)
    end
    clock.sleep(0.05)
  end
  return function() if descriptor >= 0 then ffi.C.close(descriptor) end end
end

--- Removes what a run that was killed had begun to write (tinykg.atomic).
function folder.tidy(path)
  local left = {}
  for name in lfs.dir(path) do
    if atomic.is_unfinished(name) then left[#left + 1] = path .. '/' .. name end
  end
  for _, file in ipairs(left) do os.remove(file) end
end

--- A name for a folder that is not there yet: `base`, or base-2, base-3, ...
function folder.unused(base)
  local path, n = base, 1
  while lfs.attributes(path, 'mode') do
    n = n + 1
    path = base .. '-' .. n
  end
  return path
end

--- The epochs logged, as a list of records. A line that a crash cut off is left out.
function folder.log(path)
  local list = {}
  for line in (folder.text(path, 'log.jsonl') or ''):gmatch('[^\n]+') do
    local ok, record = pcall(json.decode, line)
    if ok and type(record) == 'table' and record.epoch then list[#list + 1] = record end
  end
  return list
end

--- A function that adds a record to log.jsonl. Of what is there, epochs up to `epoch` stay: later
--- ones belong to work that was lost.
---@param epoch? integer
function folder.logger(path, epoch)
  local lines, name = {}, path .. '/log.jsonl'
  for _, record in ipairs(epoch and folder.log(path) or {}) do
    if record.epoch <= epoch then lines[#lines + 1] = json.encode(record) .. '\n' end
  end
  folder.write_text(path, 'log.jsonl', table.concat(lines))
  local file = must(atomic.append(name))
  return function(record)
    local done, why = file:write(json.encode(record), '\n')
    if done then done, why = file:flush() end
    if not done then error(name .. ': ' .. tostring(why), 0) end
  end
end

--- A path that means the same from everywhere.
function folder.absolute(path)
  return path:match('^/') and path or lfs.currentdir() .. '/' .. path
end

return folder
