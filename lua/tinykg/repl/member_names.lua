--- Names of the fields and methods of a value.
--
-- A class whose __index is a function lists in its metatable what that finds: __methods, a table of
-- methods by name, and __fields, a list of names. The fields of its instances are private.

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

---@param value any
---@return table members by name; true instead of a value that only indexing would compute
return function(value)
  local found = {}
  collect(value, function(name, field)
    if found[name] == nil then found[name] = field == nil and true or field end
  end, {})
  return found
end
