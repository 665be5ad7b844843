--- Trains a recipe's model: epochs of its phases, validation, early stopping, the best parameters,
--- figures.
local arguments = require 'tinykg.base.arguments'
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local average_of = require 'tinykg.train.average'
local source_line = require 'tinykg.base.source_line'
local check_record = require 'tinykg.train.epoch.check_record'
local clock = require 'tinykg.base.clock'
local evaluate = require 'tinykg.train.evaluate'
local format = require 'tinykg.base.format'
local groups = require 'tinykg.train.update.groups'
local phases = require 'tinykg.train.phases'
local popularity = require 'tinykg.train.baseline.popularity'
local pretrained = require 'tinykg.train.start.pretrained'
local progress = require 'tinykg.base.progress'
local schedule = require 'tinykg.train.schedule'
local runtime = require 'tinykg.engine.runtime'
local start_files = require 'tinykg.nn.start_files'
local statistics = require 'tinykg.train.statistics'
local step = require 'tinykg.engine.step'
local tensor = require 'tinykg.engine.tensor'
local watched = require 'tinykg.train.epoch.watched'

local train = {}

-- ---- parts of a run ----

--- Keeps the best parameters in memory; a run with a folder keeps them in a file instead.
local function in_memory()
  local copies
  return {
    save = function(model)
      copies = tables.map(model:parameters(), function(p) return p:clone() end)
    end,
    load = function(model)
      for i, p in ipairs(model:parameters()) do p:copy(copies[i]) end
    end,
  }
end

--- The lengths of lists that are evaluated, ascending.
---@param o {eval_k: string} ---@param settings? {k: integer[]} of a caller, which come first
local function cuts_of(o, settings)
  return settings and settings.k or statistics.cuts(o.eval_k)
end

--- Names of ranking metrics (tinykg.train.epoch.watched).
train.metric_names = watched.names

--- Builds a recipe's model, ready to train. Errors: build did not return a model.
---@return Module
function train.build(recipe, data, o)
  local outer = source_line.enter(recipe.build)
  local given = recipe:for_build(o)
  local model = recipe.build(data, given)
  getmetatable(given).__index = nil -- models keep them, and look for modules in their fields
  local found = type(model) == 'table' and type(model.train) == 'function'
    and (model.loss or model.phases) and (model.score or model.rank and data.task ~= 'ctr')
  if not found then
    runtime.fail('recipe %s: build must return a module (of a tk.nn.class) with functions loss ' ..
                 'and score', recipe.name)
  end
  source_line.leave(outer)
  if o.parameter_bits == 16 then
    model:halve()
    C.tkg_memory_reset_peak(runtime.engine) -- not the moment when a table was there in both widths
  end
  groups(model, o)
  if not start_files.all_spared() then
    start_files.read(o.pretrained, function() pretrained(model, data, o.pretrained) end)
  end
  return model:train()
end

-- ---- a run ----

---@class Run
---@field model Module
---@field phases Phase[]
---@field average Average? of the parameters, which is validated and kept in their place
---@field at table the position: the `epoch`, its `phase` (0: not begun; one more than there are:
---  all done), the phase's steps `done` and the sum `total` of their losses, `owed` (of
---  tinykg.train.average), `losses` of the phases that are through, `waiting`: done and total of
---  those that wait for their next turn, by name, `from`: done when this turn began, `seconds`,
---  `draws`, on which no_grad's random numbers depend, `beginning` while the model's begin_epoch or
---  on_epoch or a phase's begin runs, `begun` between that and the phase's first step, and `waits`
---  and `drops` of schedule = plateau
---@field best {epoch: integer?, value: number?, metrics: table?} of the epochs validated so far
---@field epoch_times number[] seconds
---@field eval_times number[] seconds
local Run = {}
Run.__index = Run

--- The position at the beginning of an epoch, behind the one before if there was one.
local function beginning_of(epoch, before)
  return {epoch = epoch, phase = 0, done = 0, total = 0, losses = {}, seconds = 0,
          draws = step.draws(), waits = before and before.waits, drops = before and before.drops}
end

--- Makes the phases of the model, with these settings from here on.
function Run:make_phases(settings)
  self.settings = settings
  self.phases = phases.of(self.recipe, self.model, self.data, self.o,
                          tables.merged(settings, {average = self.average}))
end

local function build(self)
  C.tkg_memory_reset_peak(runtime.engine)
  self.model = train.build(self.recipe, self.data, self.o)
  self.average = average_of(self.model, self.o)
  self:make_phases(self.settings)
end

