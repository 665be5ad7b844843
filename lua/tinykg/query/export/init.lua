--- Reads the parameters of a run from its folder: those of the best epoch, or the last ones.
local folder = require 'tinykg.run.folder'
local must = require 'tinykg.base.must'
local sorted_keys = require('tinykg.base.tables').sorted_keys
local store = require 'tinykg.store'

local export = {}

local FILES = { best = 'best.safetensors', last = 'last.safetensors' }
-- last.safetensors has other tensors too, such as states of optimizers.
local PREFIX = { best = '', last = 'model.' }

--- The parameters by name, and the metadata of the file.
---@param path string a run's folder
---@param which string 'best' or 'last'
---@return table<string, Tensor> tensors
---@return table<string, string> metadata
function export.read(path, which)
  local file, prefix = FILES[which], PREFIX[which]
  if not folder.has(path, file) then
    error(('%s: it has no %s'):format(path, file), 0)
  end
  local all, metadata = must(store.read(path .. '/' .. file))
  local tensors = {}
  for name, t in pairs(all) do
    if name:sub(1, #prefix) == prefix then tensors[name:sub(#prefix + 1)] = t else t:free() end
  end
  return tensors, metadata or {}
end

-- 'users.*' as a Lua pattern.
local function pattern_of(glob)
  return '^' .. glob:gsub('%p', '%%%0'):gsub('%%([*?])', { ['*'] = '.*', ['?'] = '.' }) .. '$'
end

--- The names, sorted, that match one of the globs; all names without globs. Raises a message with
--- all names when a glob matches none.
---@param tensors table<string, Tensor>
---@param globs string[] * stands for anything, ? for one character
---@return string[]
function export.select(tensors, globs)
  local all, chosen = sorted_keys(tensors), {}
  if #globs == 0 then return all end
  for _, glob in ipairs(globs) do
    local pattern, fits = pattern_of(glob), false
    for _, name in ipairs(all) do
      if name:match(pattern) then fits, chosen[name] = true, true end
    end
    if not fits then
      error(("no parameter is called '%s': there are %s"):format(glob, table.concat(all, ', ')), 0)
    end
  end
  return sorted_keys(chosen)
end

return export
