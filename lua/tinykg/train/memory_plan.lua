--- Plans the memory of a run before it starts: builds the model and plans its first steps and a
--- block of evaluation on a plan-only engine, which counts memory as a run does, by the same code,
--- but computes nothing.
local C = require 'tinykg.engine.lib'
local free_memory = require 'tinykg.engine.free_memory'
local evaluate = require 'tinykg.train.evaluate'
local format = require 'tinykg.base.format'
local phases = require 'tinykg.train.phases'
local progress = require 'tinykg.base.progress'
local runtime = require 'tinykg.engine.runtime'
local train = require 'tinykg.train'

local plan = {}

--- Bits of saved values, the most exact first.
plan.WIDTHS = {32, 8, 4, 2, 1}

--- The share of free memory that tensors may take. Interactions, the lists of an evaluation, and
--- the file of the best parameters need some too.
plan.SHARE = 0.9

---@class WidthPlan
---@field bits integer
---@field memory table bytes by kind and `peak`, as summary.json has them after a run
---@field step table the same of training steps alone, without evaluations
---@field kept {reference_bytes: number, stored_bytes: number, phases: table?} as in summary.json
---@field phases table[] {name, reference_bytes, stored_bytes, values = Step:kept()} of each phase

-- ---- one width ----

local function larger(a, b)
  local out = {}
  for name, bytes in pairs(a) do out[name] = math.max(bytes, b[name]) end
  return out
end

--- Plans two epochs, of each phase's first and last step. Two, since begin_epoch may do more from
--- the second epoch on.
local function rehearse_steps(run)
  for epoch = 1, math.min(2, run.o.epochs) do
    run:begin_epoch(epoch)
    for _, phase in ipairs(run.phases) do
      phase:epoch{epoch = epoch, done = 0, total = 0}
      phase:last(epoch)
    end
    runtime.collect()
  end
end

local function rehearse_evaluation(run)
  for _, part in ipairs{'valid', 'test'} do
    evaluate.rehearse(run.model, run.data, part, train.evaluation_size(run.o))
    runtime.collect()
  end
end

--- Plans a run, on an engine of its own. Each width has its own model, since a run changes it
--- (KGAT's attention).
---@return WidthPlan
local function of_width(recipe, data, o, settings, bits)
  runtime.set_seed(runtime.seed)
  local run = train.new(recipe, data, o, {bits = bits, rounding = settings.rounding, steps = 1,
                                          small = settings.small, quiet = true, best = {}})
  local built = run:memory()
  C.tkg_engine_set_plan_only(runtime.engine, 1)
  runtime.collect()
  C.tkg_memory_reset_peak(runtime.engine)
  rehearse_steps(run)
  local of_steps = run:memory()
  rehearse_evaluation(run)
  return {bits = bits, step = of_steps, memory = larger(built, run:memory()),
          kept = phases.kept(run.phases), phases = phases.saved(run.phases)}
end

-- ---- all of them ----

--- Plans a recipe's training at some widths. Random numbers, training and memory counts afterwards
--- are as without it.
---@param recipe Recipe ---@param data tinykg.Data ---@param o table the recipe's options
---@param settings? {rounding: string, small: integer, quiet: boolean}
---@param widths? integer[] plan.WIDTHS without
---@param enough? fun(width: WidthPlan): boolean whether to stop here
---@return table<integer, WidthPlan> by bits
function plan.of(recipe, data, o, settings, widths, enough)
  settings = settings or {}
  local line, out = progress.line(settings.quiet), {}
  for _, bits in ipairs(widths or plan.WIDTHS) do
    line.update(function() return string.format('planning with %d bits', bits) end)
    collectgarbage('stop') -- no figure may depend on when it would run
    runtime.collect()
    local ok, width = pcall(runtime.apart, of_width, recipe, data, o, settings, bits)
    runtime.collect() -- the model goes, and with it the engine
    collectgarbage('restart')
    if not ok then error(width, 0) end
    out[bits] = width
    runtime.check_interrupt()
    if enough and enough(out[bits]) then break end
  end
  line.clear()
  return out
end

-- ---- choosing ----

--- Bytes that a run may take: the budget, or nine tenths of what is free; nil if that is unknown.
---@param budget? number bytes
---@return number? bytes
function plan.limit(budget)
  if budget then return budget end
  local free = free_memory()
  return free and plan.SHARE * free
end

--- The bytes that the limit is for: a budget limits training steps, free memory also evaluations.
---@param width WidthPlan ---@param budget? number
---@return number bytes
function plan.takes(width, budget) return budget and width.step.peak or width.memory.peak end

--- The largest of batch_size / 2, / 4, ... whose run stays within the limit; nil if there is none.
---@param bits integer ---@param budget? number bytes
---@return integer?
function plan.batch_size(recipe, data, o, settings, bits, budget)
  local limit = plan.limit(budget)
  local size = math.floor(math.min(o.batch_size, data.train.n) / 2)
  while size >= 16 do
    local smaller = setmetatable({batch_size = size}, {__index = o})
    local width = plan.of(recipe, data, smaller, settings, {bits})[bits]
    if plan.takes(width, budget) <= limit then return size end
    size = math.floor(size / 2)
  end
end

--- '2 bits 1.1 GiB, 1 bit 1.0 GiB', the most exact first.
local function text_of(widths, budget)
  local parts = {}
  for _, bits in ipairs(plan.WIDTHS) do
    parts[#parts + 1] = widths[bits] and format.count(bits, 'bit') .. ' '
      .. format.bytes(plan.takes(widths[bits], budget))
  end
  return table.concat(parts, ', ')
end

local function too_large(recipe, widths, bits, limit, budget)
  local advice = 'a smaller batch_size or dim takes less'
  for _, other in ipairs(plan.WIDTHS) do
    if other < bits and plan.takes(widths[other], budget) <= limit then
      advice = string.format('--bits %d fits', other)
      break
    end
  end
  return string.format('%s: %s takes more than %s%s: %s; %s', recipe.name,
    budget and 'a step' or 'the run', format.bytes(limit),
    budget and ' (--budget)' or ', nine tenths of what is free', text_of(widths, budget), advice)
end

--- A note for a run whose evaluations take more than the budget; nil otherwise.
local function note_of(width, budget)
  if not budget or width.memory.peak <= budget then return nil end
  return string.format('evaluating takes %s, more than the budget for a step, %s',
                       format.bytes(width.memory.peak), format.bytes(budget))
end

--- Chooses the bits of saved values for a run to stay within a budget: the most that do, or checks
--- the given ones.
---@param settings {bits: integer|'auto', rounding: string, small: integer, quiet: boolean}
---@param budget? number bytes; without, the whole run has to do with what is free (plan.limit)
---@return integer? bits nil if nothing fits
---@return table|string widths the plans that were made, by bits; or why nothing fits, in one line
---@return string? note that evaluations take more than the budget
function plan.choose(recipe, data, o, settings, budget)
  local limit, auto = plan.limit(budget), settings.bits == 'auto'
  if not limit then return auto and 32 or settings.bits, {} end
  local chosen
  local function fits(width)
    chosen = plan.takes(width, budget) <= limit and width or nil
    return chosen
  end
  local widths = plan.of(recipe, data, o, settings, not auto and {settings.bits} or nil, fits)
  if chosen then return chosen.bits, widths, note_of(chosen, budget) end
  if not auto then widths = plan.of(recipe, data, o, settings) end
  return nil, too_large(recipe, widths, auto and 1 or settings.bits, limit, budget)
end

return plan
