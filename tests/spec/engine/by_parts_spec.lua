-- A gradient added to a part of a whole, of which parts are taken: the same bits without the whole.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local drawn = tensors.drawn_from(reference.random(5))
local N, D = 300, 64

--- One run of fn(x, y, w): the gradients' bytes, and the program.
local function run(fn, fuse, shapes)
  local p = {}
  for i, shape in ipairs(shapes) do p[i] = drawn.parameter(unpack(shape)) end
  local step = tk.step(function() return fn(unpack(p)) end, {fuse = fuse, small = 0})
  local list = {step()}
  for i = 1, #p do list[i + 1] = tensors.bytes(p[i].grad) end
  return list, step:program()
end

--- Runs with and without, from equal parameters.
local function both(fn, shapes)
  drawn = tensors.drawn_from(reference.random(5))
  local want, whole = run(fn, false, shapes)
  drawn = tensors.drawn_from(reference.random(5))
  local got, parts = run(fn, true, shapes)
  for i = 1, #want do tensors.same(want[i], got[i], 'result ' .. i) end
  return whole, parts
end

local function count(program, word)
  return select(2, program:gsub('b +%d+  ' .. word .. ' ', ''))
end

describe('the gradient of what is concatenated', function()
  local shapes = {{N, D}, {N, D}, {N, D}}

  it('is added up part by part, of rows', function()
    local whole, parts = both(function(x, y, w)
      local c = tk.cat{x * 2, y * 3}
      return c:tanh():sum() + (c:narrow(1, 1, N) * w):sum()
    end, shapes)
    assert.equal(1, count(whole, 'pad'))
    assert.equal(0, count(parts, 'pad'))
  end)

  it('is added up part by part, of columns, of which several are taken', function()
    local whole, parts = both(function(x, y, w)
      local c = tk.cat({x * 2, y * 3, w}, 2)
      return c:tanh():sum() + (c:narrow(2, D + 1, D) * w):sum() + (c:narrow(2, 1, D) * y):sum()
    end, shapes)
    assert.equal(2, count(whole, 'pad'))
    assert.equal(0, count(parts, 'pad'))
  end)

  it('stays whole where parts overlap', function()
    local whole, parts = both(function(x, y, w)
      local c = tk.cat{x * 2, y * 3}
      return c:tanh():sum() + (c:narrow(1, 8, N) * w):sum()
    end, shapes)
    assert.equal(1, count(whole, 'pad'))
    assert.equal(1, count(parts, 'pad'))
  end)
end)
