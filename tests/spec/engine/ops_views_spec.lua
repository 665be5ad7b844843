-- Views as input 0 of every op that may write over it: a result that takes over memory may not
-- touch what is still read of it, be it the first rows of a larger value, broadcast, or the whole
-- under another shape. Against float64: eagerly, without gradients, in steps of 32 and 2 bits.
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local tensors = require 'tests.support.tensors'
local reference = require 'tests.support.reference_ops'

local ROWS, COLS = 6, 5
local random = reference.random(20261129)

local function numbers(shape)
  return reference.array(shape, function() return 0.25 + math.floor(random() * 64) / 32 end)
end

local function put(a) return tk.zeros(a.shape):write({unpack(a)}) end

--- Ops that may write over input 0, and the number of their inputs.
local function in_place()
  local list = {}
  for _, op in ipairs(require 'tests.support.op_table') do
    if op.flags:find 'TKG_INPLACE' then
      list[#list + 1] = {name = op.name, n = #op.reads:match('^[^|]*'),
                         differentiable = op.vjp ~= 'none'}
    end
  end
  return list
end

--- Views of h [ROWS, COLS]: how they are made, and which elements of it they are, by their shape.
local VIEWS = {
  {'the first row', {1, COLS}, function(h) return h:rows(1, 1) end},
  {'the first rows', {3, COLS}, function(h) return h:rows(1, 3) end},
  {'the first row as a vector', {COLS}, function(h) return h:rows(1, 1):reshape(COLS) end},
  {'all of it in another shape', {COLS, ROWS}, function(h) return h:reshape(COLS, ROWS) end},
  {'all of it, flat and back', {ROWS, COLS}, function(h)
    return h:reshape(-1):reshape(ROWS, COLS)
  end},
  {'the first of a cube', {1, 3, COLS}, function(h)
    return h:reshape(2, 3, COLS):narrow(1, 1, 1)
  end},
}

