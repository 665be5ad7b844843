--- Timing a recipe's steps as its training runs them: for the benchmarks beside this file.
local tk = require 'tinykg'
local clock = require 'tinykg.clock'
local feed = require 'tinykg.feed'
local phases = require 'tinykg.train.phases'

local steps = {}

--- A recipe's phases at so many bits: what its training alternates between, a step each.
---@param path string of the recipe ---@param options table as given to the recipe
function steps.trainer(path, options, data, bits)
  local recipe = dofile(path)
  local o = recipe:complete(options)
  tk.seed(0)
  local model = recipe.build(data, o):train()
  if model.begin_epoch then tk.no_grad(model.begin_epoch, model, 1) end
  return {bits = bits, o = o, name = recipe.name,
          phases = phases.of(recipe, model, data, o, {bits = bits})}
end

--- What the steps of a phase are called with, without end.
local function batches_of(phase, o)
  local epoch, iterate = 0, nil
  return function()
    if not phase.part then return true end
    local batch = iterate and iterate()
    if not batch then
      epoch = epoch + 1
      iterate = feed.batches(phase.part, {size = o.batch_size, drop_last = true, seed = 1,
                                          epoch = epoch})
      batch = iterate()
    end
    return batch
  end
end

--- Milliseconds of some steps of phase k of each run, in turns: a busy machine slows all alike. A
--- step ends when its loss is on the host. Leaves them in run.times.
function steps.time_phase(runs, k, count)
  local next_batch = batches_of(runs[1].phases[k], runs[1].o)
  for _, run in ipairs(runs) do run.times = {} end
  for n = -2, count do
    for _, run in ipairs(runs) do
      local batch = next_batch()
      local from = clock.now()
      run.phases[k].step(batch)
      if n > 0 then run.times[n] = 1000 * (clock.now() - from) end
    end
  end
end

--- Sorts the list. ---@param list number[]
function steps.median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

return steps
