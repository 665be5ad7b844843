--- Metrics of a model on a part of a data set.
local ffi = require 'ffi'
local source_line = require 'tinykg.base.source_line'
local arrays = require 'tinykg.engine.arrays'
local metrics = require 'tinykg.train.metrics'
local loader = require 'tinykg.data.loader'
local rows = require 'tinykg.data.rows'
local Ranker = require 'tinykg.nn.ranker'
local runtime = require 'tinykg.engine.runtime'
local step = require 'tinykg.engine.step'
local tensor = require 'tinykg.engine.tensor'
local C = require 'tinykg.engine.lib'

local evaluate = {}

local function check_count(name, t, n)
  if t:count() == n then return t end
  runtime.fail('%s: returned [%s], expected %d scores', name, table.concat(t:size(), ', '), n)
end

--- Calls model:begin_evaluation(), and computes what model:prepare() returns, the last argument of
--- score and rank: a tensor, or a table of tensors and of other things. Returns it, and a function
--- that frees the tensors.
---@param model Module in eval mode
---@return Tensor|table|nil prepared, fun() release
function evaluate.prepare(model)
  local begin = model.begin_evaluation
  if begin then
    source_line.within(begin, step.no_grad, begin, model)
    C.tkg_engine_trim(runtime.engine) -- what it took and the rows below do not add up
  end
  if not model.prepare then return nil, function() end end
  local outer, prepared, made = source_line.enter(model.prepare), nil, {}
  step.no_grad(function()
    prepared = model:prepare()
    for _, t in pairs(tensor.is(prepared) and {prepared} or prepared or {}) do
      if tensor.is(t) and not t.kept then made[#made + 1] = t end -- parameters stay as they are
    end
    return unpack(made)
  end)
  source_line.leave(outer)
  C.tkg_engine_trim(runtime.engine) -- scoring needs far less than preparing did
  return prepared, function()
    for _, t in ipairs(made) do t:free() end
  end
end

--- Logits of pairs. Errors: score did not return one per pair.
local function score(model, prepared, users, items)
  return check_count('score', step.no_grad(model.score, model, users, items, prepared),
                     users:count())
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

--- AUC and F1 (threshold .5 of the sigmoid, as KGCN's code) of labelled rows.
local function ctr(model, prepared, part, size)
  local scores, labels = ffi.new('float[?]', part.n), ffi.new('float[?]', part.n)
  local at, buffers = 0, {}
  for batch in loader.batches(part, {size = size, shuffle = false}, nil, buffers) do
    local logits = score(model, prepared, batch.users, batch.items)
    local values, labels_of_batch = logits:values(), batch.labels:values()
    ffi.copy(scores + at, values, 4 * batch.n)
    ffi.copy(labels + at, labels_of_batch, 4 * batch.n)
    logits:free()
    at = at + batch.n
  end
  free_batches(buffers)
  local f1 = metrics.f1(scores, labels, 0, part.n) -- first: it looks for NaN whatever the labels
  return {auc = rows.only_label(part) and UNDEFINED or metrics.auc(scores, labels, part.n),
          f1 = f1}
end

local CUT = 256 -- rows after which the engine cuts a product of matrices

--- Scores of all items for some users by a model that scores pairs, about `size` at once. Which
--- pairs are computed together depends on the items alone, so that a score has the same bits
--- whatever the size and the other users are.
local function rank_by_pairs(model, prepared, data, users, count, size, out)
  size = math.max(CUT, size - size % CUT)
  local user_ids, item_ids = ffi.new('int32_t[?]', size), ffi.new('int32_t[?]', size)
  for row = 0, count - 1 do
    for first = 0, data.items - 1, size do
      local n = math.min(size, data.items - first)
      for i = 0, n - 1 do user_ids[i], item_ids[i] = users[row], first + i end
      local a, b = tensor.ids(user_ids, n), tensor.ids(item_ids, n)
      local scores = score(model, prepared, a, b)
      runtime.check(C.tkg_tensor_read(scores.kept, out + row * data.items + first, 0, n))
      for _, t in ipairs{scores, a, b} do t:free() end
    end
  end
end

local function rank_at_once(model, prepared, data, users, count, out)
  local ids = tensor.ids(users, count)
  local scores = check_count('rank', step.no_grad(model.rank, model, ids, prepared),
                             count * data.items)
  runtime.check(C.tkg_tensor_read(scores.kept, out, 0, scores:count()))
  scores:free()
  ids:free()
end

--- Returns a function that scores all items for users ids[0 .. count - 1], at most `block` of them.
--- It returns floats [count, items], each time in the same buffer.
local function scorer(model, prepared, data, block, size)
  local out = arrays.floats(block * data.items)
  return function(ids, count)
    if model.rank then rank_at_once(model, prepared, data, ids, count, out)
    else rank_by_pairs(model, prepared, data, ids, count, size, out) end
    return out
  end
end

--- Users that are ranked by their rows between two looks at Ctrl-C.
local RANKED = 4096

--- Returns a function that lists the best items for users ids[0 .. count - 1] as metrics.ranking's
--- `top` does; nil for a model whose rank is its own, and on a device that scores item by item.
local function ranker(model, prepared, data, known)
  if not model.ranked or model.rank ~= Ranker.rank or C.tkg_ranks(runtime.engine) == 0 then
    return nil
  end
  local users, items, nodes = model:ranked(prepared)
  local tables_of_users = ffi.new('const tkg_tensor *[?]', #users)
  local tables_of_items = ffi.new('const tkg_tensor *[?]', #users)
  for k = 1, #users do
    tables_of_users[k - 1], tables_of_items[k - 1] = users[k].kept, items[k].kept
  end
  local row_of, rows = nodes and nodes:values(), ffi.new('int32_t[?]', RANKED)
  return function(ids, count, k, top, scores)
    for i = 0, count - 1 do rows[i] = row_of and row_of[ids[i]] or ids[i] end
    runtime.check(C.tkg_rank(runtime.engine, tables_of_users, tables_of_items, #users, data.items,
      rows, ids, count, known and known.offsets, known and known.items, k, top, scores))
  end
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

--- Users ranked at once: few enough for their scores to fit in 16 MiB, but at least 16.
local function block_of(data)
  return math.max(16, math.min(256, math.floor(2 ^ 22 / data.items)))
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

--- Full ranking of all items that a user does not know, in blocks of users.
local function ranking(model, prepared, data, part, k, at_once, progress)
  local test, known = data:positives(part), evaluate.known(data, part)
  local users, n = arrays.filled_rows(test.offsets, data.users)
  local top = ranker(model, prepared, data, known)
  local block = top and RANKED or at_once.block or block_of(data)
  local score_all = not top and scorer(model, prepared, data, block, at_once.size)
  return metrics.ranking{
    users = users, n = n, items = data.items, k = k, block = block, progress = progress,
    known = known and {offsets = known.offsets, items = known.items, n = data.users},
    test = {offsets = test.offsets, items = test.items, n = data.users}, top = top,
    score = score_all and function(ids, first, count) return score_all(ids + first, count) end,
  }
end

local PARTS = {train = true, valid = true, test = true}

--- Calls fn in eval mode with what the model prepares. Frees other memory before and after, so that
--- training and evaluation do not add up.
local function in_eval(model, by, fn, ...)
  local training, outer = model.training, source_line.enter(by)
  if model.eval then model:eval() end
  C.tkg_engine_trim(runtime.engine)
  local results = {pcall(function(...)
    local prepared, release = evaluate.prepare(model)
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
    score(model, prepared, batch.users, batch.items):free()
  end
  free_batches(buffers)
end

--- Scores the first block of an evaluation and the last as the whole does, and frees the scores.
local function ends(model, prepared, data, part, at_once)
  if data.task == 'ctr' then return ends_of_ctr(model, prepared, data[part], at_once.size) end
  local users, n = arrays.filled_rows(data:positives(part).offsets, data.users)
  local top = ranker(model, prepared, data)
  if top then
    n = math.min(n, RANKED)
    return top(users, n, 1, ffi.new('int32_t[?]', n), ffi.new('float[?]', n))
  end
  local block = model.rank and (at_once.block or block_of(data)) or 1 -- pairs: user by user
  block = math.min(n, block)
  if block == 0 then return end
  local score_all = scorer(model, prepared, data, block, at_once.size)
  score_all(users, block)
  if n % block > 0 then score_all(users + n - n % block, n % block) end
end

--- Prepares and scores as an evaluation does, the first and the last block alone. A plan-only
--- engine computes nothing, but counts the memory that evaluation needs.
---@param model Module ---@param data tinykg.Data ---@param part string
---@param at_once {size: integer, block: integer?} as of evaluate.ranking
function evaluate.rehearse(model, data, part, at_once)
  if data[part].n == 0 then return end
  in_eval(model, model.rank or model.score, ends, data, part, at_once)
end

--- Full ranking by a model or by a tensor of scores [users, items]: metrics.ranking of a data set.
---@param model Module|Tensor ---@param data tinykg.Data
---@param o? {k: integer[], part: string, size: integer, block: integer, progress: function} part
---  'test'; size: pairs scored at once, 1024; block: users, block_of(data)
function evaluate.ranking(model, data, o)
  runtime.options('ranking', o, 'k part size block progress')
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
  return in_eval(model, model.rank or model.score, ranking, data, part, o.k or {10, 20},
                 {size = o.size or 1024, block = o.block}, o.progress)
end

--- Returns a function score(ids, count) for users ids[0 .. count - 1] (int32 FFI array): the scores
--- that evaluation ranks by, floats [count, items], each time in the same buffer.
---@param model Module in eval mode ---@param data tinykg.Data
---@param o? {size: integer} pairs scored at once, 1024; of users, at most block_of(data) a call
---@return fun(ids: ffi.cdata*, count: integer): ffi.cdata* score, fun() release frees memory
function evaluate.scorer(model, data, o)
  local prepared, release = evaluate.prepare(model)
  return scorer(model, prepared, data, block_of(data), o and o.size or 1024), release
end

--- AUC (NaN if all labels are equal) and F1 of labelled data; recall, ndcg and others at each k of
--- data to rank.
---@param model Module ---@param data table ---@param part string 'valid' or 'test'
---@param o? {k: integer[], size: integer, block: integer, progress: function} k {10, 20}; size:
---  interactions scored at once, 1024: evaluating should not take more memory than training; block:
---  users scored at once
---@return table<string, number>? metrics; nil when the part has no rows
function evaluate.model(model, data, part, o)
  o = o or {}
  local size = o.size or 1024
  if data[part].n == 0 then return nil end
  if data.task == 'ctr' then return in_eval(model, model.score, ctr, data[part], size) end
  return evaluate.ranking(model, data, {k = o.k, part = part, size = size, block = o.block,
                                       progress = o.progress})
end

return evaluate
