--- The keys of a table that are strings or numbers, sorted as texts.
---@param map table
---@return (string|number)[]
return function(map)
  local list = {}
  for key in pairs(map) do
    if type(key) == 'string' or type(key) == 'number' then list[#list + 1] = key end
  end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end
