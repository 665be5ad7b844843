-- tk.custom: ops composed in Lua with a gradient of their own; and detach().
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'
local message = require('tests.support.fixtures').message

local random = reference.random(31)
local drawn = tensors.drawn_from(random)
local noise, parameter = drawn.noise, drawn.parameter
local flat, bytes, same = tensors.flat, tensors.bytes, tensors.same
local WIDTHS = {32, 8, 2}

local function near(want, got, tolerance, what)
  tensors.near_largest(flat(want), flat(got), tolerance, what or 'gradient')
end

--- Gradients of `parameters` after one run of fn in a step, or by backward() outside of steps.
local function gradients(fn, parameters, options)
  if options then
    options.small = options.small or 0
    tk.step(fn, options)()
  else
    local loss = fn()
    loss:backward()
  end
  local list = {}
  for i, p in ipairs(parameters) do list[i] = p.grad and p.grad:clone() or false end
  return list
end

local rows_of = require('tests.support.saved').rows_of

local function swish_of(h) return h * h:sigmoid() end
local swish = tk.custom{
  name = 'swish',
  forward = function(ctx, x)
    ctx.x, ctx.s = x, x:sigmoid()
    return x * ctx.s
  end,
  backward = function(ctx, dy) return dy * (ctx.s + ctx.x * ctx.s * (1 - ctx.s)) end,
}

--- tanh(x w + c), with gradients that share what they are made of; c is a number.
local affine = tk.custom{
  name = 'affine tanh',
  forward = function(ctx, x, w, c)
    ctx.x, ctx.w, ctx.y = x, w, (x:matmul(w) + c):tanh()
    return ctx.y
  end,
  backward = function(ctx, dy)
    local g = dy * (1 - ctx.y:square())
    return g:matmul(ctx.w, {transpose_b = true}), ctx.x:matmul(g, {transpose_a = true}), nil
  end,
}
local function affine_of(x, w, c) return (x:matmul(w) + c):tanh() end

local through = tk.custom{ -- straight through a clamp
  name = 'through',
  forward = function(_, x) return x:clamp(-0.1, 0.1) end,
  backward = function(_, dy) return dy end,
}
local reversed = tk.custom{
  name = 'reversed',
  forward = function(ctx, x, by)
    ctx.by = by
    return x
  end,
  backward = function(ctx, dy) return dy * -ctx.by end,
}
local clipped = tk.custom{
  name = 'clipped',
  forward = function(_, x) return x end,
  backward = function(_, dy) return dy:clamp(-0.05, 0.05) end,
}

local X = noise(13, 7)
local W, V = parameter(7, 9), parameter(9, 4)

describe('a custom op with the right gradient', function()
  it('custom_vjp: passes finite differences of a double-precision reference', function()
    local a, b = noise(5, 3), noise(3, 4)
    local arrays = {{shape = {5, 3}, unpack(flat(a))}, {shape = {3, 4}, unpack(flat(b))}}
    local function f(inputs)
      local tanh, sum = reference.scalars.tanh, 0
      local product = reference.ops.matmul(inputs, {i = {0, 0}})
      for i, v in ipairs(product) do sum = sum + (i % 3 - 0.7) * tanh(v + 0.25) end
      return sum
    end
    local weights = {}
    for i = 1, 20 do weights[i] = i % 3 - 0.7 end
    local g = tk.zeros(5, 4):write(weights)
    local pa, pb = tk.parameter(a), tk.parameter(b)
    for _, options in ipairs{false, {bits = 32}} do
      local got = gradients(function() return (affine(pa, pb, 0.25) * g):sum() end, {pa, pb},
                            options)
      for k = 1, 2 do
        local values = flat(got[k])
        for i = 1, #values do
          local direction = reference.array(arrays[k].shape)
          direction[i] = 1
          assert.near(reference.along(f, arrays, k, direction), values[i], 1e-5)
        end
      end
    end
  end)

  it('gives what the composition\'s does, in steps and outside', function()
    local function net(act, mix)
      return function() return mix(act(X:matmul(W)), V, 0.1):square():sum() end
    end
    local want = gradients(net(swish_of, affine_of), {W, V})
    for _, options in ipairs{false, {bits = 32}, {save = false}, {rows = false}} do
      local got = gradients(net(swish, affine), {W, V}, options)
      near(want[1], got[1], 1e-6)
      near(want[2], got[2], 1e-6)
    end
  end)

  it('leaves the forward value as it is, bit by bit', function()
    local want = bytes(swish_of(X))
    same(want, bytes(swish(X)))
    same(want, bytes(tk.no_grad(function() return swish(X) end)))
    for _, bits in ipairs(WIDTHS) do
      local step = tk.step(function()
        local y = swish(X)
        return swish(X:matmul(W)):sum(), y
      end, {bits = bits})
      same(want, bytes((select(2, step()))))
    end
  end)

  it('is unbiased in few bits, and keeps codes', function()
    local function loss() return (swish(X:matmul(W)):matmul(V) * 0.5):tanh():sum() end
    local exact = gradients(loss, {W})[1]
    for _, bits in ipairs{8, 2} do
      local step, chi = tk.step(loss, {bits = bits, small = 0}), 0
      local off, error_of_mean = tensors.deviations(flat(exact), function()
        step()
        return flat(W.grad)
      end, 400)
      for i, x in ipairs(off) do
        local error = math.max(error_of_mean[i], math.sqrt(1e-16 / 399))
        chi = chi + (x / error) ^ 2 / #off
        assert.is_true(math.abs(x) < 5.5 * error + 1e-5, bits .. ' bits, element ' .. i)
      end
      assert.is_true(chi < 2.5, chi)
      assert.equal('quantize', rows_of(step, 'matmul')[1].rule)
    end
  end)

  it('may be used often, with the parameter shared, nested and in itself', function()
    local function net(act, mix)
      return function()
        local h = act(act(X:matmul(W)))
        return (act(mix(h, V, 0)) + mix(act(h), V, 1)):square():sum()
      end
    end
    local outer = tk.custom{ -- one in its forward, one in its backward
      name = 'outer',
      forward = function(ctx, x)
        ctx.x = x
        return swish(x)
      end,
      backward = function(ctx, dy)
        local s = ctx.x:sigmoid()
        return reversed(dy, 1) * (s + swish(ctx.x) * (1 - s))
      end,
    }
    local want = gradients(net(swish_of, affine_of), {W, V})
    for _, act in ipairs{swish, outer} do
      for _, options in ipairs{false, {bits = 32}} do
        local got = gradients(net(act, affine), {W, V}, options)
        near(want[1], got[1], 1e-5)
        near(want[2], got[2], 1e-5)
      end
    end
  end)
end)

