--- How thorough an attack is: all of it with FAULTS=full (make check-faults FULL=1), a sample else.

local full = {is = os.getenv('FAULTS') == 'full'}

--- Numbers 1 .. n: all of them, or about `few` spread over them that differ from day to day.
---@return fun(): number?
function full.sample(n, few)
  local step = full.is and 1 or math.max(1, math.floor(n / few))
  local at = full.is and 0 or full.seed % step
  at = at - step + 1
  return function()
    at = at + step
    if at <= n then return math.max(at, 1) end
  end
end

--- The seed of what is drawn: today's date, or FAULTS_SEED.
full.seed = tonumber(os.getenv('FAULTS_SEED') or os.date('!%Y%m%d'))

--- Says how much was tried, where that is asked for.
function full.say(text, ...)
  if full.is then print('  ' .. text:format(...)) end
end

return full
