--- A sweep: several recipes, seeds and grid points. Each is a job, trained by a process of its own
--- in a folder of its own, so that one that crashes or diverges stops no other. Started again, a
--- sweep does what is left: finished jobs stay, interrupted ones go on, failed ones start anew.
local atomic_file = require 'tinykg.base.atomic_file'
local best_point = require 'tinykg.sweep.best_point'
local checksums = require 'tinykg.store.checksums'
local clock = require 'tinykg.base.clock'
local tables = require 'tinykg.base.tables'
local display = require 'tinykg.sweep.display'
local earlier = require 'tinykg.sweep.earlier'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local jobs_of = require 'tinykg.sweep.jobs'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local options = require 'tinykg.cli.options'
local output_folder = require 'tinykg.run.output_folder'
local process = require 'tinykg.sweep.process'
local recipe_file = require 'tinykg.train.recipe_file'
local search = require 'tinykg.sweep.search'
local summary = require 'tinykg.sweep.summary'
local terminal = require 'tinykg.base.terminal'

---@class Job
---@field name string of the job and of its folder, which is in the sweep's
---@field group string the same for jobs that differ by seed only
---@field path string its folder
---@field recipe {name: string, path: string, loaded: Recipe}
---@field options table<string, string> of the recipe, as they are given
---@field argv string[] the command
---@field argv_with fun(changed: table): string[] the command with other options
---@field point Point? of a search
---@field state string waiting, running, done, before (finished earlier), failed, diverged, stopped
---@field message string? why it failed

-- ---- running them ----

local function start(job)
  local ok, message = atomic_file.mkdirs(job.path)
  if ok then
    job.process, message = process.start(job.argv, job.path .. '/output.txt')
  end
  job.started, job.summary = clock.now(), nil
  job.state, job.message = job.process and 'running' or 'failed', message
end

--- Sets state and message of a job whose process has ended.
local function finish(job, how, status)
  job.process, job.seconds = nil, clock.now() - job.started
  local output, last = folder.output(job.path)
  if how == 'exited' and status == 0 then
    job.state = output:find('^finished before') and 'before' or 'done'
    job.summary = folder.read(job.path, 'summary.json')
  elseif how == 'exited' and status == 130 or how == 'killed' and status == 2 then
    job.state = 'stopped'
  elseif how == 'exited' then
    job.message = last ~= '' and last:gsub('^tinykg: ', '')
      or ('status %d, and nothing in output.txt: is the disk full?'):format(status)
    job.state = jobs_of.is_divergence(job.message) and 'diverged' or 'failed'
  else
    job.state = 'failed'
    job.message = ('killed by signal %d%s'):format(status, status == 9 and
      ': was there enough memory?' or '')
  end
end

--- Reads what running jobs print and sorts out those that have ended.
---@param running Job[] ---@return Job[] running, Job[] finished
local function poll(running)
  local still, finished = {}, {}
  for _, job in ipairs(running) do
    job.process:listen()
    local _, left, line = job.process:progress()
    if left and line ~= job.line then job.whole = clock.now() - job.started + left end
    job.line = line
    local how, status = job.process:ended()
    if how then finish(job, how, status) end
    table.insert(how and finished or still, job)
  end
  return still, finished
end

