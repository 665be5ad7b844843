--- make bench-gpu: kernels, steps and memory of a GPU, PyTorch's and PyG's steps beside them.
--   TINYKG_DEVICE=cuda tinykg tests/bench/gpu.lua [--quick] BUILD
-- What is asked first comes first, as time may run out: DEADLINE, in seconds since 1970, or 290
-- from now. Each figure is in BUILD/bench-gpu.json as soon as it is known; the table of all,
-- gpu_table.lua's, is printed last and in BUILD/bench-gpu.md. --quick has tiny sizes, to try the
-- program out: TINYKG_DEVICE=emu or cpu will do. Data: sets.lua. Goals: the kernels' README.
local tk = require 'tinykg'
local atomic_file = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'
local measure = require 'tinykg.bench.measure'
local must = require 'tinykg.base.must'
local runtime = require 'tinykg.engine.runtime'
local step_timer = require 'tinykg.bench.step_timer'
local tables = require 'tinykg.base.tables'
local home = os.getenv('TINYKG_HOME') or '.'
package.path = home .. '/?.lua;' .. package.path
local gpu_table = require 'tests.bench.gpu_table'
local pytorch = require 'tests.bench.pytorch'
local sets = require 'tests.bench.sets'

local quick, build, only = false, 'build', nil
for _, word in ipairs(arg) do
  if word == '--quick' then quick = true
  elseif word:match('^%-%-memory=') then only = word:match('=(.*)$')
  else build = word end
end
local DEVICE = os.getenv('TINYKG_DEVICE') or 'cuda'
local FAMILY = DEVICE:match('^%a+')
local DEADLINE = tonumber(os.getenv('DEADLINE')) or os.time() + 290
local BITS = {32, 8, 2}

--- What is measured. options: the recipe's; arguments: of pytorch_RECIPE.py; steps: {name, phase of
--- ours or 'refresh', PyTorch's kind of step}; also: options of one more run at 32 bits.
local SETTINGS = {
  {recipe = 'kgat', set = 'last-fm', arguments = '--no-loops', also = {recompute = false},
   steps = {{'KGAT CF', 1, 'cf'}, {'KGAT KG', 2, 'kg'},
            {'KGAT attention', 'refresh', 'refresh'}},
   quick = {dim = 8, layers = '8,4', batch_size = 16, kg_batch_size = 16},
   quick_arguments = '--dim 8 --layers 8,4 --batch 16 --kg-batch 16'},
  {recipe = 'kgin', set = 'last-fm', arguments = '', steps = {{'KGIN', 1, 'step'}},
   quick = {dim = 8, batch_size = 16}, quick_arguments = '--dim 8 --batch 16'},
  {recipe = 'kgcn', set = 'music', options = {preset = 'book', hops = 3},
   steps = {{'KGCN', 1, 'step'}},
   arguments = '--preset book --hops 3 --l2-form decay --forms plain',
   quick = {dim = 8, neighbors = 2, hops = 2, batch_size = 16},
   quick_arguments = '--dim 8 --neighbors 2 --hops 2 --batch 16 --forms plain'},
}

-- ---- results ----

local all = {device = tk.device(), version = tk.version, quick = quick, records = {}}

local function save()
  must(atomic_file.write(build .. '/bench-gpu.json', json.encode(all) .. '\n'))
  must(atomic_file.write(build .. '/bench-gpu.md', gpu_table(all)))
end

local function note(record)
  table.insert(all.records, record)
  save()
  return record
end

local function heading(text) print(('\n== %s (%d s left)'):format(text, DEADLINE - os.time())) end

--- Whether there are so many seconds left for one more part.
local function time_for(what, seconds)
  if DEADLINE - os.time() >= seconds then return true end
  print('\n' .. what .. ': left out, the time is nearly over')
end

local failed = false -- of our own

local function fail(text)
  failed = true
  print(text)
end

--- The last line of what a command said, but for where that was.
local function last_message()
  local log, last = io.open(build .. '/bench-gpu.log'), 'it said nothing'
  for line in log and log:lines() or function() end do last = line:match('^%S.*') or last end
  if log then log:close() end
  return last
end

--- Runs a command for so many seconds at most; take(record) for each line of JSON, as it comes.
---@return string? why it came to no end
local function records_of(command, most, take)
  local seconds, status = math.max(1, math.min(most, DEADLINE - os.time() - 1)), nil
  local pipe = io.popen(("timeout %d %s 2>'%s/bench-gpu.log'; echo \"exit $?\""):format(
    seconds, command, build))
  for line in pipe:lines() do
    local record = line:match('^{') and json.decode(line)
    if record then take(record) else status = line:match('^exit (%d+)$') or status end
  end
  pipe:close()
  if status == '124' then return ('stopped after %d s'):format(seconds) end
  return status ~= '0' and last_message() or nil
