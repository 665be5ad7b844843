--- Before the engine watches Ctrl-C, LuaJIT does, and raises an error wherever Lua is.

--- Whether that is what an error says.
---@param message any ---@return boolean
return function(message)
  return type(message) == 'string' and message:find('interrupted!', -12, true) ~= nil
end
