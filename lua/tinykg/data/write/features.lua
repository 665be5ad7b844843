--- Writes the features of a data set's items as features.npz, with the items' names.

local must = require 'tinykg.base.must'
local store = require 'tinykg.store'

local FILE = 'features.npz'
-- The other files that have features or names of their rows.
local OTHERS = { 'features.npy', 'features.safetensors', 'features.txt', FILE }

--- Writes the features, if there are some: a row for each item, zeros for those without. Notes that
--- they are left out where two items have one name in the files.
---@param data tinykg.Data
---@param out tinykg.Out
---@param name_of fun(name: string): string the name of an item in the files
---@return string[] owned names of files that the written one takes the place of
return function(data, out, name_of)
  if not data.features then return {} end
  local names, seen = {}, {}
  for id = 0, data.items - 1 do
    local name = name_of(data.names.items:name(id))
    if seen[name] then
      out:say('features are left out: two items are called %s', name)
      return {}
    end
    names[id + 1], seen[name] = name, true
  end
  must(store.write(out:add(FILE), { features = data.features }, nil, { texts = { items = names } }))
  return OTHERS
end
