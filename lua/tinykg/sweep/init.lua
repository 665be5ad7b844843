--- A sweep: several recipes, seeds and grid points. Each is a job, trained by a process of its own
--- in a folder of its own, so that one that crashes or diverges stops no other. Started again, a
--- sweep does what is left: finished jobs stay, interrupted ones go on, failed ones start anew.
local atomic_file = require 'tinykg.base.atomic_file'
local best_point = require 'tinykg.sweep.best_point'
local clock = require 'tinykg.base.clock'
local tables = require 'tinykg.base.tables'
local display = require 'tinykg.sweep.display'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local format_options = require 'tinykg.run.format_options'
local must = require 'tinykg.base.must'
local options = require 'tinykg.cli.options'
local output_folder = require 'tinykg.run.output_folder'
local posix = require 'tinykg.base.posix'
local process = require 'tinykg.sweep.process'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local summary = require 'tinykg.sweep.summary'
local terminal = require 'tinykg.base.terminal'

---@class Job
---@field name string of the job and of its folder, which is in the sweep's
---@field group string the same for jobs that differ by seed only
---@field path string its folder
---@field argv string[] the command
---@field state string waiting, running, done, before (finished earlier), failed, diverged, stopped
---@field message string? why it failed

-- ---- jobs ----

--- Loads the recipes and checks their options at each point of the grid. This process trains
--- nothing, so its engine is on the CPU, and a GPU is left to the jobs.
local function load_recipes(s)
  local device = os.getenv('TINYKG_DEVICE')
  posix.setenv('TINYKG_DEVICE', 'cpu')
  local list = {}
  for i, path in ipairs(s.recipes) do
    local recipe = recipe_file.load(path)
    for _, point in ipairs(s.grid) do
      options.usage_of(recipe.complete, recipe, tables.merged(s.options, point.options))
    end
    list[i] = {name = recipe.name, path = recipe_file.locate(path)}
  end
  posix.setenv('TINYKG_DEVICE', device)
  return list
end

--- Threads per job: jobs that run at the same time share the cores.
local function threads_of(s)
  if s.threads > 0 or s.jobs == 1 then return s.threads end
  return math.max(1, math.floor(require('tinykg').threads() / s.jobs))
end

local function command_of(s, recipe, point, seed, path)
  local argv = {arg[-1] or 'luajit', arg[0], 'run', recipe.path, '--of-sweep', '--data', s.data,
                '--out', path, '--seed', ('%.0f'):format(seed), '--device', s.device,
                '--bits', tostring(point.bits or s.bits),
                '--rounding', point.rounding or s.rounding, '--threads', tostring(threads_of(s))}
  local function add(...) tables.append(argv, {...}) end
  for _, item in ipairs(format_options(s.options)) do add('--set', item) end
  for _, item in ipairs(format_options(point.options)) do add('--set', item) end
  for _, item in ipairs(format_options(s.data_options)) do add('--data-set', item) end
  if s.budget then add('--budget', ('%.0fB'):format(s.budget)) end
  if s.steps then add('--steps', tostring(s.steps)) end
  if s.checkpoint then add('--checkpoint', tostring(s.checkpoint / 60)) end
  for _, flag in ipairs{'report', 'tensorboard', 'check', 'force'} do
    if s[flag] then add('--' .. flag) end
  end
  return argv
end

local function jobs_of(s, recipes, out)
  local list, used = {}, {}
  for _, recipe in ipairs(recipes) do
    for _, point in ipairs(s.grid) do
      local group = recipe.name .. point.label:gsub('/', '_')
      used[group] = (used[group] or 0) + 1
      if used[group] > 1 then group = group .. '-' .. used[group] end -- two recipes of one name
      for _, seed in ipairs(s.seeds) do
        local name = ('%s-seed%.0f'):format(group, seed)
        list[#list + 1] = {name = name, group = group, path = out .. '/' .. name, state = 'waiting',
                           argv = command_of(s, recipe, point, seed, out .. '/' .. name)}
      end
    end
  end
  return list
end

-- ---- running them ----

local function start(job)
  local ok, message = atomic_file.mkdirs(job.path)
  if ok then
    job.process, message = process.start(job.argv, job.path .. '/output.txt')
  end
  job.started = clock.now()
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
    job.message = last:gsub('^tinykg: ', '')
    local diverged = job.message:find('try a smaller lr', 1, true)
      or job.message:find(': NaN at %[') or job.message:find(': %-?infinity at %[') -- --check
    job.state = diverged and 'diverged' or 'failed'
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
    job.share, job.left, job.line = job.process:progress()
    local how, status = job.process:ended()
    if how then finish(job, how, status) end
    table.insert(how and finished or still, job)
  end
  return still, finished
