-- Small groups, updates that run together, and ids that are computed once: the numbers are those of
-- ops run one by one. The groups are a GPU's, here the emulated one.
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local memory_plan = require 'tests.support.check_memory_plan'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local before = tk.device()

local function on_emu(what, fn)
  it(what, function()
    if not emulation.open('emu') then return pending('not built: make emu-tests') end
    finally(function() tk.device(before) end)
    fn()
  end)
end

--- A regularizer over a few rows: each op that runs in small groups, in up to three dimensions.
local function regularizer(p)
  local k, d = 4, 18
  local apart = (p.a:reshape(k, d, 1) - p.a:reshape(k, 1, d)):square() + 1e-3
  local far = apart:sqrt():sum(3) / d
  local s = p.a:softmax():matmul(p.b)                      -- [k, 6]
  local t = s:matmul(s, {transpose_b = true}):clamp(-2, 2) -- [k, k]
  local u = p.b:matmul(p.b, {transpose_a = true}):tanh()   -- [6, 6]
  local v = tk.cat({s:normalize(), s:log_softmax()}, 2):narrow(2, 3, 5)
  local w = tk.cat({p.c, p.c:sigmoid()}, 1):narrow(1, 2, 4)
  return far:sum() + (t * t:sum(1)):sum() + (u / (u:square() + 1)):mean() + v:leaky_relu(0.2):sum()
    + tk.dot(s, s:dropout(0.25)):sum() + (w:exp() - w:elu(1)):sum()
end

--- Loss and gradients after seeding.
local function run(fn, p, options)
  tk.seed(4)
  local step = tk.step(fn, options)
  local loss, list = step(p), {}
  for _, name in ipairs{'a', 'b', 'c'} do list[name] = tensors.flat(p[name].grad) end
  return loss, list, step
end

local function parameters(seed)
  local drawn = tensors.drawn_from(reference.random(seed))
  return {a = drawn.parameter(4, 18), b = drawn.parameter(18, 6),
          c = tk.parameter(drawn.noise(5, 1):reshape(5))}
end

describe('small groups', function()
  on_emu('give what ops give one by one, and launch less', function()
    for seed = 1, 6 do
      for _, bits in ipairs{32, 2} do
        local p = parameters(seed)
        local options = {bits = bits, small = 0, tiles = false}
        local want, of, alone = run(regularizer, p, options)
        options.tiles = nil
        local got, grads, step = run(regularizer, p, options)
        tensors.near({want}, {got}, 1e-5, 'loss', true)
        for name, values in pairs(of) do
          tensors.near_largest(values, grads[name], 1e-4, name)
        end
        assert.is_true(4 * step:traffic().launches < alone:traffic().launches)
      end
    end
  end)

  on_emu('give the same forward bits at every width', function()
    local p = parameters(9)
    local exact = run(regularizer, p, {bits = 32, small = 0})
    for _, bits in ipairs{8, 2, 1} do
      assert.equal(exact, (run(regularizer, p, {bits = bits, small = 0})))
    end
  end)

  on_emu('wait until a node outside reads them: not amid a group of tiles with a view in it',
         function()
    local drawn = tensors.drawn_from(reference.random(11))
    local x, row, scale = drawn.parameter(300, 16), drawn.parameter(1, 16), drawn.parameter(1, 16)
    local function loss()
      local shift = ((row * scale):tanh() + row):sigmoid() -- waits
      local a = x * 2                                      -- a group of tiles begins,
      local few = row:reshape(16, 1)                       -- a view of something else,
      local b = (a + shift):tanh()                         -- and the group reads what waits
      return (b * b):sum(2):mean() + few:square():sum() + (scale * shift):sum()
    end
    local function run_with(options)
      local step = tk.step(loss, options)
      return step(), tensors.flat(x.grad), tensors.flat(row.grad), tensors.flat(scale.grad), step
    end
    for _, bits in ipairs{32, 2} do
      local want = {run_with{bits = 32, small = 0, tiles = false}}
      local got = {run_with{bits = bits, small = 0}}
      memory_plan.check(got[5], bits)
      tensors.near({want[1]}, {got[1]}, 1e-6, 'loss', true)
      if bits == 32 then
        for k = 2, 4 do tensors.near_largest(want[k], got[k], 1e-5, 'gradient ' .. k) end
      end
    end
  end)

  on_emu('do not take rows of codes for rows of floats', function()
    local drawn = tensors.drawn_from(reference.random(12))
    local p = {a = drawn.parameter(60, 64), b = drawn.parameter(60, 64),
               c = drawn.parameter(64, 64)}
    local ids = drawn.ids(60, 60)
    local function loss() -- backward gathers rows of the first layer from its codes
      return (p.a:matmul(p.c):normalize():gather(ids) * p.b:normalize()):exp():mean()
    end
    for _, bits in ipairs{8, 2} do
      local _, want = run(loss, p, {bits = bits, small = 0, tiles = false})
      local _, got = run(loss, p, {bits = bits, small = 0})
      for name, values in pairs(want) do tensors.near_largest(values, got[name], 1e-4, name) end
    end
  end)

  on_emu('report a bad id with its line', function()
    local x, ids = tk.parameter(tk.randn(6, 3)), tk.ids{1, 2, 6}
    local ok, message = pcall(tk.step(function() return x:gather(ids):square():sum() end))
    assert.is_false(ok)
    assert.matches('small_groups_spec.lua:%d+: gather: id 6 at position 2 is outside 0..5', message)
  end)
end)

