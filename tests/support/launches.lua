--- What steps of every recipe are planned to launch, and what the emulated GPU is then given:
---   EMU_COUNT=1 tinykg tests/support/launches.lua
--- Prints 'RECIPE PHASE: planned N' after each phase's steps, whose captured graph the emulation
--- reports on standard error.
local lfs = require 'lfs'
local demo = require 'tinykg.data.demo'
local step_timer = require 'tinykg.bench.step_timer'
local tk = require 'tinykg'

package.path = (os.getenv 'TINYKG_HOME' or '.') .. '/?.lua;' .. package.path
local small_options = require 'tests.support.small_options'

local STEPS = 3 -- op by op, captured, replayed

local folder = os.tmpname()
os.remove(folder)
demo.write(folder, {users = 120, items = 60})
tk.device('emu')
local data = tk.data.load(folder, {seed = 0})
for file in lfs.dir('recipes') do
  local name = file:match('^(.+)%.lua$')
  for _, bits in ipairs(name and {32, 2} or {}) do
    local path = 'recipes/' .. file
    local run = step_timer.trainer(path, small_options(path), data, bits)
    for _, phase in ipairs(run.phases) do
      local batches = step_timer.batches_of(phase, run.o)
      for _ = 1, STEPS do phase.step(batches()) end
      io.stderr:write(('%s %s: planned %d\n'):format(name, phase.name,
                                                     phase.step:traffic().launches))
    end
  end
end
os.execute(("rm -rf '%s'"):format(folder))
