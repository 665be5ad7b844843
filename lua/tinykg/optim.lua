--- Optimizers: SGD, Adam, Adagrad. Inside a step their updates are nodes of the plan.
local ffi = require 'ffi'
local C = require 'tinykg.lib'
local session = require 'tinykg.session'
local tensor = require 'tinykg.tensor'
local check = session.check

local optim = {}
local parameters = setmetatable({}, {__mode = 'k'}) -- every parameter made, while it lives

function optim.register(t) parameters[t] = true end

---@class Optimizer
---@field lr number learning rate; may be set at any time
local Optimizer = {}
local methods = {}

local number = ffi.new('double[1]')

local function get(self, name)
  check(C.tkg_optimizer_get(self.c, name, number))
  return number[0]
end

--- Applies the gradients of the last loss:backward() and drops them.
function methods:update()
  local list = {}
  for t in pairs(parameters) do
    local g = t.kept and C.tkg_tensor_gradient(t.kept)
    if g and g ~= nil then
      C.tkg_tensor_release(g)
      list[#list + 1] = t.kept
    end
  end
  if #list == 0 then
    session.fail('update: no parameter has a gradient; call loss:backward() first')
  end
  local pointers = ffi.new('tkg_tensor *[?]', #list, list)
  check(C.tkg_optimizer_update(self.c, pointers, #list))
  return self
end

--- State tensors of a parameter, for checkpoints: a list of Tensors sharing the memory.
function methods:state(parameter)
  local list, slot = {}, 0
  while true do
    local s = C.tkg_optimizer_state(self.c, parameter.kept, slot)
    if s == nil then return list end
    list[#list + 1] = tensor.wrap(C.tkg_tensor_retain(s))
    slot = slot + 1
  end
end

function Optimizer.__index(self, key)
  if methods[key] then return methods[key] end
  if key == 'lr' or key == 't' then return get(self, key) end
end

function Optimizer.__newindex(self, key, value)
  if key ~= 'lr' and key ~= 't' then session.fail('an optimizer has no field %s to set', key) end
  check(C.tkg_optimizer_set(self.c, key, value))
end

function Optimizer.__tostring(self)
  return string.format('%s(lr = %g)', rawget(self, 'kind'), self.lr)
end

local function create(kind, options, allowed)
  local out = ffi.new('tkg_optimizer *[1]')
  check(C.tkg_optimizer_create(session.engine, kind, out))
  local c = ffi.gc(out[0], C.tkg_optimizer_release)
  for key, value in pairs(options or {}) do
    if not allowed[key] then
      session.fail('optim.%s: unknown option %s', kind, tostring(key))
    elseif key == 'betas' then
      check(C.tkg_optimizer_set(c, 'beta1', value[1]))
      check(C.tkg_optimizer_set(c, 'beta2', value[2]))
    else
      check(C.tkg_optimizer_set(c, key, value))
    end
  end
  return setmetatable({c = c, kind = kind}, Optimizer)
end

--- ---@param options? {lr: number, momentum: number, weight_decay: number} lr .01
function optim.sgd(options)
  return create('sgd', options, {lr = true, momentum = true, weight_decay = true})
end

--- Kingma & Ba 2015. weight_decay is L2, added to the gradient.
---@param options? {lr: number, betas: number[], eps: number, weight_decay: number} lr .001
function optim.adam(options)
  return create('adam', options, {lr = true, betas = true, eps = true, weight_decay = true})
end

--- Duchi et al. 2011. ---@param options? {lr: number, eps: number, weight_decay: number} lr .01
function optim.adagrad(options)
  return create('adagrad', options, {lr = true, eps = true, weight_decay = true})
end

return optim
