-- The contrastive loss: its value and gradients against float64, what it saves, the same bits for
-- any number of threads, and refusals.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_graph'
local saved = require 'tests.support.saved'
local arrays = require 'tests.support.arrays'
local tensors = require 'tests.support.tensors'
local flat = tensors.flat

local function doubles(t)
  local list = flat(t)
  local v = arrays.doubles(#list + 1)
  for i = 1, #list do v[i - 1] = list[i] end
  return {shape = t:size(), n = #list, v = v, g = arrays.doubles(#list + 1)}
end

--- The mean loss of the reference and the gradients of x and y, as lists.
local function expected(x, y, temperature, ids)
  local p, q = doubles(x), doubles(y)
  local a = {temperature = temperature, ids = ids}
  local o = reference.contrast.forward(a, {p, q})
  local mean = 0
  o.g = arrays.doubles(o.n + 1)
  for i = 0, o.n - 1 do
    mean, o.g[i] = mean + o.v[i] / o.n, 1 / o.n
  end
  reference.contrast.backward(a, o, {p, q})
  return mean, p, q, o
end

local function near(want, got, what)
  local list, most = flat(got), 0
  for i = 1, #list do most = math.max(most, math.abs(want.g[i - 1])) end
  for i = 1, #list do assert.near(want.g[i - 1], list[i], 1e-5 * most, what .. ' ' .. i) end
end

local function counted(n)
  local ids = {}
  for i = 0, n - 1 do ids[i] = i end
  return ids
end

describe('loss.contrast', function()
  after_each(function() tk.threads(0) end)

  it('is the cross-entropy of each row against all, with its gradients', function()
    for _, shape in ipairs{{1, 1, 4}, {7, 7, 3}, {130, 300, 16}, {257, 257, 33}} do
      local n, m, d = unpack(shape)
      tk.seed(n + m)
      local x, y = tk.parameter(tk.randn(n, d)), tk.parameter(tk.randn(m, d))
      local mean, p, q, rows = expected(x, y, 0.7, counted(n))
      local loss = tk.loss.contrast(x, y, 0.7)
      loss:backward()
      assert.near(mean, loss:item(), 1e-5 * (1 + mean))
      near(p, x.grad, 'x')
      near(q, y.grad, 'y')
      local each = flat(tk.loss.contrast(x, y, 0.7, {reduce = 'none'}))
      for i = 1, n do assert.near(rows.v[i - 1], each[i], 1e-5 * (1 + math.abs(rows.v[i - 1]))) end
    end
  end)

  it('takes the rows that positives name', function()
    tk.seed(5)
    local x, y = tk.parameter(tk.randn(40, 8)), tk.parameter(tk.randn(9, 8))
    local ids, list = {}, {}
    for i = 0, 39 do ids[i], list[i + 1] = i * 5 % 9, i * 5 % 9 end
    local mean, p, q = expected(x, y, 0.5, ids)
    local loss = tk.loss.contrast(x, y, 0.5, {positives = tk.ids(list)})
    loss:backward()
    assert.near(mean, loss:item(), 1e-5 * (1 + mean))
    near(p, x.grad, 'x')
    near(q, y.grad, 'y')
  end)

  it('of views of one table meets its gradient once from either side', function()
    tk.seed(6)
    local x = tk.parameter(tk.randn(50, 8))
    local mean, p, q = expected(x, x, 0.4, counted(50))
    local loss = tk.loss.contrast(x, x, 0.4)
    loss:backward()
    for i = 0, p.n - 1 do p.g[i] = p.g[i] + q.g[i] end
    assert.near(mean, loss:item(), 1e-5 * (1 + mean))
    near(p, x.grad, 'x')
  end)

  it('survives logits of thousands', function()
    local x = tk.parameter(tk.tensor{{3000, 0}, {0, -3000}})
    local loss = tk.loss.contrast(x, tk.tensor{{1, 0}, {0, 1}}, 0.5)
    loss:backward()
    assert.near(3000, loss:item(), 1e-3) -- 0 of the first row, 0 + 6000 of the second
    assert.same({{0, 0}, {1, -1}}, x.grad:totable())
  end)

  it('has the same bits with any number of threads', function()
    tk.seed(7)
    local x, y = tk.parameter(tk.randn(700, 24)), tk.parameter(tk.randn(900, 24))
    local seen
    for _, threads in ipairs{1, 2, 3} do
      tk.threads(threads)
      local loss = tk.loss.contrast(x:normalize(), y:normalize(), 0.2)
      loss:backward()
      local bytes = tensors.bytes(loss) .. tensors.bytes(x.grad) .. tensors.bytes(y.grad)
      seen = seen or bytes
      assert(seen == bytes, threads .. ' threads')
    end
  end)

  it('saves one number per row, and x and y exactly at 2 bits', function()
    local n, m, d = 3000, 2000, 32
    tk.seed(8)
    local u, v = tk.parameter(tk.randn(n, d)), tk.parameter(tk.randn(m, d))
    local w = tk.parameter(tk.randn(d, d))
    local list = {}
    for i = 1, n do list[i] = i * 7 % m end
    local positives = tk.ids(list)
    local function loss()
      return tk.loss.contrast(u:matmul(w):tanh(), v:matmul(w):tanh(), 5, {positives = positives})
    end
    local step = saved.planned(loss, {bits = 2, small = 0})
    for _, row in ipairs(saved.rows_of(step, 'tanh')) do assert.equal('exact', row.rule) end
    assert.equal(4 * n, saved.only(step, 'product_logsumexp').kept_bytes)
    assert.is_true(step:figure 'reference_bytes' > 4 * n * m)
    assert.is_true(step:figure 'stored_bytes' < 4 * (n + m) * d * 2 + 16 * n)
  end)

  it('is refused in one line', function()
    local x, y = tk.ones(3, 4), tk.ones(2, 4)
    assert.error_matches(function() tk.loss.contrast(x, y, 0.1) end,
                         'loss.contrast: %[3, 4%] and %[2, 4%]: row i of the first belongs')
    assert.error_matches(function() tk.loss.contrast(x, tk.ones(3, 5), 0.1) end,
                         'two matrices with as many columns are needed')
    assert.error_matches(function() tk.loss.contrast(x, x, 0) end, 'temperature 0 is not above 0')
    assert.error_matches(function() tk.loss.contrast(x, x, 1, {positives = tk.ids{1}}) end,
                         'positives %[1%] of %[3, 4%]: one id per row is needed')
    assert.error_matches(function() tk.loss.contrast(x, x, 1, {reduce = 'sum'}) end,
                         "reduce 'sum': expected mean or none")
    assert.error_matches(function()
      tk.loss.contrast(x, y, 1, {positives = tk.ids{0, 1, 2}}):item()
    end, 'id 2')
  end)
end)
