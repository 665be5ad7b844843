--- tinykg run: trains a recipe on a data set, once for each seed.
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.recipe_file'

local function parser()
  local p = options.parser('tinykg run', 'Train a recipe and evaluate it.',
                           'tinykg run recipes/kgcn.lua --data DIR --bits 2 --seed 0,1,2')
  p:argument('recipe', 'a recipe: a Lua file that returns tk.recipe{...}'):args('+')
  p:option('--data', 'a data set; its format is recognised')
  p:option('--set', 'an option of the recipe, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  p:option('--data-set',
           'an option of the data set (split, kcore, rating_threshold, ...); repeatable')
    :count('*'):argname('KEY=VALUE')
  p:option('--bits', 'how kept activations are stored: 32, 8, 4, 2, 1', '32')
  p:option('--rounding', 'dither, stochastic or nearest', 'dither')
  p:option('--device', 'auto, cpu, cuda or cuda:N', 'auto')
  p:option('--seed', 'one seed or several, separated by commas', '1')
  p:option('--threads', '0 = one a core', '0')
  p:option('--out', 'folder of the run (default: runs/RECIPE-DATA-BITS-SEED)')
  p:option('--steps', 'stop each epoch after so many steps: a quick look')
  p:flag('--quiet', 'print the result only')
  p:flag('--report', 'print what the step keeps for backward')
  return p
end

local function number(text, what, check)
  local n = tonumber(text)
  if not n or (check and not check(n)) then
    error({usage = string.format("%s: '%s' is not valid", what, tostring(text))}, 0)
  end
  return n
end

local BITS = {[32] = true, [8] = true, [4] = true, [2] = true, [1] = true}
local DEVICES = {auto = true, cpu = true, cuda = true, emu = true}
local ROUNDING = {dither = true, stochastic = true, nearest = true}
local function whole(n) return n % 1 == 0 and n >= 0 and n <= 2 ^ 53 end

local function seeds_of(text)
  local seeds, seen = options.numbers(text, '--seed'), {}
  for _, s in ipairs(seeds) do
    number(s, '--seed', whole)
    if seen[s] then error({usage = string.format('--seed: %d is given twice', s)}, 0) end
    seen[s] = true
  end
  return seeds
end

--- Settings of the runs, checked before anything is loaded.
local function settings_of(a)
  if not ROUNDING[a.rounding] then
    error({usage = '--rounding: ' .. a.rounding .. ' is not dither, stochastic or nearest'}, 0)
  end
  if not (DEVICES[a.device] or a.device:match('^cuda:%d+$')) then
    error({usage = '--device: ' .. a.device .. ' is not auto, cpu, cuda or cuda:N'}, 0)
  end
  return {
    bits = number(a.bits, '--bits (32, 8, 4, 2, 1)', function(n) return BITS[n] end),
    rounding = a.rounding, seeds = seeds_of(a.seed), quiet = a.quiet, report = a.report,
    threads = number(a.threads, '--threads', whole),
    steps = a.steps and number(a.steps, '--steps', function(n) return whole(n) and n > 0 end),
  }
end

--- `tinykg run RECIPE --help` shows the recipe's options, not only the command's.
local function recipe_help(...)
  local help, path
  for _, word in ipairs{...} do
    if word == '--help' or word == '-h' then help = true end
    if word:match('%.lua$') then path = word end
  end
  if help and path then
    print(recipe_file.load(path):help())
    return true
  end
end

local function usage_of(fn, ...)
  local ok, result = pcall(fn, ...)
  if not ok then error({usage = tostring(result)}, 0) end
  return result
end

local function summarise(name, results)
  if #results < 2 then return end
  local keys = {}
  for key in pairs(results[1]) do keys[#keys + 1] = key end
  table.sort(keys)
  print(string.format('%s, %d seeds: mean and standard deviation of test', name, #results))
  for _, key in ipairs(keys) do
    if key ~= 'users' then
      local mean, square = 0, 0
      for _, r in ipairs(results) do mean = mean + r[key] / #results end
      for _, r in ipairs(results) do square = square + (r[key] - mean) ^ 2 end
      print(string.format('  %-16s %.4f +- %.4f', key, mean, math.sqrt(square / (#results - 1))))
    end
  end
end

--- Where a run goes: --out itself when it is the only one; of two recipes of one name, the second
--- gets another folder.
local function folders(out, runs)
  local used = {}
  return function(name, seed)
    if not out or runs == 1 then return out end
    local folder = string.format('%s/%s-seed%d', out, name, seed)
    used[folder] = (used[folder] or 0) + 1
    return used[folder] == 1 and folder or folder .. '-' .. used[folder]
  end
end

return function(...)
  if recipe_help(...) then return end
  local a = options.parse(parser(), ...)
  local settings = settings_of(a)
  if not a.data or a.data == '' then
    error({usage = 'run: --data DIR is needed (tinykg data demo DIR makes one)'}, 0)
  end
  if a.out == '' then error({usage = '--out: a folder is needed'}, 0) end
  local given, from_data = options.pairs(a.set, '--set'), options.of_data(a.data_set)
  local tk, run = require 'tinykg', require 'tinykg.run'
  require('tinykg.lib').tkg_interrupt_watch(1)
  if a.device ~= 'auto' then tk.device(a.device) end
  tk.threads(settings.threads)
  io.stdout:setvbuf('line') -- each epoch is seen when it ends, through a pipe too
  local folder_of = folders(a.out, #settings.seeds * #a.recipe)
  for _, path in ipairs(a.recipe) do
    local recipe, text = recipe_file.load(path)
    local o = usage_of(recipe.complete, recipe, given)
    local results = {}
    for _, seed in ipairs(settings.seeds) do
      local summary = run{recipe = recipe, text = text, path = recipe_file.locate(path),
                         data = a.data, data_options = from_data,
                         options = o, seed = seed, settings = settings,
                         out = folder_of(recipe.name, seed)}
      results[#results + 1] = summary.test
    end
    summarise(recipe.name, results)
  end
end
