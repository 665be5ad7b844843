--- Scalar functions in double precision, accurate for numbers of any size.
local scalars = {}

local exp, abs = math.exp, math.abs

local function sigmoid(x)
  if x >= 0 then return 1 / (1 + exp(-x)) end
  local e = exp(x)
  return e / (1 + e)
end
scalars.sigmoid = sigmoid

local function log1p(x)
  local u = 1 + x
  if u == 1 or u == math.huge then return x end
  return math.log(u) * x / (u - 1)
end

function scalars.softplus(x)
  if x ~= x then return x end
  return math.max(x, 0) + log1p(exp(-abs(x)))
end

function scalars.tanh(x)
  if abs(x) < 1e-4 then return x - x * x * x / 3 end
  return 2 * sigmoid(2 * x) - 1
end

return scalars