--- Makes a run at its beginning: model and phases of a recipe.
---@param recipe Recipe ---@param data tinykg.Data ---@param o table the recipe's options
---@param settings table as train.run's
---@return Run
function train.new(recipe, data, o, settings)
  if data.train.n == 0 then error('the data set has no training interactions', 0) end
  local self = setmetatable({recipe = recipe, data = data, o = o, settings = settings}, Run)
  self.metric = watched.name(o, data, cuts_of(o, settings), recipe.metrics)
  runtime.uncollected(build, self)
  self.line = progress.line(settings.quiet)
  self.keeper = settings.best or in_memory()
  self.at, self.best, self.epoch_times, self.eval_times = beginning_of(1), {}, {}, {}
  self.peaks = {}
  return self
end

local function mean(list)
  local sum = 0
  for _, x in ipairs(list) do sum = sum + x end
  return #list > 0 and sum / #list or 0
end

--- Seconds until the run ends if it trains all of its epochs. ---@param share number of this epoch
local function time_left(self, share)
  local o, epoch = self.o, self.at.epoch
  local each = #self.epoch_times > 0 and mean(self.epoch_times) or self.at.seconds / share
  local evaluation = mean(self.eval_times)
  local validations = math.floor(o.epochs / o.eval_every) - math.floor((epoch - 1) / o.eval_every)
  return (o.epochs - epoch + 1 - share) * each + (validations + 1) * evaluation
end

--- How much of an epoch is through, of 1: its phases weigh the same. `own`: of the one that runs.
local function share_of(self, own)
  local at, due, through = self.at, 0, own
  for _, phase in ipairs(self.phases) do
    local waits = (at.waiting or {})[phase.name]
    due = due + (phase:due(at.epoch) and 1 or 0)
    through = through + (at.losses[phase.name] and 1
                         or waits and waits.done / (phase.count or math.huge) or 0)
  end
  return through / due
end

--- The progress of a run in a phase: the bar is the run's, the percentage the epoch's.
local function progress_of(self, phase, done, count, loss)
  local o, epoch = self.o, self.at.epoch
  local share = share_of(self, done / count)
  local left = time_left(self, share)
  return {
    before = ('epoch %d/%d  %2.0f %%'):format(epoch, o.epochs, math.floor(100 * share)),
    share = (epoch - 1 + share) / o.epochs, left = left,
    after = ('%sloss %.4f  left %s%s  %s'):format(phase.label, loss,
      o.patience > 0 and '< ' or '', format.duration(left), -- it may stop early
      format.bytes(C.tkg_memory_live(runtime.engine, -1))),
  }
end

--- The same while users are ranked.
local function evaluation_progress(self, part, done, all)
  local share = part == 'valid' and math.min(self.at.epoch, self.o.epochs) / self.o.epochs or 1
  local left = part == 'valid' and #self.epoch_times > 0 and time_left(self, 1) or nil
  return {before = ('%s: %d of %d users'):format(part, done, all), share = share, left = left,
          after = left and 'left ' .. format.duration(left) or ''}
end

--- Calls the model's begin_epoch, forward only: KGAT's attention is updated.
function Run:begin_epoch(epoch)
  local model = self.model
  if not model.begin_epoch then return end
  source_line.within(model.begin_epoch, step.no_grad, model.begin_epoch, model, epoch)
end

--- Calls the function `begin` of the phase whose first step of the epoch is next, if it has one.
local function begin_phase(self, phase)
  local at = self.at
  if not phase.begin or at.done > 0 or at.begun then return end
  at.beginning = true
  phase:begin_epoch(at.epoch)
  at.begun, at.draws, at.beginning = true, step.draws(), nil
end

--- Moves the position to the next phase, in a circle, that has steps left in this epoch.
local function next_phase(self)
  local at, waiting = self.at, self.at.waiting or {}
  at.begun = nil
  for k = 1, #self.phases do
    local i = (at.phase + k - 1) % #self.phases + 1
    local phase = self.phases[i]
    if phase:due(at.epoch) and not at.losses[phase.name] then
      local since = waiting[phase.name] or {done = 0, total = 0}
      at.phase, at.done, at.total, waiting[phase.name] = i, since.done, since.total, nil
      return
    end
  end
  at.phase, at.done, at.total, at.waiting = #self.phases + 1, 0, 0, nil
end

