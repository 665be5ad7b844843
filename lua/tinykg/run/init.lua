--- A run: trains one recipe with one seed and writes a folder, whose files tinykg.run.folder lists.
local lfs = require 'lfs'
local arguments = require 'tinykg.base.arguments'
local tables = require 'tinykg.base.tables'
local terminal = require 'tinykg.base.terminal'
local advice = require 'tinykg.run.advice'
local budget = require 'tinykg.train.budget'
local budget_table = require 'tinykg.run.budget_table'
local checkpoint = require 'tinykg.run.folder.checkpoint'
local clock = require 'tinykg.base.clock'
local extend = require 'tinykg.run.folder.extend'
local data_set = require 'tinykg.run.data_set'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local memory_columns = require 'tinykg.train.memory.columns'
local memory_plan = require 'tinykg.train.memory.plan'
local modules = require 'tinykg.run.folder.modules'
local messages = require 'tinykg.run.messages'
local origin = require 'tinykg.run.folder.origin'
local output_folder = require 'tinykg.run.output_folder'
local parameters = require 'tinykg.run.folder.parameters'
local per_user = require 'tinykg.run.folder.per_user'
local ranks = require 'tinykg.engine.ranks'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local runtime = require 'tinykg.engine.runtime'
local saving = require 'tinykg.run.folder.saving'
local scale = require 'tinykg.train.start.scale'
local C = require 'tinykg.engine.lib'
local sha256 = require 'tinykg.engine.sha256'
local start_files = require 'tinykg.nn.start_files'
local source_line = require 'tinykg.base.source_line'
local tensorboard_log = require 'tinykg.run.tensorboard_log'
local train = require 'tinykg.train'
local tk = require 'tinykg'
local phases = require 'tinykg.train.phases'
local profile = require 'tinykg.engine.profile'
local ways = require 'tinykg.engine.profile.ways'

-- ---- config.json, summary.json, kept.json ----

local function config_of(o)
  local s, chosen = o.settings, tk.ways()
  return {recipe = o.recipe.name, recipe_file = folder.absolute(o.path),
          recipe_sha256 = sha256(o.text), modules = modules.loaded(o.path),
          data = folder.absolute(o.data),
          data_options = o.data_options, data_set = o.data_set, options = o.options,
          scaled = o.scaled, seed = o.seed, ranks = ranks.size() > 1 and ranks.size() or nil,
          bits = s.bits, bits_asked = s.bits_asked, budget = s.budget, chosen = s.chosen,
          rounding = s.rounding, codes = folder.CODES, device = tk.device(),
          ways = next(chosen) and chosen or nil, threads = tk.threads(), version = tk.version,
          origin = origin.of(), steps = s.steps,
          checkpoint = s.checkpoint, check = s.check, tensorboard = s.tensorboard,
          extend = s.extend and folder.absolute(s.extend)}
end

--- `exact` is the plan of the same run at 32 bits, nil if that is this run.
local function summary_of(o, data, result, load_s, exact)
  result.time.load_s, result.bits = load_s, o.settings.bits
  return {recipe = o.recipe.name, data = data.name, seed = o.seed, bits = o.settings.bits,
          rounding = o.settings.rounding, device = tk.device(), threads = tk.threads(),
          epochs = result.epochs, best_epoch = result.best_epoch, metric = result.metric,
          valid = result.valid, test = result.test, popularity = result.popularity,
          memory = result.memory, kept = result.kept, time = result.time,
          columns = memory_columns.of(result, exact)}
end

-- ---- the run ----

--- The summary of a folder's run if that has nothing left to do, else nil. Errors: the run has gone
--- further than is asked for; but successive halving asks for the first epochs of one that has.
local function summary_of_done(path, o)
  local summary = folder.read(path, 'summary.json')
  local why = o.resume ~= 'if the same' and resume.beyond(path, o.options)
  if why then error(('%s: %s: another --out begins anew'):format(path, why), 0) end
  if not summary then return nil end
  local ended = resume.has_ended(summary, folder.config(path).options, o.options)
  local lacks = o.options.per_user and type((summary or {}).test) == 'table'
    and not folder.has(path, 'per_user.tsv')
  return ended and not lacks and summary or nil
end

