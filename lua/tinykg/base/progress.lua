--- The progress line of long work: redrawn in place on a terminal, silent in a pipe. A sweep reads
--- the lines of its jobs through the file that TINYKG_PROGRESS names.
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local posix = require 'tinykg.base.posix'
local terminal = require 'tinykg.base.terminal'

local progress = {}

local channel = os.getenv('TINYKG_PROGRESS')
channel = channel and io.open(channel, 'w')

local silent = false

--- Makes all lines from now on silent: --quiet, which is read before a data set is loaded.
function progress.silence() silent = true end

---@class Progress what a line shows, with a bar where there is room
---@field before string in front of the bar ---@field after string behind it
---@field share number? done so far, 0 to 1 ---@field left number? seconds

--- The line for a sweep: share and seconds left, or -, a tab, and the text.
local function for_sweep(p)
  return ('%s %s\t%s\n'):format(p.share and ('%.6f'):format(p.share) or '-',
                                p.left and ('%.0f'):format(p.left) or '-',
                                format.line((p.before .. '  ' .. p.after):gsub('%s+$', '')))
end

--- Share, seconds left and text of a line for a sweep. ---@param line string
---@return number? share, number? left, string text
function progress.parse(line)
  local share, left, text = line:match('^(%S+) (%S+)\t(.*)$')
  return tonumber(share), tonumber(left), text or line
end

local function text_of(p)
  return format.line(terminal.with_bar(p.before, p.share, p.after, terminal.width(2) - 1))
end

---@param quiet? boolean
function progress.line(quiet)
  local drawn, last = false, -1
  local on = not quiet and not silent and (channel or posix.is_terminal(2))
  return {
    --- Shows what fn() returns, a text or a Progress, at most ten times a second.
    update = function(fn)
      if not on then return end
      local now = clock.now()
      if now - last < 0.1 then return end
      last = now
      local p = fn()
      if type(p) == 'string' then p = {before = p, after = ''} end
      if channel then
        channel:write(for_sweep(p))
        channel:flush()
        return
      end
      terminal.clear_line(2)
      io.stderr:write(text_of(p))
      io.stderr:flush()
      drawn = true
    end,
    clear = function()
      if drawn then terminal.clear_line(2) end
      drawn = false
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
