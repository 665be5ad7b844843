--- Wall-clock seconds, monotonic; and whether standard error is a terminal.
local ffi = require 'ffi'

ffi.cdef [[
typedef struct tkg_timespec { long seconds, nanoseconds; } tkg_timespec;
int clock_gettime(int clock, tkg_timespec *now);
int isatty(int file);
]]

local MONOTONIC = ffi.os == 'OSX' and 6 or 1
local now = ffi.new('tkg_timespec')

return {
  ---@return number seconds since some fixed moment
  now = function()
    ffi.C.clock_gettime(MONOTONIC, now)
    return tonumber(now.seconds) + tonumber(now.nanoseconds) * 1e-9
  end,
  ---@return boolean
  terminal = function() return ffi.C.isatty(2) == 1 end,
}