--- Errors: the run is to go on from an older checkpoint, which has nothing to do.
local function summary_if_done(path, o)
  local summary = ranks.of_first(summary_of_done, path, o)
  if summary and o.from == 'last-1' then
    error(('%s: finished after %s: --from last-1 is for going on, with --set epochs= more'):format(
      path, format.count(summary.epochs, 'epoch')), 0)
  end
  return summary
end

--- config.json of a run that goes on.
local function config_before(path) return ranks.of_first(folder.config, path) end

--- What a run does to fit, for config.json.
local function chosen_of(choice, o)
  local was = {}
  for name in pairs(choice.options) do was[name] = o.options[name] end
  return {options = choice.options, asked = was, bits = choice.bits,
          value_bits = choice.value_bits, evaluation = choice.evaluation, tiles = choice.tiles,
          rows = choice.rows,
          peak = choice.plan.memory.peak}
end

--- Applies a choice, a new one or that of the run that goes on.
local function apply(o, chosen)
  local meta = getmetatable(o.options)
  o.options = setmetatable(tables.merged(o.options, chosen.options), meta)
  o.settings = tables.merged(o.settings, {
    bits_asked = o.settings.bits, bits = chosen.bits, value_bits = chosen.value_bits,
    evaluation = chosen.evaluation, chosen = chosen})
  runtime.check(C.tkg_engine_set_tiles(runtime.engine, chosen.tiles or 0))
end

--- Holds the run's memory against its budget, or what is free, and makes it fit; a resumed run
--- keeps what it began with. Raises one line if it cannot fit.
---@return string? table what was chosen
local function fit(o, data, path, resuming)
  local s = o.settings
  runtime.check(C.tkg_engine_set_tiles(runtime.engine, 0))
  if resuming then
    local was = config_before(path)
    ways.set(was.ways or {})
    if was.chosen then apply(o, was.chosen) end
    return nil
  end
  local choice = budget.choose(o.recipe, data, o.options, s)
  if choice.refusal then error(choice.refusal, 0) end
  if s.bits ~= 'auto' and not s.budget then return nil end
  apply(o, chosen_of(choice, o))
  return choice.room and budget_table.text(choice)
end

--- Errors: another rank has another data set.
local function check_same(o)
  if ranks.size() == 1 then return end
  local first = json.decode(ranks.text(ranks.is_first() and json.encode(o.data_set) or nil))
  local why = fingerprint.difference(first, o.data_set)
  if why then
    error(('%s: not the data set that rank 0 has there: %s'):format(o.data, why), 0)
  end
end

--- Loads the data set and sets its fingerprint. Raises one line if it has changed since the run
--- that is resumed.
local function load_data(o, path, resuming)
  local data = data_set.load(o)
  o.data_set = fingerprint.of(data)
  check_same(o)
  if not resuming then return data end
  local was = config_before(path)
  if not was.data_set then table.insert(data.warnings, data_set.unknown(path)) end
  local why = data_set.changed(was, o.data_set)
  if why then error(data_set.refusal(path, o.data, why), 0) end
  return data
end

local function print_beginning(o, data, text, small)
  local function say(line) print(format.wrapped(line, terminal.width(1), '  ')) end
  say(('%s on %s, seed %d, %s, %s, %s%s'):format(o.recipe.name, tostring(data), o.seed,
    budget.bits_text(o.settings.bits, o.settings.value_bits), tk.device(),
    format.count(tk.threads(), 'thread'), ranks.size() > 1 and ' each' or ''))
  if ranks.note() then say(ranks.note()) end
  for _, warning in ipairs(data.warnings or {}) do say('note: ' .. warning) end
  if small then say(small) end
  if text then print(text) end
end

--- Writes the files that describe a run, config.json last.
local function write_description(o, path, data)
  folder.remove_results(path)
  folder.write_text(path, 'recipe.lua', o.text)
  data_set.write(path, data)
  folder.write(path, 'config.json', config_of(o))
end

--- Returns a function that writes config.json again once the precision 'fast' has chosen more.
local function ways_keeper(o, path)
  local function count() return #tables.sorted_keys(tk.ways()) end
  local written = count()
  return function()
    local now = count()
    if now == written then return end
    written = now
    ranks.only_first(folder.write, path, 'config.json', config_of(o))
  end
