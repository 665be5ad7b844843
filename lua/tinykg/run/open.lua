--- Opens the folder of a run: loads its recipe, its data and its trained model.
local data_set = require 'tinykg.run.data_set'
local folder = require 'tinykg.run.folder'
local parameters = require 'tinykg.run.folder.parameters'
local recipe_file = require 'tinykg.train.recipe_file'
local start_files = require 'tinykg.nn.start_files'
local train = require 'tinykg.train'
local trust = require 'tinykg.run.trust'
local tk = require 'tinykg'

--- Builds the model of a run whose parameters are read next.
local function build(recipe, data, options)
  start_files.spare_all()
  local ok, model = pcall(train.build, recipe, data, options)
  start_files.need()
  if not ok then error(model, 0) end
  return model
end

---@class OpenRun
---@field folder string
---@field config table config.json
---@field summary table? summary.json of a finished run
---@field recipe Recipe
---@field options table of the recipe
---@field data tinykg.Data
---@field model Module with the parameters of best.safetensors, in eval mode
---@field best_epoch integer? the epoch they are of
---@field note string? a note about its data set

--- Opens a finished or interrupted run that has parameters. Raises one line when its data set has
--- changed: row numbers would stand for other names.
---@param path string the run's folder
---@param o? {data: string, trust: boolean} data: where the data set is now, if it has moved;
---  trust: run the folder's recipe, which is a program, whoever owns it
---@return OpenRun
local function open(path, o)
  path = path:gsub('(.)/+$', '%1')
  local config = folder.config(path)
  if not folder.has(path, 'best.safetensors') then
    error(path .. ': no epoch of this run was finished: it has no best.safetensors', 0)
  end
  tk.seed(config.seed) -- for random constants of the model, such as KGCN's neighbours
  local recipe = recipe_file.load(trust.recipe(path, config, o and o.trust), config.recipe_file)
  local data, note = data_set.unchanged(path, config, o and o.data)
  local options = recipe:complete(config.options)
  local model = build(recipe, data, options)
  local metadata = parameters.read(path .. '/best.safetensors', model)
  return {folder = path, config = config, summary = folder.read(path, 'summary.json'),
          recipe = recipe, options = options, data = data, note = note, model = model:eval(),
          best_epoch = tonumber(metadata.epoch)}
end

return open
