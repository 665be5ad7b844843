--- Layers: modules with named parameters and a function forward.
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local custom = require 'tinykg.engine.custom'
local module = require 'tinykg.nn.module'
local runtime = require 'tinykg.engine.runtime'
local start_files = require 'tinykg.nn.start_files'
local tensor = require 'tinykg.engine.tensor'
local types = require 'tinykg.base.arguments.types'

local nn = {class = module.class, Module = module.Module, Ranker = require 'tinykg.nn.ranker'}

--- A kept tensor [rows, cols], uniform in +-sqrt(6 / (rows + cols)) (Glorot & Bengio 2010). With
--- three numbers: [n, rows, cols] in +-sqrt(6 / (n (rows + cols))), as in TensorFlow, or with
--- 'torch' behind them in +-sqrt(6 / (cols (n + rows))), as in PyTorch.
---@param ... integer|integer[]|string the shape ---@return Tensor
function nn.xavier(...)
  local sizes, count = {...}, select('#', ...)
  local as_torch = sizes[count] == 'torch'
  if as_torch then sizes[count] = nil end
  local shape = tensor.shape(unpack(sizes))
  local rank = #shape
  if rank ~= 2 and rank ~= 3 then runtime.fail('xavier: of 2 or 3 dimensions, not %d', rank) end
  local t = tensor.create(tensor.F32, shape, 'parameter')
  local n, rows, cols = rank == 3 and shape[1] or 1, shape[rank - 1], shape[rank]
  local fans = rank == 3 and as_torch and cols * (n + rows) or n * (rows + cols)
  local bound = math.sqrt(6 / fans)
  runtime.check(C.tkg_tensor_uniform(t.kept, -bound, bound, runtime.stream()))
  return t
end

-- ---- layers ----

