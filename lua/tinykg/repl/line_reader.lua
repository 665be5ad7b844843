--- Reads the lines of the prompt from a terminal, with lua-readline or without, or from a pipe.
--
-- A reader has read(self, prompt), which returns a text; or nil and 'end' or, after Ctrl-C,
-- 'interrupted'.
local ffi = require 'ffi'
local history = require 'tinykg.repl.history'
local interrupt = require 'tinykg.repl.interrupt'
local EINTR = require('posix.errno').EINTR
local poll = require('posix.poll').rpoll
local posix = require 'tinykg.base.posix'
local utf8 = require 'tinykg.base.utf8'

local line_reader = {}

local POLL_MS = 500 -- Ctrl-C just before a wait is noticed after it

local function note(text) io.stderr:write('tinykg: ', text, '\n') end

-- ---- a pipe ----

local function next_line()
  local line = io.read('*l')
  return line, line == nil and 'end' or nil
end

local pipe = {}
pipe.__index = pipe

function pipe:read()
  local line, why = next_line()
  if line and not self.begun then line = utf8.unmarked(line) end
  self.begun = true
  return line, why
end

-- ---- a terminal ----

--- Waits until there is something to read; false after Ctrl-C.
local function wait()
  while true do
    if interrupt.pressed() then return false end
    local ready, _, code = poll(0, POLL_MS)
    if not ready and code ~= EINTR or ready and ready > 0 then return true end
  end
end

--- A terminal without lua-readline: it edits lines by itself.
local plain = {}
plain.__index = plain

function plain.read(_, prompt)
  io.write(prompt)
  io.flush()
  if not wait() then
    io.write('\n')
    return nil, 'interrupted'
  end
  return next_line()
end

local edited = {}
edited.__index = edited

function edited:read(prompt)
  local readline, line, done = self.readline, nil, false
  io.flush()
  prompt = prompt:gsub('\27%[[%d;]*m', '\1%0\2') -- what takes no column, readline is told
  readline.handler_install(prompt, function(text)
    line, done = text, true
    readline.handler_remove()
  end)
  self.native.fit()
  while not done do
    if not wait() then
      self.native.abandon()
      io.write('^C\n')
      return nil, 'interrupted'
    end
    readline.read_char()
  end
  if not line then
    io.write('\n')
    return nil, 'end'
  end
  for one in line:gmatch('[^\r\n]+') do self:remember(one) end -- a paste may have several lines
  return line
end

--- Adds a line to the history, unless it is blank or repeats the last one.
function edited:remember(line)
  if line == self.last or not line:find('%S') then return end
  self.last = line
  self.readline.add_history(line)
  if self.history then self.history:add(line) end
end

ffi.cdef [[
const char *rl_completer_word_break_characters, *rl_basic_quote_characters;
void rl_reset_screen_size(void);
void rl_deprep_terminal(void);
]]
local BREAKS = ffi.new('char[64]', ' \t\n"\\\'`@$><=;|&{}()[]+-*/%^~#,.:!?')
local NONE = ffi.new('char[1]')

--- Functions of the readline library that the Lua module lacks. Also sets that words end at dots
--- and colons, so that lists of completions are short, and that quotes are not closed behind a
--- folder.
---@return table native fit(): adapt to the window's size; abandon(): drop the current line
local function native_parts(readline)
  local ok, library = pcall(function()
    local library = ffi.load(package.searchpath('C-readline', package.cpath))
    library.rl_completer_word_break_characters = BREAKS
    library.rl_basic_quote_characters = NONE
    return library
  end)
  -- handler_remove closes the terminal's stream before the library's last write to it. Without
  -- rl_deprep_terminal it must not be called, and the next line overwrites this one.
  if not ok then return {fit = function() end, abandon = function() end} end
  return {
    fit = function() library.rl_reset_screen_size() end,
    abandon = function()
      if readline.sigcleanup then readline.sigcleanup() end
      library.rl_deprep_terminal()
      readline.handler_remove()
    end,
  }
end

--- The module completes text[from..to]. Our completions may begin before or after `from`, so they
--- are cut or extended to begin there.
local function completer(readline, complete)
  readline.set_complete_function(function(text, from, to)
    readline.set_completion_append_character('')
    local ok, candidates, start = pcall(complete, text:sub(1, to))
    local out = {}
    for i, word in ipairs(ok and candidates or {}) do
      out[i] = text:sub(from, start - 1) .. word:sub(math.max(1, from - start + 1))
    end
    return out
  end)
end

local function with_editing(complete)
  local readline = require 'readline'
  readline.set_readline_name('tinykg')
  local kept, why = history.open()
  if not kept then note('the history is not kept: ' .. why) end
  readline.set_options{histfile = kept and kept.path or '', auto_add = false}
  completer(readline, complete)
  return setmetatable({readline = readline, history = kept, last = kept and kept.last,
                       native = native_parts(readline)}, edited)
end

--- Whether standard input is a terminal. ---@return boolean
function line_reader.is_terminal() return posix.is_terminal(0) end

--- The reader that suits standard input.
---@param complete fun(text: string): string[], integer completions of the end of a text, and their
---  position in it
function line_reader.open(complete)
  if not line_reader.is_terminal() then return setmetatable({}, pipe) end
  if pcall(require, 'readline') then return with_editing(complete) end
  note('no line editing, completion and history: apt-get install lua-readline')
  return setmetatable({}, plain)
end

return line_reader
