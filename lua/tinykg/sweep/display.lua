--- What is seen of a batch while it runs: on a terminal one table, redrawn in place; in a pipe a
--- line for each member that is over.
local clock = require 'tinykg.base.clock'
local posix = require 'tinykg.base.posix'
local format = require 'tinykg.base.format'
local messages = require 'tinykg.run.messages'

local display = {}

--- What there is to say of a member.
local function news(member)
  if member.state == 'running' then return member.line or 'loading' end
  if member.summary then return messages.metrics(member.summary.test) end
  return member.message or ''
end

local function width_of(members)
  local width = 0
  for _, m in ipairs(members) do width = math.max(width, #m.name) end
  return width
end

local function line_of(member, width)
  local took = member.seconds and format.duration(member.seconds) or ''
  return format.line(('%-' .. width .. 's  %-8s %8s  %s')
    :format(member.name, member.state, took, news(member)))
end

local STATES = {'done', 'before', 'running', 'waiting', 'failed', 'diverged', 'stopped'}

local function head_of(members, started)
  local count, parts = {}, {}
  for _, m in ipairs(members) do count[m.state] = (count[m.state] or 0) + 1 end
  for _, state in ipairs(STATES) do
    if count[state] then parts[#parts + 1] = ('%d %s'):format(count[state], state) end
  end
  return ('%s: %s  %s'):format(format.count(#members, 'run'), table.concat(parts, ', '),
                                    format.duration(clock.now() - started))
end

--- The members that fit: those that run, then those around them.
local function chosen(members, room)
  if #members <= room then return members end
  local first = 1
  for i, m in ipairs(members) do
    if m.state == 'running' then
      first = math.max(1, math.min(i - math.floor(room / 3), #members - room + 1))
      break
    end
  end
  local list = {}
  for i = first, math.min(#members, first + room - 1) do list[#list + 1] = members[i] end
  return list
end

local function on_terminal(members)
  local drawn, last, started, width = 0, -1, clock.now(), width_of(members)
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
    local lines = {head_of(members, started)}
    for _, m in ipairs(chosen(members, (rows or 24) - 3)) do
      lines[#lines + 1] = line_of(m, width)
    end
    show.clear()
    for i, line in ipairs(lines) do lines[i] = line:sub(1, (columns or 80) - 1) end
    io.stderr:write(table.concat(lines, '\n'), '\n')
    io.stderr:flush()
    drawn = #lines
  end
  return show
end

local function nothing() end

--- How a batch is shown. ---@param members Member[] ---@param quiet boolean
---@return table show {update(), finished(member), clear()}
function display.new(members, quiet)
  local show = {update = nothing, clear = nothing, finished = nothing}
  if quiet then return show end
  if posix.is_terminal(2) then show = on_terminal(members) end
  local width = width_of(members)
  function show.finished(member)
    show.clear()
    print(line_of(member, width))
    io.stdout:flush()
  end
  return show
end

return display
