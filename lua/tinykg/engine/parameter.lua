--- Makes a tensor a parameter: it gets gradients, and optimizers change it.
local C = require 'tinykg.engine.lib'
local optim = require 'tinykg.engine.optim'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

---@param t Tensor f32; a lazy one is computed now
---@return Tensor t
return function(t)
  if t:dtype() ~= 'f32' then runtime.fail('parameter: ids cannot be trained') end
  C.tkg_tensor_set_parameter(tensor.realize(t), 1)
  optim.register(t)
  return t
end
