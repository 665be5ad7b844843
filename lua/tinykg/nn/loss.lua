--- Losses: means over the batch, composed of ops so that their gradients follow. `weights` [n] are
--- those of the interactions, batch.weights: nil, or shares of their mean, which multiply the loss
--- of each. Sampled items count as much as a mean interaction.
local ops = require 'tinykg.engine.ops'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'

local loss = {}

local function shape(t) return '[' .. table.concat(t:size(), ', ') .. ']' end

--- A loss per interaction, [n] or [n, k], times the weight of each. Errors: another number of them.
local function weighted(each, weights, name)
  if not weights then return each end
  if weights:rank() ~= 1 or weights:size(1) ~= each:size(1) then
    runtime.fail('loss.%s: weights %s of losses %s: one per row is needed', name, shape(weights),
                 shape(each))
  end
  return each * (each:rank() == 2 and weights:reshape(-1, 1) or weights)
end

--- Whether scores are compared row by row: of equal shapes, or but for the last dimension, where
--- one has one column; or one is a single number. [n] with [n, n] would go column by column.
local function is_row_by_row(a, b)
  if a:count() == 1 or b:count() == 1 then return true end
  local s, t = a:size(), b:size()
  if #s ~= #t then return false end
  for d = 1, #s do
    local spread = d > 1 and d == #s and (s[d] == 1 or t[d] == 1)
    if s[d] ~= t[d] and not spread then return false end
  end
  return true
end

--- Bayesian personalised ranking (Rendle et al. 2009): mean of -log sigmoid(pos - neg).
---
---   print(('%.4f'):format(tk.loss.bpr(tk.ones(4), tk.ones(4)):item()))     --> 0.6931
---@param positive Tensor scores ---@param negative Tensor scores; [n, k] with [n, 1] for k each
---@param weights? Tensor f32 [n], of the interactions
---@return Tensor a number
function loss.bpr(positive, negative, weights)
  if not is_row_by_row(positive, negative) then
    runtime.fail('loss.bpr: scores %s and %s would not be compared row by row: reshape one, to ' ..
                 'be [n] and [n], or [n, 1] and [n, k]', shape(positive), shape(negative))
  end
  return weighted((negative - positive):softplus(), weights, 'bpr'):mean()
end

--- Binary cross-entropy of logits, numerically stable: mean of softplus(x) - x y.
---@param logits Tensor
---@param labels Tensor|number f32, 0 or 1, of the same shape; or one label for all
---@param weights? Tensor f32 [n], of the interactions
---@return Tensor a number
function loss.bce(logits, labels, weights)
  if type(labels) ~= 'number' and shape(logits) ~= shape(labels) then
    runtime.fail('loss.bce: logits %s and labels %s: they must be equal', shape(logits),
                 shape(labels))
  end
  return weighted(logits:softplus() - logits * labels, weights, 'bce'):mean()
end

--- A loss of labelled pairs over any batch: `of(users, items, labels, weights)` of its labels;
--- without labels, of known items (1) plus of sampled ones (0), which have no weights.
---@param batch {users: Tensor, items: Tensor, labels: Tensor?, negatives: Tensor?,
---  weights: Tensor?}
---@param of fun(users: Tensor, items: Tensor, labels: Tensor|number, weights: Tensor?): Tensor
---@return Tensor a number
function loss.pointwise(batch, of)
  if batch.labels then return of(batch.users, batch.items, batch.labels, batch.weights) end
  if not batch.negatives then runtime.fail('loss.pointwise: neither labels nor sampled items') end
  local each = {}
  for k = 1, batch.negatives:size(2) do each[k] = batch.users:reshape(-1, 1) end
  return of(batch.users, batch.items, 1, batch.weights)
    + of(ops.cat(each, 2):reshape(-1), batch.negatives:reshape(-1), 0)
end

--- Cross-entropy of interactions with sampled negatives: known items are to have label 1 and
--- sampled ones 0, the mean over the batch of both; of labelled data the labels' cross-entropy.
---@param logits Tensor [n], of the batch's users and items
---@param batch {labels: Tensor?, negatives: Tensor?, weights: Tensor?} negatives int32 [n, k]
---@param logits_of fun(items: Tensor): Tensor of the same users and sampled items, int32 [n]
---@return Tensor a number
function loss.sampled_bce(logits, batch, logits_of)
  if batch.labels then return loss.bce(logits, batch.labels, batch.weights) end
  if not batch.negatives then runtime.fail('loss.sampled_bce: neither labels nor sampled items') end
  local count = batch.negatives:size(2)
  local sum = weighted((-logits):softplus(), batch.weights, 'sampled_bce'):mean()
  for k = 1, count do
    sum = sum + logits_of(batch.negatives:narrow(2, k, 1):reshape(-1)):softplus():mean() / count
  end
  return sum
end

