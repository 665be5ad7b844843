--- A run: trains one recipe with one seed and leaves a folder that says what happened.
--- tinykg.run.folder lists its files.
local lfs = require 'lfs'
local source_line = require 'tinykg.base.source_line'
local tensorboard_log = require 'tinykg.run.tensorboard_log'
local checkpoint = require 'tinykg.run.folder.checkpoint'
local clock = require 'tinykg.base.clock'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local json = require 'tinykg.base.json'
local data_set = require 'tinykg.run.data_set'
local parameters = require 'tinykg.run.folder.parameters'
local output_folder = require 'tinykg.run.output_folder'
local format = require 'tinykg.base.format'
local runtime = require 'tinykg.engine.runtime'
local sha256 = require 'tinykg.engine.sha256'
local messages = require 'tinykg.run.messages'
local train = require 'tinykg.train'
local tk = require 'tinykg'

-- ---- what is written ----

local function config_of(o)
  local s = o.settings
  return {recipe = o.recipe.name, recipe_file = folder.absolute(o.path),
          recipe_sha256 = sha256(o.text), data = folder.absolute(o.data),
          data_options = o.data_options, data_set = o.data_set, options = o.options, seed = o.seed,
          bits = s.bits, bits_asked = s.bits_asked, budget = s.budget, rounding = s.rounding,
          device = tk.device(), threads = tk.threads(), version = tk.version, steps = s.steps,
          checkpoint = s.checkpoint, check = s.check, tensorboard = s.tensorboard}
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

-- ---- checkpoints ----

-- Within an epoch every five minutes (or --checkpoint); between epochs when the parameters are the
-- best so far, and otherwise so seldom that writing takes a twentieth of the time at most.
local WITHIN, SHARE = 300, 20

--- Saves the state of a run, until it has ended and has other parameters than the last.
---@return table {now(), within(), between(better), last()}
local function saver(path, run, within)
  local marks = checkpoint.baseline(run.model)
  local saved, cost, ended, state = clock.now(), 0, false, nil
  local self = {}
  local function where() return run.at.epoch .. ':' .. run:steps() end
  function self.now()
    if ended or run.at.beginning then return end -- begin_epoch may have done half of its work
    local started = clock.now()
    checkpoint.write(path, run, marks)
    saved, state = clock.now(), where()
    cost = saved - started
  end
  function self.within()
    if clock.now() - saved >= (within or WITHIN) then self.now() end
  end
  function self.between(better)
    if better or clock.now() - saved > SHARE * cost then self.now() end
  end
  function self.last()
    if state ~= where() then self.now() end -- the same twice would leave no older one
    ended = true
  end
  return self
end

--- Keeps the best parameters in the folder.
local function keeper(path, recipe)
  local file = path .. '/best.safetensors'
  return {
    save = function(model, epoch)
      parameters.write(file, model, {recipe = recipe.name, epoch = tostring(epoch)})
    end,
    load = function(model) parameters.read(file, model) end,
  }
end

-- ---- the run ----

--- What fn returns, at most three values. Where it fails, a folder made for the run is not left
--- behind empty.
local function or_no_folder(path, fn, ...)
  local ok, first, second, third = xpcall(fn, source_line.handler, ...)
  if ok then return first, second, third end
  lfs.rmdir(path)
  error(first, 0)
end

--- Whether the run of a folder has nothing left to do.
local function is_done(path, o)
  local summary = folder.read(path, 'summary.json')
  if not summary then return nil end
  local more = o.options.epochs > summary.epochs
  local stopped = o.options.patience == folder.config(path).options.patience
    and summary.epochs < folder.config(path).options.epochs
  return (not more or stopped) and summary or nil
end

--- Holds the run against a budget; --bits auto becomes a width. A run that goes on has its width.
---@return table settings, string? note
local function chosen(o, data, path, going_on)
  local s, settings = o.settings, {}
  if s.bits ~= 'auto' and not s.budget then return s end
  for key, value in pairs(s) do settings[key] = value end
  settings.bits_asked = s.bits
  if going_on then
    settings.bits = folder.config(path).bits
    return settings
  end
  local bits, why, note = require('tinykg.train.memory_plan').choose(o.recipe, data, o.options, s,
                                                               s.budget)
  if not bits then error(why, 0) end
  settings.bits = bits
  return settings, note
end

--- Loads the data set and notes what it is; it must be what it was, for a run that goes on.
local function load_data(o, path, going_on)
  local data = data_set.load(o)
  o.data_set = fingerprint.of(data)
  if not going_on then return data end
  local was = folder.config(path)
  if not was.data_set then table.insert(data.warnings, data_set.unknown(path)) end
  local why = data_set.changed(was, o.data_set)
  if why then error(data_set.refusal(path, o.data, why), 0) end
  return data
end

