-- reference_bytes: what an op-by-op FP32 tape would save for a step, counted by hand.
local tk = require 'tinykg'
local saved = require 'tests.support.saved'

local parameter, planned = saved.parameter, saved.planned
local X, W = saved.data(40, 17), parameter(17, 37)

describe('reference_bytes', function()
  it('is what an op-by-op tape keeps: a network with a ReLU, by hand', function()
    local b, O = parameter(1, 37), parameter(37, 1)
    local labels = tk.zeros(40, 1)
    local step = planned(function()
      return tk.loss.bce((X:matmul(W) + b):relu():matmul(O), labels)
    end)
    -- relu's result (read by the next product as well), the logits for softplus
    assert.equal(4 * (40 * 37 + 40), step:figure 'reference_bytes')
  end)

  it('is what an op-by-op tape keeps: embeddings, by hand', function()
    local E, R = parameter(30, 16), parameter(5, 16)
    local heads, relations = tk.ids{1, 2, 3, 4, 5, 6, 7, 8}, tk.ids{0, 1, 2, 3, 4, 0, 1, 2}
    local step = planned(function()
      local h, r = E:gather(heads), R:gather(relations)
      return (h * r):tanh():dropout(0.5):matmul(parameter(16, 9)):sigmoid():sum()
    end)
    -- both factors, tanh's result, dropout's mask, its result for the product, sigmoid's result
    assert.equal(4 * (5 * 8 * 16 + 8 * 9), step:figure 'reference_bytes')
    -- of which tanh's and sigmoid's results are all that is needed
    assert.equal(4 * (8 * 16 + 8 * 9), step:figure 'stored_bytes')
  end)

  it('counts neighbours as gathered rows', function()
    local E, u = parameter(30, 16), parameter(6, 4)
    local ids = {}
    for i = 1, 24 do ids[i] = i % 30 end
    local gathered = tk.ids(ids)
    local step = planned(function()
      return tk.neighbor_sum(u:softmax(), E:gather(gathered)):sum()
    end)
    assert.equal(4 * (24 + 24 * 16), step:figure 'reference_bytes')
    assert.equal(4 * 24, step:figure 'stored_bytes') -- the softmax
  end)

  it('leaves out what no gradient passes', function()
    local step = planned(function()
      return (X:tanh():sigmoid():matmul(W)):sum()
    end)
    assert.equal(4 * 40 * 17, step:figure 'reference_bytes') -- the product's left side alone
  end)
end)