--- Trains the rest of this epoch: each phase once, in order, or in turns.
local function train_epoch(self)
  local at, started = self.at, clock.now()
  local before = at.seconds
  if at.phase == 0 then
    at.beginning = true
    self:begin_epoch(at.epoch)
    at.phase, at.draws, at.beginning = 1, step.draws(), nil
  end
  while at.phase <= #self.phases do
    local phase = self.phases[at.phase]
    begin_phase(self, phase)
    local loss_of_phase, finished = phase:epoch(at, function(p, done, count, loss)
      at.seconds = before + clock.now() - started
      self.line.update(function() return progress_of(self, p, done, count, loss) end)
      if self.settings.on_step then self.settings.on_step(self) end
    end)
    if finished then
      at.losses[phase.name] = loss_of_phase
    else
      at.waiting = at.waiting or {}
      at.waiting[phase.name] = {done = at.done, total = at.total}
    end
    next_phase(self)
  end
  at.seconds = before + clock.now() - started
  self.line.clear()
end

--- What is scored at once: interactions, about as many as a step trains on, and users, nil for as
--- many as evaluate.block_of says. settings.evaluation sets other numbers.
---@return {size: integer, block: integer?, users: integer?, negatives: string?}
function train.evaluation_size(o, settings)
  return tables.merged(settings and settings.evaluation
                         or {size = math.max(256, math.min(o.batch_size, 8192))},
                       {users = o.eval_users, negatives = o.eval_negatives})
end

