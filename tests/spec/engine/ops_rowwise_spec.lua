-- Adam with one second moment per row of a table (kernels/shared/moments.h) against its rule in
-- double precision: v <- beta2 v + (1 - beta2) mean of the row's g^2, m as ever.
local bit = require 'bit'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'
local fixtures = require 'tests.support.fixtures'

local flat, bytes, drawn = tensors.flat, tensors.bytes, tensors.numbers
local BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

local function to_tensor(list, shape) return tk.zeros(unpack(shape)):write(list) end

--- One update of s.p, s.m and s.v, which is by row; g is the gradient as a function of the element.
local function update(s, g, o)
  local cols = s.cols
  s.t = s.t + 1
  for row = 1, #s.v do
    local square, gradient = 0, {}
    for i = (row - 1) * cols + 1, row * cols do
      gradient[i] = g(i) + o.weight_decay * s.p[i]
      square = square + gradient[i] ^ 2 / cols
    end
    s.v[row] = BETA2 * s.v[row] + (1 - BETA2) * square
    local root = math.sqrt(s.v[row] / (1 - BETA2 ^ s.t)) + EPS
    for i = (row - 1) * cols + 1, row * cols do
      s.m[i] = BETA1 * s.m[i] + (1 - BETA1) * gradient[i]
      s.p[i] = s.p[i] - o.lr * (s.m[i] / (1 - BETA1 ^ s.t)) / root
    end
  end
end

--- A step whose gradient is c p + d, element by element.
local function quadratic(w, c, d, opt)
  return tk.step(function() return (w * w * c * 0.5 + w * d):sum() end, {optimizer = opt})
end

--- m and v of a state with moments in 8 bits: the size of a code's number is (F(q) - 1) scale.
local function decoded(opt, w, cols)
  local codes, pairs_of, m, v = flat(opt:state(w)[1]), flat(opt:state(w)[2]), {}, {}
  for i = 1, w:count() do
    local byte = bit.band(bit.rshift(codes[math.ceil(i / 4)], (i - 1) % 4 * 8), 255)
    local q, row = bit.band(byte, 127), math.ceil(i / cols)
    local size = 2 ^ math.floor(q / 16) * (1 + q % 16 / 16) - 1
    m[i] = (byte > 127 and -1 or 1) * size * pairs_of[2 * row - 1]
    v[row] = pairs_of[2 * row]
  end
  return m, v
end

local function near(want, got, tolerance, what) tensors.near(want, got, tolerance, what, true) end

local function begin(shape, o)
  local n, cols = reference.count(shape), shape[2]
  local p, c, d = drawn(n, 1), drawn(n, 2), drawn(n, 3)
  local s = {p = p, m = {}, v = {}, t = 0, cols = cols}
  for i = 1, n do s.m[i] = 0 end
  for row = 1, shape[1] do s.v[row] = 0 end
  local w, opt = tk.parameter(to_tensor(p, shape)), tk.optim.adam(o)
  local step = quadratic(w, to_tensor(c, shape), to_tensor(d, shape), opt)
  return w, opt, step, s, function(i) return c[i] * p[i] + d[i] end
end

