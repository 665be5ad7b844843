--- The folder that a data set is written to. Files are written to a folder beside it, and moved
--- when all are whole.

local lfs = require 'lfs'
local atomic = require 'tinykg.base.atomic_file'
local entries = require 'tinykg.base.folder_entries'
local size_text = require('tinykg.base.format').bytes
local must = require 'tinykg.base.must'
local progress = require 'tinykg.base.progress'

local folder = {}

local AT_ONCE = 8192 -- texts that are joined before they are written
local COMPRESSED = { '', '.gz', '.xz' }

---@class tinykg.Out
local Out = {}
Out.__index = Out

local function stripped(dir) return dir:match('^(.-)/*$') == '' and '/' or dir:match('^(.-)/*$') end

local function is_folder(dir) return lfs.attributes(dir, 'mode') == 'directory' end

--- Errors: the place has no name, is a file, or a folder with other files.
---@param dir string
---@param force boolean? other files are no reason
function folder.check(dir, force)
  if dir == '' then error('data convert: the folder to write has no name', 0) end
  dir = stripped(dir)
  local mode = lfs.attributes(dir, 'mode')
  if mode and mode ~= 'directory' then error(dir .. ': it is there and is not a folder', 0) end
  if not mode then return end
  if force and is_folder(dir .. '/derived') then
    error(dir .. ': it has a folder derived/, which would be read instead: name another', 0)
  end
  if force then return end
  if #entries(dir) > 0 then
    error(dir .. ': there are files in this folder: name a new one, or give --force', 0)
  end
end

local function compressor()
  local ok, zlib = pcall(require, 'zlib')
  if not ok then error('--gzip needs lua-zlib: apt-get install lua-zlib', 0) end
  return zlib.deflate(zlib.BEST_SPEED + 5, 15 + 16) -- + 16: gzip's header and checksum
end

--- Begins to write a data set to `dir`.
---@param dir string
---@param options {gzip: boolean?}
---@return tinykg.Out
function folder.begin(dir, options)
  dir = stripped(dir)
  if options.gzip then compressor() end
  local self = setmetatable({ dir = dir, beside = must(atomic.folder_beside(dir)),
    gzip = options.gzip, lines = {}, names = {}, line = progress.line() }, Out)
  return self
end

--- Adds a note for the user, one line.
function Out:say(format, ...) self.lines[#self.lines + 1] = format:format(...) end

-- Stops at Ctrl-C, if the command line watches for it.
local function check_interrupted()
  require('tinykg.engine.runtime').check_interrupt(true)
end

--- Adds a file that the caller writes, uncompressed. Returns its path.
---@param name string ---@return string path
function Out:add(name)
  self.names[#self.names + 1] = name
  return self.beside .. '/' .. name
end

--- Writes a file: fill(put) calls put(text) as often as it likes.
---@param name string
---@param fill fun(put: fun(text: string))
function Out:file(name, fill)
  local path = self:add(name .. (self.gzip and '.gz' or ''))
  must(atomic.write(path, function(file)
    local deflate, texts, count, bytes = self.gzip and compressor(), {}, 0, 0
    local function flush(last)
      check_interrupted()
      local text = table.concat(texts, '', 1, count)
      count, bytes = 0, bytes + #text
      self.line.update(function() return ('writing %s: %s'):format(name, size_text(bytes)) end)
      if deflate then text = deflate(text, last and 'finish' or nil) end
      local ok, why = file:write(text)
      must(ok, ('%s/%s: cannot be written: %s'):format(self.dir, name, tostring(why)))
    end
    fill(function(text)
      count = count + 1
      texts[count] = text
      if count == AT_ONCE then flush() end
    end)
    flush(true)
  end))
end

-- The files of an earlier data set there, including those that are not written now.
local function remove_old(dir, owned)
  for _, name in ipairs(owned) do
    for _, ending in ipairs(COMPRESSED) do os.remove(dir .. '/' .. name .. ending) end
  end
end

--- Moves the files to their places.
---@param owned string[] names of the files that the format may have
function Out:finish(owned)
  self.line.clear()
  if not is_folder(self.dir) then
    local ok, why = os.rename(self.beside, self.dir)
    return must(ok, ('%s: cannot be made: %s'):format(self.dir, tostring(why)))
  end
  remove_old(self.dir, owned)
  for _, name in ipairs(self.names) do
    must(os.rename(self.beside .. '/' .. name, self.dir .. '/' .. name))
  end
  lfs.rmdir(self.beside)
end

--- Removes all that was written.
function Out:abandon()
  self.line.clear()
  if not is_folder(self.beside) then return end
  for _, name in ipairs(entries(self.beside)) do os.remove(self.beside .. '/' .. name) end
  lfs.rmdir(self.beside)
end

return folder
