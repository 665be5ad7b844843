--- Refuses options that say nothing to the format of a data set: they would be ignored.

local tables = require 'tinykg.base.tables'

local function refuse(option, ...) error('option ' .. option .. ': ' .. string.format(...), 0) end

--- Checks options against what a format has: columns (those that option columns may name),
--- has_attributes, has_ids.
---@param source table the format ---@param options table<string, any>
return function(source, options)
  for _, field in ipairs(tables.sorted_keys(options.columns or {})) do
    if not (source.columns or {})[field] then
      refuse('columns', '%s: files of %s have no such column, or under a name of their own', field,
        source.name)
    end
  end
  if options.attributes and not source.has_attributes then
    refuse('attributes', '%s has no table of items', source.name)
  end
  if options.ids and not source.has_ids then
    refuse('ids', 'files of %s have names, no ids to keep or to renumber', source.name)
  end
end
