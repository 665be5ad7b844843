--- The most popular items for everybody: what a model has to be better than. It goes through the
--- same evaluation as a model.
local arrays = require 'tinykg.engine.arrays'
local evaluate = require 'tinykg.train.evaluate'
local module = require 'tinykg.nn.module'
local Ranker = require 'tinykg.nn.ranker'
local tensor = require 'tinykg.engine.tensor'

--- A column of numbers, one per id from 0. ---@return Tensor [n, 1]
local function column(n, value_of)
  local values = arrays.floats(n)
  for id = 0, n - 1 do values[id] = value_of(id) end
  return tensor.constant(tensor.F32, {n, 1}, values)
end

--- How many known and how many labelled-0 interactions of train each item has.
local function counts_of(data)
  local train = data.train
  local taken, refused = arrays.ints(data.items), arrays.ints(data.items)
  for i = 0, train.n - 1 do
    local counts = train.labels and train.labels[i] == 0 and refused or taken
    counts[train.items[i]] = counts[train.items[i]] + 1
  end
  return taken, refused
end

local ByProduct, ByPairs = module.class('Popularity', Ranker), module.class('Popularity')

function ByProduct:node_embeddings() return self.users, self.items end

function ByPairs:score(_, items) return self.items:gather(items):reshape(-1) end

--- A model that scores an item by how many took it; of labelled data by the logarithm of how many
--- rows have label 1 over how many have 0, one more of each.
local function model_of(data)
  local taken, refused = counts_of(data)
  if data.task == 'ctr' then
    return setmetatable({items = column(data.items, function(id)
      return math.log((taken[id] + 1) / (refused[id] + 1))
    end)}, ByPairs)
  end
  return setmetatable({users = column(data.users, function() return 1 end),
                       items = column(data.items, function(id) return taken[id] end)}, ByProduct)
end

--- Test metrics of the most popular items. ---@param data tinykg.Data
---@param o table as of evaluate.model ---@return table<string, number>?
return function(data, o)
  local model = model_of(data)
  local result = evaluate.model(model, data, 'test', o)
  for _, t in pairs(model) do
    if tensor.is(t) then t:free() end
  end
  return result
end
