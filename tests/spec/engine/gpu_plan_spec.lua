-- What the plan of a GPU takes and moves beside the CPU's, and sums whose parts take less of it.
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local power_law = require 'tinykg.bench.power_law'
local shell = require 'tests.support.shell'

describe('the plan of a GPU', function()
  local folder
  setup(function()
    folder = fixtures.dir{} .. '/set'
    power_law.write_kgcn(folder, {users = 4000, items = 3000, entities = 16000, relations = 12,
                                  interactions = 40000, triples = 60000, seed = 1})
  end)
  teardown(fixtures.clean)

  --- The rows that tests/bench/device_plans.lua prints of a recipe's phases.
  local function rows_of(recipe)
    local rows = {}
    local out = shell.gives(0, './tinykg tests/bench/device_plans.lua ' .. folder .. ' ' .. recipe)
    for name, cpu, gpu, moved, compulsory in out:gmatch(
      '| (%S+ %S+) | ([%d.]+) | ([%d.]+) | [%d.]+ | ([%d.]+) | ([%d.]+) |') do
      rows[#rows + 1] = {name = name, arena = gpu / cpu, moved = moved / compulsory}
    end
    assert.is_true(#rows > 0, out)
    return rows
  end

  -- Where batches are small beside the graph, as they are of real sets. What each moves at most:
  local most = {['bpr-mf'] = 1.3, lightgcn = 1.3, cke = 1.4, cfkg = 1.1, kgat = 1.5, ktup = 1.3,
                kgcl = 1.6, kgrec = 1.65, kgcn = 1.1, ['kgnn-ls'] = 1.1, ckan = 1.3, mkr = 1.4,
                mcclk = 2.1}

  it('has at most 1.1 of the CPU\'s arena, and moves little more than it must', function()
    if not emulation.is_there() then return pending('not built: make emu-tests') end
    if tk.device() ~= 'cpu' then return pending('of both devices, once') end
    for recipe, moved in pairs(most) do
      for _, row in ipairs(rows_of(recipe)) do
        assert.is_true(row.arena <= 1.1, ('%s: arena %.2f'):format(row.name, row.arena))
        assert.is_true(row.moved <= moved, ('%s: moved %.2f'):format(row.name, row.moved))
      end
    end
  end)
end)

describe('sums over edges in a group', function()
  --- A graph whose row i has degrees[i] edges, [1] of them the first; and its rows' edges.
  local function graph_of(degrees)
    local heads, tails, n = {}, {}, #degrees
    for row, degree in ipairs(degrees) do
      for _ = 1, degree do
        heads[#heads + 1], tails[#tails + 1] = row - 1, (7 * #heads + 3 * row) % n
      end
    end
    return tk.graph{head = heads, tail = tails, nodes = n, relations = 1}, heads, tails
  end

  -- Rows that begin and end in the middle of a part of 256 edges, at its ends, and elsewhere.
  local CASES = {
    {128, 128, 256, 384, 640}, {1, 127, 512, 128, 129, 127, 256}, {255, 257, 100, 28, 1000},
    {127, 1, 256, 1, 255, 3000}, {0, 0, 129, 0, 255, 128}, {256, 128, 384, 0, 0, 1},
  }

  it('are exact, wherever rows begin and end', function()
    for _, first in ipairs(CASES) do
      local degrees = {unpack(first)}
      for row = #degrees + 1, 150 do degrees[row] = row % 5 end
      local graph, heads, tails = graph_of(degrees)
      for _, d in ipairs{3, 8} do
        local values, want = {}, {}
        for row = 1, #degrees do
          values[row], want[row] = {}, {}
          for j = 1, d do values[row][j], want[row][j] = (row * 31 + j * 17) % 64, 0 end
        end
        for k = 1, #heads do
          for j = 1, d do
            local sum = want[heads[k] + 1]
            sum[j] = sum[j] + values[tails[k] + 1][j] + 1
          end
        end
        local x = tk.parameter(tk.tensor(values))
        local step = tk.step(function()
          local y = graph:aggregate(x + 1) * 1
          return y:sum(), y * 1
        end)
        local _, got = step()
        assert.same(want, got:totable())
      end
    end
  end)
end)

describe('a bias behind a product', function()
  local before, there
  setup(function()
    before = tk.device()
    there = before ~= 'cpu' or emulation.open 'emu'
  end)
  teardown(function() tk.device(before) end)

  --- Bytes that ops move, by name, in a step of x:matmul(w) + b of so many columns.
  local function moved(n, cols)
    local x, w = tk.randn(n, 32):keep(), tk.parameter(tk.randn(32, cols))
    local b = tk.parameter(tk.randn(cols))
    local step = tk.step(function() return (x:matmul(w) + b):tanh():square():sum() end)
    step()
    local bytes = {}
    for _, row in ipairs(step:traffic().ops) do bytes[row.op] = row.bytes end
    return bytes
  end

  it('is added, and its gradient summed, in the tile of the product', function()
    if not there then return pending('no libtinykg_emu.so') end
    local n, cols = 8192, 32
    local bytes = moved(n, cols)
    assert.equal(4 * cols, bytes.add)        -- the bias alone
    assert.is_true(bytes.sum < .05 * 4 * n * cols) -- parts of sums
  end)

  it('is added in the tile that follows where rows are too wide for one', function()
    if not there then return pending('no libtinykg_emu.so') end
    local n, cols = 1024, 2000
    assert.equal(4 * n * cols + 4 * cols, moved(n, cols).add) -- the product is read once
  end)
end)

describe('weight gradients', function()
  it('of a layer used again and again do not end a group', function()
    if tk.device() == 'cpu' then return pending('the CPU runs small values in tiles') end
    local n, d = 8192, 32
    local x, w = tk.randn(n, d):keep(), tk.parameter(tk.randn(d, d))
    local function loss()
      local sum = 0
      for k = 1, 3 do sum = (x * k):matmul(w):tanh():matmul(w):tanh():sum() + sum end
      return sum
    end
    local step = tk.step(loss)
    step()
    for _, row in ipairs(step:traffic().ops) do
      if row.op == 'matmul' then assert.is_true(row.bytes < 7 * 4 * n * d) end -- else 15
    end
  end)

  it('of wide rows take no more memory than results', function()
    if tk.device() == 'cpu' then return pending('of devices whose tiles have their own memory') end
    local n, d = 64, 60000
    local x = tk.parameter(tk.randn(n, d))
    local step = tk.step(function() return (x * 2 + 1):dropout(0.5):tanh():mean() end)
    step()
    assert.is_true(step:figure('arena_bytes') < 2.1 * 4 * n * d)
  end)
end)
