--- Files that are whole or not there: written beside, synced, then renamed into place.
local ffi = require 'ffi'
local lfs = require 'lfs'

ffi.cdef [[
int fileno(void *file);
int ferror(void *file);
int fsync(int descriptor);
int open(const char *path, int flags, ...);
int close(int descriptor);
int getpid(void);
char *strerror(int code);
char *realpath(const char *path, char *resolved);
void free(void *memory);
]]

local atomic = {}
local libc = ffi.C

local EINVAL = 22 -- from fsync: this kind of file has nothing to sync (Linux and the BSDs agree)

--- What the last failed call of the C library said.
local function reason() return ffi.string(libc.strerror(ffi.errno())) end
atomic.reason = reason

local function synced(descriptor) return libc.fsync(descriptor) == 0 or ffi.errno() == EINVAL end

--- Makes a rename in this folder last. A folder that cannot be opened is left to the system.
local function sync_folder(path)
  local descriptor = libc.open(path, 0)
  if descriptor < 0 then return true end
  local ok = synced(descriptor)
  local why = not ok and reason() or nil
  libc.close(descriptor)
  return ok, why
end

--- The file a path leads to through symbolic links, so that a link stays one.
local function resolve(path)
  local resolved = libc.realpath(path, nil)
  if resolved == nil then return path end
  local text = ffi.string(resolved)
  libc.free(resolved)
  return text
end

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
  -- A write of the function whose result nobody looked at.
  if libc.ferror(file) ~= 0 then return nil, 'a write failed' end
  return true
end

--- Writes `target` whole. Returns ok, why (without the path), and whether an error was raised.
local function write_file(target, content, sync)
  local file, message = io.open(target, 'wb')
  if not file then return nil, (message:gsub('^.*: ', '')) end
  local called, ok, why = pcall(fill, file, content)
  if called and ok and sync and not synced(libc.fileno(file)) then ok, why = nil, reason() end
  if io.type(file) == 'file' then
    local closed, close_message = file:close()
    if called and ok and not closed then ok, why = nil, close_message end
  end
  if not called then return nil, ok, true end
  return ok, why
end

local function replace(path, content)
  local beside = path .. '.tmp.' .. libc.getpid()
  local ok, why, raised = write_file(beside, content, true)
  if ok then
    local renamed, message = os.rename(beside, path)
    if renamed then return sync_folder(path:match('^(.*/)[^/]*$') or '.') end
    ok, why = nil, (message:gsub('^.*: ', ''))
  end
  os.remove(beside)
  return ok, why, raised
end

--- Writes a file such that readers see the old one or the whole new one, also after a crash.
-- The content goes to PATH.tmp.PID, is synced, and takes the place of PATH by a rename. What is
-- not a plain file (a terminal, a pipe, /dev/stdout) is written directly.
---@param path string a symbolic link stays; the file it leads to is replaced
---@param content string|string[]|fun(file: file*) the bytes; a function may return nil, message
--- to give up, and an error it raises is raised again, both without a trace in the folder
---@return true|nil ok
---@return string? message "PATH: cannot be written: WHY"
function atomic.write(path, content)
  local kind = type(content)
  if type(path) ~= 'string' or path == '' then error('atomic.write: expected a path', 2) end
  if kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
    error('atomic.write: expected a string, a list of strings or a function, got ' .. kind, 2)
  end
  local mode = lfs.attributes(path, 'mode')
  if mode == 'directory' then return nil, path .. ': cannot be written: it is a folder' end
  local ok, why, raised
  if mode and mode ~= 'file' then ok, why, raised = write_file(path, content, false)
  else ok, why, raised = replace(mode and resolve(path) or path, content) end
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
function atomic.mkdirs(path)
  if type(path) ~= 'string' or path == '' then error('atomic.mkdirs: expected a path', 2) end
  return make_folder(path:match('^(.-)/*$') == '' and '/' or path:match('^(.-)/*$'))
end

return atomic
