--- The sweep that a folder has: whether another command may go on with it or take its place.
local fingerprint = require 'tinykg.data.fingerprint'
local data_set = require 'tinykg.run.data_set'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local jobs_of = require 'tinykg.sweep.jobs'
local options = require 'tinykg.cli.options'
local resume = require 'tinykg.run.resume'
local tables = require 'tinykg.base.tables'

local earlier = {}

--- The settings that all jobs of a sweep have, but for its data set.
local function common_of(a)
  return {options = options.pairs(a.set, '--set'), data_options = options.of_data(a.data_set),
          bits = a.bits or a.budget and 'auto' or '32', steps = a.steps,
          budget = a.budget and options.bytes(a.budget, '--budget'),
          sensitivity = a.sensitivity and folder.absolute(a.sensitivity),
          rounding = (a.bits or a.budget) and a.bits ~= '32' and (a.rounding or 'dither') or nil}
end

--- The first difference of the data sets, or nil. That of a sweep that goes on may have moved: then
--- it is compared with what its runs have noted of it.
---@param jobs Job[]
local function data_difference(was, s, jobs)
  local now = folder.absolute(s.data)
  if was.data == now then return nil end
  if not s.resume then return ('data was %s and is %s now'):format(was.data, now) end
  for _, job in ipairs(jobs) do
    if folder.has(job.path, 'config.json') then
      local config = folder.config(job.path)
      local found = data_set.load({data = s.data, data_options = config.data_options})
      local why = data_set.changed(config, fingerprint.of(found))
      return why and ('its data set is not %s: %s'):format(s.data, why)
    end
  end
end

--- Refuses other settings: finished jobs would be shown as this sweep's results, and batch.json
--- would no longer be that of the jobs. ---@param jobs Job[]
local function check_settings(out, was, s, jobs)
  local why = resume.difference(common_of(was), common_of(s.arguments))
    or data_difference(was, s, jobs)
  if not why then return end
  if s.resume then
    error(('%s: cannot go on: %s (another --out begins anew)'):format(out, why), 0)
  end
  error(('%s: holds a sweep with other settings: %s: name another --out, or --force moves what its '
           .. 'jobs have to previous/'):format(out, why), 0)
end

--- Whether two sweeps try other points, or other recipes.
local function tries_other(was, now)
  local function text(a)
    local axes = {unpack(a.grid or {})}
    table.sort(axes)
    return table.concat(tables.append({a.search and 'search' or ''}, axes), ' ')
  end
  return text(was) ~= text(now) or table.concat(was.recipe, '\n') ~= table.concat(now.recipe, '\n')
end

--- Refuses recipes or points without those that the folder's sweep has yet to finish: --resume
--- would not know of them any more.
---@param jobs Job[] ---@param recipes string[] their paths
local function check_unfinished(out, was, s, jobs, recipes)
  if not tries_other(was, {grid = s.arguments.grid, search = s.search, recipe = recipes}) then
    return
  end
  local now = {}
  for _, job in ipairs(jobs) do now[job.name] = true end
  for _, name in ipairs(was.runs or {}) do
    if not now[name] and not jobs_of.ended(out .. '/' .. name) then
      error(('%s: holds a sweep that is not finished, with the run %s, which is not one of these: '
        .. 'name another --out, or finish it first: tinykg run --resume --out %s (--force gives it '
        .. 'up)'):format(out, name, format.quoted(out)), 0)
    end
  end
end

--- Refuses what would make the sweep of a folder useless, before anything is written.
---@param out string the folder ---@param s table settings ---@param jobs Job[] of the new sweep
---@param recipes string[] their paths
function earlier.check(out, s, jobs, recipes)
  local was = folder.read(out, folder.SWEEP)
  if not was or s.force then return end
  check_settings(out, was, s, jobs)
  check_unfinished(out, was, s, jobs, recipes)
end

return earlier
