--- Every recipe on the checking runtime: some steps at 32 and 2 bits have the CPU's losses, whether
--- run op by op, captured or replayed. Prints, for each phase, what its captured step launches.
---   tinykg tests/kernels/ptx/recipes.lua [RECIPE ..]
--- Exit status 1 if losses differ.
local ffi = require 'ffi'
local lfs = require 'lfs'
local demo = require 'tinykg.data.demo'
local step_timer = require 'tinykg.bench.step_timer'
local tk = require 'tinykg'

package.path = (os.getenv 'TINYKG_HOME' or '.') .. '/?.lua;' .. package.path
local small_options = require 'tests.support.small_options'

local STEPS = 5 -- one op by op, one that is captured, replayed ones
local KERNELS_RUN = os.getenv('TKG_CHECK_RUN') ~= 'no' -- else losses mean nothing
local log, folder = os.tmpname(), os.tmpname()
-- How far losses may be apart. KTUP's rows begin with a norm of 1, where relu(|x|^2 - 1) bends: on
-- which side each is hangs on last bits.
local MOST, MOST_OF = 1e-4, {ktup = 5e-3}

ffi.cdef 'int setenv(const char *name, const char *value, int overwrite);'
ffi.C.setenv('TKG_CHECK_LOG', log, 1)

if not KERNELS_RUN then -- what is nearest (MCCLK) cannot be told: the next rows
  tk.graph.nearest = function(x, k)
    local n, heads, tails = (type(x) == 'function' and x() or x):size(1), {}, {}
    for e = 0, n * k - 1 do
      heads[e + 1] = math.floor(e / k)
      tails[e + 1] = (heads[e + 1] + e % k + 1) % n
    end
    return tk.graph{head = heads, tail = tails, nodes = n}, tk.full(0.5, n * k)
  end
end

--- What the first capture since the last call holds: 'a kernel' -> how many.
local function captured()
  local counts = {}
  for line in io.lines(log) do
    local kind, count = line:match('^(.+) (%d+)$')
    if kind == 'captured' then break end
    counts[kind] = tonumber(count)
  end
  io.open(log, 'w'):close()
  return counts
end

--- Losses of each phase's first steps, and what a step of it launches.
local function losses(path, device, bits)
  tk.device(device)
  local data = tk.data.load(folder, {seed = 0})
  local trainer, all = step_timer.trainer(path, small_options(path), data, bits), {}
  for _, phase in ipairs(trainer.phases) do
    local list = {name = phase.name}
    for k = 1, STEPS do list[k] = phase.step(phase:batch(k)) end
    list.launches = captured()
    all[#all + 1] = list
  end
  return all
end

local function largest_difference(expected, got)
  local most = 0
  for k = 1, STEPS do
    local apart = math.abs(got[k] - expected[k]) / math.max(1e-3, math.abs(expected[k]))
    most = math.max(most, apart == apart and apart or math.huge)
  end
  return most
end

os.remove(folder)
demo.write(folder, {users = 120, items = 60})
local names, failed = {}, false
for file in lfs.dir('recipes') do names[#names + 1] = file:match('^(.+)%.lua$') end
table.sort(names)
for _, name in ipairs(#arg > 0 and arg or names) do
  for _, bits in ipairs{32, 2} do
    local path = ('recipes/%s.lua'):format(name)
    local expected, got = losses(path, 'cpu', bits), losses(path, 'cuda', bits)
    for k, phase in ipairs(got) do
      local difference = KERNELS_RUN and largest_difference(expected[k], phase) or 0
      failed = failed or difference > (MOST_OF[name] or MOST)
      print(('%-9s %2d bits %-5s %3d kernels, %2d products, %2d sorts, %2d memsets%s'):format(
        name, bits, phase.name, phase.launches['a kernel'] or 0, phase.launches['a product'] or 0,
        phase.launches['a sort'] or 0, phase.launches['a memset'] or 0,
        KERNELS_RUN and ('; losses %.1g apart'):format(difference) or ''))
    end
  end
end
os.remove(log)
os.execute(("rm -rf '%s'"):format(folder))
os.exit(failed and 1 or 0)
