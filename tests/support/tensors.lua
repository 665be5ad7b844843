--- Random tensors, and their numbers and bytes, for specs.
local ffi = require 'ffi'
local assert = require 'luassert'
local tk = require 'tinykg'

local tensors = {}

--- noise(rows, cols, scale), parameter(rows, cols) and ids(n, below), drawn from `random`.
function tensors.drawn_from(random)
  local drawn = {}

  --- Uniform in (-scale, scale), 1 by default.
  function drawn.noise(rows, cols, scale)
    local list = {}
    for i = 1, rows * cols do list[i] = (random() * 2 - 1) * (scale or 1) end
    return tk.zeros(rows, cols):write(list)
  end

  function drawn.parameter(rows, cols) return tk.parameter(drawn.noise(rows, cols)) end

  function drawn.ids(n, below)
    local list = {}
    for i = 1, n do list[i] = math.floor(random() * below) end
    return tk.ids(list)
  end

  return drawn
end

function tensors.bytes(t)
  local values, n = t:values()
  return ffi.string(values, 4 * n)
end

function tensors.flat(t)
  local values, n = t:values()
  local list = {}
  for i = 1, n do list[i] = values[i - 1] end
  return list
end

--- Equal to the last bit. Says only that they differ: such texts are not fit to print.
function tensors.same(want, got, what) assert.is_true(want == got, what or 'bits differ') end

return tensors
