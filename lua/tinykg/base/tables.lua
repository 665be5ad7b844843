--- Functions on lists and tables.
local tables = {}

--- fn(x, i) for each entry of a list, in order; entries for which it is nil are left out.
---@param list table ---@param fn fun(x: any, i: integer): any ---@return table
function tables.map(list, fn)
  local out = {}
  for i, x in ipairs(list) do out[#out + 1] = fn(x, i) end
  return out
end

--- The entries of a list that `keep` accepts.
---@param list table ---@param keep fun(x: any): any ---@return table
function tables.filter(list, keep)
  return tables.map(list, function(x) return keep(x) and x or nil end)
end

--- Whether `fits` accepts an entry of a list.
---@param list table ---@param fits fun(x: any): any ---@return boolean
function tables.any(list, fits)
  for _, x in ipairs(list) do
    if fits(x) then return true end
  end
  return false
end

--- The entries of a list, each once, where it is first. ---@param list table ---@return table
function tables.unique(list)
  local seen = {}
  return tables.filter(list, function(x)
    local new = not seen[x]
    seen[x] = true
    return new
  end)
end

--- Appends the entries of a list to another. ---@param to table ---@param list table
---@return table to
function tables.append(to, list)
  for _, x in ipairs(list) do to[#to + 1] = x end
  return to
end

--- The first n entries of a list, or all that there are. ({unpack(list, 1, n)} fails where n is
--- about 8000 or more.)
---@param list table ---@param n? integer nil: all ---@return table a new list
function tables.first(list, n)
  local out = {}
  for i = 1, math.min(n or #list, #list) do out[i] = list[i] end
  return out
end

--- The keys of a table that are strings or numbers, sorted as texts.
---@param map table ---@return (string|number)[]
function tables.sorted_keys(map)
  local list = {}
  for key in pairs(map) do
    if type(key) == 'string' or type(key) == 'number' then list[#list + 1] = key end
  end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end

--- A new table with the fields of both; those of the second win.
---@param a table? ---@param b table? ---@return table
function tables.merged(a, b)
  local out = {}
  for key, value in pairs(a or {}) do out[key] = value end
  for key, value in pairs(b or {}) do out[key] = value end
  return out
end

--- Sorts a list by a field, the largest first; equal ones by another field, the smallest first.
---@param list table ---@param by string ---@param tie string ---@return table list
function tables.sort_largest(list, by, tie)
  table.sort(list, function(a, b)
    if a[by] ~= b[by] then return a[by] > b[by] end
    return a[tie] < b[tie]
  end)
  return list
end

return tables
