-- Steps that a GPU is given as a whole: the same bits as op by op, whatever changes between two
-- steps, and no recording outlives the memory it speaks of. On a device that cannot replay (the
-- CPU) the same must hold with nothing replayed.
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local session = require 'tinykg.engine.runtime'
local tensors = require 'tests.support.tensors'
local fixtures = require 'tests.support.fixtures'
local emulation = require 'tests.support.emulation'

local DEVICES = os.getenv('TINYKG_DEVICE') and {os.getenv('TINYKG_DEVICE')} or {'emu', 'cpu'}

local function open(device)
  local ok, message = emulation.open(device)
  if not ok then pending(tostring(message)) end
  return ok
end

--- A model with dropout, sampling, sorting (gradients of rows), products and Adam. `batches` holds
--- the ids of each step. Returns the losses and the bytes of the parameter.
local function train(replay, batches, options, between)
  tk.seed(3)
  tk.replay(replay)
  local random = tensors.drawn_from(require('tests.support.reference_ops').random(11))
  local table_, dense = random.parameter(50, 8), random.parameter(8, 8)
  local opt = options.optimizer or tk.optim.adam{lr = 0.05, weight_decay = 1e-3}
  local ids = tk.ids(batches[1])
  local step = tk.step(function(rows)
    local x = table_:gather(rows):matmul(dense):relu():dropout(0.25)
    return (x:matmul(dense, {transpose_b = true}):tanh() - 0.5):square():mean()
  end, {optimizer = opt, bits = options.bits or 2, small = 0})
  local losses = {}
  for i, batch in ipairs(batches) do
    if not options.fresh then ids:write(batch) else ids = tk.ids(batch) end
    if between then between(i, opt, step, dense) end
    losses[i] = step(ids)
  end
  tk.replay(true)
  return {losses = losses, table = tensors.bytes(table_), dense = tensors.bytes(dense),
          replayed = step:figure 'replayed', step = step}
end

local function some_batches(n)
  local batches = {}
  for i = 1, n do
    batches[i] = {}
    for k = 1, 40 do batches[i][k] = (i * 7 + k * k) % 50 end
  end
  return batches
end

local function same(a, b)
  assert.same(a.losses, b.losses)
  assert.is_true(a.table == b.table and a.dense == b.dense, 'bits differ')
end

