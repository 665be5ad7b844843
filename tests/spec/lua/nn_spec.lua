-- Modules: shapes, parameters and modes, and that networks of them learn.
local tk = require 'tinykg'
local tensors = require 'tests.support.tensors'
local nn = tk.nn

local function each_equal(want, t)
  local values, n = t:values()
  for i = 0, n - 1 do assert.equal(want, values[i]) end
end

--- x W^T + b in double precision.
local function linear_by_hand(layer, x)
  local w, b = layer.weight:totable(), layer.bias and layer.bias:totable()
  local out = {}
  for r, row in ipairs(x) do
    out[r] = {}
    for o = 1, #w do
      local sum = b and b[o] or 0
      for i = 1, #row do sum = sum + row[i] * w[o][i] end
      out[r][o] = sum
    end
  end
  return out
end

local function near(want, got, tolerance)
  assert.equal(#want, #got)
  tensors.near(tensors.flat(want), tensors.flat(got), tolerance, 'rows')
end

describe('rows of a file', function()
  local fixtures = require 'tests.support.fixtures'
  after_each(fixtures.clean)

  it('with NaN or infinity are refused, naming file, tensor and row', function()
    local path = fixtures.dir() .. '/best.safetensors'
    for _, number in ipairs{0 / 0, 1 / 0} do
      tk.save(path, {['users.weight'] = tk.tensor{{1, 2}, {3, number}}})
      local message = fixtures.message(function()
        nn.Embedding(2, 2):load(path, 'users.weight', 0, 2)
      end)
      assert.is_truthy(message:find(path .. ': users.weight has ', 1, true), message)
      assert.matches(' in row 1$', message)
    end
  end)
end)

-- Numbers of torch.nn.LayerNorm in float64 (PyTorch 2.15), for the loss (y * K):sum().
describe('nn.LayerNorm', function()
  local ROWS = {{1, 2, 3, -4}, {0.01, 0.02, -0.01, 0.03}, {5, 5, 5, 5}, {-1, 0, 2, 8}}
  local K = {{1, -1, 2, 0.5}, {0.25, 1, -1, 2}, {1, 2, 3, 4}, {-1, 0.5, 0, 1}}
  local Y = {{0.18569521, 1.27854282, -2.8569521, -4.76377067},
             {-0.165294901, 1.24794235, 1.97530822, 3.72119293}, {0, 1, -1, 0.25},
             {-0.930948954, 0.677748439, -0.856777084, 5.1911906}}
  local DX = {{0.665941293, 0.326566988, -0.755588157, -0.236920124},
              {-116.700007, -145.784683, 90.2347576, 172.249933},
              {-316.227766, -316.227766, -2529.82213, 3162.27766},
              {-0.0668376732, 0.174070712, -0.131838554, 0.0246055152}}
  local DW, DB = {1.07532044, -0.383452488, 3.34460621, 3.12556371}, {1.25, 2.5, 4, 7.5}

  local function layer()
    local l = nn.LayerNorm(4)
    l.weight:write{1, 0.5, -2, 3}
    l.bias:write{0, 1, -1, 0.25}
    return l
  end

  it('is PyTorch\'s, with its gradients', function()
    local l, x = layer(), tk.parameter(tk.tensor(ROWS))
    local _, y = tk.step(function()
      local y = l(x)
      return (y * tk.tensor(K)):sum(), y
    end)()
    near(Y, y:totable(), 1e-5)
    for r = 1, 4 do -- the second and third rows are all but eps
      local largest = math.max(unpack(DX[r], 1, 4), -math.min(unpack(DX[r], 1, 4)))
      near({DX[r]}, {x.grad:totable()[r]}, 2e-5 * largest)
    end
    near({DW, DB}, {l.weight.grad:totable(), l.bias.grad:totable()}, 2e-5)
    near(Y, l(tk.tensor(ROWS):reshape(2, 2, 4)):reshape(4, 4):totable(), 1e-5)
  end)

  it('keeps the normalised rows and a number per row, in tiles', function()
    local x, w = tk.parameter(tk.randn(16384, 8)), tk.parameter(tk.randn(8, 8))
    local l = nn.LayerNorm(8)
    local function kept(bits)
      local step = tk.step(function() return l(x:matmul(w)):tanh():sum() end,
                           {bits = bits, small = 0})
      step()
      return step
    end
    local rows = 16384 * 8
    -- what tanh gives, the normalised rows, their norms
    assert.equal(4 * (2 * rows + 16384), kept(32):figure 'stored_bytes')
    local step = kept(4)
    assert.is_true(step:figure 'stored_bytes' <= 4 * rows + rows / 2 + 8 * 16384, step:report())
    if tk.device() ~= 'cpu' then return end
    for _, op in ipairs{'row_norm', 'normalize', 'normalize_grad'} do
      assert.matches('group %d+', step:program():match('[^\n]* ' .. op .. ' [^\n]*'), op)
    end
  end)

  it('takes rows of its width alone, and says what it is', function()
    assert.equal('nn.LayerNorm(4)', tostring(nn.LayerNorm(4, {eps = 1e-6})))
    local function message(f) return select(2, pcall(f)) end
    assert.matches('nn.LayerNorm: %[2, 3%] has no rows of 4',
                   message(function() nn.LayerNorm(4)(tk.ones(2, 3)) end))
    assert.matches('nn.LayerNorm: unknown option epsilon',
                   message(function() nn.LayerNorm(4, {epsilon = 1}) end))
  end)
end)

describe('nn.Linear', function()
  it('is x W^T + b', function()
    local layer = nn.Linear(3, 2)
    assert.same({2, 3}, layer.weight:size())
    assert.same({2}, layer.bias:size())
    each_equal(0, layer.bias)
    layer.bias:write{0.5, -1}
    local x = {{1, 2, 3}, {-1, 0.5, 0}, {0, 0, 0}, {2, -2, 1}}
    near(linear_by_hand(layer, x), layer(tk.tensor(x)):totable(), 1e-5)
    assert.equal('nn.Linear(3 -> 2)', tostring(layer))
  end)

  it('does without a bias', function()
    local wide = nn.Linear(400, 500, 'uniform').bias:totable()
    local low, high, sum = 1, -1, 0
    for _, b in ipairs(wide) do
      low, high, sum = math.min(low, b), math.max(high, b), sum + b
    end
    assert.is_true(low > -0.05 and low < -0.045 and high < 0.05 and high > 0.045)
    assert.is_true(math.abs(sum / 500) < 0.006)
    assert.has_error(function() nn.Linear(3, 2, 'ones') end)
    local layer = nn.Linear(3, 2, false)
    assert.is_nil(layer.bias)
    assert.equal(1, #layer:parameters())
    near(linear_by_hand(layer, {{1, 2, 3}}), layer(tk.tensor{{1, 2, 3}}):totable(), 1e-5)
  end)

  it('starts within the Glorot bound, with other numbers each time', function()
    local a, b = nn.Linear(40, 60), nn.Linear(40, 60)
    local bound, most = math.sqrt(6 / 100), 0
    local values, n = a.weight:values()
    for i = 0, n - 1 do most = math.max(most, math.abs(values[i])) end
    assert.is_true(most <= bound + 1e-7 and most > 0.95 * bound)
    assert.not_same(a.weight:totable(), b.weight:totable())
    tk.seed(8)
    local first = nn.Linear(4, 4).weight:totable()
    tk.seed(8)
    assert.same(first, nn.Linear(4, 4).weight:totable())
  end)

  it('takes rows of any rank', function()
    assert.same({2, 5, 4}, nn.Linear(3, 4)(tk.ones(2, 5, 3)):size())
  end)
end)

describe('nn.Embedding', function()
  it('gathers rows', function()
    local table_ = nn.Embedding(6, 3)
    local rows = table_.weight:totable()
    assert.same({6, 3}, table_.weight:size())
    assert.same({rows[3], rows[1], rows[3]}, table_(tk.ids{2, 0, 2}):totable())
    assert.same({2, 2, 3}, table_(tk.ids{{0, 1}, {2, 3}}):size())
    assert.equal('nn.Embedding(6, 3)', tostring(table_))
  end)
end)

describe('nn.Dropout', function()
  it('drops while training, with the scale that keeps the mean', function()
    local layer = nn.Dropout(0.25)
    local values, n = layer(tk.ones(100, 100)):values()
    local zeros = 0
    for i = 0, n - 1 do
      if values[i] == 0 then zeros = zeros + 1 else assert.near(1 / 0.75, values[i], 1e-6) end
    end
    assert.near(0.25 * n, zeros, 5 * math.sqrt(n * 0.25 * 0.75))
    assert.equal('nn.Dropout(0.25)', tostring(layer))
  end)

  it('does nothing in eval()', function()
    local layer = nn.Dropout(0.9):eval()
    each_equal(1, layer(tk.ones(50, 2)))
    local sum = 0
    local values, n = layer:train()(tk.ones(50, 2)):values()
    for i = 0, n - 1 do sum = sum + (values[i] == 0 and 1 or 0) end
    assert.is_true(sum > 50)
  end)

  it('drops the same in backward, and others in the next step', function()
    local w = tk.parameter(tk.ones(20, 20))
    local layer, seen = nn.Dropout(0.5), {}
    local step = tk.step(function()
      local y = layer(w)
      return y:sum(), y
    end)
    for i = 1, 2 do
      local _, y = step()
      assert.same(y:totable(), w.grad:totable())
      seen[i] = y:totable()
    end
    assert.not_same(seen[1], seen[2])
  end)

  it('refuses numbers that are no probability', function()
    assert.has_error(function() return nn.Dropout(1)(tk.ones(2)) end)
    assert.has_error(function() return nn.Dropout(-0.1)(tk.ones(2)) end)
  end)
end)

describe('nn.Sequential', function()
  it('calls modules and functions one after another', function()
    local a, b = nn.Linear(3, 4), nn.Linear(4, 2)
    local net = nn.Sequential(a, function(x) return x:relu() end, b)
    local x = {{1, -2, 3}, {0.1, 0.2, 0.3}}
    local hidden = linear_by_hand(a, x)
    for _, row in ipairs(hidden) do for c = 1, #row do row[c] = math.max(row[c], 0) end end
    near(linear_by_hand(b, hidden), net(tk.tensor(x)):totable(), 1e-5)
    assert.matches('^nn.Sequential%(nn.Linear%(3 %-> 4%), function: %S+, nn.Linear%(4 %-> 2%)%)$',
                   tostring(net))
  end)
end)

describe('a module', function()
  local Model = nn.class('Model')
  function Model.new()
    local self = setmetatable({}, Model)
    self.users, self.items = nn.Embedding(4, 3), nn.Embedding(5, 3)
    self.net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Linear(2, 1, false))
    self.shared = self.users
    self.scale = tk.parameter(tk.ones(1))
    self.data = tk.ones(7) -- no parameter
    return self
  end
  function Model:forward(u, i) return self.net(self.users(u) * self.items(i)) * self.scale end

  it('lists its parameters once, in the order of names', function()
    local model, names = Model.new(), {}
    for i, p in ipairs(model:named_parameters()) do names[i] = p.name end
    assert.same({'items.weight', 'net.1.bias', 'net.1.weight', 'net.3.weight', 'scale',
                 'shared.weight'}, names)
    for i, p in ipairs(model:parameters()) do
      assert.equal(model:named_parameters()[i].tensor, p)
    end
    for _ = 1, 5 do
      local again = {}
      for i, p in ipairs(Model.new():named_parameters()) do again[i] = p.name end
      assert.same(names, again)
    end
  end)

  it('shares its state, not copies', function()
    local model = Model.new()
    local state, count = model:state(), 0
    for name, t in pairs(state) do
      count = count + 1
      assert.is_true(tk.is_tensor(t), name)
    end
    assert.equal(6, count)
    state['net.1.bias']:write{3, 4}
    assert.same({3, 4}, model.net[1].bias:totable())
  end)

  it('switches modes all the way down, and back', function()
    local model = Model.new()
    assert.equal(model, model:eval())
    assert.is_false(model.net[2].training)
    local u, i = tk.ids{0, 1}, tk.ids{4, 0}
    assert.same(model(u, i):totable(), model(u, i):totable())
    assert.equal(model, model:train())
    assert.is_true(model.net[2].training)
  end)

  it('prints its parameters', function()
    assert.equal('Model(items.weight 5x3, net.1.bias 2, net.1.weight 2x3, net.3.weight 1x2, '
      .. 'scale 1, shared.weight 4x3)', tostring(Model.new()))
  end)

  it('is called like a function and gives gradients to every parameter', function()
    local model = Model.new():eval()
    local out = model(tk.ids{0, 1, 2, 3}, tk.ids{0, 1, 2, 4})
    assert.same({4, 1}, out:size())
    local loss = out:sum()
    loss:backward()
    for _, p in ipairs(model:named_parameters()) do
      assert.same(p.tensor:size(), p.tensor.grad:size(), p.name)
    end
  end)
end)

-- ---- learning: exclusive or, which no linear model can do (loss .693 at best) ----

describe('a network of modules learns exclusive or', function()
  local x = tk.tensor{{0, 0}, {0, 1}, {1, 0}, {1, 1}}
  local labels = tk.tensor{{0}, {1}, {1}, {0}}

  local function train(optimizer, steps, options, wide)
    tk.seed(4)
    local function relu(h)
      return wide and tk.bits(wide, function() return h:relu() end) or h:relu()
    end
    local net = nn.Sequential(nn.Linear(2, 16), function(h) return h:tanh() end,
                              nn.Linear(16, 16), relu, nn.Linear(16, 1))
    options = options or {}
    options.optimizer = optimizer
    local step = tk.step(function() return tk.loss.bce(net(x), labels) end, options)
    local loss
    for _ = 1, steps do loss = step() end
    return loss, net, step
  end

  local function check(loss, net)
    assert.is_true(loss < 0.05, 'loss ' .. loss)
    local logits = net:eval()(x):totable()
    for i, want in ipairs {false, true, true, false} do
      assert.equal(want, logits[i][1] > 0)
    end
  end

  it('with sgd', function() check(train(tk.optim.sgd{lr = 0.5}, 1000)) end)
  it('with sgd and momentum', function()
    check(train(tk.optim.sgd{lr = 0.1, momentum = 0.9}, 500))
  end)
  it('with adam', function() check(train(tk.optim.adam{lr = 0.02}, 300)) end)
  it('with adagrad', function() check(train(tk.optim.adagrad{lr = 0.1}, 500)) end)

  it('with saved values of 8, 4 and 2 bits', function()
    for _, bits in ipairs {8, 4, 2} do
      local loss, net, step = train(tk.optim.adam{lr = 0.02}, 400, {bits = bits, small = 0})
      check(loss, net)
      local packed = 0
      for _, row in ipairs(step:kept()) do packed = packed + (row.rule == 'quantize' and 1 or 0) end
      assert.is_true(packed > 0, step:report())
    end
  end)

  it('with other bits for one layer', function()
    local loss, net, step = train(tk.optim.adam{lr = 0.02}, 300, {bits = 1, small = 0}, 8)
    check(loss, net)
    for _, row in ipairs(step:kept()) do
      assert.is_true(row.rule ~= 'quantize' or row.op == 'leaky_relu' and row.bits == 8)
    end
  end)

  it('and not without hidden units', function()
    tk.seed(4)
    local net = nn.Linear(2, 1)
    local step = tk.step(function() return tk.loss.bce(net(x), labels) end,
                         {optimizer = tk.optim.adam{lr = 0.05}})
    local loss
    for _ = 1, 300 do loss = step() end
    assert.near(math.log(2), loss, 1e-3)
  end)

  it('with backward and update outside of steps, as inside', function()
    local inside = train(tk.optim.sgd{lr = 0.5}, 20)
    tk.seed(4)
    local net = nn.Sequential(nn.Linear(2, 16), function(h) return h:tanh() end, nn.Linear(16, 16),
                              function(h) return h:relu() end, nn.Linear(16, 1))
    local optimizer, loss = tk.optim.sgd{lr = 0.5}, nil
    for _ = 1, 20 do
      loss = tk.loss.bce(net(x), labels)
      loss:backward()
      optimizer:update()
    end
    assert.equal(inside, loss:item())
  end)
end)

describe('a model', function()
  it('reads sizes of layers', function()
    assert.same({64, 32, 16}, tk.nn.sizes('64, 32,16'))
    assert.same({8}, tk.nn.sizes('8'))
    for _, text in ipairs{'', 'a', '64,', '0', '2.5', ',3'} do
      assert.matches('is not a list such as', select(2, pcall(tk.nn.sizes, text)))
    end
  end)

  it('initializes tables as asked and loads rows of them', function()
    local xavier, normal = tk.nn.Embedding(400, 8), tk.nn.Embedding(400, 8, 0.1)
    local most, square = 0, 0
    for _, row in ipairs(xavier.weight:totable()) do
      for _, w in ipairs(row) do most = math.max(most, math.abs(w)) end
    end
    for _, row in ipairs(normal.weight:totable()) do
      for _, w in ipairs(row) do square = square + w * w / 3200 end
    end
    assert.is_true(most <= math.sqrt(6 / 408) and most > 0.9 * math.sqrt(6 / 408))
    assert.near(0.1, math.sqrt(square), 0.01)
    most = 0
    for _, row in ipairs(tk.nn.Embedding(400, 8, {bound = 0.3}).weight:totable()) do
      for _, w in ipairs(row) do most = math.max(most, math.abs(w)) end
    end
    assert.is_true(most <= 0.3 and most > 0.29)
    assert.error_matches(function() tk.nn.Embedding(4, 8, {limit = 1}) end,
                         'nn.Embedding: unknown option limit')
    for as, fans in pairs{tensorflow = 3 * (4 + 5), torch = 5 * (3 + 4)} do
      local bound = 0
      local stack = as == 'torch' and tk.xavier(3, 4, 5, as) or tk.xavier(3, 4, 5)
      for _, w in ipairs(stack:reshape(-1):totable()) do bound = math.max(bound, math.abs(w)) end
      assert.is_true(bound <= math.sqrt(6 / fans) and bound > 0.9 * math.sqrt(6 / fans), as)
    end
  end)

  it('is in training mode, but not the tables in it', function()
    local M = tk.nn.class('M')
    local graph = tk.graph{head = {0}, tail = {1}, nodes = 2}
    local m = setmetatable({list = {tk.nn.Dropout(0.5)}, graph = graph}, M):eval()
    assert.is_false(m.training)
    assert.is_false(m.list[1].training)
    assert.is_nil(m.list.training)
    assert.is_nil(rawget(graph, 'training'))
  end)
end)

describe('nn.Diffusion', function()
  -- By numpy in float64 from the program's lines (HKUDS/DiffKG Model.py:182-210, 264-265, 278-280;
  -- 145-149), with 5 steps.
  local NUMBERS = {
    weights = {1, 8326.2344, 760.448894, 285.320245, 149.486551},
    row_share = {0.999949999, 0.999701228, 0.999452395, 0.9992035, 0.998954543},
    noise_share = {0.01, 0.0244428972, 0.0330894311, 0.0399044568, 0.0457145589},
    output_share = {1, 0.832665075, 0.454469948, 0.312571284, 0.238227},
    state_share = {0, 0.167334919, 0.545530015, 0.687428648, 0.761772901},
  }

  --- One whose network returns 0, or `bias` everywhere.
  local function silent(bias)
    local diffusion = nn.Diffusion(6, {hidden = 4, waves = 5})
    for _, p in ipairs(diffusion:parameters()) do p:copy(tk.zeros(p:size())) end
    diffusion.output.bias:copy(tk.full(bias, 6))
    return diffusion
  end

  it('has the numbers of its steps', function()
    local diffusion = silent(0)
    for name, want in pairs(NUMBERS) do
      local got = diffusion[name]
      near(want, tk.is_tensor(got) and got:totable() or got, 1e-7 * math.max(5, want[2]))
    end
    local waves = {-0.989992497, 0.999550034, 0.141120008, 0.0299955002, 0}
    near(waves, diffusion.waves:totable()[4], 1e-6)
  end)

  it('weighs errors by step, and is trained by drawn steps and noise', function()
    local diffusion = silent(0)
    local given = {steps = tk.ids{0, 4, 2}, noise = tk.randn(3, 6)}
    local y, errors = diffusion:train_on(tk.full(2, 3, 6), given)
    near({0, 0, 0}, y:sum(2):totable(), 0)
    near({4 * NUMBERS.weights[1], 4 * NUMBERS.weights[5], 4 * NUMBERS.weights[3]},
         errors:totable(), 1e-3)
    local drawn, times = select(2, diffusion:train_on(tk.ones(1000, 6))):totable(), {}
    for _, weight in ipairs(drawn) do times[weight] = (times[weight] or 0) + 1 end
    for _, weight in ipairs(diffusion.weights:totable()) do
      assert.near(200, times[weight], 4 * math.sqrt(1000 * 0.2 * 0.8))
    end
  end)

  it('ends with what the network says at the first step', function()
    near({3, 3, 3, 3, 3, 3}, silent(3):restore(tk.randn(2, 6)):totable()[2], 1e-6)
  end)

  it('learns rows', function()
    local rows, diffusion = {}, nn.Diffusion(8, {hidden = 32, dropout = 0})
    for i = 1, 8 do
      rows[i] = {}
      for j = 1, 8 do rows[i][j] = (i + j) % 4 == 0 and 1 or 0 end
    end
    rows = tk.tensor(rows)
    local step = tk.step(function() return (select(2, diffusion:train_on(rows))):mean() end,
                         {optimizer = tk.optim.adam{lr = 0.01}})
    for _ = 1, 300 do step() end
    assert(((diffusion:restore(rows) - rows):square():mean()):item() < 0.01)
  end)

  it('refuses no step and no noise', function()
    for _, o in ipairs{{steps = 0}, {noise_scale = 0}, {waves = 1}} do
      assert.has_error(function() nn.Diffusion(4, o) end)
    end
  end)
end)