describe('a gradient of its own', function()
  it('is used: straight through, reversed, clipped', function()
    for _, bits in ipairs(WIDTHS) do
      local w = tk.parameter(tk.tensor{{1, -2, 3}, {0.05, 5, -6}})
      local g = tk.tensor{{1, 2, 3}, {-4, 0.01, 6}}
      local function of(op, ...)
        local more = {...}
        return gradients(function() return (op(w, unpack(more)) * g):sum() end, {w}, {bits = bits})
      end
      same(bytes(g), bytes(of(through)[1]))
      same(bytes(g * -0.5), bytes(of(reversed, 0.5)[1]))
      same(bytes(g:clamp(-0.05, 0.05)), bytes(of(clipped)[1]))
    end
  end)

  it('that is not linear has no noise to clip', function()
    local function loss() return (clipped(X:matmul(W):tanh()):matmul(V):sigmoid() * 3):sum() end
    local exact = gradients(loss, {W}, {bits = 32})
    same(bytes(exact[1]), bytes(gradients(loss, {W}, {bits = 2})[1]))
  end)

  it('of an argument given twice is the sum of both', function()
    local odd = tk.custom{name = 'odd', forward = function(_, a, b) return a * b end,
                          backward = function(_, dy) return dy * 3, dy * 5 end}
    local w = tk.parameter(tk.tensor{1, 2})
    for _, options in ipairs{false, {bits = 2}} do
      local got = gradients(function() return odd(w, w):sum() end, {w}, options)
      assert.same({8, 8}, got[1]:totable())
    end
  end)

  it('may be one value for two arguments that have gradients already', function()
    local ids = tk.ids{1, 1, 0}
    local both = tk.custom{
      name = 'both',
      forward = function(_, a, b) return (a + b):gather(ids) end,
      backward = function(_, dy)
        local sum = dy:scatter_add(ids, 2)
        return sum, sum
      end,
    }
    local a, b = tk.parameter(tk.ones(2, 2)), tk.parameter(tk.ones(2, 2))
    local function loss() -- later readers' gradients arrive first
      local y = both(a, b)
      return y:sum() + (a * 10):sum() + (b * 100):sum()
    end
    for _, options in ipairs{false, {bits = 2}} do
      local got = gradients(loss, {a, b}, options)
      assert.same({{11, 11}, {12, 12}}, got[1]:totable())
      assert.same({{101, 101}, {102, 102}}, got[2]:totable())
    end
  end)

  it('may be nil, a constant, or a value of forward as it is', function()
    local w, v = tk.parameter(tk.tensor{1, 2}), tk.parameter(tk.tensor{3, 4})
    local constant = tk.custom{
      name = 'constant',
      forward = function(ctx, a, b, ids)
        assert.equal('i32', ids:dtype())
        ctx.a = a * 2
        return (a + b):gather(ids)
      end,
      backward = function(ctx) return ctx.a, nil, nil end,
    }
    for _, options in ipairs{false, {bits = 2}} do
      local got = gradients(function() return constant(w, v, tk.ids{0, 1, 1}):sum() + v:sum() end,
                            {w, v}, options)
      assert.same({2, 4}, got[1]:totable())
      assert.same({1, 1}, got[2]:totable())
    end
  end)

  it('updates parameters in a step', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local step = tk.step(function() return reversed(w, 1):sum() end,
                         {optimizer = tk.optim.sgd{lr = 0.5}})
    step()
    assert.same({1.5, 2.5}, w:totable())
  end)
end)

