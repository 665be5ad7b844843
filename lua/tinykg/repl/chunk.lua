--- Compiles and runs what is typed: tells incomplete input from wrong input.
local interrupt = require 'tinykg.repl.interrupt'
local read_file = require 'tinykg.base.read_file'
local runtime = require 'tinykg.engine.runtime'
local source_line = require 'tinykg.base.source_line'

local chunk = {}

local KEEP_LOCALS = "\ndo require 'tinykg.repl.keep_locals'() end"

--- Compiles a text so that its locals become globals. Nil if it cannot, as behind a `return`.
local function with_locals(text, name)
  return text:find('%f[%w_]local%f[^%w_]') and loadstring(text .. KEEP_LOCALS, name)
end

local function is_cut_short(message) return message:find("near '?<eof>'?$") ~= nil end

--- Chooses between the messages for a text as expression and as statement: the statement's is only
--- about the first word if the text is an expression.
local function choose(text, as_expression, as_statement)
  local first = text:match('^%s*([%w_]+)') or text:match('^%s*(%S)')
  if first and as_statement:sub(-#first - 8) == " near '" .. first .. "'" then
    return as_expression
  end
  return as_statement
end

--- Compiles a text that may be an expression.
---@param text string
---@param line? integer the number of its first line; 1
---@return function? chunk returns the values of an expression, or what statements return
---@return boolean|string shown whether to show the values; or what is wrong
---@return boolean? incomplete true if more lines can make the text right
function chunk.compile(text, line)
  local name, above = '=stdin', ('\n'):rep((line or 1) - 1)
  text = text:gsub('^%s*=', '') -- as Lua's own prompt allows
  -- `true, ` prevents a tail call, which would drop the line of an error.
  local expression, wrong = loadstring(above .. 'return true, ' .. text, name)
  if expression then -- `x;` compiles too, but not with another `;` behind it
    local function values() return select(2, expression()) end
    return values, loadstring('return ' .. text .. '\n;', name) ~= nil
  end
  local statement, message = loadstring(above .. text, name)
  if statement then return with_locals(above .. text, name) or statement, true end
  return nil, choose(text, wrong, message), is_cut_short(wrong) or is_cut_short(message)
end

--- Compiles a complete text. ---@return function? chunk, string? message
function chunk.load(text, name)
  local fn, message = loadstring(text, name)
  if not fn then return nil, message end
  return with_locals(text, name) or fn
end

--- Compiles a file. ---@param path string ---@return function? chunk, string? message
function chunk.of_file(path)
  local text, message = read_file(path)
  if not text then return nil, message end
  return chunk.load(text:gsub('^#', '--#'), '@' .. path)
end

--- Runs fn and returns its error instead of raising it.
---@return boolean ok
---@return any message the error, runtime.interrupted after Ctrl-C; or the results of fn
---@return string? trace the calls that led to the error, if they tell more than the message
function chunk.run(fn, ...)
  local trace
  local function finish(ok, ...)
    if ok then return ok, ... end
    runtime.reset()
    return false, (...), source_line.trace_text(trace)
  end
  return finish(interrupt.during(xpcall, fn, function(e)
    if type(e) == 'string' then trace = source_line.trace() end
    return source_line.handler(e)
  end, ...))
end

return chunk