for _, device in ipairs(DEVICES) do
  describe('replayed steps on ' .. device, function()
    local can = device ~= 'cpu'
    local before = tk.device()
    teardown(function() tk.device(before) end)

    it('give the bits of steps run op by op: other batches, steps, learning rates', function()
      if not open(device) then return end
      local function change(i, opt)
        if i == 6 then opt.lr = 0.2 end
        if i == 8 then opt.t = 100 end
        if i == 9 then tk.seed(17) end
      end
      local batches = some_batches(12)
      local plain, replayed = train(false, batches, {}, change), train(true, batches, {}, change)
      same(plain, replayed)
      assert.equal(0, plain.replayed)
      assert.equal(can and 11 or 0, replayed.replayed) -- all but the first
      for i = 2, 12 do assert.is_true(plain.losses[i] ~= plain.losses[i - 1]) end
    end)

    it('with each optimizer', function()
      if not open(device) then return end
      local batches = some_batches(5)
      for _, make in ipairs{
        function() return tk.optim.sgd{lr = 0.1} end,
        function() return tk.optim.sgd{lr = 0.1, momentum = 0.9} end,
        function() return tk.optim.adagrad{lr = 0.1} end,
        function() return tk.optim.adam{lr = 0.1, betas = {0.5, 0.75}} end,
      } do
        same(train(false, batches, {optimizer = make()}),
             train(true, batches, {optimizer = make()}))
      end
    end)

    it('with rates of a parameter that change, for a while at each step', function()
      if not open(device) then return end
      local function change(i, _, _, dense)
        if i >= 4 and i <= 7 then tk.optim.group({dense}, {lr = 1 / i}) end
      end
      local batches = some_batches(12)
      for _, make in ipairs{
        function() return tk.optim.sgd{lr = 0.1} end,
        function() return tk.optim.adagrad{lr = 0.1} end,
        function() return tk.optim.adam{lr = 0.05} end,
        function() return tk.optim.adam{lr = 0.05, bits = 8, lazy = true} end,
      } do
        local plain = train(false, batches, {optimizer = make()}, change)
        local replayed = train(true, batches, {optimizer = make()}, change)
        same(plain, replayed)
        assert.equal(can and 7 or 0, replayed.replayed) -- not 1, and not 4 to 7
        assert.equal(1, replayed.step:figure 'plans')
        assert.is_true(train(true, batches, {optimizer = make()}).dense ~= replayed.dense)
      end
    end)

    it('with a larger arena in between, which moves everything', function()
      if not open(device) then return end
      local function grow(i)
        if i ~= 5 and i ~= 9 then return end
        local big = tk.ones(i * 300, 700)
        tk.no_grad(function() return (big * 2):transpose():tanh():sum() end):item()
      end
      local batches = some_batches(12)
      local plain = train(false, batches, {}, grow)
      open(device) -- a new engine: its arena is small again
      local replayed = train(true, batches, {}, grow)
      same(plain, replayed)
      assert.is_true(not can or replayed.replayed >= 5 and replayed.replayed < 11)
    end)

    it('with leaves that lie elsewhere each time', function()
      if not open(device) then return end
      local batches = some_batches(8)
      same(train(false, batches, {fresh = true}), train(true, batches, {fresh = true}))
    end)

    it('say what was wrong with an id, change nothing, and go on', function()
      if not open(device) then return end
      local batches, x = some_batches(8), nil
      batches[6][3] = 50
      local result = train(true, {unpack(batches, 1, 5)}, {})
      local function run(list)
        x = x or tk.ids(list)
        return result.step(x:write(list))
      end
      for i = 1, 4 do run(batches[i]) end
      local message = fixtures.message(run, batches[6])
      assert.matches('replay_spec.lua:%d+: gather: id 50 at position 2 is outside 0..49', message)
      assert.is_true(run(batches[1]) > 0)
      assert.is_true(run(batches[2]) > 0)
    end)

    it('stop at Ctrl-C before they start', function()
      if not open(device) then return end
      local result, ids = train(true, some_batches(4), {}), tk.ids(some_batches(1)[1])
      for _ = 1, 3 do result.step(ids) end
      C.tkg_interrupt_watch(1)
      require('ffi').C.raise(2)
      local ok, message = pcall(result.step, ids)
      C.tkg_interrupted(1)
      C.tkg_interrupt_watch(0)
      assert.is_false(ok)
      assert.equal(session.interrupted, message)
      assert.is_true(result.step(ids) > 0)
    end)
  end)
end

require('ffi').cdef 'int raise(int signal_number);'

describe('tk.replay and tk.precision', function()
  it('are settings of the session, kept when the device changes', function()
    local before = tk.device()
    assert.is_true(tk.replay())
    assert.equal('float32', (tk.precision()))
    tk.replay(false)
    local name, note = tk.precision('tf32')
    assert.equal('tf32', name)
    if not before:match('^cuda') then
      assert.matches('computes in float32: nothing changes', note)
    end
    tk.device('cpu')
    assert.is_false(tk.replay())
    assert.equal('tf32', (tk.precision()))
    assert.equal('fast', (tk.precision('fast')))
    assert.same({}, tk.ways()) -- nothing is chosen on a CPU
    assert.equal(17, tk.tensor{{1, 4}}:matmul(tk.tensor{{1}, {4}}):item())
    tk.device(before)
    tk.replay(true)
    assert.equal('float32', tk.precision('float32'))
  end)

  it('refuse what they are not', function()
    assert.matches("replay_spec.lua:%d+: precision 'half' is not one of float32, tf32",
                   fixtures.message(function() tk.precision('half') end))
    assert.matches('replay_spec.lua:%d+: precision: name is 32, expected a string',
                   fixtures.message(function() tk.precision(32) end))
    assert.matches('replay: on is a string, expected true or false',
                   fixtures.message(tk.replay, 'on'))
    assert.equal('float32', (tk.precision()))
  end)
end)
