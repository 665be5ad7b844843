--- The jobs of a sweep: a process each, with its command and its folder.
local folder = require 'tinykg.run.folder'
local format_options = require 'tinykg.run.format_options'
local options = require 'tinykg.cli.options'
local output_folder = require 'tinykg.run.output_folder'
local posix = require 'tinykg.base.posix'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local tables = require 'tinykg.base.tables'

local jobs = {}

--- Loads the recipes and checks their options at each point of the grid. This process trains
--- nothing, so its engine is on the CPU, and a GPU is left to the jobs.
---@param s table settings ---@return {name: string, path: string, loaded: Recipe}[]
function jobs.recipes(s)
  local device = os.getenv('TINYKG_DEVICE')
  posix.setenv('TINYKG_DEVICE', 'cpu')
  local list = {}
  for i, path in ipairs(s.recipes) do
    local recipe = recipe_file.load(path)
    for _, point in ipairs(s.grid) do
      options.usage_of(recipe.complete, recipe, tables.merged(s.options, point.options))
    end
    list[i] = {name = recipe.name, path = recipe_file.locate(path), loaded = recipe}
  end
  posix.setenv('TINYKG_DEVICE', device)
  return list
end

--- Threads per job: jobs that run at the same time share the cores.
local function threads_of(s)
  if s.threads > 0 or s.jobs == 1 then return s.threads end
  return math.max(1, math.floor(require('tinykg').threads() / s.jobs))
end

--- The command of a job, in a folder. ---@return string[] argv
function jobs.command(s, recipe, point, seed, path)
  local argv = {arg[-1] or 'luajit', arg[0], 'run', recipe.path, '--of-sweep', '--data', s.data,
                '--out', path, '--seed', ('%.0f'):format(seed), '--device', s.device,
                '--bits', tostring(point.bits or s.bits),
                '--rounding', point.rounding or s.rounding, '--threads', tostring(threads_of(s))}
  local function add(...) tables.append(argv, {...}) end
  for _, item in ipairs(format_options(tables.merged(s.options, point.options))) do
    add('--set', item)
  end
  for _, item in ipairs(format_options(s.data_options)) do add('--data-set', item) end
  if s.budget then add('--budget', ('%.0fB'):format(s.budget)) end
  if s.sensitivity then add('--sensitivity', folder.absolute(s.arguments.sensitivity)) end
  if s.steps then add('--steps', tostring(s.steps)) end
  if s.checkpoint then add('--checkpoint', tostring(s.checkpoint / 60)) end
  for _, flag in ipairs{'report', 'tensorboard', 'check', 'force'} do
    if s[flag] then add('--' .. flag) end
  end
  return argv
end

--- A job of a point and a seed in a group.
---@return Job
function jobs.one(s, recipe, point, seed, group, out)
  local name = ('%s-seed%.0f'):format(group, seed)
  local path = out .. '/' .. name
  local function argv_with(changed)
    local changed_point = tables.merged(point, {options = tables.merged(point.options, changed)})
    return jobs.command(s, recipe, changed_point, seed, path)
  end
  return {name = name, group = group, path = path, state = 'waiting', point = point, seed = seed,
          recipe = recipe, options = tables.merged(s.options, point.options),
          argv = argv_with{}, argv_with = argv_with}
end

--- Whether the last line that a job printed says that it diverged. ---@param line string
function jobs.is_divergence(line)
  return line:find('try a smaller lr', 1, true) or line:find(': NaN at %[')
    or line:find(': %-?infinity at %[') -- --check
end

--- Whether a job is finished, or diverged, as it would again. ---@param path string its folder
function jobs.ended(path)
  local _, line = folder.output(path)
  return folder.has(path, 'summary.json') or jobs.is_divergence(line) ~= nil
end

--- The epochs and the patience that a job asks for: given ones, else those that its run has because
--- its data set is small, else the recipe's own.
local function asked_of(job)
  local o, config = job.recipe.loaded:complete(job.options), folder.config(job.path)
  local given = getmetatable(o).asked
  local function asked(name)
    local scaled = config.scaled and config.scaled[name] ~= nil and not given[name]
    return scaled and config.options[name] or o[name]
  end
  return {epochs = asked 'epochs', patience = asked 'patience'}
end

--- Says why what a job's folder has is no answer to it, or nil: it has gone further than asked for.
---@param job Job ---@return string?
function jobs.beyond(s, job)
  if s.force or not folder.has(job.path, 'config.json') then return nil end
  local why = resume.beyond(job.path, asked_of(job))
  return why and ('%s: %s: name another --out, or --force moves it to previous/'):format(job.path,
    why)
end

local LONGEST = 200 -- bytes of settings in a job's name: a file's name has at most 255

--- A point's settings in the name of a job. A long list is cut, as in names of runs.
---@param point Point ---@return string
local function label_of(point)
  local label = point.label:gsub('/', '_')
  return #label <= LONGEST and label or output_folder.settings(point.settings)
end

--- The jobs of all recipes, points and seeds. ---@return Job[]
function jobs.all(s, recipes, out)
  local list, used = {}, {}
  for _, recipe in ipairs(recipes) do
    for _, point in ipairs(s.grid) do
      local group = recipe.name .. label_of(point)
      used[group] = (used[group] or 0) + 1
      if used[group] > 1 then group = group .. '-' .. used[group] end -- two recipes of one name
      for _, seed in ipairs(s.seeds) do
        list[#list + 1] = jobs.one(s, recipe, point, seed, group, out)
      end
    end
  end
  return list
end

--- A source that gives jobs in their order. A source has next(self, running), nil where no job can
--- begin now, and none ever will if none runs; finished(self, job); and maybe watch(self,
--- running), which is called several times a second.
---@param list Job[] ---@return table
function jobs.in_order(list)
  local at = 0
  return {
    next = function()
      at = at + 1
      return list[at]
    end,
    finished = function() end,
  }
end

return jobs
