--- The bytes of a file.
---@param path string
---@return string? text nil where it cannot be read, as a folder cannot
---@return string? message names the file
return function(path)
  local file, message = io.open(path, 'rb')
  if not file then return nil, message end
  local text, why = file:read('*a')
  file:close()
  if not text then return nil, ('%s: cannot be read: %s'):format(path, why) end
  return text
end
