--- Programs in a pseudo-terminal: what is typed, what is seen. Waits for text, never for time.
-- lpty collects every child that ends: beside it, in a process with threads, os.execute may fail.

local lpty = require 'lpty'
local clock = require 'tinykg.base.clock'

local Terminal = {}
Terminal.__index = Terminal

local terminal = {}

local PATIENCE = 120 -- seconds until a text that has not come is given up
local home = os.getenv('TINYKG_HOME') or '.'

-- A terminal that is opened by a process without one becomes its controlling terminal, and only
-- then is Ctrl-C a signal. The other descriptors are the tests' own, among them the terminal's far
-- end, which must close when the tests are over.
local START = 'exec "$@" <"$0" >"$0" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-'

--- Starts tinykg. ---@param environment table names and values ---@param ... string arguments
function terminal.open(environment, ...)
  local self = setmetatable({pty = lpty.new(), seen = '', at = 1}, Terminal)
  local words = {'TERM=xterm'}
  for name, value in pairs(environment) do words[#words + 1] = name .. '=' .. value end
  words[#words + 1] = home .. '/tinykg'
  for _, word in ipairs{...} do words[#words + 1] = word end
  assert(self.pty:startproc('sh', '-c', START, self.pty:ttyname(), 'env', unpack(words)))
  return self
end

function Terminal:type(text)
  assert(self.pty:send(text))
  return self
end

local function readable(bytes) return (bytes:gsub('\27%[[%d;?]*%a', ''):gsub('[\r\a]', '')) end

--- Waits until a text is on the screen behind all that was waited for before; returns what was
--- between.
function Terminal:see(text)
  local until_then = clock.now() + PATIENCE
  while true do
    local shown = readable(self.seen)
    local from, to = shown:find(text, self.at, true)
    if from then
      local between = shown:sub(self.at, from - 1)
      self.at = to + 1
      return between
    end
    local more = clock.now() < until_then and self.pty:read(0.2)
    if more then
      self.seen = self.seen .. more
    elseif clock.now() >= until_then or not self.pty:hasproc() then
      error(('waited for %q, seen since then: %q'):format(text, shown:sub(self.at)), 2)
    end
  end
end

--- Types a line at the prompt and returns what it printed.
function Terminal:ask(line)
  self:type(line .. '\n'):see(line .. '\n')
  return (self:see('tk> '):gsub('\n$', ''))
end

--- Waits for the end. ---@return integer status
function Terminal:ended()
  local until_then = clock.now() + PATIENCE
  while self.pty:hasproc() and clock.now() < until_then do
    self.seen = self.seen .. (self.pty:read(0.1) or '')
  end
  local how, status = self.pty:exitstatus()
  return how == 'exit' and status or how
end

function Terminal:close()
  if self.pty:hasproc() then self.pty:endproc(true) end
end

return terminal
