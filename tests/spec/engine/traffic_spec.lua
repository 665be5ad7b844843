-- What a step is planned to move and to launch: bytes counted by hand, launches against what the
-- emulated GPU is given.
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

local N, D = 3000, 16
-- Launches of the step that moves most, on a generated data set: those of 2026-11-30.
local MOST = {kgat = 50, kgin = 86, kgcn = 23, ['kgnn-ls'] = 30, ripplenet = 73}
local WHOLE = 4 * N * D

--- The row of one op.
local function of(traffic, op)
  for _, row in ipairs(traffic.ops) do
    if row.op == op then return row end
  end
  error(op .. ' is not in the traffic', 2)
end

local function planned(fn, options) return tk.step(fn, options):plan():traffic() end

describe('bytes that a step moves', function()
  local p = tk.parameter(tk.randn(N, D))
  local function chain() return ((p * 2):tanh() * 3):sum() end

  it('are all inputs and results op by op, and no others than compulsory ones in tiles', function()
    local apart, tiled = planned(chain, {tiles = false}), planned(chain)
    for _, traffic in ipairs{apart, tiled} do
      -- reads p, writes the gradient; what is summed could live in a tile; some single numbers
      assert.is_true(math.abs(of(traffic, 'affine').compulsory - 2 * WHOLE) < 64)
      assert.equal(2 * WHOLE, of(traffic, 'tanh').compulsory + of(traffic, 'tanh_grad').compulsory)
    end
    assert.equal(2 * WHOLE, of(apart, 'tanh').bytes)
    assert.equal(3 * WHOLE, of(apart, 'tanh_grad').bytes)
    assert.is_true(of(apart, 'affine').bytes > of(tiled, 'affine').bytes + WHOLE - 64)
    assert.equal(apart.compulsory, tiled.compulsory)
    assert.is_true(tiled.bytes < apart.bytes)
    assert.is_true(tiled.bytes >= tiled.compulsory)
  end)

  it('are a parameter and its moments once read and once written', function()
    local traffic = planned(function() return p:square():sum() end, {optimizer = tk.optim.adam{}})
    local adam = of(traffic, 'adam')
    assert.equal(7 * WHOLE, adam.bytes)
    assert.equal(7 * WHOLE, adam.compulsory)
  end)

  it('are the rows that are added to a gradient, not the gradient, if that is done in place',
     function()
    local ids, w = tk.ids{1, 5, 9}, tk.randn(D, D):keep()
    local traffic = planned(function()
      return p:gather(ids):square():sum() + p:matmul(w):matmul(w, {transpose_b = true}):sum()
    end, {tiles = false})
    local row = of(traffic, 'scatter_add')
    local added = 3 * 4 * D + 4 * 3 -- and ids
    assert.equal(added + WHOLE, row.compulsory) -- the other gradient could come from a tile
    if tk.device() ~= 'cpu' then return end -- a GPU sorts ids in scratch memory
    assert.equal(added + 2 * 3 * 4 * D, row.bytes)
  end)

  it('are those of a plan: a step without one has none', function()
    local message = fixtures.message(function() tk.step(chain):traffic() end)
    assert.matches('traffic: the step has no plan yet', message)
  end)
end)

describe('launches of a step', function()
  it('are those that the emulated GPU is given, for each recipe at 32 and 2 bits', function()
    if not emulation.is_there() then return pending('not built: make emu-tests') end
    local text = shell.gives(0, 'EMU_COUNT=1 ./tinykg tests/support/launches.lua')
    local phases = 0
    for kernels, others, name, count in text:gmatch(
      'a graph of (%d+) kernels and (%d+) others\n([^\n]+): planned (%d+)') do
      assert.equal(kernels + others, tonumber(count), name)
      phases = phases + 1
    end
    assert.is_true(phases >= 20)
  end)

  it('are few, of recipes as they are published', function()
    if not emulation.is_there() then return pending('not built: make emu-tests') end
    local _, set = shell.demo(3000, 1200)
    for name, most in pairs(MOST) do
      local command = ('memory recipes/%s.lua --bits 2 --device emu --traffic --json --data %s')
        :format(name, set)
      local traffic = assert(json.decode(shell.prints(command))).traffic
      assert.is_true(traffic.launches <= most, ('%s: %d'):format(name, traffic.launches))
    end
  end)

  it('are one per op or group where a device does not tell', function()
    if tk.device() ~= 'cpu' then return pending('the CPU backend\'s') end
    local p = tk.parameter(tk.randn(8, 4))
    local traffic = planned(function() return p:tanh():sum() end, {tiles = false})
    local ops = 0
    for _, row in ipairs(traffic.ops) do ops = ops + row.ops end
    assert.equal(ops, traffic.launches)
  end)
end)

describe('--traffic', function()
  teardown(fixtures.clean)

  it('adds a table to memory, and an object to its JSON', function()
    local _, set = shell.demo(40, 40)
    local command = 'memory recipes/bpr-mf.lua --bits 8 --data ' .. set
    local out = shell.prints(command .. ' --traffic')
    assert.truthy(out:find('\na step of loss +times +launches +moved +compulsory\n'))
    assert.truthy(out:find('\n  adam'))
    local traffic = assert(json.decode(shell.prints(command .. ' --traffic --json'))).traffic
    local sum = {launches = 0, bytes = 0, compulsory = 0}
    for _, row in ipairs(traffic.ops) do
      for name in pairs(sum) do sum[name] = sum[name] + row[name] end
    end
    assert.same(sum, {launches = traffic.launches, bytes = traffic.bytes,
                      compulsory = traffic.compulsory})
    assert.is_true(sum.bytes >= sum.compulsory and sum.compulsory > 0 and sum.launches > 10)
    assert.is_nil(assert(json.decode(shell.prints(command .. ' --json'))).traffic)
  end)

  it('makes bench step print it, and time nothing', function()
    local out = shell.prints('bench --traffic --quick --bits 8 --json --recipe recipes/kgcn.lua')
    local all
    for line in out:gmatch('[^\n]+') do
      local record = assert(json.decode(line))
      if record.op == 'all' then all = record end
      assert.is_nil(record.min_ms)
    end
    assert.equal(8, all.bits)
    assert.is_true(all.bytes >= all.compulsory and all.launches > 10)
    shell.gives(2, './tinykg bench ops --traffic', 'it is of step')
  end)
end)
