--- Plans the memory of a run before it starts: builds the model and plans its first steps and the
--- ends of its evaluations on a plan-only engine, which counts memory as a run does, by the same
--- code, but computes nothing. Counted and planned bytes are equal.
local C = require 'tinykg.engine.lib'
local evaluate = require 'tinykg.train.evaluate'
local format = require 'tinykg.base.format'
local gpu_memory = require 'tinykg.engine.gpu_memory'
local phases = require 'tinykg.train.phases'
local progress = require 'tinykg.base.progress'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local train = require 'tinykg.train'

local plan = {}

--- Bits of saved values, the most exact first.
plan.WIDTHS = {32, 8, 4, 2, 1}

---@class WidthPlan
---@field bits integer of values that have none of their own
---@field memory table bytes by kind and `peak`, as summary.json has them after a run
---@field step table the same of training steps alone, without evaluations
---@field evaluation table the same of evaluations
---@field kept {reference_bytes: number, stored_bytes: number, phases: table?} as in summary.json
---@field reference_peak number bytes of an op-by-op FP32 program at its fullest
---@field phases table[] {name, reference_bytes, stored_bytes, values = Step:kept()} of each phase
---@field exchanged table[] what a rank sends to others in a step of each phase (phases.exchanged)
---@field moved number bytes that the ops of an epoch read and write
---@field traffic table what the step that moves most moves and launches (phases.traffic)
---@field blocks integer tensors of 1 MiB or more at a time, at most
---@field cusparse number bytes that it keeps beside that on a GPU, with the precision 'fast'

-- ---- one run ----

local function larger(a, b)
  local out = {}
  for name, bytes in pairs(a) do out[name] = math.max(bytes, b[name] or 0) end
  return out
end

--- Plans the first steps of an epoch's phases and the last, whose batch may be a short one.
local function rehearse_epoch(run, epoch)
  run:begin_epoch(epoch)
  for _, phase in ipairs(run.phases) do
    phase:begin_epoch(epoch)
    phase:epoch{epoch = epoch, done = 0, total = 0}
    if phase.count <= (run.settings.most_steps or math.huge) then phase:last(epoch) end
  end
end

local function rehearse_evaluation(run, part)
  evaluate.rehearse(run.model, run.data, part, train.evaluation_size(run.o, run.settings))
end

--- Plans a run: two epochs, since begin_epoch may do more from the second on, and evaluations
--- where they are in a run. An epoch that follows another finds the memory of that one's steps; one
--- that follows an evaluation does not. ---@return WidthPlan without `bits`
local function rehearse(run)
  local o, out, none = run.o, {blocks = 0}, {}
  local function add(what, fn, ...)
    if what == 'evaluation' then C.tkg_engine_trim(runtime.engine) end -- as it does itself
    C.tkg_memory_reset_peak(runtime.engine)
    fn(run, ...)
    runtime.collect()
    out[what] = larger(run:memory(), out[what] or none)
    out.blocks = math.max(out.blocks, C.tkg_memory_blocks(runtime.engine))
  end
  add('step', rehearse_epoch, 1)
  local every = run.data.valid.n > 0 and o.eval_every or math.huge -- nothing to validate: no trim
  if every > 1 and o.epochs > 1 then add('step', rehearse_epoch, 2) end
  if every < math.huge then add('evaluation', rehearse_evaluation, 'valid') end
  if every < o.epochs then
    add('step', rehearse_epoch, every + 1)
    add('evaluation', rehearse_evaluation, 'valid')
  end
  add('evaluation', rehearse_evaluation, 'test')
  out.kept, out.phases = phases.kept(run.phases), phases.saved(run.phases)
  out.cusparse = gpu_memory.cusparse()
  out.traffic, out.exchanged = phases.traffic(run.phases), phases.exchanged(run.phases)
  out.moved, out.reference_peak = phases.moved(run.phases), phases.reference_peak(run.phases)
  return out
end

--- A run at these settings, on a plan-only engine: of a new model, or of that of a run before.
local function run_of(before, recipe, data, o, own)
  local run = before or train.new(recipe, data, o, own)
  run.built = run.built or run:memory()
  if before then
    run.phases = nil
    runtime.collect() -- the moments go
    run:make_phases(own)
  end
  C.tkg_engine_set_plan_only(runtime.engine, 1)
  return run
end

--- Calls fn(try) on an engine of its own, with a model built once. try(bits, value_bits) plans a
--- run of it, value_bits as of tinykg.train.value_bits. A run changes its model, so another one
--- than the first may differ by some bytes from that of a new model. Random numbers, training and
--- memory counts afterwards are as without it.
---@param recipe Recipe ---@param data tinykg.Data ---@param o table the recipe's options
---@param settings {rounding: string, small: integer?, evaluation: table?, tiles: integer?,
---  steps: integer?} tiles at a time (0: one for each thread); steps of each phase and epoch, at
---  most
---@param fn fun(try: fun(bits: integer, value_bits: table?): WidthPlan): any
---@return any what fn returns
function plan.rehearsing(recipe, data, o, settings, fn)
  return runtime.uncollected(runtime.apart, function()
    local run
    runtime.check(C.tkg_engine_set_tiles(runtime.engine, settings.tiles or 0))
    runtime.set_seed(runtime.seed)
    return fn(function(bits, value_bits)
      runtime.check_interrupt()
      run = run_of(run, recipe, data, o, {
        bits = bits, value_bits = value_bits, rounding = settings.rounding, steps = 1,
        most_steps = settings.steps, small = settings.small, evaluation = settings.evaluation,
        quiet = true, best = {}})
      local out = rehearse(run)
      out.bits, out.memory = bits, larger(larger(run.built, out.step), out.evaluation)
      return out
    end)
  end)
end

--- Plans one run. ---@param settings table as of plan.rehearsing, with bits and value_bits
---@return WidthPlan
function plan.one(recipe, data, o, settings)
  return plan.rehearsing(recipe, data, o, settings, function(try)
    return try(settings.bits, settings.value_bits)
  end)
end

-- ---- some widths ----

--- Plans a recipe's training at some widths.
---@param settings? {rounding: string, small: integer, quiet: boolean}
---@param widths? integer[] plan.WIDTHS without
---@return table<integer, WidthPlan> by bits
function plan.of(recipe, data, o, settings, widths)
  settings = settings or {}
  local line, out = progress.line(settings.quiet), {}
  for _, bits in ipairs(widths or plan.WIDTHS) do
    line.update(function() return 'planning with ' .. format.count(bits, 'bit') end)
    out[bits] = plan.one(recipe, data, o,
                         tables.merged(settings, {bits = bits, value_bits = false}))
  end
  line.clear()
  return out
end

return plan
