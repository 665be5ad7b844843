--- The best point of a sweep by validation, and the command that trains it again.
local command = require 'tinykg.run.folder.command'
local summary = require 'tinykg.sweep.summary'
local tables = require 'tinykg.base.tables'

local best_point = {}

--- The command of a group's jobs, for all of their seeds, as it is typed.
---@param jobs Job[] ---@return string
function best_point.command(jobs)
  local words, seeds = {'tinykg', unpack(jobs[1].argv, 3)}, {} -- behind interpreter and program
  for _, job in ipairs(jobs) do
    for i, word in ipairs(job.argv) do
      if word == '--seed' then seeds[#seeds + 1] = job.argv[i + 1] end
    end
  end
  return command.again(words, seeds)
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
