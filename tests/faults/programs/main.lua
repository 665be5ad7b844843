--- Random programs from the command line.
--   ./tinykg tests/faults/programs/main.lua N SEED MEANS SECONDS
-- N programs (2000) from seed SEED (the date), MEANS programs (N / 50) whose gradients at few bits
-- are averaged; no new one after SECONDS (without end). An argument that is no number is left out.
package.path = (os.getenv 'TINYKG_HOME' or '.') .. '/?.lua;' .. package.path
local clock = require 'tinykg.base.clock'
local run = require 'tests.faults.programs.run'

local n, seed = tonumber(arg[1]) or 2000, tonumber(arg[2]) or run.seed_of_today()
local means, seconds = tonumber(arg[3]) or math.ceil(n / 50), tonumber(arg[4]) or math.huge
local stop = clock.now() + seconds
io.stdout:setvbuf 'line'
print(('%d programs from seed %d'):format(n, seed))
local result = run.all{
  programs = n, means = means, seed = seed, print = print,
  keep_going = function() return clock.now() < stop end,
  progress = function(so_far, done)
    io.stderr:write(('%d programs, %d failures\n'):format(done, so_far.failures))
    if done % 20000 == 0 and done < n then print(so_far:summary()) end
  end,
}
print(result:summary())
os.exit(result.failures == 0 and 0 or 1)
