--- The parameters of a run, out of its folder: those of the best epoch, or the last ones.
local folder = require 'tinykg.run.folder'
local must = require 'tinykg.base.must'
local store = require 'tinykg.store'

local export = {}

local FILES = { best = 'best.safetensors', last = 'last.safetensors' }
-- last.safetensors holds states of optimizers and more beside them.
local PREFIX = { best = '', last = 'model.' }

--- The parameters by name, and what the file says about itself.
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

-- 'users.*' as a pattern of Lua's.
local function pattern_of(glob)
  return '^' .. glob:gsub('%p', '%%%0'):gsub('%%([*?])', { ['*'] = '.*', ['?'] = '.' }) .. '$'
end

--- The names, sorted, of which one of the globs is true; all of them without globs. Raises a
--- message that lists what there is where a glob fits none.
---@param tensors table<string, Tensor>
---@param globs string[] * stands for anything, ? for one character
---@return string[]
function export.select(tensors, globs)
  local all, chosen = {}, {}
  for name in pairs(tensors) do all[#all + 1] = name end
  table.sort(all)
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
  local order = {}
  for _, name in ipairs(all) do
    if chosen[name] then order[#order + 1] = name end
  end
  return order
end

return export
