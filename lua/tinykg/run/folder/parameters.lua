--- Writes the parameters of a model to a file and reads them.
local must = require 'tinykg.base.must'
local ranks = require 'tinykg.engine.ranks'
local store = require 'tinykg.store'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'

local parameters = {}

local DTYPES = {[tensor.F32] = 'f32', [tensor.I32] = 'i32'}

local function shape_text(size) return '[' .. table.concat(size, ', ') .. ']' end
local function shape(t) return shape_text(t:size()) end

--- Writes a model's parameters by name. ---@param metadata table<string, string>
function parameters.write(path, model, metadata)
  must(store.write(path, model:state(), metadata, {links = false}))
end

--- Raises a message that names the file where `from` is missing or differs from `to` in shape.
local function check_fit(path, name, from, to)
  if not from then
    error(('%s: it has no %s: was it made by another version of the recipe?'):format(path, name), 0)
  end
  if shape(from) ~= shape(to) or from:dtype() ~= to:dtype() then
    error(('%s: %s is %s %s, the model of this data has %s %s: has the data set changed?'):format(
      path, name, from:dtype(), shape(from), to:dtype(), shape(to)), 0)
  end
end

--- Copies `from` into `to`. Raises a message that names the file where the shapes differ.
function parameters.copy(path, name, from, to)
  check_fit(path, name, from, to)
  to:copy(from)
end

--- The metadata of a file. Raises one line for a file that is not whole.
---@return table<string, string>
function parameters.check(path)
  local all, metadata = must(store.read(path))
  for _, t in pairs(all) do t:free() end
  return metadata or {}
end

--- Sets a model's parameters, `own`, from a file, without a copy of them in memory.
---@return table<string, string> metadata
local function read_in_place(path, own)
  local state, metadata = must(store.read(path, function(name, dtype, size)
    local to = own[name]
    local fits = to and to:dtype() == DTYPES[dtype] and shape(to) == shape_text(size)
    return fits and to or nil
  end))
  for name, parameter in pairs(own) do
    if state[name] ~= parameter then parameters.copy(path, name, state[name], parameter) end
  end
  for name, t in pairs(state) do
    if t ~= own[name] then t:free() end
  end
  return metadata or {}
end

--- The same of several ranks: the first reads the file for all.
local function read_for_all(path, own)
  local state
  local metadata = ranks.of_first(function()
    local read, about = must(store.read(path))
    for name, t in pairs(own) do check_fit(path, name, read[name], t) end
    state = read
    return about or {}
  end)
  for _, name in ipairs(tables.sorted_keys(own)) do
    ranks.share(own[name], ranks.is_first() and state[name] or own[name])
  end
  for _, t in pairs(state or {}) do t:free() end
  return metadata
end

--- Sets a model's parameters from a file that `write` made. Names and shapes must agree; the
--- parameters are undefined after an error.
---@return table<string, string> metadata
function parameters.read(path, model)
  return (ranks.size() == 1 and read_in_place or read_for_all)(path, model:state())
end

return parameters
