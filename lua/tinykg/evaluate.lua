--- Metrics of a model on a part of a data set.
local ffi = require 'ffi'
local metrics = require 'tinykg.metrics'
local feed = require 'tinykg.feed'
local rows = require 'tinykg.data.rows'
local session = require 'tinykg.session'
local step = require 'tinykg.step'
local tensor = require 'tinykg.tensor'
local C = require 'tinykg.lib'

local evaluate = {}

--- AUC and F1 (threshold .5 of the sigmoid, as KGCN's code) of labelled rows.
local function ctr(model, part, size)
  local scores, labels = ffi.new('float[?]', part.n), ffi.new('float[?]', part.n)
  local at = 0
  for batch in feed.batches(part, {size = size, shuffle = false}) do
    local logits = step.no_grad(function() return model:score(batch.users, batch.items) end)
    local values, labels_of_batch = logits:values(), batch.labels:values()
    ffi.copy(scores + at, values, 4 * batch.n)
    ffi.copy(labels + at, labels_of_batch, 4 * batch.n)
    logits:free()
    at = at + batch.n
  end
  return {auc = metrics.auc(scores, labels, part.n), f1 = metrics.f1(scores, labels, 0, part.n)}
end

--- Scores of all items for a block of users through a model that scores pairs, `size` at once.
local function rank_by_pairs(model, data, users, count, size, out)
  local all = count * data.items
  local user_ids, item_ids = ffi.new('int32_t[?]', size), ffi.new('int32_t[?]', size)
  for first = 0, all - 1, size do
    local n = math.min(size, all - first)
    for i = 0, n - 1 do
      local at = first + i
      local u = math.floor(at / data.items)
      user_ids[i], item_ids[i] = users[u], at - u * data.items
    end
    local a, b = tensor.ids(user_ids, n), tensor.ids(item_ids, n)
    local scores = step.no_grad(function() return model:score(a, b) end)
    session.check(C.tkg_tensor_read(scores.kept, out + first, 0, n))
    for _, t in ipairs{scores, a, b} do t:free() end
  end
end

local function rank_at_once(model, users, count, out)
  local ids = tensor.ids(users, count)
  local scores = step.no_grad(function() return model:rank(ids) end)
  session.check(C.tkg_tensor_read(scores.kept, out, 0, scores:count()))
  scores:free()
  ids:free()
end

--- Full ranking: every item the user does not know already, in blocks of users.
local function ranking(model, data, part, k, size, progress)
  local test = data:positives(part)
  local known = part == 'valid' and data:known() or
    rows.csr(rows.concat{rows.positives(data.train), rows.positives(data.valid)}, data.users)
  local users, n = ffi.new('int32_t[?]', data.users), 0
  for u = 0, data.users - 1 do
    if test.offsets[u + 1] > test.offsets[u] then
      users[n] = u
      n = n + 1
    end
  end
  local block = 256
  local out = ffi.new('float[?]', block * data.items)
  return metrics.ranking{
    users = users, n = n, items = data.items, k = k, block = block, progress = progress,
    known = {offsets = known.offsets, items = known.items, n = data.users},
    test = {offsets = test.offsets, items = test.items, n = data.users},
    score = function(ids, first, count)
      if model.rank then rank_at_once(model, ids + first, count, out)
      else rank_by_pairs(model, data, ids + first, count, size, out) end
      return out
    end,
  }
end

--- AUC and F1 of labelled data; recall, ndcg and the others at each k of data to rank.
---@param model Module ---@param data table ---@param part string 'valid' or 'test'
---@param o? {k: integer[], size: integer, progress: function} k {10, 20}; size: interactions scored
---  at once, 1024: evaluating should not take more memory than training
---@return table<string, number>? metrics; nil when the part has no rows
function evaluate.model(model, data, part, o)
  o = o or {}
  local size = o.size or 1024
  if data[part].n == 0 then return nil end
  local training = model.training
  model:eval()
  local result
  if data.task == 'ctr' then result = ctr(model, data[part], size)
  else result = ranking(model, data, part, o.k or {10, 20}, size, o.progress) end
  if training ~= false then model:train() end
  return result
end

return evaluate