--- Reads an option such as '64,32,16'. Errors: no list of whole numbers from 1.
---@param text string|number ---@return integer[]
function nn.sizes(text)
  local list = {}
  for size in (tostring(text) .. ','):gmatch('%s*([^,]*),') do
    local n = tonumber(size)
    if not n or n < 1 or n % 1 ~= 0 then
      error(("sizes: '%s' is not a list such as 64,32,16"):format(tostring(text)), 0)
    end
    list[#list + 1] = n
  end
  return list
end

local Linear = nn.class('nn.Linear')

--- Parameters that start as PyTorch's.
local PYTORCH = {uniform = {'bias'}, torch = {'weight', 'bias'}}

--- A layer x W^T + b, from [..., inputs] to [..., outputs]. Parameters: weight [outputs, inputs],
--- Xavier; bias [outputs], zeros. PyTorch's are both uniform in +-1 / sqrt(inputs).
---@param inputs integer ---@param outputs integer
---@param bias? boolean|string true (zeros) by default, false for none, or 'zeros'; 'uniform': as
---  PyTorch's; 'torch': weight and bias as PyTorch's
function nn.Linear(inputs, outputs, bias)
  tensor.shape(inputs, outputs)
  local parameter = require('tinykg.engine.parameter')
  if type(bias) == 'string' and bias ~= 'zeros' and not PYTORCH[bias] then
    runtime.fail("nn.Linear: bias '%s' is not zeros, uniform or torch", bias)
  end
  local self = setmetatable({inputs = inputs, outputs = outputs}, Linear)
  self.weight = parameter(nn.xavier(outputs, inputs))
  if bias ~= false then
    self.bias = parameter(tensor.create(tensor.F32, {outputs}, 'parameter'))
  end
  local bound = 1 / math.sqrt(inputs)
  for _, name in ipairs(PYTORCH[bias] or {}) do
    runtime.check(C.tkg_tensor_uniform(self[name].kept, -bound, bound, runtime.stream()))
  end
  return self
end

---@param x Tensor
function Linear:forward(x)
  local y = x:matmul(self.weight, {transpose_b = true})
  return self.bias and y + self.bias or y
end

function Linear:describe()
  return string.format('nn.Linear(%d -> %d)', self.inputs, self.outputs)
end

local Embedding = nn.class('nn.Embedding')

--- A table [n, d] (parameter `weight`). Called with int32 ids [...] it gathers rows [..., d]. It
--- starts as Xavier, or normal with a standard deviation `start`, or uniform in +-start.bound.
---@param n integer ---@param d integer ---@param start? number|{bound: number}
function nn.Embedding(n, d, start)
  tensor.shape(n, d)
  local parameter, weight = require('tinykg.engine.parameter'), nil
  if start then
    weight = tensor.create(tensor.F32, {n, d}, 'parameter')
    local draw, low, high = C.tkg_tensor_normal, 0, start
    if type(start) == 'table' then
      runtime.options('nn.Embedding', start, 'bound')
      if type(start.bound) ~= 'number' then
        runtime.fail('nn.Embedding: start.bound is %s, expected a number',
                     types.described(start.bound))
      end
      draw, low, high = C.tkg_tensor_uniform, -start.bound, start.bound
    end
    runtime.check(draw(weight.kept, low, high, runtime.stream()))
  end
  return setmetatable({n = n, d = d, weight = parameter(weight or nn.xavier(n, d))}, Embedding)
end

--- Errors: NaN or infinity in a file, which training would show much later.
local function check_finite(path, name, values, n, d)
  for i = 0, n * d - 1 do
    if values[i] - values[i] ~= 0 then
      runtime.fail('%s: %s has %g in row %d', path, name, values[i], math.floor(i / d))
    end
  end
end

local function read_rows(self, path, name, first, n, kind)
  local rows, count = nil, nil
  if type(n) == 'table' then
    rows, count = require('tinykg.run.pretrained')(path, n, kind)
    n = n[kind]
  end
  count = count or n
  local from = require('tinykg.store').load(path)[name]
  if not from or from:rank() ~= 2 or from:size(1) ~= count or from:size(2) ~= self.d then
    runtime.fail('%s: it has no %s [%d, %d]%s', path, name, count, self.d,
                 from and ' but one [' .. table.concat(from:size(), ', ') .. ']' or '')
  end
  check_finite(path, name, from:values(), count, self.d)
  if rows then from = from:gather(tensor.ids(rows, n)) end
  self.weight:write(from:values(), first * self.d, n * self.d)
end

--- Reads rows first .. first + n - 1 (from 0) from tensor `name` of a file. With a data set for n,
--- rows go by name: row first + id is that of the user or item of the same name in the run whose
--- folder has the file. Errors: no such tensor, another shape, NaN, unknown names; but not where a
--- trained run is opened or goes on, whose parameters they are not.
---@param path string ---@param name string ---@param first integer
---@param n integer|tinykg.Data ---@param kind? string 'users' or 'items' of the data set
---@return Module self
function Embedding:load(path, name, first, n, kind)
  start_files.read(path, function() read_rows(self, path, name, first, n, kind) end, self.weight)
  return self
end

--- Reads the rows of users and items from another model's parameters users.weight and items.weight,
--- such as bpr-mf.lua's.
---@param path string the file, best.safetensors of a run; '': nothing is read
---@param data tinykg.Data ---@param first {users: integer, items: integer} the rows of user 0 and
---  of item 0 ---@return Module self
function Embedding:load_pretrained(path, data, first)
  for _, kind in ipairs(path ~= '' and {'users', 'items'} or {}) do
    self:load(path, kind .. '.weight', first[kind], data, kind)
  end
  return self
end

---@param ids Tensor
function Embedding:forward(ids) return self.weight:gather(ids) end
function Embedding:describe() return string.format('nn.Embedding(%d, %d)', self.n, self.d) end

local Dropout = nn.class('nn.Dropout')

--- Dropout while training; after eval() it returns its input.
---@param p number probability of a zero, 0 <= p < 1
function nn.Dropout(p)
  if not (p >= 0 and p < 1) then runtime.fail('nn.Dropout: %g is not in [0, 1)', p) end
  return setmetatable({p = p, training = true}, Dropout)
end
---@param x Tensor
function Dropout:forward(x) return self.training and x:dropout(self.p) or x end
function Dropout:describe() return string.format('nn.Dropout(%g)', self.p) end

local LayerNorm = nn.class('nn.LayerNorm')

--- Rows [.., d] with mean 0 and variance 1, times a weight, plus a bias (Ba et al., Layer
--- Normalization, 2016). Parameters: weight [d], ones; bias [d], zeros. Backward keeps the
--- normalised rows, in few bits where the step has few, and one number per row.
---@param d integer ---@param options? {eps: number} added to the variance, 1e-5 by default
function nn.LayerNorm(d, options)
  runtime.options('nn.LayerNorm', options, 'eps')
  local parameter = require('tinykg.engine.parameter')
  local weight = tensor.create(tensor.F32, {d}, 'parameter')
  runtime.check(C.tkg_tensor_fill(weight.kept, 1))
  return setmetatable({d = d, eps = options and options.eps or 1e-5, weight = parameter(weight),
                       bias = parameter(tensor.create(tensor.F32, {d}, 'parameter'))}, LayerNorm)
end

--- The mean of each row of a matrix, [n, 1].
local function row_means(x)
  local a = tensor.attribute()
  a.i[0], a.i[1] = 2, 1 -- of dimension 2, which stays
  return tensor.record('sum', a, x) * (1 / x:size(2))
end

--- Rows less their mean. It is its own gradient: what arrives, less its mean.
local function centred(x) return x - row_means(x) end
local centre = custom{name = 'centre', forward = function(_, x) return centred(x) end,
                      backward = function(_, dy) return centred(dy) end}

--- Rows over sqrt(x . x + added).
local function normalized(x, added)
  local a = tensor.attribute()
  a.f[0], a.i[0] = added, 1
  local norms = tensor.record('row_norm', a, x)
  a = tensor.attribute()
  a.f[0] = -1 -- no norm is at a floor
  return tensor.record('normalize', a, x, norms)
end

---@param x Tensor
function LayerNorm:forward(x)
  if x:rank() == 0 or x:size(-1) ~= self.d then
    runtime.fail('nn.LayerNorm: [%s] has no rows of %d', table.concat(x:size(), ', '), self.d)
  end
  local rows = x:rank() == 2 and x or x:reshape(-1, self.d)
  local y = normalized(centre(rows), self.d * self.eps)
  y = y * (self.weight * math.sqrt(self.d)) + self.bias
  return x:rank() == 2 and y or y:reshape(x:size())
end
function LayerNorm:describe() return string.format('nn.LayerNorm(%d)', self.d) end

local Sequential = nn.class('nn.Sequential')

--- Calls modules or functions one after another. ---@param ... Module|fun(x: Tensor): Tensor
function nn.Sequential(...) return setmetatable({...}, Sequential) end

function Sequential:forward(x)
  for i, layer in ipairs(self) do
    if type(layer) ~= 'table' and type(layer) ~= 'function' then
      runtime.fail('nn.Sequential: layer %d is a %s', i, type(layer))
    end
    x = layer(x)
  end
  return x
end

function Sequential:describe()
  return 'nn.Sequential(' .. table.concat(tables.map(self, tostring), ', ') .. ')'
end

local function relu(x) return x:relu() end

--- Linear layers with ReLU between them: a Sequential whose layers 1, 3, ... are nn.Linear.
---@param sizes integer[] of the inputs, of each layer's outputs
---@param bias? boolean|string of nn.Linear
function nn.MLP(sizes, bias)
  local layers = {}
  for k = 2, #sizes do
    if k > 2 then layers[#layers + 1] = relu end
    layers[#layers + 1] = nn.Linear(sizes[k - 1], sizes[k], bias)
  end
  return nn.Sequential(unpack(layers))
end

nn.Diffusion = require 'tinykg.nn.diffusion'

for _, class in ipairs{Linear, Embedding, Dropout, LayerNorm, Sequential} do
  arguments.check(class, class.name .. ':', 'Module')
end

return nn
