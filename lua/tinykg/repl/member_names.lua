--- What a value answers to by name.
--
-- A class whose __index is a function says in its metatable what that finds: __methods, a table
-- with the methods by name, and __fields, a list of names. Its own fields are nobody's business.

local function is_name(key) return type(key) == 'string' and key:find('^[%a_][%w_]*$') ~= nil end

local function collect(value, add, seen)
  if seen[value] then return end
  seen[value] = true
  local meta = type(value) == 'string' and {__index = string} or getmetatable(value)
  if type(meta) ~= 'table' then meta = {} end
  if type(value) == 'table' and not meta.__methods then
    for key, field in next, value do
      if is_name(key) then add(key, field) end
    end
  end
  for name, method in pairs(meta.__methods or {}) do add(name, method) end
  for _, name in ipairs(meta.__fields or {}) do add(name) end
  if type(meta.__index) == 'table' then collect(meta.__index, add, seen) end
end

--- Names of a value's fields and methods, and of its classes'.
---@param value any ---@return table names by name: what it is, or true where only asking would tell
return function(value)
  local found = {}
  collect(value, function(name, field)
    if found[name] == nil then found[name] = field == nil and true or field end
  end, {})
  return found
end
