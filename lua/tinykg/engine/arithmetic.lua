--- Operators of tensors and numbers: + - * / and the unary minus.
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local types = require 'tinykg.base.arguments.types'
local record, attribute, set_shape = tensor.record, tensor.attribute, tensor.set_shape
local Tensor = tensor.Tensor

local arithmetic = {}

--- scale * x + shift: an operator with a number on either side.
local function affine(x, scale, shift)
  local a = attribute()
  a.f[0], a.f[1] = scale, shift
  return record('affine', a, x)
end
arithmetic.affine = affine

--- A node with one value everywhere.
function arithmetic.full(value, ...)
  local a = attribute()
  set_shape{...}
  a.f[0] = value
  return record('full', a)
end

--- x if it is a number, nil if it is a tensor. Errors: other types.
local function operand(x)
  if type(x) == 'number' then return x end
  if not tensor.is(x) then runtime.fail('arithmetic on a tensor and %s', types.described(x)) end
end
arithmetic.operand = operand

local LEAST, MOST = 2 ^ -126, (2 - 2 ^ -23) * 2 ^ 127 -- floats with all their bits
local HALFWAY = 2 ^ 64

--- scale * x. A scale that is no such float, as 1 / b of a very small or large b, is two.
local function scaled(x, scale)
  local size = math.abs(scale)
  if size >= LEAST and size <= MOST or size == 0 or size == math.huge or size ~= size then
    return affine(x, scale, 0)
  end
  local first = size > 1 and HALFWAY or 1 / HALFWAY
  local second = math.max(-MOST, math.min(MOST, scale / first))
  return affine(affine(x, first, 0), second, 0)
end

function Tensor.__add(a, b)
  if operand(b) then return affine(a, 1, b) end
  if operand(a) then return affine(b, 1, a) end
  return record('add', nil, a, b)
end

function Tensor.__sub(a, b)
  if operand(b) then return affine(a, 1, -b) end
  if operand(a) then return affine(b, -1, a) end
  return record('sub', nil, a, b)
end

function Tensor.__mul(a, b)
  if operand(b) then return scaled(a, b) end
  if operand(a) then return scaled(b, a) end
  return record('mul', nil, a, b)
end

-- By a number: times the float nearest to 1 / b, whose product may differ from the quotient in its
-- last bit.
function Tensor.__div(a, b)
  if operand(b) then return scaled(a, 1 / b) end
  if operand(a) then a = arithmetic.full(a) end
  return record('div', nil, a, b)
end

function Tensor.__unm(a) return affine(a, -1, 0) end

return arithmetic
