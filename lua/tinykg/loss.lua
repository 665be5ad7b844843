--- Losses: means over the batch, composed of ops so that their gradients follow.
local session = require 'tinykg.session'

local loss = {}

--- Bayesian personalised ranking (Rendle et al. 2009): mean of -log sigmoid(pos - neg).
function loss.bpr(positive, negative) return (negative - positive):softplus():mean() end

--- Binary cross-entropy of logits, stable: mean of softplus(x) - x y.
---@param labels Tensor f32, same shape
function loss.bce(logits, labels) return (logits:softplus() - logits * labels):mean() end

--- Softmax cross-entropy. ---@param logits Tensor [n, classes] ---@param ids Tensor int32 [n]
function loss.softmax(logits, ids)
  if logits:rank() ~= 2 then session.fail('loss.softmax: logits must be a matrix') end
  return -logits:log_softmax():take(ids:reshape(-1, 1)):mean()
end

return loss
