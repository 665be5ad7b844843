--- Whether the run in a folder is the one that is asked for, so that it may go on.
local folder = require 'tinykg.run.folder'

local resume = {}

-- What may differ: a run may be given more time, other threads, another device.
local FREE = {epochs = true, patience = true}

local function text_of(value)
  if type(value) == 'number' and value % 1 == 0 then return ('%.0f'):format(value) end
  if type(value) ~= 'table' then return tostring(value) end
  local parts = {}
  for key, item in pairs(value) do parts[#parts + 1] = key .. '=' .. text_of(item) end
  table.sort(parts)
  return '{' .. table.concat(parts, ' ') .. '}'
end

--- 'bits was 2 and is 8 now', for the first difference of two tables; nil if there is none.
local function difference(was, is, prefix)
  local keys = {}
  for _, t in ipairs{was, is} do
    for key in pairs(t) do keys[key] = true end
  end
  local names = {}
  for key in pairs(keys) do names[#names + 1] = key end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(names) do
    local before, now = text_of(was[key]), text_of(is[key])
    if not FREE[key] and before ~= now then
      return ('%s%s was %s and is %s now'):format(prefix, key, before, now)
    end
  end
end

--- What keeps the run of a folder from being continued with a configuration: a clause, or nil.
---@param path string ---@param config table as config.json will say
---@param text string of the recipe ---@param recipe Recipe
---@return string? why
function resume.differs(path, config, text, recipe)
  local was = folder.config(path)
  -- options that came after a run began are, by default, what the run did
  local known, completed = pcall(recipe.complete, recipe, was.options or {})
  was.options = known and completed or was.options
  for _, part in ipairs{'options', 'data_options'} do
    local prefix = part == 'options' and 'option ' or 'option of the data '
    local why = difference(was[part] or {}, config[part] or {}, prefix)
    if why then return why end
  end
  local function fixed(c)
    return {recipe = c.recipe, data = c.data, seed = c.seed, bits = c.bits_asked or c.bits,
            rounding = c.rounding, steps = c.steps}
  end
  local why = difference(fixed(was), fixed(config), '')
  if why then return why end
  if was.options.schedule == 'cosine' and was.options.epochs ~= config.options.epochs then
    return ('epochs was %g and is %g now, and schedule=cosine depends on that'):format(
      was.options.epochs, config.options.epochs)
  end
  if folder.text(path, 'recipe.lua') ~= text then return 'the recipe has changed since' end
end

return resume
