--- Trains a recipe's model: epochs of its phases, validation, early stopping, the best parameters,
--- figures.
local C = require 'tinykg.lib'
local blame = require 'tinykg.blame'
local clock = require 'tinykg.clock'
local evaluate = require 'tinykg.evaluate'
local metrics = require 'tinykg.metrics'
local phases = require 'tinykg.train.phases'
local progress = require 'tinykg.progress'
local schedule = require 'tinykg.train.schedule'
local session = require 'tinykg.session'
local step = require 'tinykg.step'
local tensor = require 'tinykg.tensor'

local train = {}

-- ---- parts of a run ----

local function snapshot(model)
  local copy = {}
  for i, p in ipairs(model:parameters()) do copy[i] = p:clone() end
  return copy
end

local function restore(model, copy)
  for i, p in ipairs(model:parameters()) do
    local values, n = copy[i]:values()
    p:write(values, 0, n)
  end
end

local CUTS = {10, 20}

--- The metric that early stopping watches, of those that are measured.
local function watched(o, data, cuts)
  local names = {'auc', 'f1'}
  if data.task ~= 'ctr' then
    names = {}
    for _, k in ipairs(cuts) do
      for _, name in ipairs(metrics.names) do names[#names + 1] = name .. '@' .. k end
    end
  end
  if o.metric == 'auto' then return data.task == 'ctr' and 'auc' or 'recall@' .. cuts[#cuts] end
  for _, name in ipairs(names) do
    if name == o.metric then return name end
  end
  error(string.format('option metric: %s is not measured here; there are: %s', o.metric,
                      table.concat(names, ' ')), 0)
end

--- What a recipe's build gives, checked, ready to train.
---@return Module
function train.build(recipe, data, o)
  local outer = blame.enter(recipe.build)
  local model = recipe.build(data, o)
  local found = type(model) == 'table' and type(model.train) == 'function'
    and (model.loss or model.phases) and (model.score or model.rank and data.task ~= 'ctr')
  if not found then
    session.fail('recipe %s: build must return a module (of a tk.nn.class) with functions loss ' ..
                 'and score', recipe.name)
  end
  blame.leave(outer)
  return model:train()
end

-- ---- a run ----

---@class Run
---@field phases Phase[]
local Run = {}
Run.__index = Run

--- Sets up model and phases. ---@param settings {bits, rounding, quiet, steps, on_epoch}
local function new_run(recipe, data, o, settings)
  if data.train.n == 0 then error('the data set has no training interactions', 0) end
  schedule.check(o)
  local self = setmetatable({recipe = recipe, data = data, o = o, settings = settings}, Run)
  self.metric = watched(o, data, settings.k or CUTS)
  self.model = train.build(recipe, data, o)
  self.phases = phases.of(recipe, self.model, data, o, settings)
  self.line = progress.line(settings.quiet)
  self.epoch_times, self.eval_times = {}, {}
  return self
end

--- The progress line of an epoch's phase.
local function show(self, epoch, phase, done, count, loss, started)
  self.line.update(function()
    local rate = done / (clock.now() - started)
    return string.format('epoch %d/%d  %s%3.0f %%  loss %.4f  %.0f steps/s  left %s  %s', epoch,
      self.o.epochs, phase.label, 100 * done / count, loss, rate,
      progress.duration((count - done) / rate),
      progress.bytes(C.tkg_memory_live(session.engine, -1)))
  end)
end

--- What a model does before an epoch, forward only: KGAT's attention is computed anew.
local function begin_epoch(self, epoch)
  local model = self.model
  if not model.begin_epoch then return end
  local outer = blame.enter(model.begin_epoch)
  step.no_grad(model.begin_epoch, model, epoch)
  blame.leave(outer)
end

--- One epoch: each phase once, in order. The first phase's mean loss; where there are several, each
--- one's by name.
---@return number loss, table<string, number>? losses
function Run:epoch(epoch)
  local started, losses = clock.now(), {}
  begin_epoch(self, epoch)
  for _, phase in ipairs(self.phases) do
    local since = clock.now()
    losses[phase.name] = phase:epoch(epoch, function(p, done, count, loss)
      show(self, epoch, p, done, count, loss, since)
    end)
  end
  self.epoch_times[#self.epoch_times + 1] = clock.now() - started
  self.line.clear()
  return losses[self.phases[1].name], #self.phases > 1 and losses or nil
end

--- Interactions that are scored at once: about as many as a step trains on.
function train.evaluation_size(o) return math.max(256, math.min(o.batch_size, 8192)) end

function Run:evaluate(part)
  local started = clock.now()
  local function progressed(done, all)
    self.line.update(function() return string.format('%s: %d of %d users', part, done, all) end)
    if C.tkg_interrupted(0) ~= 0 then error(session.interrupted, 0) end
  end
  local ok, result = pcall(evaluate.model, self.model, self.data, part, {
    k = self.settings.k or CUTS, progress = progressed,
    size = train.evaluation_size(self.o)})
  if not ok then
    if not tostring(result):find('NaN', 1, true) then error(result, 0) end
    error(string.format('%s: the model scores NaN after step %d: try a smaller lr (it is %g)',
                        self.recipe.name, phases.steps(self.phases),
                        self.phases[1].optimizer.lr), 0)
  end
  self.line.clear()
  self.eval_times[#self.eval_times + 1] = clock.now() - started
  return result
end

local function mean(list)
  local sum = 0
  for _, x in ipairs(list) do sum = sum + x end
  return #list > 0 and sum / #list or 0
end

--- Bytes by kind as the engine counted them, and the total at its peak.
local function memory_figures()
  local out = {peak = C.tkg_memory_peak(session.engine, -1)}
  for name, kind in pairs(tensor.kinds) do out[name] = C.tkg_memory_peak(session.engine, kind) end
  return out
end

function Run:figures()
  local step_ms, each = phases.step_ms(self.phases)
  return {
    memory = memory_figures(), kept = phases.kept(self.phases),
    time = {step_ms = step_ms, phases = each, epoch_s = mean(self.epoch_times),
            eval_s = mean(self.eval_times)},
  }
end

--- Validation after an epoch: remembers the best parameters; true when it is time to stop.
local function validate(self, epoch, state)
  local result = self:evaluate('valid')
  local metric = self.metric
  if not result then
    state.best_epoch = epoch
    return nil, false, true -- nothing to compare by: the last are the best
  end
  local better = not state.best_value or result[metric] > state.best_value
  if better then
    state.best_value, state.best_epoch, state.best = result[metric], epoch, result
    state.parameters = snapshot(self.model)
  end
  local waited = epoch - state.best_epoch
  return result, self.o.patience > 0 and waited >= self.o.patience * self.o.eval_every, better
end

--- Trains. settings: bits, rounding, small, quiet, steps (a limit of each phase, an epoch), k, and
--- on_epoch(record, better, model), called after each epoch.
---@return table result {epochs, best_epoch, valid, test, memory, kept, time, model, phases}
function train.run(recipe, data, o, settings)
  C.tkg_memory_reset_peak(session.engine)
  local self = new_run(recipe, data, o, settings)
  local state, epochs = {}, 0
  for epoch = 1, o.epochs do
    local loss, losses = self:epoch(epoch)
    local result, stop, better
    if epoch % o.eval_every == 0 or epoch == o.epochs then
      result, stop, better = validate(self, epoch, state)
    end
    epochs = epoch
    if settings.on_epoch then
      settings.on_epoch({epoch = epoch, step = phases.steps(self.phases), loss = loss,
                         losses = losses, valid = result, seconds = self.epoch_times[epoch],
                         memory = C.tkg_memory_live(session.engine, -1)}, better, self.model)
    end
    if stop then break end
  end
  if state.parameters then restore(self.model, state.parameters) end
  local result = self:figures()
  result.epochs, result.best_epoch, result.valid = epochs, state.best_epoch or epochs, state.best
  result.test = self:evaluate('test')
  result.model, result.phases = self.model, self.phases
  return result
end

return train
