--- Items that are like an item, and users that are like a user, as a model sees them.
--
-- Where a score is the product of a user's vector and an item's, likeness is the cosine of the two
-- vectors. Otherwise it is the cosine of the scores: two items are alike if users' scores of them
-- are, each less the mean of that user's scores; two users if their scores of all items are.
local ffi = require 'ffi'
local evaluate = require 'tinykg.train.evaluate'
local Ranker = require 'tinykg.nn.ranker'
local recommender = require 'tinykg.query.recommender'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local vectors = require 'tinykg.query.export.vectors'

local MOST = 4096 -- users whose scores compare items; all, if they are no more

--- Cosines of rows with one of them. ---@param values ffi.cdata* floats [n, d]
local function cosines(values, n, d, of)
  local out = {}
  for i = 0, n - 1 do
    local dot, square, own = 0, 0, 0
    for k = 0, d - 1 do
      local x, y = values[i * d + k], values[of * d + k]
      dot, square, own = dot + x * y, square + x * x, own + y * y
    end
    out[i] = dot / math.max(math.sqrt(square * own), 1e-30)
  end
  return out
end

local function by_vectors(run, kind, id)
  local t = vectors.of(run)[kind]
  return cosines(t:values(), t:size(1), t:size(2), id)
end

--- Calls visit(user, scores) with the scores of all items, less their mean, for `count` users.
local function each_user(run, count, visit)
  local data = run.data
  local score, release = evaluate.scorer(run.model, data)
  local block, ids = evaluate.block_of(data), ffi.new('int32_t[?]', 256)
  for first = 0, count - 1, block do
    local n = math.min(block, count - first)
    for i = 0, n - 1 do ids[i] = first + i end
    local scores = score(ids, n)
    for i = 0, n - 1 do
      local row, mean = scores + i * data.items, 0
      for item = 0, data.items - 1 do mean = mean + row[item] / data.items end
      for item = 0, data.items - 1 do row[item] = row[item] - mean end
      visit(first + i, row)
    end
    runtime.check_interrupt()
  end
  release()
end

local function items_by_scores(run, id)
  local items, dot, square = run.data.items, {}, {}
  for item = 0, items - 1 do dot[item], square[item] = 0, 0 end
  each_user(run, math.min(run.data.users, MOST), function(_, row)
    for item = 0, items - 1 do
      dot[item] = dot[item] + row[item] * row[id]
      square[item] = square[item] + row[item] * row[item]
    end
  end)
  local own = square[id]
  for item = 0, items - 1 do
    dot[item] = dot[item] / math.max(math.sqrt(square[item] * own), 1e-30)
  end
  return dot
end

local function users_by_scores(run, id)
  local items, out = run.data.items, {}
  local own, norm = ffi.new('double[?]', items), 0
  each_user(run, run.data.users, function(user, row)
    if user ~= id then return end
    for item = 0, items - 1 do own[item], norm = row[item], norm + row[item] ^ 2 end
  end)
  each_user(run, run.data.users, function(user, row)
    local dot, square = 0, 0
    for item = 0, items - 1 do
      dot, square = dot + row[item] * own[item], square + row[item] ^ 2
    end
    out[user] = dot / math.max(math.sqrt(square * norm), 1e-30)
  end)
  return out
end

local BY_SCORES = {items = items_by_scores, users = users_by_scores}

--- The items or users that are most like one. ---@param run OpenRun
---@param kind 'items'|'users' ---@param name string|number of the data set, or a number from 0
---@param k? integer 20
---@return {of: string, by: string, list: table[]} list: {id, rank, item, title, name, alike} each
---  (users: without item and title), the most alike first; by: 'vectors' or 'scores'
return function(run, kind, name, k)
  local names, model = run.data.names[kind], run.model
  local id = recommender.id_of(names, kind == 'items' and 'item' or 'user', name)
  local ranked = model.ranked and model.rank == Ranker.rank and model.score == Ranker.score
  local alike = ranked and by_vectors(run, kind, id) or BY_SCORES[kind](run, id)
  local found = {}
  for other = 0, names.count - 1 do
    if other ~= id then found[#found + 1] = {id = other, alike = alike[other]} end
  end
  tables.sort_largest(found, 'alike', 'id')
  local list = tables.first(found, k or 20)
  if kind == 'items' then recommender.describe(names, list) end
  for rank, one in ipairs(list) do one.rank, one.name = rank, names:label(one.id) end
  return {of = names:label(id), by = ranked and 'vectors' or 'scores', list = list}
end
