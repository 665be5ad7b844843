--- Trains a recipe's model: epochs, validation, early stopping, the best parameters, figures.
local C = require 'tinykg.lib'
local blame = require 'tinykg.blame'
local clock = require 'tinykg.clock'
local evaluate = require 'tinykg.evaluate'
local feed = require 'tinykg.feed'
local metrics = require 'tinykg.metrics'
local optim = require 'tinykg.optim'
local progress = require 'tinykg.progress'
local session = require 'tinykg.session'
local step_of = require 'tinykg.step'
local tensor = require 'tinykg.tensor'

local train = {}

-- ---- parts of a run ----

local function median(list)
  if #list == 0 then return 0 end
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

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
local function build(recipe, data, o)
  local outer = blame.enter(recipe.build)
  local model = recipe.build(data, o)
  local found = type(model) == 'table' and type(model.train) == 'function' and model.loss
    and (model.score or model.rank and data.task ~= 'ctr')
  if not found then
    session.fail('recipe %s: build must return a module (of a tk.nn.class) with functions loss ' ..
                 'and score', recipe.name)
  end
  blame.leave(outer)
  return model:train()
end

-- ---- a run ----

---@class Run
local Run = {}
Run.__index = Run

--- Sets up model, optimizer and step. ---@param settings {bits, rounding, quiet, steps, on_epoch}
local function new_run(recipe, data, o, settings)
  if data.train.n == 0 then error('the data set has no training interactions', 0) end
  local self = setmetatable({recipe = recipe, data = data, o = o, settings = settings}, Run)
  self.metric = watched(o, data, settings.k or CUTS)
  self.model = build(recipe, data, o)
  self.optimizer = recipe.optimizer and recipe.optimizer(o)
    or optim.adam{lr = o.lr, weight_decay = o.l2}
  local sampler = data.task ~= 'ctr' and feed.sampler(data, o.negatives, o.negative_sampling)
  self.step = step_of.new(function(batch)
    batch.negatives = sampler and sampler(batch.users) -- drawn by the step that trains on them
    return self.model:loss(batch)
  end, {optimizer = self.optimizer, bits = settings.bits, rounding = settings.rounding,
        small = settings.small})
  self.line = progress.line(settings.quiet)
  self.step_times, self.epoch_times, self.eval_times = {}, {}, {}
  return self
end

local function check_loss(self, loss, epoch)
  if loss == loss and math.abs(loss) < math.huge then return end
  error(string.format(
    '%s: the loss became %s at step %d (epoch %d): try a smaller lr (it is %g)',
    self.recipe.name, tostring(loss), self.step.number, epoch, self.optimizer.lr), 0)
end

local function show(self, epoch, done, count, loss, started)
  self.line.update(function()
    local rate = done / (clock.now() - started)
    return string.format('epoch %d/%d  %3.0f %%  loss %.4f  %.0f steps/s  epoch left %s  %s',
      epoch, self.o.epochs, 100 * done / count, loss / done, rate,
      progress.duration((count - done) / rate),
      progress.bytes(C.tkg_memory_live(session.engine, -1)))
  end)
end

--- One pass over the training interactions; the mean loss.
function Run:epoch(epoch)
  local total, done, started = 0, 0, clock.now()
  local options = {size = self.o.batch_size, seed = session.seed, epoch = epoch}
  local limit, outer = self.settings.steps, blame.enter(self.model.loss)
  local batches, count = feed.batches(self.data.train, options)
  count = limit and math.min(limit, count) or count
  for batch in batches do
    if done >= count then break end
    local before = clock.now()
    local loss = self.step(batch)
    self.step_times[#self.step_times + 1] = clock.now() - before
    check_loss(self, loss, epoch)
    total, done = total + loss, done + 1
    if done % 8 == 0 then show(self, epoch, done, count, total, started) end
    if C.tkg_interrupted(0) ~= 0 then error(session.interrupted, 0) end
  end
  self.epoch_times[#self.epoch_times + 1] = clock.now() - started
  self.line.clear()
  blame.leave(outer)
  return total / math.max(done, 1)
end

function Run:evaluate(part)
  local started = clock.now()
  local function progressed(done, all)
    self.line.update(function() return string.format('%s: %d of %d users', part, done, all) end)
    if C.tkg_interrupted(0) ~= 0 then error(session.interrupted, 0) end
  end
  local ok, result = pcall(evaluate.model, self.model, self.data, part, {
    k = self.settings.k or CUTS, progress = progressed,
    size = math.max(256, math.min(self.o.batch_size, 8192))})
  if not ok then
    if not tostring(result):find('NaN', 1, true) then error(result, 0) end
    error(string.format('%s: the model scores NaN after step %d: try a smaller lr (it is %g)',
                        self.recipe.name, self.step.number, self.optimizer.lr), 0)
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
  local times = {}
  for i, t in ipairs(self.step_times) do times[i] = t end
  return {
    memory = memory_figures(),
    kept = {reference_bytes = self.step:figure('reference_bytes'),
            stored_bytes = self.step:figure('stored_bytes')},
    time = {step_ms = 1000 * median(times), epoch_s = mean(self.epoch_times),
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

--- Trains. settings: bits, rounding, small, quiet, steps (a limit an epoch), k, and
--- on_epoch(record, better, model), called after each epoch.
---@return table result {epochs, best_epoch, valid, test, memory, kept, time, model, step}
function train.run(recipe, data, o, settings)
  C.tkg_memory_reset_peak(session.engine)
  local self = new_run(recipe, data, o, settings)
  local state, epochs = {}, 0
  for epoch = 1, o.epochs do
    local loss = self:epoch(epoch)
    local result, stop, better
    if epoch % o.eval_every == 0 or epoch == o.epochs then
      result, stop, better = validate(self, epoch, state)
    end
    epochs = epoch
    if settings.on_epoch then
      settings.on_epoch({epoch = epoch, step = self.step.number, loss = loss, valid = result,
                         seconds = self.epoch_times[epoch],
                         memory = C.tkg_memory_live(session.engine, -1)}, better, self.model)
    end
    if stop then break end
  end
  if state.parameters then restore(self.model, state.parameters) end
  local result = self:figures()
  result.epochs, result.best_epoch, result.valid = epochs, state.best_epoch or epochs, state.best
  result.test = self:evaluate('test')
  result.model, result.step = self.model, self.step
  return result
end

return train
