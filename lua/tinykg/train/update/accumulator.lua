--- Option `accumulate`: gradients of several batches are averaged before one update, as those of a
--- batch that is so many times larger, in the memory of a small one.
--
-- A sum is a parameter of a step of its own, whose gradient is minus the one to be added: SGD with
-- rate 1 / accumulate adds its share. The update is a step whose gradients are the sums.
local signal = require 'posix.signal'
local C = require 'tinykg.engine.lib'
local optim = require 'tinykg.engine.optim'
local parameter = require 'tinykg.engine.parameter'
local runtime = require 'tinykg.engine.runtime'
local step = require 'tinykg.engine.step'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'

---@class Accumulator
---@field sums {name: string, of: Tensor, sum: Tensor, add: Step, seen: boolean}[]
local Accumulator = {}
Accumulator.__index = Accumulator

local function zeros(size)
  local t = tensor.create(tensor.F32, size, 'parameter')
  runtime.check(C.tkg_tensor_fill(t.kept, 0))
  return t
end

--- The step whose gradients are the sums, times a factor.
local function update_of(self)
  local function distance(factor)
    local loss
    for _, entry in ipairs(self.sums) do
      if entry.seen then
        local part = (entry.of * (entry.sum:detach() * factor)):sum()
        loss = loss and loss + part or part
      end
    end
    return loss
  end
  return step.new(distance, {optimizer = self.optimizer})
end

--- Makes one for a phase. Errors: an optimizer that looks at the rows of a batch.
---@param model Module ---@param o table options ---@param optimizer Optimizer
---@return Accumulator
local function new_accumulator(model, o, optimizer)
  if o.optimizer_lazy then
    error('option accumulate: an update of several batches has no rows of one batch: leave ' ..
          'optimizer_lazy at false', 0)
  end
  local self = setmetatable({count = o.accumulate, optimizer = optimizer}, Accumulator)
  local share = optim.sgd{lr = 1 / self.count}
  self.sums = tables.map(model:named_parameters(), function(p)
    local sum = parameter(zeros(p.tensor:size()))
    local function less(gradient) return -(sum * gradient):sum() end
    return {name = p.name, of = p.tensor, sum = sum, add = step.new(less, {optimizer = share})}
  end)
  self.update = update_of(self) -- now: random numbers depend on how many steps were made before
  return self
end

--- Calls fn, which goes on where it was when it is called again, to its end: Ctrl-C comes after it.
local function to_its_end(fn, ...)
  local ok, why = pcall(fn, ...)
  while not ok and why == runtime.interrupted do
    local number = C.tkg_interrupted(1)
    ok, why = pcall(fn, ...)
    signal.raise(number ~= 0 and number or signal.SIGINT)
  end
  if not ok then error(why, 0) end
end

--- Adds the gradients that a step has left, and frees them: Lua's collector would keep those of
--- many steps.
local function add(self)
  for _, entry in ipairs(self.sums) do
    local gradient = C.tkg_tensor_gradient(entry.of.kept)
    if gradient ~= nil then
      gradient = tensor.wrap(gradient)
      entry.add(gradient)
      entry.seen = true
      C.tkg_tensor_drop_gradient(entry.of.kept)
      gradient:free()
    end
  end
end

--- Takes the gradients of a batch into the sums, and updates the parameters after the last batch of
--- a group. ---@param done integer batches of this epoch, this one included
---@param last boolean whether it is the epoch's last ---@return boolean updated
function Accumulator:take(done, last)
  to_its_end(add, self)
  local n = (done - 1) % self.count + 1
  if n < self.count and not last then return false end
  local updated = false
  self.update.number = self.optimizer.t -- of the noise of 8 and 16 bits; in a resumed run, too
  to_its_end(function()
    if not updated then self.update(self.count / n) end
    updated = true
    for _, entry in ipairs(self.sums) do
      runtime.check(C.tkg_tensor_fill(entry.sum.kept, 0))
    end
  end)
  return true
end

return new_accumulator
