-- Losses against their definitions, and optimizers against double-precision recurrences.
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local drawn = reference.noise(reference.random(77))
local function noise(n, scale) return drawn({n}, scale or 2) end

local function drawn_tensor(...) return tensors.of(drawn({...}, 1)) end
local function to_parameter(x) return tk.parameter(tensors.of(x)) end
local to_tensor, flat = tensors.of, tensors.flat

local function near(want, got, tolerance, what) tensors.near(want, got, tolerance, what, true) end

local softplus, sigmoid = reference.scalars.softplus, reference.scalars.sigmoid
local LARGE = {-10000, -1000, -100, -88.5, -30, -1, 0, 1, 30, 88.5, 100, 1000, 10000}

local function with_large(n)
  local x = noise(n, 4)
  for i, v in ipairs(LARGE) do x[i] = v end
  return x
end

local function mean(n, f)
  local sum = 0
  for i = 1, n do sum = sum + f(i) end
  return sum / n
end

describe('loss', function()
  it('bpr is the mean of -log sigmoid(pos - neg)', function()
    for _, n in ipairs {1, 31, 33, 1000} do
      local p, q = n > 13 and with_large(n) or noise(n), noise(n)
      local pos, neg = to_parameter(p), to_parameter(q)
      local loss = tk.loss.bpr(pos, neg)
      loss:backward()
      local want = mean(n, function(i) return softplus(q[i] - p[i]) end)
      assert.near(want, loss:item(), 1e-6 * (1 + want))
      local grad = {}
      for i = 1, n do grad[i] = -sigmoid(q[i] - p[i]) / n end
      near(grad, flat(pos.grad), 1e-6, 'positive')
      for i = 1, n do grad[i] = -grad[i] end
      near(grad, flat(neg.grad), 1e-6, 'negative')
    end
  end)

  it('bce is the cross-entropy of sigmoid(x) and the label', function()
    for _, n in ipairs {1, 31, 33, 1000} do
      local x = n > 13 and with_large(n) or noise(n)
      local y = reference.array({n}, function(i) return i % 2 end)
      local logits = to_parameter(x)
      local loss = tk.loss.bce(logits, to_tensor(y))
      loss:backward()
      -- -log sigmoid(x) = softplus(-x) for label 1, -log(1 - sigmoid(x)) = softplus(x) for 0
      local want = mean(n, function(i) return softplus(y[i] == 1 and -x[i] or x[i]) end)
      assert.near(want, loss:item(), 1e-6 * (1 + want))
      local grad = {}
      for i = 1, n do grad[i] = (sigmoid(x[i]) - y[i]) / n end
      near(grad, flat(logits.grad), 1e-6, 'logits')
    end
  end)

  it('bce takes one label for all; pointwise adds known and sampled items', function()
    local x = noise(6)
    for y = 0, 1 do
      local want = mean(6, function(i) return softplus(y == 1 and -x[i] or x[i]) end)
      assert.near(want, tk.loss.bce(to_tensor(x), y):item(), 1e-6)
    end
    local scores = tk.tensor{1, 2, 3, -1, 0, 4} -- that of user u and item i is number 3 u + i
    local function of(users, items, labels)
      local at = {}
      for k, u in ipairs(users:totable()) do at[k] = 3 * u + items:totable()[k] end
      return tk.loss.bce(scores:gather(tk.ids(at)), labels)
    end
    local batch = {users = tk.ids{0, 1}, items = tk.ids{0, 2},
                   negatives = tk.ids{{1, 2}, {0, 1}}}
    local want = (softplus(-1) + softplus(-4)) / 2
      + (softplus(2) + softplus(3) + softplus(-1) + softplus(0)) / 4
    assert.near(want, tk.loss.pointwise(batch, of):item(), 1e-6)
    batch.labels = tk.tensor{0, 1}
    assert.near((softplus(1) + softplus(-4)) / 2, tk.loss.pointwise(batch, of):item(), 1e-6)
    batch.labels, batch.negatives = nil, nil
    assert.error_matches(function() tk.loss.pointwise(batch, of) end,
                         'loss.pointwise: neither labels nor sampled items')
  end)

  it('sampled_bce takes known items for 1, sampled ones for 0, or the labels', function()
    local logits, sampled = tk.tensor{1, 4}, tk.tensor{2, 3, -1, 0} -- the latter by item
    local batch = {negatives = tk.ids{{0, 1}, {2, 3}}}
    local function of(items) return sampled:gather(items) end
    local want = (softplus(-1) + softplus(-4)) / 2
      + (softplus(2) + softplus(3) + softplus(-1) + softplus(0)) / 4
    assert.near(want, tk.loss.sampled_bce(logits, batch, of):item(), 1e-6)
    batch.labels = tk.tensor{0, 1}
    assert.near((softplus(1) + softplus(-4)) / 2, tk.loss.sampled_bce(logits, batch, of):item(),
                1e-6)
    assert.error_matches(function() tk.loss.sampled_bce(logits, {}, of) end,
                         'loss.sampled_bce: neither labels nor sampled items')
  end)

  it('softmax is -log of the softmax at the label', function()
    for _, shape in ipairs {{1, 2}, {31, 5}, {33, 33}, {7, 3000}} do
      local n, classes = shape[1], shape[2]
      local x = noise(n * classes, 3)
      x[1], x[2] = 5000, -5000
      x.shape = shape
      local ids = reference.array({n}, function(i) return (i * 7) % classes end)
      local logits = to_parameter(x)
      local loss = tk.loss.softmax(logits, tensor.create(tensor.I32, {n}):write(ids))
      loss:backward()
      local logs = reference.ops.log_softmax({x}, {})
      local want = mean(n, function(i) return -logs[(i - 1) * classes + ids[i] + 1] end)
      assert.near(want, loss:item(), 1e-6 * (1 + want))
      local grad = {}
      for i = 1, n * classes do
        local row = math.floor((i - 1) / classes) + 1
        local label = (i - 1) % classes == ids[row] and 1 or 0
        grad[i] = (math.exp(logs[i]) - label) / n
      end
      near(grad, flat(logits.grad), 1e-6, 'logits')
    end
  end)
end)

