--- The progress line of long work: redrawn in place on a terminal, silent in a pipe. A batch reads
--- its members' lines through the file that TINYKG_PROGRESS names.
local clock = require 'tinykg.base.clock'
local printable = require 'tinykg.base.printable'

local progress = {}

--- 1234567 -> '1.2 MiB'
function progress.bytes(n)
  local units = {'B', 'KiB', 'MiB', 'GiB', 'TiB'}
  local u = 1
  while n >= 1024 and u < #units do n, u = n / 1024, u + 1 end
  return string.format(u == 1 and '%.0f %s' or '%.1f %s', n, units[u])
end

--- 3725 -> '1:02:05'
function progress.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then return string.format('%d:%02d:%02d', s / 3600, s % 3600 / 60, s % 60) end
  return string.format('%d:%02d', s / 60, s % 60)
end

local channel = os.getenv('TINYKG_PROGRESS')
channel = channel and io.open(channel, 'w')

---@param quiet boolean
function progress.line(quiet)
  local drawn, last = 0, -1
  local on = not quiet and (channel or clock.terminal())
  return {
    --- Shows text made by fn(), at most ten times a second.
    update = function(fn)
      if not on then return end
      local now = clock.now()
      if now - last < 0.1 then return end
      last = now
      local text = printable.line(fn())
      if channel then
        channel:write(text, '\n')
        channel:flush()
        return
      end
      io.stderr:write('\r', text, (' '):rep(math.max(0, drawn - #text)))
      io.stderr:flush()
      drawn = #text
    end,
    clear = function()
      if drawn > 0 then io.stderr:write('\r', (' '):rep(drawn), '\r') end
      drawn = 0
    end,
  }
end

return progress
