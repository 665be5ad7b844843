--- How good the points of a search are by validation, and what a search ends with: their table.
local best_point = require 'tinykg.sweep.best_point'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local statistics = require 'tinykg.train.statistics'
local tables = require 'tinykg.base.tables'

local best = {}

--- The best validation of a run's first epochs, by the metric of early stopping.
---@param path string the run's folder ---@param epochs? number all by default
---@return number? value nil if none was measured ---@return string? metric ---@return integer last
function best.value(path, epochs)
  local value, metric, last = nil, nil, 0
  for _, record in ipairs(folder.log(path)) do
    if record.epoch <= (epochs or math.huge) then
      last = record.epoch
      local x = record.metric and record.valid and record.valid[record.metric]
      if type(x) == 'number' and not (value and value >= x) then
        value, metric = x, record.metric
      end
    end
  end
  return value, metric, last
end

--- Whether all jobs are finished: what one that failed or diverged has validated is no result.
---@param jobs Job[]
local function all_finished(jobs)
  return not tables.any(jobs, function(job) return not job.summary end)
end

--- The mean over a point's jobs, its seeds. Nil unless each is finished and has a value.
---@param jobs Job[] ---@param epochs? number
---@return number? value ---@return string? metric ---@return integer epochs most that a job has
function best.mean(jobs, epochs)
  local sum, metric, most, all = 0, nil, 0, all_finished(jobs)
  for _, job in ipairs(jobs) do
    local value, name, last = best.value(job.path, epochs)
    if value then sum, metric = sum + value, name else all = false end
    most = math.max(most, job.state == 'failed' and 0 or last) -- its folder may have other settings
  end
  return all and sum / #jobs or nil, metric, most
end

--- The state of a point: that of its first job that is not finished, if there is one.
---@param jobs Job[] ---@return string
local function state_of(jobs)
  local others = tables.filter(jobs, function(job) return not job.summary end)
  return (others[1] or jobs[1]).state
end

---@class Ranked
---@field jobs Job[] of a point, one per seed ---@field point Point
---@field value number? validation, mean over seeds ---@field metric string?
---@field epochs integer

--- Points with their jobs, the best first, those without a value last.
---@param trials {point: Point, jobs: Job[]}[] ---@return Ranked[]
function best.ranked(trials)
  local list = tables.map(trials, function(trial, i)
    local value, metric, epochs = best.mean(trial.jobs)
    return {jobs = trial.jobs, point = trial.point, value = value, metric = metric,
            epochs = epochs, key = value or -math.huge, place = i}
  end)
  return tables.sort_largest(list, 'key', 'place')
end

--- '0.3412', or '0.3412 +- 0.0100' over seeds, of the test metric. Nil: not measured.
local function test_text(one)
  local runs = tables.filter(one.jobs, function(job) return job.summary end)
  local s = one.metric and statistics.of_summary({finished = runs}, 'test', one.metric)
  return s and (s.sd and ('%.4f +- %.4f'):format(s.mean, s.sd) or ('%.4f'):format(s.mean))
end

local SHOWN = 15 -- points of a table

--- The table of a search by validation and, below it, the best point and its command.
---@param ranked Ranked[] ---@return string
function best.text(ranked)
  local first = ranked[1]
  if not (first and first.value) then return 'no point has a validation result' end
  local rows = {{'valid ' .. first.metric, 'epochs', 'settings'}}
  for i = 1, math.min(#ranked, SHOWN) do
    local one = ranked[i]
    rows[#rows + 1] = {one.value and ('%.4f'):format(one.value) or state_of(one.jobs),
                       ('%d'):format(one.epochs), one.point.text}
  end
  local lines = {format.table(rows, function(column) return column ~= 2 end)}
  if #ranked > SHOWN then lines[2] = ('... and %d more'):format(#ranked - SHOWN) end
  local test = test_text(first)
  test = test and (', test %s %s'):format(first.metric, test) or ''
  lines[#lines + 1] = 'best by validation: ' .. format.line(first.point.text) .. test
  lines[#lines + 1] = 'to train it again: ' .. best_point.command(first.jobs)
  return table.concat(lines, '\n')
end

--- The same for programs; null where no point has a value. ---@return table
function best.object(ranked)
  local first = ranked[1]
  if not (first and first.value) then return {best = json.null} end
  return {best = {settings = first.point.settings, metric = first.metric, value = first.value,
                  epochs = first.epochs, command = best_point.command(first.jobs)}}
end

return best
