--- A PyTorch program beside this file in mode `serve`, which runs steps when it is asked to.
local lfs = require 'lfs'
local unistd = require 'posix.unistd'
local stat = require 'posix.sys.stat'

local pytorch = {}

---@class PyTorch
---@field kinds table<string, true> of steps
local PyTorch = {}
PyTorch.__index = PyTorch

-- Large steps are faster where glibc keeps freed memory: PyTorch's better figures.
local ENVIRONMENT = 'MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_THRESHOLD_=17179869184'

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- The next answer; what else the program prints is kept for messages. nil at its end.
local function answer(self)
  for line in self.from:lines() do
    local text = line:match('^@ (.*)')
    if text then return text end
    self.said = line
  end
end

local function ask(self, text)
  self.to:write(text, '\n')
  self.to:flush()
  local found = answer(self)
  if not found then
    error(('PyTorch, %s: %s: it ended: %s'):format(self.name, text, self.said), 0)
  end
  return found
end

--- Starts `pytorch_NAME.py serve ARGUMENTS`; nil and why, if it does not begin to serve.
---@param python string ---@param name string ---@param arguments string ---@param folder string for
---  a pipe
---@return PyTorch? ---@return string? why
function pytorch.start(python, name, arguments, folder)
  local home, pipe = os.getenv 'TINYKG_HOME' or '.', os.tmpname()
  os.remove(pipe)
  pipe = folder .. '/' .. pipe:match('[^/]+$')
  assert(stat.mkfifo(pipe, 384)) -- 0600
  local self = setmetatable({name = name, said = ''}, PyTorch)
  local command = ('%s %s %s/tests/bench/pytorch_%s.py serve %s >%s 2>%s.log'):format(
    ENVIRONMENT, quoted(python), quoted(home), name, arguments, quoted(pipe), quoted(pipe))
  self.to = io.popen(command, 'w')
  self.from = assert(io.open(pipe))
  os.remove(pipe)
  local ready = answer(self)
  self.kinds = {}
  for kind in (ready or ''):gmatch('%S+') do self.kinds[kind] = true end
  if ready then return self end
  self:stop()
  local log = io.open(pipe .. '.log')
  local last = log and log:read('*a'):match('([^\n]+)\n*$')
  return nil, last or self.said
end

function PyTorch:threads(n) ask(self, 'threads ' .. n) end

--- Milliseconds of each of `count` steps. ---@param kind string ---@return number[]
function PyTorch:times(kind, count)
  local list = {}
  for ms in ask(self, kind .. ' ' .. count):gmatch('%S+') do list[#list + 1] = tonumber(ms) end
  return list
end

function PyTorch:stop()
  self.to:close()
  self.from:close()
end

-- ---- where PyTorch is ----

--- The Python that has torch: $PYTHON, else that of a virtual environment, made from PyPI the first
--- time, which can take minutes, unless `install` is false. nil and why, where there is none.
---@param o? {install: boolean?} ---@return string? python ---@return string? why
function pytorch.python(o)
  if os.getenv 'PYTHON' == 'none' then return nil, 'PYTHON=none' end
  local home = os.getenv 'TINYKG_HOME' or '.'
  local pipe = io.popen(quoted(home .. '/tests/bench/pytorch_venv.sh') ..
    (o and o.install == false and ' find' or ''))
  local path = pipe:read('*l')
  pipe:close()
  if path and lfs.attributes(path, 'mode') and unistd.access(path, 'x') then return path end
  return nil, path or 'no virtual environment'
end

return pytorch
