-- Adam with its moments in 8 bits (kernels/shared/moments.h) against the same rules written down
-- here in double precision, and what they promise: right on average, no step through a root of
-- zero, the same bits again.
local ffi = require 'ffi'
local bit = require 'bit'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local tensor = require 'tinykg.engine.tensor'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'
local fixtures = require 'tests.support.fixtures'

pcall(ffi.cdef, [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
]])

local flat, bytes, drawn = tensors.flat, tensors.bytes, tensors.numbers
local BETA1, BETA2, EPS, STREAM = 0.9, 0.999, 1e-8, 2 ^ 23

local function count(shape) return reference.count(shape) end

local function to_tensor(list, shape) return tensor.create(tensor.F32, shape):write(list) end

-- ---- the format, in doubles ----

--- F(q): 16 even steps from each power of two to the next, F(0) = 1.
local function F(q)
  local octave = math.floor(q / 16)
  return 2 ^ octave * (1 + (q - 16 * octave) / 16)
end

--- The q, with a fraction, that x = F(q) has on straight lines between neighbours.
local function place(x)
  local fraction, exponent = math.frexp(x) -- x = fraction 2^exponent, 1/2 <= fraction < 1
  return 16 * (exponent - 1) + 16 * (2 * fraction - 1)
end

local function length_of(shape)
  local cols = shape[#shape]
  return cols >= 32 and cols <= 256 and cols or 64
end

--- Noise of element c of block b at update t, both from 0, in (0, 1).
local words = ffi.new('uint32_t[4]')
local function noise(seed, t, length, b, c)
  C.tkg_philox(seed, b * math.ceil(length / 16) + math.floor(c / 16), t, STREAM, words)
  local k = c % 8
  local word = tonumber(words[math.floor(k / 2)])
  local n = k % 2 == 0 and word % 65536 or math.floor(word / 65536)
  if c % 16 >= 8 then n = 65535 - n end
  return (math.floor(n / 2) + 0.5) / 32768
end

--- Codes of an element's moments, {m's size, its sign, v's}.
local function encode(m, v, most_m, most_v, u)
  local size = math.floor(place(math.abs(m) / most_m * (F(127) - 1) + 1) + u)
  local second = math.floor(place(math.max(v / most_v * F(127), F(-128))) + u)
  return size, m < 0 and 1 or 0, second
end

--- One update of all of it: `s` has p, and m and v as their codes say; s.codes are the new ones.
local function update(s, g, o)
  local n, length = count(s.shape), length_of(s.shape)
  s.t = s.t + 1
  for first = 0, n - 1, length do
    local last, most_m, most_v = math.min(first + length, n) - 1, 0, 0
    for i = first + 1, last + 1 do
      local gradient = g(i) + o.weight_decay * s.p[i]
      s.m[i] = BETA1 * s.m[i] + (1 - BETA1) * gradient
      s.v[i] = BETA2 * s.v[i] + (1 - BETA2) * gradient ^ 2
      s.p[i] = s.p[i] - o.lr * (s.m[i] / (1 - BETA1 ^ s.t)) /
        (math.sqrt(s.v[i] / (1 - BETA2 ^ s.t)) + EPS)
      most_m, most_v = math.max(most_m, math.abs(s.m[i])), math.max(most_v, s.v[i])
    end
    for i = first + 1, last + 1 do
      local c, b = i - 1 - first, first / length
      local size, sign, second = encode(s.m[i], s.v[i], most_m, most_v,
                                        noise(o.seed, s.t, length, b, c))
      s.codes[i] = {size, sign, second}
      s.m[i] = (1 - 2 * sign) * (F(size) - 1) * most_m / (F(127) - 1)
      s.v[i] = F(second) * most_v / F(127)
    end
  end
end

--- What the engine's state says: codes as above, m and v.
local function state_of(opt, w)
  local codes, scales = unpack(opt:state(w))
  local list, factors, length = flat(codes), flat(scales), length_of(w:size())
  local out = {codes = {}, m = {}, v = {}}
  for i = 1, count(w:size()) do
    local word = bit.rshift(list[math.floor((i + 1) / 2)], (i - 1) % 2 * 16)
    local size, sign = bit.band(word, 127), bit.band(bit.rshift(word, 7), 1)
    local second = bit.arshift(bit.lshift(word, 16), 24)
    local b = math.floor((i - 1) / length)
    out.codes[i] = {size, sign, second}
    out.m[i] = (1 - 2 * sign) * (F(size) - 1) * factors[2 * b + 1]
    out.v[i] = F(second) * factors[2 * b + 2]
  end
  return out
end

local function near(want, got, tolerance, what) tensors.near(want, got, tolerance, what, true) end

--- A step whose gradient is c p + d, element by element.
local function quadratic(w, c, d, opt)
  return tk.step(function() return (w * w * c * 0.5 + w * d):sum() end, {optimizer = opt})
end

describe('adam8', function()
  before_each(function() tk.seed(5) end)

  it('adam_blocks follows its rules, code by code, on blocks of every kind', function()
    for _, shape in ipairs {{70, 64}, {129, 32}, {41, 103}, {17, 256}, {16, 300}, {300, 15},
                            {4099}, {3, 30, 48}} do
      for _, decay in ipairs {0, 0.1} do
        local n = count(shape)
        local p, c, d = drawn(n, 1), drawn(n, 2), drawn(n, 3)
        for i = 1, n, 3 do d[i], c[i] = reference.f32(d[i] * 1e-4), reference.f32(c[i] * 1e-4) end
        local w = tk.parameter(to_tensor(p, shape))
        local opt = tk.optim.adam{lr = 0.01, weight_decay = decay, bits = 8}
        local step = quadratic(w, to_tensor(c, shape), to_tensor(d, shape), opt)
        local s = {shape = shape, p = p, m = {}, v = {}, codes = {}, t = 0}
        for i = 1, n do s.m[i], s.v[i] = 0, 0 end
        for _ = 1, 4 do
          step()
          update(s, function(i) return c[i] * p[i] + d[i] end,
                 {lr = 0.01, weight_decay = decay, seed = 5})
          local got, off = state_of(opt, w), 0
          near(s.p, flat(w), 2e-6, 'parameter')
          for i = 1, n do
            for k = 1, 3 do off = math.max(off, math.abs(s.codes[i][k] - got.codes[i][k])) end
          end
          assert.equal(0, off)
          near(s.m, got.m, 1e-6, 'm')
          near(s.v, got.v, 1e-6, 'v')
        end
      end
    end
  end)

  it('keeps m and v right on average', function()
    for _, ratio in ipairs {0.9, 0.31, 0.05, 0.0077} do
      local rows, sum_m, sum_v, squares_m, squares_v = 400, 0, 0, 0, 0
      local g = {}
      for i = 1, rows * 64 do g[i] = i % 64 == 1 and 1 or reference.f32(-ratio) end
      local w = tk.parameter(tk.zeros(rows, 64))
      local opt = tk.optim.adam{bits = 8}
      quadratic(w, tk.zeros(rows, 64), to_tensor(g, {rows, 64}), opt)()
      local got, n = state_of(opt, w), rows * 63
      for i = 1, rows * 64 do
        if i % 64 ~= 1 then
          local m, v = got.m[i] / (-0.1 * ratio), got.v[i] / (0.001 * ratio ^ 2)
          sum_m, sum_v = sum_m + m, sum_v + v
          squares_m, squares_v = squares_m + (m - 1) ^ 2, squares_v + (v - 1) ^ 2
        end
      end
      assert.is_true(squares_m / n < 0.03125 ^ 2 * 1.01 and squares_v / n < 0.03125 ^ 2 * 1.01)
      assert.near(1, sum_m / n, 4 * math.sqrt(squares_m) / n + 1e-6)
      assert.near(1, sum_v / n, 4 * math.sqrt(squares_v) / n + 1e-6)
    end
  end)

  it('never divides by a root that was rounded to zero', function()
    local g = {}
    for i = 1, 80 * 64 do g[i] = i % 64 == 1 and 1000 or 10 ^ -(i % 12) end
    local w, gradient = tk.parameter(tk.zeros(80, 64)), to_tensor(g, {80, 64})
    local opt = tk.optim.adam{bits = 8, lr = 1, eps = 1e-30}
    local step = tk.step(function(on) return (w * gradient * on):sum() end, {optimizer = opt})
    for round = 1, 30 do
      step(tk.full(round % 3 == 1 and 1 or 0, 1))
      for i, v in ipairs(state_of(opt, w).v) do assert.is_true(v > 0, i) end
      for _, p in ipairs(flat(w)) do assert.is_true(math.abs(p) < 2 * round) end
    end
  end)

  it('leaves the codes of a row without a gradient alone while its scale decays', function()
    local w = tk.parameter(to_tensor(drawn(100 * 64, 1), {100, 64}))
    local opt, ids = tk.optim.adam{bits = 8}, tk.ids{7}
    local step = tk.step(function(rows) return w:gather(rows):square():sum() end,
                         {optimizer = opt})
    step(ids)
    local first, other = state_of(opt, w), tk.ids{8, 90}
    for _ = 1, 40 do step(other) end
    local later = state_of(opt, w)
    for i = 7 * 64 + 1, 8 * 64 do
      assert.same(first.codes[i], later.codes[i])
      assert.near(1, later.m[i] / (first.m[i] * 0.9 ^ 40), 1e-5)
      assert.near(1, later.v[i] / (first.v[i] * 0.999 ^ 40), 1e-5)
    end
    assert.are_not.same(first.codes[8 * 64 + 1], later.codes[8 * 64 + 1])
    assert.equal(0, later.m[1])
  end)

  it('trains as well as with 32 bits', function()
    local function train(bits)
      tk.seed(3)
      local x, truth = tk.randn(400, 64), tk.randn(64, 80)
      local w = tk.parameter(tk.zeros(64, 80))
      local step = tk.step(function() return (x:matmul(w) - x:matmul(truth)):square():mean() end,
                           {optimizer = tk.optim.adam{lr = 0.02, bits = bits}})
      local first, last = step(), nil
      for _ = 1, 300 do last = step() end
      return first, last
    end
    local first, exact = train(32)
    local _, last = train(8)
    assert.is_true(exact < 1e-3 * first)
    assert.is_true(last < 1e-3 * first, last)
  end)

  it('gives the same bits with any number of threads and any instruction set', function()
    tensors.same_everywhere(function()
      local shape = {1500, 100}
      local w = tk.parameter(to_tensor(drawn(150000, 1), shape))
      local opt = tk.optim.adam{bits = 8, weight_decay = 0.1}
      local step = quadratic(w, to_tensor(drawn(150000, 2), shape), tk.ones(unpack(shape)), opt)
      for _ = 1, 3 do step() end
      return bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2])
    end)
  end)

  it('goes on bit by bit from saved state', function()
    local shape, path = {80, 64}, fixtures.dir() .. '/state.safetensors'
    local c, d = to_tensor(drawn(5120, 2), shape), to_tensor(drawn(5120, 3), shape)
    local w, opt = tk.parameter(to_tensor(drawn(5120, 1), shape)), tk.optim.adam{bits = 8}
    local step = quadratic(w, c, d, opt)
    for _ = 1, 5 do step() end
    local codes, scales = unpack(opt:state(w))
    tk.save(path, {w = w, codes = codes, scales = scales})
    local saved, again = tk.load(path), tk.optim.adam{bits = 8}
    local w2 = tk.parameter(saved.w:clone())
    again.t = opt.t
    for k, value in ipairs {saved.codes, saved.scales} do
      again:state(w2)[k]:write(flat(value))
    end
    local step2 = quadratic(w2, c, d, again)
    for _ = 1, 5 do
      step()
      step2()
    end
    assert.is_true(bytes(w) == bytes(w2) and bytes(scales) == bytes(again:state(w2)[2])
                   and bytes(codes) == bytes(again:state(w2)[1]))
    fixtures.clean()
  end)

  it('gives the same bits when a device plays its steps back', function()
    local function run(replay)
      tk.replay(replay)
      local shape = {80, 64}
      local w = tk.parameter(to_tensor(drawn(5120, 1), shape))
      local opt = tk.optim.adam{bits = 8, lr = 0.1}
      local step = quadratic(w, to_tensor(drawn(5120, 2), shape), tk.ones(80, 64), opt)
      for _ = 1, 6 do step() end
      return bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2]), step
    end
    local plain = run(false)
    local replayed, step = run(true)
    tk.replay(true)
    assert.is_true(plain == replayed)
    assert.equal(tk.device() == 'cpu' and 0 or 5, step:figure 'replayed')
  end)

  it('takes a quarter of the memory; small parameters stay in 32 bits', function()
    local function made(shape, bits)
      collectgarbage()
      collectgarbage()
      local before, w = tk.memory().live.optimizer, tk.parameter(tk.zeros(unpack(shape)))
      local opt = tk.optim.adam{bits = bits}
      opt:state(w)
      return tk.memory().live.optimizer - before, opt, w
    end
    assert.equal(1000 * (64 * 2 + 8), (made({1000, 64}, 8)))
    assert.equal(1000 * 64 * 8, (made({1000, 64}, 32)))
    assert.equal(5001 * 2 + 2 + 79 * 8, (made({5001}, 8)))
    local taken, opt, w = made({63, 65}, 8) -- 4,095
    assert.equal(4095 * 8, taken)
    assert.same({63, 65}, opt:state(w)[1]:size())
    assert.equal(2, #opt:state(w))
    assert.equal(8, opt.bits)
  end)

  it('refuses other widths, other optimizers and a change once there is state', function()
    assert.error_matches(function() tk.optim.adam{bits = 16} end,
                         'options.bits is 16, expected 32 or 8')
    assert.error_matches(function() tk.optim.sgd{bits = 8} end, 'unknown option bits')
    assert.error_matches(function() tk.optim.adam{bits = 8}.bits = 32 end, 'no field bits')
    local opt, w = tk.optim.adam{bits = 8}, tk.parameter(tk.zeros(100, 64))
    opt:state(w)
    assert.equal(0, C.tkg_optimizer_set(opt.c, 'bits', 8))
    assert.are_not.equal(0, C.tkg_optimizer_set(opt.c, 'bits', 32))
    assert.equal('bits: it has state with bits = 8 already', ffi.string(C.tkg_error()))
  end)
end)