describe('rowwise', function()
  before_each(function() tk.seed(5) end)

  it('follows its rule, with moments in 32 bits', function()
    for _, shape in ipairs{{70, 64}, {129, 32}, {600, 8}, {257, 256}, {100, 41}} do
      local o = {lr = 0.01, weight_decay = 0.1, rowwise = true}
      local w, opt, step, s, g = begin(shape, o)
      for _ = 1, 5 do
        step()
        update(s, g, o)
      end
      near(s.p, flat(w), 2e-6, 'parameter')
      near(s.m, flat(opt:state(w)[1]), 2e-6, 'm')
      near(s.v, flat(opt:state(w)[2]), 2e-6, 'v')
    end
  end)

  it('follows it with the first moment in 8 bits, which is right on average', function()
    local shape, o = {300, 64}, {lr = 0.01, weight_decay = 0, rowwise = true, bits = 8}
    local w, opt, step, s, g = begin(shape, o)
    step()
    update(s, g, o)
    near(s.p, flat(w), 2e-6, 'parameter') -- codes do not matter yet
    local m, v = decoded(opt, w, 64)
    near(s.v, v, 2e-6, 'v')
    local sum, scale = 0, 0
    for i = 1, #m do
      -- codes are 1/16 of an octave apart, or 1/16 of the scale's unit near zero
      local unit = flat(opt:state(w)[2])[2 * math.ceil(i / 64) - 1]
      assert.is_true(math.abs(m[i] - s.m[i]) <= (math.abs(s.m[i]) + unit) / 16 * 1.001)
      sum, scale = sum + (m[i] - s.m[i]), scale + (math.abs(s.m[i]) + unit) ^ 2
    end
    assert.is_true(math.abs(sum) < 5 * math.sqrt(scale) / 16)
  end)

  it('takes a byte and a little per element, or half, of tables alone', function()
    local function made(shape, o)
      collectgarbage()
      collectgarbage()
      local before, w = tk.memory().live.optimizer, tk.parameter(tk.zeros(unpack(shape)))
      local opt = tk.optim.adam(o)
      opt:state(w)
      return tk.memory().live.optimizer - before, opt, w
    end
    assert.equal(1000 * (64 + 8), (made({1000, 64}, {bits = 8, rowwise = true})))
    assert.equal(1000 * (64 + 1) * 4, (made({1000, 64}, {rowwise = true})))
    for _, shape in ipairs{{64, 64}, {64, 128}, {50, 64}, {5000, 4}, {400, 300}, {70, 8, 8},
                           {5000}} do
      local n = reference.count(shape)
      assert.equal(n * 8, (made(shape, {rowwise = true})), table.concat(shape, ' '))
    end
  end)

  it('gives the same bits with any number of threads and any instruction set', function()
    for _, bits in ipairs{32, 8} do
      tensors.same_everywhere(function()
        local w = tk.parameter(to_tensor(drawn(150000, 1), {1500, 100}))
        local opt = tk.optim.adam{bits = bits, rowwise = true, weight_decay = 0.1}
        local step = quadratic(w, to_tensor(drawn(150000, 2), {1500, 100}), tk.ones(1500, 100), opt)
        for _ = 1, 3 do step() end
        return bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2])
      end)
    end
  end)

  it('goes on bit by bit from saved state', function()
    local shape, path = {80, 64}, fixtures.dir() .. '/state.safetensors'
    for _, bits in ipairs{32, 8} do
      local c, d = to_tensor(drawn(5120, 2), shape), to_tensor(drawn(5120, 3), shape)
      local w = tk.parameter(to_tensor(drawn(5120, 1), shape))
      local opt, again = tk.optim.adam{bits = bits, rowwise = true},
        tk.optim.adam{bits = bits, rowwise = true}
      local step = quadratic(w, c, d, opt)
      for _ = 1, 5 do step() end
      tk.save(path, {w = w, first = opt:state(w)[1], second = opt:state(w)[2]})
      local saved = tk.load(path)
      local w2 = tk.parameter(saved.w:clone())
      again.t = opt.t
      for k, value in ipairs{saved.first, saved.second} do again:state(w2)[k]:write(flat(value)) end
      local step2 = quadratic(w2, c, d, again)
      for _ = 1, 5 do
        step()
        step2()
      end
      assert.is_true(bytes(w) == bytes(w2))
      for k = 1, 2 do assert.is_true(bytes(opt:state(w)[k]) == bytes(again:state(w2)[k])) end
    end
    fixtures.clean()
  end)

  it('is of adam alone, and cannot be changed once there is state', function()
    assert.error_matches(function() tk.optim.sgd{rowwise = true} end, 'unknown option rowwise')
    assert.error_matches(function() tk.optim.adam{rowwise = 2} end, 'rowwise')
    local opt, w = tk.optim.adam{rowwise = true}, tk.parameter(tk.zeros(100, 64))
    opt:state(w)
    assert.are_not.equal(0, C.tkg_optimizer_set(opt.c, 'rowwise', 0))
    assert.equal('rowwise: it has state with rowwise = 1 already',
                 require('ffi').string(C.tkg_error()))
  end)
end)