end

--- Sees to it that best.safetensors has the best epoch that a checkpoint knows, or a later one,
--- which will be the best again: after --from last-1, or a kill, the file may be newer. Raises one
--- line where it is older.
local function match_best(path, run)
  local file, best, at = path .. '/best.safetensors', run.best.epoch, run.at
  local of = tonumber((ranks.of_first(parameters.check, file).epoch))
  if not of or of == best then return end
  if at.phase == 0 and at.epoch == best + 1 then return run:keep() end
  if of > best then return end -- the keeper looks once more, at the end
  error(('%s is of epoch %d, the best epoch of the checkpoint is %d'):format(file, of, best), 0)
end

local function has_checkpoint(path)
  return ranks.of_first(function()
    return folder.has(path, 'last.safetensors') or folder.has(path, 'last-1.safetensors')
  end)
end

--- Restores the state of a checkpoint, if the folder has one.
local function restore(o, path, run)
  local from = o.from or 'last'
  if not o.from and not has_checkpoint(path) then return end
  checkpoint.read(path, run, from)
  if run.best.epoch then match_best(path, run) end
  checkpoint.take(path, from)
  if o.settings.quiet or o.settings.silent then return end
  local at = run.at
  print(('going on in epoch %d%s'):format(at.epoch,
    at.done > 0 and (', %sstep %d'):format(run.phases[at.phase].label, at.done) or ''))
end

--- Makes the run with callbacks that write to its folder.
local function set_up(o, data, path, resuming)
  local s, save, log, events = o.settings, nil, nil, nil
  local keep_ways = ways_keeper(o, path)
  local quiet = s.quiet or s.silent
  local settings = {bits = s.bits, value_bits = s.value_bits, rounding = s.rounding,
                    steps = s.steps, small = s.small, evaluation = s.evaluation, check = s.check,
                    quiet = quiet, best = saving.best(path, o.recipe)}
  settings.on_step = function() save.within() end
  settings.on_end = function() save.last() end
  local show = not quiet and messages.printer() or function() end
  settings.on_epoch = function(record, better, run)
    log(record)
    keep_ways()
    events.epoch(record)
    save.between(better)
    show(record, better, run.metric)
  end
  local run = train.new(o.recipe, data, o.options, settings)
  save = saving.state(path, run, s.checkpoint)
  if resuming then restore(o, path, run) else folder.fresh(path) end
  if s.extend and run.at.phase == 0 and run.at.epoch == 1 then
    local text = extend(s.extend, run.model, data)
    if not quiet then print(format.wrapped(text, terminal.width(1), '  ')) end
  end
  ranks.only_first(write_description, o, path, data)
  log = folder.logger(path, run.at.epoch - 1)
  events = tensorboard_log(path, config_of(o), s.tensorboard, run:steps() + 1)
  return run, save, events
end

--- The plan of the run at 32 bits, before anything is chosen, to be compared with; nil if it is to
--- have 32 bits.
local function plan_exact(o, data)
  local s = o.settings
  if s.bits == 32 then return nil end
  local settings = {steps = s.steps, rounding = s.rounding, small = s.small,
                    quiet = s.quiet or s.silent}
  return memory_plan.of(o.recipe, data, o.options, settings, {32})[32]
end

--- Sets options to new values. ---@param values table<string, any>
local function change(o, values)
  o.options = setmetatable(tables.merged(o.options, values), getmetatable(o.options))
end

--- Takes options that a small data set changed from the run that goes on, unless they are given,
--- and its budget, for which it chose what it does.
local function as_it_was(o, path)
  local was = config_before(path)
  o.scaled = was.scaled
  o.settings = tables.merged(o.settings, {budget = was.budget})
  change(o, resume.scaled(was, o.options))
end

--- Lets a small data set have more epochs and patience than by default.
---@return string? note
local function scale_to(o, data)
  if o.settings.steps then return nil end
  local changed, steps = scale(o.recipe, o.options, data)
  local texts, keeps, was = {}, {}, {}
  for i, name in ipairs(tables.sorted_keys(changed)) do
    texts[i] = ('%s=%d instead of %g'):format(name, changed[name], o.options[name])
    was[name] = o.options[name]
    keeps[i] = ('--set %s=%g'):format(name, was[name])
  end
  if #texts == 0 then return nil end
  o.scaled = was
  change(o, changed)
  return ('note: a small set, %s per epoch: %s (to keep the defaults: %s)'):format(
    format.count(steps, 'step'), table.concat(texts, ', '), table.concat(keeps, ' '))
