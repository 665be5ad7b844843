--- The phases of a model's training, which alternate within an epoch. Each is a step of its own.
--
-- A model without a function `phases` has one phase, with its `loss`. Otherwise model:phases(data,
-- o) returns a list of {name, loss [, steps [, sample]] [, rows] [, begin] [, every] [, turn]
-- [, bits] [, lr] [, optimizer]}:
--   name       what it is called in logs
--   loss       fun(model, batch): Tensor
--   steps      per epoch; without it, one for each batch of the training interactions
--   sample     fun(model): batch, recorded in the step, for a phase with steps ({} without)
--   rows       instead of steps: it walks through the ids 0 to rows - 1 once per epoch, in random
--              order, in batches of batch_size: its loss gets {ids, n}
--   begin      fun(model, epoch), called before its first step of an epoch, outside of steps; what
--              it changes must be parameters or tensors of the model, which checkpoints have
--   every      epochs from one in which it runs to the next, the first among them: 3 for 1, 4, 7
--   turn       steps until the next phase has its turn, round after round: phases that take turns
--              of 7 and 3 steps alternate so; without it, all steps of the epoch
--   bits       of its saved values, instead of the run's --bits: 32 for a small batch
--   lr         of the recipe's optimizer in this phase, instead of the option's
--   optimizer  one of tk.optim, which phases may share, or the name of an earlier phase, to share
--              its; without it the phase gets one of the recipe's, with moments of its own
local ffi = require 'ffi'
local json = require 'tinykg.base.json'
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local arrays = require 'tinykg.engine.arrays'
local accumulator = require 'tinykg.train.update.accumulator'
local batches = require 'tinykg.data.loader.batches'
local source_line = require 'tinykg.base.source_line'
local clock = require 'tinykg.base.clock'
local loader = require 'tinykg.data.loader'
local optim = require 'tinykg.engine.optim'
local renamed = require 'tinykg.base.arguments.renamed'
local schedule = require 'tinykg.train.schedule'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'
local step_of = require 'tinykg.engine.step'

local phases = {}

---@class Phase
---@field name string
---@field step Step
---@field optimizer Optimizer
---@field times number[] seconds of each step
---@field count integer steps per epoch, known when one has begun
local Phase = {}
Phase.__index = Phase

-- ---- what a model declares ----

local FIELDS = {name = 'string', loss = 'function', steps = 'number', sample = 'function',
                rows = 'number', begin = 'function', optimizer = 'table or string',
                bits = 'number', every = 'number', lr = 'number', turn = 'number'}

local function check_phase(recipe, i, p)
  if type(p) ~= 'table' then
    runtime.fail('recipe %s: phase %d is a %s, expected a table', recipe.name, i, type(p))
  end
  if p.draw then
    p[renamed.current('phase.draw')], p.draw = p.draw, nil
  end
  runtime.fields(('recipe %s: phase %d'):format(recipe.name, i), p,
                 'name loss steps sample rows begin every turn bits lr optimizer', FIELDS)
  if not p.name or not p.loss then
    runtime.fail('recipe %s: phase %d: it needs a name and a loss', recipe.name, i)
  end
  if p.steps and (p.steps < 1 or p.steps % 1 ~= 0) then
    runtime.fail('recipe %s: phase %s: %g steps, expected a whole number >= 1', recipe.name,
                 p.name, p.steps)
  end
  if p.every and (p.every < 1 or p.every % 1 ~= 0 or i == 1 and p.every > 1) then
    runtime.fail('recipe %s: phase %s: every %g epochs, expected a whole number >= 1, and 1 of the '
                 .. 'first phase', recipe.name, p.name, p.every)
  end
  if p.lr and p.optimizer then
    runtime.fail('recipe %s: phase %s: the lr of an optimizer of its own is set there', recipe.name,
                 p.name)
  end
  if p.rows and (p.steps or p.rows < 1 or p.rows % 1 ~= 0) then
    runtime.fail('recipe %s: phase %s: %g rows, expected a whole number >= 1, without steps',
                 recipe.name, p.name, p.rows)
  end
  if p.sample and not p.steps then
    runtime.fail('recipe %s: phase %s: it samples its batches, so steps must say how many per ' ..
                 'epoch', recipe.name, p.name)
  end
  if p.turn and (p.turn < 1 or p.turn % 1 ~= 0) then
    runtime.fail('recipe %s: phase %s: a turn of %g steps, expected a whole number >= 1',
                 recipe.name, p.name, p.turn)
  end
  if p.optimizer and type(p.optimizer) ~= 'string' and not p.optimizer.update then
    runtime.fail('recipe %s: phase %s: optimizer is not one of tk.optim', recipe.name, p.name)
  end
