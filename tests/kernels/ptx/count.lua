--- Instructions of groups of ops in tiles, beside those of the same ops one by one: what the
--- interpreter of tiles (kernels/cuda/tiles.cu) costs and saves, by nvcc's PTX. A table per recipe
--- and group.
---   tinykg tests/kernels/ptx/count.lua [--kinds] [RECIPE ..]
--- TINYKG_LIB is build/ptx/count/libtinykg.so. Exit status 1 where a recipe's groups, or a group
--- of more than FEW instructions, take more than MOST times as many in tiles. A smaller group saves
--- launches, whatever its instructions: each is two microseconds, in which an H200 issues two
--- million (132 multiprocessors, four warps at a time, 1.8 GHz).
local ffi = require 'ffi'
local demo = require 'tinykg.data.demo'
local step_timer = require 'tinykg.bench.step_timer'
local tk = require 'tinykg'

local MOST, FEW = 1.3, 5e5
local RECIPES = {'kgat', 'kgin', 'kgcn', 'ripplenet', 'lightgcn'}
-- Of translate.py; moves are left out of sums, as ptxas removes most.
local KINDS = {'global loads', 'global stores', 'shared', 'either', 'parameters', 'arithmetic',
               'divisions', 'branches', 'threads', 'moves'}
-- With fewer, KGCN's values would all be small: such groups run as wholes (kernels/cuda/small.cu).
local OPTIONS = {batch_size = 512, kg_batch_size = 512}

ffi.cdef 'int setenv(const char *name, const char *value, int overwrite);'
local log, folder = os.tmpname(), os.tmpname()
ffi.C.setenv('TKG_COUNT_LOG', log, 1)
ffi.C.setenv('TKG_CUBLAS', 'no', 1) -- its products are no PTX

--- Runs a step of each phase; returns the groups: {rows, names, ops = counts, tiles = counts}.
local function groups_of(name, bits, data)
  io.open(log, 'w'):close()
  local path = ('recipes/%s.lua'):format(name)
  local options = {}
  for _, o in ipairs(dofile(path).options) do options[o.name] = OPTIONS[o.name] end
  tk.device 'cuda'
  for _, phase in ipairs(step_timer.trainer(path, options, data, bits).phases) do
    phase.step(phase:batch(1))
  end
  local groups = {}
  for line in io.lines(log) do
    local rows, names, ops, tiles = line:match('^(%d+) (%S+) ops (.-) tiles (.*)$')
    local group = {rows = tonumber(rows), names = names, ops = {}, tiles = {}}
    for n in ops:gmatch('%d+') do table.insert(group.ops, tonumber(n)) end
    for n in tiles:gmatch('%d+') do table.insert(group.tiles, tonumber(n)) end
    groups[#groups + 1] = group
  end
  return groups
end

local function sum(counts)
  local all = 0
  for k = 1, #KINDS - 1 do all = all + counts[k] end
  return all
end

local function print_kinds(group)
  for k, kind in ipairs(KINDS) do
    print(('      %-14s %10d %10d'):format(kind, group.ops[k], group.tiles[k]))
  end
end

local kinds, names = false, {}
for _, argument in ipairs(arg) do
  if argument == '--kinds' then kinds = true else names[#names + 1] = argument end
end
os.remove(folder)
demo.write(folder, {users = 300, items = 150})
local data, failed = tk.data.load(folder, {seed = 0}), false
for _, name in ipairs(#names > 0 and names or RECIPES) do
  for _, bits in ipairs{32, 2} do
    local ops, tiles = 0, 0
    for _, group in ipairs(groups_of(name, bits, data)) do
      local a, b = sum(group.ops), sum(group.tiles)
      ops, tiles = ops + a, tiles + b
      print(('    %6d rows %9d %9d %5.2f %s'):format(group.rows, a, b, b / a, group.names))
      if kinds then print_kinds(group) end
      failed = failed or b > MOST * a and b > FEW
    end
    failed = failed or tiles > MOST * ops
    print(('%-9s %2d bits: %9d one by one, %9d in tiles: %.2f'):format(name, bits, ops, tiles,
      tiles / ops))
  end
end
os.remove(log)
os.execute(("rm -rf '%s'"):format(folder))
os.exit(failed and 1 or 0)
