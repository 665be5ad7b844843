--- Milliseconds of a recipe's steps at several widths, in turns, and what they keep.
--   tinykg tests/bench/recipe_step.lua RECIPE.lua DATA [--bits 32,2] [--threads 1] [--steps 10]
--     [--set option=value]...
local tk = require 'tinykg'
local steps = dofile((os.getenv('TINYKG_HOME') or '.') .. '/tests/bench/steps.lua')

local o, plain, k = {bits = '32,8,2', threads = '1', steps = '10'}, {}, 1
local set = {}
while arg[k] do
  local name = arg[k]:match('^%-%-(%a+)$')
  if name == 'set' then
    local key, value = arg[k + 1]:match('^([%w_]+)=(.*)$')
    set[key] = value
  elseif name then o[name] = arg[k + 1]
  else plain[#plain + 1] = arg[k] end
  k = k + (name and 2 or 1)
end
if #plain ~= 2 then
  io.stderr:write('usage: tinykg tests/bench/recipe_step.lua RECIPE.lua DATA [--bits 32,2] ' ..
                  '[--threads 1] [--steps 10] [--set option=value]...\n')
  os.exit(2)
end

tk.threads(tonumber(o.threads))
local data, runs = tk.data.load(plain[2], {seed = 0}), {}
for bits in o.bits:gmatch('%d+') do
  runs[#runs + 1] = steps.trainer(plain[1], set, data, tonumber(bits))
end
print(string.format('%-20s %5s %10s %10s %7s %14s %14s %7s %12s', 'step, ' .. o.threads ..
  ' threads', 'bits', 'min ms', 'median ms', 'x first', 'reference', 'kept bytes', 'below',
  'arena bytes'))
for phase = 1, #runs[1].phases do
  steps.time_phase(runs, phase, tonumber(o.steps))
  local first
  for _, run in ipairs(runs) do
    local step, median = run.phases[phase].step, steps.median(run.times)
    first = first or median
    local reference, stored = step:figure('reference_bytes'), step:figure('stored_bytes')
    print(string.format('%-20s %5d %10.2f %10.2f %7.3f %14.0f %14.0f %6.1fx %12.0f',
      run.name .. ' ' .. run.phases[phase].name, run.bits, run.times[1], median, median / first,
      reference, stored, reference / math.max(stored, 1), step:figure('arena_bytes')))
  end
end