--- BPR of interactions, known items above sampled ones; with `labels`, cross-entropy. Scores are
--- dot products of rows.
---@param u Tensor users' rows [n, d] ---@param i Tensor items' [n, d]
---@param j? Tensor sampled items' [n k, d] ---@param labels? Tensor f32 [n]
---@param weights? Tensor f32 [n], of the interactions
---@return Tensor a number
function loss.interactions(u, i, j, labels, weights)
  if labels then return loss.bce(ops.dot(u, i), labels, weights) end
  if not j then runtime.fail('loss.interactions: neither rows of sampled items nor labels') end
  if j:rank() ~= 2 or u:rank() ~= 2 or j:size(1) % u:size(1) ~= 0 then
    runtime.fail('loss.interactions: rows %s of sampled items for users %s: expected [n k, d] ' ..
                 'for [n, d], as negatives:reshape(-1) gathers them', shape(j), shape(u))
  end
  local k = j:size(1) / u:size(1)
  return loss.bpr(ops.dot(u, i):reshape(-1, 1), ops.neighbor_dot(u, j, k), weights)
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

--- 0, whose gradient is 0 in some rows of each of these parameters: in a step that does not read
--- them otherwise Adam goes on with them, by their momentum, as with PyTorch before 2.0, whose
--- zero_grad left zeros. No gradient of a whole table is made. With lazy updates those rows move.
---@param rows Tensor int32 [n], ids of rows that all have; one is enough
---@param ... Tensor ---@return Tensor a number
function loss.zero(rows, ...)
  local sum = ops.full(0)
  for _, t in ipairs{...} do sum = sum + t:gather(rows):sum() end
  return sum * 0
end

--- Softmax cross-entropy: mean of -log softmax(logits)[id].
---@param logits Tensor [n, classes] ---@param ids Tensor int32 [n] ---@return Tensor a number
function loss.softmax(logits, ids)
  if logits:rank() ~= 2 then runtime.fail('loss.softmax: logits must be a matrix') end
  return -logits:log_softmax():take(ids:reshape(-1, 1)):mean()
end

--- The row of y that each row of x belongs to.
local function positives_of(x, y, positives)
  local n, m = x:size(1), y:size(1)
  if positives then
    if positives:count() ~= n then
      runtime.fail('loss.contrast: positives %s of %s: one id per row is needed',
                   shape(positives), shape(x))
    end
    return y:gather(positives:reshape(-1))
  end
  if m < n then
    runtime.fail('loss.contrast: %s and %s: row i of the first belongs to row i of the second, '
                 .. 'or to the one that positives name', shape(x), shape(y))
  end
  return m > n and y:rows(1, n) or y
end

--- Contrastive loss of pairs of rows, InfoNCE (van den Oord et al., 2018), which SGL, KGCL, KGRec
--- and MCCLK train with: for each row x_i the cross-entropy of x_i . y_j / temperature over all
--- rows y_j, of which its own is to win; the mean over the rows of x. With `positives` y may be a
--- whole catalogue: then this is the softmax loss over all its items. Rows are taken as they are:
--- most models call `normalize` on both. The [n, m] products are never made: one number per row is
--- saved beside x and y, and backward computes them again in tiles.
---
---   local x, y = tk.tensor{{1, 0}, {0, 1}}, tk.tensor{{1, 0}, {0, 1}}
---   print(('%.4f'):format(tk.loss.contrast(x, y, 0.5):item()))             --> 0.1269
---@param x Tensor [n, d] ---@param y Tensor [m, d]; its row i belongs to row i of x
---@param temperature number above 0; .1 and .2 are usual
---@param options? {positives: Tensor?, reduce: string?} positives int32 [n]: the row of y that each
---  row of x belongs to, instead; reduce 'mean', the default, or 'none': a loss per row
---@return Tensor a number, or [n]
function loss.contrast(x, y, temperature, options)
  runtime.options('loss.contrast', options, 'positives reduce')
  options = options or {}
  if temperature <= 0 or temperature ~= temperature then
    runtime.fail('loss.contrast: temperature %g is not above 0', temperature)
  end
  if x:rank() ~= 2 or y:rank() ~= 2 or x:size(2) ~= y:size(2) then
    runtime.fail('loss.contrast: %s and %s: two matrices with as many columns are needed',
                 shape(x), shape(y))
  end
  local reduce = options.reduce or 'mean'
  if reduce ~= 'mean' and reduce ~= 'none' then
    runtime.fail("loss.contrast: reduce '%s': expected mean or none", tostring(reduce))
  end
  local own = ops.dot(x, positives_of(x, y, options.positives)) / temperature
  local each = ops.product_logsumexp(x, y, 1 / temperature) - own
  return reduce == 'mean' and each:mean() or each
end

loss.intent_regularizer = require 'tinykg.nn.intent_regularizer'

return renamed.add(loss, 'tk.loss.')
