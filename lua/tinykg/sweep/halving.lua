--- Asynchronous successive halving: many points train for a few epochs, the best quarter of them
--- for four times as many, and so on to all epochs.
-- Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2: a
-- point is promoted as soon as it is among the best of those that have reached its rung. A decision
-- counts the results of all tasks but the last few, as many as run at a time, in the order in which
-- tasks began. So it does not depend on which of them ends first, and the same seed and --jobs
-- decide the same, also when a search that was stopped goes on.
local best = require 'tinykg.sweep.best'
local tables = require 'tinykg.base.tables'

local REDUCTION = 4 -- as optuna.pruners.SuccessiveHalvingPruner and the paper's experiments

---@class Trial
---@field point Point ---@field jobs Job[] one per seed ---@field epochs integer of the last rung
---@class Halving
---@field rungs integer[] epochs at the end of each ---@field tasks table[] that have begun
local Halving = {}
Halving.__index = Halving

--- Epochs at the end of each rung: the last are all, and the first rung is as low as this many
--- points can fill the last. A run is validated after its last epoch: there it is in turn, so that
--- one that goes on is the same as one that never stopped.
---@param epochs integer ---@param points integer ---@param every integer epochs per validation
---@return integer[]
local function rungs_of(epochs, points, every)
  local list, n = {epochs}, points
  while n >= REDUCTION and list[1] >= REDUCTION do
    local before = every * math.ceil(list[1] / REDUCTION / every)
    if before >= list[1] then break end
    table.insert(list, 1, before)
    n = math.floor(n / REDUCTION)
  end
  return list
end

--- The best quarter of the results of a rung that count.
local function promotable(self, rung)
  local list = {}
  for i = 1, self.counted do
    local task = self.tasks[i]
    if task.rung == rung then
      list[#list + 1] = {task = task, place = i, value = task.value or -math.huge}
    end
  end
  tables.sort_largest(list, 'value', 'place')
  for i = 1, math.floor(#list / REDUCTION) do
    local trial = list[i].task.trial
    if list[i].task.value and trial.rung == rung then return trial end
  end
end

--- Begins a task: a trial's jobs up to the end of a rung.
local function begin(self, trial, rung)
  trial.rung, trial.epochs = rung, self.rungs[rung]
  self.tasks[#self.tasks + 1] = {trial = trial, rung = rung, left = #trial.jobs}
  self.queue = tables.first(trial.jobs)
  return true
end

--- Decides what begins next by the results that count. ---@return boolean? begun
local function decide(self)
  for rung = #self.rungs - 1, 1, -1 do
    local trial = promotable(self, rung)
    if trial then return begin(self, trial, rung + 1) end
  end
  if self.started < #self.trials then
    self.started = self.started + 1
    return begin(self, self.trials[self.started], 1)
  end
end

--- Counts the result of one more task. ---@return boolean counted false: it has not ended
local function count(self)
  local task = self.tasks[self.counted + 1]
  if not task or task.left > 0 then return false end
  task.value = best.mean(task.trial.jobs, self.rungs[task.rung])
  self.counted = self.counted + 1
  return true
end

--- The next job, nil while one has to be waited for or if there is none left.
---@return Job?
function Halving:next()
  if #self.queue == 0 then
    while self.counted < #self.tasks + 1 - self.at_once do
      if not count(self) then return nil end
    end
    while not decide(self) do
      if not count(self) then return nil end
    end
  end
  local job = table.remove(self.queue, 1)
  local task = self.tasks[#self.tasks]
  job.task, job.argv = task, self.command(job, task.trial.epochs)
  return job
end

--- Takes note of a job that has ended, or could not begin.
function Halving.finished(_, job) job.task.left = job.task.left - 1 end

local halving = {}

--- Whether so many points are trained to different numbers of epochs.
---@param epochs integer ---@param points integer ---@param every integer epochs per validation
---@return boolean
function halving.stops_any(epochs, points, every) return #rungs_of(epochs, points, every) > 1 end

---@param trials Trial[] ---@param epochs integer of the last rung
---@param every integer epochs per validation, of all trials
---@param at_once integer jobs that run at a time
---@param command fun(job: Job, epochs: integer): string[] of a job up to these epochs
---@return Halving
function halving.new(trials, epochs, every, at_once, command)
  local seeds = #trials[1].jobs
  return setmetatable({trials = trials, rungs = rungs_of(epochs, #trials, every),
                       command = command, at_once = math.max(1, math.ceil(at_once / seeds)),
                       tasks = {}, queue = {}, counted = 0, started = 0}, Halving)
end

return halving
