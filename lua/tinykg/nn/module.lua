--- The class of all modules, and how to make others.
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local parameter = require 'tinykg.engine.parameter'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local types = require 'tinykg.base.arguments.types'

---@class Module
local Module = {}
Module.__index = Module
types.declare('Module', function(x)
  return type(x) == 'table' and type(x.named_parameters) == 'function'
end, 'a module')

--- Makes a class of modules. Its instances, setmetatable({...}, class), have the methods of
--- modules; calling one calls its `forward`.
---
---   local Twice = tk.nn.class('Twice')
---   function Twice:forward(x) return self.inner(x) * 2 end
---   print(setmetatable({inner = tk.nn.Linear(3, 2)}, Twice))
---       --> Twice(inner.bias 2, inner.weight 2x3)
---@param name string ---@param base? table a class whose functions it has too: Module, or
---  nn.Ranker for a model that scores by dot products
---@return table class
local function new_class(name, base)
  local class = setmetatable({name = name}, {__index = base or Module})
  class.__index = class
  class.__call = function(self, ...)
    if not self.forward then runtime.fail('%s has no function forward', self.name or name) end
    return self:forward(...)
  end
  class.__tostring = function(self) return self:describe() end
  return class
end

local function sorted_fields(self)
  local keys = {}
  for key in pairs(self) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == 'number'
  end)
  return keys
end

local function collect(self, prefix, out, seen)
  for _, key in ipairs(sorted_fields(self)) do
    local value, name = self[key], prefix .. tostring(key)
    if tensor.is(value) then
      if value.kept and C.tkg_tensor_is_parameter(value.kept) ~= 0 and not seen[value] then
        seen[value] = true
        out[#out + 1] = {name = name, tensor = value}
      end
    elseif type(value) == 'table' and not seen[value] then
      seen[value] = true
      collect(value, name .. '.', out, seen)
    end
  end
  return out
end

--- Parameters of this module and of those inside it, as {name, tensor}, in a fixed order. A name is
--- the path of fields: 'layers.1.weight'. One that two fields lead to is there once, by the first
--- of its names. ---@return {name: string, tensor: Tensor}[]
function Module:named_parameters() return collect(self, '', {}, {[self] = true}) end

--- Parameters of this module and of those inside it, in a fixed order. ---@return Tensor[]
function Module:parameters()
  return tables.map(self:named_parameters(), function(p) return p.tensor end)
end

--- Keeps the tables among the parameters in 16 bits, which halves their memory (tk.parameter's
--- bits). Tables are matrices of more rows than columns and at least 4,096 elements; weights stay
--- as they are. ---@return Module self
function Module:halve()
  for number, t in ipairs(self:parameters()) do
    if C.tkg_tensor_is_table(t.kept) ~= 0 then parameter(t, {bits = 16, number = number}) end
  end
  return self
end

--- Parameters by name, for tk.save; the tensors themselves, no copies.
---@return table<string, Tensor>
function Module:state()
  local state = {}
  for _, p in ipairs(self:named_parameters()) do state[p.name] = p.tensor end
  return state
end

--- Whether a table has the functions of modules: no list of them, nor the options of a recipe,
--- which have only what it lists.
local function is_module(x)
  local meta = getmetatable(x)
  return not (meta and meta.options_of) and type(x.eval) == 'function'
end

local function set_mode(self, training, seen)
  if is_module(self) then self.training = training end
  for _, value in pairs(self) do
    if type(value) == 'table' and not tensor.is(value) and not seen[value] then
      seen[value] = true
      set_mode(value, training, seen)
    end
  end
end

--- Sets field `training` to true, here and in all modules inside: dropout is on.
---@return Module self
function Module:train() set_mode(self, true, {[self] = true}) return self end
--- Sets field `training` to false, here and in all modules inside: dropout is off.
---@return Module self
function Module:eval() set_mode(self, false, {[self] = true}) return self end

--- The line that print shows: name, parameters, shapes. ---@return string
function Module:describe()
  local parts = tables.map(self:named_parameters(), function(p)
    return p.name .. ' ' .. table.concat(p.tensor:size(), 'x')
  end)
  return (self.name or 'Module') .. '(' .. table.concat(parts, ', ') .. ')'
end

return {Module = Module, class = new_class}
