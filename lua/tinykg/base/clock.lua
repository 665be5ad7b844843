--- Seconds, monotonic or since 1970.
local ffi = require 'ffi'
local libc = require('tinykg.base.posix').libc
local nanosleep = require('posix.time').nanosleep

local MONOTONIC, REALTIME = ffi.os == 'OSX' and 6 or 1, 0
local time = ffi.new('tkg_timespec')

local function read(which)
  libc.clock_gettime(which, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

return {
  ---@return number seconds since some fixed moment
  now = function() return read(MONOTONIC) end,
  ---@return number seconds since 1970
  wall = function() return read(REALTIME) end,
  ---@param seconds number
  sleep = function(seconds)
    nanosleep{tv_sec = math.floor(seconds), tv_nsec = math.floor(seconds % 1 * 1e9)}
  end,
}
