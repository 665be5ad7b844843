-- The GPU kernels on a CPU: the harness itself, planted bugs that it must catch, and each op
-- against the CPU backend on random shapes. tests/emu says how it works.
local fixtures = require 'tests.spec.fixtures'

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

describe('the emulated GPU', function()
  local folder = (os.getenv('TINYKG_LIB') or 'build/libtinykg.so'):match('^(.*)/')

  it('runs the kernels right and catches planted bugs', function()
    if os.getenv('TINYKG_CHECK') then
      return pending('has checkers of its own: make check-emu-asan, check-emu-tsan')
    end
    if not exists(folder .. '/emu/harness') then return pending('not built: make emu-tests') end
    local pipe = io.popen(string.format(
      "tests/emu/check.sh plain '%s/emu' '%s/libtinykg_emu.so' '%s/libtinykg.so' 2>&1; echo $?",
      folder, folder, folder))
    local text = pipe:read('*a')
    pipe:close()
    assert.matches('\n0\n$', text, text)
    assert.is_nil(text:find('FAIL', 1, true), text)
  end)

  -- Losses of the first steps of KGCN on a generated set, on one device.
  local function losses(device, dir, bits)
    local tk = require 'tinykg'
    tk.device(device)
    tk.seed(1)
    local data, recipe = tk.data.load(dir, {seed = 1}), dofile('recipes/kgcn.lua')
    local o = recipe:complete{dim = 16, hops = 2, neighbors = 4, lr = 5e-3}
    local model, list = recipe.build(data, o), {}
    local step = tk.step(function(batch) return model:loss(batch) end, {
      optimizer = tk.optim.adam{lr = o.lr, weight_decay = o.l2}, bits = bits, small = 0})
    for batch in data:batches{size = 32, seed = 1, epoch = 1} do
      list[#list + 1] = step(batch)
      if #list == 50 then break end
    end
    tk.device('cpu')
    return list
  end

  for _, bits in ipairs{32, 2} do
    it('trains KGCN as the CPU does, at ' .. bits .. ' bits', function()
      if not exists(folder .. '/libtinykg_emu.so') then return pending('not built: make emu') end
      local dir = fixtures.dir() .. '/data'
      require('tinykg.data.demo').write(dir, {users = 100, items = 100})
      local expected, got = losses('cpu', dir, bits), losses('emu', dir, bits)
      assert.equal(50, #expected)
      for i = 1, 50 do assert.is_true(math.abs(expected[i] - got[i]) < 1e-4, 'step ' .. i) end
      fixtures.clean()
    end)
  end
end)
