-- Gradients from kept copies (METHOD section 1): the forward result is the same at every width,
-- gradients are right on average, and their variance is what the codec's formulas say.
local ffi = require 'ffi'
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'

local random = reference.random(23)
local ROUNDINGS = {'dither', 'dither-independent', 'stochastic', 'nearest'}
-- Under valgrind there is time for few runs, too few for a normal distribution of their mean.
local FEW = os.getenv 'TINYKG_CHECK' == 'valgrind'
local RUNS, LIMIT = FEW and 100 or 1000, FEW and 12 or 5.5

local tensors = require 'tests.support.tensors'
local drawn = tensors.drawn_from(random)
local noise, parameter, ids = drawn.noise, drawn.parameter, drawn.ids
local flat, bytes, same = tensors.flat, tensors.bytes, tensors.same

-- ---- KGCN with two layers, as in Wang et al. 2019: 4 neighbours, 12 pairs ----

local N, K, D, B = 20, 4, 8, 12
local E, R, U = parameter(N, D), parameter(5, D), parameter(6, D)
local W1, b1, W2, b2 = parameter(D, D), parameter(1, D), parameter(D, D), parameter(1, D)
local PARAMETERS = {E, R, U, W1, b1, W2, b2}

local users, items, near, far = ids(B, 6), ids(B, N), ids(B * K, N), ids(B * K * K, N)
local near_by = ids(B * K, 5):reshape(B, K):keep()
local far_by = ids(B * K * K, 5):reshape(B * K, K):keep()
local repeated = {}
for _, u in ipairs(users:totable()) do
  for _ = 1, K do repeated[#repeated + 1] = u end
end
local users_of_near = tk.ids(repeated)
local labels = {}
for i = 1, B do labels[i] = i % 2 end
labels = tk.tensor(labels)

local function layer(own, weights, others, W, b)
  return (own + tk.neighbor_sum(weights, others)):matmul(W) + b
end

local function kgcn()
  local u = U:gather(users)
  local near_weights = tk.relation_score(u, R, near_by):softmax()
  local far_weights = tk.relation_score(U:gather(users_of_near), R, far_by):softmax()
  local own, others = E:gather(items), E:gather(near)
  local h = layer(own, near_weights, others, W1, b1):relu()
  local h_near = layer(others, far_weights, E:gather(far), W1, b1):relu()
  local out = layer(h, near_weights, h_near, W2, b2):tanh()
  local logits = tk.dot(u, out)
  return tk.loss.bce(logits, labels), logits, out
end

--- A step without an optimizer: gradients are left in .grad, each call draws new noise.
local function quantized(bits, rounding)
  return tk.step(function() return (kgcn()) end, {bits = bits, rounding = rounding, small = 0})
end

--- Returns the gradients of all parameters as one list.
local function all_gradients()
  local list = {}
  for k, p in ipairs(PARAMETERS) do list[k] = flat(p.grad) end
  return flat(list)
end

local function exact_gradients()
  kgcn():backward()
  return all_gradients()
end

describe('the forward result', function()
  it('is the same, bit by bit, at every width and rounding', function()
    local plain_loss, plain_logits, plain_out = kgcn()
    local want = bytes(plain_loss) .. bytes(plain_logits) .. bytes(plain_out)
    for _, bits in ipairs {32, 8, 4, 2, 1} do
      for _, rounding in ipairs(ROUNDINGS) do
        for _, save in ipairs {true, false} do
          local step = tk.step(kgcn, {bits = bits, rounding = rounding, small = 0, save = save})
          local loss, logits, out = step()
          local got = ffi.string(ffi.new('float[1]', loss), 4) .. bytes(logits) .. bytes(out)
          same(want, got)
        end
      end
    end
  end)

  it('is the same when nothing but the loss is asked for', function()
    local want = kgcn():item()
    for _, bits in ipairs {32, 8, 4, 2, 1} do assert.equal(want, quantized(bits)()) end
  end)

  it('hides no plan that keeps everything exactly', function()
    local step = quantized(2)
    step()
    local packed = 0
    for _, row in ipairs(step:kept()) do packed = packed + (row.rule == 'quantize' and 1 or 0) end
    assert.is_true(packed >= 3, step:report())
  end)
end)

-- Each of the 392 elements is compared at 8 settings: 3,136 comparisons in standard errors, not
-- independent of each other: those of one column share their noise. Beyond 4 lie 6.3e-5 of a normal
-- distribution, one element in five runs of this file; because they come together, two in a setting
-- are allowed, and none beyond 5.5 (4e-8 each). That the standard errors are not simply too wide is
-- seen from the mean square, which is 1 for unbiased gradients (.6 to 2.1 in 64 runs with 8 seeds).
describe('the mean of 1,000 gradients', function()
  local function z_scores(bits, rounding)
    local exact, scale = exact_gradients(), 0
    for _, g in ipairs(exact) do scale = math.max(scale, math.abs(g)) end
    local step = quantized(bits, rounding)
    local off, error_of_mean = tensors.deviations(exact, function()
      step()
      return all_gradients()
    end, RUNS)
    local list, worst = {}, 0
    for i, x in ipairs(off) do
      if error_of_mean[i] > 1e-6 * scale / math.sqrt(RUNS - 1) then
        list[#list + 1] = math.abs(x) / error_of_mean[i]
      else -- no noise reaches it: single-precision rounding only
        worst = math.max(worst, math.abs(x) / scale)
      end
    end
    return list, worst
  end

  for _, rounding in ipairs {'dither', 'stochastic'} do
    for _, bits in ipairs {8, 4, 2, 1} do
      it(('is the exact gradient: %d bits, %s'):format(bits, rounding), function()
        local list, without_noise = z_scores(bits, rounding)
        local beyond, most, square = 0, 0, 0
        for _, z in ipairs(list) do
          beyond, most, square = beyond + (z > 4 and 1 or 0), math.max(most, z), square + z * z
        end
        assert.is_true(#list > 150, 'noise reaches only ' .. #list .. ' elements')
        assert.is_true(beyond <= 2 and most < LIMIT, beyond .. ' beyond 4, largest ' .. most)
        assert.is_true(square / #list > 0.25 and square / #list < 2.5, square / #list)
        assert.is_true(without_noise < 1e-6)
      end)
    end
  end

  it('is not reached by nearest rounding at 1 bit: such a bias would be seen', function()
    local exact, off, scale = exact_gradients(), 0, 0
    quantized(1, 'nearest')()
    for i, g in ipairs(all_gradients()) do
      off, scale = math.max(off, math.abs(g - exact[i])), math.max(scale, math.abs(exact[i]))
    end
    assert.is_true(off > 0.05 * scale)
  end)

  it('is close with nearest rounding at 8 bits, which draws nothing', function()
    local exact, off, size = exact_gradients(), 0, 0
    local step = quantized(8, 'nearest')
    step()
    local first = bytes(W2.grad)
    for i, g in ipairs(all_gradients()) do
      off, size = off + (g - exact[i]) ^ 2, size + exact[i] ^ 2
    end
    assert.is_true(off > 0 and math.sqrt(off / size) < 0.01, math.sqrt(off / size))
    step()
    same(first, bytes(W2.grad))
  end)
end)

-- ---- variance: y = h W, dW = h^T g ----

local cell = ffi.new 'union { float f; uint32_t u; }'

--- The largest bf16 number not above x >= or < 0, and the smallest not below x > 0.
local function bf16_down(x)
  cell.f = x
  local cut = cell.u % 65536
  cell.u = cell.u - cut
  if x < 0 and cut > 0 then cell.u = cell.u + 65536 end
  return cell.f
end

local function bf16_up(x)
  cell.f = x
  local cut = cell.u % 65536
  cell.u = cell.u - cut + (cut > 0 and 65536 or 0)
  return cell.f
end

describe('the variance of dW = h^T g', function()
  local ROWS, IN, OUT = 24, 12, 5
  local X, A, W = noise(ROWS, 7), parameter(7, IN), parameter(IN, OUT)
  local G = noise(ROWS, OUT)
  local h, g = X:matmul(A):totable(), G:totable()

  local function step_of(bits, rounding)
    return tk.step(function() return (X:matmul(A):matmul(W) * G):sum() end,
                   {bits = bits, rounding = rounding, small = 0})
  end

  --- By the formulas: sum over rows of g^2 times the variance of the kept element.
  local function predicted(bits, rounding)
    local top, list = 2 ^ bits - 1, {}
    for i = 1, IN do
      for j = 1, OUT do
        local sum = 0
        for r = 1, ROWS do
          local zero = bf16_down(math.min(unpack(h[r])))
          local step = bf16_up((math.max(unpack(h[r])) - zero) / top)
          local v = (h[r][i] - zero) / step
          local p = v - math.floor(v)
          local one = rounding == 'dither' and 1 / 12 or p * (1 - p)
          sum = sum + g[r][j] ^ 2 * step ^ 2 * one
        end
        list[#list + 1] = sum
      end
    end
    return list
  end

  --- Returns the mean square distance of `RUNS` gradients from the exact one, by element.
  local function measured(bits, rounding)
    step_of(32)()
    local exact, list, step = flat(W.grad), {}, step_of(bits, rounding)
    for i = 1, #exact do list[i] = 0 end
    for _ = 1, RUNS do
      step()
      for i, value in ipairs(flat(W.grad)) do
        list[i] = list[i] + (value - exact[i]) ^ 2 / RUNS
      end
    end
    return list
  end

  local function total(list)
    local sum = 0
    for i = 1, #list do sum = sum + list[i] end
    return sum
  end

  -- A variance from 1,000 runs has a relative error of sqrt(2 / 1000) = 4.5 %: five of them for an
  -- element, and a quarter of one for the 60 elements together.
  for _, rounding in ipairs {'dither', 'stochastic'} do
    for _, bits in ipairs {8, 4, 2, 1} do
      it(('is the formula\'s: %d bits, %s'):format(bits, rounding), function()
        local want, got = predicted(bits, rounding), measured(bits, rounding)
        for i = 1, #want do
          assert.near(1, got[i] / want[i], 5 * math.sqrt(2 / RUNS), 'element ' .. i)
        end
        assert.near(1, total(got) / total(want), 1.25 * math.sqrt(2 / RUNS))
      end)
    end
  end

  it('falls with the square of the step: 25 times from 2 bits to 4', function()
    local ratio = total(measured(2, 'dither')) / total(measured(4, 'dither'))
    assert.near(25, ratio, 25 * 0.06 * math.sqrt(1000 / RUNS))
  end)

  it('is larger with stochastic rounding at 1 bit', function()
    assert.is_true(total(measured(1, 'stochastic')) > 1.2 * total(measured(1, 'dither')))
  end)

  it('is nothing for what does not read the kept value', function()
    local exact
    for _, bits in ipairs {32, 8, 1} do
      step_of(bits)()
      exact = exact or bytes(A.grad)
      same(exact, bytes(A.grad)) -- dA = X^T g W^T
    end
  end)
end)

describe('noise', function()
  it('is a function of seed and step number', function()
    local function run(seed, steps)
      tk.seed(seed)
      local step = quantized(2)
      for _ = 1, steps do step() end
      return bytes(W2.grad)
    end
    local first = run(5, 1)
    same(first, run(5, 1))
    assert.not_equal(first, run(5, 2))
    assert.not_equal(first, run(6, 1))
  end)

  it('is drawn anew by each step object', function()
    local a, b = quantized(2), quantized(2)
    a()
    local first = bytes(W2.grad)
    b()
    assert.not_equal(first, bytes(W2.grad))
  end)
end)

describe('gradients of one value recorded in two places', function()
  it('are summed, whatever other tapes met it in between', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local once = w * 2
    tk.no_grad(function() return w:sum() end)
    tk.step(function() return w:sum() end)()
    local loss = (once + w * 3):sum()
    loss:backward()
    assert.same({5, 5}, w.grad:totable())
  end)

  it('do not stop unnoticed at a value that was looked at', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local y = w * 2
    assert.same({2, 4}, y:totable())
    local ok, message = pcall(function() (y + w):sum():backward() end)
    assert.is_false(ok)
    assert.matches('gradient_spec.lua:%d+: backward: a value that this one is made of was looked',
                   message)
    local loss = (y:clone() + w):sum() -- a constant on purpose
    loss:backward()
    assert.same({1, 1}, w.grad:totable())
    local v = tk.parameter(y) -- and so is a parameter of its own
    local other = (v * v):sum()
    other:backward()
    assert.same({4, 8}, v.grad:totable())
  end)
end)
