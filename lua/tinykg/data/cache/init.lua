--- Loaded data sets, kept in $XDG_CACHE_HOME/tinykg (~/.cache/tinykg), so that the next run does
--- not parse the same files again. A set is kept under its folder and options; it is used only
--- while every file of the folder, the program and the options are as they were, and its own bytes
--- are as written. In any other case, and where it cannot be read or written, files are parsed.
---
--- TINYKG_CACHE=off turns it off for a process, TINYKG_CACHE=FOLDER keeps it elsewhere, and option
--- `cache` of a data set is 'auto' (what took SLOW seconds to load), 'on' or 'off'. Deleting the
--- folder, or files in it, clears it.

local ffi = require 'ffi'
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local cache_file = require 'tinykg.data.cache.file'
local clock = require 'tinykg.base.clock'
local entries = require 'tinykg.base.folder_entries'
local files = require 'tinykg.data.formats.files'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local lib = require 'tinykg.engine.lib'
local posix = require 'tinykg.base.posix'
local tables = require 'tinykg.base.tables'

local cache = {
  YOUNG = 2,        -- seconds: a file changed so shortly before may change again unseen
  SLOW = 0.2,       -- seconds of the processor from which on a set is kept
  UNUSED = 30 * 86400 -- seconds after which a set that nobody reads is deleted
}

local ENDING = '.set'

--- The folder of the cache; nil, reason without one.
---@return string? folder ---@return string? reason
function cache.folder()
  local chosen, home = os.getenv('TINYKG_CACHE'), os.getenv('HOME')
  if chosen == 'off' then return nil, 'TINYKG_CACHE=off' end
  if chosen and chosen ~= '' then -- 0, no and on are no folders that anybody means
    if chosen:find('/', 1, true) then return chosen end
    return nil, ('TINYKG_CACHE=%s is neither off nor a path with a slash'):format(chosen)
  end
  local base = os.getenv('XDG_CACHE_HOME')
  if base and base:find('^/') then return base .. '/tinykg' end
  if home and home ~= '' then return home .. '/.cache/tinykg' end
  return nil, 'HOME is not set'
end

-- ---- what a set depends on ----

local stamp_of = ffi.typeof('double[?]')
local OWNER, CHANGED = 7, { 1, 3 } -- places in a stamp

local function stamp(path)
  local values = stamp_of(lib.TKG_FILE_STAMP)
  return lib.tkg_file_stamp(path, values) == 1 and values or nil
end

