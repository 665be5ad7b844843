--- The engine of this Lua state, the tape that records now, and errors.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local close_word = require 'tinykg.base.arguments.close_word'
local source_line = require 'tinykg.base.source_line'

local runtime = {}

--- The nearest line outside the library, "file:line": the recipe's.
runtime.where = source_line.short

--- Raises an error with the recipe's line.
function runtime.fail(message, ...)
  if select('#', ...) > 0 then message = message:format(...) end
  error(source_line.message(message), 0)
end

--- The end of a message about a key that is not among `names`, separated by spaces.
local function among(key, names)
  local list = {}
  for name in names:gmatch('%S+') do list[#list + 1] = name end
  return close_word.among(key, list)
end

--- Checks a table of options. Errors: `given` is neither nil nor a table, or has a key that is not
--- among `allowed`, names separated by spaces.
function runtime.options(what, given, allowed)
  if given == nil then return end
  if type(given) ~= 'table' then
    runtime.fail('%s: expected a table of options, got a %s', what, type(given))
  end
  for key in pairs(given) do
    if not (' ' .. allowed .. ' '):find(' ' .. tostring(key) .. ' ', 1, true) then
      if getmetatable(given) then
        runtime.fail('%s: expected a table of options (%s), not a tensor or the like', what,
                     allowed)
      end
      runtime.fail('%s: unknown option %s%s', what, tostring(key), among(key, allowed))
    end
  end
end

--- Checks fields of a table. Errors: a field that `kinds` does not have, or of another type.
---@param what string ---@param given table ---@param names string the fields' names, for the error
---@param kinds table<string, string> type of each field, 'function or table' for two
function runtime.fields(what, given, names, kinds)
  for key, value in pairs(given) do
    if not kinds[key] then
      runtime.fail('%s: no field %s%s', what, tostring(key), among(key, names))
    elseif not kinds[key]:find(type(value), 1, true) then
      runtime.fail('%s: %s is a %s, expected a %s', what, key, type(value), kinds[key])
    end
  end
end

--- The error of a step that Ctrl-C stopped.
runtime.interrupted = setmetatable({}, {__tostring = function() return 'interrupted' end})

local INTERRUPTED, RANKS
for code = 0, 32 do
  local text = ffi.string(C.tkg_status_text(code))
  if text == 'stopped by Ctrl-C' then INTERRUPTED = code end
  if text == 'another rank has failed or is gone' then RANKS = code end
end

--- Raises the engine's message if `status` is a failure.
function runtime.check(status)
  if status == 0 then return end
  if status == INTERRUPTED then error(runtime.interrupted, 0) end
  local message = ffi.string(C.tkg_error())
  if status == RANKS then error(message, 0) end -- with the line of that rank
  if message:match('^[^:]+:%d+: ') then error(message, 0) end -- where the op was recorded
  error(source_line.message(message), 0)
end

--- Joins the ranks of the launcher, if there are any (TINYKG_RANKS=none: not), and opens a device.
local function create(device)
  local out = ffi.new('tkg_engine *[1]')
  local status = C.tkg_engine_create_rank(device, os.getenv('TINYKG_RANKS') or 'auto', out)
  if status ~= 0 then error(ffi.string(C.tkg_error()), 0) end
  return ffi.gc(out[0], C.tkg_engine_release)
end

runtime.asked = os.getenv('TINYKG_DEVICE') or 'auto' -- the device's name as it was asked for
runtime.engine = create(runtime.asked)
runtime.seed = 1
runtime.checked = false -- tk.check
runtime.cache = {} -- other modules' objects of this engine; runtime.open empties it
C.tkg_engine_set_seed(runtime.engine, 1)

runtime.together = false -- ranks stop at the same place only (ranks.agree_on_interrupt)

--- Errors: Ctrl-C was pressed, or another rank has failed. ---@param forget? boolean that it was
function runtime.check_interrupt(forget)
  if C.tkg_engine_ranks(runtime.engine) > 1 then
    runtime.check(C.tkg_collective_check(runtime.engine))
    if runtime.together then return end
  end
  if C.tkg_interrupted(forget and 1 or 0) ~= 0 then error(runtime.interrupted, 0) end
end

--- Creates an engine object, whose finalizer releases it.
---@param kind string 'tape', 'step' or 'optimizer' ---@param name? string of an optimizer
function runtime.create(kind, name)
  local out, call = ffi.new('tkg_' .. kind .. ' *[1]'), C['tkg_' .. kind .. '_create']
  runtime.check(name and call(runtime.engine, name, out) or not name and call(runtime.engine, out))
  return ffi.gc(out[0], C['tkg_' .. kind .. '_release'])
end

--- Makes a tape with its Lua side. `step`: each run of a step empties it.
local function new_tape(step)
  return {c = runtime.create('tape'), generation = 0, step = step,
          live = not step and setmetatable({}, {__mode = 'k'}) or nil}
end

runtime.new_tape = new_tape
runtime.ambient = new_tape(false)
runtime.tape = runtime.ambient
runtime.capture = true -- note the recipe's line of each op

--- Calls fn as xpcall does. A coroutine that yields inside fn might never be resumed, and would
--- leave the runtime in the middle of a step. So within a coroutine fn gets one of its own, and a
--- yield is an error.
---@param what string names fn in that error ---@return boolean ok, any ...
function runtime.call(what, fn, ...)
  local outer, is_main = coroutine.running()
  if not outer or is_main then return xpcall(fn, source_line.handler, ...) end
  local inner = coroutine.create(function(...) return xpcall(fn, source_line.handler, ...) end)
  local results = {coroutine.resume(inner, ...)}
  if coroutine.status(inner) ~= 'suspended' then
    return unpack(results, 2, math.max(2, table.maxn(results)))
  end
  return false, source_line.message(what .. ': its function cannot yield')
end

--- Switches to another device, or to a new engine of the same. Tensors made before stay on their
--- device and cannot be used with new ones. Errors: the device does not work.
function runtime.open(device)
  local old = runtime.engine
  local threads = C.tkg_engine_threads(old)
  runtime.engine, runtime.cache = create(device), {}
  runtime.asked = device
  runtime.check(C.tkg_engine_set_precision(runtime.engine, C.tkg_engine_precision(old)))
  C.tkg_engine_set_replay(runtime.engine, C.tkg_engine_replay(old))
  runtime.check(C.tkg_engine_set_tiles(runtime.engine, C.tkg_engine_tiles(old)))
  runtime.check(C.tkg_engine_plan_ranks(runtime.engine, C.tkg_engine_planned_ranks(old)))
  C.tkg_engine_set_seed(runtime.engine, runtime.seed)
  runtime.check(C.tkg_engine_set_threads(runtime.engine, threads))
  runtime.ambient = new_tape(false)
  runtime.tape = runtime.ambient
end

--- Leaves any step that an error or Ctrl-C interrupted: for the prompt.
function runtime.reset()
  runtime.tape, runtime.capture = runtime.ambient, true
  C.tkg_tape_set_bits(runtime.ambient.c, 0)
  runtime.ambient.bits = 0
  source_line.leave(nil)
end

local COMPACT_AT = 4096
local compact_at = COMPACT_AT

--- Removes nodes that no Lua value needs from the ambient tape, if it is long.
---@param now? boolean even if it is short
function runtime.compact(now)
  local ambient = runtime.ambient
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
  runtime.check(C.tkg_tape_compact(ambient.c, live, count, renumber))
  for i = 1, count do handles[i].node = renumber[handles[i].node] end
  compact_at = math.max(COMPACT_AT, 2 * C.tkg_tape_length(ambient.c))
end

--- Frees all tensors that no Lua value needs, now. Compiled traces are dropped first: each keeps
--- the closures it was compiled for, so their tensors too, and which loops LuaJIT has compiled
--- differs between equal runs. A stopped collector stays stopped.
---@param compact? boolean also those that only the ambient tape holds. Random numbers outside of
---  steps depend on its length
function runtime.collect(compact)
  local running = collectgarbage('isrunning')
  jit.flush()
  collectgarbage()
  if compact then runtime.compact(true) end
  collectgarbage()
  if not running then collectgarbage('stop') end -- a full collection starts it
end

local COLLECT_AFTER = 2 ^ 28
local allocated = 0

--- Counts a new tensor's bytes and calls Lua's collector after every COLLECT_AFTER. The collector
--- does not see these bytes, and would let gigabytes of garbage pile up at the prompt.
---@param bytes number
---@param later? boolean leave the collector to the next call: it renumbers the ambient tape's nodes
function runtime.allocated(bytes, later)
  allocated = allocated + bytes
  if later or allocated < COLLECT_AFTER then return end
  allocated = 0
  runtime.collect(true)
end

--- Calls fn with Lua's collector stopped, then frees what nothing needs. What fn allocates is then
--- counted the same in each run.
---@return any what fn returns; its errors are raised again
function runtime.uncollected(fn, ...)
  local running = collectgarbage('isrunning')
  allocated = 0
  runtime.collect()
  collectgarbage('stop')
  local results = {pcall(fn, ...)}
  runtime.collect()
  if running then collectgarbage('restart') end
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

--- Returns a new stream of the random number generator. Tapes use streams below these.
local next_stream = 16777216
function runtime.stream()
  next_stream = next_stream + 1
  return next_stream
end

--- Returns the first number of a new step object's steps: the numbers, and so the random numbers,
--- of two objects differ.
local STEPS_APART, step_objects = 2 ^ 26, 0
function runtime.draws()
  step_objects = step_objects + 1
  return (step_objects - 1) % 64 * STEPS_APART
end

--- Which step a number is of, 'step 3' or, of another step object than the first, 'step 3 of object
--- 2'. ---@param number integer ---@return string
function runtime.step_name(number)
  local object, step = math.floor(number / STEPS_APART), number % STEPS_APART
  return object == 0 and ('step %d'):format(step)
    or ('step %d of object %d'):format(step, object + 1)
end

--- Makes all random numbers those of a new process. Outside of steps they depend on the ambient
--- tape's length, in no_grad on how often it has run, so both begin anew.
function runtime.set_seed(seed)
  runtime.seed = seed
  next_stream, step_objects = 16777216, 0
  C.tkg_engine_set_seed(runtime.engine, seed)
  runtime.cache.forward = nil
  if runtime.tape ~= runtime.ambient then return end -- in a step
  runtime.ambient = new_tape(false) -- values of the old one keep it
  runtime.tape = runtime.ambient
end

--- Calls fn with another engine of the same device and settings, which counts memory of its own.
--- Restores the engine and the random streams afterwards.
---@return any what fn returns; its errors are raised again
function runtime.apart(fn, ...)
  if runtime.tape ~= runtime.ambient then runtime.fail('an engine apart: not inside a step') end
  local was = {engine = runtime.engine, cache = runtime.cache, ambient = runtime.ambient,
               asked = runtime.asked}
  local stream, objects = next_stream, step_objects
  runtime.open(ffi.string(C.tkg_engine_device(runtime.engine)))
  local results = {runtime.call('an engine apart', fn, ...)}
  runtime.engine, runtime.cache = was.engine, was.cache
  runtime.ambient, runtime.tape, runtime.asked = was.ambient, was.ambient, was.asked
  next_stream, step_objects = stream, objects
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

return runtime
