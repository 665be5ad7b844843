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

  it('counts a condition once, a byte per element, and inputs of sines and powers', function()
    local step = planned(function()
      local h = X:matmul(W)
      local y = tk.where(h:gt(0.5), h, h * 2)
      return (y:sin() + y:pow(3)):sum()
    end)
    assert.equal(40 * 37 + 4 * 40 * 37, step:figure 'reference_bytes') -- the condition, y
  end)

  it('counts factors of many products, and random numbers that are one', function()
    local A, C = parameter(12, 5), parameter(12, 4)
    local step = planned(function()
      local a, c = A:tanh():reshape(3, 4, 5), C:tanh():reshape(3, 4, 4)
      return (c:matmul(a) * tk.random('normal', 3, 4, 5)):sum()
    end)
    -- tanh's results, which the products read as well; the numbers
    assert.equal(4 * (12 * 5 + 12 * 4 + 60), step:figure 'reference_bytes')
    assert.equal(4 * (12 * 5 + 12 * 4), step:figure 'stored_bytes')
  end)

  it('leaves out what no gradient passes', function()
    local step = planned(function()
      return (X:tanh():sigmoid():matmul(W)):sum()
    end)
    assert.equal(4 * 40 * 17, step:figure 'reference_bytes') -- the product's left side alone
  end)
end)
