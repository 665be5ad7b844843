--- Runs a program's text in the engine, in one of the ways there are.
local ffi = require 'ffi'
local tk = require 'tinykg'
local session = require 'tinykg.engine.runtime'
local helpers = require 'tests.faults.programs.helpers'
local source = require 'tests.faults.programs.source'

local engine = {}

--- The program's text as a function that makes its step's function and its parameters.
function engine.load(text)
  local chunk, message = loadstring(text, '=program')
  if not chunk then error(message .. '\n' .. text, 0) end
  return function() return chunk(tk, helpers) end
end

local function on_device(name)
  if tk.device() ~= name then tk.device(name) end
end

local function array_of(t)
  local v, n = t:values()
  return {v = v, n = n, bytes = ffi.string(v, 4 * n)}
end

local function gradients(parameters)
  local list = {}
  for k, w in ipairs(parameters) do list[k] = w.grad and array_of(w.grad) or false end
  return list
end

local function read(loss, outs)
  local result = {loss = loss, outs = {}}
  for k, t in ipairs(outs) do result.outs[k] = array_of(t) end
  return result
end

--- Begins a run: device, threads, seed. What is drawn is then the same in each.
function engine.begin(p, way)
  on_device(way.device or 'cpu')
  tk.threads(way.threads or 1)
  tk.seed(p.draw_seed)
end

local KINDS = {}

--- Calls a step while its parameters are other numbers: its plan must hold on to none of them.
local function call_with_others(step, parameters)
  local numbers = {}
  for k, w in ipairs(parameters) do
    numbers[k] = w:clone()
    w:copy(w * 0.5)
  end
  step()
  for k, w in ipairs(parameters) do w:copy(numbers[k]) end
end

--- Calls a step with a profile. Errors: an op without time, or with figures that no op can have.
local function profiled(step)
  local results = {tk.profile(step)}
  for _, r in ipairs(results[1].ops) do
    local possible = r.seconds > 0 and r.bytes >= 0 and r.cached >= r.bytes and r.flops >= 0
      and r.cached < 1e12 and r.flops < 1e12
    if not possible then
      error(('profile: %s: %g bytes, %g cached, %g flops in %g s'):format(
        r.op, r.bytes, r.cached, r.flops, r.seconds), 0)
    end
  end
  return unpack(results, 2)
end

--- One call of a step, or the second one, in which the plan is used again.
function KINDS.step(f, parameters, way)
  local step = tk.step(f, way.options)
  if way.again then call_with_others(step, parameters) end
  local results = way.profiled and {profiled(step)} or {step()}
  local result = read(results[1], {unpack(results, 2)})
  result.gradients, result.step = gradients(parameters), step
  return result
end

function KINDS.no_grad(f)
  local results = {tk.no_grad(f)}
  return read(results[1]:item(), {unpack(results, 2)})
end

--- Outside of steps: backward first, since what was looked at is a constant.
function KINDS.eager(f, parameters)
  local results = {f()}
  results[1]:backward()
  local list = gradients(parameters)
  local result = read(results[1]:item(), {unpack(results, 2)})
  result.gradients = list
  return result
end

--- Runs a loaded program; {loss, outs, gradients (not of no_grad), step} or nil and a message.
---@param way {kind: string, options: table, threads: integer, device: string}
function engine.run(load, p, way)
  engine.begin(p, way)
  local ok, result = pcall(function()
    local f, parameters = load()
    return KINDS[way.kind or 'step'](f, parameters, way)
  end)
  if not ok then
    session.reset()
    return nil, tostring(result)
  end
  return result
end

--- The values that a program's draws have, in order.
function engine.drawn(p)
  local load = engine.load(source.of_prologue(p))
  local result, message = engine.run(load, p, {})
  if not result then error(message, 0) end
  return result.outs
end

return engine
