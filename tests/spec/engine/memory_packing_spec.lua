-- How tightly a step's memory is packed, and when large gradients are made.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local memory_plan = require 'tests.support.check_memory_plan'
local phases = require 'tinykg.train.phases'
local recipe_file = require 'tinykg.train.recipe_file'
local train = require 'tinykg.train'

local home = os.getenv('TINYKG_HOME') or '.'

describe('the arena', function()
  local data
  setup(function()
    local dir = fixtures.dir()
    require('tinykg.data.demo').write(dir .. '/data', {users = 200, items = 300})
    data = tk.data.load(dir .. '/data', {task = 'ranking'})
  end)
  teardown(fixtures.clean)

  --- The program of the first step of a recipe's first phase.
  local function first_step(name, bits)
    local recipe = recipe_file.load(home .. '/recipes/' .. name .. '.lua')
    local o = recipe:complete{epochs = 1, batch_size = 64}
    local model = train.build(recipe, data, o)
    local phase = phases.of(recipe, model, data, o, {bits = bits, rounding = 'dither', steps = 1,
                                                     small = 64})[1]
    phase:epoch{epoch = 1, done = 0, total = 0}
    return phase.step
  end

  it('is hardly more than what is live at once, in recipes', function()
    local sum, n = 0, 0
    for _, name in ipairs{'kgat', 'kgin', 'lightgcn', 'kgcn'} do
      for _, bits in ipairs{32, 8, 2} do
        local step, live = first_step(name, bits), 0
        for _, kind in ipairs{'kept_exact', 'kept_quantized', 'gradient', 'transient'} do
          live = live + step:figure(kind)
        end
        local arena = step:figure 'arena_bytes'
        assert.is_true(arena >= live)
        assert.is_true(arena <= 1.15 * live, string.format('%s, %d bits: %.0f bytes for %.0f',
                                                           name, bits, arena, live))
        sum, n = sum + arena / live, n + 1
      end
    end
    assert.is_true(sum / n <= 1.03, sum / n)
  end)

  it('holds values of many sizes without overlaps', function()
    local random, w = require('tests.support.reference_ops').random(6), {}
    local function draw(n) return random(n) + 1 end
    for _ = 1, 20 do
      local widths = {}
      for i = 1, 7 do widths[i] = 8 * draw(12) end
      for i = 1, 6 do w[i] = tk.parameter(tk.randn(widths[i], widths[i + 1])) end
      local x = tk.randn(50, widths[1])
      local function fn()
        local h, sum = x, 0
        for i = 1, 6 do
          h = h:matmul(w[i]):tanh()
          sum = sum + h:square():mean()
        end
        return sum
      end
      for _, bits in ipairs{32, 4} do
        local step = tk.step(fn, {bits = bits, small = 0, optimizer = tk.optim.adam()}):plan()
        local most = memory_plan.check(step, bits)
        assert.is_true(step:figure 'arena_bytes' <= 1.15 * most)
      end
    end
  end)
end)

describe('the gradient of a few rows of a large matrix', function()
  local P, W = tk.parameter(tk.randn(600, 32)), tk.parameter(tk.randn(32, 32))
  local few = tk.ids{3, 5, 8}

  --- Rows of the first layer are read by the loss: their gradient is the first to be known, but
  --- what it is added to comes last.
  local function fn()
    local first = P:tanh()
    local h = first
    for _ = 1, 3 do h = h:matmul(W):tanh() end
    return h:square():mean() + first:gather(few):square():mean()
  end

  it('is made when it is about to be read', function()
    local step = tk.step(fn, {tiles = false, optimizer = tk.optim.sgd{lr = 0.1}}):plan()
    local list = memory_plan.read(step, 32)
    local made
    for at, node in ipairs(list) do
      if node.op == 'scatter_add' and node.bytes == 4 * 600 * 32 then made = at end
    end
    assert.is_truthy(made, step:program())
    local reads, next_one = false, made + 1
    while list[next_one].phase == 'u' do next_one = next_one + 1 end
    for _, k in ipairs(list[next_one].inputs) do reads = reads or k == list[made].id end
    assert.is_true(reads, step:program())
    memory_plan.check(step, 32)
  end)

  it('is the same, as is what is updated with it', function()
    local start = {P:clone(), W:clone()}
    local function trained(options)
      P:copy(start[1])
      W:copy(start[2])
      options.optimizer = tk.optim.sgd{lr = 0.1}
      local step, losses = tk.step(fn, options), {}
      for i = 1, 4 do losses[i] = step() end
      return {losses, P:totable(), W:totable()}
    end
    local plain = trained{tiles = false}
    assert.same(plain, trained{tiles = false})
    --- By backward and update outside of a step, where gradients wait for everything.
    P:copy(start[1])
    W:copy(start[2])
    local opt, losses = tk.optim.sgd{lr = 0.1}, {}
    for i = 1, 4 do
      local loss = fn():backward()
      losses[i] = loss:item()
      opt:update()
    end
    assert.same(plain, {losses, P:totable(), W:totable()})
  end)
end)

describe('a large result of a forward pass', function()
  local x, w = tk.randn(4000, 100), tk.randn(100, 90)
  local LARGE = 4 * 4000 * 90

  --- Returns how far the accounted memory rises while fn runs, and the results of fn.
  local function grown(fn)
    collectgarbage()
    collectgarbage()
    local C, session = require 'tinykg.engine.lib', require 'tinykg.engine.runtime'
    C.tkg_engine_trim(session.engine)
    C.tkg_memory_reset_peak(session.engine)
    local live = tk.memory().live.total
    local results = {tk.no_grad(fn)}
    return tk.memory().peak.total - live, results
  end

  it('is made where it is handed out, not copied there', function()
    local growth = grown(function() return x:matmul(w) end)
    assert.is_true(growth >= LARGE and growth < 1.1 * LARGE, growth)
  end)

  it('is right, asked for once, twice, as a view, and beside what it is made of', function()
    local rows = tk.ids{0, 7, 1999, 3999}
    local small = x:gather(rows)
    local y, z = small:matmul(w):clone(), (small:matmul(w) + 1):tanh():clone()
    local _, r = grown(function()
      local a = x:matmul(w)
      local b = (a + 1):tanh()
      return a, b, a, b:reshape(2000, 180), a:rows(2000, 4000), b:sum(), x
    end)
    local function same(expected, t) -- OpenBLAS may add up few rows in another order
      assert.is_true((expected - t:gather(rows)):abs():max():item() < 1e-4)
    end
    same(y, r[1])
    same(z, r[2])
    same(y, r[3])
    same(z, r[4]:reshape(4000, 90))
    same(x:gather(rows), r[7])
    assert.same(r[1]:rows(2000, 4000):totable(), r[5]:totable())
    assert.is_true(math.abs(r[6]:item() - r[2]:sum():item()) < 1e-2)
    r[1]:write({5}, 0, 1) -- each is a tensor of its own
    r[2]:write({5}, 0, 1)
    assert.not_equal(5, r[5]:totable()[1][1])
    assert.not_equal(5, r[4]:totable()[1][1])
  end)
end)
