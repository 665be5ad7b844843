--- Seconds, monotonic or since 1970; and whether standard error is a terminal.
local ffi = require 'ffi'

ffi.cdef [[
typedef struct tkg_timespec { long seconds, nanoseconds; } tkg_timespec;
int clock_gettime(int clock, tkg_timespec *now);
int isatty(int file);
]]

local MONOTONIC = ffi.os == 'OSX' and 6 or 1
local REALTIME = 0
local time = ffi.new('tkg_timespec')

local function read(which)
  ffi.C.clock_gettime(which, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

return {
  ---@return number seconds since some fixed moment
  now = function() return read(MONOTONIC) end,
  ---@return number seconds since 1970
  wall = function() return read(REALTIME) end,
  ---@return boolean
  terminal = function() return ffi.C.isatty(2) == 1 end,
}
