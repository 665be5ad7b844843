--- A run: trains one recipe with one seed and leaves a folder that says what happened.
--   config.json       every option, seed, version, device
--   log.jsonl         one object an epoch
--   best.safetensors  parameters of the best epoch
--   summary.json      metrics, memory, kept bytes, times
local lfs = require 'lfs'
local atomic = require 'tinykg.atomic'
local clock = require 'tinykg.clock'
local json = require 'tinykg.json'
local progress = require 'tinykg.progress'
local session = require 'tinykg.session'
local store = require 'tinykg.store'
local train = require 'tinykg.train'
local tk = require 'tinykg'

-- ---- the folder ----

local function default_folder(o)
  local base = string.format('runs/%s-%s-%dbit-seed%d', o.recipe.name:lower(),
                             (o.data:gsub('/+$', '')):match('[^/]*$'), o.settings.bits, o.seed)
  local folder, n = base, 1
  while lfs.attributes(folder, 'mode') do
    n = n + 1
    folder = base .. '-' .. n
  end
  return folder
end

local FILES = {'config.json', 'log.jsonl', 'best.safetensors', 'summary.json'}

local function must(ok, message)
  if not ok then error(message, 0) end
end

--- What an earlier run left there goes to previous/: nothing of it is read as this run's.
local function set_aside(folder)
  local aside = folder .. '/previous'
  if not lfs.attributes(folder .. '/config.json', 'mode') then return end
  must(atomic.mkdirs(aside))
  for _, name in ipairs(FILES) do
    os.remove(aside .. '/' .. name)
    os.rename(folder .. '/' .. name, aside .. '/' .. name)
  end
end

local function open_folder(o)
  local folder = o.out or default_folder(o)
  must(atomic.mkdirs(folder))
  set_aside(folder)
  return folder
end

local function write(folder, name, value)
  must(atomic.write(folder .. '/' .. name, json.encode(value, {indent = 2}) .. '\n'))
end

local function log_writer(folder)
  local path = folder .. '/log.jsonl'
  local file, message = io.open(path, 'w')
  if not file then error(message, 0) end
  return function(record)
    local done, why = file:write(json.encode(record), '\n')
    if done then done, why = file:flush() end
    if not done then error(path .. ': ' .. tostring(why), 0) end
  end
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
  return {recipe = o.recipe.name, recipe_file = o.path, data = o.data,
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

local function run_once(o)
  tk.seed(o.seed)
  local from = {seed = o.seed}
  for key, value in pairs(o.data_options or {}) do from[key] = value end
  local started = clock.now()
  local data = tk.data.load(o.data, from)
  local load_s = clock.now() - started
  local folder = open_folder(o)
  write(folder, 'config.json', config_of(o))
  local log = log_writer(folder)
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
      must(store.write(folder .. '/best.safetensors', model:state(), {recipe = o.recipe.name}))
    end
    if not o.settings.quiet then print_epoch(record, better) end
  end
  local result = train.run(o.recipe, data, o.options, settings)
  local summary = summary_of(o, data, result, load_s)
  write(folder, 'summary.json', summary)
  if not o.settings.silent then print_result(summary, folder) end
  for _, phase in ipairs(o.settings.report and result.phases or {}) do
    if #result.phases > 1 then print('phase ' .. phase.name .. ':') end
    print(phase.step:report())
  end
  return summary
end

--- Runs. o: recipe, path, data (a folder), data_options, options, seed, settings (bits, rounding,
--- quiet, silent, report, steps), out (a folder). One run must not pay for the memory of the one
--- before: when it is over, nothing refers to its tensors, and their finalizers give them back.
---@return table summary what summary.json says
return function(o)
  local summary = run_once(o)
  collectgarbage()
  session.compact(true)
  collectgarbage()
  return summary
end
