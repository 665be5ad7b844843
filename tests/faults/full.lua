--- How thorough an attack is: all of it with FAULTS=full (make check-faults FULL=1), a sample else.

local full = {is = os.getenv('FAULTS') == 'full'}

--- Numbers 1 .. n: in the full form all of them, or about `most` where that is less; in the short
--- form about `few`. They are spread over the range, and differ from day to day.
---@param n number ---@param few number ---@param most? number
---@return fun(): number?
function full.sample(n, few, most)
  local wanted = full.is and (most or n) or few
  local step = math.max(1, math.floor(n / wanted))
  local at = full.seed % step + 1 - step
  return function()
    at = at + step
    if at <= n then return at end
  end
end

--- The seed of what is drawn: today's date, or FAULTS_SEED.
full.seed = tonumber(os.getenv('FAULTS_SEED') or os.date('!%Y%m%d'))

--- Says how much was tried, where that is asked for.
function full.say(text, ...)
  if full.is then print('  ' .. text:format(...)) end
end

return full
