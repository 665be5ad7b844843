-- What a user writes - operators and methods - against the reference, and the values that ops go
-- wrong at: zeros, infinities, NaN, ties, large logits.
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local tensors = require 'tests.support.tensors'
local reference = require 'tests.support.reference_ops'


local inf, nan = math.huge, 0 / 0
local ops = reference.ops

local function same_number(a, b)
  if a ~= a or b ~= b then return a ~= a and b ~= b end
  return a == b or math.abs(a - b) <= 1e-6 + 1e-5 * math.abs(b)
end

local function equal(want, got, what)
  local values, n = got:values()
  assert.same(want.shape, got:size(), what)
  for i = 1, n do
    if not same_number(values[i - 1], want[i]) then
      error(('%s: element %d is %.9g, expected %.9g'):format(what, i, values[i - 1], want[i]), 0)
    end
  end
end

local X = reference.array({3, 4}, function(i) return (i * 5 % 12 - 5.5) / 4 end)
local Y = reference.array({3, 4}, function(i) return (i * 7 % 12 + 0.5) / 4 end)
local ROW = reference.array({4}, function(i) return i / 2 end)
local CUBE = reference.array({2, 3, 4}, function(i) return (i * 5 % 24) / 8 end)
local function T(x) return tensor.create(tensor.F32, x.shape):write(x) end
local x, y, row, cube = T(X), T(Y), T(ROW), T(CUBE)

local function unary(name, f0, f1) return ops[name]({X}, {f = {f0, f1}}) end
local function affine(scale, shift) return unary('affine', scale, shift) end
local function binary(name, a, b) return ops[name] {a, b} end
local function summed(a, dims) return ops.sum({a}, {i = {dims, 0}}) end
local function scaled(a, by) return ops.affine({a}, {f = {by, 0}}) end

--- What a method gives, and what it should.
local METHODS = {
  ['x + y'] = {function() return x + y end, binary('add', X, Y)},
  ['x - row'] = {function() return x - row end, binary('sub', X, ROW)},
  ['row * x'] = {function() return row * x end, binary('mul', ROW, X)},
  ['x / y'] = {function() return x / y end, binary('div', X, Y)},
  ['x + 2'] = {function() return x + 2 end, affine(1, 2)},
  ['2 + x'] = {function() return 2 + x end, affine(1, 2)},
  ['x - 2'] = {function() return x - 2 end, affine(1, -2)},
  ['2 - x'] = {function() return 2 - x end, affine(-1, 2)},
  ['3 * x'] = {function() return 3 * x end, affine(3, 0)},
  ['x / 4'] = {function() return x / 4 end, affine(0.25, 0)},
  ['3 / y'] = {function() return 3 / y end, ops.div {reference.array({}, 3), Y}},
  ['-x'] = {function() return -x end, affine(-1, 0)},
  relu = {function() return x:relu() end, unary('leaky_relu', 0)},
  leaky_relu = {function() return x:leaky_relu(0.3) end, unary('leaky_relu', 0.3)},
  ['leaky_relu()'] = {function() return x:leaky_relu() end, unary('leaky_relu', 0.01)},
  abs = {function() return x:abs() end, unary('leaky_relu', -1)},
  clamp = {function() return x:clamp(-0.5, 1) end, unary('clamp', -0.5, 1)},
  ['clamp(nil)'] = {function() return x:clamp(nil, 1) end, unary('clamp', -inf, 1)},
  sum = {function() return x:sum() end, summed(X, 3)},
  ['sum(1)'] = {function() return x:sum(1) end, summed(X, 1)},
  ['sum(-1)'] = {function() return cube:sum(-1) end, summed(CUBE, 4)},
  mean = {function() return x:mean() end, scaled(summed(X, 3), 1 / 12)},
  ['mean(2)'] = {function() return cube:mean(2) end, scaled(summed(CUBE, 2), 1 / 3)},
  dot = {function() return tk.dot(x, y) end, binary('dot', X, Y)},
  matmul = {function() return x:matmul(y, {transpose_b = true}) end,
            ops.matmul({X, Y}, {i = {0, 1}})},
  ['matmul^T'] = {function() return x:matmul(y, {transpose_a = true}) end,
                  ops.matmul({X, Y}, {i = {1, 0}})},
  transpose = {function() return x:transpose() end, ops.transpose {X}},
  reshape = {function() return x:reshape(2, -1) end, ops.reshape({X}, {shape = {2, 6}})},
  ['reshape{}'] = {function() return x:sum():reshape {1, 1} end,
                   ops.reshape({summed(X, 3)}, {shape = {1, 1}})},
  rows = {function() return x:rows(2, 3) end, ops.narrow({X}, {i = {0, 1}, shape = {2, 4}})},
  narrow = {function() return cube:narrow(3, 2, 2) end,
            ops.narrow({CUBE}, {i = {2, 1}, shape = {2, 3, 2}})},
  cat = {function() return tk.cat({x, y}, 2) end, ops.concat({X, Y}, {i = {1}})},
  ['cat of 9'] = {function() return tk.cat {x, y, x, y, x, y, x, y, x} end,
                  ops.concat({X, Y, X, Y, X, Y, X, Y, X}, {i = {0}})},
  gather = {function() return x:gather(tk.ids {2, 0}) end,
            ops.gather {X, {2, 0, shape = {2}}}},
  take = {function() return x:take(tk.ids {{3}, {0}, {1}}) end,
          ops.take {X, {3, 0, 1, shape = {3, 1}}}},
  scatter_add = {function() return x:scatter_add(tk.ids {1, 1, 0}, 3) end,
                 ops.scatter_add({X, {1, 1, 0, shape = {3}}}, {shape = {3, 4}})},
  normalize = {function() return x:normalize() end, unary('normalize', 1e-12)},
  softmax = {function() return x:softmax() end, unary 'softmax'},
  log_softmax = {function() return x:log_softmax() end, unary 'log_softmax'},
  relation_score = {function() return tk.relation_score(x, y, tk.ids {{0, 2}, {1, 1}, {2, 0}}) end,
              ops.relation_score {X, Y, {0, 2, 1, 1, 2, 0, shape = {3, 2}}}},
  neighbor_sum = {function() return tk.neighbor_sum(y, cube:reshape(-1, 2)) end,
         ops.neighbor_sum {Y, ops.reshape({CUBE}, {shape = {12, 2}})}},
  ['neighbor_sum of gathered rows'] = {
    function() return tk.neighbor_sum(y, x:gather(tk.ids {0, 1, 2, 0, 2, 2, 1, 0, 0, 1, 1, 2})) end,
    ops.neighbor_sum {Y, X, {0, 1, 2, 0, 2, 2, 1, 0, 0, 1, 1, 2, shape = {3, 4}}}},
}

