--- Ctrl-C at the prompt stops what runs, and the session goes on.
--
-- The engine's signal handler sets a flag, which the engine checks between ops. Lua code checks it
-- in a hook every EVERY instructions. Compiled code runs no hooks, so code that is typed or loaded
-- at the prompt is interpreted; the library stays compiled.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'

local interrupt = {}

local here = debug.getinfo(1, 'S').source:match('^(@.*)repl/interrupt%.lua$')
local EVERY = 10000 -- instructions; well below a tenth of a second

local function is_ours(source) return source:sub(1, #here) == here end

--- Raises runtime.interrupted after Ctrl-C, but not inside the library, whose state may be
--- inconsistent there. From then on the hook runs at each instruction: the first one behind the
--- library raises it, and the first one behind a pcall that has caught it raises it again.
local function hook()
  if C.tkg_interrupted(0) == 0 then return end
  debug.sethook(hook, '', 1)
  if not is_ours(debug.getinfo(2, 'S').source) then error(runtime.interrupted, 0) end
end

--- Watches for Ctrl-C. If the session is to survive it, code that is loaded later is not compiled.
---@param survive boolean
function interrupt.watch(survive)
  C.tkg_interrupt_watch(1)
  C.tkg_interrupt_survive(survive and 1 or 0)
  if not survive then return end
  local info = require('jit.util').funcinfo
  jit.attach(function(prototype)
    if not is_ours(info(prototype).source) then jit.off(prototype) end
  end, 'bc')
end

--- Whether Ctrl-C was pressed since the last call. ---@return boolean
function interrupt.pressed() return C.tkg_interrupted(1) ~= 0 end

local function done(...)
  debug.sethook()
  C.tkg_interrupted(1)
  return ...
end

--- Calls fn such that Ctrl-C raises runtime.interrupted in the code that it runs. fn itself must
--- not raise errors.
function interrupt.during(fn, ...)
  debug.sethook(hook, '', EVERY)
  return done(fn(...))
end

return interrupt