-- ---- optimizers: one step of each in double precision, on p, g and its state ----

local update = {}

--- The gradient and L2's; parameters here have one dimension.
local function decayed(p, g, o) return (o.decay_rank or 0) > 1 and g or g + o.weight_decay * p end

function update.sgd(p, g, s, o)
  g = decayed(p, g, o)
  if o.momentum > 0 then
    s.m = o.momentum * (s.m or 0) + g
    g = s.m
  end
  return p - o.lr * g
end

function update.adam(p, g, s, o)
  local b1, b2 = o.betas[1], o.betas[2]
  g = decayed(p, g, o)
  s.t = (s.t or 0) + 1
  s.m = b1 * (s.m or 0) + (1 - b1) * g
  s.v = b2 * (s.v or 0) + (1 - b2) * g * g
  if o.eps_hat then -- the paper's section 2
    local rate = o.lr * math.sqrt(1 - b2 ^ s.t) / (1 - b1 ^ s.t)
    return p - rate * s.m / (math.sqrt(s.v) + o.eps_hat)
  end
  return p - o.lr * (s.m / (1 - b1 ^ s.t)) / (math.sqrt(s.v / (1 - b2 ^ s.t)) + o.eps)
end

function update.adamw(p, g, s, o)
  local kept = (o.decay_rank or 0) > 1 and p or p * (1 - o.lr * o.weight_decay)
  local plain = setmetatable({weight_decay = 0}, {__index = o})
  return kept + (update.adam(p, g, s, plain) - p)
end

function update.adagrad(p, g, s, o)
  g = decayed(p, g, o)
  s.sum = (s.sum or 0) + g * g
  return p - o.lr * g / (math.sqrt(s.sum) + o.eps)
end

local SETTINGS = {
  sgd = {{lr = 0.1, momentum = 0, weight_decay = 0}, {lr = 0.05, momentum = 0.9, weight_decay = 0},
         {lr = 0.05, momentum = 0.5, weight_decay = 0.1},
         {lr = 0.1, momentum = 0, weight_decay = 0.2, decay_rank = 1},
         {lr = 0.1, momentum = 0.5, weight_decay = 0.2, decay_rank = 2}},
  adam = {{lr = 0.01, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0},
          {lr = 0.05, betas = {0.5, 0.9}, eps = 1e-3, weight_decay = 0.1},
          {lr = 0.05, betas = {0.9, 0.999}, eps_hat = 0.03, weight_decay = 0.1, decay_rank = 1},
          {lr = 0.05, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.5, decay_rank = 2}},
  adamw = {{lr = 0.01, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01},
           {lr = 0.05, betas = {0.5, 0.9}, eps = 1e-3, weight_decay = 2},
           {lr = 0.05, betas = {0.9, 0.999}, eps_hat = 0.03, weight_decay = 0.1, decay_rank = 1},
           {lr = 0.05, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.5, decay_rank = 2}},
  adagrad = {{lr = 0.1, eps = 1e-10, weight_decay = 0},
             {lr = 0.05, eps = 1e-2, weight_decay = 0.1},
             {lr = 0.05, eps = 1e-2, weight_decay = 0.5, decay_rank = 2}},
}

