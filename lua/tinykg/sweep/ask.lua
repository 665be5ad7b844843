--- A search that another program leads: it sends points as lines of JSON on standard input and gets
--- validations and results on standard output.
--
--   in   {"trial": 7, "settings": {"lr": 0.01, "bits": 2}}   train this; "seed": N is optional
--   in   {"trial": 7, "stop": true}                          do not go on with it
--        null is as if that were not given
--   out  {"trial": 7, "epoch": 3, "value": 0.21, "metric": "recall@20"}  after each validation
--   out  {"trial": 7, "state": "done", "value": 0.25, "epochs": 20, "folder": "runs/..."}
--
-- `value` is a validation, the higher the better, at the end the best of them; null of a trial that
-- has none, diverged or failed. `trial` is whatever was sent. `state` is done, stopped, diverged or
-- failed; then `message` says why. The end of standard input ends the search when all trials have
-- ended.
local best = require 'tinykg.sweep.best'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local lfs = require 'lfs'
local poll = require('posix.poll').rpoll
local read = require('posix.unistd').read
local tables = require 'tinykg.base.tables'

---@class Ask
---@field make fun(settings: table<string, string>, seed: number?): Job raises what is wrong
local Ask = {}
Ask.__index = Ask

local function answer(object)
  io.stdout:write(json.encode(object), '\n')
  io.stdout:flush()
end

local function refuse(trial, message)
  answer{trial = trial == nil and json.null or trial, state = 'failed', value = json.null,
         message = message}
end

--- An object without what is null: not given. ---@param object table ---@return table
local function given_in(object)
  local given = {}
  for key, value in pairs(object) do
    if value ~= json.null then given[key] = value end
  end
  return given
end

--- Settings as texts. Raises what is wrong.
local function texts_of(settings)
  local texts = {}
  if type(settings) ~= 'table' then error('settings: expected an object of values by name', 0) end
  for key, value in pairs(given_in(settings)) do
    local kind = type(value)
    if type(key) ~= 'string' or not key:find('^[%w_]+$') or kind == 'table' or kind == 'userdata'
    then
      error(('settings: %s: expected a number, a text, true or false'):format(tostring(key)), 0)
    end
    texts[key] = kind == 'number' and format.number(value) or tostring(value)
  end
  return texts
end

--- Takes one line. ---@return Job? that it asks for
local function take(self, line)
  local found, wrong = json.decode(line, 'line')
  if type(found) ~= 'table' then return refuse(nil, wrong or 'line: not an object') end
  found = given_in(found)
  local trial = found.trial
  local key = type(trial) .. tostring(trial)
  if trial == nil or type(trial) == 'table' then return refuse(nil, 'line: it needs a trial') end
  local job = self.jobs[key]
  if found.stop ~= nil and type(found.stop) ~= 'boolean' then
    return refuse(trial, 'stop: expected true or false')
  elseif found.stop then
    if job and job.process then job.process:interrupt()
    elseif job and job.state == 'waiting' then job.cancelled = true end
    return nil
  end
  if job and job.state ~= 'ended' then return refuse(trial, 'this trial is being trained') end
  local ok, made = pcall(self.make, texts_of, found.settings, found.seed)
  if not ok then
    return refuse(trial, type(made) == 'table' and made.usage or tostring(made))
  end
  made.trial, self.jobs[key] = trial, made
  return made
end

--- Reads what is there, up to its end. ---@param milliseconds integer to wait for something
local function listen(self, milliseconds)
  while self.open do
    local ready = poll(0, milliseconds)
    if not ready or ready == 0 then return end
    local text = read(0, 65536)
    if not text then return end -- a signal
    self.open, self.rest = #text > 0, self.rest .. (#text > 0 and text or '\n')
    for line in self.rest:gmatch('([^\n]*)\n') do
      local job = line:find('%S') and take(self, line)
      if job then table.insert(self.waiting, job) end
    end
    self.rest, milliseconds = self.rest:match('[^\n]*$'), 0
  end
end

--- Says what a job has validated since it was last asked.
local function tell(job)
  local size = lfs.attributes(job.path .. '/log.jsonl', 'size')
  if not size or size == job.told_size then return end
  job.told_size = size
  for _, record in ipairs(folder.log(job.path)) do
    local value = record.metric and record.valid and record.valid[record.metric]
    if record.epoch > (job.told or 0) and value then
      answer{trial = job.trial, epoch = record.epoch, value = value, metric = record.metric}
      job.told = record.epoch
    end
  end
end

--- Ends a job for whoever asked for it.
function Ask.finished(_, job)
  local value, metric, epochs = nil, nil, 0
  if job.state ~= 'failed' then
    tell(job)
    value, metric, epochs = best.value(job.path)
    if job.state == 'diverged' then value = nil end
  end
  answer{trial = job.trial, state = job.state == 'before' and 'done' or job.state,
         value = value or json.null, metric = metric, epochs = epochs, folder = job.path,
         message = job.message}
  job.state = 'ended'
end

--- Takes the first waiting job whose folder no running one writes to: trials may be equal.
local function first_free(self, running)
  for i, job in ipairs(self.waiting) do
    local taken = tables.any(running, function(other) return other.path == job.path end)
    if not taken then return table.remove(self.waiting, i) end
  end
end

--- Says what running jobs have validated, and reads lines.
---@param running Job[]
function Ask:watch(running)
  for _, job in ipairs(running) do tell(job) end
  listen(self, 0)
end

--- The next job. Waits for a line while no job runs.
---@param running Job[] ---@return Job?
function Ask:next(running)
  repeat
    listen(self, #running == 0 and #self.waiting == 0 and 200 or 0)
    local job = first_free(self, running)
    if job and job.cancelled then
      job.state = 'stopped'
      Ask.finished(self, job)
    elseif job then
      return job
    end
  until #running > 0 or not self.open and #self.waiting == 0 or self.interrupted()
end

---@param make fun(texts_of: fun(settings), settings: table, seed: number?): Job
---@param interrupted fun(): boolean
---@return Ask
return function(make, interrupted)
  return setmetatable({make = make, interrupted = interrupted, jobs = {}, waiting = {}, rest = '',
                       open = true}, Ask)
end
