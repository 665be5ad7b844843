--- tinykg demo: trains KGIN, a model of the whole graph, at 32 and at 2 bits on a data set with
--- known structure, beside two models that do not see the graph.
local lfs = require 'lfs'
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.base.format'
local format_options = require 'tinykg.run.format_options'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'

local SEEDS = {1, 2, 3}
--- Few interactions per user: other users say little, the graph says what a user likes.
local DATA = {users = 2000, items = 400, interactions = 8}
local TASK = {task = 'ranking'}
--- Settings that suit a small set; all others are the recipes' own.
local RUNS = {
  {name = 'BPR-MF', file = 'bpr-mf.lua', bits = 32,
   set = {lr = 5e-3, l2 = 1e-4, batch_size = 1024, epochs = 16, eval_every = 4}},
  {name = 'LightGCN', file = 'lightgcn.lua', bits = 32,
   set = {lr = 5e-3, batch_size = 1024, epochs = 16, eval_every = 4}},
  {name = 'KGIN', file = 'kgin.lua', bits = 32, set = {lr = 0.01, epochs = 6, eval_every = 2}},
  {name = 'KGIN', file = 'kgin.lua', bits = 2, set = {lr = 0.01, epochs = 6, eval_every = 2}},
}
local SHOWN = RUNS[#RUNS] -- whose memory is shown and whose commands are printed

local function parser()
  local p = options.parser('tinykg demo', 'Generate a data set, train KGIN at 32 and at 2 bits ' ..
                           'beside models that see no graph, show accuracy and memory.',
                           'tinykg demo')
  p:argument('dir', 'folder of the data set and of the runs (runs/demo)'):args('?')
  return p
end

--- Trains with each seed. ---@param one table of RUNS ---@return table[] jobs of sweep.summary
local function train_all(one, dir)
  local run, jobs = require 'tinykg.run', {}
  local path = recipe_file.along('recipes/' .. one.file)
  local recipe, text = recipe_file.load(path)
  for _, seed in ipairs(SEEDS) do
    local name = ('%s/%s-%dbit-seed%d'):format(dir, one.name, one.bits, seed)
    local summary = run{
      recipe = recipe, text = text, path = path, data = dir .. '/data', data_options = TASK,
      options = recipe:complete(one.set), given = one.set, data_given = TASK, seed = seed,
      out = name, force = true,
      settings = {bits = one.bits, rounding = 'dither', quiet = true, silent = true}}
    io.stdout:write(string.format('  %-8s  %2d bits, seed %d: test recall@20 %.4f\n', one.name,
                                  one.bits, seed, summary.test['recall@20']))
    io.stdout:flush()
    jobs[#jobs + 1] = {group = ('%s, %d bits'):format(one.name, one.bits), summary = summary}
  end
  return jobs
end

--- The commands that give the shown figures again.
local function print_next(dir)
  local tinykg = lfs.attributes('tinykg', 'mode') == 'file' and './tinykg' or 'tinykg'
  dir = format.quoted(dir)
  local what = ('recipes/%s --data %s/data --data-set task=ranking --bits %d'):format(SHOWN.file,
    dir, SHOWN.bits)
  local set = table.concat(tables.map(format_options(SHOWN.set), function(text)
    return ' --set ' .. text
  end))
  print('Next:')
  print(('  %s memory %s'):format(tinykg, what))
  print('      the same memory, planned, and where it goes')
  print(('  %s run %s%s --seed %d'):format(tinykg, what, set, SEEDS[1]))
  print('      the same run, epoch by epoch')
  print(('  %s report %s -o %s/report.html'):format(tinykg, dir, dir))
  print('      all of this as a page, with accuracy against memory')
  print(('  %s data info DIR'):format(tinykg))
  print('      your own data')
end

return function(...)
  local a = options.parse(parser(), ...)
  local tk = require 'tinykg'
  require('tinykg.engine.lib').tkg_interrupt_watch(1)
  local dir, jobs = a.dir or 'runs/demo', {}
  require('tinykg.data.demo').write(dir .. '/data', DATA)
  print(tk.data.load(dir .. '/data', TASK):info())
  print(('device         %s, %s (no GPU is used)'):format(tk.device(),
                                                         format.count(tk.threads(), 'thread')))
  print()
  print('Training BPR-MF and LightGCN, which see no graph of the films, and KGIN, which\n' ..
        'does, with exact and with 2-bit activations:')
  for _, one in ipairs(RUNS) do tables.append(jobs, train_all(one, dir)) end
  print()
  print(require('tinykg.sweep.summary').text(jobs))
  print()
  print('KGIN\'s memory, beside that of an ordinary FP32 program of the same ops:')
  print(require('tinykg.train.memory.columns').text(jobs[#jobs].summary.columns))
  print()
  print_next(dir)
end
