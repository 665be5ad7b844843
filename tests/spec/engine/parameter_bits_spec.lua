-- Parameters of 16 bits (kernels/shared/bf16.h): what they hold, that every op reads it, and that
-- updates round them at random, with the noise that is written down there.
local bit = require 'bit'
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'
local fixtures = require 'tests.support.fixtures'

pcall(ffi.cdef, [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
]])

local flat, bytes, drawn = tensors.flat, tensors.bytes, tensors.numbers
local cell = ffi.new('union { float x; uint32_t bits; }')

local function bits_of(x) cell.x = x return cell.bits end
local function float_of(bits) cell.bits = bits return cell.x end

--- The upper half of a float plus `noise`, as a float.
local function upper(x, noise)
  return float_of((bits_of(x) + noise) % 2 ^ 32 - (bits_of(x) + noise) % 65536)
end

--- The nearest number of 16 bits, the even one of two.
local function nearest(x)
  local lower, higher = upper(x, 0), upper(x, 65535)
  local a, b = math.abs(x - lower), math.abs(higher - x)
  if a ~= b then return a < b and lower or higher end
  return bit.band(bits_of(lower), 0x10000) == 0 and lower or higher
end

local function tensor_of(list, shape) return tk.zeros(unpack(shape)):write(list) end

--- A parameter of 16 bits, and one of 32 with the same numbers.
local function both(shape, seed, number)
  local w = tk.parameter(tensor_of(drawn(reference.count(shape), seed), shape),
                         {bits = 16, number = number})
  return w, tk.parameter(w:clone())
end

