-- A sum over neighbours reads its table instead of gathered rows: the same numbers, less memory.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local n, k, d, rows = 60, 4, 8, 200

--- One run of fn(gathered rows, weights): its loss, its step and the gradients' bytes.
local function run(fn, fuse)
  local drawn = tensors.drawn_from(reference.random(5))
  local entities, weights, ids = drawn.parameter(rows, d), drawn.parameter(n, k),
    drawn.ids(n * k, rows)
  local step = tk.step(function() return fn(entities:gather(ids), weights) end,
                       {fuse = fuse, small = 0})
  return step(), step, tensors.bytes(entities.grad), tensors.bytes(weights.grad)
end

local function sum(x, w) return tk.neighbor_sum(w:softmax(), x):square():mean() end
local function gathers(step) return step:program():find '%d  gather ' ~= nil end

describe('fuse_gather', function()
  it('changes no loss, and gradients by rounding at most', function()
    local loss, _, _, weights = run(sum, true)
    local want, _, _, want_weights = run(sum, false)
    assert.equal(want, loss)
    tensors.same(want_weights, weights, 'gradient of the weights')
  end)

  it('makes no gathered rows', function()
    local _, fused = run(sum, true)
    local _, whole = run(sum, false)
    assert.is_false(gathers(fused))
    assert.is_true(gathers(whole))
    assert.is_true(whole:figure 'arena_bytes' - fused:figure 'arena_bytes' >= 4 * n * k * d / 2)
    assert.equal(whole:figure 'reference_bytes', fused:figure 'reference_bytes')
  end)

  it('reads the table in backward, too', function()
    local function dots(x, w)
      return tk.neighbor_dot(w:matmul(tk.ones(k, d)), x, k):square():mean()
    end
    local loss, step, _, weights = run(dots, true)
    local want, _, _, want_weights = run(dots, false)
    assert.equal(want, loss)
    tensors.same(want_weights, weights, 'gradient of the weights')
    -- weights, table, ids
    assert.is_truthy(step:program():find 'b +%d+  neighbor_sum  +%d+ %d+ %d+ ')
  end)

  it('takes neighbours as a cube, gathered or not', function()
    local function cube(x, w) return sum(x:reshape(n, k, d), w) end
    local want, _, table_, weights = run(sum, false)
    local loss, _, got_table, got_weights = run(cube, true)
    assert.equal(want, loss)
    tensors.same(table_, got_table, 'gradient of the table')
    tensors.same(weights, got_weights, 'gradient of the weights')
  end)

  it('leaves a gather to its other readers', function()
    local _, step = run(function(x, w) return sum(x, w) + x:abs():mean() end, true)
    assert.is_true(gathers(step))
  end)
end)
