-- Sine, cosine, arc sine and powers within a few ulp; comparisons, where, stack, batched products:
-- what users write, and the values that they go wrong at.
local ffi = require 'ffi'
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local reference = require 'tests.support.reference_ops'
local saved = require 'tests.support.saved'
local tensors = require 'tests.support.tensors'

local inf, nan = math.huge, 0 / 0
local flat, bytes = tensors.flat, tensors.bytes

local cell = ffi.new 'union { float f; uint32_t u; }'

--- The distance to the next float above |x|.
local function ulp(x)
  cell.f = math.max(math.abs(x), 2 ^ -126)
  local here = cell.f
  cell.u = cell.u + 1
  return cell.f - here
end

--- Numbers of [low, high], as floats hold them.
local function numbers(n, low, high, seed)
  local random, list = reference.random(seed), {}
  for i = 1, n do list[i] = reference.f32(low + (high - low) * random()) end
  return list
end

--- Fails if f of a tensor is further than `most` ulp from `want` of its numbers.
local function within(most, list, f, want, what)
  local x = tk.tensor(list)
  local function check(isa)
    local got = flat(f(x))
    for i, v in ipairs(list) do
      local right = want(v)
      local off = math.abs(got[i] - right) / ulp(right)
      if off > most or off ~= off then
        error(('%s of %.9g is %.9g, expected %.9g: %.2f ulp (%s)'):format(what, v, got[i], right,
                                                                       off, isa))
      end
    end
  end
  if tk.device() == 'cpu' then tensors.on_every_isa(check) else check(tk.device()) end
end

local FUNCTIONS = {
  {'sin', math.sin, {{-4, 4}, {-1e-3, 1e-3}, {-1000, 1000}, {-6e7, 6e7}}, 2.5},
  {'cos', math.cos, {{-4, 4}, {-1000, 1000}, {-6e7, 6e7}}, 2.5},
  {'asin', math.asin, {{-1, 1}, {-1e-3, 1e-3}, {0.99, 1}}, 2.5},
}

describe('elementary functions', function()
  for _, f in ipairs(FUNCTIONS) do
    local name, want, ranges, most = unpack(f)
    it(name .. ' is right within ' .. most .. ' ulp', function()
      for k, range in ipairs(ranges) do
        local list = numbers(5000, range[1], range[2], k)
        within(most, list, function(x) return x[name](x) end, want, name)
      end
    end)
  end

  it('pow is right within an ulp, from the smallest to the largest numbers', function()
    for k, p in ipairs{-3, -1, -0.5, 0.25, 1 / 3, 0.75, 1.5, 2.5, 3, 7, 20.5} do
      local span = 80 / math.max(1, math.abs(p))
      local list = {}
      for i, v in ipairs(numbers(3000, -span, span, k)) do list[i] = reference.f32(math.exp(v)) end
      within(1, list, function(x) return x:pow(p) end, function(v) return v ^ p end, 'pow ' .. p)
    end
  end)

  it('have the same bits with each instruction set and any number of threads', function()
    if tk.device() ~= 'cpu' then return pending('of the CPU') end
    local x = tk.tensor(numbers(70001, -3, 3, 9))
    tensors.same_everywhere(function()
      return bytes(x:sin()) .. bytes(x:cos()) .. bytes(x:asin()) .. bytes(x:pow(1.7)) ..
        bytes(x:pow(3)) .. bytes(x:gt(0.5)) .. bytes(tk.where(x:le(0), x, -x))
    end)
  end)

  it('of special values are what the mathematics says', function()
    local function gives(want, t)
      for i, v in ipairs(flat(t)) do
        assert(v == want[i] or v ~= v and want[i] ~= want[i], i .. ': ' .. v)
      end
    end
    local x = tk.tensor{0, inf, -inf, nan, -2, 1e-45}
    gives({0, nan, nan, nan}, tk.tensor{0, inf, -inf, nan}:sin())
    gives({1, nan, nan, nan}, tk.tensor{0, inf, -inf, nan}:cos())
    gives({nan, nan, 0}, tk.tensor{1.0001, -1.0001, 0}:asin())
    gives({0, inf, -inf, nan, -8, 0}, x:pow(3))
    gives({inf, 0, 0, nan, -0.5}, tk.tensor{0, inf, -inf, nan, -2}:pow(-1))
    gives({0, inf, nan, nan, nan}, tk.tensor{0, inf, -inf, nan, -2}:pow(1.5))
    gives({1, 1, 1, 1, 1, 1}, x:pow(0))
  end)

  it('pow is what is there already for 1, 2 and a half, and an operator', function()
    local w = tk.parameter(tk.tensor{2, 3})
    local step = tk.step(function()
      return (w:pow(2) + w ^ 0.5 + w ^ 1 + w:pow(0)):sum(), w ^ 3
    end)
    local _, cube = step()
    assert.same({8, 27}, cube:totable())
    local tape = step:recorded()
    assert.truthy(tape:find 'square' and tape:find 'sqrt')
    assert.equal(1, select(2, tape:gsub(' pow ', '')))
    tensors.near({2 * 2 + 0.5 / math.sqrt(2) + 1, 2 * 3 + 0.5 / math.sqrt(3) + 1}, flat(w.grad),
                 1e-6, 'gradient')
  end)
end)

