--- Tests of whether paired differences are of mean or median zero: Student's t and Wilcoxon's
--- signed ranks, both two-sided, with the results of scipy.stats.ttest_rel and wilcoxon (1.17).
local ffi = require 'ffi'

ffi.cdef [[
double lgamma(double x);
double erfc(double x);
]]

local paired_tests = {}

-- ---- Student's t ----

local MOST, ENOUGH, TINY = 10000, 1e-15, 1e-300

--- The continued fraction of the incomplete beta function (Numerical Recipes, section 6.4; Lentz's
--- method).
local function beta_fraction(x, a, b)
  local function apart(v) return math.abs(v) < TINY and TINY or v end
  local c, d = 1, 1 / apart(1 - (a + b) * x / (a + 1))
  local result = d
  for m = 1, MOST do
    local even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    local odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    local step
    for _, term in ipairs{even, odd} do
      d, c = 1 / apart(1 + term * d), apart(1 + term / c)
      step = d * c
      result = result * step
    end
    if math.abs(step - 1) < ENOUGH then break end
  end
  return result
end

--- The regularized incomplete beta function I_x(a, b); y is 1 - x.
local function incomplete_beta(x, y, a, b)
  if x <= 0 or y <= 0 then return x <= 0 and 0 or 1 end
  local front = math.exp(ffi.C.lgamma(a + b) - ffi.C.lgamma(a) - ffi.C.lgamma(b)
                         + a * math.log(x) + b * math.log(y))
  if x < (a + 1) / (a + b + 2) then return front * beta_fraction(x, a, b) / a end
  return 1 - front * beta_fraction(y, b, a) / b
end

--- The t statistic of the differences, and its p-value with n - 1 degrees of freedom. Equal
--- differences have no deviation: p is then 1 if they are zero, else 0.
---@param differences number[] at least two ---@return number t ---@return number p
function paired_tests.student(differences)
  local n, mean, square = #differences, 0, 0
  for _, d in ipairs(differences) do mean = mean + d / n end
  for _, d in ipairs(differences) do square = square + (d - mean) ^ 2 end
  if square == 0 then return mean == 0 and 0 or mean / 0, mean == 0 and 1 or 0 end
  local t = mean / math.sqrt(square / (n - 1) / n)
  local total = n - 1 + t * t
  return t, incomplete_beta((n - 1) / total, t * t / total, (n - 1) / 2, 0.5)
end

-- ---- Wilcoxon's signed ranks ----

--- Ranks by size, of which equal sizes share their mean rank, and the sum of the positive ones.
---@return number[] ranks ascending ---@return number plus
---@return number ties sum of t^3 - t over groups of t equal sizes
local function ranks_of(list)
  table.sort(list, function(a, b) return math.abs(a) < math.abs(b) end)
  local ranks, plus, ties, i = {}, 0, 0, 1
  while i <= #list do
    local j = i
    while list[j] and math.abs(list[j]) == math.abs(list[i]) do j = j + 1 end
    for k = i, j - 1 do
      ranks[k] = (i + j - 1) / 2
      plus = plus + (list[k] > 0 and ranks[k] or 0)
    end
    ties, i = ties + (j - i) ^ 3 - (j - i), j
  end
  return ranks, plus, ties
end

--- The share of all signs of these ranks whose positive ones add up to at most w. Sums are counted
--- in halves.
local function exact_share(w, ranks)
  local ways, most, below = {[0] = 1}, 0, 0
  for _, rank in ipairs(ranks) do
    most = most + 2 * rank
    for sum = most, 2 * rank, -1 do
      ways[sum] = (ways[sum] or 0) + (ways[sum - 2 * rank] or 0)
    end
  end
  for sum = 0, 2 * w do below = below + (ways[sum] or 0) end
  return below / 2 ^ #ranks
end

-- Up to so many differences, with ties or zeros among them or without, p is exact.
local MOST_TIED, MOST_EXACT = 13, 50

--- The smaller of the sums of ranks of positive and of negative differences, those of zero left out
--- (Wilcoxon 1945), and its p-value: exact for a few differences, else that of the normal
--- distribution, its variance corrected for ties. p is 1 without differences.
---@param differences number[] ---@return number w ---@return number p
function paired_tests.wilcoxon(differences)
  local list = {}
  for _, d in ipairs(differences) do
    if d ~= 0 then list[#list + 1] = d end
  end
  local n, ranks, plus, ties = #list, ranks_of(list)
  local w = math.min(plus, n * (n + 1) / 2 - plus)
  local tied = ties > 0 or n < #differences
  if n == 0 then return 0, 1 end
  if #differences <= (tied and MOST_TIED or MOST_EXACT) then
    return w, math.min(1, 2 * exact_share(w, ranks))
  end
  local deviation = math.sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24)
  return w, ffi.C.erfc((n * (n + 1) / 4 - w) / deviation / math.sqrt(2))
end

return paired_tests