--- Evaluates the model on a part. ---@param part string
---@param each? fun(user: integer, values: table<string, number>) gets the metrics of each user
---@return table<string, number>? metrics
function Run:evaluate(part, each)
  local started = clock.now()
  local function progressed(done, all)
    self.line.update(function() return evaluation_progress(self, part, done, all) end)
    runtime.check_interrupt()
  end
  local at_once = train.evaluation_size(self.o, self.settings)
  local ok, result = pcall(evaluate.model, self.model, self.data, part, {
    k = cuts_of(self.o, self.settings), progress = progressed, size = at_once.size,
    block = at_once.block, users = at_once.users, negatives = at_once.negatives,
    exposure = self.o.exposure, each = each})
  if not ok then
    if not tostring(result):find('NaN', 1, true) then error(result, 0) end
    error(string.format('%s: the model scores NaN after step %d: try a smaller lr (it is %g)',
                        self.recipe.name, self:steps(),
                        self.phases[1].optimizer.lr), 0)
  end
  if result then
    result = tables.merged(result, evaluate.own(self.model, self.data, part, self.recipe.metrics))
  end
  self.line.clear()
  self.eval_times[#self.eval_times + 1] = clock.now() - started
  return result
end

--- Peak bytes by kind as the engine counted them, and of all; of a resumed run, including the parts
--- before.
function Run:memory()
  local out = {peak = C.tkg_memory_peak(runtime.engine, -1)}
  for name, kind in pairs(tensor.kinds) do out[name] = C.tkg_memory_peak(runtime.engine, kind) end
  for name, bytes in pairs(self.peaks) do out[name] = math.max(out[name] or 0, bytes) end
  return out
end

--- Steps of all phases so far.
function Run:steps() return phases.steps(self.phases) end

--- Plans the steps of a resumed run, which may have seen only the small rest of an epoch, or none:
--- then they may need what an epoch begins with, such as a graph, which no checkpoint has. Where
--- they do not, that is not made: test is to see what the run left.
local function plan_resumed(self)
  local function plan()
    for _, phase in ipairs(self.phases) do phase:plan() end
  end
  if pcall(plan) then return end
  step.uncounted(phases.begin, self.model, self.phases, self.at.epoch - 1)
  plan()
end

local function figures(self)
  if self.resumed then plan_resumed(self) end
  local step_ms, each = phases.step_ms(self.phases)
  return {
    kept = phases.kept(self.phases), reference_peak = phases.reference_peak(self.phases),
    time = {step_ms = step_ms, phases = each, epoch_s = mean(self.epoch_times),
            eval_s = mean(self.eval_times)},
  }
end

--- Validates after an epoch and keeps the best parameters.
---@return table? metrics, boolean better
local function validate(self, epoch)
  local result, best = self:evaluate('valid'), self.best
  if result and best.value and result[self.metric] <= best.value then return result, false end
  best.epoch, best.metrics = epoch, result -- without a result the last are the best
  best.value = result and result[self.metric]
  self.keeper.save(self.model, epoch)
  return result, true
end

--- Whether training is over: all epochs are done, or none was better for too long.
local function over(self)
  local o, done = self.o, self.at.epoch - 1
  if done >= o.epochs then return true end
  local validated = done % o.eval_every == 0 and self.best.epoch
  return validated and o.patience > 0 and done - self.best.epoch >= o.patience * o.eval_every
end

--- Calls fn(self, ...) with the averages of the parameters in their place, if they are kept.
local function averaged(self, fn, ...)
  if not self.average then return fn(self, ...) end
  return self.average:within(fn, self, ...)
end

--- Keeps the parameters as they are as those of the best epoch, which is the last.
function Run:keep()
  averaged(self, function() self.keeper.save(self.model, self.best.epoch) end)
end

--- Calls the model's on_epoch. An interrupted one may have done half of its work: the state is not
--- saved then.
local function tell(self, record)
  local hook, was = self.model.on_epoch, tables.merged(record)
  if not hook then return end
  self.at.beginning = true
  source_line.within(hook, hook, self.model, record)
  source_line.within(hook, check_record, record, was)
  self.at.beginning = nil
end

--- Trains the rest of an epoch, validates, reports the epoch.
local function run_epoch(self)
  local at, epoch = self.at, self.at.epoch
  if at.phase <= #self.phases then
    train_epoch(self)
    at.draws = step.draws()
  end
  local valid, better
  if epoch % self.o.eval_every == 0 or epoch == self.o.epochs then
    valid, better = averaged(self, validate, epoch)
    if self.o.schedule == 'plateau' then schedule.validated(at, self.o, better) end
  end
  self.epoch_times[#self.epoch_times + 1] = at.seconds
  local record = {epoch = epoch, step = self:steps(), valid = valid,
                  metric = valid and self.metric,
                  loss = at.losses[self.phases[1].name], seconds = at.seconds,
                  losses = #self.phases > 1 and at.losses or nil,
                  memory = C.tkg_memory_live(runtime.engine, -1)}
  tell(self, record)
  self.at = beginning_of(epoch + 1, at)
  if self.settings.on_epoch then self.settings.on_epoch(record, better, self) end
end

--- Trains to the end, then evaluates the best parameters on test.
---@return table result {epochs, best_epoch, metric, valid, test, popularity, memory, kept,
---  reference_peak, time, model, phases}; metric: the name of that which decides on the best epoch;
---  popularity: test metrics of the most popular items; with the option per_user also per_user, a
---  list of {user, values} of test
function Run:train()
  while not over(self) do run_epoch(self) end
  local epochs = self.at.epoch - 1
  if self.settings.on_end then self.settings.on_end(self) end
  local result = figures(self)
  C.tkg_engine_trim(runtime.engine)
  -- The parameters may be of a later epoch, and be within it.
  if self.best.epoch then self.keeper.load(self.model, self.best.epoch) end
  result.epochs, result.best_epoch, result.valid = epochs, self.best.epoch or epochs,
    self.best.metrics
  local users = self.o.per_user and {} or nil
  result.test = self:evaluate('test', users and function(user, values)
    users[#users + 1] = {user = user, values = values}
  end)
  result.per_user = users
  result.memory = self:memory() -- of all of the run, this evaluation included
  result.metric, result.popularity = self.metric, popularity(self.data, {
    k = cuts_of(self.o, self.settings), size = train.evaluation_size(self.o, self.settings).size,
    users = self.o.eval_users, negatives = self.o.eval_negatives})
  result.model, result.phases = self.model, self.phases
  return result
end

--- The options of a recipe: those of Recipe:complete as they are, others completed.
---@param recipe Recipe ---@param o? table ---@return table
function train.options(recipe, o)
  if (getmetatable(o) or {}).asked then return o end
  local ok, made = pcall(recipe.complete, recipe, o or {})
  if not ok then runtime.fail('%s', made) end
  return made
end

local SETTINGS = 'bits value_bits rounding small quiet steps k check evaluation best on_epoch ' ..
                 'on_step on_end'

--- Trains a recipe. settings: bits, rounding, small, quiet, steps (at most, per phase and epoch),
--- k, and on_epoch(record, better, run), called after each epoch; on_step(run), called every few
--- steps; on_end(run), called before the best parameters replace the last; best {save(model,
--- epoch), load(model, epoch)}, which keeps the best parameters, by default in memory.
---@param recipe Recipe ---@param data tinykg.Data
---@param o? table options of the recipe, by name; those that are not given have their defaults
---@param settings? table
---@return table result as Run:train
function train.run(recipe, data, o, settings)
  runtime.options('train.run: settings', settings, SETTINGS)
  return train.new(recipe, data, train.options(recipe, o), settings or {}):train()
end

train.run = arguments.checked(train.run, 'train.run')

return train
