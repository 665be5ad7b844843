--- Options of a recipe that make a step of it small, for what runs each recipe on slow devices.
local SMALL = {dim = '16', batch_size = '32', layers = '16,8', kg_batch_size = '32',
               hidden = '32', relation_dim = '16', neighbors = '4', memories = '8', hops = '2'}

--- The options that a recipe has among these. ---@param path string ---@return table
return function(path)
  local o = {}
  for _, option in ipairs(dofile(path).options) do
    local small = SMALL[option.name]
    if type(option.default) == 'number' then small = tonumber(small) end -- LightGCN: 3 layers
    o[option.name] = small
  end
  return o
end
