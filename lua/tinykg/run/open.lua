--- Opens the folder of a run: its recipe, its data and its model as training left it.
local folder = require 'tinykg.run.folder'
local of_run = require 'tinykg.run.data'
local parameters = require 'tinykg.run.parameters'
local recipe_file = require 'tinykg.recipe_file'
local train = require 'tinykg.train'
local tk = require 'tinykg'

--- The recipe as it was when the run began.
local function recipe_of(path, config)
  if folder.has(path, 'recipe.lua') then
    return (recipe_file.load(path .. '/recipe.lua', config.recipe_file))
  end
  return (recipe_file.load(config.recipe_file))
end

---@class OpenRun
---@field folder string
---@field config table config.json
---@field summary table? summary.json, of a finished run
---@field recipe Recipe
---@field options table of the recipe
---@field data tinykg.Data
---@field model Module with the parameters of best.safetensors, in eval mode
---@field best_epoch integer? the epoch they are of
---@field note string? what is not known of its data set

--- Opens a finished or interrupted run that has parameters. Raises one line where its data set is
--- not what it was: its numbers would stand for other names.
---@param path string the run's folder
---@param o? {data: string} data: where the data set is now, if it has moved
---@return OpenRun
local function open(path, o)
  path = path:gsub('(.)/+$', '%1')
  local config = folder.config(path)
  local file = path .. '/best.safetensors'
  if not folder.has(path, 'best.safetensors') then
    error(path .. ': no epoch of this run was finished: it has no best.safetensors', 0)
  end
  tk.seed(config.seed) -- what the model draws once, it draws again
  local recipe = recipe_of(path, config)
  local data, note = of_run.unchanged(path, config, o and o.data)
  local options = recipe:complete(config.options)
  local model = train.build(recipe, data, options)
  local metadata = parameters.read(file, model)
  return {folder = path, config = config, summary = folder.read(path, 'summary.json'),
          recipe = recipe, options = options, data = data, note = note, model = model:eval(),
          best_epoch = tonumber(metadata.epoch)}
end

return open
