-- Rounding noise and bias: where noise would meet itself values are exact, so that gradients are
-- unbiased.
local tk = require 'tinykg'
local saved = require 'tests.support.saved'
local deviations = require('tests.support.tensors').deviations

local parameter, planned = saved.parameter, saved.planned
local rows_of, only, gradients = saved.rows_of, saved.only, saved.gradients

local X, W, V = saved.data(40, 17), parameter(17, 37), parameter(37, 24)
local G = saved.data(40, 24)

--- Compares the mean of n noisy gradients with the exact ones, in standard errors; elements without
--- noise may differ by single-precision rounding. Returns the largest difference.
local function worst(fn, parameters, n, options)
  local exact = gradients(tk.step(fn, {save = false}), parameters)
  local step, most, scale = tk.step(fn, options), 0, 0
  local off, error_of_mean = deviations(exact, function() return gradients(step, parameters) end, n)
  for i = 1, #exact do scale = math.max(scale, math.abs(exact[i])) end
  for i = 1, #exact do
    most = math.max(most, math.abs(off[i]) / (error_of_mean[i] + 1e-6 * scale))
  end
  return most
end

-- At most 5 standard errors over some 3,000 elements: 5.7e-7 each, two in a thousand for all.
local function check_unbiased(fn, parameters)
  for _, rounding in ipairs {'dither', 'stochastic'} do
    local most = worst(fn, parameters, 400, {bits = 1, small = 0, rounding = rounding})
    assert.is_true(most < 5, rounding .. ': ' .. most .. ' standard errors off')
  end
end

describe('noise that would meet itself', function()
  local D = parameter(37, 37)
  local cases = {
    {'a product with itself, computed again', 'h exact', {W, V}, function()
      local h = X:matmul(W)
      return (h * h):matmul(V):sum()
    end},
    {'a square, which is a value of its own', 'h noisy', {W, V}, function()
      return X:matmul(W):square():matmul(V):sum()
    end},
    {'y = (x W) * x', 'h exact', {W, D, V}, function()
      local h = X:matmul(W)
      return (h:matmul(D) * h):matmul(V):sum()
    end},
    {'y = sigmoid(x) x: linear in x, not in sigmoid(x)', 'h noisy', {W, V}, function()
      local h = X:matmul(W)
      return (h:sigmoid() * h):matmul(V):sum()
    end},
    {'x / (1 + x^2), by division', 'h exact', {W, V}, function()
      local h = X:matmul(W)
      return (h / (h * h + 1)):matmul(V):sum()
    end},
    {'row-wise x . x', 'h noisy', {W}, function()
      local h = X:matmul(W)
      return tk.dot(h, h):sum()
    end},
    {'(x . x) x', 'h exact', {W, V}, function()
      local h = X:matmul(W)
      return (tk.dot(h, h):reshape(40, 1) * h):matmul(V):sum()
    end},
  }
  for _, case in ipairs(cases) do
    local name, how, parameters, fn = unpack(case)
    it('is seen: ' .. name, function()
      local step = planned(fn, {bits = 2, small = 0})
      local h = rows_of(step, 'matmul')[1]
      assert.same({40, 37}, h.shape)
      assert.equal(how == 'h exact' and 'exact' or 'quantize', h.rule, step:report())
      check_unbiased(fn, parameters)
    end)
  end

  it('and comes by a few rows gathered once more: they are exact, not the whole', function()
    local ids, half, most = tk.ids{3, 1, 20}, {}, {}
    for i = 1, 20 do half[i] = 2 * i - 1 end
    for i = 1, 21 do most[i] = i end
    local function loss(of)
      local h = X:matmul(W)
      local rows = h:gather(of)
      return h:matmul(V):sum() + (rows:matmul(D) * rows):sum()
    end
    local step = planned(function() return loss(ids) end, {bits = 2, small = 0})
    assert.equal('quantize', rows_of(step, 'matmul')[1].rule, step:report())
    assert.equal('exact', only(step, 'gather').rule)
    check_unbiased(function() return loss(ids) end, {W, D, V})
    step = planned(function() return loss(tk.ids(half)) end, {bits = 2, small = 0})
    assert.equal('quantize', rows_of(step, 'matmul')[1].rule, step:report())
    assert.equal('exact', only(step, 'gather').rule)
    step = planned(function() return loss(tk.ids(most)) end, {bits = 2, small = 0})
    assert.equal('exact', rows_of(step, 'matmul')[1].rule)
    assert.equal('recompute', only(step, 'gather').rule)
  end)

  it('is kept out even where the recipe asks for it', function()
    local step = planned(function()
      local h = X:matmul(W):saved_as 'quantize'
      return (h * h):matmul(V):sum()
    end, {bits = 2})
    assert.equal('exact', only(step, 'matmul').rule)
  end)

  it('is corrected for where rows are normalised to a mean and a variance', function()
    local l = tk.nn.LayerNorm(37)
    local function layers() return (l(X:matmul(W)):matmul(V) * G):sum() end
    local step = planned(layers, {bits = 1, small = 0})
    assert.equal('quantize', only(step, 'normalize').rule, step:report())
    check_unbiased(layers, {W, V, l.weight, l.bias})
  end)

  it('does not reach sines and powers, comparisons, nor matrices that meet themselves', function()
    local function loss()
      local h = X:matmul(W)
      local many = h:reshape(4, 10, 37)
      local alike = many:matmul(many, {transpose_b = true})
      return (tk.where(h:gt(0.2), h:sin(), h * h:cos()):matmul(V) * G):sum() + alike:sum()
    end
    assert.equal('exact', only(planned(loss, {bits = 1, small = 0}), 'matmul').rule)
    check_unbiased(loss, {W, V})
  end)

  it('does not reach what is independent of it', function()
    -- two noisy copies of different values may be multiplied: E[a b] = E[a] E[b]
    local A, B = parameter(17, 37), parameter(17, 37)
    local function product()
      local a, b = X:matmul(A), X:matmul(B)
      return (a * b):matmul(V):sum()
    end
    local step = planned(product, {bits = 2, small = 0})
    assert.equal(2, #rows_of(step, 'matmul', 'quantize'))
    assert.equal('recompute', only(step, 'mul').rule)
    check_unbiased(product, {A, B, V})
  end)

  it('would show in this test: nearest rounding at 1 bit is biased', function()
    local function two_layers() return X:matmul(W):relu():matmul(V):sum() end
    assert.is_true(worst(two_layers, {V}, 2, {bits = 1, small = 0, rounding = 'nearest'}) > 100)
  end)
end)
