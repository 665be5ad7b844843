--- Statistics of groups of runs: means and deviations over seeds, the metrics that were measured,
--- and the groups that cannot be told from the best.
local tables = require 'tinykg.base.tables'

local statistics = {}

--- Mean and sample standard deviation (n - 1) of numbers; sd is nil for one, all nil for none.
---@return {mean: number, sd: number?, n: integer}|nil
function statistics.of(list)
  local n, mean, square = #list, 0, 0
  if n == 0 then return nil end
  for _, x in ipairs(list) do mean = mean + x / n end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  return {n = n, mean = mean, sd = n > 1 and math.sqrt(square / (n - 1)) or nil}
end

--- The number at a path of keys in a table; nil if there is none.
function statistics.number(tree, ...)
  for _, key in ipairs{...} do
    tree = type(tree) == 'table' and tree[key] or nil
  end
  return type(tree) == 'number' and tree or nil
end

--- The statistic of a number in summary.json over a group's finished runs.
---@param group ReportGroup ---@param ... string keys, outermost first
function statistics.of_summary(group, ...)
  local keys = {...}
  return statistics.of(tables.map(group.finished, function(run)
    return statistics.number(run.summary, unpack(keys))
  end))
end

--- The part whose metrics groups are compared by: test, or where no run has metrics of it, valid.
---@param groups ReportGroup[] ---@return 'test'|'valid'
function statistics.part(groups)
  local function has(part)
    return tables.any(groups, function(group)
      return tables.any(group.finished, function(run)
        local measured = run.summary[part]
        return type(measured) == 'table' and next(measured) ~= nil
      end)
    end)
  end
  return not has 'test' and has 'valid' and 'valid' or 'test'
end

--- The name of a metric in a table whose metrics are of a part: 'recall@20', 'valid recall@20'.
---@param part 'test'|'valid' ---@param name string
function statistics.named(part, name) return part == 'valid' and 'valid ' .. name or name end

statistics.LONGEST = 100000 -- items of a list that is evaluated

--- Lengths of the lists that metrics are of, ascending. Errors: text that lists none, or what is no
--- length.
---@param text string as option eval_k: 10,20 ---@return integer[]
function statistics.cuts(text)
  local list = {}
  for word in tostring(text):gmatch('[^,%s]+') do
    local k = tonumber(word)
    if not k or k < 1 or k % 1 ~= 0 or k > statistics.LONGEST then
      error(("option eval_k: '%s' is not a whole number from 1 to %d"):format(word,
        statistics.LONGEST), 0)
    end
    list[#list + 1] = k
  end
  if #list == 0 then error('option eval_k: no number given', 0) end
  table.sort(list)
  return tables.unique(list)
end

local ORDER = {auc = 1, f1 = 2, recall = 3, ndcg = 4, ndcg_kgat = 5, hit = 6, precision = 7,
               mrr = 8, map = 9}

local function rank(name)
  local base, cut = name:match('^(.*)@(%d+)') -- a mark of how it was measured may follow
  return tonumber(cut) or 0, ORDER[base or name] or 99, name
end

local function metric_before(a, b)
  local cut_a, order_a = rank(a)
  local cut_b, order_b = rank(b)
  if cut_a ~= cut_b then return cut_a > cut_b end
  if order_a ~= order_b then return order_a < order_b end
  return a < b
end

local DESCRIBING = {coverage = true, gini = true, novelty = true, popularity = true}

--- Whether a higher value of a metric is a better one: not of those that describe what is
--- recommended (tinykg.train.exposure). ---@param name string
function statistics.judges(name) return not DESCRIBING[name:match('^[%w_]+')] end

--- Whether a metric is one of a recipe's own. ---@param name string
function statistics.is_own(name)
  local base = name:match('^[%w_]+')
  return not ORDER[base] and not DESCRIBING[base] and base ~= 'users'
end

local MOST_MAIN = 4

--- Names of the metrics measured in a section, those of the longest lists first, in two parts:
--- `main` are all if they are few, else recall, NDCG, AUC, a recipe's own and the metric of
--- early stopping.
---@return string[] main, string[] rest
function statistics.metrics(section)
  local seen, watched, main, rest = {}, {}, {}, {}
  local function take(measured)
    for name, value in pairs(measured or {}) do
      if name ~= 'users' and type(value) == 'number' then seen[name] = true end
    end
  end
  for _, group in ipairs(section.groups) do
    for _, run in ipairs(group.runs) do
      if run.summary then take(run.summary.test) end
      for _, record in ipairs(run.log) do take(record.valid) end
    end
    watched[group.settings['option metric'] or ''] = true -- as named without a mark
  end
  local all = tables.sorted_keys(seen)
  table.sort(all, metric_before)
  for _, name in ipairs(all) do
    local is_main = #all <= MOST_MAIN or watched[name:match('^[^ ]+')] or name:match('^recall@')
      or name:match('^ndcg@') or name == 'auc' or statistics.is_own(name)
    table.insert(is_main and main or rest, name)
  end
  return main, rest
end

--- The best groups in a list of statistics (nil: not measured), higher being better: the highest
--- mean, and all means that are no further below it than the larger of the two standard deviations.
--- None if that is every group.
---@param stats table<integer, {mean: number, sd: number?}> ---@param n integer number of groups
---@return table<integer, boolean>
function statistics.best(stats, n)
  local best, marked, count, measured = nil, {}, 0, 0
  for i = 1, n do
    if stats[i] then
      measured = measured + 1
      if not best or stats[i].mean > stats[best].mean then best = i end
    end
  end
  for i = 1, n do
    local s = stats[i]
    if s and stats[best].mean - s.mean <= math.max(s.sd or 0, stats[best].sd or 0) then
      marked[i], count = true, count + 1
    end
  end
  return count < measured and marked or {}
end

return statistics