end

--- Loads the data and makes the run: {run, save, events, data, load_s (seconds), exact (its plan at
--- 32 bits)}.
local function prepare(o, path, resuming)
  local started = clock.now()
  local data = load_data(o, path, resuming)
  local load_s = clock.now() - started
  local small = not resuming and scale_to(o, data) or nil
  local exact = plan_exact(o, data)
  local text = fit(o, data, path, resuming)
  if not (o.settings.silent or o.settings.quiet) then print_beginning(o, data, text, small) end
  local run, save, events = set_up(o, data, path, resuming)
  return {run = run, save = save, events = events, data = data, load_s = load_s, exact = exact}
end

--- Prepares while files that the model begins with are needed only if its parameters do not come
--- from a checkpoint or from the run that is extended. ---@return boolean ok ---@return table|any
local function prepare_without_files(o, path, resuming)
  if resuming and has_checkpoint(path) then start_files.spare_all()
  elseif o.settings.extend then start_files.spare(config_before(o.settings.extend).options) end
  local ok, made = xpcall(prepare, source_line.handler, o, path, resuming)
  start_files.need()
  return ok, made
end

--- Trains to the end. After Ctrl-C the state is saved before the error is raised again.
local function train_to_end(o, path, run, save)
  local ok, result = pcall(ranks.together, run.train, run)
  if ok then return result end
  run.line.clear()
  if result == runtime.interrupted then
    terminal.clear_line(2) -- the ^C
    save.now()
    if not o.settings.silent then
      io.stderr:write('stopped; to go on: tinykg run --resume --out ', format.quoted(path), '\n')
    end
  end
  error(result, 0)
end

--- Trains to the end with a profile, which it prints and writes to the folder.
local function train_with_profile(o, path, run, save)
  local found, result = profile.of(train_to_end, o, path, run, save)
  ranks.only_first(found.write, found, path .. '/profile.json')
  ranks.only_first(found.trace, found, path .. '/trace.json')
  if not o.settings.silent then print(found) end
  return result
end

--- Opens the folder on rank 0, for all. ---@return string path, boolean resuming, fun() unlock
local function open_folder(o)
  o.data_options = ranks.of_first(output_folder.data_options, o)
  local unlock = function() end
  local opened = ranks.of_first(function()
    local path, resuming, release = output_folder.open(o, config_of(o))
    unlock = release
    return {path = path, resuming = resuming}
  end)
  return opened.path, opened.resuming, unlock
end

--- The run in its folder, which is locked. ---@return table summary
local function run_in(path, o, resuming)
  local loud = not o.settings.silent
  if resuming then as_it_was(o, path) end
  local summary = resuming and summary_if_done(path, o)
  if summary then
    if ranks.of_first(lfs.attributes, o.data, 'mode') then load_data(o, path, true) end
    if loud then print('finished before; nothing to do') end
  else
    local ok, made = prepare_without_files(o, path, resuming)
    if not ok then
      ranks.only_first(lfs.rmdir, path) -- fails unless it is empty
      error(made, 0)
    end
    local train_all = o.settings.profile and train_with_profile or train_to_end
    local result = train_all(o, path, made.run, made.save)
    summary = summary_of(o, made.data, result, made.load_s, made.exact)
    summary.advice = advice(summary, o.options, made.data.train.n)
    if result.per_user and result.test then
      ranks.only_first(per_user.write, path, made.data.names.users, result.per_user)
    end
    folder.write(path, 'kept.json', {phases = phases.saved(result.phases)})
    folder.write(path, 'summary.json', summary)
    made.events.result(summary, made.run:steps())
    o.phases = result.phases
  end
  if loud then
    print(messages.result(summary, path))
    if summary.advice then
      print(terminal.paint((summary.advice:gsub(': try ', ': try\n  ', 1)), 'yellow', 1))
    end
  end
  for _, phase in ipairs(o.settings.report and o.phases or {}) do
    if #o.phases > 1 then print('phase ' .. phase.name .. ':') end
    print(phase.step:report())
  end
  return summary
