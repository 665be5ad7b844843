--- Whether an error is LuaJIT's own on Ctrl-C, which it raises until the engine watches for Ctrl-C.
---@param message any ---@return boolean
return function(message)
  return type(message) == 'string' and message:find('interrupted!', -12, true) ~= nil
end
