--- tinykg run: trains a recipe on a data set; several recipes, seeds or grid points are a sweep.
local json_line = require 'tinykg.run.json_line'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local rounding = require 'tinykg.engine.rounding'
local run_args = require 'tinykg.cli.run_args'
local settings = require 'tinykg.cli.settings'

local function parser()
  local p = options.parser('tinykg run',
    'Train a recipe and evaluate it. Several recipes, seeds or grid points make a sweep, ' ..
    'each run in a process and folder of its own. Finished runs are not repeated.',
    'tinykg run recipes/kgcn.lua --data DIR --bits 2 --seed 0,1,2 --jobs 2')
  p:argument('recipe', 'a recipe: a Lua file that returns tk.recipe{...}, or one of ' ..
             'tinykg\'s own by name: kgat, kgcn, kgin, ...'):args('*')
  options.add_data(p)
  p:option('--grid', 'several values of an option, or of bits and rounding; repeatable; with ' ..
           '--search also a range: KEY=A..B, KEY=A..B:log, KEY=A..B:int')
    :count('*'):argname('KEY=A,B,C')
  p:option('--search', 'draw points of the grid, the best by validation is printed with its ' ..
           'command: random=N trains N points (20), asha=N stops bad ones early (successive ' ..
           'halving), ask takes points from standard input as lines of JSON')
    :argname('random=N|asha=N|ask')
  p:option('--bits', 'how kept activations are stored: 32, 8, 4, 2, 1, or auto: the most for ' ..
           'each value that fit (default: 32; with --budget: auto)')
  options.add_budget(p)
  p:option('--rounding', rounding.CHOICES .. ' (default: dither)')
  p:option('--device', 'auto, cpu, cuda or cuda:N (default: auto)')
  options.add_list(p, '--seed', 'seeds of training, separated by commas (default: 1); the seed ' ..
                   'of the split is --data-set seed= (default: 0)')
  p:option('--threads', '0 = one per core (default: 0)')
  p:option('--jobs', 'how many runs of a sweep at a time (default: 1)')
  p:option('--out', 'folder of the run (default: runs/RECIPE-DATA-BITS-SEED-SETTINGS) or of the ' ..
           'sweep')
  p:option('--extend', 'begin with the parameters of a trained run, by name: its data set may ' ..
           'have got new users, items, entities; recipe and settings are that run\'s unless given')
    :argname('RUN')
  p:option('--checkpoint', 'minutes from one checkpoint to the next within an epoch (default: 5)')
  p:flag('--resume', 'go on with the run or the sweep in --out, with its settings; ' ..
         'without --out: the latest one in runs/ that was begun with what else is given and is ' ..
         'not finished, or if there is none, the latest finished one')
  p:option('--from', 'with --resume: last, or last-1, the checkpoint before it (default: last)')
    :argname('last|last-1')
  p:flag('--force', 'begin anew in --out; files of a run that is there move to previous/')
  options.add_trust(p)
  p:option('--steps', 'stop each epoch after this many steps, for a quick look')
  p:flag('--check', 'check each value and stop at the first NaN or infinity (slow)')
  p:flag('--profile', 'print where the time goes, by op, beside what the machine can do; ' ..
         'profile.json and trace.json (for ui.perfetto.dev) in the folder of the run have more')
  p:flag('--tensorboard', 'write event files for TensorBoard into the folder of the run')
  p:flag('--quiet', 'print the result only')
  p:flag('--json', 'print an object per run when it has ended, alone in its line: what is in ' ..
         'summary.json, folder and state')
  p:flag('--report', 'print what the step keeps for backward')
  p:flag('--of-sweep', 'a job of a sweep'):hidden(true)
  return p
end

--- `tinykg run RECIPE --help` shows the recipe's options, not only the command's.
local function recipe_help(...)
  local help, path
  for _, word in ipairs{...} do
    if word == '--help' or word == '-h' then help = true end
    if word:match('%.lua$') or recipe_file.of_name(word) then path = word end
  end
  if help and path then
    print(recipe_file.load(path):help())
    return true
  end
end

local function run_one(s)
  local run = require 'tinykg.run'
  run_args.set_engine(s, 2)
  io.stdout:setvbuf('line') -- each epoch is seen when it ends, through a pipe too
  local recipe, text = recipe_file.load(s.recipes[1], s.shown)
  s.silent = s.json
  local summary, path = run{
      recipe = recipe, text = text, path = s.shown or recipe_file.locate(s.recipes[1]),
      data = s.data, data_options = s.data_options,
      options = options.usage_of(recipe.complete, recipe, s.options), seed = s.seeds[1],
      settings = s, given = s.typed, data_given = s.data_options, out = s.out, from = s.from,
      force = s.force, resume = s.of_sweep and 'if the same' or s.resume}
  if s.json then print(json_line(path, 'done', summary)) end
end

return function(...)
  if recipe_help(...) then return end
  local a = options.parse(parser(), ...)
  local data = a.data -- nil: the folder of --resume or --extend says where it is
  local s = settings(a)
  if s.json and (s.report or s.profile) then
    options.usage('--json: it prints objects alone: without --report and --profile')
  end
  if s.quiet then require('tinykg.base.progress').silence() end
  if #s.recipes * #s.seeds * #s.grid == 1 and not s.search then
    return run_args.finding_data(data, run_one, s)
  end
  if require('tinykg.cli.ranks').count() > 1 then
    options.usage('a sweep under %s: its runs are processes of their own; start each run with it',
                  require('tinykg.cli.ranks').launcher())
  end
  for _, name in ipairs{'from', 'profile', 'extend'} do
    if s[name] then options.usage('--%s: it is for one run, not for a sweep', name) end
  end
  return run_args.finding_data(data, require 'tinykg.sweep', s)
end
