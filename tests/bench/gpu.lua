--- make bench-gpu: kernels, steps and memory of a GPU, and PyTorch's step beside them.
--   TINYKG_DEVICE=cuda tinykg tests/bench/gpu.lua [--quick] BUILD
-- Prints tables, then everything again as JSON lines. --quick has tiny sizes, to try the program
-- out: TINYKG_DEVICE=emu or cpu will do. Goals are those of the kernels' README.
local lfs = require 'lfs'
local tk = require 'tinykg'
local clock = require 'tinykg.clock'
local feed = require 'tinykg.feed'
local json = require 'tinykg.json'

local quick, build, only = false, 'build', nil
for _, word in ipairs(arg) do
  if word == '--quick' then quick = true
  elseif word:match('^%-%-memory=') then only = tonumber(word:match('=(%d+)$'))
  else build = word end
end
local DEVICE = os.getenv('TINYKG_DEVICE') or 'cuda'
local home = os.getenv('TINYKG_HOME') or '.'
local lines = {}
local started = clock.now()
local LIMIT = 440 -- seconds: what comes late is left out

local function note(record)
  lines[#lines + 1] = json.encode(record)
  return record
end

local function heading(text) print('\n== ' .. text) end

--- Whether there is time for one more part.
local function time_for(what)
  if clock.now() - started < LIMIT then return true end
  print(what .. ': left out, eight minutes are nearly over')
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
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
  if family == 'cpu' then return print('kernels: none on the CPU backend (make bench has its own)') end
  heading('kernels: compulsory bytes a second, share of what a copy moves')
  print(string.format('%-26s %-40s %10s %9s %7s', 'op', 'inputs', 'us', 'GB/s', 'share'))
  local pipe = io.popen(string.format(
    "timeout 200 '%s/bench/kernels' '%s/libtinykg.so' '%s/libtinykg_%s.so' %s%s",
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

--- The folder of data: the real set where there is one, else a made one.
local function data_dir()
  local real = (os.getenv('TINYKG_DATA') or home .. '/../shared/data') .. '/kgcn-music'
  if not quick and lfs.attributes(real, 'mode') then return real end
  local made = build .. (quick and '/bench-data-quick' or '/bench-data')
  if not lfs.attributes(made, 'mode') then
    require('tinykg.data.demo').write(made, quick and {users = 60, items = 60}
                                      or {users = 5000, items = 2000})
  end
  return made
end

local dir = data_dir()

local SETTINGS = {
  {name = 'KGCN, book, 3 hops', recipe = 'kgcn',
   options = quick and {dim = 8, neighbors = 2, hops = 2, batch_size = 16}
     or {preset = 'book', hops = 3}},
  {name = 'KGAT', recipe = 'kgat', options = quick and {dim = 8, batch_size = 16} or {}},
}

--- A recipe's model and its step at so many bits, or nil and why not.
local function stepper(setting, data, bits)
  local recipe = dofile(home .. '/recipes/' .. setting.recipe .. '.lua')
  local o = recipe:complete(setting.options)
  tk.seed(0)
  local model = recipe.build(data, o):train()
  local optimizer = tk.optim.adam{lr = o.lr, weight_decay = o.l2}
  local step = tk.step(function(batch) return model:loss(batch) end,
                       {optimizer = optimizer, bits = bits})
  return {bits = bits, step = step, o = o, times = {}}
end

--- Median milliseconds of some steps. A step ends when its loss is on the host.
local function time_steps(runs, data, steps)
  local o, n, warm = runs[1].o, 0, 3 * #runs
  local sampler = data.task ~= 'ctr' and feed.sampler(data, o.negatives or 1) or nil
  while n < warm + steps * #runs do
    for batch in feed.batches(data.train, {size = o.batch_size, drop_last = true, seed = 1,
                                           epoch = n}, sampler) do
      local run = runs[n % #runs + 1] -- in turns: a busy machine slows all alike
      local from = clock.now()
      run.step(batch)
      if n >= warm then run.times[#run.times + 1] = 1000 * (clock.now() - from) end
      n = n + 1
      if n == warm + steps * #runs then break end
    end
  end
end

local function step_times(setting, data)
  local runs = {}
  for _, bits in ipairs{32, 8, 4, 2, 1} do runs[#runs + 1] = stepper(setting, data, bits) end
  time_steps(runs, data, quick and 3 or 60)
  tk.replay(false)
  local by_op = {stepper(setting, data, 32)}
  time_steps(by_op, data, quick and 3 or 20)
  tk.replay(true)
  print(string.format('%-30s %5s %10s %10s %8s %10s %14s', 'step', 'bits', 'median ms', 'min ms',
                      'x 32', 'replayed', 'kept bytes'))
  local first = median(runs[1].times)
  by_op[1].name = ', op by op'
  runs[#runs + 1] = by_op[1]
  for _, run in ipairs(runs) do
    local r = note{step = setting.name .. (run.name or ''), bits = run.bits,
                   median_ms = median(run.times), min_ms = run.times[1],
                   ratio = median(run.times) / first, replayed = run.step:figure('replayed'),
                   kept_bytes = run.step:figure('stored_bytes'),
                   reference_bytes = run.step:figure('reference_bytes'), device = DEVICE}
    print(string.format('%-30s %5d %10.3f %10.3f %8.3f %10d %14d', r.step, r.bits, r.median_ms,
                        r.min_ms, r.ratio, r.replayed, r.kept_bytes))
  end
  return first
end

local function all_steps()
  local data, kgcn = tk.data.load(dir, {seed = 0}), nil
  for _, setting in ipairs(SETTINGS) do
    if lfs.attributes(home .. '/recipes/' .. setting.recipe .. '.lua', 'mode') and
       time_for(setting.name) then
      heading('steps of ' .. setting.name .. ' on ' .. dir .. ', forward + backward + Adam')
      local ok, result = pcall(step_times, setting, data)
      if ok then kgcn = kgcn or result else print(setting.name .. ': ' .. tostring(result)) end
    end
  end
  return kgcn
end

-- ---- memory ----

--- In a process of its own, so that nothing lies idle in the pool: prints a JSON line.
local function memory_of(bits)
  local data = tk.data.load(dir, {seed = 0})
  local setting = SETTINGS[1]
  if not tk.memory().device then return print('{}') end
  -- kernels and libraries, loaded by a small step of the same kind
  stepper({recipe = 'kgcn', options = {dim = 8, hops = 3, neighbors = 2}}, data, bits).step{
    users = tk.ids{0, 1}, items = tk.ids{0, 1}, labels = tk.tensor{0, 1}}
  collectgarbage()
  collectgarbage()
  local run = stepper(setting, data, bits)
  local size = quick and 16 or 2048
  local users, labels = {}, {}
  for i = 1, size do users[i], labels[i] = i % 50, i % 2 end
  local batch = {users = tk.ids(users), items = tk.ids(users), labels = tk.tensor(labels)}
  run.step:plan(batch)
  require('tinykg.lib').tkg_memory_reset_peak(require('tinykg.session').engine)
  local before = tk.memory()
  run.step(batch)
  local after = tk.memory()
  for _ = 1, 3 do run.step(batch) end -- now a graph
  local replayed = tk.memory()
  print(json.encode{memory = setting.name, batch = size, bits = bits,
                    planned = run.step:figure('arena_bytes'),
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
  for _, bits in ipairs{32, 8, 4, 2, 1} do
    if not time_for('memory') then return end
    local text = command(string.format("'%s/tinykg' '%s/tests/bench/gpu.lua' %s --memory=%d '%s'", home,
                                       home, quick and '--quick' or '', bits, build))
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
    return print('\nPyTorch: ' .. python .. ' has no torch' .. (where == 'cuda' and ' with CUDA' or ''))
  end
  if not time_for('PyTorch') then return end
  heading('the same step of KGCN in PyTorch on ' .. where)
  local options = quick and '--dim 8 --neighbors 2 --hops 2 --batch 16 --steps 3 --warmup 1'
    or '--preset book --hops 3 --steps 100'
  for _, form in ipairs{'', ' --compile'} do
    local text = command(string.format(
      "timeout 120 %s '%s/tests/bench/pytorch_kgcn.py' step %s --l2-form decay --device %s --data '%s'%s",
      python, home, options, where, dir, form))
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
print(string.format('%s%s, tinykg %s', tk.device(),
                    DEVICE:match('^cuda') and ' (' ..
                      command('nvidia-smi --query-gpu=name --format=csv,noheader'):gsub('%s+$', '') ..
                      ')' or '', tk.version))
kernels()
local ours = all_steps()
memory()
pytorch(ours)
print('\n== as JSON lines')
print(table.concat(lines, '\n'))
