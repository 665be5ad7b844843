--- Times several cases in turns, so that a machine that is busy for a while slows all of them and
--- ratios stay right.
local clock = require 'tinykg.base.clock'
local runtime = require 'tinykg.engine.runtime'

local measure = {}

local WARM, LEAST, MOST = 2, 3, 1000

--- The median. Sorts the list. ---@param list number[] ---@return number
function measure.median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

local function timed(case)
  runtime.check_interrupt(true)
  local from = clock.now()
  case.run()
  return 1000 * (clock.now() - from)
end

--- Runs each case once per round, after two warm-up rounds, until `seconds` are over (at least
--- three rounds) or `rounds` are done. Sets `times`, sorted, `min` and `median` of each case, in
--- milliseconds.
---@param cases {run: fun()}[]
---@param o {seconds: number?, rounds: integer?, before: fun()?} before: called before each round
---@return table[] cases
function measure.turns(cases, o)
  local started = clock.now()
  for _, case in ipairs(cases) do case.times = {} end
  for round = 1 - WARM, o.rounds or MOST do
    if round > LEAST and o.seconds and clock.now() - started > o.seconds then break end
    if o.before then o.before() end
    for _, case in ipairs(cases) do
      local ms = timed(case)
      if round > 0 then case.times[round] = ms end
    end
  end
  for _, case in ipairs(cases) do
    case.median = measure.median(case.times)
    case.min = case.times[1]
  end
  return cases
end

return measure