describe('method', function()
  local names = {}
  for name in pairs(METHODS) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function() equal(METHODS[name][2], METHODS[name][1](), name) end)
  end

  it('max gives values and positions, and its gradient goes to the first of equals', function()
    local m = tk.parameter(tk.tensor {{1, 5, 5}, {-3, -1, -2}})
    local values, at = m:max(2)
    assert.same({5, -1}, values:totable())
    assert.same({1, 1}, at:totable())
    assert.same({1, 5, 5}, (m:max(1)):totable())
    local most, where = m:max()
    assert.equal(5, most:item())
    assert.equal(1, where:item())
    local loss = (m:max(2)):sum()
    loss:backward()
    assert.same({{0, 1, 0}, {0, 1, 0}}, m.grad:totable())
  end)

  it('min does so for the first of the smallest', function()
    local m = tk.parameter(tk.tensor {{1, -5, -5}, {3, 1, 2}})
    local values, at = m:min(2)
    assert.same({{-5, 1}, {1, 1}}, {values:totable(), at:totable()})
    assert.same({1, -5, -5}, (m:min(1)):totable())
    local least, where = m:min()
    assert.same({-5, 1}, {least:item(), where:item()})
    local loss = (m:min(-1)):sum()
    loss:backward()
    assert.same({{0, 1, 0}, {0, 1, 0}}, m.grad:totable())
  end)

  it('where hides what is not chosen, but not from the ops that computed it', function()
    local w = tk.parameter(tk.tensor {0, 2})
    local positive = w:gt(0)
    tk.where(positive, w:log(), 3 * w):sum():backward()
    assert.is_true(w.grad:totable()[1] ~= w.grad:totable()[1])
    tk.where(positive, tk.where(positive, w, 1):log(), 3 * w):sum():backward()
    assert.same({3, 0.5}, w.grad:totable())
    assert.same({0, 0.5}, tk.where(w:gt(0), 1 / w, 0):totable())
  end)

  it('scatter_add has a gradient: the rows it added to', function()
    local w = tk.parameter(tk.ones(3, 2))
    local loss = (w:scatter_add(tk.ids {1, 1, 0}, 2) * tk.tensor {{1, 2}, {3, 4}}):sum()
    loss:backward()
    assert.same({{3, 4}, {3, 4}, {1, 2}}, w.grad:totable())
  end)
