-- Output of busted for `make test`: a line a spec file, each failure in full, each skip with its
-- reason. Appends one letter a test (p passed, f failed, s skipped) to the file that TINYKG_TALLY
-- names, at once, so that the counts survive a crash of the interpreter, and d when all is done.
local busted = require 'busted'
local base = require 'busted.outputHandlers.base'
local pretty = require 'pl.pretty'

local letters = { success = 'p', pending = 's', failure = 'f', error = 'f' }

local function text(message)
  if type(message) == 'string' then return message end
  if message == nil then return '(no message)' end
  return pretty.write(message)
end

local function indent(s) return '      ' .. s:gsub('\n', '\n      ') end

return function()
  local handler = base()
  local tally = assert(io.open(os.getenv('TINYKG_TALLY') or '/dev/null', 'a'))
  local current = os.getenv('TINYKG_CURRENT')

  local function count(letter)
    tally:write(letter)
    tally:flush()
  end

  local function where(element, trace)
    local t = element.trace or trace
    if not (t and t.short_src) then return handler.getFullName(element) end
    return ('%s:%s: %s'):format(t.short_src, t.currentline, handler.getFullName(element))
  end

  local function complain(kind, element, message, trace)
    print(('  %s %s'):format(kind, where(element, trace)))
    print(indent(text(message)))
    if kind == 'ERROR' and trace and trace.traceback then print(indent(trace.traceback)) end
    io.flush()
  end

  -- The name of the test that runs, for the message after a crash.
  function handler.testStart(element)
    if not current then return nil, true end
    local file = io.open(current, 'w')
    if file then
      file:write(where(element), '\n')
      file:close()
    end
    return nil, true
  end

  local reasons = {}
  function handler.pending(element, _, message)
    reasons[element] = message
    return nil, true
  end

  function handler.testEnd(element, _, status)
    count(letters[status] or 'f')
    if status == 'pending' then
      print(('  skip %s%s'):format(where(element),
        reasons[element] and ' (' .. text(reasons[element]) .. ')' or ''))
    end
    return nil, true
  end

  function handler.failed(element, _, message, trace)
    complain('FAIL', element, message, trace)
    return nil, true
  end

  function handler.broken(element, _, message, trace)
    complain('ERROR', element, message, trace)
    return nil, true
  end

  -- Outside of a test: a file that does not load, a describe or a before_each that raises.
  function handler.outside(element, _, message, trace)
    if element.descriptor == 'it' then return nil, true end
    count('f')
    complain('ERROR', element, message, trace)
    return nil, true
  end

  function handler.done()
    count('d')
    return nil, true
  end

  busted.subscribe({ 'suite', 'end' }, handler.done)
  busted.subscribe({ 'test', 'start' }, handler.testStart)
  busted.subscribe({ 'test', 'end' }, handler.testEnd)
  busted.subscribe({ 'pending' }, handler.pending)
  busted.subscribe({ 'failure', 'it' }, handler.failed)
  busted.subscribe({ 'error', 'it' }, handler.broken)
  busted.subscribe({ 'failure' }, handler.outside)
  busted.subscribe({ 'error' }, handler.outside)
  return handler
end
