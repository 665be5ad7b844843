-- tk.random: the numbers are those of the written formulas, of Philox words, in double precision;
-- their distributions; what they depend on.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local session = require 'tinykg.engine.runtime'
local formulas = require 'tests.support.reference_graph'
local tensors = require 'tests.support.tensors'

local KINDS = {'uniform', 'normal', 'gumbel'}
local bytes, flat = tensors.bytes, tensors.flat

--- A step that returns what fn records, and a loss beside it.
local function step_of(fn, options)
  local w = tk.parameter(tk.ones(1))
  return tk.step(function() return w:sum(), fn() end, options)
end

local function numbers_of(step) return (select(2, step())) end

--- Mean, variance and the largest gap between the sorted numbers' ranks and a distribution.
local function statistics(x, cdf)
  local n, mean, square, gap = #x, 0, 0, 0
  table.sort(x)
  for i, v in ipairs(x) do
    mean, square = mean + v / n, square + v * v / n
    gap = math.max(gap, math.abs(cdf(v) - (i - 0.5) / n) + 0.5 / n)
  end
  return mean, square - mean * mean, gap
end

--- The normal distribution, by its continued fraction's and series' common form: Simpson's rule.
local function normal_cdf(x)
  local n, h = 200, x / 200
  local sum = 0
  for k = 0, n do
    local weight = (k == 0 or k == n) and 1 or k % 2 == 1 and 4 or 2
    sum = sum + weight * math.exp(-(k * h) ^ 2 / 2)
  end
  return 0.5 + sum * h / 3 / math.sqrt(2 * math.pi)
end

