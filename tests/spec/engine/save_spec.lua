-- What is saved for backward, and how: one rule per value, its bytes; bias_spec has the noise.
local tk = require 'tinykg'
local flat = require('tests.support.tensors').flat
local saved = require 'tests.support.saved'

local data, parameter, planned = saved.data, saved.parameter, saved.planned
local rows_of, only, gradients = saved.rows_of, saved.only, saved.gradients

--- Bytes of a packed matrix, from the codec's definition: rows of whole bytes, then 4 a row.
local function packed(rows, cols, bits)
  return math.ceil(rows * math.ceil(cols * bits / 8) / 4) * 4 + 4 * rows
end

local function count(step, op)
  local _, n = step:program():gsub('\n?%a +%d+  ' .. op .. ' ', '')
  return n
end

local X, W, V, U = data(40, 17), parameter(17, 37), parameter(37, 24), parameter(37, 24)
local ALL = {W, V, U}

--- Two layers with a ReLU between: the hidden values are [40, 37].
local function two_layers()
  return (X:matmul(W):relu():matmul(V)):sum()
end

describe('rule', function()
  it('quantize: codes of the asked width, a mask for the zeros, nothing for leaves', function()
    for _, bits in ipairs {8, 4, 2, 1} do
      local step = planned(two_layers, {bits = bits})
      local row = only(step, 'leaky_relu', 'quantize')
      assert.same({40, 37}, row.shape)
      assert.equal(bits, row.bits)
      assert.equal(4 * 40 * 37, row.exact_bytes)
      assert.equal(packed(40, 37, bits), row.kept_bytes)
      local mask = only(step, 'leaky_relu', 'mask')
      assert.equal(40 * 37 / 8, mask.kept_bytes)
      assert.equal(packed(40, 37, bits) + 185, step:figure 'stored_bytes')
      for _, leaf in ipairs(rows_of(step, 'leaf')) do
        assert.equal('resident', leaf.rule)
        assert.equal(0, leaf.kept_bytes)
      end
    end
  end)

  it('quantize at 32 bits: there is none', function()
    local step = planned(two_layers, {bits = 32, small = 0})
    assert.equal(4 * 40 * 37, only(step, 'leaky_relu', 'exact').kept_bytes)
    assert.equal(0, #rows_of(step, 'leaky_relu', 'mask')) -- the value itself has its sign
    assert.equal(0, count(step, 'encode'))
    assert.equal(4 * 40 * 37, step:figure 'stored_bytes')
  end)

  it('small: up to the limit a value is kept exactly', function()
    local bytes = 4 * 40 * 37
    assert.equal(1, #rows_of(planned(two_layers, {bits = 2, small = bytes}), 'leaky_relu', 'exact'))
    assert.equal(1,
      #rows_of(planned(two_layers, {bits = 2, small = bytes - 1}), 'leaky_relu', 'quantize'))
  end)

  it('small: a limit above all values keeps each exactly', function()
    for _, limit in ipairs{math.huge, 1e19, 2 ^ 63, 2 ^ 62} do
      local step = planned(two_layers, {bits = 2, small = limit})
      assert.equal(1, #rows_of(step, 'leaky_relu', 'exact'))
      assert.equal(0, #rows_of(step, 'leaky_relu', 'quantize'))
    end
  end)

  it('bits that are no whole number are refused', function()
    local function fn() end
    assert.error_matches(function() tk.step(fn, {bits = 2.5}) end, 'bits: 2.5 is not one of')
    assert.error_matches(function() tk.step(fn, {value_bits = {['a:1 #1'] = 2.5}}) end,
                         "value_bits: %['a:1 #1'%] = 2.5 is not")
  end)

  it('small: what packing would hardly make smaller is kept exactly', function()
    local A, B = parameter(17, 1), parameter(1, 24)
    local function narrow() return X:matmul(A):matmul(B):sum() end -- [40, 1]: 4 bytes a row
    assert.equal('exact', only(planned(narrow, {bits = 1, small = 0}), 'matmul').rule)
  end)

  it('mask: 1 bit an element where only the sign is read', function()
    local function masked() return X:matmul(W):relu():sum() end
    for _, bits in ipairs {32, 2} do
      local step = planned(masked, {bits = bits, small = 0})
      assert.equal(185, only(step, 'leaky_relu').kept_bytes)
      assert.equal('mask', only(step, 'leaky_relu').rule)
      assert.equal(185, step:figure 'stored_bytes')
    end
    local slope = planned(function() return X:matmul(W):leaky_relu(0.2):sum() end, {small = 0})
    assert.equal('mask', only(slope, 'leaky_relu').rule)
    local abs = planned(function() return X:matmul(W):abs():sum() end, {small = 0})
    assert.equal('mask', only(abs, 'matmul').rule) -- |x| has lost the sign: it is x's that is kept
  end)

  it('exact: what is read non-linearly, at any width', function()
    local reads = {
      tanh = {'tanh', 'tanh'}, sigmoid = {'sigmoid', 'sigmoid'}, softmax = {'softmax', 'softmax'},
      log_softmax = {'log_softmax', 'log_softmax'},
      softplus = {'softplus', 'matmul'}, clamp = {'clamp', 'matmul'}, sqrt = {'sqrt', 'sqrt'},
    }
    for method, names in pairs(reads) do
      local step = planned(function()
        local h = X:matmul(W)
        return h[method](h):sum()
      end, {bits = 1, small = 0})
      assert.equal('exact', only(step, names[2]).rule, method)
      assert.equal(4 * 40 * 37, step:figure 'stored_bytes', method)
    end
  end)

  it('quantize: normalised rows, with a norm a row; what meets them too is kept exactly', function()
    local function alone() return (X:matmul(W):normalize():matmul(V)):sum() end
    local step = planned(alone, {bits = 2, small = 0})
    assert.equal(packed(40, 37, 4), only(step, 'normalize').kept_bytes) -- read twice
    assert.equal(4 * 40, only(step, 'row_norm').kept_bytes)
    assert.equal(packed(40, 37, 4) + 160, step:figure 'stored_bytes')
    for bits, wanted in pairs {[8] = 8, [4] = 4, [1] = 2} do
      assert.equal(wanted, only(planned(alone, {bits = bits, small = 0}), 'normalize').bits)
    end
    -- y * y passes its own noise back to where y is read.
    local function met()
      local y = X:matmul(W):normalize()
      return (y * y):matmul(V):sum()
    end
    assert.equal('exact', only(planned(met, {bits = 2, small = 0}), 'normalize').rule)
    -- Of a row that is there exactly, norm and result are made again.
    local p = parameter(40, 37)
    local free = planned(function() return p:normalize():matmul(V):sum() end, {bits = 2})
    assert.equal(0, free:figure 'stored_bytes')
  end)

  it('recompute: gather, add, mul, concat and dropout of what is there cost nothing', function()
    local E, b, M = parameter(30, 20), parameter(1, 20), parameter(40, 24)
    local list = {}
    for i = 1, 50 do list[i] = i * 7 % 30 end
    local ids = tk.ids(list)
    local function chain()
      local e = E:gather(ids)
      return tk.cat({e + b, e * e}, 2):dropout(0.3):matmul(M):sum()
    end
    local step = planned(chain, {bits = 2, small = 0})
    assert.equal(0, step:figure 'stored_bytes')
    local dropped = only(step, 'dropout')
    assert.equal('recompute', dropped.rule)
    assert.equal(4 * 50 * 40, dropped.exact_bytes)
    assert.equal(0, dropped.kept_bytes)
    assert.equal(2, count(step, 'concat'))
    assert.equal(3, count(step, 'dropout')) -- the gradient passes one as well
    assert.equal(0, count(step, 'encode'))
    -- and it is the same value again: no bit of a gradient changes
    tk.seed(3)
    local again = gradients(tk.step(chain, {bits = 1, small = 0}), {E, b, M})
    tk.seed(3)
    assert.same(gradients(tk.step(chain, {save = false}), {E, b, M}), again)
  end)

  it('recompute: from one quantized copy, what else is made of it', function()
    local function shared()
      local h = X:matmul(W)
      return (h + 1):matmul(V):sum() + h:matmul(U):sum()
    end
    local step = planned(shared, {bits = 4})
    assert.equal('quantize', only(step, 'matmul').rule)
    assert.equal('recompute', only(step, 'affine').rule)
    assert.equal(packed(40, 37, 4), step:figure 'stored_bytes')
  end)

  it('recompute: a long way back is found in time', function()
    local w = tk.parameter(tk.tensor{{1, -2}})
    local step = tk.step(function()
      local x = w
      for _ = 1, 60 do x = x + x end -- 2^60 ways lead to w
      return x:square():sum()
    end)
    assert.equal(5 * 2 ^ 120, step())
    assert.same({2 ^ 121, -2 ^ 122}, flat(w.grad))
    assert.equal(0, step:figure 'stored_bytes')
  end)

  it('none: save = false keeps whatever backward reads', function()
    local step = planned(two_layers, {bits = 2, save = false})
    assert.equal('exact', only(step, 'leaky_relu').rule)
    assert.equal(0, count(step, 'encode') + count(step, 'sign_mask'))
  end)

  it('of a value that is returned: it is there anyway', function()
    local step = planned(function()
      local h = X:matmul(W):relu()
      return h:matmul(V):sum(), h
    end, {bits = 2})
    assert.equal('resident', only(step, 'leaky_relu').rule)
    assert.equal(0, step:figure 'stored_bytes')
  end)
end)

describe('a kept value', function()
  it('has one copy however many read it', function()
    local step = planned(function()
      local h = X:matmul(W):relu()
      return h:matmul(V):sum() + h:matmul(U):sum() + (h * 3):matmul(V):square():sum()
    end, {bits = 2, small = 0})
    assert.equal(1, #rows_of(step, 'leaky_relu', 'quantize'))
    assert.equal(2, count(step, 'encode')) -- that of h and that of the squared product
    assert.equal(2, count(step, 'decode'))
  end)

  it('in another shape is the same value', function()
    local step = planned(function()
      local h = X:matmul(W)
      return h:reshape(20, 74):matmul(parameter(74, 3)):sum() + h:matmul(V):sum()
        + h:transpose():matmul(data(40, 3)):sum()
    end, {bits = 2})
    assert.equal(packed(40, 37, 2), step:figure 'stored_bytes')
    assert.equal(1, count(step, 'encode'))
  end)

  it('is where the recipe recorded it', function()
    local line = debug.getinfo(1, 'l').currentline + 2
    local step = planned(function()
      local h = X:matmul(W):relu()
      return h:matmul(V):sum()
    end, {bits = 2})
    assert.equal('save_spec.lua:' .. line, only(step, 'leaky_relu', 'quantize').where)
  end)
end)

describe('the recipe decides', function()
  local function forced(rule, options)
    return planned(function() return X:matmul(W):relu():saved_as(rule):matmul(V):sum() end, options)
  end

  it('with saved_as', function()
    assert.equal(4 * 40 * 37, forced('exact', {bits = 2}):figure 'stored_bytes')
    assert.equal(packed(40, 37, 2) + 185,
                 forced('quantize', {bits = 2, small = 1e9}):figure 'stored_bytes')
    assert.equal(packed(40, 37, 2) + 185, forced('default', {bits = 2}):figure 'stored_bytes')
    local sum = planned(function() return (W + 1):saved_as 'quantize':matmul(V):sum() end,
                        {bits = 8})
    assert.equal(packed(17, 37, 8), sum:figure 'stored_bytes') -- not computed again
  end)

  it('with aggregate{recompute = true}', function()
    local graph = tk.graph{head = {0, 0, 1}, tail = {1, 2, 0}, nodes = 3}
    local x, w = tk.parameter(tk.randn(3, 64)), tk.parameter(tk.randn(64, 64))
    for recompute, rule in pairs{[true] = 'recompute', [false] = 'quantize'} do
      local seen
      local step = tk.step(function()
        return graph:aggregate(x, {recompute = recompute}):matmul(w):sum()
      end, {small = 0, bits = 2})
      step()
      for _, v in ipairs(step:kept()) do
        if v.op == 'aggregate' then seen = v.rule end
      end
      assert.equal(rule, seen)
    end
  end)

  it('with saved_as, and is told what cannot be', function()
    assert.has_error(function() W:saved_as 'exact' end)
    local ok, message = pcall(function() return X:matmul(W):saved_as 'twice' end)
    assert.is_false(ok)
    assert.matches("save_spec.lua:%d+: rule 'twice' is not one of default, recompute", message)
  end)

  it('with tk.bits, for what is recorded inside', function()
    local function mixed(inner, outer)
      return planned(function()
        local h = tk.bits(inner, function() return X:matmul(W) end)
        return h:matmul(V):matmul(parameter(24, 30)):sum()
      end, {bits = outer, small = 0})
    end
    assert.equal(packed(40, 37, 8) + packed(40, 24, 2), mixed(8, 2):figure 'stored_bytes')
    assert.equal(packed(40, 37, 1) + 4 * 40 * 24, mixed(1, 32):figure 'stored_bytes')
    assert.equal(4 * 40 * 37 + packed(40, 24, 4), mixed(32, 4):figure 'stored_bytes')
  end)

  it('with tk.bits, which nests and ends with an error inside', function()
    local step = planned(function()
      local h = tk.bits(8, function()
        tk.bits(1, function() return 0 end)
        pcall(tk.bits, 4, function() error 'stop' end)
        return X:matmul(W)
      end)
      pcall(tk.bits, 4, function() error 'stop' end)
      return h:matmul(V):matmul(parameter(24, 30)):sum()
    end, {bits = 2, small = 0})
    assert.equal(packed(40, 37, 8) + packed(40, 24, 2), step:figure 'stored_bytes')
    assert.has_error(function() tk.bits(3, function() return 0 end) end)
  end)
end)

describe('zeros behind a ReLU', function()
  it('stay zeros with dither: a unit that never fires has a gradient of 0', function()
    local Z = tk.zeros(40, 37) -- pushes every fifth unit below zero
    local push = {}
    for i = 0, 40 * 37 - 1 do push[i + 1] = i % 37 % 5 == 0 and -100 or 0 end
    Z:write(push)
    local step = tk.step(function() return (X:matmul(W) + Z):relu():matmul(V):sum() end,
                         {bits = 1, small = 0})
    step()
    local g = V.grad:totable()
    for unit = 0, 36 do
      local sum = 0
      for j = 1, 24 do sum = sum + math.abs(g[unit + 1][j]) end
      assert.equal(unit % 5 == 0, sum == 0, 'unit ' .. unit)
    end
  end)
end)

describe('codes in backward', function()
  local heads, tails = {}, {}
  for i = 0, 119 do heads[i + 1], tails[i + 1] = i % 40, (i * 7 + 1) % 40 end
  local graph = tk.graph{head = heads, tail = tails, nodes = 40}

  local weights = tk.parameter(tk.randn(120))

  --- The gradient of the edges' weights needs a ReLU's output by edge.
  local function weighted() return graph:aggregate(X:matmul(W):relu(), {weight = weights}):sum() end

  --- A ReLU's output whose neighbours are summed again in backward; `push` is added to its input.
  local function summed(push)
    local h = X:matmul(W)
    h = (push and h + push or h):relu()
    return graph:aggregate(h, {recompute = true}):matmul(V):sum() + h:matmul(U):sum()
  end

  it('are read by edge: nothing is decoded', function()
    for _, bits in ipairs{8, 4, 2, 1} do
      local step = planned(weighted, {bits = bits, small = 0})
      assert.equal(packed(40, 37, bits), only(step, 'leaky_relu', 'quantize').kept_bytes)
      assert.equal(185, only(step, 'leaky_relu', 'mask').kept_bytes) -- lies with the codes
      assert.same({1, 0, 0}, {count(step, 'encode'), count(step, 'decode'),
                              count(step, 'sign_mask')})
    end
  end)

  it('are decoded before where their noise is one number an element', function()
    local step = planned(weighted, {bits = 2, small = 0, rounding = 'dither-independent'})
    assert.same({1, 1}, {count(step, 'encode'), count(step, 'decode')})
  end)

  it('are read by a sum that is made again', function()
    local step = planned(summed, {bits = 2, small = 0})
    assert.equal('recompute', only(step, 'aggregate').rule)
    assert.same({1, 1}, {count(step, 'encode'), count(step, 'decode')}) -- decoded for U
  end)

  it('are read by rows that are gathered again', function()
    local ids = {}
    for i = 1, 60 do ids[i] = i % 40 end
    local step = planned(function()
      local h = X:matmul(W)
      local rows = h:gather(tk.ids(ids)) * parameter(60, 37)
      return rows:sum() + graph:aggregate(h, {weight = weights}):sum()
    end, {bits = 2, small = 0})
    assert.equal('recompute', only(step, 'gather').rule)
    assert.same({1, 0}, {count(step, 'encode'), count(step, 'decode')})
  end)

  it('keep the zeros of a ReLU zero in such a sum', function()
    local push = tk.zeros(40, 37)
    local list = {}
    for i = 0, 40 * 37 - 1 do list[i + 1] = i % 37 % 5 == 0 and -100 or 0 end
    push:write(list)
    local step = tk.step(function() return summed(push) end, {bits = 1, small = 0})
    step()
    local g = V.grad:totable()
    for unit = 0, 36 do
      local sum = 0
      for j = 1, 24 do sum = sum + math.abs(g[unit + 1][j]) end
      assert.equal(unit % 5 == 0, sum == 0, 'unit ' .. unit)
    end
  end)

  it('give, at 8 bits, about what exact values give', function()
    local function gradient(bits)
      return gradients(tk.step(weighted, {bits = bits, small = 0}), {W, weights})
    end
    local exact, got, most, off = gradient(32), gradient(8), 0, 0
    for i = 1, #exact do
      most, off = math.max(most, math.abs(exact[i])), math.max(off, math.abs(exact[i] - got[i]))
    end
    assert.is_true(off > 0 and off < 0.02 * most, off / most)
  end)
end)

describe('report', function()
  it('names lines, shapes and rules, and adds up', function()
    local step = tk.step(two_layers, {bits = 2})
    assert.equal('step: not run yet', step:report())
    step()
    local text, sum = step:report(), 0
    assert.matches('save_spec%.lua:%d+ +leaky_relu +40x37 +INT2 +5920 +' .. packed(40, 37, 2), text)
    assert.matches('save_spec%.lua:%d+ +leaky_relu +40x37 +mask +5920 +185', text)
    assert.is_nil(text:find 'resident')
    for _, row in ipairs(step:kept()) do sum = sum + row.kept_bytes end
    assert.equal(sum, step:figure 'stored_bytes')
    assert.matches(('kept for backward: %d bytes, %.1f times less than the %d of'):format(
      sum, 5920 / sum, 5920):gsub('%.', '%%.'), text)
    assert.equal(-1, step:figure 'no such figure')
  end)

  it('speaks of the largest plan', function()
    local step = tk.step(function(x) return x:matmul(W):relu():matmul(V):sum() end, {bits = 2})
    step(data(13, 17))
    step(X)
    step(data(21, 17))
    assert.same({40, 37}, only(step, 'leaky_relu', 'quantize').shape)
  end)
end)

describe('every rule', function()
  it('leaves gradients as they are at 32 bits', function()
    local function net()
      local h = X:matmul(W):relu()
      return (h:matmul(V):tanh() + h:matmul(U):leaky_relu(0.1)):square():sum()
    end
    assert.same(gradients(tk.step(net, {save = false}), ALL), gradients(tk.step(net), ALL))
  end)
end)
