-- reference_peak: what an op-by-op FP32 program of a step's ops holds at its fullest. By hand, as
-- PyTorch 2.15's profiler shows it for the same lines (of the sparse product 5 % more); and beside
-- PyTorch's own figures on a public data set.
local lfs = require 'lfs'
local saved = require 'tests.support.saved'
local tk = require 'tinykg'

local parameter, planned = saved.parameter, saved.planned
local N, D, M = 300, 16, 8 -- a matrix of N rows and D columns takes MATRIX bytes
local MATRIX = 4 * N * D

local function peak(fn, options) return planned(fn, options):figure 'reference_peak' end

--- A graph of N nodes and 4 edges per node.
local function graph(relations)
  local head, relation, tail = {}, {}, {}
  for i = 0, 4 * N - 1 do
    head[i + 1], relation[i + 1], tail[i + 1] = i % N, i % M, (7 * i + 1) % N
  end
  return tk.graph{head = tk.ids(head), tail = tk.ids(tail), nodes = N,
                  relation = relations and tk.ids(relation), relations = relations and M}
end
local E = 4 * N

describe('reference_peak', function()
  it('is where the gradients of a ReLU lie beside its result', function()
    local X, W = saved.data(N, 17), parameter(17, D)
    -- the weights; the ReLU's result and the gradient of what it read, beside that of the sum,
    -- which is one number
    assert.equal(4 * 17 * D + 2 * MATRIX + 4, peak(function() return X:matmul(W):relu():sum() end))
  end)

  it('is the update where a table is larger than all else', function()
    local rows, ids = parameter(N, D), tk.ids{1, 2, 3}
    local function loss() return rows:gather(ids):sum() end
    -- the table, its two moments, its gradient, and the two arrays of Adam's denominator
    assert.equal(6 * MATRIX, peak(loss, {optimizer = tk.optim.adam{}}))
    assert.equal(6 * MATRIX, peak(loss, {optimizer = tk.optim.adam{bits = 8}})) -- in FP32
    -- without an update: the table, its gradient, and that of the loss
    assert.equal(2 * MATRIX + 4, peak(loss))
  end)

  it('has parameters with momentum once more', function()
    local w = parameter(N, D)
    local function with(momentum)
      return peak(function() return w:sum() end,
                  {optimizer = tk.optim.sgd{lr = 0.1, momentum = momentum}})
    end
    assert.equal(MATRIX, with(0.9) - with(0))
  end)

  it('holds a sparse matrix, and transposes it in backward', function()
    local g, x = graph(), parameter(N, D)
    -- x; the matrix: two int64 and a float per edge; the transposed matrix's int64, the product's
    -- zeros and its result, beside the loss's gradient
    assert.equal(MATRIX + 20 * E + 16 * E + 2 * MATRIX + 4,
                 peak(function() return g:aggregate(x):sum() end))
  end)

  it('gathers and multiplies per edge where edges have relations', function()
    local g, x, r = graph(true), parameter(N, D), parameter(M, D)
    -- x and r; three int64 per edge; rows and relations of all edges; the gradients of the products
    -- and of both factors, beside the loss's
    assert.equal(MATRIX + 4 * M * D + 24 * E + 2 * 4 * E * D + 3 * 4 * E * D + 4,
                 peak(function()
                   return g:aggregate(x, {message = 'mul', relation = r}):sum()
                 end))
  end)

  it('counts a graph and a parameter that two readers share once', function()
    local g, x = graph(), parameter(N, D)
    local once = peak(function() return g:aggregate(x):sum() end)
    -- another reader of both: its gradient of x has arrived and waits; no more is held
    assert.equal(once + MATRIX, peak(function()
      return g:aggregate(x):sum() + g:aggregate(x):sum()
    end))
  end)

  it('slices a joined gradient, and adds a second one in place', function()
    local a, b = parameter(N, D), parameter(N, D)
    -- both, and the joined rows, or gradients of both
    assert.equal(2 * MATRIX + 2 * MATRIX + 4, peak(function() return tk.cat({a, b}, 2):sum() end))
    -- each square keeps nothing but a, which is held; the second one's gradient is made in three
    -- steps, beside the first one's
    assert.equal(MATRIX + MATRIX + 3 * MATRIX + 4, peak(function()
      return a:square():sum() + a:square():sum()
    end))
  end)

  it('does not depend on bits or passes of ours', function()
    local g, x, r = graph(true), parameter(N, D), parameter(M, D)
    local ids = tk.ids{5, 6, 7}
    local function loss()
      local y = g:aggregate(x, {message = 'mul', relation = r}):tanh()
      return (y + g:aggregate(y)):normalize():gather(ids):square():sum()
    end
    local plain = peak(loss)
    for _, options in ipairs{{bits = 2}, {fuse = false}, {rows = false}, {tiles = false}} do
      assert.equal(plain, peak(loss, options))
    end
  end)

  it('is in FP32, whatever our tables and moments are', function()
    local function with(bits, adam)
      local rows, g = tk.parameter(tk.randn(N, D), {bits = bits}), graph()
      return peak(function()
        local y = g:aggregate(rows):tanh() + rows
        return y:gather(tk.ids{1, 2}):square():sum()
      end, {optimizer = tk.optim.adam(adam)})
    end
    local plain = with(32, {})
    assert.equal(plain, with(16, {}))
    assert.equal(plain, with(32, {bits = 8}))
    assert.equal(plain, with(16, {rowwise = true, bits = 8}))
  end)

  it('grows with what an op saves, and is above what is saved', function()
    local x = parameter(N, D)
    local function loss(times)
      return function()
        local y = x
        for _ = 1, times do y = y:tanh() end
        return y:sum()
      end
    end
    assert.equal(5 * MATRIX, peak(loss(9)) - peak(loss(4)))
    local step = planned(loss(9))
    assert.is_true(step:figure 'reference_peak' > step:figure 'reference_bytes')
  end)
end)

-- Bytes of tensors by PyTorch 2.15's profiler, of its KGAT, KGIN and LightGCN:
--   MALLOC_MMAP_THRESHOLD_=65536 tests/bench/pytorch_NAME.py peak --data DIR
-- KGIN with --mean scatter: index_add holds its source, a third matrix of edges per hop.
local MEASURED = {lightgcn = 177326396, kgin = 1453287052, kgat = 928495880}

describe('the op-by-op peak', function()
  local dir = (os.getenv('TINYKG_DATA') or '../shared/data') .. '/kgat-last-fm'

  for name, bytes in pairs(MEASURED) do
    it('is that of PyTorch within a tenth: ' .. name, function()
      if lfs.attributes(dir, 'mode') ~= 'directory' then
        return pending(dir .. ' is not there (TINYKG_DATA names its folder)')
      end
      local plan = require 'tinykg.train.memory.plan'
      local recipe = require('tinykg.train.recipe_file').load('recipes/' .. name .. '.lua')
      local widths = plan.of(recipe, tk.data.load(dir), recipe:complete{}, {quiet = true}, {2})
      local ratio = widths[2].reference_peak / bytes
      assert.is_true(ratio > 0.9 and ratio < 1.1, name .. ': ' .. ratio)
    end)
  end
end)
