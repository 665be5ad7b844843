--- The best point of a sweep by validation, and the command that trains it again.
local origin = require 'tinykg.run.folder.origin'
local summary = require 'tinykg.sweep.summary'
local tables = require 'tinykg.base.tables'

-- Options of a job that its command need not have: with a value if there is one they default to.
local LEFT_OUT = {['--out'] = true, ['--seed'] = true, ['--threads'] = '0', ['--device'] = 'auto',
                  ['--bits'] = '32', ['--rounding'] = 'dither'}
local FLAGS = {['--of-sweep'] = true, ['--force'] = true}

local best_point = {}

--- The command of a group's jobs, for all of their seeds, as it is typed.
---@param jobs Job[] ---@return string
function best_point.command(jobs)
  local argv, words, seeds = jobs[1].argv, {'tinykg'}, {}
  local at = 3 -- behind the interpreter and the program
  while at <= #argv do
    local word, value = argv[at], argv[at + 1]
    local left_out = LEFT_OUT[word]
    if left_out then
      if left_out ~= true and left_out ~= value then tables.append(words, {word, value}) end
      at = at + 1
    elseif not FLAGS[word] then words[#words + 1] = word end
    at = at + 1
  end
  for _, job in ipairs(jobs) do
    for i, word in ipairs(job.argv) do
      if word == '--seed' then seeds[#seeds + 1] = job.argv[i + 1] end
    end
  end
  tables.append(words, {'--seed', table.concat(seeds, ',')})
  return table.concat(tables.map(words, origin.quoted), ' ')
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
