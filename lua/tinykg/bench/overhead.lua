--- What a step costs beside its arithmetic: steps of many ops on next to no numbers, and recording
--- and finding their plan alone.
local measure = require 'tinykg.bench.measure'
local tk = require 'tinykg'

local COLUMNS = {{'what', 'what'}, {'ops', 'ops', '%d'}, {'min_us', 'min us', '%.1f'},
  {'median_us', 'median', '%.1f'}, {'us_per_op', 'us per op', '%.2f'},
  {'us_per_step', 'us per step', '%.1f'}}
local FEW, MANY = 20, 200 -- ops
local AT_ONCE = 20        -- steps that are timed together

--- A step that records n ops; backward and the update make about as many again.
local function chain(n)
  local w, x = tk.parameter(tk.ones(4)), tk.ones(4)
  return tk.step(function()
    local y = w
    for i = 2, n do y = i % 2 == 0 and y + x or y:sigmoid() end
    return y:sum()
  end, {optimizer = tk.optim.adam()})
end

local function case(what, n, run)
  return {what = what, ops = n, run = function() for _ = 1, AT_ONCE do run() end end}
end

local function cases_of()
  local cases = {}
  for _, n in ipairs{FEW, MANY} do
    local step, plan = chain(n), chain(n)
    cases[#cases + 1] = case('forward, backward, update', n, function() step() end)
    cases[#cases + 1] = case('recording, finding the plan', n, function() plan:plan() end)
  end
  return cases
end

---@param o table {seconds}
---@param out tinykg.BenchOutput
return function(o, out)
  out:doing('overhead')
  local cases, records = measure.turns(cases_of(), {seconds = o.seconds}), {}
  for k, timed in ipairs(cases) do
    local r = {what = timed.what, ops = timed.ops, min_us = 1e3 * timed.min / AT_ONCE,
               median_us = 1e3 * timed.median / AT_ONCE}
    local few = records[k - 2]
    if few then -- a line through both
      r.us_per_op = (r.min_us - few.min_us) / (MANY - FEW)
      r.us_per_step = r.min_us - MANY * r.us_per_op
    end
    records[k] = r
  end
  out:heading('overhead of ops that compute next to nothing; per op and per step: a line through '
    .. 'the minima')
  out:table('overhead', COLUMNS, records)
end
