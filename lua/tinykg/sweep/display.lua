--- Shows a sweep while it runs: on a terminal one table, redrawn in place; in a pipe a line per job
--- that has ended.
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local json_line = require 'tinykg.run.json_line'
local messages = require 'tinykg.run.messages'
local posix = require 'tinykg.base.posix'
local terminal = require 'tinykg.base.terminal'
local time_left = require 'tinykg.sweep.time_left'
local utf8 = require 'tinykg.base.utf8'

local display = {}

local function status_text(job)
  if job.state == 'running' then return job.line or 'loading' end
  if job.summary then return messages.short(job.summary) end
  return job.message or ''
end

--- The columns that a job's name takes. ---@param job Job
local function columns_of(job) return utf8.columns(format.line(job.name)) end

local function width_of(jobs)
  local width = 0
  for _, m in ipairs(jobs) do width = math.max(width, columns_of(m)) end
  return width
end

local function line_of(job, width)
  local took = job.seconds and format.duration(job.seconds) or ''
  local name = job.name .. (' '):rep(width - columns_of(job)) -- formats take widths up to 99
  return format.line(('%s  %-8s %8s  %s'):format(name, job.state, took, status_text(job)))
end

local STATES = {'done', 'before', 'running', 'waiting', 'failed', 'diverged', 'stopped'}

--- The first line: how many runs are in which state, a bar, the time so far and the time left.
local function head_of(jobs, started, at_once, columns)
  local count = {}
  for _, m in ipairs(jobs) do count[m.state] = (count[m.state] or 0) + 1 end
  local parts = tables.map(STATES, function(state)
    return count[state] and ('%d %s'):format(count[state], state)
  end)
  local share, left = time_left(jobs, at_once)
  local after = format.duration(clock.now() - started)
    .. (left and '  about ' .. format.duration(left) .. ' left' or '')
  return terminal.with_bar(('%s: %s'):format(format.count(#jobs, 'run'),
                                             table.concat(parts, ', ')), share, after, columns)
end

local COLOURS = {done = 'green', before = 'green', failed = 'red', diverged = 'red',
                 running = 'cyan'}

--- A line in the colour of its job's state.
local function painted(line, job, descriptor)
  local colour = COLOURS[job.state]
  return colour and terminal.paint(line, colour, descriptor) or line
end

--- The jobs that fit on the screen: those that run, then those around them.
local function chosen(jobs, room)
  if #jobs <= room then return jobs end
  local first = 1
  for i, m in ipairs(jobs) do
    if m.state == 'running' then
      first = math.max(1, math.min(i - math.floor(room / 3), #jobs - room + 1))
      break
    end
  end
  return {unpack(jobs, first, math.min(#jobs, first + room - 1))}
end

local function on_terminal(jobs, at_once)
  local drawn, last, started, width = 0, -1, clock.now(), width_of(jobs)
  local show = {}
  function show.clear()
    if drawn > 0 then io.stderr:write(('\27[%dA\27[J'):format(drawn)) end
    drawn = 0
  end
  function show.update()
    local now = clock.now()
    if now - last < 0.2 then return end
    last = now
    local rows, columns = posix.window(2)
    columns = (columns or 80) - 1
    local lines = {head_of(jobs, started, at_once, columns)}
    for _, m in ipairs(chosen(jobs, (rows or 24) - 3)) do
      lines[#lines + 1] = painted(line_of(m, width):sub(1, columns), m, 2)
    end
    show.clear()
    io.stderr:write(table.concat(lines, '\n'), '\n')
    io.stderr:flush()
    drawn = #lines
  end
  return show
end

local function nothing() end

---@param jobs Job[] ---@param quiet boolean ---@param at_once integer how many run at a time
---@param as_json boolean a line of JSON per job that has ended, also if quiet
---@return table show {update(), finished(job), clear()}
function display.new(jobs, quiet, at_once, as_json)
  local show = {update = nothing, clear = nothing, finished = nothing}
  if not quiet and posix.is_terminal(2) then show = on_terminal(jobs, at_once) end
  if quiet and not as_json then return show end
  local width = width_of(jobs)
  function show.finished(job)
    show.clear()
    print(as_json and json_line(job.path, job.state, job.summary, job.message)
          or painted(line_of(job, width), job, 1))
    io.stdout:flush()
  end
  return show
end

return display