describe('random', function()
  it('random numbers are those of the formulas, element by element of the position', function()
    for k, kind in ipairs(KINDS) do
      tk.seed(41 + k)
      local step = step_of(function() return tk.random(kind, 31, 67) end)
      local got = flat(numbers_of(step))
      local want = formulas.random_numbers(kind, #got, 41 + k, step.number, 0)
      for i = 1, #got do
        local off = math.abs(got[i] - want[i - 1])
        if kind == 'uniform' then assert.equal(want[i - 1], got[i])
        else assert(off < 2e-6, ('%s %d: %.9g, not %.9g'):format(kind, i, got[i], want[i - 1])) end
      end
    end
    tk.seed(1)
  end)

  it('have their distributions', function()
    local n, expected = 100000, {
      uniform = {0.5, 1 / 12, function(x) return x end},
      normal = {0, 1, normal_cdf},
      gumbel = {0.57721566490153, math.pi ^ 2 / 6, function(x) return math.exp(-math.exp(-x)) end},
    }
    for _, kind in ipairs(KINDS) do
      tk.seed(5)
      local want = expected[kind]
      local mean, variance, gap = statistics(flat(tk.random(kind, n)), want[3])
      assert.near(want[1], mean, 5 * math.sqrt(want[2] / n), kind)
      assert.near(want[2], variance, 0.03 * want[2], kind)
      assert.is_true(gap < 1.95 / math.sqrt(n), kind) -- Kolmogorov and Smirnov, one in a thousand
    end
    tk.seed(1)
  end)

  it('are new in each run of a step, in each place and for each seed, and come again', function()
    for _, kind in ipairs(KINDS) do
      local function run(seed, times)
        tk.seed(seed)
        local step = step_of(function()
          return tk.cat{tk.random(kind, 7, 5), tk.random(kind, 7, 5)}
        end)
        for _ = 2, times do step() end
        return bytes(numbers_of(step))
      end
      local first = run(3, 1)
      assert.is_true(first == run(3, 1))
      assert.is_true(first ~= run(3, 2) and run(3, 2) == run(3, 2) and first ~= run(4, 1))
      assert.not_equal(first:sub(1, 140), first:sub(141))
    end
    tk.seed(1)
  end)

  it('go on where a step left off when it is resumed', function()
    tk.seed(8)
    local step = step_of(function() return tk.random('normal', 9) end)
    for _ = 1, 3 do step() end
    local want = bytes(numbers_of(step))
    tk.seed(8)
    local resumed = step_of(function() return tk.random('normal', 9) end)
    resumed.number = 3
    assert.is_true(want == bytes(numbers_of(resumed)))
    tk.seed(1)
  end)

  it('outside of steps are those of tk.seed, uniform ones tk.rand\'s', function()
    tk.seed(6)
    local first, second = bytes(tk.random('gumbel', 4)), bytes(tk.random('gumbel', 4))
    local uniform = tk.random('uniform', 3, 4)
    tk.seed(6)
    assert.is_true(first == bytes(tk.random('gumbel', 4)) and first ~= second)
    tk.rand(1)
    assert.is_true(bytes(uniform) == bytes(tk.rand(3, 4)))
    tk.seed(6)
    local normal = flat(tk.random('normal', 1001))
    tk.seed(6)
    tensors.near(flat(tk.randn(1001)), normal, 2e-6, 'normal')
    assert.equal(1, tk.random('uniform'):count())
    local x = tk.random('normal', 5) -- read twice, it is the same
    assert.same((x + 0):totable(), (x * 1):totable())
    tk.seed(1)
  end)

  it('are the same bits with any number of threads and each instruction set', function()
    if tk.device() ~= 'cpu' then return pending('of the CPU') end
    for _, kind in ipairs(KINDS) do
      tensors.same_everywhere(function()
        tk.seed(2)
        return bytes(tk.random(kind, 301, 333))
      end)
    end
    tk.seed(1)
  end)

  it('are the same in tiles, of a whole value and of its gathered rows', function()
    local w, ids = tk.parameter(tk.ones(2304, 20)), tk.ids{2000, 3, 3, 77}
    for _, kind in ipairs(KINDS) do
      local function run(options)
        tk.seed(9)
        local step = tk.step(function()
          local y = w:tanh() * tk.random(kind, 2304, 20) + w
          return y:square():mean(), y, y:gather(ids)
        end, options)
        local _, y, rows = step()
        return bytes(y), bytes(rows), bytes(w.grad), step
      end
      local y, rows, grad, step = run{bits = 2, small = 0}
      local y2, rows2, grad2 = run{tiles = false, rows = false, save = false}
      assert.is_true(y == y2 and rows == rows2)
      if tk.device() == 'cpu' then assert.is_true(grad == grad2) end
      for k, id in ipairs{2000, 3, 3, 77} do
        assert.equal(y:sub(80 * id + 1, 80 * id + 80), rows:sub(80 * k - 79, 80 * k))
      end
      for _, row in ipairs(step:kept()) do -- drawn again, not saved
        assert.is_false(row.op == 'random' and row.rule ~= 'recompute')
      end
    end
    tk.seed(1)
  end)

  it('of a batch\'s rows are the rows of the whole where only they are gathered', function()
    local w, ids = tk.parameter(tk.ones(500, 3)), tk.ids{400, 3}
    tk.seed(4)
    local function noisy() return (w + tk.random('uniform', 500, 3)):gather(ids) end
    local _, rows = tk.step(function()
      local y = noisy()
      return y:sum(), y
    end)()
    local want = formulas.random_numbers('uniform', 1500, 4, 1, 0)
    for k, id in ipairs{400, 3} do
      for j = 1, 3 do
        assert.near(1 + want[3 * id + j - 1], rows:totable()[k][j], 1e-6)
      end
    end
    tk.seed(1)
  end)

  it('pass no gradient, and refuse other kinds and shapes', function()
    local w = tk.parameter(tk.ones(3))
    local loss = (w * tk.random('uniform', 3)):sum()
    loss:backward()
    assert.is_true(w.grad:totable()[1] > 0)
    assert.error_matches(function() tk.random('poisson', 3) end,
                         "random: 'poisson' is not uniform, normal or gumbel")
    assert.error_matches(function() tk.random('normal', 2.5) end, 'expected a whole number')
    local a = ffi.new 'tkg_attributes'
    a.i[0] = 7
    local code = require('tinykg.engine.tensor').op_code.random
    assert.equal(-1, C.tkg_tape_record(session.tape.c, code, nil, 0, a, nil))
    assert.truthy(ffi.string(C.tkg_error()):find('random: 7 is no kind of number', 1, true))
  end)
end)