describe('a custom op\'s plan', function()
  it('has neither upstream nor detach nor custom_vjp in it, nor backward in forward', function()
    local step = tk.step(function() return swish(X:matmul(W)):detach():matmul(V):sum() end)
    step:plan()
    local text = step:program()
    for _, name in ipairs{'upstream', 'custom_vjp', 'detach'} do assert.is_nil(text:find(name)) end
    local plain = tk.step(function() return swish_of(X:matmul(W)):detach():matmul(V):sum() end)
    assert.equal(plain:plan():figure 'nodes', step:figure 'nodes')
  end)

  it('has what two gradients are made of once', function()
    local w, v = parameter(13, 7), parameter(7, 4)
    local step = tk.step(function() return affine(w, v, 0):sum() end):plan()
    local _, squares = step:program():gsub('\nb +%d+  square ', '')
    assert.equal(1, squares)
  end)

  it('keeps what backward reads: nothing, or what ctx has, in few bits', function()
    local function step_of(act)
      return tk.step(function() return act(X:matmul(W)):sum() end, {bits = 2, small = 0}):plan()
    end
    local nothing = step_of(through)
    assert.equal(0, nothing:figure 'stored_bytes')
    assert.equal(0, nothing:figure 'reference_bytes')
    local slope = step_of(tk.custom{ -- a slope that forward has made is linear in backward
      name = 'slope',
      forward = function(ctx, x)
        ctx.slope = (x * 0.5):tanh()
        return x:tanh()
      end,
      backward = function(ctx, dy) return dy * ctx.slope end,
    })
    local rows = slope:kept()
    assert.equal(4 * 13 * 9, slope:figure 'reference_bytes') -- as ctx.save_for_backward
    local kept = {}
    for _, row in ipairs(rows) do
      if row.kept_bytes > 0 then kept[#kept + 1] = row.op .. row.bits end
    end
    assert.same({'tanh2'}, kept)
    assert.matches('ops_custom_spec%.lua:%d+', rows[#rows].where)
  end)

  it('counts of swish what autograd.Function would save, once', function()
    local step = tk.step(function()
      local h = X:matmul(W)
      return swish(h):square():sum() + h:square():sum()
    end):plan()
    assert.equal(3 * 4 * 13 * 9, step:figure 'reference_bytes') -- h, s, y
  end)

  it('heeds saved_as of its result', function()
    local step = tk.step(function()
      local y = swish(X:matmul(W)):saved_as('exact')
      return (y * y:detach()):matmul(V):sum()
    end, {bits = 2, small = 0}):plan()
    assert.equal('exact', rows_of(step, 'mul')[1].rule)
  end)

  it('is another one with another backward, and is found again', function()
    local twice = tk.custom{name = 'twice', forward = function(_, x) return x end,
                            backward = function(_, dy) return dy * 2 end}
    local thrice = tk.custom{name = 'thrice', forward = function(_, x) return x end,
                             backward = function(_, dy) return dy * 3 end}
    local w = tk.parameter(tk.tensor{1, 2})
    local step = tk.step(function(x) return ((x:count() > 1 and twice or thrice)(w)):sum() end)
    local one, two = tk.zeros(1), tk.zeros(2)
    for _ = 1, 3 do
      step(two)
      assert.same({2, 2}, w.grad:totable())
      step(one)
      assert.same({3, 3}, w.grad:totable())
    end
    assert.equal(2, step:figure 'plans')
  end)

  it('may have its rows gathered: the gradient is of the whole', function()
    local table_ = parameter(40, 6)
    local ids = tk.ids{3, 3, 39, 0}
    local function net(act)
      return function() return act(table_:tanh()):gather(ids):square():sum() end
    end
    local function clip_of(x) return clipped(x) end -- not linear: rows gathered twice matter
    near(gradients(net(swish_of), {table_})[1],
         gradients(net(swish), {table_}, {bits = 32})[1], 1e-6)
    same(bytes(gradients(net(clip_of), {table_}, {rows = false})[1]),
         bytes(gradients(net(clip_of), {table_}, {bits = 32})[1]))
  end)

  it('runs in tiles of rows like another\'s', function()
    local big, w = noise(2600, 8), parameter(8, 8)
    local function net(act) return function() return act(act(big:matmul(w))):square():mean() end end
    near(gradients(net(swish_of), {w})[1], gradients(net(swish), {w}, {bits = 32})[1], 1e-4)
  end)

  it('outlives what is dropped from a long tape', function()
    local y = swish(X:matmul(W))
    local junk = X
    for _ = 1, 5000 do junk = junk + 1 end
    collectgarbage()
    junk = junk * 0
    local loss = (y + junk:matmul(tk.zeros(7, 9))):square():sum()
    loss:backward()
    local got = W.grad:clone()
    near(gradients(function() return swish_of(X:matmul(W)):square():sum() end, {W})[1], got, 1e-6)
  end)
end)

describe('a mistake in a custom op', function()
  local function op(backward, forward)
    return tk.custom{name = 'mine', forward = forward or function(_, x) return x:tanh() end,
                     backward = backward}
  end
  local here = 'ops_custom_spec%.lua:%d+: '

  it('names the op and the recipe\'s line', function()
    local wrong = op(function(_, dy) return dy:sum(1) end)
    assert.matches(here .. 'mine: backward returned f32 %[7%] as the gradient of argument 1, ' ..
                   'which is f32 %[13, 7%]', message(function() return (wrong(X)) end))
    assert.matches(here .. 'mine: backward returned f32 %[7%]',
                   message(tk.step(function() return wrong(X):sum() end)))
    assert.matches(here .. 'mine: backward returned a number',
                   message(function() return (op(function() return 1 end)(X)) end))
    assert.matches(here .. 'mine: backward returned 2 gradients for 1 arguments',
                   message(function() return (op(function(_, dy) return dy, dy end)(X)) end))
    assert.matches(here .. 'mine: backward returned a gradient for argument 2, which is a number',
                   message(function() return (op(function(_, dy) return dy, dy end)(X, 3)) end))
    assert.matches(here .. 'mine: forward must return one f32 tensor, not a nil',
                   message(function() return (op(print, function() return nil end)(X)) end))
    assert.matches(here .. 'mine: forward must return one f32 tensor, not 2 values',
                   message(function() return (op(print, function(_, x) return x, x end)(X)) end))
    assert.matches(here .. 'matmul: f32 %[13, 7%] and f32 %[13, 7%] do not fit',
                   message(function()
                     return (op(function(_, dy) return (dy:matmul(dy)) end)(X))
                   end))
    assert.matches(here .. 'custom: spec.backward is nil, expected a function',
                   message(function() tk.custom{name = 'mine', forward = print} end))
    assert.matches(here .. 'custom: unknown option vjp',
                   message(function()
                     tk.custom{name = 'mine', forward = print, backward = print, vjp = print}
                   end))
  end)

  it('upstream: its gradient has no numbers when backward is called', function()
    local stolen
    local looks = op(function(_, dy) return dy * dy:sum():item() end)
    local steals = op(function(_, dy)
      stolen = dy
      return dy
    end)
    local why = here .. 'the gradient that a custom op\'s backward is called with has no numbers'
    assert.matches(why, message(function() return (looks(W)) end))
    assert.matches(why, message(tk.step(function() return (steals(W) + stolen):sum() end)))
  end)
end)

describe('detach', function()
  it('is a value without a gradient, in steps and outside', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local function loss() return (w:square():detach() * w + w:detach()):sum() end
    for _, bits in ipairs(WIDTHS) do
      assert.same({1, 4}, gradients(loss, {w}, {bits = bits})[1]:totable())
    end
    assert.same({1, 4}, gradients(loss, {w})[1]:totable())
    assert.same({1, 4}, w:square():detach():totable())
    assert.equal('i32', tk.ids{1}:detach():dtype())
  end)

  it('of all parameters leaves none', function()
    assert.matches('backward: the loss depends on no parameter',
                   message(tk.step(function() return W:detach():sum() end)))
  end)

  it('makes a constant of a value that was looked at', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local y = w * 2
    assert.same({2, 4}, y:totable())
    assert.same({2, 4}, gradients(function() return (y:detach() * w):sum() end, {w})[1]:totable())
  end)

  it('counts for nothing, and lets rows through', function()
    local big = parameter(50, 6)
    local ids = tk.ids{1, 2}
    local step = tk.step(function()
      local h = big:tanh():detach():gather(ids)
      return h:matmul(big:gather(ids), {transpose_b = true}):sum()
    end):plan()
    assert.matches('tanh +%d+  f32 %[2, 6%]', step:program())
    assert.equal(4 * 2 * 6, step:figure 'reference_bytes') -- the product's left side alone
  end)
end)
