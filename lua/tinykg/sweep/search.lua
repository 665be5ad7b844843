--- A search: points of a space are trained, and the best by validation is told with its command.
local ask = require 'tinykg.sweep.ask'
local best = require 'tinykg.sweep.best'
local C = require 'tinykg.engine.lib'
local display = require 'tinykg.sweep.display'
local halving = require 'tinykg.sweep.halving'
local jobs_of = require 'tinykg.sweep.jobs'
local json = require 'tinykg.base.json'
local options = require 'tinykg.cli.options'
local output_folder = require 'tinykg.run.output_folder'
local recipe_file = require 'tinykg.train.recipe_file'
local tables = require 'tinykg.base.tables'

local search = {}

--- A point with a job per seed. ---@return Trial
local function trial_of(s, recipe, point, out)
  local group = recipe.name .. output_folder.settings(point.settings)
  return {point = point, jobs = tables.map(s.seeds, function(seed)
    return jobs_of.one(s, recipe, point, seed, group, out)
  end)}
end

--- Jobs of all trials, in order. ---@param trials Trial[] ---@return Job[]
local function all_jobs(trials)
  local list = {}
  for _, trial in ipairs(trials) do tables.append(list, trial.jobs) end
  return list
end

--- The jobs of all points; none where another program asks for them.
---@param s table settings ---@param recipe {name: string, path: string} ---@param out string
---@return Job[]
function search.jobs(s, recipe, out)
  if s.search.kind == 'ask' then return {} end
  return all_jobs(tables.map(s.grid, function(point) return trial_of(s, recipe, point, out) end))
end

local function options_of(s, recipe, point)
  return recipe:complete(tables.merged(s.options, point.options))
end

local function greatest_divisor(a, b)
  while b > 0 do a, b = b, a % b end
  return a
end

--- The least number of epochs after which all points are validated in turn.
---@param s table settings ---@param recipe Recipe ---@return integer
local function validated_every(s, recipe)
  local every = 1
  for _, point in ipairs(s.grid) do
    local own = options_of(s, recipe, point).eval_every
    every = every / greatest_divisor(every, own) * own
  end
  return every
end

--- Refuses options that successive halving cannot have, before anything is written.
---@param s table settings
function search.check(s)
  if s.search.kind ~= 'asha' then return end
  local recipe = recipe_file.load(s.recipes[1])
  for _, point in ipairs(s.grid) do
    if point.settings.epochs then
      options.usage('--search asha: it chooses epochs, up to those of --set; --grid must not')
    end
    if options_of(s, recipe, point).schedule == 'cosine' then
      options.usage('--search asha: a run that goes on cannot have schedule=cosine, which depends '
                    .. 'on all epochs; --search random can')
    end
  end
  local epochs = options_of(s, recipe, s.grid[1]).epochs
  local every, points = validated_every(s, recipe), #s.grid
  if halving.stops_any(epochs, points, 1) and not halving.stops_any(epochs, points, every) then
    options.usage('--search asha: with epochs=%.0f and validations every %.0f epochs no point can '
                  .. 'be stopped early: more epochs, a smaller eval_every, or --search random',
                  epochs, every)
  end
end

local function halving_of(s, recipe, trials)
  local o = options_of(s, recipe.loaded, s.grid[1])
  return halving.new(trials, o.epochs, validated_every(s, recipe.loaded), s.jobs,
    function(job, epochs) return job.argv_with{epochs = ('%.0f'):format(epochs)} end)
end

--- Trains what standard input asks for.
local function answer(s, recipe, out, run_all)
  local jobs = {}
  local function make(texts_of, settings, seed)
    local point = s.point_of(texts_of(settings))
    options_of(s, recipe.loaded, point)
    local group = recipe.name .. output_folder.settings(point.settings)
    if seed == nil then seed = s.seeds[1] end
    seed = options.whole(seed, 'seed', 0, 2 ^ 53)
    local job = jobs_of.one(s, recipe, point, seed, group, out)
    local why = jobs_of.beyond(s, job)
    if why then error(why, 0) end
    jobs[#jobs + 1] = job
    return job
  end
  local source = ask(make, function() return C.tkg_interrupted(0) ~= 0 end)
  return {}, run_all({}, s.jobs, display.new({}, true, s.jobs), source)
end

---@param s table settings ---@param recipe {name: string, path: string, loaded: Recipe}
---@param out string
---@param run_all fun(jobs: Job[], at_once: integer, show: table, source: table): boolean
---@return Job[] jobs, boolean stopped
function search.run(s, recipe, out, run_all)
  if s.search.kind == 'ask' then return answer(s, recipe, out, run_all) end
  local trials = tables.map(s.grid, function(point) return trial_of(s, recipe, point, out) end)
  local jobs = all_jobs(trials)
  local source = s.search.kind == 'asha' and halving_of(s, recipe, trials)
    or jobs_of.in_order(jobs)
  local stopped = run_all(jobs, s.jobs, display.new(jobs, s.quiet, s.jobs, s.json), source)
  local ranked = best.ranked(trials)
  if s.json then
    print(json.encode(best.object(ranked)))
  else
    print(best.text(ranked))
    print('search folder: ' .. out)
  end
  return jobs, stopped
end

return search
