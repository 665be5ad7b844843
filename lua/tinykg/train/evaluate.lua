--- Metrics of a model on a part of a data set.
local ffi = require 'ffi'
local source_line = require 'tinykg.base.source_line'
local arrays = require 'tinykg.engine.arrays'
local exposure = require 'tinykg.train.exposure'
local metrics = require 'tinykg.train.metrics'
local loader = require 'tinykg.data.loader'
local rows = require 'tinykg.data.rows'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'
local sample = require 'tinykg.train.sample_ranking'
local scoring = require 'tinykg.train.scoring'
local step = require 'tinykg.engine.step'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'
local C = require 'tinykg.engine.lib'

local evaluate = {}

--- Makes parameters that are divided among ranks whole, for scores that each rank computes alone.
---@return fun() divide again
local function join_parameters(model)
  local joined = {}
  for _, p in ipairs(ranks.size() > 1 and model.parameters and model:parameters() or {}) do
    if C.tkg_tensor_is_divided(p.kept) ~= 0 then
      runtime.check(C.tkg_tensor_join(p.kept))
      joined[#joined + 1] = p
    end
  end
  return function()
    for _, p in ipairs(joined) do runtime.check(C.tkg_tensor_divide(p.kept)) end
  end
end

--- Calls model:begin_evaluation(), and computes what model:prepare() returns, the last argument of
--- score and rank: a tensor, or a table of tensors and of other things. Returns it, and a function
--- that frees the tensors.
---@param model Module in eval mode
---@param divided? boolean tables stay dealt to ranks, for scoring.ranker; else each has all
---@return Tensor|table|nil prepared, fun() release
function evaluate.prepare(model, divided)
  local begin = model.begin_evaluation
  if begin then
    source_line.within(begin, step.no_grad, begin, model)
    C.tkg_engine_trim(runtime.engine) -- what it took and the rows below do not add up
  end
  if not model.prepare then return nil, join_parameters(model) end
  local outer, prepared, made, seen = source_line.enter(model.prepare), nil, {}, {}
  local compute = divided and step.no_grad_divided or step.no_grad
  compute(function()
    prepared = model:prepare()
    if prepared ~= nil and type(prepared) ~= 'table' then
      runtime.fail('prepare: returned a %s, expected a tensor or a table of tensors',
                   type(prepared))
    end
    for _, t in pairs(tensor.is(prepared) and {prepared} or prepared or {}) do
      if tensor.is(t) and not t.kept and not seen[t] then -- parameters stay as they are
        made[#made + 1], seen[t] = t, true
      end
    end
    return unpack(made)
  end)
  source_line.leave(outer)
  local temporary = prepared and not tensor.is(prepared) and prepared.temporary
  for _, t in ipairs(temporary or {}) do t:free() end
  C.tkg_engine_trim(runtime.engine) -- scoring needs far less than preparing did
  local divide = divided and function() end or join_parameters(model)
  return prepared, function()
    for _, t in ipairs(made) do t:free() end
    divide()
  end
end

local UNDEFINED = 0 / 0 -- null in JSON, - in tables

--- Frees the tensors of batches, by size.
local function free_batches(buffers)
  for _, batch in pairs(buffers) do
    for _, t in pairs(batch) do
      if tensor.is(t) then t:free() end
    end
  end
end

--- Exchanges the scores of n rows, of which each rank has made those of its share of the batches.
local function gather_scores(scores, n, size)
  ranks.agree_if_together()
  ranks.gather(scores, function(rank)
    local first, count = ranks.share_of(math.ceil(n / size), rank)
    local begin = math.min(first * size, n)
    return 4 * begin, 4 * (math.min((first + count) * size, n) - begin)
  end)
end

--- AUC and F1 (threshold .5 of the sigmoid, as KGCN's code) of labelled rows.
local function ctr(model, prepared, part, size)
  local scores, labels = ffi.new('float[?]', part.n), ffi.new('float[?]', part.n)
  local at, buffers, number, first, count = 0, {}, 0, ranks.share_of(math.ceil(part.n / size))
  for batch in loader.batches(part, {size = size, shuffle = false}, nil, buffers) do
    ffi.copy(labels + at, batch.labels:values(), 4 * batch.n)
    if number >= first and number < first + count and not ranks.must_stop() then
      local logits = scoring.pairs(model, prepared, batch.users, batch.items)
      ffi.copy(scores + at, logits:values(), 4 * batch.n)
      logits:free()
    end
    at, number = at + batch.n, number + 1
  end
  free_batches(buffers)
  gather_scores(scores, part.n, size)
  local f1 = metrics.f1(scores, labels, 0, part.n) -- first: it looks for NaN whatever the labels
  return {auc = rows.only_label(part) and UNDEFINED or metrics.auc(scores, labels, part.n),
          f1 = f1}
end

--- A tensor of scores [users, items] as a model.
local function as_model(scores, data)
  local users, items = unpack(scores:size())
  if users ~= data.users or items ~= data.items then
    runtime.fail('ranking: scores [%s] for %d users and %d items',
                 table.concat(scores:size(), ', '), data.users, data.items)
  end
  return {rank = function(_, ids) return scores:gather(ids) end}
end

--- Users ranked at once: few enough for their scores to fit in 8 MiB, but at least 16.
local function block_of(data)
  return math.max(16, math.min(256, math.floor(2 ^ 21 / data.items)))
end
evaluate.block_of = block_of

--- The items by user that are not ranked: those of train, and for test those of valid too. No items
--- for train itself.
---@param data tinykg.Data ---@param part string ---@return tinykg.Csr?
function evaluate.known(data, part)
  if part == 'train' then return nil end
  if part == 'valid' then return data:known() end
  return rows.csr(rows.concat{rows.positives(data.train), rows.positives(data.valid)}, data.users)
end

--- Users in the order of scoring, in blocks of block_of(data): those with items in `test`, then,
--- from a block of their own on, the others. A matrix product may add up its last rows in another
--- order: scores of a model's `rank` have the same bits only in the same block.
---@param data tinykg.Data ---@param test tinykg.Csr
---@return ffi.cdata* ids int32 [users] ---@return integer n how many have items there
function evaluate.order(data, test)
  local ids, evaluated = arrays.filled_rows(test.offsets, data.users)
  local others, n = arrays.filled_rows(test.offsets, data.users, true)
  ffi.copy(ids + evaluated, others, 4 * n)
  return ids, evaluated
end

--- Metrics by the names that say how they were measured.
local function marked(result, mark)
  local out = {}
  for name, value in pairs(result) do
    out[name == 'users' and name or name .. mark] = value
  end
  return out
end

--- Whether users rank a sample of items.
local function is_sampled(at_once) return at_once.negatives and at_once.negatives ~= 'full' end

--- The lister of the best items that a device or a sample allows, nil where all are scored;
--- and how many of n users it takes at once.
local function lister(model, prepared, data, own, known, at_once, n)
  if is_sampled(at_once) then
    return scoring.sampled(model, prepared, data, at_once.size, sample.candidates(
      data, own, known, at_once.negatives, at_once.seed)), scoring.RANKED
  end
  local top = scoring.ranker(model, prepared, data, known)
  return top, top and scoring.ranked_at_once(n) or at_once.block or block_of(data)
end

--- What metrics.ranking calls for each user, nil if nobody asks, and what adds the figures of all
--- lists to its result.
local function listeners(data, o, mark)
  local counter = o.exposure and exposure.counter(data, o.k)
  local function each(user, values, top)
    if counter then counter.add(top) end
    if o.each then o.each(user, marked(values, mark)) end
  end
  return (counter or o.each) and each, function(result)
    return counter and tables.merged(result, counter.results()) or result
  end
end

--- Whether users are ranked by tables that stay dealt to ranks.
local function is_divided(model, data, at_once)
  return data.task ~= 'ctr' and not is_sampled(at_once) and scoring.ranks_divided(model)
end

--- Ranks what a user does not know, in blocks of users.
local function ranking(model, prepared, data, part, o, at_once)
  local test, known = data:positives(part), evaluate.known(data, part)
  local users, n = arrays.filled_rows(test.offsets, data.users)
  users, n = sample.users(users, n, at_once.users, at_once.seed)
  local top, block = lister(model, prepared, data, test, known, at_once, n)
  local score_all, free
  if not top then
    score_all, free = scoring.scorer(model, prepared, data, block, at_once.size, at_once.block)
  end
  local mark = sample.mark(at_once, data, part)
  local each, complete = listeners(data, o, mark)
  local result = metrics.ranking{
    users = users, n = n, items = data.items, k = o.k, block = block, progress = o.progress,
    each = each,
    known = known and {offsets = known.offsets, items = known.items, n = data.users},
    test = {offsets = test.offsets, items = test.items, n = data.users}, top = top,
    together = is_divided(model, data, at_once),
    score = score_all and function(ids, first, count) return score_all(ids + first, count) end,
  }
  if free then free() end
  return marked(complete(result), mark)
end

local PARTS = {train = true, valid = true, test = true}

--- Calls fn in eval mode with what the model prepares. Frees other memory before and after, so that
--- training and evaluation do not add up. What it runs is not counted: training goes on with the
--- same random numbers after any evaluation, on any number of ranks.
local function in_eval(model, by, divided, fn, ...)
  local training, outer = model.training, source_line.enter(by)
  if model.eval then model:eval() end
  C.tkg_engine_trim(runtime.engine)
  local results = {pcall(step.uncounted, function(...)
    local prepared, release = evaluate.prepare(model, divided)
    local result = fn(model, prepared, ...)
    release()
    return result
  end, ...)}
  source_line.leave(outer)
  C.tkg_engine_trim(runtime.engine)
  if model.train and training ~= false then model:train() end
  if not results[1] then error(results[2], 0) end
  return results[2]
end

--- Scores the first batch of labelled rows and the last, which may be a short one.
local function ends_of_ctr(model, prepared, part, size)
  local buffers, count = {}, math.ceil(part.n / size)
  for _, skip in ipairs{0, count > 1 and count - 1 or nil} do
    local batch = loader.batches(part, {size = size, shuffle = false, skip = skip}, nil, buffers)()
    scoring.pairs(model, prepared, batch.users, batch.items):free()
  end
  free_batches(buffers)
end

--- Scores the first block of an evaluation and the last as the whole does, and frees the scores.
local function ends(model, prepared, data, part, at_once)
  if data.task == 'ctr' then return ends_of_ctr(model, prepared, data[part], at_once.size) end
  local users, n = arrays.filled_rows(data:positives(part).offsets, data.users)
  users, n = sample.users(users, n, at_once.users, at_once.seed)
  if n == 0 then return end
  local top, most = lister(model, prepared, data, data:positives(part),
                           evaluate.known(data, part), at_once, n)
  if top then
    most = math.min(n, most)
    local best, scores = arrays.ints(most), arrays.floats(most)
    top(users, most, 1, best, scores)
    if n % most > 0 then top(users + n - n % most, n % most, 1, best, scores) end
    return
  end
  local block = model.rank and (at_once.block or block_of(data)) or 1 -- pairs: user by user
  block = math.min(n, block)
  local score_all, free = scoring.scorer(model, prepared, data, block, at_once.size, at_once.block)
  score_all(users, block)
  if n % block > 0 then score_all(users + n - n % block, n % block) end
  free()
end

--- Prepares and scores as an evaluation does, the first and the last block alone. A plan-only
--- engine computes nothing, but counts the memory that evaluation needs.
---@param model Module ---@param data tinykg.Data ---@param part string
---@param at_once {size: integer, block: integer?, users: integer?, negatives: string?} as of
---  evaluate.ranking
function evaluate.rehearse(model, data, part, at_once)
  if data[part].n == 0 then return end
  at_once = tables.merged(at_once, {seed = tonumber(runtime.seed)})
  in_eval(model, model.rank or model.score, is_divided(model, data, at_once), ends, data, part,
          at_once)
end

--- Ranking by a model or by a tensor of scores [users, items]: metrics.ranking of a data set. With
--- `users` or `negatives` of a sample, which the metrics' names then tell (sample_ranking).
---@param model Module|Tensor ---@param data tinykg.Data
---@param o? {k: integer[], part: string, size: integer, block: integer, users: integer,
---  negatives: string, seed: integer, progress: function, exposure: boolean,
---  each: fun(user: integer, values: table<string, number>)} part 'test'; size: pairs scored at
---  once, 1024; block: users, block_of(data); users: so many, 0 = all; negatives 'full', 'uni100'
---  or 'pop100'; seed: of both, the engine's; exposure: also coverage, gini, novelty and popularity
---  of the lists (exposure.lua); each: gets the metrics of each user
function evaluate.ranking(model, data, o)
  runtime.options('ranking', o, 'k part size block users negatives seed progress exposure each')
  o = o or {}
  local part = o.part or 'test'
  if type(data) ~= 'table' or not data.positives then
    runtime.fail('ranking: expected a data set of tk.data.load, got a %s', type(data))
  end
  if not PARTS[part] then
    runtime.fail("ranking: part '%s': train, valid or test", tostring(part))
  end
  if tensor.is(model) then model = as_model(model, data) end
  if type(model) ~= 'table' or not (model.rank or model.score) then
    runtime.fail('ranking: expected a model with score or rank, or scores [users, items]')
  end
  local at_once = {size = o.size or 1024, block = o.block, users = o.users,
                   negatives = o.negatives, seed = o.seed or tonumber(runtime.seed)}
  return in_eval(model, model.rank or model.score, is_divided(model, data, at_once), ranking, data,
                 part, {k = o.k or {10, 20}, progress = o.progress, exposure = o.exposure,
                        each = o.each}, at_once)
end

--- Returns a function score(ids, count) for users ids[0 .. count - 1] (int32 FFI array): the scores
--- that evaluation ranks by, up to rounding where it ranks by rows (scoring.ranker), floats [count,
--- items], each time in the same buffer.
---@param model Module in eval mode ---@param data tinykg.Data
---@param o? {size: integer} pairs scored at once, 1024; of users, at most block_of(data) a call
---@return fun(ids: ffi.cdata*, count: integer): ffi.cdata* score, fun() release frees memory
function evaluate.scorer(model, data, o)
  local prepared, release = evaluate.prepare(model)
  local score, free = scoring.scorer(model, prepared, data, block_of(data), o and o.size or 1024)
  return score, function()
    free()
    release()
  end
end

--- AUC (NaN if all labels are equal) and F1 of labelled data; recall, ndcg and others at each k of
--- data to rank.
---@param model Module ---@param data table ---@param part string 'valid' or 'test'
---@param o? {k: integer[], size: integer, block: integer, users: integer, negatives: string,
---  seed: integer, progress: function, exposure: boolean, each: function} k {10, 20}; size:
---  interactions scored at once, 1024:
---  evaluating should not take more memory than training; others as of evaluate.ranking
---@return table<string, number>? metrics; nil when the part has no rows
function evaluate.model(model, data, part, o)
  o = o or {}
  local size = o.size or 1024
  if data[part].n == 0 then return nil end
  if data.task == 'ctr' then
    return in_eval(model, model.score, false, ctr, data[part], size)
  end
  return evaluate.ranking(model, data, {k = o.k, part = part, size = size, block = o.block,
                                       users = o.users, negatives = o.negatives, seed = o.seed,
                                       progress = o.progress, exposure = o.exposure,
                                       each = o.each})
end

--- A recipe's own metrics of a model in eval mode. Errors: one that is not a number.
---@param model Module ---@param data tinykg.Data ---@param part string
---@param list table<string, fun(model, data, part): number>
---@return table<string, number>
function evaluate.own(model, data, part, list)
  local training, out = model.training, {}
  if model.eval then model:eval() end
  for _, name in ipairs(tables.sorted_keys(list)) do
    out[name] = step.uncounted(source_line.within, list[name], list[name], model, data, part)
    local kind = type(out[name])
    if kind ~= 'number' or out[name] ~= out[name] then
      error(('metric %s: the recipe returns %s, expected a number'):format(
        name, kind == 'number' and 'NaN' or 'a ' .. kind), 0)
    end
  end
  if model.train and training ~= false then model:train() end
  return out
end

return evaluate
