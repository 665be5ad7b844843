--- tinykg demo: trains KGCN at 32 and at 2 bits on a data set with known structure.
local lfs = require 'lfs'
local tables = require 'tinykg.base.tables'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'

local SEEDS = {1, 2, 3}
--- Small and quick. The neighbor aggregator suits data in which the graph alone explains the items.
--- Neighbours are sampled without replacement; the published program's replacement misses many.
local SETTINGS = {aggregator = 'neighbor', dim = 32, neighbors = 8, hops = 1, batch_size = 256,
                  lr = 0.03, l2 = 1e-5, epochs = 15, replacement = false}
local BASELINE = {dim = 32, batch_size = 256, lr = 5e-3, l2 = 1e-4, epochs = 20, patience = 0}

local function parser()
  local p = options.parser('tinykg demo', 'Generate a data set, train KGCN at 32 and at 2 bits.',
                           'tinykg demo')
  p:argument('dir', 'where to write the data set (runs/demo-data)'):args('?')
  return p
end

--- Trains with each seed. ---@return table[] jobs as sweep.summary takes them
local function train_all(group, file, set, bits, dir)
  local run, jobs = require 'tinykg.run', {}
  local path = recipe_file.along('recipes/' .. file)
  local recipe, text = recipe_file.load(path)
  local o = recipe:complete(set)
  for _, seed in ipairs(SEEDS) do
    local summary = run{
      recipe = recipe, text = text, path = path, data = dir, options = o, given = set, seed = seed,
      settings = {bits = bits, rounding = 'dither', quiet = true, silent = true}}
    io.stdout:write(string.format('  %-7s %2d bits, seed %d: test AUC %.4f\n', recipe.name, bits,
                                  seed, summary.test.auc))
    io.stdout:flush()
    jobs[#jobs + 1] = {group = group, summary = summary}
  end
  return jobs
end

return function(...)
  local a = options.parse(parser(), ...)
  local tk, format = require 'tinykg', require 'tinykg.base.format'
  require('tinykg.engine.lib').tkg_interrupt_watch(1)
  local dir = a.dir or 'runs/demo-data'
  require('tinykg.data.demo').write(dir)
  print(tk.data.load(dir):info())
  print(('device         %s, %s (no GPU is used)'):format(tk.device(),
                                                         format.count(tk.threads(), 'thread')))
  print()
  print('Training BPR-MF, which sees no graph, and KGCN with exact and with 2-bit activations:')
  local jobs = {}
  for _, group in ipairs{train_all('BPR-MF, 32 bits', 'bpr-mf.lua', BASELINE, 32, dir),
                         train_all('KGCN, 32 bits', 'kgcn.lua', SETTINGS, 32, dir),
                         train_all('KGCN, 2 bits', 'kgcn.lua', SETTINGS, 2, dir)} do
    tables.append(jobs, group)
  end
  print()
  print(require('tinykg.sweep.summary').text(jobs))
  local kept = jobs[#jobs].summary.kept
  print(string.format('op-by-op FP32 autograd would keep %s: %.0fx what the 2-bit step keeps',
    format.bytes(kept.reference_bytes), kept.reference_bytes / kept.stored_bytes))
  print()
  local tinykg = lfs.attributes('tinykg', 'mode') == 'file' and './tinykg' or 'tinykg'
  print('Next:')
  print('  ' .. tinykg .. ' run recipes/kgcn.lua --data ' .. dir .. ' --bits 2 --report')
  print('  ' .. tinykg .. ' run recipes/kgcn.lua --help      its options and published settings')
  print('  ' .. tinykg .. ' data info DIR                    your own data')
end
