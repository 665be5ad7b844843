--- Damage to files: flipped bits in bytes, and changed values in JSON.

local damage = {}

--- The bytes with one bit flipped.
---@param bytes string ---@param at integer from 1 ---@param which integer 0 to 7
---@return string
function damage.flipped(bytes, at, which)
  return bytes:sub(1, at - 1) .. string.char(bit.bxor(bytes:byte(at), 2 ^ which)) ..
    bytes:sub(at + 1)
end

-- What a value may have become: other types, numbers out of any range, texts that end or escape.
local INSTEAD = {-1, 0, 0.5, 1e308, 2 ^ 53 + 2, 'x', '', '<b>\27[2J', true, {}, {1}, {x = 1}}

local function copy(value)
  if type(value) ~= 'table' then return value end
  local other = setmetatable({}, getmetatable(value))
  for key, item in pairs(value) do other[key] = copy(item) end
  return other
end

local function paths_of(value, path, list)
  for key, item in pairs(value) do
    local here = {unpack(path)}
    here[#here + 1] = key
    list[#list + 1] = here
    if type(item) == 'table' then paths_of(item, here, list) end
  end
  return list
end

local function text_of(path)
  local parts = {}
  for i, key in ipairs(path) do parts[i] = tostring(key) end
  return table.concat(parts, '.')
end

--- Calls fn(changed, what) with the value changed at one place, for each place and each change: a
--- key is gone, or has another name, or its value is another.
---@param value table of JSON ---@param null any what stands for null
---@param fn fun(changed: table, what: string)
function damage.each(value, null, fn)
  local paths = paths_of(value, {}, {})
  table.sort(paths, function(a, b) return text_of(a) < text_of(b) end)
  local function change(path, what, put)
    local changed = copy(value)
    local inner = changed
    for i = 1, #path - 1 do inner = inner[path[i]] end
    put(inner, path[#path])
    fn(changed, text_of(path) .. ' ' .. what)
  end
  for _, path in ipairs(paths) do
    change(path, 'is gone', function(t, key) t[key] = nil end)
    if type(path[#path]) == 'string' then
      change(path, 'is renamed', function(t, key) t[key], t[key .. 'z'] = nil, t[key] end)
    end
    change(path, 'is null', function(t, key) t[key] = null end)
    for _, other in ipairs(INSTEAD) do
      change(path, 'is ' .. tostring(other):gsub('%c', '?'):gsub(': .*', ''), function(t, key)
        t[key] = copy(other)
      end)
    end
  end
end

return damage
