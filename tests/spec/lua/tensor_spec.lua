-- Tensors as a script sees them: made, read, printed, freed. Ops have specs of their own.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local fixtures = require 'tests.support.fixtures'
local reference = require 'tests.support.reference_ops'
local shell = require 'tests.support.shell'

local message_of = fixtures.message

local function line() return debug.getinfo(2, 'l').currentline end

--- Checks that the error of `fn`, a function of one line, blames that line and says `what`.
local function blames(what, fn)
  local message, at = message_of(fn), debug.getinfo(fn, 'S').linedefined
  assert.matches('^%S*tests/spec/lua/tensor_spec.lua:' .. at .. ': ', message)
  assert.matches(what, message, 1, true)
end

local function f32(x) return reference.f32(x) end

describe('a tensor', function()
  it('is made from numbers and tables', function()
    assert.same({{1, 2}, {3, 4}}, tk.tensor{{1, 2}, {3, 4}}:totable())
    assert.same({2, 2}, tk.tensor{{1, 2}, {3, 4}}:size())
    assert.same({1}, tk.tensor(7):size())
    assert.equal(7, tk.tensor(7):item())
    assert.same({{{1}, {2}}}, tk.tensor{{{1}, {2}}}:totable())
    assert.same({1, 2, 1}, tk.tensor{{{1}, {2}}}:size())
    assert.same({0}, tk.tensor{}:size())
    assert.same({}, tk.tensor{}:totable())
    local x = tk.tensor{1, 2}
    assert.not_equal(x, tk.tensor(x))
    assert.same({1, 2}, tk.tensor(x):totable())
  end)

  it('holds single precision, infinities and NaN', function()
    local t = tk.tensor{0.1, 1 / 0, -1 / 0, 0 / 0, 1e-45, 3.4028235e38, -0.0}:totable()
    assert.equal(f32(0.1), t[1])
    assert.equal(math.huge, t[2])
    assert.equal(-math.huge, t[3])
    assert.not_equal(t[4], t[4])
    assert.equal(f32(1e-45), t[5])
    assert.equal(f32(3.4028235e38), t[6])
    assert.equal(-math.huge, 1 / t[7])
  end)

  it('is made with a shape', function()
    assert.same({{0, 0, 0}, {0, 0, 0}}, tk.zeros(2, 3):totable())
    assert.same({{0, 0, 0}, {0, 0, 0}}, tk.zeros{2, 3}:totable())
    assert.same({1, 1}, tk.ones(2):totable())
    assert.same({{-1.5}}, tk.full(-1.5, 1, 1):totable())
    assert.same({2, 3, 4, 5}, tk.zeros(2, 3, 4, 5):size())
    assert.same({0, 3}, tk.zeros(0, 3):size())
    assert.equal(5, tk.zeros():item() + 5)
    assert.equal(0, tk.zeros():rank())
  end)

  it('of ids is int32 and 0-based', function()
    local i = tk.ids{0, 2, -1, 2147483647, -2147483648}
    assert.equal('i32', i:dtype())
    assert.same({0, 2, -1, 2147483647, -2147483648}, i:totable())
    assert.equal(i, tk.ids(i))
    assert.same({{1, 2}, {3, 4}}, tk.ids{{1, 2}, {3, 4}}:totable())
    assert.same({4, 5}, tk.ids(ffi.new('int32_t[3]', {4, 5, 6}), 2):totable())
  end)

  it('of random ops outside of steps follows the seed too, whatever ran before', function()
    local function drop() return tk.ones(64):dropout(0.5) end
    for _, draw in ipairs{drop, function() return (tk.no_grad(drop)) end} do
      tk.seed(3)
      local first = draw():totable()
      assert.not_same(first, draw():totable())
      local before = drop() -- not looked at before the seed changes
      tk.seed(3)
      assert.same(first, draw():totable())
      assert.equal(64, #before:totable())
    end
  end)

  it('of random numbers follows the seed', function()
    local function draw(seed)
      tk.seed(seed)
      return tk.randn(3, 5):totable(), tk.rand(4):totable(), tk.xavier(6, 2):totable()
    end
    local a, b, c = draw(1)
    assert.same({a, b, c}, {draw(1)})
    assert.not_same(a, (draw(2)))
    assert.not_same(tk.randn(8):totable(), tk.randn(8):totable())
  end)

  it('of random numbers has the distribution that its name says', function()
    tk.seed(3)
    local n = 40000
    local normal, uniform, glorot = tk.randn(n):values(), tk.rand(n):values(), tk.xavier(200, 100)
    local sum, square, low, high, mean = 0, 0, 1, 0, 0
    for i = 0, n - 1 do
      sum, square = sum + normal[i], square + normal[i] ^ 2
      low, high, mean = math.min(low, uniform[i]), math.max(high, uniform[i]), mean + uniform[i] / n
    end
    assert.near(0, sum / n, 5 / math.sqrt(n))
    assert.near(1, square / n, 5 * math.sqrt(2 / n))
    assert.near(0.5, mean, 5 / math.sqrt(12 * n))
    assert.is_true(low >= 0 and low < 0.001 and high < 1 and high > 0.999)
    local bound, most = math.sqrt(6 / 300), 0
    local values = glorot:values()
    for i = 0, 19999 do most = math.max(most, math.abs(values[i])) end
    assert.is_true(most <= f32(bound) and most > 0.99 * bound)
  end)

  it('shows its shape', function()
    for _, t in ipairs {tk.zeros(2, 3, 4), tk.zeros(2, 3, 4) + 1} do
      assert.same({2, 3, 4}, t:size())
      assert.equal(2, t:size(1))
      assert.equal(4, t:size(3))
      assert.equal(4, t:size(-1))
      assert.equal(2, t:size(-3))
      assert.equal(3, t:rank())
      assert.equal(24, t:count())
      assert.equal('f32', t:dtype())
      assert.is_true(tk.is_tensor(t))
    end
    assert.is_false(tk.is_tensor{1, 2})
  end)

  it('takes another shape; -1 stands for the rest', function()
    local t = tk.tensor{{1, 2, 3}, {4, 5, 6}}
    assert.same({{1, 2}, {3, 4}, {5, 6}}, t:reshape(-1, 2):totable())
    assert.same({{1, 2}, {3, 4}, {5, 6}}, t:reshape{3, -1}:totable())
    assert.same({6}, t:reshape(-1):size())
    assert.same({{{1, 2, 3}, {4, 5, 6}}}, t:reshape(1, 2, -1):totable())
    assert.same({{1, 2, 3}, {4, 5, 6}}, t:totable())
  end)

  it('is written in place', function()
    local t = tk.zeros(2, 2)
    assert.equal(t, t:write{1, 2, 3, 4})
    assert.same({{1, 2}, {3, 4}}, t:totable())
    t:write({9}, 2)
    assert.same({{1, 2}, {9, 4}}, t:totable())
    t:write(ffi.new('float[4]', {5, 6, 7, 8}))
    assert.same({{5, 6}, {7, 8}}, t:totable())
    assert.matches('elements 4%.%.4 are outside a tensor of 4', message_of(t.write, t, {1}, 4))
    assert.matches('are outside a tensor of 4', message_of(t.write, t, {1, 2, 3, 4, 5}))
  end)

  it('takes over the numbers of another', function()
    local t, from = tk.zeros(2, 2), tk.tensor{1, 2, 3, 4}
    assert.equal(t, t:copy(from * 2))
    assert.same({{2, 4}, {6, 8}}, t:totable())
    assert.same({1, 2, 3, 4}, from:totable())
    assert.matches('copy: f32 %[3%] does not fit in f32 %[2, 2%]',
                   message_of(t.copy, t, tk.ones(3)))
    assert.matches('copy: i32 %[4%] does not fit', message_of(t.copy, t, tk.ids{1, 2, 3, 4}))
    assert.matches('copy: from is a table, expected a tensor', message_of(t.copy, t, {1, 2, 3, 4}))
  end)

  it('is copied by clone', function()
    for _, t in ipairs {tk.tensor{1, 2}, tk.tensor{0, 1} + 1, tk.parameter(tk.tensor{1, 2})} do
      local copy = t:clone()
      t:write{8, 9}
      assert.same({1, 2}, copy:totable())
      assert.equal(0, C.tkg_tensor_is_parameter(copy.kept))
    end
    assert.equal('i32', tk.ids{1}:clone():dtype())
  end)

  it('gives its numbers as an FFI array', function()
    local values, n = (tk.tensor{1.5, 2} * 2):values()
    assert.equal(2, n)
    assert.equal(3, values[0])
    values, n = tk.ids{7}:values()
    assert.equal(1, n)
    assert.equal(7, values[0])
    assert.equal(0, select(2, tk.zeros(0, 4):values()))
  end)
end)

describe('a value', function()
  it('is computed once, when it is read', function()
    local x = tk.tensor{1, 2}
    local y = x * 2 + 1
    assert.is_nil(rawget(y, 'kept'))
    assert.same({3, 5}, y:totable())
    assert.is_not_nil(rawget(y, 'kept'))
    x:write{10, 20}
    assert.same({3, 5}, y:totable())
    assert.same({4, 6}, (y + 1):totable())
  end)

  it('survives the compaction of the tape', function()
    local x = tk.tensor{1, 2}
    local early, chain, many = x + 0.5, x * 1, {}
    local longest = 0
    for i = 1, 12000 do
      local y = x + i
      if i % 1000 == 0 then many[#many + 1] = y end
      if i % 50 == 0 then chain = chain + 1 end
      if i % 2000 == 0 then collectgarbage() end
      longest = math.max(longest, C.tkg_tape_length(runtime.ambient.c))
    end
    assert.is_true(longest < 9000, 'the tape grew to ' .. longest)
    for i, y in ipairs(many) do assert.same({1000 * i + 1, 1000 * i + 2}, y:totable()) end
    assert.same({1.5, 2.5}, early:totable())
    assert.same({241, 242}, chain:totable())
  end)

  it('that an op reads is the one that was meant, though the collector is due meanwhile', function()
    local y = tk.ones(4) * 3 -- of the tape before the seed, computed when it is read
    tk.seed(2)
    local before, a = tk.ones(4) + 1, tk.tensor{1, 2, 3, 4} * 10
    local live = tk.full(-7, 4) * 1
    before = before:totable()
    runtime.uncollected(function() end)
    runtime.allocated(2 ^ 28 - 16)
    local z = a + y
    assert.same({13, 23, 33, 43}, z:totable())
    assert.same({-7, -7, -7, -7}, live:totable())
    assert.equal(2, before[1])
    tk.seed(1)
  end)

  it('survives the compaction of the tape with its way back', function()
    local w = tk.parameter(tk.tensor{1, 2})
    local y = w * w
    for i = 1, 10000 do
      local _ = w + i
      if i % 2000 == 0 then collectgarbage() end
    end
    local loss = (y + w):sum()
    loss:backward()
    assert.same({3, 5}, w.grad:totable())
  end)
end)

describe('printing', function()
  it('shows a line of facts and every row of a small tensor', function()
    local t = tk.tensor{{1, 2}, {3, -4}}
    assert.equal(table.concat({
      'f32 [2, 2] ' .. tk.device() .. '  mean 0.5  sd 2.693  min -4  max 3',
      '         1          2',
      '         3         -4'}, '\n'), tostring(t))
  end)

  it('shows at most 3 + 3 rows and columns', function()
    local list = {}
    for i = 1, 700 do list[i] = i end
    local text = tostring(tk.zeros(7, 100):write(list))
    local rows = {}
    for row in text:gmatch '[^\n]+' do rows[#rows + 1] = row end
    assert.equal(8, #rows) -- facts, three rows, dots, three rows
    assert.equal(('f32 [7, 100] %s  mean 350.5  sd 202.1  min 1  max 700'):format(tk.device()),
                 rows[1])
    assert.same({'1', '2', '3', '...', '98', '99', '100'},
                (function()
                  local cells = {}
                  for cell in rows[2]:gmatch '%S+' do cells[#cells + 1] = cell end
                  return cells
                end)())
    assert.equal('...', rows[5]:match '%S+')
    assert.equal('401', rows[6]:match '%S+')
    assert.equal('601', rows[8]:match '%S+')
    local _, lines = tostring(tk.zeros(6, 6)):gsub('\n', '')
    assert.equal(6, lines)
    assert.is_nil(tostring(tk.zeros(6, 6)):find('...', 1, true))
  end)

  it('shows how much large numbers differ, and infinities', function()
    assert.matches('sd 0.8165', tostring(tk.ids{2000000000, 2000000001, 2000000002}), 1, true)
    assert.matches('mean inf  sd nan  min 1  max inf\n', tostring(tk.tensor{1, 1 / 0}), 1, true)
  end)

  it('counts NaN apart', function()
    local text = tostring(tk.tensor{1, 0 / 0, 3, 0 / 0})
    assert.matches('mean 2  sd 1  min 1  max 3  NaN 2', text, 1, true)
    assert.matches('^f32 %[1%] %S+  NaN 1\n', tostring(tk.tensor{0 / 0}))
  end)

  it('says what else there is to know', function()
    assert.matches('^f32 %[2%] %S+ parameter  mean', tostring(tk.parameter(tk.ones(2))))
    assert.matches('^i32 %[2%] %S+  mean 3 .*\n +1 +5$', tostring(tk.ids{1, 5}))
    assert.equal('f32 [0, 3] ' .. tk.device(), tostring(tk.zeros(0, 3)))
    assert.equal('f32 [3, 0] ' .. tk.device(), tostring(tk.zeros(3, 0)))
    assert.matches('^f32 %[%] %S+  mean 2 .*\n +2$', tostring(tk.tensor{2}:sum()))
    assert.matches('^f32 %[2, 2, 2%] %S+', tostring(tk.ones(2, 2, 2)))
    assert.matches('mean 2', tostring(tk.ones(2) + 1)) -- computed to be shown
  end)
end)

describe('errors name the line of the recipe', function()
  local a = tk.ones(2, 3)

  it('when tensors are made', function()
    blames('rows differ in length: expected 2, found 1', function() tk.tensor{{1, 2}, {3}} end)
    blames('expected a number, found string', function() tk.tensor{1, 'x'} end)
    blames('tensor or another object: tk.stack', function() tk.tensor{tk.ones(2), tk.ones(2)} end)
    blames('tk.stack and tk.cat join tensors', function() tk.tensor{1, tk.ones(2)} end)
    blames('tk.stack and tk.cat join tensors', function() tk.ids{tk.ids{1}} end)
    blames('rows differ in length: expected 1, found number', function() tk.tensor{{1}, 2} end)
    blames('tensor: list is nil, expected a number or a table or a tensor',
           function() tk.tensor() end)
    blames('ids: 0.5 at position 2 is not an int32', function() tk.ids{1, 0.5} end)
    blames('is not an int32', function() tk.ids{2 ^ 31} end)
    blames('zeros: argument 2 is 1.5, expected a whole number', function() tk.zeros(2, 1.5) end)
    blames('dimension 1 of a tensor is -1, less than 0', function() tk.zeros(-1) end)
    blames('5 dimensions asked for, at most 4', function() tk.zeros(1, 1, 1, 1, 1) end)
    blames('more than 2^48 elements', function() tk.zeros(2 ^ 40, 2 ^ 40) end)
    blames('parameter: ids cannot be trained', function() tk.parameter(tk.ids{1}) end)
    blames('parameter: t is a table, expected a tensor', function() tk.parameter{1} end)
  end)

  it('when ops are recorded', function()
    blames('f32 [2, 3]', function() local _ = a:matmul(a) end)
    blames('f32 [4]', function() local _ = a + tk.ones(4) end)
    blames('arithmetic on a tensor and a string', function() local _ = a + 'x' end)
    blames('reshape', function() local _ = a:reshape(4, 2) end)
    blames('reshape', function() local _ = a:reshape(-1, -1) end)
    blames('dimension 3 of a tensor with 2', function() local _ = a:sum(3) end)
    blames('matmul: b is a table, expected a tensor', function() local _ = a:matmul{1} end)
  end)

  it('when numbers are asked for', function()
    blames('size: dimension 3 of a tensor with 2', function() local _ = a:size(3) end)
    blames('size: dimension -3 of a tensor with 2', function() local _ = a:size(-3) end)
    blames('item: a tensor of 6 elements is not one number', function() local _ = a:item() end)
    blames('backward: this value has been computed', function() a:backward() end)
    local ids = tk.ids{2}
    local at = line() + 1
    local rows = a:gather(ids)
    local message = message_of(rows.totable, rows)
    assert.matches('tensor_spec.lua:' .. at .. ': gather: id 2', message, 1, true)
  end)
end)

describe('memory', function()
  --- Live bytes when nothing is left that could go.
  local function settled()
    for _ = 1, 3 do
      collectgarbage()
      runtime.compact(true)
    end
    return tk.memory().live
  end

  it('is freed by the collector', function()
    local before = settled()
    do
      local kept = {}
      for i = 1, 50 do
        local x = tk.parameter(tk.rand(100, 100))
        local y = (x * i):relu()
        if i % 2 == 0 then y:totable() end
        if i % 5 == 0 then
          local loss = (y + x * 1):sum()
          if i % 2 ~= 0 then loss:backward() end
        end
        kept[i] = y
      end
      assert.equal(50, #kept)
      assert.is_true(tk.memory().live.parameter >= before.parameter + 50 * 40000)
    end
    local after = settled()
    for _, kind in ipairs {'parameter', 'gradient', 'optimizer', 'data', 'graph'} do
      assert.equal(before[kind], after[kind], kind)
    end
  end)

  it('is freed by free(), at once', function()
    settled()
    collectgarbage 'stop'
    local before = tk.memory().live.data
    local x = tk.zeros(100, 100)
    local y = x + 1
    y:totable()
    assert.equal(before + 80000, tk.memory().live.data)
    x:free()
    assert.equal(before + 40000, tk.memory().live.data) -- though the tape had read it
    y:free()
    assert.equal(before, tk.memory().live.data)
    collectgarbage 'restart'
    x:free() -- twice does no harm
    for name, use in pairs {
      totable = function() x:totable() end, add = function() return x + 1 end,
      size = function() x:size() end, dtype = function() x:dtype() end,
      print = function() tostring(y) end, clone = function() y:clone() end,
    } do
      assert.matches('^%S*tensor_spec.lua:%d+: this tensor was freed by free%(%)$',
                     message_of(use), name)
    end
    local loss = (tk.parameter(tk.ones(2)) * 2):sum()
    loss:backward()
    loss:free()
    for i = 1, 5000 do local _ = tk.ones(1) + i end -- the tape forgets them without harm
  end)

  it('is not freed while a value still needs it', function()
    local x = tk.tensor{1, 2}
    local y = x + 1
    x:free()
    assert.same({2, 3}, y:totable())
  end)

  it('of garbage of a loop is freed without being asked', function()
    settled()
    local x, most = tk.zeros(1000, 1000), 0
    for i = 1, 200 do -- 800 MB
      (x + i):keep()
      most = math.max(most, tk.memory().live.total)
    end
    assert.is_true(most < 500e6, 'there were ' .. most .. ' bytes')
    settled()
  end)

  it('of results and gradients of many steps is freed without being asked', function()
    local w = tk.parameter(tk.zeros(1000, 1000))
    local step = tk.step(function() return w:square():sum(), w * 2 end)
    local LOOPS = {
      step = function() local _, y = step() return y end,
      gradient = function() step() return w.grad end,
      no_grad = function() return tk.no_grad(function() return w * 2 end) end,
    }
    for name, fn in pairs(LOOPS) do
      settled()
      local most = 0
      for _ = 1, 200 do -- 800 MB
        fn()
        most = math.max(most, tk.memory().live.total)
      end
      assert.is_true(most < 500e6, ('%s: there were %d bytes'):format(name, most))
    end
    w, step = nil, nil
    settled()
  end)

  it('peak and live are counted by kind', function()
    settled()
    C.tkg_memory_reset_peak(runtime.engine)
    local start = tk.memory()
    assert.same(start.live, start.peak)
    local p = tk.parameter(tk.zeros(1000))
    assert.equal(start.live.parameter + 4000, tk.memory().live.parameter)
    assert.equal(start.live.data, tk.memory().live.data)
    p:free()
    local later = tk.memory()
    assert.equal(start.live.parameter, later.live.parameter)
    assert.equal(start.live.parameter + 4000, later.peak.parameter)
    assert.is_true(later.peak.total >= start.live.total + 4000)
  end)

  it('is handled by finalizers in any order, at the end of a program too', function()
    local script = fixtures.dir{['x.lua'] = [[
      local tk = require 'tinykg'
      local w = tk.parameter(tk.randn(20, 20))
      local step = tk.step(function(x) return (x:matmul(w)):relu():sum() end,
                           {optimizer = tk.optim.adam(), bits = 2})
      local held = {}
      for i = 1, 300 do
        local x = tk.randn(20, 20)
        step(x)
        held[i % 7] = {x + w, x, (x * 2):sum()}
        if i % 50 == 0 then collectgarbage() end
      end
      step, w, held = nil, nil, held[3]
      collectgarbage()
      collectgarbage()
      io.write('done ', held[3]:count())
    ]]} .. '/x.lua'
    assert.equal('done 1', shell.gives(0, (os.getenv 'LUAJIT' or 'luajit') .. ' ' .. script))
    fixtures.clean()
  end)
end)

describe('settings', function()
  it('are read back, and refused in words', function()
    assert.matches('^%d+%.%d+%.%d+$', tk.version)
    tk.seed(42)
    assert.equal(42, tk.seed())
    tk.seed(1)
    tk.threads(2)
    assert.equal(2, tk.threads())
    tk.threads(0)
    assert.is_true(tk.threads() >= 1)
    assert.equal('string', type(tk.device()))
    blames('seed: -1 is not a whole number >= 0', function() tk.seed(-1) end)
    blames('threads: -1 is not in 0..1024', function() tk.threads(-1) end)
    blames("device 'abacus' is not one of auto, cpu", function() tk.device 'abacus' end)
    assert.is_nil(tk.no_such_thing)
  end)
end)
