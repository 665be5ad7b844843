--- The data set of a run, as it was loaded for it.
local data = require 'tinykg.data'

---@param config {data: string, seed: integer, data_options: table?} as config.json
---@param dir? string where the data set is now, if it has moved
---@return tinykg.Data
return function(config, dir)
  local options = {seed = config.seed}
  for key, value in pairs(config.data_options or {}) do options[key] = value end
  return data.load(dir or config.data, options)
end
