--- Test metrics of every recipe at every width, mean +- deviation over seeds, as Markdown tables.
--   tinykg tests/bench/recipes.lua TASK DATA [--only kgat,kgin] [--bits 32,2] [--seeds 0,1,2]
--     [--jobs 2] [--out runs/recipes]
-- TASK: ranking (any data set to rank), ctr (labelled data), large (KGAT and KGIN, five epochs).
-- Each run is a process with one thread and a folder of its own; runs that are there already are
-- not made again, so an interrupted table goes on where it was. Then the tables are printed.
local lfs = require 'lfs'
local atomic = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'

--- Settings where they are not a recipe's defaults: chosen so that all of it takes hours, not
--- days, and no further; the published numbers of epochs are far larger.
local TASKS = {
  ranking = {
    {'bpr-mf', 'epochs=20 eval_every=2'},
    {'lightgcn', 'lr=5e-3 epochs=12 eval_every=4'},
    {'cke', 'lr=1e-3 epochs=12 eval_every=4'},
    {'cfkg', 'epochs=20 eval_every=4'},
    {'kgcn', 'preset=movie batch_size=1024 epochs=6 eval_every=2 patience=0'},
    {'kgnn-ls', 'preset=movie batch_size=1024 epochs=6 eval_every=2 patience=0'},
    {'ripplenet', 'epochs=4 eval_every=2'},
    {'kgat', 'lr=5e-3 epochs=6 eval_every=2 kg_batch_size=8192'},
    {'kgin', 'lr=2e-3 epochs=5 eval_every=5'},
  },
  ctr = {
    {'bpr-mf', 'batch_size=128 epochs=10'},
    {'kgcn', 'preset=music'},
    {'kgnn-ls', 'preset=music epochs=10 patience=0'},
    {'ripplenet', 'epochs=5'},
  },
  large = {
    {'kgat', 'lr=1e-3 batch_size=10240 epochs=5 eval_every=1'},
    {'kgin', 'lr=1e-3 batch_size=10240 epochs=5 eval_every=1'},
  },
}
local METRICS = {ranking = {'recall@20', 'ndcg@20'}, ctr = {'auc', 'f1'},
                 large = {'recall@20', 'ndcg@20'}}

-- ---- the command line ----

local function split(text)
  local list = {}
  for word in text:gmatch('[^,]+') do list[#list + 1] = word end
  return list
end

local function options(args)
  local o = {bits = '32,8,4,2,1', seeds = '0,1,2', jobs = '2', out = 'runs/recipes'}
  local plain, k = {}, 1
  while args[k] do
    local name = args[k]:match('^%-%-(%a+)$')
    if name then o[name], k = args[k + 1], k + 1 else plain[#plain + 1] = args[k] end
    k = k + 1
  end
  o.task, o.data = plain[1], plain[2]
  if not TASKS[o.task] or not o.data then
    io.stderr:write('usage: tinykg tests/bench/recipes.lua ranking|ctr|large DATA [--only ..] ' ..
                    '[--bits ..] [--seeds ..] [--jobs N] [--out DIR]\n')
    os.exit(2)
  end
  return o
end

-- ---- running ----

local function folder(o, recipe, bits, seed)
  return string.format('%s/%s/%s-%s-%s', o.out, o.task, recipe, bits, seed)
end

local function summary(dir)
  local file = io.open(dir .. '/summary.json')
  if not file then return nil end
  local value = json.decode(file:read('*a'))
  file:close()
  return value
end

local function wanted(o, recipe)
  if not o.only then return true end
  for _, name in ipairs(split(o.only)) do
    if name == recipe then return true end
  end
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Commands of what is missing, seed by seed: with the first all rows are there. The seed is that
--- of training and of the split, so that deviations have both in them.
local function commands(o)
  local home, list = os.getenv('TINYKG_HOME') or '.', {}
  for _, seed in ipairs(split(o.seeds)) do
    for _, entry in ipairs(TASKS[o.task]) do
      for _, bits in ipairs(wanted(o, entry[1]) and split(o.bits) or {}) do
        local dir, set = folder(o, entry[1], bits, seed), ''
        for pair in entry[2]:gmatch('%S+') do set = set .. ' --set ' .. pair end
        if not summary(dir) then
          list[#list + 1] = string.format(
            '%s run %s --data %s --data-set seed=%s --bits %s --seed %s --threads 1 --quiet ' ..
            '--resume --out %s%s >%s.log 2>&1 || echo %s failed', quoted(home .. '/tinykg'),
            quoted(home .. '/recipes/' .. entry[1] .. '.lua'), quoted(o.data), seed, bits, seed,
            quoted(dir), set, quoted(dir), quoted(dir))
        end
      end
    end
  end
  return list
end

local function run_all(o)
  local list = commands(o)
  if #list == 0 then return end
  assert(atomic.mkdirs(o.out .. '/' .. o.task))
  local path = o.out .. '/' .. o.task .. '/commands'
  assert(atomic.write(path, table.concat(list, '\0') .. '\0'))
  io.stderr:write(string.format('%d runs, %s at a time, in %s/%s\n', #list, o.jobs, o.out, o.task))
  os.execute(string.format('xargs -0 -n 1 -P %d sh -c <%s', tonumber(o.jobs), quoted(path)))
end

-- ---- the table ----

local function mean_sd(list)
  local mean, square = 0, 0
  for _, x in ipairs(list) do mean = mean + x / #list end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  if #list < 2 then return string.format('%.4f', mean) end
  return string.format('%.4f +- %.4f', mean, math.sqrt(square / (#list - 1)))
end

--- What the runs of one recipe at one width say: lists by metric, and the first run's summary.
local function runs_of(o, recipe, bits, metrics)
  local values, first = {}, nil
  for _, seed in ipairs(split(o.seeds)) do
    local s = summary(folder(o, recipe, bits, seed))
    first = first or s
    for k, name in ipairs(s and metrics or {}) do
      values[k] = values[k] or {}
      table.insert(values[k], s.test[name])
    end
  end
  return values, first
end

local function kept_text(s)
  local kept = s.kept
  return string.format('%.2f (%.0fx)', kept.stored_bytes / 1e6,
                       kept.reference_bytes / math.max(kept.stored_bytes, 1))
end

--- A table of each metric, and one of what is kept: one row per recipe, one column per width.
local function print_table(o, title, cell)
  local bits = split(o.bits)
  print(string.format('\n| %s | %s bits |', title, table.concat(bits, ' bits | ')))
  print('|---' .. ('|---'):rep(#bits) .. '|')
  for _, entry in ipairs(TASKS[o.task]) do
    local cells = {entry[1]}
    for k, width in ipairs(wanted(o, entry[1]) and bits or {}) do
      cells[k + 1] = cell(entry[1], width)
    end
    if #cells > 1 then print('| ' .. table.concat(cells, ' | ') .. ' |') end
  end
end

local o = options(arg)
if lfs.attributes(o.data, 'mode') ~= 'directory' then
  io.stderr:write(o.data .. ': no such folder\n')
  os.exit(1)
end
run_all(o)
local metrics = METRICS[o.task]
for k, name in ipairs(metrics) do
  print_table(o, name, function(recipe, bits)
    local values = runs_of(o, recipe, bits, metrics)
    return values[k] and mean_sd(values[k]) or 'failed'
  end)
end
print_table(o, 'kept, MB (below op-by-op)', function(recipe, bits)
  local _, first = runs_of(o, recipe, bits, metrics)
  return first and kept_text(first) or 'failed'
end)
