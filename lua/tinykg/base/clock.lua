--- Seconds, monotonic or since 1970; and whether standard error is a terminal, of what size.
local ffi = require 'ffi'

ffi.cdef [[
typedef struct tkg_timespec { long seconds, nanoseconds; } tkg_timespec;
int clock_gettime(int clock, tkg_timespec *now);
int isatty(int file);
int usleep(unsigned microseconds);
typedef struct tkg_winsize { unsigned short rows, columns, x, y; } tkg_winsize;
int ioctl(int file, unsigned long request, ...);
]]

local MONOTONIC = ffi.os == 'OSX' and 6 or 1
local REALTIME = 0
local WINDOW_SIZE = ffi.os == 'OSX' and 0x40087468 or 0x5413 -- TIOCGWINSZ
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
  ---@param seconds number less than one
  sleep = function(seconds) ffi.C.usleep(1e6 * seconds) end,
  ---@return boolean of standard error
  terminal = function() return ffi.C.isatty(2) == 1 end,
  ---@param file integer a descriptor ---@return boolean
  is_terminal = function(file) return ffi.C.isatty(file) == 1 end,
  ---@return integer rows, integer columns of the terminal; 24, 80 where it does not say
  window = function()
    local size = ffi.new('tkg_winsize')
    local known = ffi.C.ioctl(2, WINDOW_SIZE, size) == 0 and size.rows > 0 and size.columns > 0
    return known and size.rows or 24, known and size.columns or 80
  end,
}
