--- Step time of KGCN by preset and width: one JSON line each, times in ms.
--   tinykg tests/bench/kgcn_step.lua DATA [THREADS] [STEPS]
-- Widths take turns within one run, so that a busy machine slows all of them alike; `ratio` is the
-- median step time over that of 32 bits in the same run.
local tk = require 'tinykg'
local clock = require 'tinykg.clock'
local feed = require 'tinykg.feed'
local json = require 'tinykg.json'

local dir, threads, steps = arg[1], tonumber(arg[2] or 1), tonumber(arg[3] or 200)
local home = os.getenv('TINYKG_HOME') or '.'
local recipe = dofile(home .. '/recipes/kgcn.lua')
local data = tk.data.load(dir, {seed = 0})
tk.threads(threads)

local SETTINGS = {
  {name = 'music', steps = steps, options = {preset = 'music'}},
  {name = 'book, 3 hops', steps = math.ceil(steps / 8), options = {preset = 'book', hops = 3}},
}

local function stepper(o, bits)
  tk.seed(0)
  local model = recipe.build(data, o):train()
  local optimizer = tk.optim.adam{lr = o.lr, weight_decay = o.l2}
  local step = tk.step(function(batch) return model:loss(batch) end,
                       {optimizer = optimizer, bits = bits})
  return {bits = bits, step = step, times = {}}
end

local function round(runs, o, warm)
  local n = 0
  for batch in feed.batches(data.train, {size = o.batch_size, drop_last = true}) do
    local run = runs[n % #runs + 1]
    local started = clock.now()
    run.step(batch)
    if not warm then run.times[#run.times + 1] = 1000 * (clock.now() - started) end
    n = n + 1
  end
end

for _, s in ipairs(SETTINGS) do
  local o, runs = recipe:complete(s.options), {}
  for _, bits in ipairs{32, 8, 4, 2, 1} do runs[#runs + 1] = stepper(o, bits) end
  round(runs, o, true)
  while #runs[1].times < s.steps do round(runs, o, false) end
  for _, run in ipairs(runs) do
    table.sort(run.times)
    run.median = run.times[math.ceil(#run.times / 2)]
    print(json.encode{
      setting = s.name, bits = run.bits, threads = threads, min_ms = run.times[1],
      median_ms = run.median, ratio = run.median / runs[1].median,
      kept_bytes = run.step:figure('stored_bytes'),
      reference_bytes = run.step:figure('reference_bytes'),
      arena_bytes = run.step:figure('arena_bytes'),
    })
  end
end
