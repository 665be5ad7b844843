--- Options `frozen`, `lr_of` and `decay_of`: how some parameters of a model are updated, by name.
--- 'entities' is the parameter of that name and all below it, such as entities.weight.
local optim = require 'tinykg.engine.optim'
local tables = require 'tinykg.base.tables'

--- The parameters of a name. Errors: there is none.
local function parameters_of(model, option, name)
  local all = model:named_parameters()
  local list = tables.filter(all, function(p)
    return p.name == name or p.name:sub(1, #name + 1) == name .. '.'
  end)
  if #list == 0 then
    error(('option %s: the model has no parameter %s; it has %s'):format(option, name,
      table.concat(tables.map(all, function(p) return p.name end), ', ')), 0)
  end
  return tables.map(list, function(p) return p.tensor end)
end

--- Gives parameters what each 'name:number' of an option says, as `field` of optim.group.
local function each_number(model, option, text, field)
  for item in text:gmatch('[^,%s]+') do
    local name, number = item:match('^([^:]+):([^:]+)$')
    if not tonumber(number) then
      error(("option %s: '%s' is not name:number"):format(option, item), 0)
    end
    local ok, why = pcall(optim.group, parameters_of(model, option, name),
                          {[field] = tonumber(number)})
    if not ok then error(('option %s: %s: %s'):format(option, name, why), 0) end
  end
end

--- Applies the options. ---@param model Module just built
---@param o {frozen: string, lr_of: string, decay_of: string}
return function(model, o)
  for name in o.frozen:gmatch('[^,%s]+') do
    optim.group(parameters_of(model, 'frozen', name), {frozen = true})
  end
  each_number(model, 'lr_of', o.lr_of, 'lr')
  each_number(model, 'decay_of', o.decay_of, 'weight_decay')
end
