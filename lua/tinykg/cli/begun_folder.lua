--- The folder in which --resume goes on without --out: the latest run or sweep in runs/ that was
--- begun with what the command line gives and is not finished; the latest finished one if there is
--- none.
local lfs = require 'lfs'
local folder = require 'tinykg.run.folder'
local folder_entries = require 'tinykg.base.folder_entries'
local format_options = require 'tinykg.run.format_options'
local one_point = require 'tinykg.cli.one_point'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local tables = require 'tinykg.base.tables'

local RUNS = 'runs'

--- Equal texts, or texts of equal numbers.
local function same(a, b)
  return tostring(a) == tostring(b) or tonumber(a) ~= nil and tonumber(a) == tonumber(b)
end

--- The settings of a sweep or a run as the command line names them; nil: the folder is neither's,
--- or what it has cannot be read.
local function settings_of(path)
  local ok, sweep = pcall(folder.read, path, folder.SWEEP)
  if not ok then return nil end
  if sweep then return tables.merged(sweep, {bits = sweep.bits or sweep.budget and 'auto' or '32',
                                             seed = sweep.seed or '1'}) end
  local is_run, c = pcall(folder.config, path)
  return is_run and {
    recipe = {c.recipe_file}, data = c.data, bits = tostring(c.bits_asked or c.bits),
    seed = ('%.0f'):format(c.seed), rounding = c.rounding, grid = {},
    set = format_options(tables.merged(c.options, c.chosen and c.chosen.asked)), of_run = true,
    data_set = format_options(c.data_options)} or nil
end

local function same_list(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return false end
  end
  return true
end

--- Whether a run's folder got this option of the command line in its name. A preset is there only:
--- config.json has the options that it stands for.
local function is_named(path, key, value)
  return (path .. '-'):find(('-%s=%s-'):format(key, value), 1, true) ~= nil
end

--- Whether the pairs 'key=value' of a list are among those of another.
---@param path? string of a run
local function has_pairs(was, given, what, path)
  local known = options.pairs(was, what)
  for key, value in pairs(options.pairs(given, what)) do
    local is_known = same(known[key], value)
    if path and key == 'preset' then is_known = is_named(path, key, value) end
    if not resume.FREE[key] and not is_known then return false end
  end
  return true
end

local function place_of(path) return (folder.absolute(path):gsub('(.)/+$', '%1')) end

--- Whether a folder was begun with the arguments that are given.
local function fits(was, a, path)
  if was.of_run then a = one_point(a) end
  for _, key in ipairs{'bits', 'seed', 'rounding'} do
    if a[key] and not same(was[key], a[key]) then return false end
  end
  local recipes = tables.map(a.recipe, function(name)
    return folder.absolute(recipe_file.locate(name))
  end)
  return (#recipes == 0 or same_list(was.recipe, recipes))
    and (not a.data or place_of(was.data) == place_of(a.data))
    and (#a.grid == 0 or same_list(was.grid, a.grid))
    and (not a.search or was.search == a.search)
    and has_pairs(was.set, a.set, '--set', was.of_run and path)
    and has_pairs(was.data_set, format_options(options.of_data(a.data_set)), '--data-set')
end

--- Whether all jobs of a sweep are finished: those that have begun, and as many as it stands for.
---@param jobs integer
local function is_sweep_finished(path, jobs)
  local finished = 0
  for _, name in ipairs(folder_entries(path)) do
    local job = path .. '/' .. name
    if folder.has(job, 'summary.json') then finished = finished + 1
    elseif folder.has(job, 'config.json') or folder.has(job, 'output.txt') then return false end
  end
  return finished >= jobs
end

--- Whether a run or a sweep has nothing left to do.
local function is_finished(path, was, jobs_of)
  if was.of_run then return folder.has(path, 'summary.json') end
  local ok, jobs = pcall(jobs_of, was)
  return ok and is_sweep_finished(path, jobs)
end

--- The folder. Raises wrong usage where none fits.
---@param a table parsed arguments of tinykg run
---@param jobs_of fun(sweep: table): integer how many jobs a sweep with these arguments has
---@return string path
return function(a, jobs_of)
  local best, latest, is_best_finished
  for _, name in ipairs(lfs.attributes(RUNS, 'mode') == 'directory' and folder_entries(RUNS) or {})
  do
    local path = RUNS .. '/' .. name
    local was, changed = settings_of(path), lfs.attributes(path, 'modification')
    if was and fits(was, a, path) then
      local finished = is_finished(path, was, jobs_of)
      local better = not best or is_best_finished and not finished
      if better or finished == is_best_finished and changed >= latest then
        best, latest, is_best_finished = path, changed, finished
      end
    end
  end
  return best or options.usage('--resume: no run or sweep in %s/ was begun like that: --out says '
                               .. 'which one goes on', RUNS)
end
