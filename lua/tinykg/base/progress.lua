--- The progress line of long work: redrawn in place on a terminal, silent in a pipe. A sweep reads
--- the lines of its jobs through the file that TINYKG_PROGRESS names.
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local posix = require 'tinykg.base.posix'

local progress = {}

local channel = os.getenv('TINYKG_PROGRESS')
channel = channel and io.open(channel, 'w')

local silent = false

--- Makes all lines from now on silent: --quiet, which is read before a data set is loaded.
function progress.silence() silent = true end

---@param quiet? boolean
function progress.line(quiet)
  local drawn, last = 0, -1
  local on = not quiet and not silent and (channel or posix.is_terminal(2))
  return {
    --- Shows the text that fn() returns, at most ten times a second.
    update = function(fn)
      if not on then return end
      local now = clock.now()
      if now - last < 0.1 then return end
      last = now
      local text = format.line(fn())
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

--- Calls fn(update), where update is that of a progress line. The line is cleared when fn returns
--- or raises an error. ---@return any result of fn
function progress.during(fn)
  local line = progress.line()
  local ok, result = pcall(fn, line.update)
  line.clear()
  must(ok, result)
  return result
end

return progress
