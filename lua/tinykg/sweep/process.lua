--- Processes: started with their output in a file, polled without waiting.
local fcntl = require 'posix.fcntl'
local poll = require 'posix.poll'
local signal = require 'posix.signal'
local stdlib = require 'posix.stdlib'
local unistd = require 'posix.unistd'
local progress = require 'tinykg.base.progress'
local sys_wait = require 'posix.sys.wait'

local process = {}

---@class Process
---@field pid integer
---@field line string? the last line that it wrote to its progress channel
local Process = {}
Process.__index = Process

local CHANNEL = 3

--- The new process, which becomes another program. It closes the reading end of the pipe, so that a
--- job whose sweep was killed ends when it next writes, instead of waiting for a reader.
local function become(argv, output, from, channel)
  unistd.close(from)
  os.remove(output) -- it may be a link
  local file = fcntl.open(output, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_EXCL, 420) -- 0644
  local null = fcntl.open('/dev/null', fcntl.O_RDONLY)
  if file and null then
    unistd.dup2(null, 0)
    unistd.dup2(file, 1)
    unistd.dup2(file, 2)
    unistd.dup2(channel, CHANNEL)
    stdlib.setenv('TINYKG_PROGRESS', '/dev/fd/' .. CHANNEL)
    local arguments = {}
    for i = 2, #argv do arguments[i - 1] = argv[i] end
    unistd.execp(argv[1], arguments)
  end
  unistd._exit(127)
end

--- Starts a program. ---@param argv string[] ---@param output string file for all that it prints
---@return Process|nil, string? message
function process.start(argv, output)
  local from, to = unistd.pipe()
  if not from then return nil, to end
  io.stdout:flush()
  io.stderr:flush()
  local pid, message = unistd.fork()
  if pid == 0 then become(argv, output, from, to) end
  unistd.close(to)
  if not pid then
    unistd.close(from)
    return nil, message
  end
  fcntl.fcntl(from, fcntl.F_SETFL, fcntl.O_NONBLOCK)
  fcntl.fcntl(from, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
  return setmetatable({pid = pid, channel = from, rest = ''}, Process)
end

--- Reads what the process has written to its channel, without waiting.
function Process:listen()
  while self.channel do
    local text = unistd.read(self.channel, 4096)
    if not text then return end -- nothing there now
    if #text == 0 then
      unistd.close(self.channel)
      self.channel = nil
    end
    self.rest = self.rest .. text
    self.line = self.rest:match('([^\n]*)\n[^\n]*$') or self.line
    self.rest = self.rest:match('[^\n]*$')
  end
end

--- What its progress line says: the share that is done, seconds left, text; nil before the first.
---@return number? share, number? left, string? text
function Process:progress()
  if not self.line then return nil, nil, nil end
  return progress.parse(self.line)
end

--- Whether it has ended, and how.
---@return string? how 'exited' or 'killed', nil while it runs; integer? status or signal
function Process:ended()
  local pid, how, status = sys_wait.wait(self.pid, sys_wait.WNOHANG)
  if pid ~= self.pid or how == 'running' then return nil end
  self:listen()
  if self.channel then unistd.close(self.channel) end
  self.channel = nil
  return how, status
end

function Process:interrupt() signal.kill(self.pid, signal.SIGINT) end

--- Waits until the process of a job writes to its channel, at most so many seconds.
---@param jobs {process: Process}[]
function process.wait(jobs, seconds)
  local fds = {}
  for _, job in ipairs(jobs) do
    if job.process.channel then fds[job.process.channel] = {events = {IN = true}} end
  end
  poll.poll(fds, math.floor(seconds * 1000))
end

return process
