--- Sums over edges by cuSPARSE (kernels/cuda/spmm.cu) on the checking runtime, whose own products
--- stand for the library's: whatever the way, the orientation and the weights, they are the sums of
--- our own kernel; captured steps go on after a graph was freed; what was chosen can be set; it
--- takes no more memory than is planned.
---   tinykg tests/kernels/ptx/sparse.lua
local ffi = require 'ffi'
local lfs = require 'lfs'
local C = require 'tinykg.engine.lib'
local demo = require 'tinykg.data.demo'
local read_file = require 'tinykg.base.read_file'
local run_folder = require 'tinykg.run.folder'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local ways = require 'tinykg.engine.profile.ways'

local ALL = {'own', 'cuSPARSE CSR_ALG1', 'cuSPARSE CSR_ALG2', 'cuSPARSE CSR_ALG3'}
local NODES, EDGES, STEPS = 70, 400, 6
local checked = 0

--- A hub, nodes without edges, parallel edges.
local function made_graph(seed)
  local heads, tails = {}, {}
  for e = 1, EDGES do
    heads[e] = e <= 150 and 7 or (e * (seed + 11)) % (NODES - 5)
    tails[e] = (e * e * seed + 5 * e) % NODES
  end
  return tk.graph{head = heads, tail = tails, nodes = NODES}
end

--- Of numbers, relative to those above 1.
local function largest_difference(a, b)
  if type(a) == 'number' then
    local by = math.abs(a - b) / math.max(1, math.abs(b))
    return by == by and by or math.huge
  end
  local most = 0
  for k = 1, #a do most = math.max(most, largest_difference(a[k], b[k])) end
  return most
end

local function agree(got, want, what)
  local by = largest_difference(got, want)
  checked = checked + 1
  if by > 1e-5 then error(('%s: %g apart'):format(what, by), 0) end
end

local function shape_of(columns)
  return ('sum over edges [%d,%d] of [%d,%d], %d edges'):format(NODES, columns, NODES, columns,
    EDGES)
end

--- The sum by each way, beside that of the default precision, which no library computes.
local function check_ways(g, x, weight, what)
  tk.precision 'float32'
  local want = g:aggregate(x, {weight = weight}):totable()
  tk.precision 'fast'
  for _, way in ipairs(ALL) do
    ways.set{[shape_of(x:size(2))] = way}
    agree(g:aggregate(x, {weight = weight}):totable(), want, way .. ', ' .. what)
  end
  ways.set{}
  agree(g:aggregate(x, {weight = weight}):totable(), want, 'the fastest, ' .. what)
  -- its clock counts pieces of work: a product without weights is one, our sum is two or three
  local chosen = ways.chosen()[shape_of(x:size(2))]
  if not chosen or not weight and not chosen:match '^cuSPARSE' then
    error(('%s: the way that was chosen is %s'):format(what, tostring(chosen)), 0)
  end
end

--- Losses of steps that are captured and replayed, while graphs come and go at the same address.
local function losses(device)
  tk.device(device)
  tk.seed(5)
  local x, list = tk.parameter(tk.randn(NODES, 16)), {}
  local g = made_graph(2)
  local step = tk.step(function() return g:aggregate(g:aggregate(x)):square():mean() end,
                       {optimizer = tk.optim.adam{lr = 1e-2}})
  for k = 1, 3 * STEPS do
    if k % STEPS == 0 then
      g:free()
      g = made_graph(2 + k)
    end
    list[k] = step()
  end
  return list, step:figure('replayed')
end

-- ---- what it takes of the device is planned ----

ffi.cdef 'int setenv(const char *name, const char *value, int overwrite);'

--- Runs steps with sums both ways, with weights and without, where the library's buffers take so
--- many bytes more. Returns the ways, the bytes of the device that are in no tensor and not in the
--- arena, at most, and those that were planned.
local function bytes_of_library(more)
  ffi.C.setenv('TKG_CHECK_BUFFER', tostring(more), 1)
  local chosen, taken, planned
  runtime.apart(function()
    ways.set{}
    tk.seed(8)
    local g, weight, x = made_graph(4), tk.randn(EDGES), tk.parameter(tk.randn(NODES, 32))
    local step = tk.step(function()
      return (g:aggregate(g:aggregate(x)) + g:aggregate(x, {weight = weight})):square():mean()
    end, {optimizer = tk.optim.sgd{lr = .1}}):plan()
    collectgarbage()
    C.tkg_memory_reset_peak(runtime.engine)
    local before = tk.memory()
    for _ = 1, STEPS do step() end
    local after = tk.memory()
    chosen, planned = ways.chosen(), C.tkg_engine_library_bytes(runtime.engine)
    taken = after.device.peak - before.device.used - (after.peak.total - before.live.total)
  end)
  ffi.C.setenv('TKG_CHECK_BUFFER', '0', 1)
  return chosen, taken, planned