end)

-- ---- where ops go wrong ----

local SPECIAL = {0, -0, 1, -1, inf, -inf, nan, 1e-30, -1e-30, 30, -30, 88, -88, 100, -100, 1e4,
                 -1e4, 3e38, -3e38, 0.5, 2, -2}
local EXPECTED = {
  sigmoid = reference.scalars.sigmoid, softplus = reference.scalars.softplus,
  tanh = function(v)
    return math.abs(v) > 20 and (v > 0 and 1 or -1) or reference.scalars.tanh(v)
  end,
  exp = function(v) return v > 88.73 and inf or math.exp(v) end,
  log = function(v) return v < 0 and nan or math.log(v) end,
  sqrt = function(v) return v < 0 and nan or math.sqrt(v) end,
  square = function(v) return math.abs(v) > 1e30 and inf or v * v end,
  relu = function(v) return v ~= v and v or math.max(v, 0) end,
  abs = math.abs,
  clamp = function(v) return v ~= v and v or math.max(-2, math.min(v, 0.5)) end,
}

describe('special values', function()
  it('go through elementwise ops as the mathematics says', function()
    local special = tk.tensor(SPECIAL)
    tensors.on_every_isa(function(isa)
      for name, f in pairs(EXPECTED) do
        local want = {shape = {#SPECIAL}}
        for i, v in ipairs(SPECIAL) do want[i] = v ~= v and nan or f(v) end
        local got = name == 'clamp' and special:clamp(-2, 0.5) or special[name](special)
        equal(want, got, name .. ' (' .. isa .. ')')
      end
    end)
  end)

  it('give no NaN in softmax when logits are large', function()
    tensors.on_every_isa(function(isa)
      for _, cols in ipairs {2, 3, 31, 33} do
        local logits = reference.array({4, cols}, function(i)
          return ({1e4, -1e4, 3e38, 88})[math.floor((i - 1) / cols) + 1] - (i % cols)
        end)
        equal(ops.softmax({logits}, {}), T(logits):softmax(), 'softmax ' .. isa)
        equal(ops.log_softmax({logits}, {}), T(logits):log_softmax(), 'log_softmax ' .. isa)
      end
      local masked = tk.tensor {{0, -inf, 0}, {-inf, 5, -inf}}
      equal({0.5, 0, 0.5, 0, 1, 0, shape = {2, 3}}, masked:softmax(), 'masked ' .. isa)
    end)
  end)

  it('of a row of zeros: normalize leaves it, with a finite gradient', function()
    local w = tk.parameter(tk.tensor {{0, 0, 0}, {3, 4, 0}})
    local out = w:normalize()
    equal({0, 0, 0, 0.6, 0.8, 0, shape = {2, 3}}, out, 'normalize')
    local loss = (w:normalize(0.5) * tk.tensor {{1, 2, 3}, {0, 0, 1}}):sum()
    loss:backward()
    equal({2, 4, 6, 0, 0, 0.2, shape = {2, 3}}, w.grad, 'gradient')
  end)

  it('stay where they are: a NaN row does not reach its neighbours', function()
    local values = reference.array({9, 33}, function(i) return i / 300 end)
    local spoilt = {shape = values.shape, unpack(values)}
    for c = 1, 33 do spoilt[4 * 33 + c] = nan end
    for _, name in ipairs {'softmax', 'log_softmax', 'normalize', 'tanh'} do
      local clean, out = ops[name]({values}, {f = {1e-12}}), T(spoilt)[name](T(spoilt)):totable()
      for r = 1, 9 do
        for c = 1, 33 do
          local want = r == 5 and nan or clean[(r - 1) * 33 + c]
          assert(same_number(out[r][c], want), name .. ' row ' .. r)
        end
      end
    end
  end)

  it('at the kink of relu and clamp have the gradient that is documented', function()
    local w = tk.parameter(tk.tensor {0, -1, 1})
    local loss = (w:relu() + w:abs() * 10 + w:clamp(-1, 1) * 100):sum()
    loss:backward()
    assert.same({90, 90, 111}, w.grad:totable())
  end)

  it('has no zero below zero among sizes', function()
    local values = tk.tensor{0, -0.0, -3}:abs():values()
    assert.is_true(1 / values[0] == inf and 1 / values[1] == inf)
  end)
end)
