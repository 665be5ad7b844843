--- The contrastive loss of a batch with its gradients, beside PyTorch's product and log-softmax:
--- milliseconds of the processor on one thread, the least of runs in turns, and what is saved.
--   ./tinykg tests/bench/contrast.lua [PYTHON]      python3, with PyTorch
local tk = require 'tinykg'
local format = require 'tinykg.base.format'

local PYTHON, COLUMNS, TURNS, ROUNDS = arg[1] or 'python3', 64, 3, 5

tk.threads(1)
tk.seed(1)

-- What ./tinykg sets for itself makes PyTorch's allocations of 16 MiB twice as slow; so they are
-- faster than by default (tests/bench/pytorch.lua).
local ITS_OWN = 'env -u GOMP_SPINCOUNT -u KMP_BLOCKTIME MALLOC_TRIM_THRESHOLD_=17179869184 '
  .. 'MALLOC_MMAP_THRESHOLD_=17179869184'

local function peer(rows)
  local out = assert(io.popen(('%s %s tests/bench/pytorch_contrast.py %d %d %d'):format(
    ITS_OWN, PYTHON, rows, COLUMNS, ROUNDS)))
  local ms = tonumber(out:read('*a'))
  out:close()
  return ms or error('no PyTorch in ' .. PYTHON, 0)
end

--- The least time of a few steps.
local function timed(step)
  local best = math.huge
  for _ = 1, ROUNDS do
    local before = os.clock()
    step()
    best = math.min(best, 1000 * (os.clock() - before))
  end
  return best
end

print('rows     tinykg  PyTorch   ratio  saved             op by op')
for _, rows in ipairs{1024, 2048, 8192} do
  local x, y = tk.parameter(tk.randn(rows, COLUMNS)), tk.parameter(tk.randn(rows, COLUMNS))
  local step = tk.step(function() return tk.loss.contrast(x:normalize(), y:normalize(), 0.2) end)
  local own, theirs = math.huge, math.huge
  for _ = 1, TURNS do
    own, theirs = math.min(own, timed(step)), math.min(theirs, peer(rows))
  end
  print(('%-6d %8.1f %8.1f %7.2f  %-16s  %s'):format(rows, own, theirs, own / theirs,
    format.bytes(step:figure 'stored_bytes'), format.bytes(step:figure 'reference_bytes')))
end
