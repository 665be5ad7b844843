--- Losses: means over the batch, composed of ops so that their gradients follow.
local ops = require 'tinykg.engine.ops'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'

local loss = {}

local function shape(t) return '[' .. table.concat(t:size(), ', ') .. ']' end

--- Bayesian personalised ranking (Rendle et al. 2009): mean of -log sigmoid(pos - neg).
---
---   print(('%.4f'):format(tk.loss.bpr(tk.ones(4), tk.ones(4)):item()))     --> 0.6931
---@param positive Tensor scores ---@param negative Tensor scores; [n, k] with [n, 1] for k each
---@return Tensor a number
function loss.bpr(positive, negative)
  local difference = negative - positive
  if difference:count() > math.max(positive:count(), negative:count()) then
    runtime.fail('loss.bpr: scores %s and %s would be compared each with each: reshape one',
                 shape(positive), shape(negative))
  end
  return difference:softplus():mean()
end

--- Binary cross-entropy of logits, numerically stable: mean of softplus(x) - x y.
---@param logits Tensor
---@param labels Tensor|number f32, 0 or 1, of the same shape; or one label for all
---@return Tensor a number
function loss.bce(logits, labels)
  if type(labels) ~= 'number' and shape(logits) ~= shape(labels) then
    runtime.fail('loss.bce: logits %s and labels %s: they must be equal', shape(logits),
                 shape(labels))
  end
  return (logits:softplus() - logits * labels):mean()
end

--- A loss of labelled pairs over any batch: `of(users, items, labels)` of its labels; without
--- labels, of known items (1) plus of sampled ones (0).
---@param batch {users: Tensor, items: Tensor, labels: Tensor?, negatives: Tensor?}
---@param of fun(users: Tensor, items: Tensor, labels: Tensor|number): Tensor
---@return Tensor a number
function loss.pointwise(batch, of)
  if batch.labels then return of(batch.users, batch.items, batch.labels) end
  if not batch.negatives then runtime.fail('loss.pointwise: neither labels nor sampled items') end
  local each = {}
  for k = 1, batch.negatives:size(2) do each[k] = batch.users:reshape(-1, 1) end
  return of(batch.users, batch.items, 1)
    + of(ops.cat(each, 2):reshape(-1), batch.negatives:reshape(-1), 0)
end

--- Cross-entropy of interactions with sampled negatives: known items are to have label 1 and
--- sampled ones 0, the mean over the batch of both; of labelled data the labels' cross-entropy.
---@param logits Tensor [n], of the batch's users and items
---@param batch {labels: Tensor?, negatives: Tensor?} negatives int32 [n, k]
---@param logits_of fun(items: Tensor): Tensor of the same users and sampled items, int32 [n]
---@return Tensor a number
function loss.sampled_bce(logits, batch, logits_of)
  if batch.labels then return loss.bce(logits, batch.labels) end
  if not batch.negatives then runtime.fail('loss.sampled_bce: neither labels nor sampled items') end
  local count, sum = batch.negatives:size(2), (-logits):softplus():mean()
  for k = 1, count do
    sum = sum + logits_of(batch.negatives:narrow(2, k, 1):reshape(-1)):softplus():mean() / count
  end
  return sum
end

--- BPR of interactions, known items above sampled ones; with `labels`, cross-entropy. Scores are
--- dot products of rows.
---@param u Tensor users' rows [n, d] ---@param i Tensor items' [n, d]
---@param j? Tensor sampled items' [n k, d] ---@param labels? Tensor f32 [n]
---@return Tensor a number
function loss.interactions(u, i, j, labels)
  if labels then return loss.bce(ops.dot(u, i), labels) end
  if not j then runtime.fail('loss.interactions: neither rows of sampled items nor labels') end
  local k = j:size(1) / u:size(1)
  return loss.bpr(ops.dot(u, i):reshape(-1, 1), ops.neighbor_dot(u, j, k))
end

--- Half the sum of squares of tensors, without a mean; nil ones are skipped.
---@param ... Tensor? ---@return Tensor a number
function loss.l2(...)
  local sum
  for k = 1, select('#', ...) do
    local t = select(k, ...)
    if t ~= nil then
      local squares = t:square():sum()
      sum = sum and sum + squares or squares
    end
  end
  return (sum or ops.full(0)) * 0.5
end

--- Softmax cross-entropy: mean of -log softmax(logits)[id].
---@param logits Tensor [n, classes] ---@param ids Tensor int32 [n] ---@return Tensor a number
function loss.softmax(logits, ids)
  if logits:rank() ~= 2 then runtime.fail('loss.softmax: logits must be a matrix') end
  return -logits:log_softmax():take(ids:reshape(-1, 1)):mean()
end

loss.intent_regularizer = require 'tinykg.nn.intent_regularizer'

return renamed.add(loss, 'tk.loss.')
