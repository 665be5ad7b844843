--- Decides whether the run in a folder may go on with a given configuration.
local tables = require 'tinykg.base.tables'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local modules = require 'tinykg.run.folder.modules'
local sha256 = require 'tinykg.engine.sha256'

local resume = {}

--- Options that may differ. Threads and device may differ too; they are not compared.
resume.FREE = {epochs = true, patience = true, per_user = true}

local function text_of(value)
  if value == nil then return 'not given' end
  if type(value) == 'number' and value % 1 == 0 then return ('%.0f'):format(value) end
  if type(value) ~= 'table' then return tostring(value) end
  local parts = {}
  for key, item in pairs(value) do parts[#parts + 1] = key .. '=' .. text_of(item) end
  table.sort(parts)
  return '{' .. table.concat(parts, ' ') .. '}'
end

--- The first difference of two tables, 'bits was 2 and is 8 now', or nil.
local function difference_of(was, is, prefix)
  for _, key in ipairs(tables.sorted_keys(tables.merged(was, is))) do
    local before, now = text_of(was[key]), text_of(is[key])
    if not resume.FREE[key] and before ~= now then
      return ('%s%s was %s and is %s now'):format(prefix, key, before, now)
    end
  end
end

--- The first difference of two settings, including options of the recipe and of the data, or nil.
---@param was table ---@param is table
---@return string?
function resume.difference(was, is)
  local function plain(t)
    local rest = tables.merged(t)
    rest.options, rest.data_options = nil, nil
    return rest
  end
  return difference_of(was.options or {}, is.options or {}, 'option ')
    or difference_of(was.data_options or {}, is.data_options or {}, 'option of the data ')
    or difference_of(plain(was), plain(is), '')
end

--- The options that a small data set gave to a run, but for those that are asked for now.
---@param was table config.json of the run ---@param options table of Recipe:complete
---@return table<string, any>
function resume.scaled(was, options)
  local asked, values = (getmetatable(options) or {}).asked or {}, {}
  for name in pairs(was.scaled or {}) do
    if not asked[name] then values[name] = was.options[name] end
  end
  return values
end

--- Whether the run of a folder began with another recipe; by hash if recipe.lua is gone.
local function was_other(path, config, text)
  local was = folder.text(path, 'recipe.lua')
  if was then return was ~= text end
  return config.recipe_sha256 and config.recipe_sha256 ~= sha256(text)
end

--- How many epochs the run of a folder has made. ---@return integer made ---@return table? summary
local function epochs_made(path)
  local summary = folder.read(path, 'summary.json')
  local log = summary and {} or folder.log(path)
  return summary and summary.epochs or #log > 0 and log[#log].epoch or 0, summary
end

--- Says why the learning rates of a run would have been others with the epochs of now, as a clause,
--- or nil: cosine depends on them, and plateau counts the validation after the last epoch.
local function other_rates(path, was, now)
  if was.epochs == now.epochs then return nil end
  local why = was.schedule == 'cosine' and 'schedule=cosine depends on that'
  if was.schedule == 'plateau' and was.epochs % was.eval_every ~= 0
     and epochs_made(path) >= was.epochs then
    why = ('schedule=plateau counted the validation after epoch %.0f, which eval_every=%.0f does '
      .. 'not divide'):format(was.epochs, was.eval_every)
  end
  return why and ('epochs was %.0f and is %.0f now, and %s'):format(was.epochs, now.epochs, why)
end

--- Says why a run that chose how to fit its budget does not fit another one, as a clause, or nil.
--- What it chose stays as it was.
local function over_budget(was, budget)
  local peak = was.chosen and was.chosen.peak or was.budget
  if not was.budget or not budget or budget == was.budget or peak <= budget then return nil end
  return ('budget was %s and is %s now, and the run chose to take %s'):format(
    format.bytes(was.budget), format.bytes(budget), format.bytes(peak))
end

--- Says how the settings of a run are others than those of a configuration, as a clause, or nil.
--- Epochs and patience may differ. The data set may have moved; only runs of older versions, which
--- have no fingerprint of it, need the same path.
---@param path string ---@param was table its config.json ---@param config table the future one
---@param recipe Recipe
---@return string? why
function resume.other_settings(path, was, config, recipe)
  was, config = tables.merged(was), tables.merged(config)
  if was.recipe ~= config.recipe then
    return ('the recipe was %s and is %s now'):format(was.recipe, config.recipe)
  end
  -- Options that are newer than the run get their defaults, which are what the run did.
  local known, completed = pcall(recipe.complete, recipe, was.options or {})
  was.options = known and completed or was.options
  was.options = tables.merged(was.options, was.chosen and was.chosen.asked)
  config.options = tables.merged(config.options, resume.scaled(was, config.options))
  local function fixed(c)
    return {recipe = c.recipe, data = not was.data_set and c.data or nil, seed = c.seed,
            bits = c.bits_asked or c.bits, rounding = was.bits ~= 32 and c.rounding or nil,
            steps = c.steps,
            budget = not was.budget and c.budget or nil, -- else over_budget looks at it
            extend = config.extend and c.extend or nil,
            options = c.options, data_options = c.data_options}
  end
  return resume.difference(fixed(was), fixed(config)) or over_budget(was, config.budget)
    or other_rates(path, was.options, config.options)
end

--- Says why the run of a folder cannot go on with a configuration, as a clause, or nil. The data
--- set is compared later, when it is loaded.
---@param path string ---@param config table the future config.json
---@param text string the recipe's source ---@param recipe Recipe
---@return string? why
function resume.differs(path, config, text, recipe)
  local was = folder.config(path)
  local why = resume.other_settings(path, was, config, recipe)
  if why then return why end
  if was_other(path, was, text) then return 'the recipe has changed since' end
  local module = modules.changed(was.modules, config.recipe_file)
  if module then return module .. ', which the recipe reads, has changed since' end
end

--- Says how the run of a folder has gone further than asked for now, as a clause, or nil: what it
--- has is then not the result that was asked for.
---@param path string ---@param asked {epochs: number?, patience: number?}
---@return string? why
function resume.beyond(path, asked)
  local patience = folder.config(path).options.patience
  local made, summary = epochs_made(path)
  if asked.epochs and made > asked.epochs then
    return ('has made %.0f epochs, more than epochs=%.0f'):format(made, asked.epochs)
  end
  local sooner = summary and patience and asked.patience and asked.patience > 0
    and (patience == 0 or asked.patience < patience)
  if sooner and made >= (asked.epochs or made) then
    return ('ended with patience=%.0f, not with patience=%.0f'):format(patience, asked.patience)
  end
end

--- Whether a finished run has no epochs left to make: as many as are asked for, or its patience,
--- which is the same, ended it. ---@param summary table ---@param was table options of config.json
---@param asked {epochs: number, patience: number}
function resume.has_ended(summary, was, asked)
  local stopped_early = asked.patience == was.patience and summary.epochs < was.epochs
  return asked.epochs <= summary.epochs or stopped_early
end

return resume