describe('a tensor times or by a number', function()
  local function near(want, got) assert.near(1, got:item() / want, 1e-6) end

  it('is right though the number or its reciprocal is no float', function()
    near(1e34, tk.tensor{1e-5} / 1e-39)
    near(1e-9, tk.tensor{1e30} / 1e39)
    near(1e34, tk.tensor{1e-5} * 1e39)
    near(1e34, 1e39 * tk.tensor{1e-5})
    near(-1e-9, tk.tensor{1e30} * -1e-39)
    near(-1e34, tk.tensor{1e-5} / -1e-39)
    assert.same({0, math.huge}, (tk.tensor{0, 1} / 1e-300):totable())
    assert.same({0, 0}, (tk.tensor{0, 1} / 1e300):totable())
  end)

  it('has that gradient', function()
    local w = tk.parameter(tk.tensor{1e-5});
    (w / 1e-39 * 1e-5):sum():backward()
    near(1e34, w.grad)
  end)

  it('of zero and infinity is what IEEE 754 says', function()
    assert.same({math.huge, -math.huge}, (tk.tensor{3, -3} / 0):totable())
    assert.same({0, 0}, (tk.tensor{3, -3} / math.huge):totable())
    assert.same({0, 0}, (tk.tensor{3, -3} * 0):totable())
  end)
end)

describe('comparisons', function()
  local x, y = tk.tensor{1, 2, 3, nan}, tk.tensor{2, 2, 2, 2}

  it('give 1 and 0, with tensors, numbers and broadcasting', function()
    local want = {gt = {0, 0, 1, 0}, ge = {0, 1, 1, 0}, lt = {1, 0, 0, 0}, le = {1, 1, 0, 0},
                  eq = {0, 1, 0, 0}, ne = {1, 0, 1, 1}}
    for name, list in pairs(want) do
      assert.same(list, x[name](x, y):totable(), name)
      assert.same(list, x[name](x, 2):totable(), name)
      assert.same({list, list}, x[name](x, tk.full(2, 2, 1)):totable(), name)
    end
  end)

  it('pass no gradient, and leave that of others alone', function()
    local w = tk.parameter(tk.tensor{-1, 2})
    local loss = (w:gt(0) * w):sum()
    loss:backward()
    assert.same({0, 1}, w.grad:totable())
    assert.equal('backward: the loss depends on no parameter (tk.parameter)',
                 fixtures.message(function() w:gt(0):sum():backward() end):match('backward.*'))
  end)

  it('as operators say what to write', function()
    for _, f in ipairs{function() return x < y end, function() return x > y end} do
      assert.matches('write a:lt%(b%) or a:gt%(b%)', fixtures.message(f))
    end
    for _, f in ipairs{function() return x <= y end, function() return x >= y end} do
      assert.matches('write a:le%(b%) or a:ge%(b%)', fixtures.message(f))
    end
    assert.matches('2 ^ x of a tensor x: write %(x %* math.log%(2%)%):exp%(%)',
                   fixtures.message(function() return 2 ^ x end))
    assert.matches('x ^ p: p is a tensor, expected a number',
                   fixtures.message(function() return x ^ y end))
    assert.matches('pow: nan is not within 2^24 of 0',
                   fixtures.message(function() return x:pow(nan) end))
    assert.matches('gt: other is a string, expected a tensor or a number',
                   fixtures.message(function() return x:gt 'a' end))
  end)
end)

