--- The keys of a table, sorted.
---@param map table<string, any>
---@return string[]
return function(map)
  local list = {}
  for key in pairs(map) do list[#list + 1] = key end
  table.sort(list)
  return list
end