describe('tiles on a GPU', function()
  on_emu('take sums of all elements, dot products and rows of ids, and numbers wait behind them',
         function()
    local drawn = tensors.drawn_from(reference.random(5))
    local x, y = drawn.parameter(2000, 12), drawn.parameter(2000, 12)
    local lists, chosen = {}, {}
    for k = 1, 2000 do
      lists[k], chosen[k] = {k % 7, (k * 3) % 11}, (k * 13) % 2000
    end
    lists, chosen = tk.ids(lists), tk.ids(chosen)
    local function loss()
      local rows, others = x:gather(chosen), lists:gather(chosen)
      local likely = tk.dot(rows, y):sigmoid():mean()
      return x:square():sum() * 1e-3 + likely * 0.5 + (rows:tanh():sum(2) * 2):square():sum() * 1e-3
        + y:gather(others:reshape(4000)):square():sum() * 1e-3
    end
    local function run_with(options)
      tk.seed(2)
      local step = tk.step(loss, options)
      return step(), tensors.flat(x.grad), tensors.flat(y.grad), step
    end
    local want = {run_with{bits = 32, small = 0, tiles = false}}
    local got = {run_with{bits = 32, small = 0}}
    tensors.near({want[1]}, {got[1]}, 1e-6, 'loss', true)
    for k = 2, 3 do tensors.near_largest(want[k], got[k], 1e-5, 'gradient ' .. k) end
    memory_plan.check(got[4], 32)
    local inside = {}
    for line in got[4]:program():gmatch('[^\n]+') do
      local op = line:match('^f +%d+ +([%w_]+).*group %d+')
      if op then inside[op] = (inside[op] or 0) + 1 end
    end
    assert.same({1, 5}, {inside.dot, inside.sum})
    assert.is_true(2 * got[4]:traffic().launches < want[4]:traffic().launches)
    local _, _, _, again = run_with{bits = 2, small = 0}
    memory_plan.check(again, 2)
  end)
end)

describe('updates of small parameters', function()
  on_emu('run together, with the bits of updates one by one', function()
    local function trained(tiles)
      local p = parameters(3)
      tk.seed(5)
      local step = tk.step(function() return (regularizer(p)) end,
                           {optimizer = tk.optim.adam{lr = 0.05, weight_decay = 1e-3},
                            tiles = tiles})
      step()
      local text = ''
      for _, name in ipairs{'a', 'b', 'c'} do text = text .. tensors.bytes(p[name]) end
      return text, step
    end
    local _, step = trained()
    local launches = 0
    for _, row in ipairs(step:traffic().ops) do
      if row.op == 'adam' then
        assert.equal(3, row.ops)
        launches = row.launches
      end
    end
    assert.equal(0, launches) -- they are those of a group
    assert.equal((trained()), (trained()))
  end)
end)

describe('ids', function()
  it('that are computed twice from the same ids are computed once', function()
    local x, rows, list = tk.parameter(tk.randn(50, 4)), tk.ids{3, 1, 4, 1, 5}, {}
    for k = 1, 40 do list[k] = (k * 7) % 50 end
    local all = tk.ids(list)
    local function loss()
      return x:gather(all:gather(rows)):sum() + x:gather(all:gather(rows)):square():sum()
    end
    local function gathers(options)
      local n = 0
      for line in tk.step(loss, options):plan():program():gmatch('[^\n]+') do
        if line:match('^f +%d+ +gather.* i32') then n = n + 1 end
      end
      return n
    end
    assert.equal(1, gathers())
    assert.equal(2, gathers{fuse = false})
    tk.step(loss)()
    local want = tensors.bytes(x.grad)
    tk.step(loss, {fuse = false})()
    assert.equal(want, tensors.bytes(x.grad))
  end)
end)