end

local function check_memory()
  tk.precision 'fast'
  local _, taken, planned = bytes_of_library(2 ^ 20)
  if not (taken > 2 ^ 20 and taken <= planned) then
    error(('%.0f bytes taken, %.0f planned'):format(taken, planned), 0)
  end
  -- of a buffer that is larger than planned no algorithm is taken
  local chosen
  chosen, taken, planned = bytes_of_library(2 ^ 21)
  for shape, way in pairs(chosen) do
    if way ~= 'own' and way ~= 'cuSPARSE CSR_ALG2' then error(shape .. ': ' .. way, 0) end
  end
  if taken > planned then error(('%.0f bytes taken, %.0f planned'):format(taken, planned), 0) end
end

-- ---- a run keeps what was chosen, and goes on with it ----

local function config_ways(out) return run_folder.config(out).ways end

local function tinykg(text)
  if os.execute('./tinykg ' .. text) ~= 0 then error('tinykg ' .. text .. ' failed', 0) end
end

--- Trains an epoch, changes what config.json says to another way, and goes on for a second one.
local function check_run()
  local folder = os.tmpname()
  os.remove(folder)
  lfs.mkdir(folder)
  local out = folder .. '/run'
  demo.write(folder .. '/data', {users = 20, items = 20})
  local recipe = assert(io.open(folder .. '/fast.lua', 'w'))
  recipe:write("require('tinykg').precision 'fast'\nreturn dofile 'recipes/lightgcn.lua'\n")
  recipe:close()
  tinykg(("run '%s/fast.lua' --data '%s/data' --out '%s' --device cuda --quiet --profile " ..
    "--set dim=8 --set batch_size=64 --set epochs=1 >'%s/printed'"):format(folder, folder, out,
    folder))
  local shape, way = next(config_ways(out) or {})
  if not shape then error('config.json has no way of a sum', 0) end
  if not read_file(folder .. '/printed'):find(shape .. ': ' .. way, 1, true) then
    error('the profile does not name ' .. way, 0)
  end
  local config, other = run_folder.config(out), way == 'own' and ALL[4] or 'own'
  for each in pairs(config.ways) do config.ways[each] = other end
  run_folder.write(out, 'config.json', config)
  tinykg(("run '%s/fast.lua' --data '%s/data' --out '%s' --device cuda --quiet --resume " ..
    "--set dim=8 --set batch_size=64 --set epochs=2 >'%s/printed'"):format(folder, folder, out,
    folder))
  for each, now in pairs(config_ways(out)) do
    if now ~= other then error(('%s: %s after a resume, not %s'):format(each, now, other), 0) end
  end
  os.execute(("rm -rf '%s'"):format(folder))
end

tk.device 'cuda'
tk.seed(3)
local g, x = made_graph(1), {tk.randn(NODES, 16), tk.randn(NODES, 64)}
local weight = tk.randn(EDGES)
for _, rows in ipairs(x) do
  for name, graph in pairs{forward = g, backward = g:transpose()} do
    check_ways(graph, rows, nil, name)
    check_ways(graph, rows, weight, name .. ', weights')
  end
end
check_ways(g, tk.randn(NODES, 5), weight, 'rows that are not aligned')

tk.precision 'float32'
local want = losses 'cpu'
tk.precision 'fast'
local got, replayed = losses 'cuda'
agree(got, want, 'losses of steps')
if replayed < STEPS then error(('only %d steps were replayed'):format(replayed), 0) end

local kept = ways.chosen()
ways.set(kept)
for shape, way in pairs(kept) do assert(ways.chosen()[shape] == way, shape) end
check_memory()
local ok, message = pcall(ways.set, {['a sum'] = 'cuSPARSE CSR_ALG1'})
assert(not ok and message:match "ways: 'a sum: cuSPARSE CSR_ALG1' is none", message)
check_run()
print(('%d sums by %d ways, %d steps replayed'):format(checked, #ALL, replayed))
