--- The modules of its own that a recipe reads, the files beside it: a run's folder has no copy of
--- them, only what config.json says of them.
local read_file = require 'tinykg.base.read_file'
local search_path = require 'tinykg.base.search_path'
local sha256 = require 'tinykg.engine.sha256'
local tables = require 'tinykg.base.tables'

local modules = {}

--- The hashes of those that are loaded, by name; nil if there are none.
---@param recipe string path of its file ---@return table<string, string>?
function modules.loaded(recipe)
  local found = {}
  for name, file in pairs(search_path.loaded_beside(recipe)) do
    found[name] = sha256(read_file(file) or '')
  end
  return next(found) and found or nil
end

--- The first file that is not what it was, or is gone; nil if there is none.
---@param was? table<string, string> modules.loaded of a run ---@param recipe? string its file
---@return string? file
function modules.changed(was, recipe)
  for _, name in ipairs(recipe and tables.sorted_keys(was or {}) or {}) do
    local file = search_path.beside(recipe, name)
    local text = read_file(file)
    if not text or sha256(text) ~= was[name] then return file end
  end
end

return modules