end

local function declared(recipe, model, data, o)
  if not model.phases then return {{name = 'loss', loss = model.loss}} end
  local outer = source_line.enter(model.phases)
  local list, seen = model:phases(data, o), {}
  if type(list) ~= 'table' or #list == 0 then
    runtime.fail('recipe %s: phases must return a list of phases', recipe.name)
  end
  for i, p in ipairs(list) do
    check_phase(recipe, i, p)
    if seen[p.name] then
      runtime.fail('recipe %s: there are two phases %s', recipe.name, p.name)
    end
    if type(p.optimizer) == 'string' and not seen[p.optimizer] then
      runtime.fail("recipe %s: phase %s: there is no phase '%s' before it to share an optimizer "
                   .. 'with', recipe.name, p.name, p.optimizer)
    end
    seen[p.name] = true
  end
  source_line.leave(outer)
  return list
end

-- ---- making them ----

--- Records a loss, and checks that it reads the weights that the data set has: of interactions, and
--- of triples if the model has a graph of them. nil without any.
---@return nil|fun(loss: function, model: table, batch: table): Tensor
local function weights_reader(recipe, data)
  local weighs = data.graph.weights
  if not (data.train.weights or weighs) then return nil end
  return function(loss, model, batch)
    local read = not batch.weights
    local seen = setmetatable({}, {__index = function(_, key)
      if key == 'weights' then read = true end
      return batch[key]
    end})
    local value = loss(model, seen)
    local unread = not read and 'batch.weights, the weights of interactions (columns=weight:...)'
      or weighs and data.graph.weights_due and not data.graph.weights_read
      and 'the weights of triples (columns=triple_weight:...)'
    if unread then
      runtime.fail('recipe %s does not read %s: leave that column out', recipe.name, unread)
    end
    return value
  end
end

--- The ids below n as rows of a data set, to be walked through.
local function ids_below(n)
  local ids = arrays.range(n)
  return {n = n, users = ids, items = ids}
end

--- The function that records a step: of a batch of interactions with negatives sampled by the step,
--- of ids, or of what the phase samples.
local function step_function(self, p, model, data, o)
  if p.steps then
    return function() return p.loss(model, p.sample and p.sample(model) or {}) end
  end
  if p.rows then
    self.part = ids_below(p.rows)
    return function(batch) return p.loss(model, {ids = batch.users, n = batch.n}) end
  end
  local sampler = data.task ~= 'ctr'
    and loader.sampler(data, o.negatives, o.negative_sampling, model)
  self.part = data.train
  local weights = not self.later and weights_reader(self.recipe, data)
  return function(batch)
    batch.negatives = sampler and sampler(batch.users) or nil -- sampled by the step
    if weights then return weights(p.loss, model, batch) end
    return p.loss(model, batch)
  end
end

--- Labelled data are taken row by row: sets a recipe's own default of `draw` aside. Errors: `draw`
--- was given.
local function settle_draw(data, o)
  if data.task ~= 'ctr' or (o.draw or 'interactions') == 'interactions' then return end
  local meta = getmetatable(o)
  if meta and meta.asked.draw then error('option ' .. batches.labelled(o.draw), 0) end
  o.draw = nil
end

--- The optimizer of a phase; `others`: those of the phases before, by name.
local function optimizer_of(recipe, p, o, others)
  if type(p.optimizer) == 'string' then return others[p.optimizer] end
  return p.optimizer or recipe.optimizer(p.lr and tables.merged(o, {lr = p.lr}) or o)
end

--- Makes the phases of a model, ready to run.
---@param settings {bits, value_bits, rounding, small, steps, check, average} value_bits by phase;
---  average: of the parameters, moved after each step (tinykg.train.average)
---@return Phase[]
function phases.of(recipe, model, data, o, settings)
  settle_draw(data, o)
  local list, optimizers, with_batches = {}, {}, false
  for i, p in ipairs(declared(recipe, model, data, o)) do
    local self = setmetatable({name = p.name, loss = p.loss, steps = p.steps, o = o,
                               model = model,
                               every = p.every or 1, turn = p.turn, later = with_batches,
                               begin = p.begin, rows = p.rows, recipe = recipe,
                               limit = settings.steps, times = {}, buffers = {},
                               rounding = settings.rounding}, Phase)
    self.optimizer = optimizer_of(recipe, p, o, optimizers)
    optimizers[p.name] = self.optimizer
    self.lr = self.optimizer.lr
    self.accumulator = o.accumulate > 1 and accumulator(model, o, self.optimizer) or nil
    with_batches = with_batches or not (p.steps or p.rows)
    self.step = step_of.new(step_function(self, p, model, data, o), {
      optimizer = not self.accumulator and self.optimizer or nil, bits = p.bits or settings.bits,
      value_bits = not p.bits and (settings.value_bits or {})[p.name] or nil,
      rounding = settings.rounding,
      small = settings.small, check = settings.check, rank_bits = o.rank_bits,
      sums_in_place = o.sums_in_place})
    list[i] = self
  end
  for _, self in ipairs(list) do
    self.label = #list > 1 and self.name .. ' ' or ''
    self.average = settings.average and function(at)
      settings.average:update(phases.steps(list), at)
    end
  end
  return list
