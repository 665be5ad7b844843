--- The prompt: reads Lua, runs it, shows its values.
local chunk = require 'tinykg.repl.chunk'
local commands = require 'tinykg.repl.commands'
local complete = require 'tinykg.repl.complete'
local format = require 'tinykg.base.format'
local help = require 'tinykg.repl.help'
local interrupt = require 'tinykg.repl.interrupt'
local line_reader = require 'tinykg.repl.line_reader'
local hints = require 'tinykg.repl.hints'
local must = require 'tinykg.base.must'
local show = require 'tinykg.repl.show'
local terminal = require 'tinykg.base.terminal'
local tk = require 'tinykg'

local repl = {}

local PROMPT, MORE = 'tk> ', '  > '

local function banner()
  print(('tinykg %s on %s, %s, %s'):format(tk.version, tk.device(),
                                          format.count(tk.threads(), 'thread'), jit.version))
  print('? for help, Tab completes, Ctrl-D quits')
end

--- An error as text.
local function error_text(message, trace)
  if type(message) == 'table' and message.usage then message = message.usage end
  if type(message) == 'string' then
    message = hints.explain(message)
  else -- its own __tostring may fail
    local ok, text = pcall(show.value, message)
    message = ok and text or 'an error that cannot be shown: ' .. tostring(text)
  end
  return format.lines(trace and message .. '\n' .. trace or message)
end

local function explain(topic)
  if topic == '' then return commands.all.help() end
  local about = commands.about(topic)
  if about then return print(about) end
  print((must(help.on(topic))))
end

--- The command for words such as `help` and `quit`, unless the user has a global of that name.
local function word_command(text)
  local word = text:match('^%s*(%a+)%s*%(?%s*%)?%s*$')
  if word == 'help' and _G.help == repl.help then return 'help' end
  if (word == 'exit' or word == 'quit') and _G[word] == nil then return 'quit' end
end

--- What help is asked for: `? x`, or `help x`, which is no Lua; nil if none is.
local function topic_of(text)
  local word = _G.help == repl.help and text:match('^%s*help%s+([%a_:][%w_.:]*)%s*$')
  return word or text:match('^%s*%?%s*(.-)%s*$')
end

--- Runs a line that is not Lua. ---@return boolean? handled ---@return boolean? quit
local function special(text)
  local topic = topic_of(text)
  if topic then return true, explain(topic) end
  if text:find('^%s*:[^:]') or text:find('^%s*:$') then return true, commands.run(text) end
  local name = word_command(text)
  if name then return true, commands.all[name]() end
end

--- Prints help on a function or another value, as `?` does. The global `help` of the prompt.
function repl.help(value) print(help.of(value)) end

---@class tinykg.Prompt
---@field pending string the lines of an incomplete text
---@field line integer number of the last line read
---@field first integer number of the first line of pending
local Prompt = {}
Prompt.__index = Prompt

--- Runs one line. ---@return string? what 'quit' or nil
function Prompt:take(line)
  self.line = self.line + 1
  local handled, quit
  local ok, message, trace = chunk.run(function()
    if self.pending == '' then handled, quit = special(line) end
    if handled then return end
    if self.pending == '' then self.first = self.line end
    local text = self.pending .. line
    local fn, shown, incomplete = chunk.compile(text, self.counts and self.first or 1)
    self.pending = incomplete and text .. '\n' or ''
    if fn and shown then
      show.all(text, fn())
      hints.length(text)
    elseif fn then
      fn()
    elseif not incomplete then
      error(shown, 0)
    end
  end)
  if ok then return quit and 'quit' or nil end
  self.pending = ''
  return self:failed(message, trace)
end

function Prompt:failed(message, trace)
  io.stdout:flush()
  if not self.interactive then error({prompt = true, message = message, trace = trace}, 0) end
  io.stderr:write(terminal.paint(error_text(message, trace), 'red', 2), '\n')
end

--- Reports a text that is incomplete when there are no more lines.
function Prompt:finish()
  if self.pending == '' then return end
  local _, wrong = chunk.compile(self.pending:sub(1, -2), self.first)
  self:failed(wrong)
end

function Prompt:loop(reader)
  while true do
    local text, why = reader:read(terminal.paint(self.pending == '' and PROMPT or MORE, 'cyan', 1))
    if text then
      for line in (text .. '\n'):gmatch('([^\n]*)\n') do
        if self:take(line) == 'quit' then return end
      end
    elseif why == 'interrupted' or self.interactive and self.pending ~= '' then
      self.pending = ''
    else
      return self:finish()
    end
  end
end

--- Runs the prompt on standard input until that ends, or `:quit`. In a pipe only values are shown,
--- and the first error ends it.
---@param first? fun() runs before, as if it had been typed
---@return boolean ok
---@return any message the error, in a pipe ---@return string? trace
function repl.run(first)
  _G.tk, _G.help = tk, repl.help
  require 'tinykg.repl.keep_locals' -- notes Lua's own names
  local reader, interactive = line_reader.open(complete), line_reader.is_terminal()
  commands.begin()
  local prompt = setmetatable({pending = '', line = 0, interactive = interactive,
                               counts = not interactive}, Prompt)
  interrupt.watch(interactive)
  if interactive then banner() end
  local ok, e = pcall(function()
    if first then
      local done, message, trace = chunk.run(first)
      if not done then prompt:failed(message, trace) end
    end
    prompt:loop(reader)
  end)
  if ok then return true end
  if type(e) == 'table' and e.prompt then return false, e.message, e.trace end
  error(e, 0)
end

return repl
