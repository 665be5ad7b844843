-- A GPU as training meets it: the CPU's losses, memory as planned, no driver. TINYKG_DEVICE says
-- which one ('cuda' in make test-gpu); the emulated one by default.
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local tensors = require 'tests.support.tensors'

local DEVICE = os.getenv('TINYKG_DEVICE') or 'emu'
local LIB = os.getenv('TINYKG_LIB') or 'build/libtinykg.so'
local before = tk.device()

--- A new engine on the device under test: empty memory, no plans. False, and pending, without one.
local function fresh()
  collectgarbage()
  collectgarbage()
  local ok, message = emulation.open(DEVICE)
  if not ok then pending(tostring(message)) end
  tk.seed(1)
  return ok
end

describe('training on ' .. DEVICE, function()
  local dir
  setup(function()
    dir = fixtures.dir() .. '/data'
    require('tinykg.data.demo').write(dir, {users = 100, items = 100})
  end)
  teardown(function()
    fixtures.clean()
    tk.device(before)
  end)

  local RECIPES = {
    kgcn = {dim = 16, hops = 2, neighbors = 4, lr = 5e-3, batch_size = 32},
    ['bpr-mf'] = {dim = 16, lr = 1e-2, batch_size = 32},
  }

  --- Losses of the first 50 steps, and how many of them were replayed.
  local function losses(name, device, bits)
    tk.device(device)
    tk.seed(1)
    local data, recipe = tk.data.load(dir, {seed = 1}), dofile('recipes/' .. name .. '.lua')
    local o = recipe:complete(RECIPES[name])
    local model, list = recipe.build(data, o), {}
    local step = tk.step(function(batch) return model:loss(batch) end, {
      optimizer = tk.optim.adam{lr = o.lr, weight_decay = o.l2}, bits = bits, small = 0})
    for batch in data:batches{size = o.batch_size, seed = 1, epoch = 1} do
      list[#list + 1] = step(batch)
      if #list == 50 then break end
    end
    return list, step:figure('replayed')
  end

  for name in pairs(RECIPES) do
    for _, bits in ipairs{32, 2} do
      it(('%s follows the losses of the CPU at %d bits'):format(name, bits), function()
        if not fresh() then return end
        local expected = losses(name, 'cpu', bits)
        local got, replayed = losses(name, DEVICE, bits)
        assert.equal(50, #expected)
        for i = 1, 50 do
          assert.is_true(math.abs(expected[i] - got[i]) < 1e-4,
                         ('step %d: %.7g, on the CPU %.7g'):format(i, got[i], expected[i]))
        end
        assert.is_true(DEVICE == 'cpu' or replayed > 40, replayed .. ' steps replayed')
      end)
    end
  end
end)

describe('a tensor', function()
  teardown(function() tk.device(before) end)

  it('says where it lies, whatever the device is by now', function()
    if not fresh() then return end
    local name = tk.device()
    local kept, parameter = tk.ones(2, 2), tk.parameter(tk.ones(3))
    tk.device('cpu')
    assert.matches('f32 [2, 2] ' .. name .. '  mean 1', tostring(kept), 1, true)
    assert.matches('f32 [3] ' .. name .. ' parameter', tostring(parameter), 1, true)
    assert.matches('f32 [2] cpu  mean 1', tostring(tk.ones(2)), 1, true)
  end)
end)

describe('a change of the device', function()
  --- Opens the CPU anew, which is then another device to what was made before.
  local function change() runtime.open('cpu') end
  before_each(change)
  teardown(function() tk.device(before) end)

  local function refuses(expected, fn)
    local message = fixtures.message(fn)
    assert.truthy(message:find(expected, 1, true), message)
  end

  it('to the one that is used changes nothing', function()
    local w = tk.parameter(tk.ones(2))
    local y = w * 2
    tk.device(tk.device())
    tk.device('cpu')
    assert.equal(4, (w * y):sum():item())
    assert.equal(2, (tk.step(function()
      tk.device('cpu')
      return w:sum()
    end)()))
  end)

  it('is refused inside a step', function()
    local w = tk.parameter(tk.ones(2))
    local step = tk.step(function()
      pcall(tk.device, 'emu')
      refuses('device: it cannot be changed inside a step', function() tk.device('cuda') end)
      return w:sum()
    end)
    assert.equal(2, step())
    assert.equal('cpu', tk.device())
  end)

  it('leaves a tensor where it is, which is said wherever it is used', function()
    local kept, lazy = tk.ones(2), tk.ones(2) * 2
    local loss = (tk.parameter(tk.ones(2)) * 3):sum()
    local w, optimizer = tk.parameter(tk.ones(2)), tk.optim.sgd{lr = 1}
    local old = tk.step(function(x) return (w * x):sum(), x end)
    change()
    local ELSEWHERE = 'a tensor made before the device was changed, on cpu, cannot be used'
    local new = tk.parameter(tk.ones(2))
    refuses(ELSEWHERE, function() return kept + 1 end)
    refuses(ELSEWHERE, function() return new * kept end)
    refuses(ELSEWHERE, function() tk.step(function() return (new * kept):sum() end)() end)
    refuses(ELSEWHERE, function() tk.step(function() return new:sum(), kept end)() end)
    refuses(ELSEWHERE, function() old(tk.ones(2) * 2) end)
    refuses(ELSEWHERE, function() old(tk.ones(2)) end)
    refuses('a value made on another device than cpu', function() lazy:totable() end)
    refuses('a value made on another device than cpu', function() loss:backward() end)
    local step = tk.step(function() return new:sum() end, {optimizer = optimizer})
    refuses('an optimizer made on another device than cpu', step)
    assert.same({1, 1}, kept:totable())
    assert.equal(2, (old(kept)))
    assert.equal(6, (new * 3):sum():item())
  end)
end)

describe('memory of ' .. DEVICE, function()
  teardown(function() tk.device(before) end)

  --- A step whose arena takes some `rows` KiB: a chain of values that backward reads.
  local function chain(rows, bits)
    local random = tensors.drawn_from(require('tests.support.reference_ops').random(2))
    local x, w = tk.ones(rows, 64), random.parameter(64, 64)
    local step = tk.step(function()
      local h = x
      for _ = 1, 4 do h = h:matmul(w):tanh() end
      return h:square():mean()
    end, {optimizer = tk.optim.adam{lr = 1e-3}, bits = bits, small = 0})
    return step
  end

  for _, bits in ipairs{32, 2} do
    it(('is what the plan said, by kind, at %d bits'):format(bits), function()
      if not fresh() then return end
      local step = chain(1000, bits):plan()
      local arena, at = step:figure('arena_bytes'), tk.memory().live
      local state = 2 * 4 * 64 * 64 -- Adam's, made when the step was planned
      assert.equal(state, at.optimizer)
      step()
      local now = tk.memory()
      assert.equal(at.total + arena, now.live.total - 4 * (now.live.data > at.data and 1 or 0))
      for _, kind in ipairs{'kept_exact', 'kept_quantized', 'gradient'} do
        assert.equal(step:figure(kind), now.live[kind], kind)
      end
      assert.equal(step:figure('arena_bytes'), now.live.kept_exact + now.live.kept_quantized
        + now.live.gradient + now.live.transient)
    end)

    it(('is what the device gave, at %d bits'):format(bits), function()
      if not fresh() then return end
      if not tk.memory().device then return pending('the CPU does not count') end
      for _ = 1, 3 do chain(100, bits)() end -- kernels and libraries are loaded
      if not fresh() then return end
      local step = chain(DEVICE == 'emu' and 4000 or 400000, bits)
      collectgarbage()
      local device, live = tk.memory().device, tk.memory().live.total
      step()
      local after, grown = tk.memory().device, tk.memory().live.total - live
      local arena = step:figure('arena_bytes')
      assert.is_true(grown >= arena)
      -- blocks of 512 bytes, of which a few are new
      assert.is_true(math.abs(after.used - device.used - grown) < 16 * 512)
      assert.is_true(after.peak >= after.used and after.held >= after.used)
      if DEVICE:match('^cuda') then -- of the driver's pages, 2 MiB each
        local taken, held = device.free - after.free, after.held - device.held
        assert.is_true(math.abs(taken - held) <= 32 * 2 ^ 20,
                       ('%.1f MiB taken, %.1f planned'):format(taken / 2 ^ 20, held / 2 ^ 20))
      end
    end)
  end

  it('is given back', function()
    if not fresh() then return end
    local live = tk.memory().live.total
    local x = tk.zeros(1000)
    assert.equal(live + 4000, tk.memory().live.total)
    x:free()
    assert.equal(live, tk.memory().live.total)
  end)
end)

describe('TF32 on ' .. DEVICE, function()
  teardown(function() tk.device(before) end)

  it('rounds products where there is such a device, and nothing else', function()
    if not fresh() then return end
    local random = tensors.drawn_from(require('tests.support.reference_ops').random(8))
    local a, b = random.noise(256, 256), random.noise(256, 256)
    local function product(precision)
      tk.precision(precision)
      local out = (a * 1):matmul(b)
      local list = tensors.flat(out)
      tk.precision('float32')
      return list, tensors.bytes(out)
    end
    local exact, bits = product('float32')
    local rounded, other = product('tf32')
    local _, again = product('float32')
    assert.is_true(bits == again)
    if not DEVICE:match('^cuda') then assert.is_true(bits == other) end
    local square, off = 0, 0
    for i = 1, #exact do
      square, off = square + exact[i] ^ 2, off + (exact[i] - rounded[i]) ^ 2
    end
    assert.is_true(math.sqrt(off / square) < 2e-3)
  end)
end)

describe('an emulated GPU', function()
  local ENGINE = ('TINYKG_LIB=%s/libtinykg.so %s -e "%s"')

  it('that is lost is said to be, not to have no memory, whatever is asked of it then', function()
    if not emulation.is_there() then return pending('not built: make emu-tests') end
    local text = shell.gives(0, ([[TINYKG_DEVICE=emu TINYKG_LIB='%s' %s -e "
      local tk, ffi = require 'tinykg', require 'ffi'
      ffi.cdef 'int setenv(const char *, const char *, int);'
      local x = tk.tensor{1, 2}
      ffi.C.setenv('EMU_LOST', '1', 1)
      for _, use in ipairs{function() return (x + 1):sum():item() end,
                           function() return tk.zeros(3) end,
                           function() return (x * 2):sum():item() end} do
        print(select(2, pcall(use)))
      end"]]):format(LIB, arg and arg[-1] or 'luajit'))
    local lines = {}
    for line in text:gmatch('[^\n]+') do lines[#lines + 1] = line end
    assert.equal(3, #lines, text)
    for _, line in ipairs(lines) do assert.matches('illegal memory access', line) end
    assert.matches('emu:0 is lost to this process', lines[2])
    assert.is_nil(text:find('no memory', 1, true), text)
  end)

  it('of other sources than the engine is not opened', function()
    local dir = fixtures.dir() .. '/stale'
    shell.gives(0, ("mkdir -p '%s' && cp '%s' '%s/libtinykg.so' && echo 'int tkg_backend_open;' "
      .. "| ${CC:-cc} -shared -xc -o '%s/libtinykg_emu.so' -"):format(dir, LIB, dir, dir))
    local text = shell.gives(0, ENGINE:format(dir, arg and arg[-1] or 'luajit',
      "print(select(2, pcall(require('tinykg').device, 'emu')))"))
    assert.matches('libtinykg_emu.so was built from other sources than libtinykg.so', text)
    assert.matches('make emu builds it again', text)
  end)
end)

describe('without a GPU', function()
  --- Runs a line of Lua in a process that sees no device.
  local function blind(device, line)
    return (select(2, shell.sh(
      ("CUDA_VISIBLE_DEVICES=-1 TINYKG_DEVICE=%s TINYKG_LIB='%s' %s -e \"%s\"")
      :format(device, LIB, arg and arg[-1] or 'luajit', line))))
  end

  it('auto takes the CPU and says why', function()
    local text = blind('auto', "local tk = require 'tinykg'; print(tk.device())" ..
                       "; print(tk.tensor{1, 2}:sum():item())")
    assert.matches('^cpu\t[^\n]+\n3\n$', text)
  end)

  it('cuda says in a line what is missing', function()
    local text = blind('cuda', "local ok, m = pcall(require, 'tinykg'); print(ok, m)")
    assert.matches("^false\tdevice 'cuda': [^\n]+\n$", text)
  end)
end)

