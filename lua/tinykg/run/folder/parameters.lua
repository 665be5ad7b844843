--- Writes the parameters of a model to a file and reads them.
local must = require 'tinykg.base.must'
local store = require 'tinykg.store'

local parameters = {}

local function shape(t) return '[' .. table.concat(t:size(), ', ') .. ']' end

--- Writes a model's parameters by name. ---@param metadata table<string, string>
function parameters.write(path, model, metadata)
  must(store.write(path, model:state(), metadata, {links = false}))
end

--- Copies `from` into `to`. Raises a message that names the file where the shapes differ.
function parameters.copy(path, name, from, to)
  if not from then
    error(('%s: it has no %s: was it made by another version of the recipe?'):format(path, name), 0)
  end
  if shape(from) ~= shape(to) or from:dtype() ~= to:dtype() then
    error(('%s: %s is %s %s, the model of this data has %s %s: has the data set changed?'):format(
      path, name, from:dtype(), shape(from), to:dtype(), shape(to)), 0)
  end
  to:copy(from)
end

--- Raises one line for a file that is not whole.
function parameters.check(path)
  for _, t in pairs(must(store.read(path))) do t:free() end
end

--- Sets a model's parameters from a file that `write` made. Names and shapes must agree.
---@return table<string, string> metadata
function parameters.read(path, model)
  local state, metadata = must(store.read(path))
  for name, parameter in pairs(model:state()) do
    parameters.copy(path, name, state[name], parameter)
  end
  for _, t in pairs(state) do t:free() end
  return metadata or {}
end

return parameters
