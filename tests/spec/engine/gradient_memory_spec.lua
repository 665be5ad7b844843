-- Memory of backward on whole graphs: however many parts a gradient is the sum of, at most two
-- matrices with a row per node live at once.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local drawn = tensors.drawn_from(reference.random(31))
local NODES, COLS, ROWS = 40000, 16, 64
local MATRIX = 4 * NODES * COLS

local function ring()
  local heads, tails = {}, {}
  for v = 0, NODES - 1 do
    heads[v + 1], tails[v + 1] = v, (v + 7) % NODES
  end
  return tk.graph{head = heads, tail = tails, nodes = NODES}
end

--- Bytes of the arena in matrices with a row per node, for a step of loss_of.
local function matrices_of(loss_of, bits)
  local step = tk.step(loss_of, {optimizer = tk.optim.sgd{lr = 0.1}, bits = bits or 32})
  step()
  return step:figure 'arena_bytes' / MATRIX
end

describe('a forward pass', function()
  it('computes a sum of layers in the memory of its result, gathered as layers are made', function()
    local graph, x = ring(), drawn.parameter(NODES, 16 * COLS)
    local third = drawn.ids(NODES / 4, NODES)
    tk.no_grad(function()
      local sum, h = x, x
      for _ = 1, 2 do
        h = graph:aggregate(h)
        sum = sum + h
      end
      return sum:gather(third)
    end):free()
    C.tkg_engine_trim(runtime.engine)
    local before = tk.memory().live.total
    C.tkg_memory_reset_peak(runtime.engine)
    tk.no_grad(function()
      local sum, h = x, x
      for _ = 1, 4 do
        h = graph:aggregate(h)
        sum = sum + h
      end
      return sum:gather(third)
    end):free()
    -- two layers, the result, and rows of one layer that are added to it
    local matrices = (tk.memory().peak.total - before) / (16 * MATRIX)
    assert.is_true(matrices <= 2.3, matrices .. ' matrices')
  end)
end)

describe('a forward pass without gathers', function()
  local on_cpu = tk.device() == 'cpu' and it or pending -- tiles

  --- The most matrices at once while fn runs, beside what lives already, and what fn returns.
  local function matrices(fn)
    C.tkg_engine_trim(runtime.engine)
    local before = tk.memory().live.total
    C.tkg_memory_reset_peak(runtime.engine)
    local results = {tk.no_grad(fn)}
    return (tk.memory().peak.total - before) / (16 * MATRIX), results
  end

  --- Row v after some sums along a ring is row v + 7 hops of x; here of length 1.
  local function unit_after(x, v, hops)
    local row, square, unit = x[(v + 7 * hops) % NODES + 1], 0, {}
    for _, value in ipairs(row) do square = square + value * value end
    for c, value in ipairs(row) do unit[c] = value / math.sqrt(square) end
    return unit
  end

  on_cpu('adds layers up in the memory of the first, whatever the parameter\'s bits', function()
    local graph = ring()
    for _, bits in ipairs{32, 16} do
      local x = tk.parameter(tk.randn(NODES, 16 * COLS), {bits = bits})
      local most, results = matrices(function()
        local sum, h = x, x
        for _ = 1, 3 do
          h = graph:aggregate(h):normalize()
          sum = sum + h
        end
        return sum
      end)
      assert.is_true(most < 2.2, most .. ' matrices')
      local from, to = x:totable(), results[1]:totable()
      for _, v in ipairs{0, 1, NODES - 1} do
        for c = 1, 16 * COLS, 37 do
          local want = from[v + 1][c]
          for hops = 1, 3 do want = want + unit_after(from, v, hops)[c] end
          assert.near(want, to[v + 1][c], 1e-5)
        end
      end
      results[1]:free()
    end
  end)

  on_cpu('normalises each layer where it lies, once the next is made', function()
    local graph, x = ring(), drawn.parameter(NODES, 16 * COLS)
    local most, results = matrices(function()
      local h, rows = x, {}
      for k = 1, 3 do
        h = graph:aggregate(h)
        rows[k] = h:normalize()
      end
      return unpack(rows)
    end)
    assert.is_true(most < 3.1, most .. ' matrices')
    local from = x:totable()
    for k, rows in ipairs(results) do
      local unit, got = unit_after(from, 5, k), rows:rows(6, 6):totable()[1]
      for c = 1, 16 * COLS, 37 do assert.near(unit[c], got[c], 1e-5) end
      rows:free()
    end
  end)
end)

