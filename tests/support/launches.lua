--- What steps of every recipe are planned to launch, and what the emulated GPU is then given:
---   EMU_COUNT=1 tinykg tests/support/launches.lua
--- Prints 'RECIPE PHASE: planned N' after each phase's steps, whose captured graph the emulation
--- reports on standard error.
local lfs = require 'lfs'
local demo = require 'tinykg.data.demo'
local step_timer = require 'tinykg.bench.step_timer'
local tk = require 'tinykg'

local SMALL = {dim = '16', batch_size = '32', layers = '16,8', kg_batch_size = '32',
               relation_dim = '16', neighbors = '4', memories = '8', hops = '2'}
local STEPS = 3 -- op by op, captured, replayed

local function options_of(path)
  local o = {}
  for _, option in ipairs(dofile(path).options) do
    local small = SMALL[option.name]
    if type(option.default) == 'number' then small = tonumber(small) end -- LightGCN: 3 layers
    o[option.name] = small
  end
  return o
end

local folder = os.tmpname()
os.remove(folder)
demo.write(folder, {users = 120, items = 60})
tk.device('emu')
local data = tk.data.load(folder, {seed = 0})
for file in lfs.dir('recipes') do
  local name = file:match('^(.+)%.lua$')
  for _, bits in ipairs(name and {32, 2} or {}) do
    local path = 'recipes/' .. file
    local run = step_timer.trainer(path, options_of(path), data, bits)
    for _, phase in ipairs(run.phases) do
      local batches = step_timer.batches_of(phase, run.o)
      for _ = 1, STEPS do phase.step(batches()) end
      io.stderr:write(('%s %s: planned %d\n'):format(name, phase.name,
                                                     phase.step:traffic().launches))
    end
  end
end
os.execute(("rm -rf '%s'"):format(folder))
