--- Nanoseconds an element of Adam's update with its moments in 32 and in 8 bits, best of many.
--   tinykg tests/bench/adam_bench.lua [THREADS]
-- Tables that fit in cache, with rows of several lengths, and one that does not.
local tk = require 'tinykg'
local clock = require 'tinykg.base.clock'

tk.threads(tonumber(arg[1]) or 1)

local function best_of(rounds, rows, cols, bits)
  local w, g = tk.parameter(tk.randn(rows, cols)), tk.randn(rows, cols)
  local opt, best = tk.optim.adam{bits = bits}, math.huge
  for _ = 1, rounds do
    (w * g):sum():backward()
    local before = clock.now()
    opt:update()
    best = math.min(best, clock.now() - before)
  end
  return best * 1e9 / (rows * cols)
end

print('rows     cols   32 bits    8 bits   ratio')
for _, size in ipairs{{4000, 64, 300}, {16000, 16, 300}, {5000, 50, 300}, {130000, 64, 40}} do
  local rows, cols, rounds = unpack(size)
  local times = {}
  for _, bits in ipairs{32, 8} do
    collectgarbage()
    collectgarbage()
    times[bits] = best_of(rounds, rows, cols, bits)
  end
  print(('%-8d %-4d %9.2f %9.2f %7.2f'):format(rows, cols, times[32], times[8],
                                              times[8] / times[32]))
end
