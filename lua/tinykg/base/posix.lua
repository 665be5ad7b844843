--- Functions of the C library: lua-posix's where it has them, the FFI for the rest. Those that can
--- fail return nil, reason and the number of the error.
local ffi = require 'ffi'
local errno = require 'posix.errno'
local fcntl = require 'posix.fcntl'
local unistd = require 'posix.unistd'

ffi.cdef [[
typedef struct tkg_timespec { long seconds, nanoseconds; } tkg_timespec;
typedef struct tkg_winsize { unsigned short rows, columns, x, y; } tkg_winsize;
int clock_gettime(int clock, tkg_timespec *now);
int ioctl(int descriptor, unsigned long request, ...);
int flock(int descriptor, int operation);
int getentropy(void *to, size_t size);
int ferror(void *file);
size_t fread(void *to, size_t size, size_t count, void *file);
size_t fwrite(const void *from, size_t size, size_t count, void *file);
void *memchr(const void *from, int byte, size_t n);
void *calloc(size_t count, size_t size);
void free(void *block);
void *mmap(void *place, size_t bytes, int protection, int flags, int descriptor, int64_t offset);
int munmap(void *block, size_t bytes);
int mallopt(int option, int value);
]]

local libc, macos = ffi.C, ffi.os == 'OSX'

--- `libc` has the functions declared above.
local posix = {libc = libc, EINVAL = errno.EINVAL, getpid = unistd.getpid,
               geteuid = unistd.geteuid, close = unistd.close,
               setenv = require('posix.stdlib').setenv, realpath = require('posix.stdlib').realpath,
               fileno = require('posix.stdio').fileno, chmod = require('posix.sys.stat').chmod}

--- Sets an option of malloc (mallopt(3)) unless its environment variable does. Only glibc has them.
---@param option integer ---@param variable string ---@param value integer
function posix.mallopt(option, variable, value)
  local known, set = pcall(function() return libc.mallopt end)
  if known and not os.getenv(variable) then set(option, value) end
end

--- Why the last call of `libc` failed. ---@return string
function posix.reason() return (errno.errno(ffi.errno())) end

--- lua-posix puts the path or its own name before the reason; every caller names the file itself.
local function outcome(result, _, code)
  if result then return result end
  return nil, errno.errno(code), code
end

-- ---- files ----

posix.O_CREATE = fcntl.O_RDWR + fcntl.O_CREAT + fcntl.O_EXCL
posix.O_APPEND = fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND
posix.O_CLOEXEC = fcntl.O_CLOEXEC
-- lua-posix does not have this flag, and Linux numbers it by architecture.
posix.O_NOFOLLOW = macos and 0x100 or (ffi.arch == 'arm64' or ffi.arch == 'arm') and 0x8000
  or 0x20000

--- Opens a file; a new one gets mode 0666, less the umask.
---@param path string ---@param flags? integer to read by default
---@return integer? descriptor ---@return string? reason
function posix.open(path, flags) return outcome(fcntl.open(path, flags or 0, 438)) end

---@return integer? ok ---@return string? reason ---@return integer? code
function posix.fsync(descriptor) return outcome(unistd.fsync(descriptor)) end

---@return integer? descriptor ---@return string? reason
function posix.dup2(from, to) return outcome(unistd.dup2(from, to)) end

local READ_WRITE, PRIVATE = 1 + 2, 2
local FAILED = ffi.cast('void *', -1)

--- Maps bytes of an open file into memory. What is written there stays in memory. The bytes are
--- there as long as somebody has the pointer.
---@param offset integer a multiple of the page size ---@param kind ffi.ctype* of the pointer
---@return ffi.cdata*? pointer ---@return string? reason
function posix.map(descriptor, offset, bytes, kind)
  local block = libc.mmap(nil, bytes, READ_WRITE, PRIVATE, descriptor, offset)
  if block == FAILED then return nil, posix.reason() end
  return ffi.gc(ffi.cast(kind, block), function(own) libc.munmap(own, bytes) end)
end

local LOCK_EX_NB = 2 + 4

--- Locks an open file for its descriptor alone, without waiting.
---@return boolean? locked false: another one has it; nil: the file system has no locks
function posix.lock(descriptor)
  if libc.flock(descriptor, LOCK_EX_NB) == 0 then return true end
  if ffi.errno() == errno.EWOULDBLOCK then return false end
end

-- ---- terminals ----

--- Open MPI gives each process a terminal as its standard output, whatever its own is.
local launched = os.getenv('OMPI_COMM_WORLD_SIZE') ~= nil

---@param descriptor integer ---@return boolean
function posix.is_terminal(descriptor)
  return unistd.isatty(descriptor) == 1 and not (launched and descriptor == 1)
end

local TIOCGWINSZ = macos and 0x40087468 or 0x5413

--- The size of a terminal, or nothing where it does not say.
---@param descriptor integer ---@return integer? rows, integer? columns
function posix.window(descriptor)
  local size = ffi.new('tkg_winsize')
  if libc.ioctl(descriptor, TIOCGWINSZ, size) ~= 0 or size.rows == 0 or size.columns == 0 then
    return nil
  end
  return size.rows, size.columns
end

return posix
