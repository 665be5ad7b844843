--- When a run writes what it is made of while it trains: its state, to go on from, and the
--- parameters of its best epoch.
local checkpoint = require 'tinykg.run.folder.checkpoint'
local clock = require 'tinykg.base.clock'
local parameters = require 'tinykg.run.folder.parameters'
local ranks = require 'tinykg.engine.ranks'

local saving = {}

-- Within an epoch, a checkpoint is written every five minutes (or --checkpoint); between epochs
-- when the parameters are the best so far, else so seldom that writing takes at most 1/20 of the
-- time.
local WITHIN, SHARE = 300, 20

--- Saves the state of a run until it has ended: then the run gets the parameters of its best epoch.
--- What depends on the clock is decided by all ranks together.
---@return table {now(), within(), between(better), last()}
function saving.state(path, run, within)
  local baseline = checkpoint.baseline(run.model)
  local saved, cost, ended, state = clock.now(), 0, false, nil
  local self = {}
  local function where() return run.at.epoch .. ':' .. run:steps() end
  function self.now()
    if ended or run.at.beginning then return end -- begin_epoch may have done half of its work
    local started = clock.now()
    checkpoint.write(path, run, baseline)
    saved, state = clock.now(), where()
    cost = saved - started
  end
  function self.within()
    if ranks.any(clock.now() - saved >= (within or WITHIN)) then self.now() end
  end
  function self.between(better)
    if ranks.any(better or clock.now() - saved > SHARE * cost) then self.now() end
  end
  function self.last()
    if state ~= where() then self.now() end -- a second equal one would replace the older one
    ended = true
  end
  return self
end

--- Saves and loads the best parameters in the folder. Loading raises one line where they are of
--- another epoch: the run ended before a later one, of which the file is, was the best again.
function saving.best(path, recipe)
  local file = path .. '/best.safetensors'
  return {
    save = function(model, epoch)
      parameters.write(file, model, {recipe = recipe.name, epoch = tostring(epoch)})
    end,
    load = function(model, epoch)
      local of = tonumber(parameters.read(file, model).epoch)
      if not of or of == epoch then return end
      error(('%s is of epoch %d, the best epoch is %d, whose parameters are gone: --resume with '
        .. 'more epochs or patience'):format(file, of, epoch), 0)
    end,
  }
end

return saving
