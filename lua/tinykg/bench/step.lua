--- Times steps of training at several widths: forward, backward and update, and the bytes kept.
local inputs = require 'tinykg.bench.inputs'
local recipe_file = require 'tinykg.train.recipe_file'
local step_timer = require 'tinykg.bench.step_timer'

local COLUMNS = {{'step', 'step'}, {'bits', 'bits', '%d'}, {'min_ms', 'min ms', '%.2f'},
  {'median_ms', 'median', '%.2f'}, {'x_first', 'x first', '%.2f'},
  {'reference_bytes', 'op-by-op bytes', '%.0f'}, {'kept_bytes', 'kept bytes', '%.0f'},
  {'times_less', 'x less', '%.1f'}, {'arena_bytes', 'arena bytes', '%.0f'}}

local RECIPES = {
  {path = recipe_file.along('recipes/kgcn.lua'), set = {preset = 'book', hops = '3'},
   quick = {dim = '8', neighbors = '2', hops = '2', batch_size = '16'}},
  {path = recipe_file.along('recipes/kgat.lua'), set = {},
   quick = {dim = '8', layers = '8,8', batch_size = '16', kg_batch_size = '16'}},
}

local function chosen(o)
  if not o.recipe then return RECIPES end
  local list = {}
  for i, path in ipairs(o.recipe) do list[i] = {path = path, set = o.set, quick = o.set} end
  return list
end

local function record(run, k, first)
  local step = run.phases[k].step
  local reference, kept = step:figure('reference_bytes'), step:figure('stored_bytes')
  return {step = run.name .. ' ' .. run.phases[k].name, bits = run.bits, min_ms = run.min,
          median_ms = run.median, x_first = run.min / first.min, reference_bytes = reference,
          kept_bytes = kept, times_less = reference / math.max(kept, 1),
          arena_bytes = step:figure('arena_bytes'), replayed = step:figure('replayed')}
end

local TRAFFIC = {{'step', 'step'}, {'bits', 'bits', '%d'}, {'op', 'op'}, {'ops', 'times', '%d'},
  {'launches', 'launches', '%d'}, {'bytes', 'bytes', '%.0f'},
  {'compulsory', 'compulsory', '%.0f'}}

--- What the ops of a phase's step move and launch, and their sum. Plans the step only.
local function add_traffic(records, run, phase)
  phase:plan()
  local traffic = phase.step:traffic()
  local function add(op, count, row)
    records[#records + 1] = {step = run.name .. ' ' .. phase.name, bits = run.bits, op = op,
                             ops = count, launches = row.launches, bytes = row.bytes,
                             compulsory = row.compulsory}
  end
  for _, row in ipairs(traffic.ops) do add(row.op, row.ops, row) end
  add('all', nil, traffic)
end

--- Of each recipe, at each width. Nothing is timed.
local function traffic(o, out)
  local data, records = inputs.data(o, {seed = 0}), {}
  for _, recipe in ipairs(chosen(o)) do
    out:doing('planning steps of ' .. recipe.path)
    for _, bits in ipairs(o.bits) do
      local run = step_timer.trainer(recipe.path, o.quick and recipe.quick or recipe.set, data,
                                     bits)
      for _, phase in ipairs(run.phases) do add_traffic(records, run, phase) end
    end
  end
  out:heading('what steps on %s move through memory and launch', data.name)
  out:table('traffic', TRAFFIC, records)
end

---@param o table {recipe, set, bits, steps, data, quick, seconds, folder, traffic: boolean?}
---@param out tinykg.BenchOutput
return function(o, out)
  if o.traffic then return traffic(o, out) end
  local data, records = inputs.data(o, {seed = 0}), {}
  for _, recipe in ipairs(chosen(o)) do
    out:doing('steps of ' .. recipe.path)
    local runs = {}
    for i, bits in ipairs(o.bits) do
      runs[i] = step_timer.trainer(recipe.path, o.quick and recipe.quick or recipe.set, data, bits)
    end
    for k = 1, #runs[1].phases do
      step_timer.time_phase(runs, k, {rounds = o.steps, seconds = not o.steps and o.seconds or nil})
      for _, run in ipairs(runs) do records[#records + 1] = record(run, k, runs[1]) end
    end
  end
  out:heading('steps on %s: forward, backward, update; x first: ratio to the first width\'s '
    .. 'minimum', data.name)
  out:table('step', COLUMNS, records)
end