--- Ten updates of sum(c p^2 / 2 + d p), whose gradient is c p + d; lr halves after five.
local function check(kind, settings, inside, n)
  local p, c, d = noise(n), noise(n), noise(n)
  local w, ct, dt = to_parameter(p), to_tensor(c), to_tensor(d)
  local opt = tk.optim[kind](settings)
  local function loss_of() return (w * w * ct * 0.5 + w * dt):sum() end
  local step = tk.step(loss_of, {optimizer = opt})
  local state, o = {}, {}
  for i = 1, n do state[i] = {} end
  for k, v in pairs(settings) do o[k] = v end
  for round = 1, 10 do
    if round == 6 then
      o.lr = o.lr / 2
      opt.lr = o.lr
    end
    if inside then step() else
      local loss = loss_of()
      loss:backward()
      opt:update()
      assert.is_nil(w.grad)
    end
    for i = 1, n do p[i] = update[kind](p[i], c[i] * p[i] + d[i], state[i], o) end
  end
  near(p, flat(w), 5e-6, kind)
end

describe('optimizer', function()
  local function check_all(kind)
    for _, settings in ipairs(SETTINGS[kind]) do
      for _, n in ipairs {1, 31, 33, 1025} do
        check(kind, settings, true, n)
        check(kind, settings, false, n)
      end
    end
  end

  it('sgd with momentum and weight decay', function() check_all 'sgd' end)
  it('adam', function() check_all 'adam' end)
  it('adamw', function() check_all 'adamw' end)
  it('adagrad', function() check_all 'adagrad' end)

  it('adamw gives what PyTorch 2.15 gives', function()
    local w = tk.parameter(tk.tensor{1, -2, 3})
    local opt = tk.optim.adamw{lr = 0.1, weight_decay = 0.5}
    for _, loss in ipairs{function() return w * w * w * (1 / 3) end,
                          function() return w * w * 0.5 + w end, function() return w end} do
      loss():sum():backward()
      opt:update()
    end
    near({0.5792937039755169, -1.8999359325398772, 2.319819984632228}, flat(w), 1e-6, 'adamw')
  end)

  -- Three steps, two of them clipped, by torch.nn.utils.clip_grad_norm_ and SGD of PyTorch 2.15.
  it('clip gives what PyTorch gives, in steps and outside', function()
    for _, inside in ipairs{true, false} do
      local e = tk.parameter(tk.tensor{{1, 2}, {-3, 0.5}, {2, -1}, {0, 4}})
      local b = tk.parameter(tk.tensor{0.5, -1})
      local ids = tk.ids{0, 2, 2}
      local function loss() return (e:gather(ids) + b):square():sum() end
      for _, most in ipairs{1, 1, 100} do
        local opt = tk.optim.sgd{lr = 0.1, clip = most}
        if inside then tk.step(loss, {optimizer = opt})() else
          loss():backward()
          opt:update()
        end
      end
      near({0.7021179726668212, 1.7708313760397287, -3, 0.5, 0.9917696060203282,
            -0.1750673213733712, 0, 4}, flat(e), 2e-6, 'table')
      near({-0.8061124213128508, -0.40423594533364254}, flat(b), 2e-6, 'bias')
    end
  end)

  -- With eps = 1 a first step of Adam is lr g / (|g| + 1): it tells the size of a gradient.
  it('clip counts each row of a table once, whichever way rows are updated', function()
    for _, options in ipairs{{}, {lazy = true}, {rowwise = false, bits = 8}} do
      local table_, scalar = tk.parameter(tk.zeros(1200, 16)), tk.parameter(tk.tensor{{1, 1}})
      options.lr, options.eps, options.clip = 1, 1, 2.5
      local ids = tk.ids{7, 3, 7, 999}
      tk.step(function()
        return (table_:gather(ids) * 3):sum() + (scalar * 4):sum()
      end, {optimizer = tk.optim.adam(options)})()
      local norm = math.sqrt(16 * (3 * 3 + 6 * 6 + 3 * 3) + 2 * 4 * 4)
      local got = table_:totable()
      for row, g in pairs{[7] = 6, [3] = 3, [999] = 3, [8] = 0} do
        g = g * 2.5 / norm
        for c = 1, 16 do assert.near(-g / (g + 1), got[row + 1][c], 1e-5) end
      end
      local g = 4 * 2.5 / norm
      near({1 - g / (g + 1), 1 - g / (g + 1)}, flat(scalar), 1e-6, 'others')
    end
  end)

  it('clip leaves small gradients as they are, and what is saved in codes', function()
    local found = {}
    for k, clip in ipairs{0, 1e9} do
      tk.seed(4)
      drawn = reference.noise(reference.random(5))
      local w, v = tk.parameter(drawn_tensor(64, 64)), tk.parameter(drawn_tensor(64, 8))
      local none, x = to_parameter(noise(0)), drawn_tensor(256, 64)
      local step = tk.step(function()
        return tk.loss.bce(x:matmul(w):relu():matmul(v):reshape(-1), 1) + none:sum()
      end, {optimizer = tk.optim.adam{lr = 0.1, clip = clip}, bits = 2})
      for _ = 1, 3 do step() end
      local rules = {}
      for i, value in ipairs(step:kept()) do rules[i] = value.rule end
      assert.matches('quantize', table.concat(rules, ' '))
      found[k] = {flat(w), flat(v), rules}
    end
    assert.same(found[1], found[2])
  end)

  it('clip that no float is above leaves all gradients as they are', function()
    for _, most in ipairs{math.huge, 1e39, 1e300} do
      local w, v = tk.parameter(tk.tensor{5, 7}), tk.parameter(tk.tensor{5, 7})
      local opt = tk.optim.sgd{lr = 0.5, clip = most}
      tk.step(function() return (w * w):sum() end, {optimizer = opt})()
      near({0, 0}, flat(w), 0, 'in a step')
      v:sum():backward()
      opt:update()
      near({4.5, 6.5}, flat(v), 0, 'outside')
    end
  end)

  it('clip takes the least float, with gradients of zero too, and refuses less', function()
    local w = tk.parameter(tk.tensor{5, 7})
    local opt = tk.optim.sgd{lr = 1, clip = 1.2e-38}
    tk.step(function() return (w * 0):sum() end, {optimizer = opt})()
    near({5, 7}, flat(w), 0, 'zero gradients')
    for _, most in ipairs{1e-50, 1e-40} do
      assert.error_matches(function() tk.optim.sgd{clip = most} end,
                           'clip: 1e%-%d0 is less than 1.1')
    end
  end)

  it('gives the same bits with any number of threads', function()
    for kind, list in pairs(SETTINGS) do
      local first
      for _, threads in ipairs {1, 2, 4} do
        tk.threads(threads)
        drawn = reference.noise(reference.random(3))
        local w, c = to_parameter(noise(150000)), to_tensor(noise(150000))
        local step = tk.step(function() return (w * w * c):sum() end,
                             {optimizer = tk.optim[kind](list[2])})
        step()
        step()
        local now = flat(w)
        first = first or now
        for i = 1, #now do
          if now[i] ~= first[i] then error(kind .. ' differs with ' .. threads .. ' threads') end
        end
      end
    end
    tk.threads(0)
  end)

  it('leaves alone what the loss does not depend on, and takes no rows', function()
    local w, other, none = to_parameter(noise(4)), to_parameter(noise(4)), to_parameter(noise(0))
    local before = other:totable()
    local step = tk.step(function() return w:square():sum() + none:sum() end,
                         {optimizer = tk.optim.adam {lr = 0.1}})
    step()
    assert.same(before, other:totable())
    assert.same({}, none:totable())
  end)

  it('goes on by momentum with gradient 0, which takes one row of a table', function()
    local table_, other, row = tk.parameter(tk.ones(4000, 16)), tk.parameter(tk.ones(2)), tk.ids{0}
    local adam = tk.optim.adam{lr = 0.1}
    tk.step(function() return table_:sum() + other:sum() end, {optimizer = adam})()
    near({0.9}, {table_:totable()[3000][16]}, 1e-6, 'read')
    local step = tk.step(function() return tk.loss.zero(row, table_, other) end, {optimizer = adam})
    assert.equal(0, step())
    local moment, variance = 0.09 / (1 - 0.9 ^ 2), 0.000999 / (1 - 0.999 ^ 2) -- Kingma and Ba
    local want = 0.9 - 0.1 * moment / math.sqrt(variance)
    local t = table_:totable()
    local got = {t[1][16], t[2][1], t[4000][16], other:totable()[2]}
    near({want, want, want, want}, got, 1e-6, 'moved')
    assert.is_true(step:figure 'arena_bytes' < 4 * 4000 * 16 / 8) -- no gradient of the table
  end)

  it('shows its state, which goes on counting', function()
    local w = to_parameter(noise(3))
    local opt = tk.optim.adam {lr = 0.1}
    local step = tk.step(function() return w:sum() end, {optimizer = opt})
    step()
    step()
    assert.equal(2, opt.t)
    local m, v = unpack(opt:state(w))
    near({0.19, 0.19, 0.19}, flat(m), 1e-6, 'm') -- .9 (.1) + .1
    near({0.001999, 0.001999, 0.001999}, flat(v), 1e-6, 'v')
  end)

  it('names options that do not exist, and wrong values', function()
    assert.error_matches(function() tk.optim.adam {momentum = 1} end, 'optim%.adam.*momentum')
    assert.error_matches(function() tk.optim.sgd {lr = -1} end, 'lr: %-1')
    local opt = tk.optim.sgd {}
    assert.error_matches(function() opt.lr = 0 / 0 end, 'lr: ')
    assert.error_matches(function() opt.rate = 1 end, 'rate')
  end)
end)