describe('a step that has run', function()
  it('keeps no tensor alive that it read', function()
    local w = drawn.parameter(4, 4)
    local constant = tk.full(1, 1000, 4):keep()
    local step = tk.step(function() return (constant:matmul(w)):square():sum() end,
                         {optimizer = tk.optim.sgd{lr = 0.1}})
    step()
    local before = tk.memory().live.data
    constant:free()
    assert.equal(before - 16000, tk.memory().live.data)
    assert.matches('matmul', step:recorded())
  end)
end)

describe('gradients with a row per node', function()
  local graph, x, rows = ring(), drawn.parameter(NODES, COLS), drawn.ids(ROWS, NODES)

  it('are two at once where a loss reads rows of every layer', function()
    local function loss()
      local sum, h = x, x
      for _ = 1, 3 do
        h = graph:aggregate(h)
        sum = sum + h
      end
      return sum:gather(rows):square():sum() + x:gather(rows):square():sum()
    end
    assert.is_true(matrices_of(loss) < 2.2)
  end)

  it('are two at once where a layer reads a part of the one before', function()
    local function loss()
      local h = x
      local parts = {}
      for k = 1, 3 do
        parts[k] = h:rows(1, NODES / 4):sum()
        h = graph:aggregate(h)
      end
      return parts[1] + parts[2] + parts[3] + h:gather(rows):square():sum()
    end
    assert.is_true(matrices_of(loss) < 2.2)
  end)

  it('are two at once in layers of sums and products', function()
    if tk.device() ~= 'cpu' then return pending('tiles are the CPU backend\'s') end
    local w = {}
    for k = 1, 6 do w[k] = drawn.parameter(COLS, COLS) end
    local function layer(h, k)
      local y = graph:aggregate(h, {recompute = k < 5})
      return (h + y):matmul(w[k]):leaky_relu(0.1) + (h * y):matmul(w[k + 1]):leaky_relu(0.1)
    end
    local function loss()
      local h, sum = x, x:gather(rows)
      for k = 1, 5, 2 do
        h = layer(h, k)
        sum = sum + h:normalize():gather(rows)
      end
      return sum:square():sum()
    end
    assert.is_true(matrices_of(loss, 2) < 2.5) -- a quarter is kept
  end)

  it('do not exist where the tile that reads them adds the rows of few heads', function()
    if tk.device() ~= 'cpu' then return pending('tiles are the CPU backend\'s') end
    local wide, out = drawn.parameter(2 * COLS, COLS), drawn.parameter(COLS, COLS)
    local y = drawn.parameter(NODES, 2 * COLS)
    local function loss()
      local h = y:matmul(wide):tanh()
      local first = h:normalize():gather(rows)
      local last = graph:aggregate(h):matmul(out):normalize():gather(rows)
      return (first + last):square():sum()
    end
    local step = tk.step(loss, {optimizer = tk.optim.sgd{lr = 0.1}, bits = 2})
    step()
    local tiled = {}
    for op, place in step:program():gmatch 'b +%d+  (%S+) +[%d ]-  f32 %[40000, 16%]  (%S+)' do
      if place:find '^tile' then tiled[op] = true end
    end
    assert.is_true(tiled.aggregate_indexed and tiled.scatter_add)
  end)

  it('are right where rows, parts and wholes are added', function()
    local p, at, all = drawn.parameter(6, 3), tk.ids{4, 1, 4}, drawn.ids(40, 6)
    local function loss()
      local y = p * 1
      return y:gather(at):square():sum() + y:square():sum() + y:rows(2, 3):square():sum() * 2
        + y:gather(all):sum() + (y:gather(at):sum() * 2 + y:rows(5, 6):sum()) * 3
    end
    tk.step(loss)()
    local got, values, times = p.grad:totable(), p:totable(), {}
    for i = 0, 5 do times[i] = 0 end
    for _, row in ipairs(all:totable()) do times[row] = times[row] + 1 end
    for row, of_row in ipairs(values) do
      local named = row == 5 and 2 or row == 2 and 1 or 0
      for col, value in ipairs(of_row) do
        local want = 2 * value * (named + 1) + (row >= 2 and row <= 3 and 4 * value or 0)
          + times[row - 1] + 6 * named + (row >= 5 and 3 or 0)
        assert.near(want, got[row][col], 1e-4)
      end
    end
  end)
end)
