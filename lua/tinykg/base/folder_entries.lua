local lfs = require 'lfs'

--- The names in a folder, sorted, without those of itself and of the one above. Raises one line
--- where the folder cannot be read.
---@param path string
---@return string[]
return function(path)
  local list = {}
  local ok, message = pcall(function()
    for name in lfs.dir(path) do
      if name ~= '.' and name ~= '..' then list[#list + 1] = name end
    end
  end)
  if not ok then
    error(('%s: cannot be read: %s'):format(path, tostring(message):match('[^:]*$'):match('%S.*')),
          0)
  end
  table.sort(list)
  return list
end
