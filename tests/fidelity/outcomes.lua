--- How often KGCN's music preset ends badly: all its tables end up of rank one, and where many
--- users fall on the other side of that direction, AUC stays below .77. By how neighbours are drawn
--- and by whether biases decay, over seeds, each with a split of its own:
--   tinykg tests/fidelity/outcomes.lua DATA [FIRST LAST]
-- A line a run, then counts and, beside the program's way, Fisher's exact test (two-sided).
local tk = require 'tinykg'
local train = require 'tinykg.train'

local BAD = 0.77
local dir, first, last = arg[1], tonumber(arg[2] or 1), tonumber(arg[3] or 20)
local recipe = dofile((os.getenv('TINYKG_HOME') or '.') .. '/recipes/kgcn.lua')

--- AUC of valid after the last epoch.
local function outcome(seed, settings)
  local o, auc = recipe:complete(settings), nil
  tk.seed(seed)
  train.run(recipe, tk.data.load(dir, {seed = seed}), o, {quiet = true, on_epoch = function(record)
    auc = record.valid and record.valid.auc or auc
  end})
  return auc
end

local function log_factorial(n)
  local sum = 0
  for k = 2, n do sum = sum + math.log(k) end
  return sum
end

--- Probability of a table as unlikely as {{a, b}, {c, d}}, its margins given.
local function fisher(a, b, c, d)
  local function probability(x)
    local y, z, w = a + b - x, a + c - x, d - a + x
    if x < 0 or y < 0 or z < 0 or w < 0 then return 0 end
    return math.exp(log_factorial(a + b) + log_factorial(c + d) + log_factorial(a + c)
      + log_factorial(b + d) - log_factorial(a + b + c + d) - log_factorial(x) - log_factorial(y)
      - log_factorial(z) - log_factorial(w))
  end
  local sum = 0
  for x = 0, a + b do
    if probability(x) <= probability(a) * (1 + 1e-9) then sum = sum + probability(x) end
  end
  return sum
end

local CELLS = {
  {'with replacement, biases do not decay (the program)', {}},
  {'with replacement, biases decay', {l2_biases = true}},
  {'each equally often, biases do not decay', {replacement = false}},
  {'each equally often, biases decay', {replacement = false, l2_biases = true}},
}

for _, cell in ipairs(CELLS) do
  cell.bad, cell.n, cell.sum = 0, 0, 0
  for seed = first, last do
    local settings = {preset = 'music', patience = 0}
    for key, value in pairs(cell[2]) do settings[key] = value end
    local auc = outcome(seed, settings)
    cell.n, cell.sum, cell.bad = cell.n + 1, cell.sum + auc, cell.bad + (auc < BAD and 1 or 0)
    io.write(('%s: seed %d, AUC %.4f\n'):format(cell[1], seed, auc))
    io.flush()
  end
end

print('\n| neighbours, biases | mean AUC | below .77 | p |\n|---|---|---|---|')
for k, cell in ipairs(CELLS) do
  local p = k > 1 and ('%.2f'):format(fisher(cell.bad, cell.n - cell.bad, CELLS[1].bad,
                                             CELLS[1].n - CELLS[1].bad)) or ''
  print(('| %s | %.4f | %d of %d | %s |'):format(cell[1], cell.sum / cell.n, cell.bad, cell.n, p))
end
