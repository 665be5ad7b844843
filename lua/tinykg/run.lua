--- A run: trains one recipe with one seed and leaves a folder that says what happened.
--- tinykg.run.folder lists its files.
local clock = require 'tinykg.clock'
local folders = require 'tinykg.run.folder'
local json = require 'tinykg.json'
local progress = require 'tinykg.progress'
local session = require 'tinykg.session'
local store = require 'tinykg.store'
local train = require 'tinykg.train'
local tk = require 'tinykg'

local function default_folder(o)
  return folders.unused(string.format('runs/%s-%s-%dbit-seed%d', o.recipe.name:lower(),
    (o.data:gsub('/+$', '')):match('[^/]*$'), o.settings.bits, o.seed))
end

-- ---- what is printed ----

local function metrics_text(m)
  if not m then return 'no rows' end
  local order = {'auc', 'f1', 'recall@10', 'recall@20', 'ndcg@10', 'ndcg@20'}
  local parts = {}
  for _, key in ipairs(order) do
    if m[key] then parts[#parts + 1] = string.format('%s %.4f', key, m[key]) end
  end
  return table.concat(parts, '  ')
end

--- 'loss 0.1234', or with several phases 'cf 0.1234  kg 0.5678'.
local function losses_text(record)
  if not record.losses then return string.format('loss %.4f', record.loss) end
  local names, parts = {}, {}
  for name in pairs(record.losses) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    parts[i] = string.format('%s %.4f', name, record.losses[name])
  end
  return table.concat(parts, '  ')
end

local function print_epoch(record, better)
  print(string.format('epoch %3d  %s  %s  %s%s', record.epoch, losses_text(record),
    record.valid and 'valid ' .. metrics_text(record.valid) or '',
    progress.duration(record.seconds), better and '  *' or ''))
end

local function print_result(summary, folder)
  print(string.format('test: %s  (best epoch %d)', metrics_text(summary.test), summary.best_epoch))
  local kept = summary.kept
  local times = kept.reference_bytes / kept.stored_bytes
  local less = kept.stored_bytes > 0 and string.format(', %.1fx less than', times) or ' instead of'
  print(string.format('kept for backward: %s%s op-by-op FP32 (%s); peak %s; step %.2f ms',
    progress.bytes(kept.stored_bytes), less, progress.bytes(kept.reference_bytes),
    progress.bytes(summary.memory.peak), summary.time.step_ms))
  print('run folder: ' .. folder)
end

-- ---- the run ----

local function config_of(o)
  return {recipe = o.recipe.name, recipe_file = folders.absolute(o.path),
          data = folders.absolute(o.data),
          data_options = o.data_options, options = o.options, seed = o.seed, bits = o.settings.bits,
          rounding = o.settings.rounding, device = tk.device(), threads = tk.threads(),
          version = tk.version, steps = o.settings.steps}
end

local function summary_of(o, data, result, load_s)
  result.time.load_s = load_s
  return {recipe = o.recipe.name, data = data.name, seed = o.seed, bits = o.settings.bits,
          rounding = o.settings.rounding, device = tk.device(), threads = tk.threads(),
          epochs = result.epochs, best_epoch = result.best_epoch, valid = result.valid,
          test = result.test, memory = result.memory, kept = result.kept, time = result.time}
end

--- What kept.json says: each phase's kept values.
local function kept_of(phases)
  local list = {}
  for i, phase in ipairs(phases) do
    list[i] = {name = phase.name, reference_bytes = phase.step:figure('reference_bytes'),
               stored_bytes = phase.step:figure('stored_bytes'),
               values = json.array(phase.step:kept())}
  end
  return {phases = list}
end

local function run_once(o)
  tk.seed(o.seed)
  local from = {seed = o.seed}
  for key, value in pairs(o.data_options or {}) do from[key] = value end
  local started = clock.now()
  local data = tk.data.load(o.data, from)
  local load_s = clock.now() - started
  local folder = folders.fresh(o.out or default_folder(o))
  folders.write(folder, 'config.json', config_of(o))
  folders.write_text(folder, 'recipe.lua', o.text)
  local log = folders.logger(folder)
  if not (o.settings.quiet or o.settings.silent) then
    print(string.format('%s on %s, seed %d, %d bits, %s, %d threads', o.recipe.name, tostring(data),
                        o.seed, o.settings.bits, tk.device(), tk.threads()))
    for _, warning in ipairs(data.warnings or {}) do print('note: ' .. warning) end
  end
  local settings = {bits = o.settings.bits, rounding = o.settings.rounding,
                    quiet = o.settings.quiet or o.settings.silent, steps = o.settings.steps,
                    small = o.settings.small}
  settings.on_epoch = function(record, better, model)
    log(record)
    if better then
      local ok, message = store.write(folder .. '/best.safetensors', model:state(), {
        recipe = o.recipe.name, epoch = tostring(record.epoch)})
      if not ok then error(message, 0) end
    end
    if not o.settings.quiet then print_epoch(record, better) end
  end
  local result = train.run(o.recipe, data, o.options, settings)
  local summary = summary_of(o, data, result, load_s)
  folders.write(folder, 'kept.json', kept_of(result.phases))
  folders.write(folder, 'summary.json', summary)
  if not o.settings.silent then print_result(summary, folder) end
  for _, phase in ipairs(o.settings.report and result.phases or {}) do
    if #result.phases > 1 then print('phase ' .. phase.name .. ':') end
    print(phase.step:report())
  end
  return summary
end

--- Runs. o: recipe, text (of its file), path, data (a folder), data_options, options, seed,
--- settings (bits, rounding, quiet, silent, report, steps), out (a folder). One run must not pay
--- for the memory of the one before: when it is over, nothing refers to its tensors, and their
--- finalizers give them back.
---@return table summary what summary.json says
return function(o)
  local summary = run_once(o)
  collectgarbage()
  session.compact(true)
  collectgarbage()
  return summary
end
