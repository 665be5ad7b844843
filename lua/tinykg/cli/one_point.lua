--- A --grid that has one point is no sweep: its values are those of a run.
local options = require 'tinykg.cli.options'
local space = require 'tinykg.sweep.space'
local tables = require 'tinykg.base.tables'

-- Keys of --grid that are options of the command line, not of the recipe.
local OF_COMMAND = {bits = true, rounding = true}

--- The values of a grid that has one point, by key. Nil where an axis has several values, cannot be
--- read, or repeats a key: then the grid stays, and is refused where it is read.
---@param a table parsed arguments ---@return table<string, string>?
local function values_of(a)
  local values, set = {}, options.pairs(a.set, '--set')
  for _, item in ipairs(a.grid) do
    local axis = space.axis(item)
    if not axis or not axis.values or #axis.values > 1 then return nil end
    local key = axis.key
    if values[key] or set[key] or OF_COMMAND[key] and a[key] then return nil end
    values[key] = axis.values[1]
  end
  return values
end

--- The arguments of `tinykg run`; where they stand for one run, its grid of one point is given by
--- --set, --bits and --rounding instead.
---@param a table parsed arguments ---@return table arguments
return function(a)
  local _, seeds = (a.seed or ''):gsub('[^,]+', '')
  local is_one = #a.recipe <= 1 and seeds <= 1 and not a.search
  local values = is_one and #a.grid > 0 and values_of(a)
  if not values then return a end
  local run = tables.merged(a, {grid = {}, set = {unpack(a.set)}})
  for _, key in ipairs(tables.sorted_keys(values)) do
    if OF_COMMAND[key] then run[key] = values[key]
    else table.insert(run.set, ('%s=%s'):format(key, values[key])) end
  end
  return run
end
