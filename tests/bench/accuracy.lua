--- KGCN's test AUC and F1 over seeds 0, 1, 2 at each width, published settings for music.
--   tinykg tests/bench/accuracy.lua DATA
-- Prints a Markdown table: mean +- deviation over seeds.
local tk = require 'tinykg'
local train = require 'tinykg.train'

local dir = arg[1]
local home = os.getenv('TINYKG_HOME') or '.'
local recipe = dofile(home .. '/recipes/kgcn.lua')
local o = recipe:complete{preset = 'music'}

local function mean_sd(list)
  local mean, square = 0, 0
  for _, x in ipairs(list) do mean = mean + x / #list end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  return string.format('%.4f +- %.4f', mean, math.sqrt(square / (#list - 1)))
end

local function row(name, settings)
  local auc, f1, kept = {}, {}, nil
  for seed = 0, 2 do
    tk.seed(seed)
    local result = train.run(recipe, tk.data.load(dir, {seed = seed}), o, settings)
    auc[#auc + 1], f1[#f1 + 1], kept = result.test.auc, result.test.f1, result.kept
  end
  print(string.format('| %s | %s | %s | %d | %.1f |', name, mean_sd(auc), mean_sd(f1),
                      kept.stored_bytes, kept.reference_bytes / kept.stored_bytes))
end

print('| kept | test AUC | test F1 | kept bytes | times below op-by-op |')
print('|---|---|---|---|---|')
for _, bits in ipairs{32, 8, 4, 2, 1} do
  row(bits .. ' bits', {bits = bits, rounding = 'dither', quiet = true})
end
row('2 bits, stochastic', {bits = 2, rounding = 'stochastic', quiet = true})
