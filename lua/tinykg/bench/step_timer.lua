--- Times a recipe's steps as its training runs them.
local loader = require 'tinykg.data.loader'
local measure = require 'tinykg.bench.measure'
local phases = require 'tinykg.train.phases'
local recipe_file = require 'tinykg.train.recipe_file'
local train = require 'tinykg.train'
local tk = require 'tinykg'

local step_timer = {}

--- A recipe's phases, each with its step, at a number of bits.
---@param path string the recipe ---@param options table given options of the recipe
function step_timer.trainer(path, options, data, bits)
  local recipe = recipe_file.load(path)
  local o = recipe:complete(options)
  tk.seed(0)
  local model = train.build(recipe, data, o)
  local list = phases.of(recipe, model, data, o, {bits = bits})
  phases.begin(model, list, 1)
  return {bits = bits, o = o, name = recipe.name, model = model, phases = list}
end

--- An endless iterator over the arguments of a phase's step.
function step_timer.batches_of(phase, o)
  local epoch, iterate = 0, nil
  return function()
    if not phase.part then return true end
    local batch = iterate and iterate()
    if not batch then
      epoch = epoch + 1
      iterate = loader.batches(phase.part, {size = o.batch_size, draw = o.draw, drop_last = true,
                                          seed = 1, epoch = epoch})
      batch = iterate()
    end
    return batch
  end
end

--- Times the steps of phase k of each run in turns, on the same batches, until the loss is on the
--- host. Sets `times`, `min` and `median` (milliseconds) of each run.
---@param limits {rounds: integer?, seconds: number?}
function step_timer.time_phase(runs, k, limits)
  local next_batch, batch = step_timer.batches_of(runs[1].phases[k], runs[1].o), nil
  for _, run in ipairs(runs) do
    run.run = function() run.phases[k].step(batch) end
  end
  measure.turns(runs, {rounds = limits.rounds, seconds = limits.seconds,
                       before = function() batch = next_batch() end})
end

return step_timer