local function say_beginning(o, data, note)
  print(('%s on %s, seed %d, %s, %s, %s'):format(o.recipe.name, tostring(data), o.seed,
    format.count(o.settings.bits, 'bit'), tk.device(), format.count(tk.threads(), 'thread')))
  for _, warning in ipairs(data.warnings or {}) do format.print('note: ' .. warning) end
  if note then print('note: ' .. note) end
end

--- Writes what a run is, such that a folder that has config.json has the rest.
local function write_beginning(o, path, data)
  os.remove(path .. '/summary.json')
  folder.write_text(path, 'recipe.lua', o.text)
  data_set.write(path, data)
  folder.write(path, 'config.json', config_of(o))
end

--- Goes on from a checkpoint of the folder, where it has one.
local function go_on(o, path, run)
  local from = o.from or 'last'
  if not o.from and not folder.has(path, 'last.safetensors')
    and not folder.has(path, 'last-1.safetensors') then return end
  checkpoint.read(path, run, from)
  if run.best.epoch then parameters.check(path .. '/best.safetensors') end -- it ends with these
  if o.settings.quiet or o.settings.silent then return end
  local at = run.at
  print(string.format('going on in epoch %d%s', at.epoch,
    at.done > 0 and string.format(', %sstep %d', run.phases[at.phase].label, at.done) or ''))
end

--- Makes the run, which reports to its folder as it goes.
local function set_up(o, data, path, going_on)
  local s, save, log, board = o.settings, nil, nil, nil
  local quiet = s.quiet or s.silent
  local settings = {bits = s.bits, rounding = s.rounding, steps = s.steps, small = s.small,
                    check = s.check, quiet = quiet, best = keeper(path, o.recipe)}
  settings.on_step = function() save.within() end
  settings.on_end = function() save.last() end
  settings.on_epoch = function(record, better)
    log(record)
    board.epoch(record)
    save.between(better)
    if not quiet then print(messages.epoch(record, better)) end
  end
  local run = train.new(o.recipe, data, o.options, settings)
  save = saver(path, run, s.checkpoint) -- marks the model as it was built
  if going_on then go_on(o, path, run) else folder.fresh(path) end
  write_beginning(o, path, data)
  log = folder.logger(path, run.at.epoch - 1)
  board = tensorboard_log(path, config_of(o), s.tensorboard, run:steps() + 1)
  return run, save, board
end

--- Trains to the end. Ctrl-C costs nothing: the state is saved before it is passed on.
local function train_to_the_end(o, path, run, save)
  local ok, result = xpcall(run.train, source_line.handler, run)
  if ok then return result end
  if result == runtime.interrupted then
    save.now()
    if not o.settings.silent then
      io.stderr:write('stopped; to go on: tinykg run --resume --out ', path, '\n')
    end
  end
  error(result, 0)
end

local function run_once(o)
  tk.seed(o.seed)
  o.data_options = output_folder.data_options(o)
  local path, going_on, unlock = output_folder.open(o, config_of(o))
  local loud = not o.settings.silent
  local summary = going_on and is_done(path, o)
  if summary then
    if loud then print('finished before; nothing to do') end
  else
    local started = clock.now()
    local data = or_no_folder(path, load_data, o, path, going_on)
    local load_s = clock.now() - started
    local note
    o.settings, note = or_no_folder(path, chosen, o, data, path, going_on)
    if loud and not o.settings.quiet then say_beginning(o, data, note) end
    local run, save, board = or_no_folder(path, set_up, o, data, path, going_on)
    local result = train_to_the_end(o, path, run, save)
    summary = summary_of(o, data, result, load_s)
    folder.write(path, 'kept.json', kept_of(result.phases))
    folder.write(path, 'summary.json', summary)
    board.result(summary, run:steps())
    o.phases = result.phases
  end
  if loud then print(messages.result(summary, path)) end
  for _, phase in ipairs(o.settings.report and o.phases or {}) do
    if #o.phases > 1 then print('phase ' .. phase.name .. ':') end
    print(phase.step:report())
  end
  o.phases = nil
  unlock()
  return summary
end

--- Runs. o: recipe, text (of its file), path, data (a folder), data_options (the seed of its split
--- is 0 if that says none), options, seed, settings (bits or 'auto', budget in bytes, rounding,
--- quiet, silent, report, steps, tensorboard, check, checkpoint: seconds within an epoch), out (a
--- folder; else one of its own, named after `given` and `data_given`, the options that were given),
--- resume (true: what is there goes on, and it is an error if it is of another configuration; 'if
--- the same': unless there is nothing), from ('last-1': from the older checkpoint), force (what is
--- there is moved to previous/; without it a run that is there stays, and it is an error).
--- One run must not pay for the memory of the one before: when it is over, nothing refers to its
--- tensors, and their finalizers give them back.
---@return table summary what summary.json says
return function(o)
  local summary = run_once(o)
  collectgarbage()
  runtime.compact(true)
  collectgarbage()
  return summary
end
