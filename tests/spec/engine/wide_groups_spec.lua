-- Rows that are too wide for a tile: on a GPU, what is computed from them element by element runs a
-- piece at a time, has the bits of one op after the other, and moves less.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local drawn = tensors.drawn_from(reference.random(5))
local ROWS = 9

--- Every kind of op of such a group: noise, sums and products with a number per row and per column,
--- rows divided by their lengths, dropout, a part of the columns. Odd widths begin rows anywhere.
local function network(columns)
  local p = {x = drawn.parameter(ROWS, columns), row = drawn.parameter(ROWS, 1),
             bias = tk.parameter(drawn.noise(1, columns):reshape(columns)),
             part = drawn.parameter(ROWS, columns - 700)}
  return function()
    local noise = tk.random('normal', ROWS, columns)
    local y = (p.x * p.row + noise * (p.row * 0.3)):normalize():dropout(0.4)
    y = (y + p.bias):tanh() - p.x
    local part = y:narrow(2, 14, columns - 700)
    return y:square():sum() + (part * p.part):sum(), y
  end, {p.x, p.row, p.bias, p.part}
end

local function run(fn, parameters, options)
  tk.seed(3)
  local step = tk.step(fn, options)
  local loss, y = step()
  local list = {loss = loss, y = tensors.bytes(y)}
  for i, p in ipairs(parameters) do list[i] = tensors.bytes(p.grad) end
  return list, step
end

describe('rows that are too wide for a tile', function()
  for _, columns in ipairs{5003, 4096, 8200} do
    for _, bits in ipairs{32, 8, 4, 2} do
      it(('of %d columns, kept in %d bits, have the bits of one op after the other')
         :format(columns, bits), function()
        local fn, parameters = network(columns)
        local apart = run(fn, parameters, {bits = bits, tiles = false})
        local grouped = run(fn, parameters, {bits = bits})
        tensors.same(apart.y, grouped.y, 'y')
        for i = 1, #parameters do tensors.same(apart[i], grouped[i], 'gradient ' .. i) end
      end)
    end
  end

  it('are read and written once by a group', function()
    if tk.device() == 'cpu' then return pending('its tiles have any size') end
    local fn = network(5003)
    local apart = tk.step(fn, {bits = 2, tiles = false}):plan():traffic()
    local step = tk.step(fn, {bits = 2}):plan()
    assert.is_true(step:traffic().bytes < 0.72 * apart.bytes,
                   ('%d of %d bytes'):format(step:traffic().bytes, apart.bytes))
    assert.is_truthy(step:program():find('random .- tile%+'))
    assert.is_true(step:figure 'arena_bytes' <= tk.step(fn, {bits = 2, tiles = false}):plan()
                   :figure 'arena_bytes')
  end)
end)
