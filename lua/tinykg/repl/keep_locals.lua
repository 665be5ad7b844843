--- Called at the end of a chunk that was typed or loaded: makes its locals globals, so that they do
-- not vanish. Lua's own names, such as `string`, are not replaced.

local standard = {}
for name in pairs(_G) do standard[name] = true end
standard.tk = nil

return function()
  local i = 1
  while true do
    local name, value = debug.getlocal(2, i)
    if not name then return end
    if standard[name] then
      if not rawequal(value, _G[name]) then
        io.stderr:write('local ', name, ': a name of Lua\'s own, so it was for this time only\n')
      end
    elseif name:find('^[%a_]') then
      rawset(_G, name, value)
    end
    i = i + 1
  end
end