end

--- Runs all jobs, `at_once` at a time. After Ctrl-C none is started, and those that run save their
--- state and end. A terminal sends Ctrl-C to them too; twice does no harm.
---@return boolean stopped by Ctrl-C
local function run_all(jobs, at_once, show)
  local C = require 'tinykg.engine.lib'
  local running, at, stopped = {}, 1, false
  C.tkg_interrupt_watch(2)
  while true do
    if not stopped and C.tkg_interrupted(0) ~= 0 then
      stopped = true
      for _, job in ipairs(running) do job.process:interrupt() end
    end
    while not stopped and #running < at_once and at <= #jobs do
      start(jobs[at])
      if jobs[at].process then running[#running + 1] = jobs[at]
      else show.finished(jobs[at]) end
      at = at + 1
    end
    if #running == 0 then break end
    process.wait(running, 0.2)
    local still, finished = poll(running)
    running = still
    for _, job in ipairs(finished) do show.finished(job) end
    show.update(jobs)
  end
  show.clear()
  return stopped
end

-- ---- the sweep ----

local function default_folder(s)
  return ('runs/sweep-%s-%sbit%s'):format(output_folder.data_name(s.data), s.bits,
                                          output_folder.settings(s.options, s.data_options))
end

--- The settings that all jobs of a sweep have.
local function common_of(a)
  return {data = folder.absolute(a.data), options = options.pairs(a.set, '--set'),
          data_options = options.pairs(a.data_set, '--data-set'),
          bits = a.bits or a.budget and 'auto' or '32', steps = a.steps,
          rounding = (a.bits or a.budget) and a.bits ~= '32' and (a.rounding or 'dither') or nil}
end

--- Refuses a folder whose sweep has other settings: its finished jobs are not jobs of this one.
local function check_sweep(out, s)
  local was = folder.read(out, folder.SWEEP)
  if not was or s.force or s.resume then return end
  local why = resume.difference(common_of(was), common_of(s.arguments))
  if not why then return end
  error(('%s: holds a sweep with other settings: %s: name another --out, or --force moves what its '
           .. 'jobs have to previous/'):format(out, why), 0)
end

local function open_folder(s)
  local out, a = s.out or default_folder(s), s.arguments
  if folder.has(out, 'config.json') then
    error(out .. ': holds a run; a sweep needs a folder of its own', 0)
  end
  must(atomic_file.mkdirs(out))
  folder.lock(out) -- until this process ends
  check_sweep(out, s)
  local recipes = tables.map(s.recipes, function(path)
    return folder.absolute(recipe_file.locate(path))
  end)
  folder.write(out, folder.SWEEP, {
    recipe = recipes, data = folder.absolute(s.data), set = a.set, data_set = a.data_set,
    grid = a.grid, bits = a.bits, budget = a.budget, rounding = a.rounding, seed = a.seed,
    device = a.device, threads = a.threads, steps = a.steps, jobs = a.jobs,
    checkpoint = a.checkpoint, check = a.check, tensorboard = a.tensorboard, codes = folder.CODES})
  return out
end

--- Runs a sweep. Raises a message when a job failed, runtime.interrupted after Ctrl-C.
---@param s table settings of cli/settings.lua
return function(s)
  local recipes = load_recipes(s)
  if not require('lfs').attributes(s.data, 'mode') then error(s.data .. ': no such folder', 0) end
  local out = open_folder(s)
  local jobs = jobs_of(s, recipes, out)
  local stopped = run_all(jobs, s.jobs, display.new(jobs, s.quiet, s.jobs, s.json))
  if stopped then terminal.clear_line(2) end -- the ^C
  if not s.json then
    print(summary.text(jobs, true))
    local best = best_point(jobs)
    if best then print(best) end
    print('sweep folder: ' .. out)
  end
  local failed = summary.count(jobs, 'failed') + summary.count(jobs, 'diverged')
  if stopped then
    io.stderr:write('stopped; to go on: tinykg run --resume --out ', out, '\n')
    error(require('tinykg.engine.runtime').interrupted, 0)
  elseif failed > 0 then
    error(('%d of %s failed; each folder has its output.txt'):format(
      failed, format.count(#jobs, 'run')), 0)
  end
end
