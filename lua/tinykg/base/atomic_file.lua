--- Writes files so that they are whole or not there: into a temporary file that is synced, then
--- renamed.
local ffi = require 'ffi'
local lfs = require 'lfs'
local posix = require 'tinykg.base.posix'
local libc = posix.libc

local atomic_file = {}

--- Syncs a file. One of a kind that has nothing to sync is as good as synced.
local function sync(descriptor)
  local ok, why, code = posix.fsync(descriptor)
  return ok or code == posix.EINVAL, why
end

--- Syncs a folder after a rename in it; one that cannot be opened is skipped.
local function sync_folder(path)
  local descriptor = posix.open(path)
  if not descriptor then return true end
  local ok, why = sync(descriptor)
  posix.close(descriptor)
  return ok, why
end

-- ---- creating files ----

--- Opens a Lua file with flags of open(2), and refuses links. Lua's io.open takes no flags, so the
--- descriptor of a file on /dev/null is replaced.
---@return file*|nil file ---@return string? why
local function open(path, flags)
  local file, message = io.open('/dev/null', 'wb')
  if not file then return nil, message end
  local descriptor, why = posix.open(path, flags + posix.O_NOFOLLOW)
  local ok = descriptor
  if descriptor then
    ok, why = posix.dup2(descriptor, posix.fileno(file))
    posix.close(descriptor)
  end
  if ok then return file end
  file:close()
  return nil, why
end

--- A random name for a temporary file next to `path`, which nobody can predict.
local function name_beside(path)
  local bytes = ffi.new('uint8_t[8]')
  if libc.getentropy(bytes, 8) ~= 0 then return nil, posix.reason() end
  local digits = ffi.string(bytes, 8):gsub('.', function(c) return ('%02x'):format(c:byte()) end)
  return path .. '.tmp.' .. digits
end

--- Whether a name is that of a temporary file, which a killed write leaves behind.
---@param name string
function atomic_file.is_unfinished(name) return name:find('%.tmp%.%x+$') ~= nil end

--- Creates a file. Fails if anything, such as a link, has that name already.
---@param path string ---@return file*|nil file ---@return string? why
function atomic_file.create(path) return open(path, posix.O_CREATE) end

--- Makes a temporary folder next to `path`, which the caller renames or removes.
---@param path string ---@return string|nil folder ---@return string? message "PATH: WHY"
function atomic_file.folder_beside(path)
  local beside, why = name_beside(path)
  if not beside then return nil, path .. ': ' .. why end
  local parent = path:match('^(.*[^/])/+[^/]+$')
  local ok, message = true, nil
  if parent then ok, message = atomic_file.mkdirs(parent) end
  if not ok then return nil, message end
  ok, why = lfs.mkdir(beside)
  if ok then return beside end
  return nil, ('%s: cannot be made: %s'):format(beside, (why:gsub('^.*: ', '')))
end

--- Opens a file to append to it; refuses a link.
---@param path string ---@return file*|nil file ---@return string? message "PATH: WHY"
function atomic_file.append(path)
  local file, why = open(path, posix.O_APPEND)
  if not file then return nil, ('%s: cannot be written: %s'):format(path, why) end
  return file
end

-- ---- writing ----

--- Fills an open file. Returns nil, message on failure; errors of a function pass through.
local function fill(file, content)
  if type(content) == 'function' then
    local result, message = content(file)
    if result == nil and message ~= nil then return nil, message end
  else
    for _, chunk in ipairs(type(content) == 'table' and content or {content}) do
      local ok, message = file:write(chunk)
      if not ok then return nil, message end
    end
  end
  local ok, message = file:flush()
  if not ok then return nil, message end
  -- The function may have ignored the result of a write.
  if libc.ferror(file) ~= 0 then return nil, 'a write failed' end
  return true
end

--- Fills a file and closes it. Returns ok, why (without the path), and whether an error was raised.
local function write_file(file, content, is_synced)
  local called, ok, why = pcall(fill, file, content)
  if called and ok and is_synced then ok, why = sync(posix.fileno(file)) end
  if io.type(file) == 'file' then
    local closed, close_message = file:close()
    if called and ok and not closed then ok, why = nil, close_message end
  end
  if not called then return nil, ok, true end
  return ok, why
end

local function without_path(message) return (message:gsub('^.*: ', '')) end

local function write_directly(path, content)
  local file, message = io.open(path, 'wb')
  if not file then return nil, without_path(message) end
  return write_file(file, content, false)
end

local function replace(path, content, is_synced)
  local file, ok, why, raised
  local beside, unnamed = name_beside(path)
  if not beside then return nil, unnamed end
  file, why = atomic_file.create(beside)
  if not file then return nil, why end
  ok, why, raised = write_file(file, content, is_synced)
  if ok then
    local renamed, message = os.rename(beside, path)
    if renamed and not is_synced then return true end
    if renamed then return sync_folder(path:match('^(.*/)[^/]*$') or '.') end
    ok, why = nil, without_path(message)
  end
  os.remove(beside)
  return ok, why, raised
end

--- Writes a file such that readers see the old one or the whole new one, also after a crash.
-- The content goes to a new file PATH.tmp.DIGITS, which is synced and renamed to PATH. A terminal,
-- a pipe or another path that is no plain file is written directly.
---@param path string a symbolic link stays; the file it leads to is replaced
---@param content string|string[]|fun(file: file*) the bytes; a function may return nil, message
---  to give up, and an error that it raises is raised again; both leave the folder as it was
---@param o? {links: boolean, sync: boolean} sync = false: the content may be lost or damaged by a
---  crash of the machine; links = false: a link or pipe at PATH is replaced instead of written
---  through, as for a folder that may have come from somebody else
---@return true|nil ok
---@return string? message "PATH: cannot be written: WHY"
function atomic_file.write(path, content, o)
  local kind = type(content)
  if type(path) ~= 'string' or path == '' then error('atomic.write: expected a path', 2) end
  if kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
    error('atomic.write: expected a string, a list of strings or a function, got ' .. kind, 2)
  end
  local follow = not (o and o.links == false)
  local mode = (follow and lfs.attributes or lfs.symlinkattributes)(path, 'mode')
  if mode == 'directory' then return nil, path .. ': cannot be written: it is a folder' end
  local ok, why, raised
  if follow and mode and mode ~= 'file' then ok, why, raised = write_directly(path, content)
  else
    ok, why, raised = replace(follow and mode and posix.realpath(path) or path, content,
                              not (o and o.sync == false))
  end
  if ok then return true end
  if raised then error(why, 0) end
  return nil, ('%s: cannot be written: %s'):format(path, tostring(why))
end

local function make_folder(path)
  local mode = lfs.attributes(path, 'mode')
  if mode == 'directory' then return true end
  if mode then return nil, path .. ': cannot be made: it is there and is not a folder' end
  local parent = path:match('^(.*[^/])/+[^/]+$')
  if parent then
    local ok, message = make_folder(parent)
    if not ok then return nil, message end
  end
  local ok, why = lfs.mkdir(path)
  if ok or lfs.attributes(path, 'mode') == 'directory' then return true end -- or another made it
  return nil, ('%s: cannot be made: %s'):format(path, (tostring(why):gsub('^.*: ', '')))
end

--- Makes a folder and those above it that are missing.
---@param path string
---@return true|nil ok
---@return string? message
function atomic_file.mkdirs(path)
  if type(path) ~= 'string' or path == '' then error('atomic.mkdirs: expected a path', 2) end
  return make_folder(path:match('^(.-)/*$') == '' and '/' or path:match('^(.-)/*$'))
end

return atomic_file
