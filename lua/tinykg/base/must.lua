--- Returns its arguments. Raises the message, as it is, where the first is nil or false.
return function(ok, message, ...)
  if not ok then error(message, 0) end
  return ok, message, ...
end
