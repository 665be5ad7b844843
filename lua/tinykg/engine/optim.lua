--- Optimizers: SGD, Adam, AdamW, Adagrad. Inside a step their updates are nodes of the plan.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local check = runtime.check

local optim = {}
local parameters = setmetatable({}, {__mode = 'k'}) -- all that live, with their numbers
local registered = 0

--- Makes update() look for a gradient of this tensor. ---@param t Tensor
function optim.register(t)
  registered = registered + 1
  parameters[t] = parameters[t] or registered
end

--- The live parameters that a function accepts, in the order in which they were made: that of a
--- table follows addresses, and sums over parameters would too. ---@return Tensor[]
local function select_parameters(accepts)
  local list = {}
  for t in pairs(parameters) do
    if t.kept and accepts(t) then list[#list + 1] = t end
  end
  table.sort(list, function(a, b) return parameters[a] < parameters[b] end)
  return list
end

local GROUP = {lr = 'number', weight_decay = 'number', frozen = 'boolean'}

--- Sets how parameters are updated, by any optimizer, from the next step on. `lr` may be another at
--- every step, though a GPU replays a step (tk.replay) only with the rates that it had. Each new
--- weight_decay is a new plan of the step.
---
---   local w = tk.parameter(tk.ones(2))
---   tk.optim.group({w}, {lr = 0.1, weight_decay = 0})
---@param list Tensor[] parameters
---@param options table lr, a factor of the optimizer's; weight_decay, instead of the optimizer's;
---  frozen: true: no gradient (one that it has is dropped), no update
function optim.group(list, options)
  runtime.fields('optim.group', options, 'lr weight_decay frozen', GROUP)
  for _, t in ipairs(list) do
    for name, value in pairs(options) do
      if type(value) == 'boolean' then value = value and 1 or 0 end
      check(C.tkg_tensor_set_group(tensor.realize(t), name, value))
    end
  end
end

---@class Optimizer
---@field lr number learning rate; may be set at any time
---@field t number updates made
---@field bits number of Adam's state: 32 or 8
local methods = {}
local Optimizer = {__methods = methods, __fields = {'lr', 't', 'bits'}} -- for the prompt's lists

local number = ffi.new('double[1]')

local FLAGS = {rowwise = true, lazy = true}

local function set(c, kind, key, value)
  if FLAGS[key] and type(value) == 'boolean' then value = value and 1 or 0 end
  if type(value) ~= 'number' then
    runtime.fail('optim.%s: %s is a %s, expected a number', kind, key, type(value))
  end
  check(C.tkg_optimizer_set(c, key, value))
end

local function get(self, name)
  check(C.tkg_optimizer_get(self.c, name, number))
  return number[0]
end

local function has_gradient(t)
  local gradient = C.tkg_tensor_gradient(t.kept)
  if gradient == nil then return false end
  C.tkg_tensor_release(gradient)
  return true
end

-- The live parameters that have a gradient.
function optim._with_gradient() return select_parameters(has_gradient) end

--- Updates all parameters that have a gradient, whichever loss:backward() left it, and frees the
--- gradients. A second backward() in between replaces the gradients of its own parameters and
--- leaves the others. Errors: no parameter has one.
---@return Optimizer self
function methods:update()
  local list = optim._with_gradient()
  if #list == 0 then
    runtime.fail('update: no parameter has a gradient; call loss:backward() first')
  end
  local pointers = ffi.new('tkg_tensor *[?]', #list)
  for i, t in ipairs(list) do pointers[i - 1] = t.kept end
  check(C.tkg_optimizer_update(self.c, pointers, #list))
  return self
end

--- State tensors of a parameter, for checkpoints. They share the optimizer's memory.
---@param parameter Tensor ---@return Tensor[]
function methods:state(parameter)
  local list, slot, kept = {}, 0, tensor.realize(parameter)
  while true do
    local s = C.tkg_optimizer_state(self.c, kept, slot)
    if s == nil then return list end
    list[#list + 1] = tensor.wrap(C.tkg_tensor_retain(s))
    slot = slot + 1
  end
end

--- Whether there is state of a parameter. (state() makes it.)
---@param parameter Tensor ---@return boolean
function methods:knows(parameter)
  return C.tkg_optimizer_knows(self.c, tensor.realize(parameter)) ~= 0
end

--- Parameters that its updates have state of, in the order in which they were made.
---@return Tensor[]
function methods:parameters()
  return select_parameters(function(t) return self:knows(t) end)
end

function Optimizer.__index(self, key)
  if methods[key] then return methods[key] end
  if key == 'lr' or key == 't' or key == 'bits' then return get(self, key) end
end

function Optimizer.__newindex(self, key, value)
  if key ~= 'lr' and key ~= 't' then
    runtime.fail('an optimizer has no field %s to set', tostring(key))
  end
  set(self.c, rawget(self, 'kind'), key, value)
end

function Optimizer.__tostring(self)
  return string.format('%s(lr = %g)', rawget(self, 'kind'), self.lr)
end

arguments.class(Optimizer, 'Optimizer', 'an optimizer of tk.optim', methods)

local function set_betas(c, kind, betas)
  if type(betas) ~= 'table' then runtime.fail('optim.%s: betas are {beta1, beta2}', kind) end
  for k = 1, 2 do set(c, kind, 'beta' .. k, betas[k]) end
end

--- `allowed`: names of the options, separated by spaces.
local function create(kind, options, allowed)
  runtime.options('optim.' .. kind, options, allowed)
  local c = runtime.create('optimizer', kind)
  for key, value in pairs(options or {}) do
    if key == 'betas' then set_betas(c, kind, value) else set(c, kind, key, value) end
  end
  return setmetatable({c = c, kind = kind}, Optimizer)
end

local ADAM = 'lr betas eps eps_hat weight_decay decay_rank clip bits rowwise lazy'

--- Stochastic gradient descent, with momentum. weight_decay is L2, added to the gradient of
--- parameters with at least decay_rank dimensions: 2 leaves out biases.
---
--- clip, which every optimizer has, is the most that the norm of all gradients together may be in
--- an update; larger ones are scaled down to it (Pascanu et al., ICML 2013). All gradients then
--- exist at once, which takes more memory. 0 or math.huge: no clipping.
---@param options? {lr: number, momentum: number, weight_decay: number, decay_rank: integer,
---  clip: number} lr .01, decay_rank 0, clip 0
function optim.sgd(options)
  return create('sgd', options, 'lr momentum weight_decay decay_rank clip')
end

--- Adam (Kingma & Ba 2015). eps is that of their algorithm 1, as in PyTorch. eps_hat, given
--- instead, is that of their section 2, as in TensorFlow 1: larger in the first steps. weight_decay
--- and decay_rank as in sgd. Moments are corrected for the updates of the optimizer, as in
--- TensorFlow; PyTorch counts those of each parameter, which is another number for one that has no
--- gradient in some steps, as of two phases that share an optimizer.
---
--- With bits = 8 the moments of parameters of at least 4,096 elements take a quarter of the memory:
--- block-wise (Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022), in floats
--- of 8 bits relative to the largest of their row, rounded at random so that they are right on
--- average. optimizer:state(parameter) is then {codes, int32 [ceil(n / 2)]; scales, [blocks, 2]}.
---
--- With rowwise, tables (matrices of more rows than columns, at least 4,096 elements, 8 to 256
--- columns) have one second moment per row, the running mean of the mean square of the row's
--- gradient, as FBGEMM's partial_rowwise_adam. State: {m; v, [rows]}, with bits = 8 {codes, int32
--- [ceil(n / 4)]; [rows, 2]: m's scale and v}.
---
--- With lazy, rows of a matrix that a step's batch does not read are left alone, with their
--- moments, as PyTorch's SparseAdam does: steps then cost by the rows of the batch and not by the
--- table, and no gradient of the whole table is made. Weight decay acts on those rows alone.
--- Parameters that are read otherwise are updated as ever; a table that is read both ways is
--- refused, as are updates outside of steps.
---@param options? {lr: number, betas: number[], eps: number, eps_hat: number,
---  weight_decay: number, decay_rank: integer, clip: number, bits: 32|8, rowwise: boolean,
---  lazy: boolean}
---  lr .001, eps 1e-8, bits 32
function optim.adam(options) return create('adam', options, ADAM) end

--- AdamW (Loshchilov & Hutter, ICLR 2019), as in PyTorch: Adam whose decay is not added to the
--- gradient; parameters are multiplied by 1 - lr weight_decay before the step. Options as adam's.
---@param options? {lr: number, betas: number[], eps: number, eps_hat: number,
---  weight_decay: number, decay_rank: integer, clip: number, bits: 32|8, rowwise: boolean,
---  lazy: boolean}
---  lr .001, eps 1e-8, bits 32, weight_decay .01
function optim.adamw(options) return create('adamw', options, ADAM) end

--- Adagrad (Duchi et al. 2011). ---@param options? {lr: number, eps: number, weight_decay: number,
---  decay_rank: integer, clip: number} lr .01
function optim.adagrad(options)
  return create('adagrad', options, 'lr eps weight_decay decay_rank clip')
end

return optim
