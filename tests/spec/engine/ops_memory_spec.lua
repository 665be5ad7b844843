-- Ops among others: values that share memory, leaves that move, gradients that meet, rows with very
-- many edges, and the ops that only the save pass records.
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local session = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local random = reference.random(5)
local noise = reference.noise(random)

local flat, bytes, near = tensors.flat, tensors.bytes, tensors.near
local to_tensor, with_threads = tensors.of, tensors.with_threads

local function to_ids(x) return tensor.create(tensor.I32, x.shape):write(x) end

describe('a kept tensor', function()
  it('leaf: comes back as it was written', function()
    for _, shape in ipairs {{}, {0}, {1}, {31, 33}, {2, 3, 4, 5}} do
      local x = noise(shape)
      assert.same({unpack(x)}, flat(to_tensor(x)))
      assert.same({unpack(x)}, flat(tk.no_grad(function() return to_tensor(x) end)))
    end
  end)

  it('is found again after the tape was compacted', function()
    -- zeros were never written to, and so have the version of values that are no leaves
    local x, y, z = tk.zeros(2), tk.zeros(2), tk.full(7, 2)
    local function record_and_forget(n)
      for _ = 1, n do local _ = z * 1 end
    end
    local tape = session.ambient.c
    record_and_forget(100)
    local later, length = x + 3, C.tkg_tape_length(tape) -- x's leaf will move
    record_and_forget(100)
    do local _ = y + 1 end -- y's will go
    repeat
      record_and_forget(1)
      local before = length
      length = C.tkg_tape_length(tape)
      if length % 100 == 0 then collectgarbage() end
    until length < before -- compacted just now
    assert.same({8, 8}, (x + y + 8):totable())
    assert.same({8, 8}, (y + 8):totable())
    assert.same({14, 14}, (z + z + y):totable())
    assert.same({3, 3}, later:totable())
  end)

  it('is not mistaken for another when an optimizer\'s tape is gone', function()
    local w = tk.parameter(tk.ones(3))
    local v = tk.parameter(tk.full(2, 3))
    local opt, ROUNDS = tk.optim.sgd {lr = 0.125, momentum = 0.5}, 12
    for _ = 1, ROUNDS do
      local loss = (w * v):sum()
      loss:backward()
      opt:update()
    end
    -- the recurrence by hand: a, b with buffers p, q
    local a, b, p, q = 1, 2, 0, 0
    for _ = 1, ROUNDS do
      p, q = 0.5 * p + b, 0.5 * q + a
      a, b = a - p / 8, b - q / 8
    end
    near({a, a, a}, flat(w), 1e-5, 'w')
    near({b, b, b}, flat(v), 1e-5, 'v')
  end)

  it('becomes a parameter after it was used as data', function()
    local x = tk.ones(3)
    local _ = (x * 2):sum()
    tk.parameter(x)
    local loss = (x * 2):sum()
    loss:backward()
    assert.same({2, 2, 2}, x.grad:totable())
  end)
end)

describe('values in a step', function()
  it('keep their memory while an empty value comes and goes', function()
    local x, empty = tk.ones(1000), tk.zeros(0)
    local out = tk.no_grad(function()
      local big = x * 2
      local nothing = ((empty * 2) * 2):sum()
      return big + x * 5 + nothing
    end)
    for _, v in ipairs(out:totable()) do assert.equal(7, v) end
  end)

  it('are not overwritten through a view', function()
    local x = to_tensor(noise {4, 6})
    local a, b, c = tk.no_grad(function()
      local y = x * 2
      local rows = y:rows(1, 2)
      local shaped = y:reshape(6, 4)
      local changed = rows * 3 -- may take no memory that y still needs
      return changed, shaped + 1, y:square()
    end)
    local want = flat(x)
    for i = 1, 24 do
      if i <= 12 then assert.near(6 * want[i], flat(a)[i], 1e-6) end
      assert.near(2 * want[i] + 1, flat(b)[i], 1e-6)
      assert.near(4 * want[i] ^ 2, flat(c)[i], 1e-6)
    end
  end)

  it('are not overwritten while another input still reads them', function()
    local x = to_tensor(noise {4, 6})
    local out = tk.no_grad(function()
      local y = x * 2
      return y + y:rows(1, 1) -- in place, row 1 would change before row 2 reads it
    end)
    local want, got = flat(x), flat(out)
    for i = 1, 24 do assert.near(2 * want[i] + 2 * want[(i - 1) % 6 + 1], got[i], 1e-6) end
  end)
end)

