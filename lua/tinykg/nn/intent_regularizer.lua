--- How alike the rows of a matrix are, summed over pairs of rows. KGIN makes its intents
--- independent by it (Wang et al., WWW 2021, section 4.1.2).
local ops = require 'tinykg.engine.ops'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local kinds = {}

--- [n, n] with 1 above the diagonal, else 0: each pair once.
local function above_diagonal(n)
  local cache = runtime.cache.above_diagonal or {}
  runtime.cache.above_diagonal = cache
  if not cache[n] then
    local list = {}
    for p = 1, n do
      for q = 1, n do list[#list + 1] = q > p and 1 or 0 end
    end
    cache[n] = tensor.create(tensor.F32, {n, n}):write(list)
  end
  return cache[n]
end

local function gram(rows) return rows:matmul(rows, {transpose_b = true}) end

--- Distance correlation (Szekely et al. 2007): a row is a sample of its entries.
function kinds.distance(w)
  local p, n = w:size(1), w:size(2)
  local d = ((w:reshape(p, n, 1) - w:reshape(p, 1, n)):square() + 1e-8):sqrt()
  local by_row = d:mean(3)
  local centred = d - by_row:reshape(p, n, 1) - by_row:reshape(p, 1, n)
    + by_row:mean(2):reshape(p, 1, 1)
  local rows = centred:reshape(p, n * n)
  local function covariance(products)
    return (products:clamp(0, math.huge) / (n * n) + 1e-8):sqrt()
  end
  local own, both = covariance(ops.dot(rows, rows)), covariance(gram(rows))
  local scale = (own:reshape(p, 1) * own:reshape(1, p) + 1e-8):sqrt()
  return (both / scale * above_diagonal(p)):sum()
end

--- Squared cosine.
function kinds.cosine(w)
  return (gram(w:normalize()):square() * above_diagonal(w:size(1))):sum()
end

--- Mutual information (InfoNCE), as in the paper. The authors' code leaves out a normalisation and
--- gets |sum of columns|^2.
function kinds.mi(w)
  local unit = w:normalize()
  return ((gram(unit) / 0.2):exp():sum(2):log() - ops.dot(unit, unit) / 0.2):sum()
end

--- Near 0 if the rows are independent. ---@param w Tensor [rows, n]
---@param kind string 'distance', 'cosine' or 'mi' ---@return Tensor a number
return function(w, kind)
  if not kinds[kind] then
    runtime.fail("loss.intent_regularizer: '%s' is not distance, cosine or mi", tostring(kind))
  end
  if w:rank() ~= 2 then
    runtime.fail('loss.intent_regularizer: a matrix is needed')
  end
  return kinds[kind](w)
end
