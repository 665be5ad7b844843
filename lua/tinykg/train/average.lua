--- The exponential moving average of a model's parameters (option `ema`), which is evaluated and
--- kept in their place (Polyak and Juditsky 1992; Tarvainen and Valpola, NeurIPS 2017).
--
-- An average is a parameter of a step of its own, whose loss is half the squared distance to the
-- model's: SGD with rate 1 - decay makes it decay * average + (1 - decay) * parameter, in place.
-- After n steps the decay is at most (1 + n) / (10 + n), so that what training began with is soon
-- forgotten (TensorFlow's ExponentialMovingAverage with num_updates).
local optim = require 'tinykg.engine.optim'
local parameter = require 'tinykg.engine.parameter'
local step = require 'tinykg.engine.step'
local tables = require 'tinykg.base.tables'

---@class Average
---@field decay number
---@field pairs {name: string, of: Tensor, average: Tensor, step: Step}[] one for each parameter
local Average = {}
Average.__index = Average

--- Averages of a model's parameters, at their values of now. Errors: parameters of 16 bits.
---@param model Module ---@param o {ema: number, parameter_bits: integer}
---@return Average? none if ema is 0
local function new_average(model, o)
  if o.ema == 0 then return nil end
  if o.parameter_bits == 16 then
    error('option ema: there are no averages of parameters of 16 bits: leave parameter_bits at 32',
          0)
  end
  local self = setmetatable({decay = o.ema, optimizer = optim.sgd{lr = 1}}, Average)
  self.pairs = tables.map(model:named_parameters(), function(p)
    local average = parameter(p.tensor:clone())
    local function distance() return ((average - p.tensor:detach()):square() * 0.5):sum() end
    return {name = p.name, of = p.tensor, average = average,
            step = step.new(distance, {optimizer = self.optimizer})}
  end)
  return self
end

--- Moves the averages to the parameters of now. An interrupted update goes on where it was.
---@param n integer steps of the model so far
---@param at {owed: integer?} the number of the first average that is still to be moved; none: no
---  step has been made since the last update
function Average:update(n, at)
  self.optimizer.lr = 1 - math.min(self.decay, (1 + n) / (10 + n))
  for i = at.owed or #self.pairs + 1, #self.pairs do
    self.pairs[i].step()
    at.owed = i + 1
  end
  at.owed = nil
end

local function exchange(self)
  for _, pair in ipairs(self.pairs) do
    pair.of.kept, pair.average.kept = pair.average.kept, pair.of.kept
  end
end

--- Calls fn while the model has the averages for parameters. ---@param fn fun(...): ...
function Average:within(fn, ...)
  exchange(self)
  local results = {pcall(fn, ...)}
  exchange(self)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

return new_average