end

--- Does what an epoch of a model begins with, and each of its phases: for steps outside of a run.
---@param model Module ---@param list Phase[] ---@param epoch integer
function phases.begin(model, list, epoch)
  if model.begin_epoch then step_of.no_grad(model.begin_epoch, model, epoch) end
  for _, phase in ipairs(list) do phase:begin_epoch(epoch) end
end

-- ---- running one ----

--- Calls its function `begin`, if it has one. ---@param epoch integer
function Phase:begin_epoch(epoch)
  if self.begin then source_line.within(self.begin, self.begin, self.model, epoch) end
end

local function check_loss(self, loss, epoch)
  if loss == loss and math.abs(loss) < math.huge then return end
  error(string.format(
    '%s: the %sloss became %s at step %d (epoch %d): try a smaller lr (it is %g); --check finds ' ..
    'where it began',
    self.recipe.name, self.label, tostring(loss), self.step.number, epoch, self.optimizer.lr), 0)
end

--- Errors: a step has trained a parameter that no field of the model leads to, such as one that a
--- function refers to or the loss makes anew: no checkpoint would have it, and no answer.
local function check_parameters(self)
  local has = {}
  for _, t in ipairs(self.model:parameters()) do has[t] = true end
  for _, t in ipairs(self.accumulator and optim._with_gradient() or self.optimizer:parameters()) do
    if not has[t] then
      runtime.fail('recipe %s: a parameter [%s] is trained, but no field of the model leads to ' ..
        'it: it would not be saved. Make it in build, as a field (self.w = tk.parameter(...))',
        self.recipe.name, table.concat(t:size(), ', '))
    end
  end
end

--- An iterator over the arguments of an epoch's steps, from the step after `done`, and how many
--- steps the epoch has.
local function batches_of(self, epoch, done)
  if not self.part then
    return function() return true end, self.steps
  end
  return loader.batches(self.part, {size = self.o.batch_size, seed = runtime.seed, epoch = epoch,
                                  drop_last = not self.rows and self.o.drop_last,
                                  draw = not self.rows and self.o.draw or nil, skip = done},
                        nil, self.buffers)
end

--- The argument of step number `at` of the first epoch; of the first if the epoch is over.
---@param at integer from 1
function Phase:batch(at)
  return (batches_of(self, 1, at - 1)() or batches_of(self, 1, 0)())
end

--- Plans the step for a full batch, for its figures. Runs nothing.
function Phase:plan()
  source_line.within(self.loss, self.step.plan, self.step, self:batch(1))
end

--- The iterator over the rest of an epoch's steps, and how many steps the epoch has. What the turn
--- before left goes on.
local function rest_of(self, at)
  local left = self.left
  self.left = nil
  if left and left.epoch == at.epoch and left.done == at.done then
    return left.next_batch, left.count
  end
  return batches_of(self, at.epoch, at.done)
end