--- The op divides by the norms that it is given; the reference's finds them itself.
function reference.ops.normalize(inputs)
  local x, n, out = inputs[1], inputs[2], {shape = inputs[1].shape}
  local cols = x.shape[#x.shape]
  for i = 1, #x do out[i] = x[i] / n[math.floor((i - 1) / cols) + 1] end
  return out
end

local ATTRIBUTES = {affine = {2, 3}, leaky_relu = {0.5}, leaky_relu_grad = {0.5},
                    clamp = {0.5, 1.5}, clamp_grad = {0.5, 1.5}, pow = {1.75}, normalize = {1e-12},
                    normalize_grad = {1e-12}}
local BROADCAST = {add = true, sub = true, mul = true, div = true, greater = true,
                   greater_equal = true, equal = true, not_equal = true, select = true,
                   reject = true}
local LEFT_OUT = {dropout = true} -- random: nothing to compare with

--- Shapes of the other inputs beside a view of `shape`.
local function others(op, shape)
  local list = {}
  for k = 2, op.n do
    local row = {unpack(shape)}
    row[#row] = 1
    local norms = op.name == 'normalize' or op.name == 'normalize_grad' and k == 3
    list[k - 1] = norms and row or shape
  end
  return list
end

local function record(op, inputs)
  local a = tensor.attribute()
  for k, f in ipairs(ATTRIBUTES[op.name] or {}) do a.f[k - 1] = f end
  return tensor.record(op.name, a, unpack(inputs))
end

--- The first elements of h, which every view above has.
local function seen(h, shape)
  return reference.array(shape, function(i) return h[i] end)
end

local function check(expected, got, what)
  local flat = tensors.flat(got)
  assert.equal(#expected, #flat, what)
  for i = 1, #expected do
    local want = expected[i]
    if math.abs(flat[i] - want) > 1e-5 * (1 + math.abs(want)) then
      error(('%s: element %d is %g, expected %g'):format(what, i, flat[i], want), 0)
    end
  end
end

--- Everything that can run it: functions of what makes the result out of w * 1. What has no
--- gradient stands in a step's loss as a constant.
local function runs(w, differentiable)
  local modes = {eagerly = function(make) return make(w * 1) end,
                 ['in no_grad'] = function(make)
                   return tk.no_grad(function() return make(w * 1) end)
                 end}
  for _, bits in ipairs{32, 2} do
    modes[('in a step of %d bits'):format(bits)] = function(make)
      local _, y = tk.step(function()
        local y = make(w * 1)
        return differentiable and y:sum() or y:detach():sum() + w:sum(), y
      end, {bits = bits, small = 0})()
      return y
    end
  end
  return modes
end

--- op(view of h, others), where h is not read any more; and h read again behind it.
local function compare(op, view, shapes)
  local h = numbers{ROWS, COLS}
  local inputs, given = {seen(h, view[2])}, {}
  for k, shape in ipairs(shapes) do
    inputs[k + 1] = numbers(shape)
    given[k] = put(inputs[k + 1])
  end
  local expected = reference.ops[op.name](inputs, {f = ATTRIBUTES[op.name], i = {}})
  for mode, run in pairs(runs(tk.parameter(put(h)), op.differentiable)) do
    local what = ('%s of %s, %s'):format(op.name, view[1], mode)
    check(expected, run(function(x) return record(op, {view[3](x), unpack(given)}) end), what)
    local both = run(function(x)
      local y = record(op, {view[3](x), unpack(given)})
      return y:reshape(-1):sum():reshape(1) + x:reshape(-1)
    end)
    local sum = 0
    for i = 1, #expected do sum = sum + expected[i] end
    local twice = reference.array({ROWS * COLS}, function(i) return sum + h[i] end)
    check(twice, both, what .. ', twice')
  end
end

describe('a view as first input', function()
  local ops = in_place()

  it('is tried with every op that writes over it', function()
    assert.is_true(#ops > 15)
    for _, op in ipairs(ops) do
      assert.is_true(LEFT_OUT[op.name] or reference.ops[op.name] ~= nil, op.name)
    end
  end)

  for _, op in ipairs(ops) do
    it('of ' .. op.name .. ' is read as it was', function()
      for _, view in ipairs(LEFT_OUT[op.name] and {} or VIEWS) do
        compare(op, view, others(op, view[2]))
        if BROADCAST[op.name] then
          for _, shape in ipairs{{ROWS, 1}, {ROWS, COLS}, {2, 3, COLS}} do
            local fits = pcall(record, op, {tk.zeros(view[2]), tk.zeros(shape)})
            if fits then compare(op, view, {shape}) end
          end
        end
      end
    end)
  end

  it('has the gradient that belongs to it', function()
    for _, bits in ipairs{32, 2} do
      local w, a, b = tk.parameter(tk.ones(3, 2)), tk.tensor{{1, 2}, {3, 4}, {5, 6}},
        tk.tensor{{1, 10}, {100, 1000}, {10000, 100000}}
      local loss = tk.step(function()
        local h = w * a
        return (h:rows(1, 1) * b):sum()
      end, {bits = bits, small = 0})()
      assert.near(10101 + 2 * 101010, loss, 1)
      assert.same({{10101, 2 * 101010}, {0, 0}, {0, 0}}, w.grad:totable())
    end
  end)
end)

describe('sums that begin with a value', function()
  local base, rows = tk.tensor{{1, 2}, {3, 4}, {5, 6}}, tk.tensor{{10, 20}, {30, 40}}
  local w, g = tk.tensor{{1, 2}, {3, 4}}, tk.tensor{{1, 1}, {2, 2}}

  --- scatter_add and neighbor_scatter write over their last input.
  local function scatter(x, make)
    local a = tensor.attribute()
    tensor.set_shape{3, 2}
    return make(a, x)
  end

  it('leave it as it was where it is a view, or read again', function()
    for _, make in ipairs{
      function(a, x) return tensor.record('scatter_add', a, rows, tk.ids{0, 2}, x) end,
      function(a, x)
        return tensor.record('neighbor_scatter', a, w, g, tk.ids{{0, 1}, {2, 2}}, x)
      end,
    } do
      local alone = scatter(base, make):totable()
      for _, view in ipairs{
        function(x) return x end, function(x) return x:reshape(-1):reshape(3, 2) end,
        function(x) return tk.cat({x, x}, 1):rows(1, 3) end,
      } do
        local sums, kept = tk.no_grad(function()
          local x = base * 1
          return scatter(view(x), make), x + 0
        end)
        assert.same(alone, sums:totable())
        assert.same(base:totable(), kept:totable())
        local only = tk.no_grad(function() return scatter(view(base * 1), make) end)
        assert.same(alone, only:totable())
      end
    end
    assert.same({{11, 22}, {3, 4}, {35, 46}}, scatter(base, function(a, x)
      return tensor.record('scatter_add', a, rows, tk.ids{0, 2}, x)
    end):totable())
    assert.same({{2, 3}, {5, 6}, {19, 20}}, scatter(base, function(a, x)
      return tensor.record('neighbor_scatter', a, w, g, tk.ids{{0, 1}, {2, 2}}, x)
    end):totable())
  end)
end)

describe('rows in tiles', function()
  -- Large enough for groups of nodes that run in tiles of rows (engine/passes/tile.c).
  local N = 4096
  local list = {}
  for i = 1, N * 2 do list[i] = i % 7 - 3 end
  local w = tk.parameter(tk.zeros(N, 2):write(list))
  local column = tk.ones(N, 1) * 2

  it('take over what is read row by row alone', function()
    local expected, first = {}, {list[1], list[2]}
    for i = 1, N * 2 do expected[i] = (list[i] * 2 + first[(i - 1) % 2 + 1]) * 2 + list[i] * 2 end
    local function make()
      local h = w * 2
      local y = (h * 1 + (w * 1):rows(1, 1)) * column
      return y + h
    end
    local _, y = tk.step(function()
      local y = make()
      return y:sum(), y
    end)()
    assert.same(expected, tensors.flat(y))
    assert.same(expected, tensors.flat(tk.no_grad(make)))
  end)
end)
