--- Makes a tensor a parameter: it gets gradients, and optimizers change it.
---
--- With bits = 16 it is kept in bf16, the upper half of a float: half the memory. Its numbers go on
--- being read and written as f32, rounded to the nearest. Adam rounds its updates at random, so
--- that they are right on average; `number` says with which noise, so parameters should have
--- different ones.
local C = require 'tinykg.engine.lib'
local optim = require 'tinykg.engine.optim'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

---@param t Tensor f32; a lazy one is computed now
---@param options? {bits: 32|16, number: integer} number 0
---@return Tensor t
return function(t, options)
  runtime.options('parameter', options, 'bits number')
  if t:dtype() ~= 'f32' then runtime.fail('parameter: ids cannot be trained') end
  local kept = tensor.realize(t)
  C.tkg_tensor_set_parameter(kept, 1)
  if options and options.bits then
    runtime.check(C.tkg_tensor_set_bits(kept, options.bits, options.number or 0))
  end
  runtime.check(C.tkg_tensor_divide(kept))
  optim.register(t)
  return t
end
