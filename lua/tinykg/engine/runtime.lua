--- The engine of this Lua state, the tape that records now, and how errors are raised.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local blame = require 'tinykg.base.source_line'

local session = {}

--- The nearest line outside the library, "file:line": where the recipe is.
session.where = blame.short

--- Raises an error that blames the recipe's line.
function session.fail(message, ...)
  if select('#', ...) > 0 then message = message:format(...) end
  error(blame.message(message), 0)
end

--- Fails unless `given` is nil or a table with no other keys than those of `allowed`, one text.
function session.options(what, given, allowed)
  if given == nil then return end
  if type(given) ~= 'table' then
    session.fail('%s: expected a table of options, got a %s', what, type(given))
  end
  for key in pairs(given) do
    if not (' ' .. allowed .. ' '):find(' ' .. tostring(key) .. ' ', 1, true) then
      session.fail('%s: unknown option %s; it has: %s', what, tostring(key), allowed)
    end
  end
end

--- What a step raises when Ctrl-C stopped it.
session.interrupted = setmetatable({}, {__tostring = function() return 'interrupted' end})

local INTERRUPTED
for code = 0, 32 do
  if ffi.string(C.tkg_status_text(code)) == 'stopped by Ctrl-C' then INTERRUPTED = code end
end

--- Raises the engine's message when `status` is a failure.
function session.check(status)
  if status == 0 then return end
  if status == INTERRUPTED then error(session.interrupted, 0) end
  local message = ffi.string(C.tkg_error())
  if message:match('^[^:]+:%d+: ') then error(message, 0) end -- where the op was recorded
  error(blame.message(message), 0)
end

local function create(device)
  local out = ffi.new('tkg_engine *[1]')
  local status = C.tkg_engine_create(device, out)
  if status ~= 0 then error(ffi.string(C.tkg_error()), 0) end
  return ffi.gc(out[0], C.tkg_engine_release)
end

session.engine = create(os.getenv('TINYKG_DEVICE') or 'auto')
session.seed = 1
session.checked = false -- each value is looked at: tk.check
session.cache = {} -- of other modules, for this engine: dropped when another takes over
C.tkg_engine_set_seed(session.engine, 1)

--- A tape with its Lua side. `step` is true for a tape that is emptied with each step.
local function new_tape(step)
  local out = ffi.new('tkg_tape *[1]')
  session.check(C.tkg_tape_create(session.engine, out))
  return {c = ffi.gc(out[0], C.tkg_tape_release), generation = 0, step = step,
          live = not step and setmetatable({}, {__mode = 'k'}) or nil}
end

session.new_tape = new_tape
session.ambient = new_tape(false)
session.tape = session.ambient
session.capture = true -- note the recipe's line of each op

--- Calls fn as xpcall does. A coroutine that yields in there might never be resumed, and the
--- session would be left where it is: so within a coroutine fn has one of its own, and a yield is
--- an error.
---@param what string for the message ---@return boolean ok, any ...
function session.call(what, fn, ...)
  local outer, is_main = coroutine.running()
  if not outer or is_main then return xpcall(fn, blame.handler, ...) end
  local inner = coroutine.create(function(...) return xpcall(fn, blame.handler, ...) end)
  local results = {coroutine.resume(inner, ...)}
  if coroutine.status(inner) ~= 'suspended' then
    return unpack(results, 2, math.max(2, table.maxn(results)))
  end
  return false, blame.message(what .. ': its function cannot yield')
end

--- Goes on with another device. What was made before stays where it was and cannot be mixed in.
function session.open(device)
  local old = session.engine
  local threads = C.tkg_engine_threads(old)
  session.engine, session.cache = create(device), {}
  session.check(C.tkg_engine_set_precision(session.engine, C.tkg_engine_precision(old)))
  C.tkg_engine_set_replay(session.engine, C.tkg_engine_replay(old))
  C.tkg_engine_set_seed(session.engine, session.seed)
  session.check(C.tkg_engine_set_threads(session.engine, threads))
  session.ambient = new_tape(false)
  session.tape = session.ambient
end

--- Back to outside of steps, from wherever an error or Ctrl-C has left: for the prompt.
function session.reset()
  session.tape, session.capture = session.ambient, true
  C.tkg_tape_set_bits(session.ambient.c, 0)
  session.ambient.bits = 0
  blame.leave(nil)
end

local COMPACT_AT = 4096
local compact_at = COMPACT_AT

--- Drops what no Lua value needs any more from the ambient tape, when it has grown long.
---@param now? boolean however short it is
function session.compact(now)
  local ambient = session.ambient
  local n = C.tkg_tape_length(ambient.c)
  if n == 0 or (n < compact_at and not now) then return end
  local handles, count = {}, 0
  for handle in pairs(ambient.live) do
    if not handle.kept then
      count = count + 1
      handles[count] = handle
    end
  end
  local live, renumber = ffi.new('int32_t[?]', count + 1), ffi.new('int32_t[?]', n)
  for i = 1, count do live[i - 1] = handles[i].node end
  session.check(C.tkg_tape_compact(ambient.c, live, count, renumber))
  for i = 1, count do handles[i].node = renumber[handles[i].node] end
  compact_at = math.max(COMPACT_AT, 2 * C.tkg_tape_length(ambient.c))
end

local COLLECT_AFTER = 2 ^ 28
local allocated = 0

--- Notes a new tensor. Lua's collector sees none of these bytes and would let gigabytes of garbage
--- pile up at the prompt, so it is called after so many of them.
function session.allocated(bytes)
  allocated = allocated + bytes
  if allocated < COLLECT_AFTER then return end
  allocated = 0
  collectgarbage()
  session.compact(true)
end

--- Streams of the random number generator that Lua hands out, away from those of tapes.
local next_stream = 16777216
function session.stream()
  next_stream = next_stream + 1
  return next_stream
end

--- The first number of a step object's steps: each object draws from numbers of its own.
local STEPS_APART, step_objects = 2 ^ 26, 0
function session.draws()
  step_objects = step_objects + 1
  return (step_objects - 1) % 64 * STEPS_APART
end

--- From here on everything is drawn as by a session that has just begun: outside of steps streams
--- count on along the ambient tape, and no_grad's draws along its step, so both begin anew.
function session.set_seed(seed)
  session.seed = seed
  next_stream, step_objects = 16777216, 0
  C.tkg_engine_set_seed(session.engine, seed)
  session.cache.forward = nil
  if session.tape ~= session.ambient then return end -- in a step
  session.ambient = new_tape(false) -- values of the old one keep it
  session.tape = session.ambient
end

--- Calls fn with another engine of the same device and settings, whose memory is counted apart.
--- Restores the engine afterwards, with the random stream where it was.
---@return any what fn returns; its errors are raised again
function session.apart(fn, ...)
  if session.tape ~= session.ambient then session.fail('an engine apart: not inside a step') end
  local was = {engine = session.engine, cache = session.cache, ambient = session.ambient}
  local stream, objects = next_stream, step_objects
  session.open(ffi.string(C.tkg_engine_device(session.engine)))
  local results = {session.call('an engine apart', fn, ...)}
  session.engine, session.cache = was.engine, was.cache
  session.ambient, session.tape = was.ambient, was.ambient
  next_stream, step_objects = stream, objects
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

return session
