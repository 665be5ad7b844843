--- Loads recipes from files.
local lfs = require 'lfs'
local close_word = require 'tinykg.base.arguments.close_word'
local folder_entries = require 'tinykg.base.folder_entries'
local source_line = require 'tinykg.base.source_line'
local read_file = require 'tinykg.base.read_file'
local search_path = require 'tinykg.base.search_path'
local tables = require 'tinykg.base.tables'

local recipe_file = {}

--- The path of a recipe of tinykg's own, such as recipes/kgcn.lua, from any folder.
---@param path string ---@return string path
function recipe_file.along(path) return (os.getenv('TINYKG_HOME') or '.') .. '/' .. path end

local function is_file(path) return lfs.attributes(path, 'mode') == 'file' end

--- The path of tinykg's own recipe that a name without a folder and an ending, such as kgat, stands
--- for; nil if there is none. ---@param name string ---@return string?
function recipe_file.of_name(name)
  local path = recipe_file.along('recipes/' .. name:lower() .. '.lua')
  return not name:find('[/.]') and is_file(path) and path or nil
end

--- The path of a recipe, or of tinykg's own of that name: recipes/kgcn.lua and kgcn work in any
--- folder. A file that is there comes first.
---@param path string
---@return string path
function recipe_file.locate(path)
  local along = recipe_file.along(path)
  return is_file(path) and path or is_file(along) and along or recipe_file.of_name(path) or path
end

--- The names of tinykg's own recipes, sorted. ---@return string[]
function recipe_file.names()
  local ok, list = pcall(folder_entries, recipe_file.along('recipes'))
  return tables.map(ok and list or {}, function(file) return file:match('^(.*)%.lua$') end)
end

--- The message for a missing recipe.
local function missing(path)
  if lfs.attributes(path, 'mode') == 'directory' then
    return path .. ': is a folder, not a recipe\'s file'
  end
  local name = path:match('[^/]*$'):gsub('%.lua$', '')
  local hint = close_word.hint(name, recipe_file.names())
  return ('%s: no such recipe%s'):format(path, hint ~= '' and hint
    or '; tinykg has ' .. table.concat(recipe_file.names(), ' '))
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
