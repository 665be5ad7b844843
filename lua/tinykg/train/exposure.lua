--- What a model recommends, whether or not it is right: coverage, gini, novelty and popularity of
--- the lists of k items of all evaluated users.
--
--   coverage    share of all items that are in some list
--   gini        how unequally places are spread over all items: 0 all equally, near 1 to a few
--               (RecBole's GiniIndex)
--   novelty     mean over all places of -log2(share of users who know the item), bits (Zhou et al.,
--               PNAS 2010); an item that nobody knows counts as if one user did
--   popularity  mean over all places of the item's training interactions (RecBole's
--               AveragePopularity)
local ffi = require 'ffi'
local rows = require 'tinykg.data.rows'

local exposure = {}

exposure.names = {'coverage', 'gini', 'novelty', 'popularity'}

--- Training interactions of each item, as an int32 array.
local function popularity_of(data)
  local known, n = ffi.new('int32_t[?]', data.items), rows.positives(data.train)
  for i = 0, n.n - 1 do known[n.items[i]] = known[n.items[i]] + 1 end
  return known
end

--- Half the relative mean difference of the counts, which are put into ascending order.
local function gini(counts, n, sum)
  local sorted = {}
  for i = 1, n do sorted[i] = counts[i - 1] end
  table.sort(sorted)
  local weighted = 0
  for i, x in ipairs(sorted) do weighted = weighted + (2 * i - n - 1) * x end
  return weighted / (n * sum)
end

local function figures(counts, popularity, data)
  local covered, places, novelty, popular = 0, 0, 0, 0
  for i = 0, data.items - 1 do
    local c = counts[i]
    if c > 0 then
      covered, places = covered + 1, places + c
      novelty = novelty - c * math.log(math.max(popularity[i], 1) / data.users) / math.log(2)
      popular = popular + c * popularity[i]
    end
  end
  return {coverage = covered / data.items, gini = gini(counts, data.items, places),
          novelty = novelty / places, popularity = popular / places}
end

--- A counter of the lists of an evaluation.
---@param data tinykg.Data ---@param k integer|integer[] cuts
---@return {add: fun(top: ffi.cdata*), results: fun(): table<string, number>} add takes a user's
---  list of the largest cut, at most all items, padded with -1; results has 'coverage@10', ...
function exposure.counter(data, k)
  k = type(k) == 'table' and k or {k}
  local counts = {}
  for i = 1, #k do counts[i] = ffi.new('int32_t[?]', data.items) end
  local self = {}
  function self.add(top)
    for i, cut in ipairs(k) do
      for at = 0, math.min(cut, data.items) - 1 do
        if top[at] >= 0 then counts[i][top[at]] = counts[i][top[at]] + 1 end
      end
    end
  end
  function self.results()
    local popularity, out = popularity_of(data), {}
    for i, cut in ipairs(k) do
      for name, value in pairs(figures(counts[i], popularity, data)) do
        out[name .. '@' .. cut] = value
      end
    end
    return out
  end
  return self
end

return exposure
