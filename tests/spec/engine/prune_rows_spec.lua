-- The pass prune_rows: where only some rows of a value are gathered, only those are computed, and
-- the numbers are those of the whole.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local random = reference.random(5)
local drawn = tensors.drawn_from(random)
local flat = tensors.flat

local N, D = 50, 8
local X, Y = drawn.parameter(N, D), drawn.parameter(N, D)
local W, B = drawn.parameter(D, 6), tk.parameter(tk.randn(6))
local R = drawn.parameter(3, D)
local PARAMETERS = {X, Y, W, B, R}
local IDS = tk.ids{3, 49, 0, 3, 17, 8, 3, 20}

local graph = (function()
  local h, r, t = {}, {}, {}
  for k = 1, 160 do
    h[k], t[k] = math.floor(random() ^ 2 * 40), math.floor(random() * N)
    r[k] = math.floor(random() * 3)
  end
  return tk.graph{head = h, relation = r, tail = t, nodes = N, relations = 3}
end)()

--- Three ids per row of X, of columns or of relations.
local THREE_PER_ROW = (function()
  local list = {}
  for k = 1, 3 * N do list[k] = (k * k) % 3 end
  return tk.ids(list):reshape(N, 3)
end)()

--- Loss and gradients of fn, with the pass or without; and the step.
local function run(fn, rows, options)
  local o = {rows = rows, small = 0}
  for key, value in pairs(options or {}) do o[key] = value end
  tk.seed(4)
  local step = tk.step(function()
    local y = fn()
    return (y * y:sigmoid()):sum()
  end, o)
  local out = {step()}
  for _, p in ipairs(PARAMETERS) do
    if p.grad then for _, v in ipairs(flat(p.grad)) do out[#out + 1] = v end end
  end
  return out, step
end

local function close(want, got, name) tensors.near(want, got, 1e-5, name, true) end

--- Shapes of the values of one op, as texts, in the order they run.
local function shapes(step, op)
  local list = {}
  for shape in step:program():gmatch('\n?f +%d+  ' .. op .. ' +[%d ]- +f32 (%b[])') do
    list[#list + 1] = shape
  end
  return list
end

local CHAINS = {
  affine = function() return (X * 2 - 1):gather(IDS) end,
  matmul = function() return X:matmul(W):gather(IDS) end,
  bias = function() return (X:matmul(W) + B):relu():gather(IDS) end,
  both = function() return ((X * Y) / (Y:square() + 1)):gather(IDS) end,
  normalize = function() return (X + Y):normalize():gather(IDS) end,
  softmax = function() return (X - Y):softmax():gather(IDS) end,
  log_softmax = function() return X:log_softmax():tanh():gather(IDS) end,
  cat = function()
    return tk.cat({X:exp(), Y:normalize(), X * Y}, 2):narrow(2, 5, 12):gather(IDS)
  end,
  dropout = function() return (X * Y):dropout(0.4):gather(IDS) end,
  aggregate = function() return graph:aggregate(X * 2):gather(IDS) end,
  aggregate_mul = function() return graph:aggregate(X, {relation = R}):relu():gather(IDS) end,
  weighted = function()
    return graph:aggregate(X, {weight = graph:softmax(graph:dot(X, Y))}):gather(IDS)
  end,
  mean = function() return graph:aggregate(X, {reduce = 'mean', relation = R}):gather(IDS) end,
  inner = function() return (X * 3):gather(tk.ids{5, 4, 3, 2, 1, 5, 9, 8, 7, 6, 0, 1, 2, 3, 4, 5})
    :square():gather(tk.ids{15, 0, 3}) end,
  take = function() return (X * 2):take(THREE_PER_ROW):tanh():gather(IDS) end,
  relation_score = function() return tk.relation_score(X * Y, R, THREE_PER_ROW):gather(IDS) end,
  matrix_of_ids = function() return (X * Y):gather(IDS:reshape(2, 4)) end,
}

describe('rows', function()
  for name, chain in pairs(CHAINS) do
    it(name .. ': values and gradients are those of the whole', function()
      local want, whole = run(chain, false)
      local got, step = run(chain, true)
      close(want, got, name)
      assert.not_equal(whole:program(), step:program())
    end)
  end

  it('are all that is computed, and all that is kept', function()
    local _, step = run(CHAINS.bias, true)
    assert.same({'[8, 6]'}, shapes(step, 'matmul'))
    assert.is_true(step:figure 'stored_bytes' < 8 * 6 * 4 * 3)
    local _, sum = run(CHAINS.aggregate, true)
    assert.same({}, shapes(sum, 'aggregate'))
    assert.same({'[8, 8]'}, shapes(sum, 'aggregate_rows'))
  end)

  it('do not change what an op-by-op tape is said to keep', function()
    local _, step = run(CHAINS.bias, true)
    local _, whole = run(CHAINS.bias, false)
    assert.equal(whole:figure 'reference_bytes', step:figure 'reference_bytes')
  end)

  it('are found in a chain whose every value is read twice', function()
    local function deep()
      local h = graph:aggregate(X * 2)
      for _ = 1, 60 do h = h + h:tanh() * .01 end -- 2^60 ways from end to beginning
      return h:gather(IDS)
    end
    close(run(deep, false), run(deep, true), 'deep')
    tensors.near(flat(tk.no_grad(deep)), flat(deep()), 1e-6, 'forward alone', true)
  end)

  it('serve several gathers, each its own', function()
    local function two()
      local h = (X:matmul(W) + B):tanh()
      return tk.cat({h:gather(IDS), h:gather(tk.ids{1, 2})}, 1)
    end
    close(run(two, false), run(two, true), 'two gathers')
    local _, step = run(two, true)
    assert.same({'[8, 6]', '[2, 6]'}, shapes(step, 'matmul'))
  end)

  it('leave alone what somebody reads as a whole', function()
    local function also_whole()
      local h = X:matmul(W)
      return h:gather(IDS) + h:sum(1):reshape(1, 6)
    end
    local _, step = run(also_whole, true)
    assert.same({'[50, 6]'}, shapes(step, 'matmul'))
  end)

  it('leave alone rows that are made of cubes', function()
    local function cube(x) return x:reshape(N, 2, D / 2) end
    for name, chain in pairs{
      dot = function() return tk.dot(cube(X), cube(Y)):gather(IDS) end,
      sum = function() return cube(X * Y):sum(2):gather(IDS) end,
      reshape = function() return (cube(X) * 2):reshape(2 * N, D / 2):gather(IDS) end,
    } do
      local want, whole = run(chain, false)
      local got, step = run(chain, true)
      close(want, got, name)
      assert.equal(whole:program(), step:program())
    end
  end)

  it('leave alone what is returned', function()
    local step = tk.step(function()
      local h = X:matmul(W)
      return h:gather(IDS):sum(), h
    end)
    local _, h = step()
    assert.same({N, 6}, h:size())
    local rows = flat(h:gather(IDS))
    local want = flat(X:matmul(W):gather(IDS))
    close(want, rows, 'returned')
  end)

  it('leave alone a gather of most rows', function()
    local many = drawn.ids(40, N)
    local _, step = run(function() return X:matmul(W):gather(many) end, true)
    assert.same({'[50, 6]'}, shapes(step, 'matmul'))
  end)

  it('are also only computed forward', function()
    local want = flat(tk.no_grad(CHAINS.weighted))
    local whole = flat(tk.no_grad(function()
      return graph:aggregate(X, {weight = graph:softmax(graph:dot(X, Y))})
    end):gather(IDS))
    close(whole, want, 'forward')
  end)

  it('that are none are told at the line that asked for them', function()
    local ids = tk.ids{3, 90}
    local function line() return debug.getinfo(2, 'l').currentline end
    for name, layer in pairs{sum = function() return graph:aggregate(X) end,
                             rows = function() return (X * Y):tanh() end,
                             drop = function() return (X * 2):dropout(.5) end} do
      local asked
      local function loss()
        local h = layer()
        local y = tk.cat({X, X}, 1):gather(ids) -- of 100 rows
        y = y + h:gather(ids) asked = line()
        return (y * y):sum()
      end
      local want = 'prune_rows_spec.lua:%d: [%%a_]+: id 90 at position 1 is outside 0..49'
      local _, message = pcall(tk.step(loss))
      assert.matches(want:format(asked), message, name)
      _, message = pcall(function() return tk.no_grad(loss):item() end)
      assert.matches(want:format(asked), message, name)
    end
  end)

  it('have the same mean gradient at 2 bits', function()
    local function chain() return (graph:aggregate(X:matmul(W):tanh()) + B):gather(IDS) end
    run(chain, true)
    local exact = flat(W.grad)
    tk.seed(9)
    local step = tk.step(function()
      local y = chain()
      return (y * y:sigmoid()):sum()
    end, {bits = 2, small = 0})
    local off, error_of_mean = tensors.deviations(exact, function()
      step()
      return flat(W.grad)
    end, 300)
    for i = 1, D * 6 do assert.is_true(math.abs(off[i]) <= 4.5 * error_of_mean[i] + 1e-4) end
  end)
end)