end

-- ---- kernels ----

--- which: 'first' or 'rest' (kernels.cpp).
local function kernels(which, title)
  if FAMILY == 'cpu' then return print('kernels: make bench has those of the CPU backend') end
  heading(title .. ': compulsory bytes a second, share of what a copy moves')
  print(string.format('%-26s %-40s %10s %9s %7s', 'op', 'inputs', 'us', 'GB/s', 'share'))
  local form = "'%s/bench/kernels' '%s/libtinykg.so' '%s/libtinykg_%s.so' %s %s %s"
  local command = form:format(build, build, build, FAMILY, DEVICE, which, quick and 'quick' or '')
  local why = records_of(command, 60, function(k)
    k.part = 'kernel'
    note(k)
    print(string.format('%-26s %-40s %10.1f %9.1f %6.1f%%', k.op, k.shape, k.us, k.gb_s,
                        100 * k.share))
  end)
  if why then fail('kernels: ' .. why) end
end

-- ---- our steps ----

local function data_of(setting) return (sets.find(setting.set, build, quick and sets.TINY)) end

local function trainer(setting, data, bits, more)
  local options = tables.merged(quick and setting.quick or setting.options or {}, more)
  local path = ('%s/recipes/%s.lua'):format(home, setting.recipe)
  local run = step_timer.trainer(path, options, data, bits)
  run.label = bits .. ' bits'
  return run
end

local STEP = '%-16s %-26s %10s %10s %8s %12s %9s'

local function print_step(r)
  print(STEP:format(r.step, r.who .. ', ' .. r.form, ('%.3f'):format(r.min_ms),
                    ('%.3f'):format(r.median_ms), r.replayed or '-',
                    r.kept_bytes and ('%.0f'):format(r.kept_bytes) or '-',
                    r.peak and ('%.1f'):format(r.peak / 2^20) or '-'))
end

--- form: how it ran, where that is not what its label says; such a run is in no table.
local function note_step(name, run, step, form)
  print_step(note{part = 'step', step = name, who = 'tinykg', form = form or run.label,
                  bits = not form and run.bits or nil, min_ms = run.min, median_ms = run.median,
                  replayed = not form and step and step:figure('replayed') or nil,
                  kept_bytes = step and step:figure('stored_bytes'),
                  reference_bytes = step and step:figure('reference_bytes')})
end

--- Times runs in turns, then one of them op by op, without replay.
local function time_phase(name, runs, k)
  local limits = {rounds = quick and 3 or 60, seconds = 6}
  step_timer.time_phase(runs, k, limits)
  for _, run in ipairs(runs) do note_step(name, run, run.phases[k].step) end
  if k > 1 then return end
  tk.replay(false)
  step_timer.time_phase({runs[1]}, k, {rounds = quick and 3 or 20, seconds = 3})
  tk.replay(true)
  note_step(name, runs[1], runs[1].phases[k].step, '32 bits, op by op')
end

local function time_refresh(name, run)
  run.label, run.run = '32 bits', function() tk.no_grad(run.model.begin_epoch, run.model, 2) end
  measure.turns({run}, {rounds = quick and 3 or 20, seconds = 3})
  note_step(name, run)
end

