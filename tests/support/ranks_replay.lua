--- A program that specs start on several ranks: takes steps of a small network, of which all but
--- the first two are captured runs where the device can capture them, and prints their losses and
--- how many were. With an argument N rank 0 fails before step N.
local tk = require 'tinykg'
package.path = './?.lua;' .. package.path

local ROWS, BATCH, STEPS = 5000, 512, 5

local draws = require 'tests.support.draws'(7)

tk.seed(3)
local g = tk.graph{head = draws(20000, ROWS), relation = draws(20000, 2), tail = draws(20000, ROWS),
                   nodes = ROWS, relations = 2, inverse = true}
local x = tk.parameter(tk.xavier(ROWS, 16))
local square, bias = tk.parameter(tk.xavier(16, 16)), tk.parameter(tk.zeros(16))
local one, other = tk.ids(draws(BATCH, ROWS)), tk.ids(draws(BATCH, ROWS))
local step = tk.step(function()
  local y = (g:aggregate(x):matmul(square) + bias):leaky_relu():dropout(.1):normalize()
  return (y:gather(one) * y:gather(other)):sum(2):softplus():mean()
end, {optimizer = tk.optim.adam{lr = .01}, bits = 2})

local fails = tonumber(arg and arg[1])
for k = 1, STEPS do
  if k == fails and tk.rank() == 0 then error('no such step', 0) end
  local loss = step()
  if tk.rank() == 0 then print(('step %d: %.9g'):format(k, loss)) end
end
io.stderr:write(('replayed: %d\n'):format(step:figure('replayed')))
