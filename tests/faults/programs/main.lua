--- Random programs from the command line.
--   ./tinykg tests/faults/programs/main.lua N SEED [MEANS]
-- N programs from seed SEED (today's date without one), MEANS programs (N / 50) whose gradients at
-- 2 bits are averaged.
package.path = (os.getenv 'TINYKG_HOME' or '.') .. '/?.lua;' .. package.path
local run = require 'tests.faults.programs.run'

local n, seed = tonumber(arg[1]) or 2000, tonumber(arg[2]) or run.seed_of_today()
local means = tonumber(arg[3]) or math.ceil(n / 50)
io.stdout:setvbuf 'line'
print(('%d programs from seed %d'):format(n, seed))
local result = run.all{
  programs = n, means = means, seed = seed, print = print,
  progress = function(so_far, done)
    io.stderr:write(('%d programs, %d failures\n'):format(done, so_far.failures))
    if done % 20000 == 0 and done < n then print(so_far:summary()) end
  end,
}
print(result:summary())
os.exit(result.failures == 0 and 0 or 1)
