--- Ctrl-C at the prompt: what runs ends soon, the session goes on.
--
-- The engine's signal handler sets a flag, which runs of the engine look at between ops. Loops in
-- Lua look at it by a hook every so many instructions. Compiled code runs no hooks, so what is
-- typed or loaded from the prompt is interpreted; the library stays compiled.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'

local interrupt = {}

local here = debug.getinfo(1, 'S').source:match('^(@.*)repl/interrupt%.lua$')
local EVERY = 10000 -- instructions; well below a tenth of a second

local function is_ours(source) return source:sub(1, #here) == here end

--- Not within the library, which may be between two things that belong together: then soon after.
local function hook()
  if C.tkg_interrupted(0) == 0 then return end
  if is_ours(debug.getinfo(2, 'S').source) then
    debug.sethook(hook, '', 1)
  else
    debug.sethook(hook, '', EVERY)
    error(runtime.interrupted, 0)
  end
end

--- Watches Ctrl-C from here on. Where the session is to survive it, what is loaded from here on is
--- left to the interpreter.
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

--- Whether Ctrl-C was pressed since this was asked last. ---@return boolean
function interrupt.pressed() return C.tkg_interrupted(1) ~= 0 end

local function done(...)
  debug.sethook()
  C.tkg_interrupted(1)
  return ...
end

--- Calls fn, which raises no errors of its own. What it leads to answers Ctrl-C by raising
--- runtime.interrupted.
function interrupt.during(fn, ...)
  debug.sethook(hook, '', EVERY)
  return done(fn(...))
end

return interrupt
