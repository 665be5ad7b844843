--- A batch: several recipes, seeds and grid points, each trained by a process of its own in a
--- folder of its own. One that crashes or diverges takes no other along. A second start does what
--- is left: finished members stay, interrupted ones go on, failed ones are tried again.
local atomic_file = require 'tinykg.base.atomic_file'
local clock = require 'tinykg.base.clock'
local display = require 'tinykg.sweep.display'
local format = require 'tinykg.base.format'
local folder = require 'tinykg.run.folder'
local must = require 'tinykg.base.must'
local options = require 'tinykg.cli.options'
local output_folder = require 'tinykg.run.output_folder'
local process = require 'tinykg.sweep.process'
local recipe_file = require 'tinykg.train.recipe_file'
local resume = require 'tinykg.run.resume'
local summary = require 'tinykg.sweep.summary'
local format_options = require 'tinykg.run.format_options'

---@class Member
---@field name string also of its folder, below the batch's
---@field group string the same for members that differ by seed only
---@field path string its folder
---@field argv string[] the command
---@field state string waiting, running, done, before (was done), failed, diverged, stopped
---@field message string? why it failed

-- ---- members ----

--- The recipes of the batch, their options checked at every point of the grid. The engine of this
--- process trains nothing and leaves a GPU to the members.
local function load_recipes(s)
  local stdlib = require 'posix.stdlib'
  local device = os.getenv('TINYKG_DEVICE')
  stdlib.setenv('TINYKG_DEVICE', 'cpu')
  local list = {}
  for i, path in ipairs(s.recipes) do
    local recipe = recipe_file.load(path)
    for _, point in ipairs(s.grid) do
      local given = {}
      for _, values in ipairs{s.options, point.options} do
        for key, value in pairs(values) do given[key] = value end
      end
      local ok, message = pcall(recipe.complete, recipe, given)
      if not ok then error({usage = tostring(message)}, 0) end
    end
    list[i] = {name = recipe.name, path = recipe_file.locate(path)}
  end
  stdlib.setenv('TINYKG_DEVICE', device)
  return list
end

--- Threads of a member: all cores, shared by those that run at a time.
local function threads_of(s)
  if s.threads > 0 or s.jobs == 1 then return s.threads end
  return math.max(1, math.floor(require('tinykg').threads() / s.jobs))
end