--- Runs the rest of an epoch of this phase, or one turn of it.
---@param at {epoch: integer, done: integer, total: number, drops: integer?} the position, which it
---  updates: steps done and the sum of their losses; drops of lr so far (schedule)
---@param progressed? fun(phase: Phase, done: integer, count: integer, mean: number)
---@return number loss the mean of the epoch so far ---@return boolean finished
function Phase:epoch(at, progressed)
  local outer = source_line.enter(self.loss)
  local next_batch, count = rest_of(self, at)
  self.count = count
  if self.limit then count = math.min(self.limit, count) end
  if self.turn then at.from = at.from or at.done end -- where the turn began, also of a resumed one
  local stop = math.min(count, self.turn and at.from + self.turn or count)
  local rate = self.lr * schedule.share(self.o, at.epoch, at.drops)
  if self.average then self.average(at) end -- what an interrupted run left to do
  while at.done < stop do
    self.optimizer.lr = rate * schedule.warm(self.o, at.epoch, at.done, self.count)
    local batch, before = next_batch(), clock.now()
    local loss = self.step(batch)
    self.times[#self.times + 1] = clock.now() - before
    check_loss(self, loss, at.epoch)
    if #self.times == 1 then check_parameters(self) end
    at.total, at.done = at.total + loss, at.done + 1
    local updated = not self.accumulator or self.accumulator:take(at.done, at.done == count)
    if self.average and updated then
      at.owed = 1
      self.average(at)
    end
    local shown = progressed and (at.done % 8 == 0 or at.done == count)
    if shown then progressed(self, at.done, count, at.total / at.done) end
    ranks.agree_on_interrupt()
  end
  source_line.leave(outer)
  at.from = nil
  if stop < count then
    self.left = {epoch = at.epoch, done = at.done, next_batch = next_batch, count = self.count}
  end
  return at.total / math.max(at.done, 1), stop == count
end

--- Runs the last step of an epoch, whose batch may be a short one. That need not take less memory,
--- since other ops may run if few rows are read. For memory plans.
---@param epoch integer
function Phase:last(epoch)
  if not self.part or self.count < 2 then return end
  source_line.within(self.loss, self.step, (batches_of(self, epoch, self.count - 1)()))
  if self.accumulator then self.accumulator:take(self.count, true) end
end

-- ---- figures ----

--- Whether it runs in an epoch. ---@param epoch integer from 1
function Phase:due(epoch) return (epoch - 1) % self.every == 0 end

--- Median seconds of a step; 0 before the first.
---@return number
function Phase:median()
  local sorted = tables.append({}, self.times)
  table.sort(sorted)
  return sorted[math.floor((#sorted + 1) / 2)] or 0
end

--- The saved values of each phase, as in kept.json.
function phases.saved(list)
  return tables.map(list, function(p)
    return {name = p.name, reference_bytes = p.step:figure('reference_bytes'),
            stored_bytes = p.step:figure('stored_bytes'), values = json.array(p.step:kept())}
  end)
end

--- Bytes saved for backward: of the phase that saves most, since phases run one at a time. With
--- several phases, `phases` has those of each.
---@return {reference_bytes: number, stored_bytes: number, phases: table?}
function phases.kept(list)
  local most, each
  for _, p in ipairs(list) do
    local kept = {reference_bytes = p.step:figure('reference_bytes'),
                  stored_bytes = p.step:figure('stored_bytes')}
    each = each or {}
    each[p.name] = kept
    if not most or kept.stored_bytes > most.stored_bytes then most = kept end
  end
  return {reference_bytes = most.reference_bytes, stored_bytes = most.stored_bytes,
          phases = #list > 1 and each or nil}
end

--- Bytes that the ops of an epoch's steps read and write, of all phases whose steps are planned.
function phases.moved(list)
  local sum = 0
  for _, p in ipairs(list) do sum = sum + p.count * p.step:figure('moved_bytes') end
  return sum
end

--- What a step moves and launches (Step:traffic), of the phase that moves most: its field `phase`.
---@return table
function phases.traffic(list)
  local most
  for _, p in ipairs(list) do
    local traffic = p.step:traffic()
    traffic.phase = p.name
    if not most or traffic.bytes > most.bytes then most = traffic end
  end
  return most
end

--- Bytes that a rank sends to others in a step of each phase: in all; `layers`: values by columns
--- and by rows, and their gradients; `again`: such values that backward exchanges anew; `rows` of a
--- batch; `sums`: parts of sums over rows.
---@return table[] {phase, bytes, layers, again, rows, sums}
function phases.exchanged(list)
  return tables.map(list, function(p)
    local function figure(name) return p.step:figure('exchanged_' .. name) end
    return {phase = p.name, bytes = figure 'bytes', layers = figure 'layers',
            again = figure 'again', rows = figure 'rows', sums = figure 'sums'}
  end)
end

--- Bytes that an op-by-op FP32 program with these phases would hold at its fullest: its parameters,
--- optimizers and graphs, and the largest step (engine/passes/fp32_peak.c). Evaluations take less.
---@return number
function phases.reference_peak(list)
  local steps = tables.map(list, function(p) return p.step.c end)
  return C.tkg_reference_peak(ffi.new('const tkg_step *[?]', #steps, steps), #steps)
end

--- Median milliseconds of a step of the first phase. With several phases, `phases` has those of
--- each.
---@return number step_ms, table<string, number>? phases
function phases.step_ms(list)
  local each = {}
  for _, p in ipairs(list) do each[p.name] = 1000 * p:median() end
  return each[list[1].name], #list > 1 and each or nil
end

--- Steps run by all phases together.
function phases.steps(list)
  local n = 0
  for _, p in ipairs(list) do n = n + p.step.number end
  return n
end

return phases
