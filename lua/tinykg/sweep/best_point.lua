--- The best point of a sweep by validation, and the command that trains it again.
local command = require 'tinykg.run.folder.command'
local folder = require 'tinykg.run.folder'
local scale = require 'tinykg.train.start.scale'
local summary = require 'tinykg.sweep.summary'
local tables = require 'tinykg.base.tables'

local best_point = {}

-- What a run changes on a small data set where it is not given, in the order in which the later
-- depend on the former.
local SCALED = {'epochs', 'eval_every', 'patience'}

--- What must be said for a new run to have the options that a job's run had: successive halving
--- gave it fewer epochs, or it went on from a run that was given others.
---@param job Job ---@return table<string, number>
local function options_to_say(job)
  local said = {}
  if not folder.has(job.path, 'config.json') then return said end
  local config, recipe = folder.config(job.path), job.recipe.loaded
  local data = {train = {n = config.data_set and config.data_set.train or math.huge}}
  for _, name in ipairs(SCALED) do
    local o, was = recipe:complete(tables.merged(job.options, said)), config.options[name]
    local changed = config.steps and {} or scale(recipe, o, data)
    if was ~= nil and (changed[name] or o[name]) ~= was then said[name] = was end
  end
  return said
end

--- The command of a group's jobs, for all of their seeds, as it is typed: it trains what they did.
---@param jobs Job[] ---@return string
function best_point.command(jobs)
  local argv = jobs[1].argv_with(options_to_say(jobs[1]))
  local words = {'tinykg', unpack(argv, 3)} -- behind interpreter and program
  return command.again(words, tables.map(jobs, function(job) return ('%.0f'):format(job.seed) end))
end

--- 'best by valid recall@20: NAME' and its command. ---@param jobs Job[]
---@return string? nil where there is nothing to choose from
function best_point.text(jobs)
  local name, metric, groups = summary.best(jobs)
  if not name or groups < 2 then return nil end
  local own = tables.filter(jobs, function(job) return job.group == name end)
  return ('* best by valid %s: %s\nto train it again: %s'):format(metric, name,
                                                                best_point.command(own))
end

return best_point