describe('parameter_bits', function()
  before_each(function() tk.seed(5) end)

  it('hold the nearest numbers, the even one of two', function()
    local list = drawn(1000, 1, 3)
    for _, x in ipairs{0, -0.0, 1, -1, 1 + 2 ^ -8, 1 + 3 * 2 ^ -8, 1e-40, -3e38, 1 / 0, -1 / 0} do
      list[#list + 1] = x
    end
    local w = tk.parameter(tensor_of(list, {#list}), {bits = 16})
    local got = flat(w)
    for i, x in ipairs(list) do assert.equal(nearest(x), got[i]) end
    assert.equal('f32', w:dtype())
    assert.matches('parameter in 16 bits', tostring(w), 1, true)
    local nan = tk.parameter(tk.tensor{0 / 0}, {bits = 16}):item()
    assert.is_true(nan ~= nan)
  end)

  it('take half the memory, and are written, copied, saved and loaded', function()
    collectgarbage()
    collectgarbage()
    local before, path = tk.memory().live.parameter, fixtures.dir() .. '/w.safetensors'
    local w, exact = both({300, 20}, 1)
    assert.equal(300 * 20 * (2 + 4), tk.memory().live.parameter - before)
    assert.is_true(bytes(w) == bytes(exact))
    tk.save(path, {w = w})
    local loaded = tk.load(path).w
    assert.is_true(bytes(loaded) == bytes(w))
    w:copy(tk.zeros(300, 20))
    assert.equal(0, w:square():sum():item())
    w:copy(loaded)
    assert.is_true(bytes(loaded) == bytes(w))
    fixtures.clean()
  end)

  --- Runs `loss` on both and compares it and the gradients, bit by bit.
  local function reads_alike(shape, loss)
    local results = {}
    for k, w in ipairs{both(shape, 3)} do
      local value = loss(w)
      value:backward()
      results[k] = bytes(value) .. bytes(w.grad)
    end
    assert.is_true(results[1] == results[2])
  end

  it('are read alike by gathers, sums over graphs and neighbours, and others by widen', function()
    local ids = tk.ids{{3, 0}, {7, 3}}
    local graph = tk.graph{head = tk.ids{0, 0, 5, 9}, tail = tk.ids{1, 2, 1, 9},
                           relation = tk.ids{0, 1, 0, 1}, nodes = 50, relations = 2}
    local taken = tk.graph{head = tk.ids{0, 0, 2, 3}, tail = tk.ids{1, 9, 1, 3}, nodes = {4, 10}}
    local r, m = tk.randn(2, 19), tk.randn(19, 5)
    for _, loss in ipairs{
      function(w) return taken:aggregate(w:rows(1, 10)):square():sum() end,
      function(w) return taken:aggregate(w:rows(3, 12)):gather(tk.ids{0, 3}):square():sum() end,
      function(w) return w:gather(ids):square():sum() end,
      function(w) return graph:aggregate(w):square():sum() end,
      function(w) return graph:aggregate(w, {message = 'mul', relation = r}):square():sum() end,
      function(w) return graph:aggregate(w):gather(ids):square():sum() end,
      function(w) return w:matmul(m):sigmoid():sum() end,
      function(w) return w:rows(3, 30):rows(2, 9):matmul(m):square():sum() end,
      function(w) return w:rows(3, 30):gather(tk.ids{0, 7, 7}):square():sum() end,
      function(w) return w:rows(1, 30):gather(tk.ids{0, 7, 7}):square():sum() end,
      function(w) return w:narrow(2, 3, 5):square():sum() + w:narrow(1, 50, 1):sum() end,
      function(w)
        local attention = w:gather(tk.ids{5, 6}):rows(1, 2):matmul(m):matmul(tk.ones(5, 3))
        return tk.neighbor_sum(attention, w:gather(tk.ids{9, 1, 3, 9, 0, 2})):square():sum()
      end,
      function(w) return (w * w + w:gather(tk.ids{1}):sum()):sum() end,
      function(w) return w:normalize():gather(ids):sum() + graph:aggregate(w):tanh():sum() end,
    } do
      reads_alike({50, 19}, loss)
    end
  end)

  it('are not widened as a whole where only rows of them are read', function()
    local w = tk.parameter(tk.randn(20000, 64), {bits = 16})
    local graph = tk.graph{head = tk.ids{0, 1}, tail = tk.ids{1, 2}, relation = tk.ids{0, 0},
                           nodes = 20000, relations = 1}
    local step = tk.step(function(ids)
      return w:gather(ids):square():sum() + graph:aggregate(w):gather(ids):sum()
    end)
    step(tk.ids{1, 5})
    assert.is_nil(step:program():find('widen', 1, true), step:program())
    local taken = tk.graph{head = tk.ids{0, 1}, tail = tk.ids{1, 2}, nodes = {2, 9000}}
    local first = tk.step(function() return taken:aggregate(w:rows(1, 9000)):square():sum() end)
    first()
    assert.is_nil(first:program():find('widen', 1, true), first:program())
    -- a batch's rows and the gradient
    assert.is_true(step:figure 'arena_bytes' < 1.1 * 4 * 20000 * 64)
    local some = tk.step(function() return w:rows(5, 8):square():sum() end)
    some()
    assert.matches('widen +%d+  f32 %[4, 64%]', some:program())
    assert.is_nil(some:program():match('widen +%d+  f32 %[20000'))
  end)

  it('are widened a tile at a time where rows are read one by one', function()
    local results = {}
    for k, w in ipairs{both({20000, 64}, 4)} do
      local step = tk.step(function() return (w * w:normalize()):sum(2):square():sum(1):sum() end)
      results[k] = step()
      if k == 1 then assert.matches('widen +%d+  f32 %[20000, 64%]  tile', step:program()) end
    end
    assert.is_true(results[1] == results[2])
  end)

  -- Element i of block b: number i % 8 of Philox block b ceil(length / 16) + i / 16, from 65535 if
  -- i % 16 >= 8, on stream 2^22 + the parameter's number, at the number of the update; Philox
  -- blocks begin at 2^32 times the number of the step.
  local words = ffi.new('uint32_t[4]')
  local function noise(seed, t, number, length, i)
    local b, c = math.floor(i / length), i % length
    local block = 2 ^ 32 + b * math.ceil(length / 16) + math.floor(c / 16)
    C.tkg_philox(seed, block, t, 2 ^ 22 + number, words)
    local word = tonumber(words[math.floor(c % 8 / 2)])
    local n = c % 2 == 0 and word % 65536 or math.floor(word / 65536)
    return c % 16 >= 8 and 65535 - n or n
  end

  it('may have no rows', function()
    local x, w = tk.parameter(tk.zeros(0, 4), {bits = 16}), tk.parameter(tk.ones(2))
    assert.equal(2, tk.step(function() return w:sum() + x:narrow(1, 1, 0):sum() end)())
  end)

  it('are rounded by noise that depends on seed, update, number and element alone', function()
    for _, case in ipairs{{{70, 64}, 64}, {{50, 100}, 100}, {{300, 15}, 64}, {{16, 300}, 64}} do
      local shape, length = unpack(case)
      tk.seed(5) -- so that the step is the first
      local w, exact = both(shape, 1, 9)
      local c = tensor_of(drawn(reference.count(shape), 2), shape)
      for t, p in ipairs{w, exact} do
        local opt = tk.optim.adam{lr = 0.01}
        opt.t = 6 -- the noise is that of the update, not of the first
        tk.step(function() return (p * c):sum() end, {optimizer = opt})()
        assert.equal(7, opt.t, t)
      end
      local got, want = flat(w), flat(exact)
      for i = 1, #got do
        assert.equal(upper(want[i], noise(5, 7, 9, length, i - 1)), got[i], i)
      end
    end
  end)

  it('follow steps far smaller than the distance of two numbers, on average', function()
    local w = tk.parameter(tk.ones(200, 64), {bits = 16}) -- the next below 1: 2^-8
    local opt = tk.optim.adam{lr = 2 ^ -14}
    local step = tk.step(function() return w:sum() end, {optimizer = opt})
    for _ = 1, 64 do step() end -- each update is the learning rate: 2^-8 together
    local mean, deviation = w:mean():item(), 2 ^ -9 * math.sqrt(1 / 12800)
    assert.near(1 - 2 ^ -8, mean, 5 * 2 * deviation)
  end)

  it('are updated alike by any number of threads, with any instruction set', function()
    tensors.same_everywhere(function()
      tk.seed(5) -- each is the first step
      local w = tk.parameter(tensor_of(drawn(150000, 1), {1500, 100}), {bits = 16, number = 3})
      local c = tensor_of(drawn(150000, 2), {1500, 100})
      local opt = tk.optim.adam{bits = 8, weight_decay = 0.1}
      local step = tk.step(function() return (w * w * c):sum() end, {optimizer = opt})
      for _ = 1, 3 do step() end
      return bytes(w)
    end)
  end)

  it('may be kept so in a module: tables, not weights', function()
    local model = setmetatable({table = tk.nn.Embedding(100, 64), weight = tk.nn.Linear(128, 64),
                                small = tk.nn.Embedding(10, 3)}, tk.nn.class 'Model')
    collectgarbage()
    collectgarbage()
    local before = tk.memory().live.parameter
    model:halve()
    assert.equal(before - 100 * 64 * 2, tk.memory().live.parameter)
  end)

  it('are refused where they cannot be', function()
    assert.error_matches(function() tk.parameter(tk.zeros(2), {bits = 8}) end,
                         'options.bits is 8, expected 32 or 16')
    assert.error_matches(function() tk.parameter(tk.zeros(2), {bits = 16, number = -1}) end,
                         'number %-1 is not in 0..1048575')
    assert.error_matches(function() tk.parameter(tk.zeros(2), {width = 16}) end,
                         'unknown option width')
    local w = tk.parameter(tk.zeros(2, 3), {bits = 16})
    for _, name in ipairs{'sgd', 'adagrad'} do
      local step = tk.step(function() return w:sum() end, {optimizer = tk.optim[name]()})
      assert.error_matches(step, name .. ': a parameter bf16 %[2, 3%] is updated by adam alone')
    end
  end)
end)
