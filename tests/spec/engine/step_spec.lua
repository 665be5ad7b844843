-- Training steps as recipes use them: what they return, what they refuse, and that a step that
-- failed leaves everything usable.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local session = require 'tinykg.engine.runtime'
local tensors = require 'tests.support.tensors'

ffi.cdef 'int raise(int signal_number); int getpid(void);'
local SIGINT = 2
local bytes, same = tensors.bytes, tensors.same

--- The message of an error that fn must raise. Not fixtures.message: a tail call blames the line of
--- the pcall, which must be in this file.
local function message_of(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(message)
end

local function line() return debug.getinfo(2, 'l').currentline end

--- A step that takes `rate` off w when its optimizer has lr = rate: loss = sum(w).
local function falling(options)
  local w = tk.parameter(tk.tensor{5, 7})
  options = options or {}
  options.optimizer = options.optimizer or tk.optim.sgd{lr = 1}
  return tk.step(function() return w:sum() end, options), w, options.optimizer
end

--- Nothing is left behind: tensors, steps and gradients work as ever.
local function check_usable()
  assert.equal(session.ambient, session.tape)
  assert.is_true(session.capture)
  assert.equal(6, (tk.ones(2, 3) * 1):sum():item())
  local step, w = falling()
  assert.equal(12, step())
  assert.same({4, 6}, w:totable())
  local loss = (w * w):sum()
  loss:backward()
  assert.same({8, 12}, w.grad:totable())
end

describe('a step', function()
  it('returns the loss as a number, then tensors', function()
    local x = tk.tensor{{1, 2}, {3, 4}}
    local w = tk.parameter(tk.tensor{{1, 1}})
    local step = tk.step(function(scale)
      local y = x * w
      return (y * scale):sum(), y, y:sum(1), x
    end, {optimizer = tk.optim.sgd{lr = 0.5}})
    local loss, y, columns, again = step(10)
    assert.equal(100, loss)
    assert.same({{1, 2}, {3, 4}}, y:totable())
    assert.same({4, 6}, columns:totable())
    assert.equal(x, again)
    assert.same({{1 - 20, 1 - 30}}, w:totable())
  end)

  it('keeps what keep() names', function()
    local w = tk.parameter(tk.tensor{1, 2, 3})
    local kept, lost
    local step = tk.step(function()
      kept = (w * 2):keep()
      lost = w * 3
      return (kept + lost):sum()
    end)
    assert.equal(30, step())
    local first = kept
    assert.same({2, 4, 6}, kept:totable())
    assert.is_not_nil(message_of(function() return lost:totable() end))
    step()
    assert.same({2, 4, 6}, first:totable()) -- it is a value like others now
    assert.same({3, 5, 7}, (first + 1):totable())
    assert.same({5, 5, 5}, w.grad:totable())
  end)

  it('has no numbers before it has run', function()
    local seen
    local step = tk.step(function()
      local y = tk.parameter(tk.ones(2)) * 2
      seen = tostring(y)
      return y:sum() + y:totable()[1]
    end)
    local message = message_of(step)
    assert.matches('step_spec.lua:%d+: a value of a step has no numbers before the step has run',
                   message)
    assert.matches('^f32 %[2%] of a step', seen)
    check_usable()
  end)

  it('is over when it is over: its values say so, wherever they are used', function()
    local step, w = falling()
    local value
    local keeps = tk.step(function()
      value = w * 2
      return value:sum()
    end)
    keeps()
    step()
    keeps()
    local old = value
    keeps()
    for name, use in pairs {
      totable = function() return old:totable() end, add = function() return old + 1 end,
      size = function() return old:size() end, keep = function() return old:keep() end,
      print = function() return tostring(old) end, dtype = function() return old:dtype() end,
    } do
      assert.matches('^%S*step_spec.lua:%d+: this value belongs to a step that is over: call :keep',
                     message_of(use), name)
    end
    assert.matches('this value belongs to a step that is over',
                   message_of(tk.step(function() return w:sum(), old end)))
    check_usable()
  end)

  it('refuses values of another step that runs', function()
    local foreign
    local w = tk.parameter(tk.ones(2))
    tk.step(function()
      foreign = w * 1
      return foreign:sum()
    end):plan()
    assert.matches('a value of another step cannot be used here',
                   message_of(tk.step(function() return foreign:sum() end)))
    check_usable()
  end)

  it('takes a new learning rate without a new plan', function()
    local step, w, optimizer = falling()
    step()
    assert.same({4, 6}, w:totable())
    optimizer.lr = 0.5
    step()
    assert.same({3.5, 5.5}, w:totable())
    assert.equal(0.5, optimizer.lr)
    optimizer.lr = 0
    step()
    assert.same({3.5, 5.5}, w:totable())
    assert.equal(1, step:figure 'plans')
    assert.equal(3, step.number)
    assert.matches('lr: %-1 is not a number >= 0', message_of(function() optimizer.lr = -1 end))
  end)

  it('without an optimizer leaves gradients', function()
    local w = tk.parameter(tk.tensor{5, 7})
    local step = tk.step(function() return (w * w):sum() end)
    assert.equal(74, step())
    assert.same({10, 14}, w.grad:totable())
    step()
    assert.same({10, 14}, w.grad:totable())
    assert.same({5, 7}, w:totable())
    tk.optim.sgd{lr = 0.1}:update()
    assert.near(4, w:totable()[1], 1e-6)
    assert.is_nil(w.grad)
  end)

  it('may take another way each time', function()
    local a, b = tk.parameter(tk.tensor{1, 2}), tk.parameter(tk.tensor{10, 20})
    local step = tk.step(function(which, n)
      local w = which == 'a' and a or b
      local y = w
      for _ = 1, n do y = y * 2 end
      if which == 'both' then y = y + a end
      local loss = y:sum() -- a tail call would have the caller's line, and plans go by lines
      return loss
    end, {optimizer = tk.optim.sgd{lr = 1}})
    assert.equal(3, step('a', 0))
    assert.same({0, 1}, a:totable())
    assert.equal(120, step('b', 2))
    assert.same({6, 16}, b:totable())
    assert.equal(23, step('both', 0))
    assert.same({-1, 0}, a:totable())
    assert.same({5, 15}, b:totable())
    assert.equal(-1, step('a', 0))
    assert.equal(3, step:figure 'plans')
    assert.equal(20, step('b', 0))
    assert.same({4, 14}, b:totable())
    assert.equal(4, step:figure 'plans') -- those that a plan updates are part of it
  end)

  it('changes only the parameters that the loss depends on', function()
    local a, b = tk.parameter(tk.tensor{1}), tk.parameter(tk.tensor{1})
    local step = tk.step(function() return a:sum(), b * 2 end, {optimizer = tk.optim.adam()})
    local _, twice = step()
    assert.equal(2, twice:item())
    assert.not_equal(1, a:item())
    assert.equal(1, b:item())
  end)

  it('runs in a coroutine, and more than one step in turn', function()
    local step, w = falling()
    local other = falling()
    local run = coroutine.wrap(function()
      for _ = 1, 3 do coroutine.yield(step()) end
    end)
    assert.equal(12, run())
    assert.equal(12, other())
    assert.equal(10, run())
    assert.equal(8, run())
    assert.same({2, 4}, w:totable())
  end)

  it('counts its steps and shows them', function()
    local step = falling{bits = 4}
    assert.equal('step(4 bits, 0 run)', tostring(step))
    step()
    assert.equal('step(4 bits, 1 run)', tostring(step))
    assert.matches('sum', step:program())
    assert.matches('leaf +f32 %[2%]  parameter', step:recorded())
  end)

  it('plans without running', function()
    local step, w = falling()
    step:plan()
    assert.same({5, 7}, w:totable())
    assert.equal(1, step:figure 'plans')
    assert.equal(0, step.number)
    step()
    assert.equal(1, step:figure 'plans')
  end)
end)

describe('a step refuses', function()
  local w = tk.parameter(tk.tensor{{1, 2}, {3, 4}})

  it('a loss that is not one number', function()
    local message = message_of(tk.step(function() return w * 2 end))
    assert.matches('a loss is one number, not f32 %[2, 2%]', message)
    check_usable()
  end)

  it('a loss without a parameter', function()
    local message = message_of(tk.step(function() return tk.ones(3):sum() end))
    assert.matches('the loss depends on no parameter', message)
    message = message_of(tk.step(function() return tk.ones(3):sum() end,
                                 {optimizer = tk.optim.sgd()}))
    assert.matches('the loss depends on no parameter', message)
    check_usable()
  end)

  it('to return nothing, or what is no tensor', function()
    assert.matches('step_spec.lua:%d+: step: the function must return the loss',
                   message_of(tk.step(function() end)))
    assert.matches('must return tensors %(the loss first%), not a number',
                   message_of(tk.step(function() return 3 end)))
    assert.matches('must return tensors %(the loss first%), not a table',
                   message_of(tk.step(function() return w:sum(), {} end)))
    check_usable()
  end)

  it('to run inside another', function()
    local inner = falling()
    local message = message_of(tk.step(function()
      inner()
      return w:sum()
    end))
    assert.matches('step_spec.lua:%d+: a step cannot run inside another', message)
    assert.matches('backward: inside tk.step it is done for you',
                   message_of(tk.step(function() return w:sum():backward() end)))
    check_usable()
  end)

  it('options that it does not know', function()
    local function with(options) return message_of(tk.step, function() end, options) end
    assert.matches('step: unknown option bit', with{bit = 2})
    assert.matches('bits: 3 is not one of 32, 8, 4, 2, 1', with{bits = 3})
    assert.matches("rounding 'up' is not dither, .* or nearest", with{rounding = 'up'})
    assert.matches('step: fn is nil, expected a function', message_of(tk.step))
    check_usable()
  end)
end)

describe('an error inside a step', function()
  it('that the function catches leaves what it records where it belongs', function()
    local x, w = tk.ones(2), tk.parameter(tk.tensor{5, 7})
    local stale = x * 2
    x:write{3, 3}
    local step = tk.step(function()
      assert.matches('was changed after', message_of(function() return w * stale end))
      return w:sum()
    end, {optimizer = tk.optim.sgd{lr = 1}})
    assert.equal(12, step())
    assert.equal(10, step())
    check_usable()
  end)

  it('comes through as it is', function()
    local token = {}
    local ok, raised = pcall(tk.step(function() error(token) end))
    assert.is_false(ok)
    assert.equal(token, raised)
    check_usable()
  end)

  it('leaves step, parameters and optimizer as they were', function()
    local w = tk.parameter(tk.tensor{5, 7})
    local optimizer = tk.optim.adam{lr = 1}
    local fail = false
    local step = tk.step(function()
      local y = w * 1
      if fail then tk.bits(2, function() error 'stop' end) end
      return y:sum()
    end, {optimizer = optimizer})
    step()
    local before = bytes(w)
    fail = true
    assert.matches('stop', message_of(step))
    same(before, bytes(w))
    assert.equal(1, optimizer.t)
    fail = false
    step()
    assert.equal(2, optimizer.t)
    assert.not_equal(before, bytes(w))
    check_usable()
  end)

  it('while running names the line that recorded', function()
    local table_, at = tk.parameter(tk.ones(3, 2)), nil
    local step = tk.step(function(ids)
      at = line() + 1
      return table_:gather(ids):sum()
    end, {optimizer = tk.optim.sgd{lr = 1}})
    local message = message_of(step, tk.ids{0, 3})
    assert.matches('step_spec.lua:' .. at .. ': ', message, 1, true)
    assert.same({{1, 1}, {1, 1}, {1, 1}}, table_:totable())
    assert.equal(4, step(tk.ids{0, 1}))
    assert.same({{0, 0}, {0, 0}, {1, 1}}, table_:totable())
    check_usable()
  end)

  it('names that line with a batch of another size and in no_grad, too', function()
    local table_, at = tk.parameter(tk.ones(3, 2)), nil
    local function loss(ids)
      at = line() + 1
      local rows = table_:gather(ids)
      return rows:sum()
    end
    local step = tk.step(loss, {optimizer = tk.optim.sgd{lr = 1}})
    step(tk.ids{0, 1})
    local place = 'step_spec.lua:%d: gather'
    assert.matches(place:format(at), message_of(step, tk.ids{0, 1, 3}), 1, true)
    tk.no_grad(function() return tk.ones(3):square() end)
    assert.matches(place:format(at), message_of(tk.no_grad, loss, tk.ids{9}), 1, true)
  end)
end)

describe('a value recorded before a change', function()
  it('says so instead of showing a mixture', function()
    local step, w = falling()
    local before = w * 1
    local seen = (w * 1):clone()
    step()
    assert.matches('step_spec.lua:%d+: a value reads a tensor f32 %[2%] that was changed after',
                   message_of(function() return before:totable() end))
    assert.same({5, 7}, seen:totable())
    assert.same({4, 6}, (w * 1):totable())
    check_usable()
  end)

  it('says so after a write, too', function()
    local x = tk.tensor{1, 2}
    local before = x + 1
    x:write{3, 4}
    assert.matches('was changed after the value was recorded',
                   message_of(function() return before:totable() end))
    assert.same({4, 5}, (x + 1):totable())
  end)

  it('may be used in a step while nothing has changed', function()
    local x = tk.tensor{1, 2}
    local lazy = x + 1
    local w = tk.parameter(tk.tensor{1, 1})
    local step = tk.step(function() return (w * lazy):sum() end)
    assert.equal(5, step())
    assert.same({2, 3}, w.grad:totable())
  end)
end)

describe('Ctrl-C', function()
  after_each(function()
    C.tkg_interrupted(1)
    C.tkg_interrupt_watch(0)
  end)

  it('stops a step before it changes anything, and the next one goes on', function()
    local step, w, optimizer = falling{optimizer = tk.optim.adam{lr = 1}}
    C.tkg_interrupt_watch(1)
    ffi.C.raise(SIGINT)
    local ok, raised = pcall(step)
    assert.is_false(ok)
    assert.equal(session.interrupted, raised)
    assert.equal('interrupted', tostring(raised))
    assert.same({5, 7}, w:totable())
    assert.equal(0, optimizer.t)
    assert.equal(SIGINT, C.tkg_interrupted(1))
    assert.equal(0, C.tkg_interrupted(0))
    step()
    assert.equal(1, optimizer.t)
    check_usable()
  end)

  it('stops a value that is computed to be looked at', function()
    C.tkg_interrupt_watch(1)
    ffi.C.raise(SIGINT)
    local y = tk.ones(2) + 1
    assert.equal('interrupted', message_of(function() return y:totable() end))
    C.tkg_interrupted(1)
    assert.same({2, 2}, y:totable())
    check_usable()
  end)

  it('at any moment leaves whole steps: none is half applied', function()
    if os.getenv('TINYKG_CHECK') == 'valgrind' then return pending('signals come too late') end
    local function train(steps, start)
      tk.seed(2)
      local w = {}
      for i = 1, 6 do w[i] = tk.parameter(tk.randn(64, 64) * 0.2) end
      local x = tk.randn(64, 64)
      local optimizer = tk.optim.adam()
      local step = tk.step(function()
        local h = x
        for i = 1, 6 do h = h:matmul(w[i]):relu() end
        return h:square():mean()
      end, {optimizer = optimizer, bits = 2})
      local raised
      if start then start() end
      while not raised and optimizer.t < steps do
        local ok, message = pcall(step)
        if not ok then raised = message end
      end
      local all = {}
      for i = 1, 6 do all[i] = bytes(w[i]) end
      return optimizer.t, table.concat(all), raised
    end
    train(1) -- whatever is done once
    C.tkg_interrupt_watch(1)
    for round = 1, 5 do
      local sender
      local steps, state, raised = train(20000, function()
        -- not os.execute, which ignores the signal while it waits for the shell
        sender = io.popen(('sleep %g; kill -INT %d'):format(0.01 * round, ffi.C.getpid()))
      end)
      sender:close()
      assert.equal(session.interrupted, raised)
      C.tkg_interrupted(1)
      local again, wanted, none = train(steps)
      assert.equal(steps, again)
      assert.is_nil(none)
      same(wanted, state)
    end
  end)
end)

describe('no_grad', function()
  it('computes what it returns, forward only', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local sum, twice = tk.no_grad(function(x) return (w * x):sum(), w * 2 end, tk.tensor{3, 4})
    assert.equal(11, sum:item())
    assert.same({2, 4}, twice:totable())
    assert.is_nil(w.grad)
  end)

  it('inside a step only calls', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local step = tk.step(function() return tk.no_grad(function() return (w * 3):sum() end) end)
    assert.equal(9, step())
    assert.same({3, 3}, w.grad:totable())
  end)

  it('after an error is as before', function()
    assert.matches('stop', message_of(tk.no_grad, function() error 'stop' end))
    check_usable()
  end)
end)

describe('backward', function()
  it('forgets the value that it computed', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local loss = (w * w):sum()
    loss:backward()
    assert.equal(5, loss:item())
    assert.matches('this value has been computed and forgotten how',
                   message_of(function() loss:backward() end))
    check_usable()
  end)

  it('says what a step too large takes, and what fewer bits would take', function()
    local w, x = tk.parameter(tk.randn(1, 65536)), tk.ones(4194304, 1)
    local step = tk.step(function()
      return (x * w):relu():matmul(w, {transpose_b = true}):mean()
    end, {optimizer = tk.optim.sgd {}})
    local ok, message = pcall(step)
    assert.is_false(ok)
    assert.matches('no memory for a step of %d+%.%d MiB', message)
    assert.matches('largest kept for backward: leaky_relu f32 %[4194304, 65536%]', message)
    assert.matches('it would take with 8 bits %d+%.%d MiB, 4 bits', message)
    assert.equal(4, tk.ones(2, 2):sum():item()) -- and nothing is lost
  end)
end)
