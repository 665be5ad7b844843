--- How much of a sweep is done, and about how many seconds it still takes.
local clock = require 'tinykg.base.clock'

local ENDED = {done = true, failed = true, diverged = true, stopped = true}

--- Seconds that a job took or will take as a whole, as far as it is known.
local function whole_of(job)
  if ENDED[job.state] then return job.seconds end
  return job.state == 'running' and job.whole or nil
end

--- The mean over the jobs of each group, and over all ('').
local function means_of(jobs)
  local sum, n = {}, {}
  for _, job in ipairs(jobs) do
    local whole = whole_of(job)
    for _, key in ipairs(whole and {job.group, ''} or {}) do
      sum[key], n[key] = (sum[key] or 0) + whole, (n[key] or 0) + 1
    end
  end
  for key, seconds in pairs(sum) do sum[key] = seconds / n[key] end
  return sum
end

local function rest_of(job, means)
  if ENDED[job.state] or job.state == 'before' then return 0 end
  local whole = job.whole or means[job.group] or means['']
  if job.state ~= 'running' then return whole end
  return math.max(0, whole - (clock.now() - job.started))
end

---@param jobs Job[] running ones with `whole`, seconds that they will take, or nil
---@param at_once integer
---@return number share 0 to 1, by number of jobs until the times are known
---@return number? left seconds, when some job's is known
return function(jobs, at_once)
  local means, ended, took, left, longest = means_of(jobs), 0, 0, 0, 0
  for _, job in ipairs(jobs) do
    if ENDED[job.state] or job.state == 'before' then ended = ended + 1 end
    if job.state == 'running' then took = took + clock.now() - job.started end
    took = took + (ENDED[job.state] and job.seconds or 0)
  end
  if not means[''] then return ended / #jobs end
  for _, job in ipairs(jobs) do
    local rest = rest_of(job, means)
    left, longest = left + rest, math.max(longest, rest)
  end
  return took / math.max(took + left, 1e-9), math.max(left / at_once, longest)
end