describe('gradients that meet', function()
  it('of rows gathered from a sum are not mixed up', function()
    local a, b = tk.parameter(tk.ones(2, 1)), tk.parameter(tk.ones(2, 1))
    local sum = a + b
    local loss = sum:gather(tk.ids {0, 1}):sum() + (a * 2):sum()
    loss:backward()
    assert.same({{3}, {3}}, a.grad:totable())
    assert.same({{1}, {1}}, b.grad:totable())
  end)

  -- Random programs over a few [n, d] values, run by the engine and by the reference.
  local N, D = 6, 5
  local ids = reference.array({N}, function(i) return (i * 5) % 4 end)
  local pairs_of_ids = reference.array({N, 2}, function(i) return (i * 7) % N end)
  local steps = {
    function(o, x, y) return o.op('add', {}, x, y) end,
    function(o, x, y) return o.op('sub', {}, x, y) end,
    function(o, x, y) return o.op('mul', {}, x, y) end,
    function(o, x) return o.op('affine', {f = {0.5, 0.25}}, x) end,
    function(o, x) return o.op('tanh', {}, x) end,
    function(o, x) return o.op('sigmoid', {}, x) end,
    function(o, x) return o.op('softmax', {}, x) end,
    function(o, x) return o.op('leaky_relu', {f = {0.2}}, x) end,
    function(o, x) return o.normalize(x) end,
    function(o, x) return o.op('gather', {}, x, o.ids) end,
    function(o, x) return o.op('scatter_add', {shape = {N, D}}, x, o.ids) end,
    function(o, x, y)
      local w = o.op('relation_score', {}, x, y, o.pairs)
      return o.op('neighbor_sum', {}, o.op('softmax', {}, w), y, o.pairs)
    end,
    function(o, x, y) return o.op('matmul', {}, o.op('matmul', {i = {0, 1}}, x, y), x) end,
    function(o, x, y) return o.op('mul', {}, x, o.op('sum', {i = {1, 1}}, y)) end,
    function(o, x) return o.op('transpose', {}, o.op('transpose', {}, x)) end,
    function(o, x, y)
      local both = o.op('concat', {i = {0}}, x, y)
      return o.op('narrow', {i = {0, 3}, shape = {N, D}}, both)
    end,
  }

  --- Runs a program with the ops of `o`; returns the sum of its last values times weights.
  local function run(o, program, parameters, weights)
    local values = {unpack(parameters)}
    for _, s in ipairs(program) do
      local made = steps[s[1]](o, values[s[2]], values[s[3]])
      values[#values + 1] = o.op('tanh', {}, made)
    end
    local last = o.op('add', {}, values[#values], values[#values - 2])
    return o.op('sum', {i = {3, 0}}, o.op('mul', {}, last, weights))
  end

  local exact = {ids = ids, pairs = pairs_of_ids,
                 op = function(name, a, ...) return reference.ops[name]({...}, a) end,
                 normalize = function(x) return reference.ops.normalize({x}, {f = {1e-12}}) end}
  local engine = {ids = to_ids(ids), pairs = to_ids(pairs_of_ids), op = function(name, a, ...)
    return tensors.record(name, a, {...})
  end, normalize = function(x) return x:normalize() end}

  local function random_program()
    local program = {}
    for k = 1, 8 do
      program[k] = {math.floor(random() * #steps) + 1, math.floor(random() * (k + 2)) + 1,
                    math.floor(random() * (k + 2)) + 1}
    end
    return program
  end

  local function slope_of(gradient, direction)
    local sum, scale = 0, 1
    for i, g in ipairs(flat(gradient)) do
      sum, scale = sum + g * direction[i], scale + math.abs(g * direction[i])
    end
    return sum, scale
  end

  local function check(program, save)
    local arrays, weights = {noise {N, D}, noise {N, D}, noise {N, D}}, noise {N, D}
    local function f(changed) return run(exact, program, changed, weights)[1] end
    local parameters, weight = {}, to_tensor(weights)
    for k = 1, 3 do parameters[k] = tk.parameter(to_tensor(arrays[k])) end
    local step = tk.step(function() return run(engine, program, parameters, weight) end,
                         {save = save, bits = 32})
    assert.near(f(arrays), step(), 1e-4)
    for k, p in ipairs(parameters) do
      if p.grad then
        local direction = noise {N, D}
        local got, scale = slope_of(p.grad, direction)
        local want = reference.along(f, arrays, k, direction)
        assert.near(want, got, 2e-5 * scale)
      end
    end
  end

  it('of random programs are those of finite differences', function()
    for _ = 1, 150 do check(random_program()) end
    for _ = 1, 50 do check(random_program(), false) end
  end)
end)

describe('a row with 60,000 edges', function()
  local EDGES, D = 60000, 4

  --- All ids are `hub` but for every thousandth.
  local function hub_ids(shape, hub, rows)
    return reference.array(shape, function(i) return i % 1000 == 0 and (i / 1000) % rows or hub end)
  end

  it('is summed by scatter_add', function()
    local g, ids = noise {EDGES, D}, hub_ids({EDGES}, 7, 100)
    local want = reference.ops.scatter_add({g, ids}, {shape = {100, D}})
    local gt, it = to_tensor(g), to_ids(ids)
    near(want, with_threads(function() return gt:scatter_add(it, 100) end), 2e-3, 'scatter_add')
  end)

  it('is read by neighbor_sum and gets its gradient', function()
    local w, x, ids = noise {EDGES / 4, 4}, noise {100, D}, hub_ids({EDGES / 4, 4}, 7, 90)
    local g = noise {EDGES / 4, D}
    local wt, xt, it, gt = to_tensor(w), tk.parameter(to_tensor(x)), to_ids(ids), to_tensor(g)
    near(reference.ops.neighbor_sum({w, x, ids}, {}),
         with_threads(function() return tensor.record('neighbor_sum', nil, wt, xt, it) end),
         1e-5, 'neighbor_sum')
    local gradient = with_threads(function()
      local loss = (tk.neighbor_sum(wt, xt:gather(it:reshape(EDGES))) * gt):sum()
      loss:backward()
      return xt.grad
    end)
    near(reference.ops.neighbor_scatter({w, g, ids}, {shape = {100, D}}), gradient, 2e-3,
         'gradient')
    for i = 90 * D + 1, 100 * D do assert.equal(0, gradient[i]) end -- rows that nobody reads
  end)
end)

describe('kept copies', function()
  local function coded(x, bits)
    local a = tensor.attribute()
    a.i[0], a.i[1] = bits, 2
    local codes = tensor.record('encode', a, x)
    a = tensor.attribute()
    a.i[0], a.i[1] = bits, 2
    return flat(tensor.record('decode', a, codes))
  end

  it('encode decode: half a step off at most', function()
    for _, shape in ipairs {{1, 31}, {33, 32}, {7, 1}, {0, 8}, {2, 3, 17}} do
      local x = noise(shape)
      for _, bits in ipairs {8, 4, 2, 1} do
        local got, cols = coded(to_tensor(x), bits), shape[#shape]
        assert.equal(#x, #got)
        for first = 1, #x, cols do
          local row = {unpack(x, first, first + cols - 1)}
          -- the pair is rounded to bf16: at most 2^-7 of the range and of the minimum
          local low, high = math.min(unpack(row)), math.max(unpack(row))
          local step = (high - low + math.abs(low) / 128) / (2 ^ bits - 1) * (1 + 1 / 64)
          for c, v in ipairs(row) do assert.near(v, got[first + c - 1], step / 2 + 1e-6) end
        end
      end
    end
  end)

  it('decode is linear in nothing else: two steps of a tape draw other noise', function()
    local x = to_tensor(noise {8, 64})
    local w = tk.parameter(to_tensor(noise {64, 64}))
    local step = tk.step(function() return ((x * 1 + 0):tanh():matmul(w):square()):sum() end,
                         {bits = 1, small = 0})
    step()
    local first = bytes(w.grad)
    step()
    assert.are_not.equal(first, bytes(w.grad))
  end)

  it('sign_mask serves leaky_relu_grad as its value does', function()
    for _, n in ipairs {0, 1, 7, 31, 33, 5000, 140001} do
      local x, g = noise {n}, noise {n}
      x[1], x[2] = n > 0 and 0 or nil, n > 1 and -0 or nil
      local xt, gt = to_tensor(x), to_tensor(g)
      for _, slope in ipairs {0, 0.25} do
        local function grad(by)
          local a = tensor.attribute()
          a.f[0] = slope
          return tensor.record('leaky_relu_grad', a, gt, by)
        end
        local first
        for _, threads in ipairs {1, 4} do
          tk.threads(threads)
          first = first or bytes(grad(xt))
          assert(first == bytes(grad(tensor.record('sign_mask', nil, xt))), 'n = ' .. n)
        end
      end
    end
    tk.threads(0)
  end)

  it('are of no use to ops that need values', function()
    local x = to_tensor(noise {2, 8})
    local mask = tensor.record('sign_mask', nil, x)
    local ok, message = pcall(function() local _ = mask + x end)
    assert.is_false(ok)
    assert.truthy(message:find('add: input 1 is', 1, true), message)
    assert.truthy(C.tkg_op_code('sign_mask') >= 0)
  end)
end)
