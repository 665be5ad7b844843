--- A program that specs start on several ranks: gradients that travel between ranks in 8 bits.
--- Forward is exact, the bytes are the plan's, a step repeats its bits, and gradients are right on
--- average. Prints what it found on rank 0.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
package.path = './?.lua;' .. package.path

local ROWS, COLUMNS, BATCH, STEPS = 5000, 32, 4096, 40

local draws = require 'tests.support.draws'(7)

tk.seed(3)
local g = tk.graph{head = draws(30000, ROWS), tail = draws(30000, ROWS), nodes = ROWS}
local x, w = tk.parameter(tk.xavier(ROWS, COLUMNS)), tk.parameter(tk.xavier(COLUMNS, COLUMNS))
local one, other = tk.ids(draws(BATCH, ROWS)), tk.ids(draws(BATCH, ROWS))

local function loss()
  local function layer(t) return (g:aggregate(t):matmul(w) + t):tanh() end
  local y = layer(layer(x))
  return (y:gather(one) * y:gather(other)):sum(2):softplus():mean()
end

local function sent()
  return C.tkg_collective_bytes(runtime.engine, 'all_to_all')
    + C.tkg_collective_bytes(runtime.engine, 'all_gather')
end

--- The gradients of x and w of a step, as one list of numbers.
local function gradients()
  local list = {}
  for _, p in ipairs{x, w} do
    local values, n = p.grad:values()
    for i = 0, n - 1 do list[#list + 1] = values[i] end
    p.grad = nil
  end
  return list
end

local exact = tk.step(loss)
local before = sent()
local right, bytes = exact(), sent() - before
assert(bytes == exact:figure('exchanged_bytes'))
local wanted = gradients()

local function coded_step()
  return tk.step(loss, {rank_bits = 8})
end

local step = coded_step()
before = sent()
assert(step() == right, 'forward is exact')
local coded = sent() - before
assert(coded == step:figure('exchanged_bytes'))
local first = gradients()
local again = coded_step()
again.first = step.first
again()
for i, value in ipairs(gradients()) do assert(value == first[i], 'a step repeats its bits') end

local sum, square, off, size = {}, {}, 0, 0
for i = 1, #wanted do sum[i], square[i] = first[i], (first[i] - wanted[i]) ^ 2 end
for _ = 2, STEPS do
  assert(step() == right)
  for i, value in ipairs(gradients()) do
    sum[i], square[i] = sum[i] + value, square[i] + (value - wanted[i]) ^ 2
  end
end
local spread = 0
for i, value in ipairs(wanted) do
  off, size = off + (sum[i] / STEPS - value) ^ 2, size + value ^ 2
  spread = spread + square[i] / STEPS
end
if tk.rank() == 0 then
  print(('%.0f of %.0f bytes, noise %.6g, of means %.6g'):format(coded, bytes,
    math.sqrt(spread / size), math.sqrt(STEPS * off / spread)))
end
