--- tinykg bench: speed on this machine, as ratios.
local atomic_file = require 'tinykg.base.atomic_file'
local must = require 'tinykg.base.must'
local tables = require 'tinykg.base.tables'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'

local HELP = [[
Speed on this machine, as ratios within one run.
  ops       sums over a graph, softmax over edges, ops on rows, compared with copying and matmul
  codec     packing kept values into few bits, compared with copying them
  step      steps of training at several widths, and the bytes they keep
  overhead  what a step and each of its ops cost beside arithmetic
  load      reading text, compared with reading its bytes
  eval      ranking, compared with computing the scores alone
  growth    time and memory of steps against edges, nodes, width, layers, batch, threads: minutes
  ranks     collective operations: mpirun -n P tinykg bench ranks
  all       all of these but growth and ranks, about a minute (the default)
Minimum and median of several runs, after two to warm up. Without --data, on generated data.]]

local PARTS = {'ops', 'codec', 'step', 'overhead', 'load', 'eval', 'growth', 'ranks', 'all'}

local function parser()
  local p = options.parser('tinykg bench', HELP, 'tinykg bench ops codec --quick')
  p:argument('part', 'what to measure'):args('*'):choices(PARTS)
  p:flag('--quick', 'tiny sizes, a few seconds: to try it out')
  p:flag('--json', 'print JSON, one object per line')
  p:option('--data', 'measure on this data set'):argname('DIR')
  options.add_engine(p)
  p:option('--recipe', 'step: a recipe (KGCN and KGAT); repeatable'):count('*')
  p:option('--set', 'step: an option of the recipe, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  options.add_list(p, '--bits', 'step: widths (default: 32,8,2,1)')
  p:flag('--traffic', 'step: what steps move through memory and launch, by op; plans them and ' ..
         'times nothing')
  p:option('--steps', 'step: how many steps are timed (as many as fit in six seconds)')
  p:option('--out', 'growth: a folder for pictures (SVG), a page and JSON'):argname('DIR')
  return p
end

local function settings_of(a)
  local bits = options.numbers(a.bits or '32,8,2,1', '--bits')
  for _, width in ipairs(bits) do
    options.choice(width, {32, 8, 4, 2, 1}, '--bits: %s is not 32, 8, 4, 2 or 1')
  end
  if #a.set > 0 and #a.recipe == 0 then options.usage('--set: --recipe says of which recipe') end
  return {quick = a.quick, json = a.json, traffic = a.traffic, data = a.data, bits = bits,
          recipe = #a.recipe > 0 and a.recipe or nil, set = options.pairs(a.set, '--set'),
          out = a.out, steps = a.steps and options.whole(a.steps, '--steps', 1)}
end

-- Options that are of one part.
local OF_PART = {recipe = 'step', set = 'step', bits = 'step', steps = 'step', out = 'growth'}

--- Refuses an option of a part that is not measured.
local function check_options(a, parts)
  for _, name in ipairs(tables.sorted_keys(OF_PART)) do
    local value = a[name]
    local given = value ~= nil and (type(value) ~= 'table' or #value > 0)
    if given and not tables.any(parts, function(part) return part == OF_PART[name] end) then
      options.usage('--%s: it is of %s', name, OF_PART[name])
    end
  end
end

local function parts_of(given, traffic)
  if traffic then
    local other = tables.any(given, function(part) return part ~= 'step' end)
    if other then options.usage('--traffic: it is of step') end
    return {'step'}
  end
  local all = #given == 0 or tables.any(given, function(part) return part == 'all' end)
  return all and require('tinykg.bench').parts or tables.unique(given)
end

return function(...)
  local a = options.parse(parser(), ...)
  local settings, parts = settings_of(a), parts_of(a.part, a.traffic)
  check_options(a, parts)
  if a.out then must(atomic_file.mkdirs(a.out)) end -- not after minutes
  run_args.set_engine(a)
  require('tinykg.bench').run(parts, settings)
end
