--- Generated inputs of benchmarks, in a temporary folder.
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local folder_entries = require 'tinykg.base.folder_entries'
local must = require 'tinykg.base.must'

local inputs = {}

local function remove(path)
  if lfs.symlinkattributes(path, 'mode') == 'directory' then
    for _, name in ipairs(folder_entries(path)) do remove(path .. '/' .. name) end
  end
  os.remove(path)
end

--- Calls fn(folder) with a new temporary folder, and removes that in any case.
function inputs.with_folder(fn)
  local folder = must(atomic_file.folder_beside((os.getenv('TMPDIR') or '/tmp') .. '/tinykg-bench'))
  local ok, result = pcall(fn, folder)
  remove(folder)
  must(ok, result)
  return result
end

--- Loads the data set of --data, or a generated one.
---@param o table options of a benchmark
---@param options table options of data.load
---@return tinykg.Data
function inputs.data(o, options)
  local data = require 'tinykg.data'
  if o.data then return data.load(o.data, options) end
  local made = o.folder .. '/demo'
  if not lfs.attributes(made, 'mode') then
    require('tinykg.data.demo').write(made, o.quick and {users = 60, items = 60}
      or {users = 5000, items = 2000})
  end
  return data.load(made, options)
end

return inputs