local function own_steps(setting)
  local data, runs = tk.data.load(data_of(setting), {seed = 0}), {}
  for _, bits in ipairs(BITS) do runs[#runs + 1] = trainer(setting, data, bits) end
  if setting.also then
    runs[#runs + 1] = trainer(setting, data, 32, setting.also)
    for key, value in pairs(setting.also) do
      runs[#runs].label = ('32 bits, %s=%s'):format(key, value)
    end
  end
  for _, step in ipairs(setting.steps) do
    if step[2] == 'refresh' then time_refresh(step[1], runs[1])
    else time_phase(step[1], step[2] == 1 and runs or {runs[1]}, step[2]) end
  end
end

-- ---- PyTorch's and PyG's ----

local python, no_python -- looked for when it is first asked for

--- Notes what a program says of a form: its times, or that it lacks a package.
local function note_their(setting, r)
  if r.missing then return print(('%s: skipped: %s'):format(r.form, r.missing)) end
  for _, step in ipairs(setting.steps) do
    if step[3] == r.kind then
      r.part, r.step, r.kind = 'step', step[1], nil
      print_step(note(r))
    end
  end
end

--- Each form of a program's steps; a word where there is none.
local function their_steps(setting, forms, most)
  if not (python or no_python) then python, no_python = pytorch.python{install = false} end
  if no_python then return print('PyTorch: skipped: ' .. no_python) end
  local form = "'%s' -W ignore '%s/tests/bench/pytorch_%s.py' forms --device %s --data '%s' %s %s"
  local came = false
  local why = records_of(form:format(
    python, home, setting.recipe, FAMILY == 'cuda' and 'cuda' or 'cpu', data_of(setting),
    quick and setting.quick_arguments .. ' --steps 2' or setting.arguments, forms or ''), most,
    function(r)
      came = true
      note_their(setting, r)
    end)
  if why == 'no CUDA in this torch' then no_python = why end
  if why then print(('PyTorch: %s: %s'):format(came and 'the rest' or 'skipped', why)) end
end

local function steps(setting)
  if not time_for(setting.recipe, 25) then return end
  heading('steps of ' .. setting.recipe .. ' on ' .. data_of(setting) ..
          ': forward, backward, update, until the loss is on the host')
  print(STEP:format('step', 'by', 'min ms', 'median ms', 'replayed', 'kept bytes', 'peak MiB'))
  local ok, message = pcall(own_steps, setting)
  if not ok then fail(setting.recipe .. ': ' .. tostring(message)) end
  runtime.collect(true)
  if time_for(setting.recipe .. ' in PyTorch', 15) then their_steps(setting, nil, 60) end
end

-- ---- memory ----

--- In a process of its own, so that nothing lies idle in the pool: prints a JSON line.
local function memory_of(recipe, bits)
  local setting = SETTINGS[1]
  for _, s in ipairs(SETTINGS) do setting = s.recipe == recipe and s or setting end
  local data = tk.data.load(data_of(setting), {seed = 0})
  local function first_step(options)
    local run = trainer({recipe = recipe, options = options, quick = options}, data,
                        tonumber(bits))
    return run.phases[1].step, step_timer.batches_of(run.phases[1], run.o)()
  end
  do -- kernels and libraries, loaded by a small step of the same kind
    local step, batch = first_step(setting.quick)
    step(batch)
  end
  runtime.collect(true)
  local step, batch = first_step(not quick and setting.options or setting.quick)
  step:plan(batch)
  require('tinykg.engine.lib').tkg_memory_reset_peak(runtime.engine)
  local before = tk.memory()
  step(batch)
  local after = tk.memory()
  for _ = 1, 3 do step(batch) end -- now a graph
  local replayed = tk.memory()
  print(json.encode{planned = step:figure('arena_bytes'),
                    taken = before.device.free - after.device.free,
                    taken_replayed = before.device.free - replayed.device.free,
                    peak = after.device.peak, counted = after.peak.total})
end

local MEMORY = '%-10s %5s %14s %14s %8s %14s %14s %14s'

local function memory()
  if not tk.memory().device then return print('\nmemory: the CPU backend does not count') end
  heading('memory of a step, bytes: planned; taken by cudaMemGetInfo, and once it is replayed; ' ..
          'peak of the pool; all that tinykg counts')
  print(MEMORY:format('step', 'bits', 'planned', 'taken', 'ratio', 'replayed', 'peak', 'counted'))
  for _, bits in ipairs{2, 32} do
    for _, setting in ipairs(SETTINGS) do
      if not time_for('memory', 10) then return end
      local why = records_of(("'%s/tinykg' '%s/tests/bench/gpu.lua' %s --memory=%s,%d '%s'"):format(
        home, home, quick and '--quick' or '', setting.recipe, bits, build), 30, function(m)
        m.part, m.step, m.bits = 'memory', setting.steps[1][1], bits
        note(m)
        print(MEMORY:format(m.step, bits, ('%.0f'):format(m.planned), ('%.0f'):format(m.taken),
                            ('%.3f'):format(m.taken / m.planned), ('%.0f'):format(m.taken_replayed),
                            ('%.0f'):format(m.peak), ('%.0f'):format(m.counted)))
      end)
      if why then return fail('memory: ' .. why) end
    end
  end
end

-- ---- all of it ----

if only then return memory_of(only:match('^(.-),(%d+)$')) end
if FAMILY == 'cuda' then
  local pipe = io.popen 'nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null'
  all.gpu = pipe:read('*l')
  pipe:close()
end
print(('%s, tinykg %s%s'):format(all.device, all.version, all.gpu and ', ' .. all.gpu or ''))
save()
kernels('first', 'copies and sums over edges')
for _, setting in ipairs(SETTINGS) do steps(setting) end
memory()
if time_for('the other kernels', 15) then kernels('rest', 'the other kernels') end
if FAMILY == 'cuda' and not no_python and time_for('KGCN compiled', 30) then
  heading('KGCN through torch.compile')
  their_steps(SETTINGS[3], '--forms compiled', 90)
end
print(('\n== all, also in %s/bench-gpu.md; %s/bench-gpu.json has each figure'):format(build, build))
io.write(gpu_table(all))
os.exit(failed and 1 or 0, true)
