--- Epochs, patience and eval_every for a small data set. Defaults are those of programs that were
--- written for larger ones: there an epoch has hundreds of steps, here it may have two, and
--- training would end before it has begun. So a run makes at least STEPS steps, and is not stopped
--- before WAIT steps brought nothing, but then it is, also if by default it would not be: a step
--- may take a second. What was asked for, presets too, stays as it is, and so do defaults that a
--- recipe without a `source` has of its own.
local STEPS, WAIT = 2000, 500
local VALIDATIONS = 100 -- about so many at most, if there are more epochs than by default

--- Steps of an epoch of interactions.
local function steps_of(o, data)
  local steps = data.train.n / math.min(o.batch_size, math.max(data.train.n, 1))
  return math.max(1, o.drop_last and math.floor(steps) or math.ceil(steps))
end

--- What a run changes, by option; empty where the defaults do. ---@param recipe Recipe
---@param o table of Recipe:complete ---@param data tinykg.Data
---@return table<string, integer> changed ---@return integer steps per epoch
return function(recipe, o, data)
  local asked, changed, steps = (getmetatable(o) or {}).asked or {}, {}, steps_of(o, data)
  local epochs, every = o.epochs, o.eval_every
  local function fixed(name) return asked[name] or recipe.source == '' and recipe.own[name] end
  if asked.preset then return changed, steps end
  if not fixed 'epochs' and epochs * steps < STEPS then
    epochs = math.ceil(STEPS / steps)
    changed.epochs = epochs
    if not fixed 'eval_every' and math.floor(epochs / VALIDATIONS) > every then
      every = math.floor(epochs / VALIDATIONS)
      changed.eval_every = every
    end
  end
  local stops = o.patience > 0 or changed.epochs ~= nil
  if not fixed 'patience' and stops and o.patience * every * steps < WAIT then
    changed.patience = math.ceil(WAIT / (every * steps))
  end
  return changed, steps
end
