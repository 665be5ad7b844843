--- make bench-gpu: kernels, steps and memory of a GPU, and PyTorch's step beside them.
--   TINYKG_DEVICE=cuda tinykg tests/bench/gpu.lua [--quick] BUILD
-- Prints tables, then everything again as JSON lines, which BUILD/bench-gpu.json has as well: what
-- is asked first comes first, as time may run out. --quick has tiny sizes, to try the program
-- out: TINYKG_DEVICE=emu or cpu will do. Goals are those of the kernels' README.
local lfs = require 'lfs'
local tk = require 'tinykg'
local atomic_file = require 'tinykg.base.atomic_file'
local clock = require 'tinykg.base.clock'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'

local quick, build, only = false, 'build', nil
for _, word in ipairs(arg) do
  if word == '--quick' then quick = true
  elseif word:match('^%-%-memory=') then only = tonumber(word:match('=(%d+)$'))
  else build = word end
end
local DEVICE = os.getenv('TINYKG_DEVICE') or 'cuda'
local home = os.getenv('TINYKG_HOME') or '.'
local step_timer = require 'tinykg.bench.step_timer'
local lines = {}
local started = clock.now()
local LIMIT = 250 -- seconds: what comes late is left out

local function note(record)
  lines[#lines + 1] = json.encode(record)
  return record
end

local function heading(text) print('\n== ' .. text) end

--- Whether there is time for one more part.
local function time_for(what)
  if clock.now() - started < LIMIT then return true end
  print(what .. ': left out, five minutes are nearly over')
end

local function command(text)
  local pipe = io.popen(text .. ' 2>&1')
  local out = pipe:read('*a')
  pipe:close()
  return out
end

-- ---- kernels ----

local function kernels()
  local family = DEVICE:match('^%a+')
  if family == 'cpu' then return print('kernels: make bench has those of the CPU backend') end
  heading('kernels: compulsory bytes a second, share of what a copy moves')
  print(string.format('%-26s %-40s %10s %9s %7s', 'op', 'inputs', 'us', 'GB/s', 'share'))
  local pipe = io.popen(string.format(
    "timeout 90 '%s/bench/kernels' '%s/libtinykg.so' '%s/libtinykg_%s.so' %s%s",
    build, build, build, family, DEVICE, quick and ' quick' or ''))
  for line in pipe:lines() do
    local ok, k = pcall(json.decode, line)
    if ok then
      lines[#lines + 1] = line
      print(string.format('%-26s %-40s %10.1f %9.1f %6.1f%%', k.op, k.shape, k.us, k.gb_s,
                          100 * k.share))
    else print(line) end
  end
  pipe:close()
end

-- ---- steps ----

--- A folder of data: the real set where there is one, else a made one.
local function data_dir(name)
  local real = (os.getenv('TINYKG_DATA') or home .. '/../shared/data') .. '/' .. name
  if not quick and lfs.attributes(real, 'mode') then return real end
  local made = build .. (quick and '/bench-data-quick' or '/bench-data')
  if not lfs.attributes(made, 'mode') then
    require('tinykg.data.demo').write(made, quick and {users = 60, items = 60}
                                      or {users = 5000, items = 2000})
  end
  return made
end

local KGCN = {name = 'KGCN, book, 3 hops', recipe = 'kgcn', data = 'kgcn-music',
              options = quick and {dim = 8, neighbors = 2, hops = 2, batch_size = 16}
                or {preset = 'book', hops = 3}}
local SETTINGS = {
  {name = 'KGAT', recipe = 'kgat', data = 'kgat-last-fm',
   options = quick and {dim = 8, batch_size = 16, kg_batch_size = 16} or {}},
  {name = 'KGIN', recipe = 'kgin', data = 'kgat-last-fm',
   options = quick and {dim = 8, batch_size = 16} or {}},
  KGCN,
}
local BITS = {32, 8, 2}

local function trainer(setting, data, bits)
  return step_timer.trainer(home .. '/recipes/' .. setting.recipe .. '.lua', setting.options, data,
                            bits)
end

local STEP = '%-34s %5s %10s %10s %8s %10s %14s'

local function print_steps(name, runs, k)
  local first = runs[1].median
  for _, run in ipairs(runs) do
    local step = run.phases[k].step
    local r = note{step = name .. (run.suffix or ''), bits = run.bits, device = DEVICE,
                   median_ms = run.median, min_ms = run.min, ratio = run.median / first,
                   replayed = step:figure('replayed'),
                   kept_bytes = step:figure('stored_bytes'),
                   reference_bytes = step:figure('reference_bytes')}
    print(STEP:format(r.step, r.bits, ('%.3f'):format(r.median_ms), ('%.3f'):format(r.min_ms),
                      ('%.3f'):format(r.ratio), r.replayed, ('%.0f'):format(r.kept_bytes)))
  end
  return first
end

--- Times a recipe; returns the median of its first phase at 32 bits.
local function step_times(setting, dir)
  local data, runs, first = tk.data.load(dir, {seed = 0}), {}, nil
  for _, bits in ipairs(BITS) do runs[#runs + 1] = trainer(setting, data, bits) end
  local by_op = trainer(setting, data, 32)
  by_op.suffix = ', op by op'
  print(STEP:format('step', 'bits', 'median ms', 'min ms', 'x 32', 'replayed', 'kept bytes'))
  for k, phase in ipairs(runs[1].phases) do
    step_timer.time_phase(runs, k, {rounds = quick and 3 or 60})
    tk.replay(false)
    step_timer.time_phase({by_op}, k, {rounds = quick and 3 or 20})
    tk.replay(true)
    runs[#BITS + 1] = by_op
    local median_32 = print_steps(setting.name .. (phase.label ~= '' and ', ' .. phase.name or ''),
                                  runs, k)
    first, runs[#BITS + 1] = first or median_32, nil
  end
  return first
end

local function all_steps()
  local kgcn
  for _, setting in ipairs(SETTINGS) do
    if lfs.attributes(home .. '/recipes/' .. setting.recipe .. '.lua', 'mode') and
       time_for(setting.name) then
      local dir = data_dir(setting.data)
      heading('steps of ' .. setting.name .. ' on ' .. dir .. ': forward, backward, update')
      local ok, result = pcall(step_times, setting, dir)
      if not ok then print(setting.name .. ': ' .. tostring(result))
      elseif setting == KGCN then kgcn = result end
    end
  end
  return kgcn
end

-- ---- memory ----

--- In a process of its own, so that nothing lies idle in the pool: prints a JSON line.
local function memory_of(bits)
  local setting = KGCN
  local data = tk.data.load(data_dir(setting.data), {seed = 0})
  if not tk.memory().device then return print('{}') end
  -- kernels and libraries, loaded by a small step of the same kind
  local small = {recipe = 'kgcn', options = {dim = 8, hops = 3, neighbors = 2}}
  trainer(small, data, bits).phases[1].step{
    users = tk.ids{0, 1}, items = tk.ids{0, 1}, labels = tk.tensor{0, 1}}
  collectgarbage()
  collectgarbage()
  local step = trainer(setting, data, bits).phases[1].step
  local size = quick and 16 or 2048
  local users, labels = {}, {}
  for i = 1, size do users[i], labels[i] = i % 50, i % 2 end
  local batch = {users = tk.ids(users), items = tk.ids(users), labels = tk.tensor(labels)}
  step:plan(batch)
  require('tinykg.engine.lib').tkg_memory_reset_peak(require('tinykg.engine.runtime').engine)
  local before = tk.memory()
  step(batch)
  local after = tk.memory()
  for _ = 1, 3 do step(batch) end -- now a graph
  local replayed = tk.memory()
  print(json.encode{memory = setting.name, batch = size, bits = bits,
                    planned = step:figure('arena_bytes'),
                    taken = before.device.free - after.device.free,
                    taken_replayed = before.device.free - replayed.device.free,
                    peak = after.device.peak, counted = after.peak.total})
end

local function memory()
  if not tk.memory().device then return print('\nmemory: the CPU backend does not count') end
  heading('memory of a step, bytes: planned; taken by cudaMemGetInfo, and once it is replayed; ' ..
          'peak of the pool, and as counted')
  print(string.format('%5s %14s %14s %8s %14s %14s %14s', 'bits', 'planned', 'taken', 'ratio',
                      'replayed', 'peak', 'counted'))
  for _, bits in ipairs(BITS) do
    if not time_for('memory') then return end
    local text = command(string.format(
      "'%s/tinykg' '%s/tests/bench/gpu.lua' %s --memory=%d '%s'", home, home,
      quick and '--quick' or '', bits, build))
    local ok, m = pcall(json.decode, text)
    if not ok or not m.planned then print(text) return end
    note(m)
    print(string.format('%5d %14.0f %14.0f %8.3f %14.0f %14.0f %14.0f', bits, m.planned, m.taken,
                        m.taken / m.planned, m.taken_replayed, m.peak, m.counted))
  end
end

-- ---- PyTorch ----

local function pytorch(ours)
  local python = os.getenv('PYTHON') or 'python3'
  local where = DEVICE:match('^cuda') and 'cuda' or 'cpu'
  local has = command(python .. ' -c "import torch; print(torch.cuda.is_available())"')
  if not (has:match('^True') or where == 'cpu' and has:match('^False')) then
    return print('\nPyTorch: ' .. python .. ' has no torch for ' .. where)
  end
  if not time_for('PyTorch') then return end
  heading('the same step of KGCN in PyTorch on ' .. where)
  local options = quick and '--dim 8 --neighbors 2 --hops 2 --batch 16 --steps 3 --warmup 1'
    or '--preset book --hops 3 --steps 100'
  for _, form in ipairs{'', ' --compile'} do
    local text = command(string.format(
      "timeout 60 %s '%s/tests/bench/pytorch_kgcn.py' step --l2-form decay %s --device %s " ..
      "--data '%s'%s", python, home, options, where, data_dir(KGCN.data), form))
    local min, middle = text:match('min ([%d.]+) ms  median ([%d.]+) ms')
    if min then
      note{pytorch = 'KGCN, book, 3 hops' .. form, device = where, min_ms = tonumber(min),
           median_ms = tonumber(middle), ours_ms = ours}
      print(string.format('eager%-12s median %s ms, min %s ms: %.1f times ours', form, middle, min,
                          tonumber(middle) / (ours or 0 / 0)))
    else print('PyTorch' .. form .. ': ' .. (text:match('[^\n]*\n*$') or '')) end
    if quick then break end
  end
end

-- ---- all of it ----

if only then return memory_of(only) end
local gpu = DEVICE:match('^cuda') and command('nvidia-smi --query-gpu=name --format=csv,noheader')
print(string.format('%s, tinykg %s%s', tk.device(), tk.version,
                    gpu and ', ' .. gpu:gsub('%s+$', '') or ''))
kernels()
local ours = all_steps()
memory()
pytorch(ours)
print('\n== as JSON lines, in ' .. build .. '/bench-gpu.json')
print(table.concat(lines, '\n'))
must(atomic_file.write(build .. '/bench-gpu.json', table.concat(lines, '\n') .. '\n'))