--- Starts jobs while there is room for them.
local function fill(running, at_once, source, ended)
  while #running < at_once do
    local job = source:next(running)
    if not job then return end
    start(job)
    if job.process then running[#running + 1] = job else ended(job) end
  end
end

--- Runs the jobs of a source (tinykg.sweep.jobs), `at_once` at a time. After Ctrl-C none is
--- started, and those that run save their state and end. A terminal sends Ctrl-C to them too; twice
--- does no harm.
---@return boolean stopped by Ctrl-C
local function run_all(jobs, at_once, show, source)
  local C = require 'tinykg.engine.lib'
  local running, stopped = {}, false
  local function ended(job)
    source:finished(job)
    show.finished(job)
  end
  C.tkg_interrupt_watch(2)
  while true do
    if not stopped and C.tkg_interrupted(0) ~= 0 then
      stopped = true
      for _, job in ipairs(running) do job.process:interrupt() end
    end
    if source.watch then source:watch(running) end
    if not stopped then fill(running, at_once, source, ended) end
    if #running == 0 then break end
    process.wait(running, 0.2)
    local still, finished = poll(running)
    running = still
    for _, job in ipairs(finished) do ended(job) end
    show.update(jobs)
  end
  show.clear()
  return stopped or C.tkg_interrupted(0) ~= 0
end

-- ---- the sweep ----

local LONGEST = 60 -- bytes of recipes in a folder's name

--- A name that only sweeps of the same recipes, grid and settings have: another sweep in the folder
--- would take the place of what --resume reads there. Seeds may be added.
local function default_folder(s, recipes)
  local names = table.concat(tables.map(recipes, function(one) return one.name:lower() end), '+')
  if #names > LONGEST then
    names = ('%d-recipes-%s'):format(#recipes, checksums.of_text(names))
  end
  local grid = s.arguments.grid and options.pairs(s.arguments.grid, '--grid')
  return ('runs/%s-%s-%s-%sbit%s'):format(s.search and 'search' or 'sweep', names,
    output_folder.data_name(s.data), s.bits, output_folder.settings(s.options, grid or {},
                                                                  s.data_options))
end

--- Refuses jobs whose folders have gone further than these settings ask for: what they have would
--- be shown as the result of fewer epochs.
---@param list Job[]
local function check_beyond(s, list)
  for _, job in ipairs(list) do
    local why = jobs_of.beyond(s, job)
    if why then error(why, 0) end
  end
end

local function open_folder(s, loaded)
  local out, a = s.out or default_folder(s, loaded), s.arguments
  if folder.has(out, 'config.json') then
    error(out .. ': holds a run; a sweep needs a folder of its own', 0)
  end
  must(atomic_file.mkdirs(out))
  folder.lock(out) -- until this process ends
  local jobs = s.search and search.jobs(s, loaded[1], out) or jobs_of.all(s, loaded, out)
  local recipes = tables.map(s.recipes, function(path)
    return folder.absolute(recipe_file.locate(path))
  end)
  earlier.check(out, s, jobs, recipes)
  check_beyond(s, jobs)
  folder.write(out, folder.SWEEP, {
    runs = json.array(tables.map(jobs, function(job) return job.name end)),
    recipe = recipes, data = folder.absolute(s.data), set = a.set, data_set = a.data_set,
    grid = a.grid, search = a.search, bits = a.bits, budget = a.budget, rounding = a.rounding,
    seed = a.seed, device = a.device, threads = a.threads, steps = a.steps, jobs = a.jobs,
    sensitivity = a.sensitivity and folder.absolute(a.sensitivity),
    checkpoint = a.checkpoint, check = a.check, tensorboard = a.tensorboard, codes = folder.CODES})
  return out
end

--- Ends a sweep. Raises a message when a job failed, runtime.interrupted after Ctrl-C. Points of a
--- search may diverge.
local function finish_sweep(s, jobs, out, stopped)
  if stopped then terminal.clear_line(2) end -- the ^C
  local failed = summary.count(jobs, 'failed')
    + (s.search and 0 or summary.count(jobs, 'diverged'))
  if stopped then
    io.stderr:write('stopped; to go on: tinykg run --resume --out ', format.quoted(out), '\n')
    error(require('tinykg.engine.runtime').interrupted, 0)
  elseif failed > 0 then
    error(('%d of %s failed; each folder has its output.txt'):format(
      failed, format.count(#jobs, 'run')), 0)
  end
end

--- Runs a sweep. Raises a message when a job failed, runtime.interrupted after Ctrl-C.
---@param s table settings of cli/settings.lua
return function(s)
  local recipes = jobs_of.recipes(s)
  if not require('lfs').attributes(s.data, 'mode') then error(s.data .. ': no such folder', 0) end
  if s.search then search.check(s) end
  local out = open_folder(s, recipes)
  if s.search then
    local jobs, stopped = search.run(s, recipes[1], out, run_all)
    return finish_sweep(s, jobs, out, stopped)
  end
  local jobs = jobs_of.all(s, recipes, out)
  local show = display.new(jobs, s.quiet, s.jobs, s.json)
  local stopped = run_all(jobs, s.jobs, show, jobs_of.in_order(jobs))
  if not s.json then
    print(summary.text(jobs, true))
    local best = best_point.text(jobs)
    if best then print(best) end
    print('sweep folder: ' .. out)
  end
  finish_sweep(s, jobs, out, stopped)
end