-- Adds the stamp of each plain file in a folder as a line. Returns when the youngest was changed.
local function stamps(dir, lines, youngest)
  for _, name in ipairs(lfs.attributes(dir, 'mode') == 'directory' and entries(dir) or {}) do
    local values, numbers = stamp(dir .. '/' .. name), {}
    if values then
      for k = 0, OWNER do numbers[k + 1] = ('%.17g'):format(values[k]) end
      lines[#lines + 1] = json.encode(name) .. ' ' .. table.concat(numbers, ' ')
      for _, k in ipairs(CHANGED) do youngest = math.max(youngest, values[k]) end
    end
  end
  return youngest
end

-- Folders of the program that decide what a loaded set is.
local FOLDERS = { 'data', 'data/cache', 'data/formats', 'data/options', 'data/loader', 'engine',
  'base' }

local program -- the lines of the files that load data sets; they do not change while this runs

local function program_lines()
  if not program then
    program = { ffi.string(lib.tkg_version()), jit.arch }
    local root = debug.getinfo(1, 'S').source:match('^@(.*)data/cache/init%.lua$')
    local library = (os.getenv('TINYKG_LIB') or ''):match('^(.*)/') or root .. '../../build'
    stamps(library, program, 0)
    for _, folder in ipairs(FOLDERS) do
      if stamps(root .. folder, program, 0) == 0 then
        error(('%s%s: no file of the program'):format(root, folder), 0) -- they have moved
      end
    end
  end
  return program
end

-- What the set depends on as a text, and when the youngest file was changed.
local function key_of(dir, options)
  local lines = { files.basename(dir), json.encode(options), unpack(program_lines()) }
  local youngest = stamps(dir, lines, 0)
  lines[#lines + 1] = 'derived'
  youngest = math.max(youngest, stamps(dir .. '/derived', lines, 0))
  return table.concat(lines, '\n'), youngest
end

-- ---- one set ----

-- The place of a data set in the cache; nil, reason if it has none.
local function place_of(dir, options)
  local given = tables.merged(options)
  given.cache = nil
  if options.cache == 'off' then return nil, 'cache=off' end
  local folder, why = cache.folder()
  local real = folder and posix.realpath(dir)
  if not real then return nil, why or 'its folder is not there' end
  local place = real .. '\n' .. json.encode(given)
  local path = ('%s/%s%s'):format(folder, bit.tohex(lib.tkg_hash_text(place, #place), 16), ENDING)
  local ok, key, youngest = pcall(key_of, dir, given)
  if not ok then return nil, key end
  return { dir = dir, options = given, folder = folder, path = path, key = key,
    youngest = youngest, always = options.cache == 'on', began = clock.wall() }
end

-- The set; nil, and a reason if it is there and cannot be used.
local function read(place)
  local owner = stamp(place.path)
  if not owner then return nil end
  if owner[OWNER] ~= posix.geteuid() then
    return nil, ('%s belongs to another user'):format(place.path)
  end
  local set, why = cache_file.read(place.path, place.key)
  if set then lfs.touch(place.path) end
  return set, why and ('%s: %s'):format(place.path, why)
end

-- Deletes sets that nobody has read for long, and what killed processes left.
local function clean(folder)
  local ok, list = pcall(entries, folder)
  for _, name in ipairs(ok and list or {}) do
    local path = folder .. '/' .. name
    local used = lfs.attributes(path, 'modification')
    local own = name:sub(-#ENDING) == ENDING or atomic_file.is_unfinished(name)
    if own and used and os.time() - used > cache.UNUSED then os.remove(path) end
  end
end

-- Makes the folder, for its owner alone: data sets may be private.
local function make_private(folder)
  local new = not lfs.attributes(folder, 'mode')
  local ok, why = atomic_file.mkdirs(folder)
  if ok and new then posix.chmod(folder, 448) end -- 0700
  return ok, why
end

-- Keeps a set that took so long to load. Returns its path; nil, reason if it is not kept.
local function write(place, set, seconds)
  if not place.always and seconds < cache.SLOW then return nil, 'it is quick to load' end
  if place.began - place.youngest < cache.YOUNG then
    return nil, 'its files have just been changed'
  end
  if key_of(place.dir, place.options) ~= place.key then return nil, 'its files are changing' end
  local made, why = make_private(place.folder)
  if not made then return nil, why end
  clean(place.folder)
  local ok, reason = cache_file.write(place.path, place.key, set)
  if ok then return place.path end
  return nil, reason
end

--- The data set of a folder from the cache; else what parse() returns, which is kept. Its field
--- `cached` says which.
---@param dir string
---@param options table those of data.load
---@param parse fun(): table
---@return table set
function cache.load(dir, options, parse)
  local place, why = place_of(dir, options)
  local began, set, damage = os.clock(), nil, nil -- of the processor: a busy machine is not slow
  if place then set, damage = read(place) end
  if set then
    set.cached = 'read from ' .. place.path
    return set
  end
  set = parse()
  collectgarbage() -- what reading needed is outside Lua's heap, so nothing else would start one
  local path
  if place then path, why = write(place, set, os.clock() - began) end
  set.cached = (damage and damage .. '; ' or '')
    .. (path and 'kept in ' .. path or 'not kept: ' .. why)
  return set
end

--- Why nothing can be written into a folder that is there or is to be made; nil if it can be.
local function why_not_written(folder)
  local at = folder
  while at and not lfs.attributes(at, 'mode') do at = at:match('^(/.*)/') or at:match('^/') end
  if not at then return nil end
  if lfs.attributes(at, 'mode') ~= 'directory' then return at .. ' is not a folder' end
  local ok, message = require('posix.unistd').access(at, 'wx')
  return not ok and message or nil
end

--- A line about the cache: where it is, how many sets it has and their bytes.
---@return string
function cache.describe()
  local folder, why = cache.folder()
  if not folder then return 'off: ' .. why end
  local sets, bytes = 0, 0
  for _, name in ipairs(lfs.attributes(folder, 'mode') == 'directory' and entries(folder) or {}) do
    if name:sub(-#ENDING) == ENDING then
      sets, bytes = sets + 1, bytes + (lfs.attributes(folder .. '/' .. name, 'size') or 0)
    end
  end
  local off = why_not_written(folder)
  return ('%s: %s, %s%s'):format(folder, format.count(sets, 'data set'), format.bytes(bytes),
                                 off and '; no more can be written: ' .. off or '')
end

return cache
