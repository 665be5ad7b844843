--- Makes a tensor a parameter: gradients flow to it and optimizers change it.
local C = require 'tinykg.lib'
local optim = require 'tinykg.optim'
local session = require 'tinykg.session'
local tensor = require 'tinykg.tensor'

---@param t Tensor f32; computed now if it is lazy
---@return Tensor t
return function(t)
  if t:dtype() ~= 'f32' then session.fail('parameter: ids cannot be trained') end
  C.tkg_tensor_set_parameter(tensor.realize(t), 1)
  optim.register(t)
  return t
end