end

--- Opens the folder, runs, and unlocks the folder, whether the run ended or raised an error.
local function run_once(o)
  tk.seed(o.seed)
  local path, resuming, unlock = open_folder(o)
  local ok, summary = xpcall(run_in, source_line.handler, path, o, resuming)
  unlock()
  if not ok then error(summary, 0) end
  return summary, path
end

-- ---- what a script gives ----

---@class tinykg.RunOptions
---@field recipe Recipe|string the path of its file, or a recipe with the two fields below
---@field path? string of the recipe's file, if `recipe` is none
---@field text? string of that file; the run's folder keeps it
---@field data string the folder of the data set
---@field data_options? table as of tk.data.load; the seed of the split is 0 by default
---@field options? table of the recipe, by name; those that are not given have their defaults
---@field seed? integer of training, 1
---@field settings? tinykg.RunSettings
---@field out? string the run's folder; by default runs/NAME, with recipe, data and settings in it
---@field given? table options that are in that name
---@field data_given? table options of the data that are in that name
---@field resume? boolean|string true: goes on with the run that is in the folder, and raises
---  an error if that has another configuration; 'if the same': begins a new run then
---@field from? 'last'|'last-1' with resume: the checkpoint to go on from
---@field force? boolean moves the files of another run to previous/; else that run is an error

---@class tinykg.RunSettings
---@field bits? integer|'auto' of kept values, 32; 'auto': the most that fit
---@field budget? number bytes that the whole run may take
---@field rounding? string 'dither' by default
---@field small? number as of tk.step
---@field steps? integer of each epoch, at most
---@field checkpoint? number seconds within an epoch from one checkpoint to the next, 300
---@field extend? string folder of a run whose parameters this one begins with
---@field check? boolean look for NaN and infinity after each op
---@field tensorboard? boolean write event files
---@field profile? boolean print and write where the time goes
---@field report? boolean print what each step keeps for backward
---@field quiet? boolean print the result alone
---@field silent? boolean print nothing

local NAMES = 'recipe path text data data_options options seed settings out given data_given ' ..
              'resume from force'
local SETTINGS = 'bits budget rounding small steps checkpoint extend check tensorboard profile ' ..
                 'report quiet silent sensitivity device_memory'

--- A copy of a script's table, with what it left out. Errors: names that there are not, a recipe
--- without its file, wrong options.
local function completed(o)
  runtime.options('run', o, NAMES)
  local settings = o.settings or {}
  -- Those of the command line hold all that was given there.
  if not settings.arguments then runtime.options('run: settings', settings, SETTINGS) end
  o = tables.merged(o)
  if type(o.recipe) == 'string' then
    local path = recipe_file.locate(o.recipe)
    o.recipe, o.text = recipe_file.load(path)
    o.path = path
  elseif type(o.recipe) ~= 'table' or not o.recipe.complete then
    runtime.fail("run: recipe is %s, expected a recipe, or the path of a recipe's file",
                 o.recipe == nil and 'nil' or 'a ' .. type(o.recipe))
  elseif not o.path or not o.text then
    runtime.fail("run: %s is nil: the recipe's file is kept in the folder of the run: give path "
                 .. 'and text of it, or its path as recipe', o.path and 'text' or 'path')
  end
  o.options = train.options(o.recipe, o.options)
  o.seed, o.data_options = o.seed or 1, o.data_options or {}
  o.settings = tables.merged({bits = settings.budget and 'auto' or 32, rounding = 'dither'},
                             settings)
  return o
end

--- Trains one recipe with one seed, writes the folder of the run and returns what its summary.json
--- has: `require('tinykg.run'){recipe = 'kgin', data = 'cinema', options = {epochs = 2},
--- settings = {bits = 2, quiet = true}}`. The folder is locked meanwhile, and free again after an
--- error. Frees the run's tensors.
---@param o tinykg.RunOptions
---@return table summary, string folder
local function run(o)
  local summary, path = run_once(completed(o))
  runtime.collect(true)
  return summary, path
end

return arguments.checked(run, 'run')
