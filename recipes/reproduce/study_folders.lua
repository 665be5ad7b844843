--- Whether what a run's folder has is what a study asks for: its figures are then in tables and
--- records, else the run is missing.
local data_set = require 'tinykg.run.data_set'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local format_options = require 'tinykg.run.format_options'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local tables = require 'tinykg.base.tables'

local study_folders = {}

---@class AskedRun
---@field recipe string as the command line names it
---@field set string[] 'key=value' ---@field data_set string[] likewise
---@field data string a folder ---@field bits string ---@field seed string

local recipes, texts = {}, {}

--- A recipe and its text, loaded once.
local function recipe_of(name)
  if not recipes[name] then recipes[name], texts[name] = recipe_file.load(name) end
  return recipes[name], texts[name]
end

--- A recipe's text without comments, all blanks alike: two with the same compute the same.
local function code_of(text) return (text:gsub('%-%-[^\n]*', ''):gsub('%s+', ' ')) end

local fingerprints = {}

--- The fingerprint of a data set, made once.
local function fingerprint_of(path, data_options)
  local key = path .. '\n' .. table.concat(format_options(data_options), '\n')
  fingerprints[key] = fingerprints[key]
    or fingerprint.of(data_set.load({data = path, data_options = data_options}))
  return fingerprints[key]
end

--- Sets options that name a file of another run to what the folder's run has, if that is the file
--- of this name of the same study, whose folder may have moved.
---@param files table<string, string> the end of the path, by option
local function take_files(asked, was, files)
  for name, ending in pairs(files) do
    local before = was.options[name]
    if type(before) == 'string' and before:sub(-#ending - 1) == '/' .. ending then
      asked[name] = before
    end
  end
end

--- Says why a finished run is not the one that is asked for, as a clause, or nil. Raises one line
--- for settings that the recipe does not take, and for files that cannot be read.
local function difference(path, run, summary)
  local was, recipe, text = folder.config(path), recipe_of(run.recipe)
  if code_of(folder.text(path, 'recipe.lua') or text) ~= code_of(text) then
    return ('its recipe.lua is not %s as it is now'):format(run.recipe)
  end
  local data_options = tables.merged({seed = 0}, options.of_data(run.data_set))
  local asked = recipe:complete(options.pairs(run.set, '--set'))
  take_files(asked, was, run.files)
  local why = resume.other_settings(path, was, {
    recipe = recipe.name, data = folder.absolute(run.data), seed = tonumber(run.seed),
    bits = tonumber(run.bits), rounding = 'dither', options = asked, data_options = data_options,
  }, recipe)
  if why then return why end
  asked = tables.merged(asked, resume.scaled(was, asked))
  why = resume.beyond(path, asked)
  if why then return why end
  if not resume.has_ended(summary, was.options, asked) then
    return ('has made %.0f epochs, fewer than epochs=%.0f'):format(summary.epochs, asked.epochs)
  end
  why = was.data_set and data_set.changed(was, fingerprint_of(run.data, data_options))
  return why and ('its data set is not %s: %s'):format(run.data, why)
end

--- The summary of a run that is finished, if it is the one that is asked for.
---@param path string its folder ---@param run AskedRun
---@return table? summary ---@return string? why there is a finished run, but not this one
function study_folders.summary(path, run)
  local ok, summary = pcall(folder.read, path, 'summary.json')
  if ok and not summary then return nil end
  local why = summary
  if ok then ok, why = pcall(difference, path, run, summary) end
  if not ok then why = type(why) == 'table' and why.usage or tostring(why) end
  if why then return nil, why end
  return summary
end

return study_folders