local function command_of(s, recipe, point, seed, path)
  local argv = {arg[-1] or 'luajit', arg[0], 'run', recipe.path, '--member', '--data', s.data,
                '--out', path, '--seed', ('%.0f'):format(seed), '--device', s.device,
                '--bits', tostring(point.bits or s.bits),
                '--rounding', point.rounding or s.rounding, '--threads', tostring(threads_of(s))}
  local function add(...)
    for _, word in ipairs{...} do argv[#argv + 1] = word end
  end
  for _, item in ipairs(format_options(s.options)) do add('--set', item) end
  for _, item in ipairs(format_options(point.options)) do add('--set', item) end
  for _, item in ipairs(format_options(s.data_options)) do add('--data-set', item) end
  if s.budget then add('--budget', ('%.0f'):format(s.budget)) end
  if s.steps then add('--steps', tostring(s.steps)) end
  if s.checkpoint then add('--checkpoint', tostring(s.checkpoint / 60)) end
  for _, flag in ipairs{'report', 'tensorboard', 'check', 'force'} do
    if s[flag] then add('--' .. flag) end
  end
  return argv
end

local function members_of(s, recipes, out)
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

local function start(member)
  local ok, message = atomic_file.mkdirs(member.path)
  if ok then
    member.process, message = process.start(member.argv, member.path .. '/output.txt')
  end
  member.started = clock.now()
  if not member.process then
    member.state, member.message = 'failed', message
    return
  end
  member.state = 'running'
end

--- What became of a member whose process is over.
local function finish(member, how, status)
  member.process, member.seconds = nil, clock.now() - member.started
  local said, last = folder.said(member.path)
  if how == 'exited' and status == 0 then
    member.state = said:find('^finished before') and 'before' or 'done'
    member.summary = folder.read(member.path, 'summary.json')
  elseif how == 'exited' and (status == 130 or status == 143) then
    member.state = 'stopped'
  elseif how == 'exited' then
    member.message = last:gsub('^tinykg: ', '') -- the message it left with
    local diverged = member.message:find('try a smaller lr', 1, true)
      or member.message:find(': NaN at %[') or member.message:find(': %-?infinity at %[') -- --check
    member.state = diverged and 'diverged' or 'failed'
  else
    member.state = 'failed'
    member.message = ('killed by signal %d%s'):format(status, status == 9 and
      ': was there enough memory?' or '')
  end
end

--- Looks after those that run. ---@return Member[] running, Member[] finished just now
local function look_after(running)
  local still, finished = {}, {}
  for _, member in ipairs(running) do
    member.process:listen()
    member.line = member.process.line
    local how, status = member.process:ended()
    if how then
      finish(member, how, status)
      finished[#finished + 1] = member
    else
      still[#still + 1] = member
    end
  end
  return still, finished
end

local function processes_of(running)
  local list = {}
  for i, member in ipairs(running) do list[i] = member.process end
  return list
end

--- Passes Ctrl-C on, for members that have not heard it themselves. Hearing it twice is no matter.
local function interrupt(running)
  for _, member in ipairs(running) do member.process:interrupt() end
end

--- Runs all, `jobs` at a time. After Ctrl-C none is started, and those that run save and end.
local function run_all(members, jobs, show)
  local C = require 'tinykg.engine.lib'
  local running, at, stopped = {}, 1, false
  C.tkg_interrupt_watch(2)
  while true do
    if not stopped and C.tkg_interrupted(0) ~= 0 then
      stopped = true
      interrupt(running)
    end
    while not stopped and #running < jobs and at <= #members do
      start(members[at])
      if members[at].process then running[#running + 1] = members[at]
      else show.finished(members[at]) end
      at = at + 1
    end
    if #running == 0 then break end
    process.sleep(processes_of(running), 0.2)
    local still, finished = look_after(running)
    for _, member in ipairs(finished) do show.finished(member) end
    running = still
    show.update(members)
  end
  show.clear()
  return stopped
end

-- ---- the batch ----

local function default_folder(s)
  return ('runs/batch-%s-%sbit%s'):format(output_folder.data_name(s.data), s.bits,
                                          output_folder.settings(s.options, s.data_options))
end

--- The settings of a batch that its members have in common.
local function common_of(a)
  return {data = folder.absolute(a.data), options = options.pairs(a.set, '--set'),
          data_options = options.pairs(a.data_set, '--data-set'),
          bits = a.bits or '32', rounding = a.rounding or 'dither', steps = a.steps}
end

--- Refuses a folder of a batch with other settings: its members would not be these.
local function check_batch(out, s)
  local was = folder.read(out, 'batch.json')
  if not was or s.force or s.resume then return end
  local why = resume.difference(common_of(was), common_of(s.arguments))
  if not why then return end
  error(('%s: holds a batch with other settings: %s: name another --out, or --force moves what its '
           .. 'members have to previous/'):format(out, why), 0)
end

local function open_folder(s)
  local out, a = s.out or default_folder(s), s.arguments
  if folder.has(out, 'config.json') then
    error(out .. ': holds a run; a batch needs a folder of its own', 0)
  end
  must(atomic_file.mkdirs(out))
  folder.lock(out) -- until this process ends
  check_batch(out, s)
  local recipes = {}
  for i, path in ipairs(s.recipes) do recipes[i] = folder.absolute(recipe_file.locate(path)) end
  folder.write(out, 'batch.json', {
    recipe = recipes, data = folder.absolute(s.data), set = a.set, data_set = a.data_set,
    grid = a.grid, bits = a.bits, budget = a.budget, rounding = a.rounding, seed = a.seed,
    device = a.device, threads = a.threads, steps = a.steps, jobs = a.jobs,
    checkpoint = a.checkpoint, check = a.check, tensorboard = a.tensorboard})
  return out
end

--- Runs a batch. Leaves with status 1 when a member failed, 130 after Ctrl-C.
---@param s table settings of cli/settings.lua
return function(s)
  local recipes = load_recipes(s)
  local lfs = require 'lfs'
  if not lfs.attributes(s.data, 'mode') then error(s.data .. ': no such folder', 0) end
  local out = open_folder(s)
  local members = members_of(s, recipes, out)
  local stopped = run_all(members, s.jobs, display.new(members, s.quiet))
  print(summary.text(members))
  print('batch folder: ' .. out)
  local failed = summary.count(members, 'failed') + summary.count(members, 'diverged')
  if stopped then
    io.stderr:write('stopped; to go on: tinykg run --resume --out ', out, '\n')
    error(require('tinykg.engine.runtime').interrupted, 0)
  elseif failed > 0 then
    error(('%d of %s failed; each folder has its output.txt'):format(
      failed, format.count(#members, 'run')), 0)
  end
end