describe('where', function()
  it('chooses from tensors and numbers, and no NaN of the other shows', function()
    local c = tk.tensor{1, 0, 1}
    assert.same({1, 5, 3}, tk.where(c, tk.tensor{1, nan, 3}, tk.tensor{inf, 5, nan}):totable())
    assert.same({1, 0, 3}, tk.where(c, tk.tensor{1, nan, 3}, 0):totable())
    assert.same({0, 5, 0}, tk.where(c, 0, tk.tensor{nan, 5, nan}):totable())
    assert.same({7, 2, 7}, tk.where(c, 7, 2):totable())
    assert.same({{9, 2, 9}, {9, 3, 9}}, tk.where(c, 9, tk.tensor{{2}, {3}}):totable())
  end)

  it('gives gradients to both, each of its own shape', function()
    local a, b = tk.parameter(tk.tensor{{1, 2, 3}}), tk.parameter(tk.tensor{{4}, {5}})
    local c = tk.tensor{{1, 0, 1}, {0, 0, 1}}
    local loss = (tk.where(c, a, b) * tk.tensor{{1, 2, 3}, {4, 5, 6}}):sum()
    loss:backward()
    assert.same({{1, 0, 9}}, a.grad:totable())
    assert.same({{2}, {9}}, b.grad:totable())
  end)

  it('keeps a bit per element of what is compared', function()
    local X, W = saved.data(64, 16), saved.parameter(16, 64)
    local step = saved.planned(function()
      local h = X:matmul(W)
      return tk.where((h * h:sigmoid()):gt(0.1), h, 0.5):sum()
    end, {bits = 32, small = 0})
    local kept = saved.only(step, 'greater')
    assert.equal('mask', kept.rule)
    assert.equal(64 * 64 / 8, step:figure 'stored_bytes', step:report())
  end)
end)

describe('stack', function()
  it('makes a new dimension, with gradients', function()
    local a, b = tk.parameter(tk.tensor{1, 2, 3}), tk.tensor{4, 5, 6}
    assert.same({{1, 2, 3}, {4, 5, 6}}, tk.stack{a, b}:totable())
    assert.same({{1, 4}, {2, 5}, {3, 6}}, tk.stack({a, b}, 2):totable())
    assert.same({2, 2, 3}, tk.stack({tk.ones(2, 3), tk.zeros(2, 3)}, 2):size())
    assert.same({3}, tk.stack{a:sum(), b:sum(), b:sum()}:size())
    assert.same({2, 2}, tk.stack{tk.ids{1, 2}, tk.ids{3, 4}}:size())
    local loss = (tk.stack({a, b, a}, 2) * tk.tensor{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}):sum()
    loss:backward()
    assert.same({4, 10, 16}, a.grad:totable())
  end)

  it('says what it cannot take', function()
    local a = tk.ones(3)
    assert.matches('stack: expected a list', fixtures.message(function() tk.stack{} end))
    assert.matches('stack: 2 of the list is 5', fixtures.message(function() tk.stack{a, 5} end))
    assert.matches('stack: 3 is no new dimension of a tensor with 1',
                   fixtures.message(function() tk.stack({a, a}, 3) end))
    assert.matches('concat: f32 %[1, 3%] and f32 %[1, 4%] do not fit',
                   fixtures.message(function() tk.stack{a, tk.ones(4)} end))
  end)
end)

describe('products of many matrices', function()
  it('are those of each pair, whatever is transposed', function()
    local a, b = tk.randn(3, 5, 4):keep(), tk.randn(3, 4, 6):keep()
    local function one(x, i) return x:narrow(1, i, 1):reshape(x:size(2), x:size(3)) end
    for t = 0, 3 do
      local options = {transpose_a = t % 2 == 1, transpose_b = t > 1}
      local left = options.transpose_a and a:reshape(3, 4, 5) or a
      local right = options.transpose_b and b:reshape(3, 6, 4) or b
      local all = left:matmul(right, options)
      assert.same({3, 5, 6}, all:size())
      for i = 1, 3 do
        tensors.near(flat(one(left, i):matmul(one(right, i), options)), flat(one(all, i)), 1e-5,
                     'matrix ' .. i)
      end
    end
    assert.same({2, 3, 5, 4}, tk.ones(2, 3, 5, 1):matmul(tk.ones(2, 3, 1, 4)):size())
    assert.same({2, 5, 4}, tk.ones(2, 5, 3):matmul(tk.ones(3, 4)):size())
  end)

  it('say which shapes do not fit', function()
    local a = tk.ones(3, 5, 4)
    assert.matches('batched_matmul: f32 %[3, 5, 4%] and f32 %[2, 4, 6%] do not fit: as many',
                   fixtures.message(function() a:matmul(tk.ones(2, 4, 6)) end))
    assert.matches('batched_matmul: f32 %[3, 5, 4%] and f32 %[3, 5, 4%] do not fit: columns',
                   fixtures.message(function() a:matmul(a) end))
    assert.matches('batched_matmul: f32 %[3, 5, 4%] and f32 %[1, 3, 4, 6%]',
                   fixtures.message(function() a:matmul(tk.ones(1, 3, 4, 6)) end))
  end)
end)
