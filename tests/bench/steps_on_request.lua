--- A recipe's steps, one for each line of standard input, so that another program can take turns.
--   tinykg tests/bench/steps_on_request.lua RECIPE DATA BITS THREADS
-- A line is the name of a phase, or `refresh` for what the model does when an epoch begins. The
-- answer is the milliseconds that it took, sampling included.
local clock = require 'tinykg.base.clock'
local step_timer = require 'tinykg.bench.step_timer'
local tk = require 'tinykg'

local recipe, folder, bits, threads = unpack(arg)
tk.threads(tonumber(threads))
local trainer = step_timer.trainer(recipe, {}, tk.data.load(folder, {seed = 0}), tonumber(bits))

local ready = {}
for _, phase in ipairs(trainer.phases) do
  local next_batch = step_timer.batches_of(phase, trainer.o)
  ready[phase.name] = function()
    local batch = next_batch()
    return function() phase.step(batch) end
  end
end
function ready.refresh()
  return function() tk.no_grad(trainer.model.begin_epoch, trainer.model, 2) end
end

for line in io.lines() do
  local run = ready[line]()
  local from = clock.now()
  run()
  io.write(('%.4f\n'):format(1000 * (clock.now() - from)))
  io.flush()
end
