--- Loads recipes from files.
local lfs = require 'lfs'
local source_line = require 'tinykg.base.source_line'
local read_file = require 'tinykg.base.read_file'
local search_path = require 'tinykg.base.search_path'

local recipe_file = {}

--- The path of a recipe of tinykg's own, such as recipes/kgcn.lua, from any folder.
---@param path string ---@return string path
function recipe_file.along(path) return (os.getenv('TINYKG_HOME') or '.') .. '/' .. path end

--- The path of a recipe, or of tinykg's own of that name: recipes/kgcn.lua works in any folder.
---@param path string
---@return string path
function recipe_file.locate(path)
  local along = recipe_file.along(path)
  return not lfs.attributes(path, 'mode') and lfs.attributes(along, 'mode') and along or path
end

--- The message for a missing recipe: 'kgcn' may be meant as recipes/kgcn.lua.
local function missing(path)
  local along = 'recipes/' .. path:lower():gsub('%.lua$', '') .. '.lua'
  local is_there = path ~= along and lfs.attributes(recipe_file.locate(along), 'mode') == 'file'
  return path .. ': no such recipe' .. (is_there and ': ' .. along .. ' is one' or '')
end

local function text_of(path)
  local text = read_file(path)
  if not text then error(missing(path), 0) end
  return text
end

--- Loads the recipe that a Lua file returns. Errors name its lines. Modules beside it are found.
---@param given string path of the file
---@param shown? string the path that errors name, if the file is a copy
---@return Recipe recipe, string text of the file
function recipe_file.load(given, shown)
  local path = recipe_file.locate(given)
  local text = text_of(path)
  local chunk, message = loadstring(text, '@' .. (shown or path))
  if not chunk then error(message, 0) end
  search_path.add_folder_of(shown or path)
  local recipe = source_line.within(chunk, chunk)
  if type(recipe) ~= 'table' or not recipe.complete then
    error(path .. ': a recipe returns tk.recipe{...}', 0)
  end
  return recipe, text
end

return recipe_file
