-- Memory of backward on whole graphs: however many parts a gradient is the sum of, at most two
-- matrices with a row per node live at once.
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
local function matrices_of(loss_of)
  local step = tk.step(loss_of, {optimizer = tk.optim.sgd{lr = 0.1}, bits = 32})
  step()
  return step:figure 'arena_bytes' / MATRIX
end

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
