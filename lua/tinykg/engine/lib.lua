--- Loads the engine: declarations from its headers, code from libtinykg.so. Returns the FFI
--- library. Errors: one line that says what to do.
local ffi = require 'ffi'
local posix = require 'tinykg.base.posix'
local read_file = require 'tinykg.base.read_file'

local ABI = 3
local root = debug.getinfo(1, 'S').source:match('^@(.*)lua/tinykg/engine/lib%.lua$') or './'
if root == '' then root = './' end

--- The part of a header between its ffi markers.
local function declarations(name)
  local path = root .. 'engine/' .. name
  local text = read_file(path)
  local part = text and text:match('/%* ffi:begin %*/(.-)/%* ffi:end %*/')
  if not part then
    error(path .. ': not found or without ffi markers; is the installation complete?', 0)
  end
  return part
end

for _, header in ipairs{'tinykg.h', 'data/string_table.h', 'data/table.h', 'data/csr.h',
                        'data/graph.h', 'data/metrics.h', 'base/checksum.h', 'base/sha256.h',
                        'base/file_stamp.h'} do
  ffi.cdef(declarations(header))
end

-- Makes waiting OpenMP threads spin for a short while only: on busy cores, long spinning makes two
-- threads up to 15 times slower than one (measured). The OpenMP library reads this when it loads.
posix.setenv('GOMP_SPINCOUNT', '2000', false) -- unless it is set
posix.setenv('KMP_BLOCKTIME', '0', false)

-- glibc would keep arrays of up to 32 MiB after they were freed; from 1 MiB on they are returned.
-- LuaJIT maps machine code at random places near the heap. Where that keeps the heap from growing,
-- glibc takes memory elsewhere; when the heap can grow again it frees the rest of that memory, and
-- trims the end of the heap if it is larger than this: what malloc has just taken, and it returns
-- NULL (malloc.c of glibc 2.36: sysmalloc, _int_free, systrim). What is smaller than 1 MiB never
-- makes that end so large.
local M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
posix.mallopt(M_MMAP_THRESHOLD, 'MALLOC_MMAP_THRESHOLD_', 2 ^ 20)
posix.mallopt(M_TRIM_THRESHOLD, 'MALLOC_TRIM_THRESHOLD_', 4 * 2 ^ 20)

-- A thread that allocates reserves 64 MiB of address space, or does not, as it happens. Where that
-- is limited (ulimit -v), threads share one arena, so that what is free does not depend on it.
local M_ARENA_MAX = -8
local limits = read_file('/proc/self/limits') or ''
if limits:find('Max address space +%d') then posix.mallopt(M_ARENA_MAX, 'MALLOC_ARENA_MAX', 1) end

local function load()
  local named = os.getenv('TINYKG_LIB')
  local tried = {}
  for _, path in ipairs{named or root .. 'build/libtinykg.so', root .. '../../lib/libtinykg.so',
                        'libtinykg.so'} do
    local ok, lib = pcall(ffi.load, path)
    if ok then return lib end
    tried[#tried + 1] = tostring(lib)
  end
  error('the engine could not be loaded (run make): ' .. tried[1], 0)
end

local C = load()
if C.tkg_abi() ~= ABI then
  error(string.format('libtinykg.so has ABI %d, these Lua files need %d: run make again',
                      C.tkg_abi(), ABI), 0)
end

return C
