--- Measures how sensitive the gradients of a model are to noise in each kept value: the c of
--- engine/METHOD.md, section 4. A step is run once exactly and once for each value with that value
--- in few bits, on the same batch with the same random numbers; parameters stay as they are.
local phases = require 'tinykg.train.phases'
local step_of = require 'tinykg.engine.step'
local tables = require 'tinykg.base.tables'

local BITS = 4
local NOISE = 1 / (2 ^ BITS - 1) ^ 2

--- The gradients of a phase's step number `at` with the given bits of single values.
---@return Tensor[] by parameter; false for one without
local function gradients(phase, at, model, value_bits)
  local step = step_of.new(phase.step.fn, {bits = 32, value_bits = value_bits,
                                           rounding = phase.rounding})
  step.first, step.number = phase.step.first, at - 1 -- the random numbers of that step
  step(phase:batch(at))
  return tables.map(model:parameters(), function(p) return p.grad or false end)
end

local function squared_difference(list, others)
  local sum = 0
  for i, gradient in ipairs(list) do
    if gradient then sum = sum + (gradient - others[i]):square():sum():item() end
  end
  return sum
end

--- The values that a phase saves in codes: names, and how many numbers each has.
local function values_of(phase)
  phase:plan()
  local names, counts = {}, {}
  for _, value in ipairs(phase.step:kept()) do
    if value.rule == 'quantize' and value.value then
      if not counts[value.value] then names[#names + 1] = value.value end
      counts[value.value] = (counts[value.value] or 0) + value.exact_bytes / 4
    end
  end
  return names, counts
end

local function of_phase(phase, model, batches, progressed)
  local names, counts = values_of(phase)
  local out = {}
  for at = 1, #names > 0 and batches or 0 do
    local exact = gradients(phase, at, model)
    for i, name in ipairs(names) do
      progressed(phase.name, ((at - 1) * #names + i) / (batches * #names))
      local noisy = gradients(phase, at, model, {[name] = BITS})
      local c = squared_difference(noisy, exact) / (NOISE * counts[name])
      out[name] = (out[name] or 0) + c / batches
    end
  end
  return out
end

--- Measures a model on its first batches.
---@param run {recipe: Recipe, model: Module, data: tinykg.Data, options: table} as of run.open
---@param settings {rounding: string, batches: integer}
---@param progressed fun(phase: string, share: number)
---@return table<string, table<string, number>> c by phase and value
return function(run, settings, progressed)
  local model, out = run.model:train(), {}
  local list = phases.of(run.recipe, model, run.data, run.options,
                         {bits = BITS, rounding = settings.rounding})
  phases.begin(model, list, 2)
  for _, phase in ipairs(list) do
    out[phase.name] = of_phase(phase, model, settings.batches, progressed)
  end
  return out
end
