-- What a run will take, said before it starts: compared with what runs then count, and with sizes
-- worked out by hand.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

local home = os.getenv('TINYKG_HOME') or '.'
local WIDTHS = {32, 8, 4, 2, 1}

local function planned(arguments)
  return json.decode(shell.prints('memory ' .. arguments .. ' --json'), 'memory --json')
end

describe('tinykg memory', function()
  local dir, data
  setup(function() dir, data = shell.demo(90, 120) end)
  teardown(fixtures.clean)

  --- Figures of a plan beside those of some epochs of training: the same bytes.
  local function agrees(arguments, count, epochs)
    local every = arguments:find('eval_every', 1, true) and '' or ' --set eval_every=1'
    arguments = arguments .. every .. ' --set epochs=' .. (epochs or 1)
    local plan, out = planned(arguments), dir .. '/run'
    shell.prints('run ' .. arguments .. ' --quiet --force --out ' .. out)
    local summary = fixtures.json(out .. '/summary.json')
    assert.same(summary.memory, plan.memory)
    assert.same(summary.kept, plan.kept)
    assert.same(summary.columns.op_by_op, plan.columns.op_by_op)
    assert.equal(summary.bits, summary.columns.chosen.bits)
    for _, column in ipairs{'bits_32', 'chosen'} do
      assert.equal(plan.columns[column].kept, summary.columns[column].kept)
      assert.equal(plan.columns[column].peak, summary.columns[column].peak)
    end
    assert.equal(summary.bits, plan.bits)
    assert.is_true(plan.step.peak <= plan.memory.peak)
    assert.equal(1, #plan.widths)
    local kept = fixtures.json(out .. '/kept.json')
    assert.equal(count or 1, #kept.phases)
    assert.same(kept.phases, plan.widths[1].phases)
  end

  it('says what training then counts, on the CPU', function()
    local on = ' --device cpu --threads 2 --data ' .. data
    agrees('recipes/bpr-mf.lua --bits 32' .. on)
    agrees('recipes/kgcn.lua --bits 2 --set batch_size=512 --set hops=2' .. on)
    agrees('recipes/kgat.lua --bits 32 --data-set task=ranking' .. on, 2)
    agrees('recipes/kgat.lua --bits 2 --data-set task=ranking' .. on, 2)
    agrees('recipes/lightgcn.lua --bits 1' .. on)
    agrees('recipes/kgat.lua --bits 2 --data-set task=ranking --set optimizer_bits=8 ' ..
           '--set optimizer_rowwise=true --set parameter_bits=16' .. on, 2)
    -- graphs that evaluation makes stay, as do attention weights until the next are there
    agrees('recipes/kgat.lua --bits 32' .. on, 2, 3)
    agrees('recipes/kgin.lua --bits 2' .. on, 1, 2)
    agrees('recipes/ckan.lua --bits 2 --set user_triples=4 --set item_triples=4' .. on, 1, 2)
    agrees('recipes/diffkg.lua --bits 2 --set dim=16 --set hidden=32' .. on, 2, 2)
    agrees('recipes/mcclk.lua --bits 2 --set dim=16' .. on, 1, 3)
    -- an epoch without an evaluation before it begins beside the memory of the last one's steps
    agrees('recipes/mcclk.lua --bits 2 --set dim=16 --set eval_every=2' .. on, 1, 5)
    local unsplit = ' --data-set task=ranking --data-set ratios=0.8:0:0.2' -- no validation
    agrees('recipes/mcclk.lua --bits 2 --set dim=16' .. on .. unsplit, 1, 3)
    -- gradients of many batches are added up in the memory of one batch's
    agrees('recipes/bpr-mf.lua --bits 32 --set accumulate=3 --set batch_size=64' .. on, 1, 2)
    agrees('recipes/kgat.lua --bits 2 --data-set task=ranking --set accumulate=2 ' ..
           '--set batch_size=64' .. on, 2, 2)
    -- pairs, of which many are scored at once, and a sample of them
    agrees('recipes/kgcn.lua --bits 2 --data-set task=ranking' .. on)
    agrees('recipes/kgcn.lua --bits 2 --data-set task=ranking --set eval_negatives=uni100 ' ..
           '--set eval_users=30' .. on)
    -- lists of pairs that an evaluation scores, of full blocks and of the last
    local _, many_users = shell.demo(300, 60)
    agrees(('recipes/ripplenet.lua --bits 2 --device cpu --data-set task=ranking --data %s'):format(
      many_users), 1, 2)
  end)

  it('says what training then counts, with the GPU\'s kernels', function()
    if not emulation.is_there() then return pending('no libtinykg_emu.so') end
    local on = ' --device emu --threads 2 --data ' .. data
    agrees('recipes/kgcn.lua --bits 4 --set optimizer_lazy=true' .. on)
    agrees('recipes/kgat.lua --bits 2' .. on, 2)
    agrees('recipes/lightgcn.lua --bits 2 --set optimizer_rowwise=true --set parameter_bits=16' ..
           on)
    -- its last batch, of 48, keeps less than a full one and takes more: it is computed by rows
    agrees('recipes/kgin.lua --bits 2 --set batch_size=192 --set dim=16' .. on)
  end)

  it('does not depend on when Lua collects garbage', function()
    local recipe = dir .. '/waste.lua'
    fixtures.write(recipe, [[
local tk = require 'tinykg'
local mf = dofile 'recipes/bpr-mf.lua'
local build, waste = mf.build, tonumber(os.getenv 'WASTE')
function mf.build(data, o)
  local model = build(data, o)
  local loss = getmetatable(model).loss
  function model:loss(batch)
    for _ = 1, 100 do tk.zeros(5000) end
    local text = ''
    for k = 1, waste do text = text .. k end
    return loss(self, batch)
  end
  return model
end
return mf]])
    local function data_of(waste)
      local text = shell.prints('memory ' .. recipe .. ' --json --bits 32 --data ' .. data,
                                'WASTE=' .. waste)
      return json.decode(text).memory.data
    end
    assert.equal(data_of(1), data_of(10000))
  end)

  it('does not depend on which loops LuaJIT compiled', function()
    local eager = dir .. '/eager'
    local luajit = os.getenv('LUAJIT') or 'luajit'
    fixtures.write(eager, ('#!/bin/sh\nexec %s $JIT "$@"\n'):format(luajit))
    assert.equal(0, (shell.sh('chmod +x ' .. eager)))
    local function plan_of(recipe, jit)
      local arguments = ('memory recipes/%s.lua --json --bits 2 --budget 1GiB --data %s'):format(
        recipe, data)
      return json.decode(shell.prints(arguments, ('LUAJIT=%s JIT=%s'):format(eager, jit)))
    end
    for _, recipe in ipairs{'kgcn', 'kgat', 'lightgcn'} do
      local interpreted = plan_of(recipe, '-joff')
      for hot = 1, 6 do assert.same(interpreted, plan_of(recipe, '-Ohotexit=1,hotloop=' .. hot)) end
    end
  end)

  it('counts tables of 16 bits and row-wise moments as multiplied by hand', function()
    local plan = planned('recipes/bpr-mf.lua --set dim=48 --set parameter_bits=16 ' ..
                         '--set optimizer_rowwise=true --set optimizer_bits=8 --data ' .. data)
    assert.equal(2 * 48 * (90 + 120), plan.memory.parameter)
    assert.equal((48 + 8) * (90 + 120), plan.memory.optimizer) -- a code each, two numbers a row
  end)

  it('counts parameters and moments as multiplied by hand', function()
    local plan = planned('recipes/bpr-mf.lua --set dim=24 --data ' .. data)
    assert.equal(4 * 24 * (90 + 120), plan.memory.parameter)
    assert.equal(2 * plan.memory.parameter, plan.memory.optimizer) -- Adam's two
    assert.equal(32, plan.bits)
    for i, bits in ipairs(WIDTHS) do assert.equal(bits, plan.widths[i].bits) end
    local width = plan.widths[1]
    assert.same(plan.memory, width.memory)
    local sum = 0
    for kind, bytes in pairs(width.step) do sum = sum + (kind == 'peak' and 0 or bytes) end
    assert.equal(width.step.peak, sum)
  end)

  it('shows what is kept and the peak of the run beside op-by-op FP32 and 32 bits', function()
    local arguments = 'recipes/lightgcn.lua --set dim=128 --data ' .. data
    local all, two = planned(arguments), planned(arguments .. ' --bits 2')
    local exact, chosen = all.widths[1], two.widths[1]
    assert.same({32, 2}, {exact.bits, chosen.bits})
    local reference = two.columns.op_by_op
    assert.same({op_by_op = reference, bits_32 = {kept = exact.kept.stored_bytes,
                                                  peak = exact.memory.peak},
                 chosen = {bits = 2, kept = chosen.kept.stored_bytes, peak = chosen.memory.peak}},
                two.columns)
    assert.same(reference, all.columns.op_by_op) -- whatever our width
    assert.equal(two.kept.reference_bytes, reference.kept)
    -- parameters, moments, a gradient and Adam's denominator are less than all of it
    assert.is_true(reference.peak > 6 * two.memory.parameter)
    local format = require 'tinykg.base.format'
    local function row(of, label, ...)
      local cells = {...}
      for i, bytes in ipairs(cells) do cells[i] = format.bytes(bytes):gsub('%p', '%%%0') end
      assert.matches('\n' .. label .. ' +' .. table.concat(cells, ' +') .. '\n', of)
    end
    local text = shell.prints('memory ' .. arguments .. ' --bits 2')
    assert.matches('\n +op%-by%-op FP32 +32 bits +2 bits\n', text)
    row(text, 'kept for backward', reference.kept, exact.kept.stored_bytes,
        chosen.kept.stored_bytes)
    row(text, 'peak of the whole run', reference.peak, exact.memory.peak, chosen.memory.peak)
    assert.matches(('\n  times less +%%S+ +%.1f\n'):format(reference.peak / chosen.memory.peak),
                   text)
    local run = shell.prints('run ' .. arguments .. ' --quiet --set epochs=1 --bits 2 --force ' ..
                             '--out ' .. dir .. '/three')
    row(run, 'kept for backward', reference.kept, exact.kept.stored_bytes,
        chosen.kept.stored_bytes)
    local exact_run = shell.prints('run ' .. arguments .. ' --quiet --set epochs=1 --force --out '
                                   .. dir .. '/two')
    assert.matches('\n +op%-by%-op FP32 +32 bits\n', exact_run)
    assert.equal(32, fixtures.json(dir .. '/two/summary.json').columns.chosen.bits)
  end)

  it('shows widths side by side, by kind and by recipe line', function()
    local arguments = 'memory recipes/lightgcn.lua --data ' .. data
    local out, err = shell.works(arguments)
    assert.equal('', err)
    assert.matches('a training step at its peak +32 bits +8 bits +4 bits +2 bits +1 bit\n', out)
    assert.matches('\n  kept_quantized +0 B +[%d.]+ KiB', out)
    assert.matches('\n  lightgcn%.lua:%d+ %S+ %d+x64 ', out)
    assert.matches('the run fits in nine tenths of what is free, .*: 32, 8, 4, 2, 1\n$', out)
    local more = shell.prints('memory recipes/kgat.lua --bits 2 --data ' .. data)
    local all = shell.prints('memory recipes/kgat.lua --bits 2 --all --data ' .. data)
    local hidden = tonumber(more:match('\n  (%d+) more'))
    local function rows(text) return select(2, text:gsub('kgat%.lua:%d+', '')) end
    assert.equal(rows(more) + hidden, rows(all))
    assert.matches('\n +op%-by%-op FP32 +32 bits +2 bits\nkept for backward ', all)
    assert.matches('\na training step at its peak +2 bits\n', all)
  end)

  it('trains nothing and writes nothing', function()
    local before = fixtures.names(data)
    local where = fixtures.dir()
    shell.gives(0, ('home=$(pwd) && cd %s && $home/tinykg memory recipes/kgcn.lua --data %s')
      :format(where, data))
    assert.same({}, fixtures.names(where))
    assert.same(before, fixtures.names(data))
  end)

  it('says which widths fit as they are', function()
    local arguments, peaks = 'recipes/lightgcn.lua --set dim=128 --data ' .. data, {}
    for _, width in ipairs(planned(arguments).widths) do peaks[width.bits] = width.memory.peak end
    local found = planned(('%s --bits auto --budget %dB'):format(arguments, peaks[4]))
    local fits = {}
    for _, bits in ipairs(WIDTHS) do fits[#fits + 1] = peaks[bits] <= peaks[4] and bits or nil end
    assert.is_true(#fits >= 1 and #fits < 5) -- or this says nothing
    assert.same(fits, found.fits)
  end)

  it('refuses wrong usage in one line', function()
    for arguments, pattern in pairs{
      ['recipes/kgcn.lua'] = '%-%-data DIR is needed',
      ['recipes/kgcn.lua --data ' .. data .. ' --bits 3'] = "%-%-bits .*'3' is not valid",
      ['recipes/kgcn.lua --data ' .. data .. ' --budget 2XB'] = "%-%-budget: '2XB' is no size",
      ['recipes/kgcn.lua --data ' .. data .. ' --set dimm=3'] = 'has no option dimm',
      [''] = "missing argument 'recipe'",
    } do
      shell.refuses('memory ' .. arguments, 2, pattern)
    end
  end)
end)

describe('a plan of a run', function()
  local plan = require 'tinykg.train.memory.plan'
  local tk = require 'tinykg'
  local train = require 'tinykg.train'
  local recipe_file = require 'tinykg.train.recipe_file'
  local data, recipe, o

  setup(function()
    data = tk.data.load((select(2, shell.demo(60, 80))))
    recipe = recipe_file.load(home .. '/recipes/lightgcn.lua')
    o = recipe:complete{dim = 128, epochs = 1}
  end)
  teardown(fixtures.clean)

  it('leaves no trace: training after it gives the same bits', function()
    local function trained(first)
      tk.seed(5)
      if first then first() end
      local drawn = tk.randn(3):totable()
      local result = train.run(recipe, data, o, {bits = 2, rounding = 'dither', quiet = true})
      local state = {}
      for name, t in pairs(result.model:state()) do state[name] = t:totable() end
      return drawn, state, result.valid, result.test
    end
    local expected = {trained()}
    local live
    local found = {trained(function()
      collectgarbage()
      live = tk.memory().live
      plan.of(recipe, data, o, {rounding = 'dither'})
      assert.same(live, tk.memory().live)
    end)}
    assert.same(expected, found)
  end)

  it('reads sizes', function()
    local bytes = require('tinykg.cli.options').bytes
    for text, expected in pairs{['2GiB'] = 2147483648, ['1.5 MB'] = 1500000, ['2G'] = 2147483648,
                                ['3000000'] = 3e6,
                                ['64 B'] = 64, ['7kb'] = 7000, ['1KiB'] = 1024, ['.5GB'] = 5e8} do
      assert.equal(expected, bytes(text, '--budget'))
    end
    for _, text in ipairs{'', '8', '300', 'GiB', '-2GiB', '1e3', '2 G iB', '0', '1.2.3MB'} do
      local ok, e = pcall(bytes, text, '--budget')
      assert.is_false(ok, text)
      assert.matches("^%-%-budget: '" .. text:gsub('%W', '%%%0') .. "' is no size", e.usage)
    end
  end)

  it('loses no address space to arenas of threads where that is limited', function()
    local path = fixtures.dir() .. '/x.lua'
    fixtures.write(path, [[
      local tk, reserved = require 'tinykg', 0
      tk.threads(2)
      tk.ones(9000, 64):matmul(tk.ones(64, 64)):sum():item()
      for line in io.lines '/proc/self/maps' do
        local from, to, rest = line:match '^(%x+)%-(%x+) %-%-%-p (.*)$'
        local bytes = rest and tonumber(to, 16) - tonumber(from, 16) or 0
        if bytes >= 2^25 and rest:find '^0+ 00:00 0%s*$' then reserved = reserved + 1 end
      end
      print(reserved)]])
    if os.getenv 'TINYKG_CHECK' then return pending('malloc is another one') end
    shell.gives(0, 'ulimit -v 1500000; ./tinykg ' .. path, '^0\n$')
  end)

  it('knows the limits of control groups', function()
    local available = require 'tinykg.engine.free_memory'
    local function free(files)
      local root = fixtures.dir()
      for name, text in pairs(files) do
        os.execute('mkdir -p ' .. root .. '/' .. name:match('^(.*)/'))
        fixtures.write(root .. '/' .. name, text)
      end
      return available(root)
    end
    local meminfo = 'MemTotal:       9000 kB\nMemAvailable:   5000 kB\n'
    assert.equal(5000 * 1024, free{['proc/meminfo'] = meminfo})
    assert.is_nil(free{})
    local v2 = {['proc/meminfo'] = meminfo, ['proc/self/cgroup'] = '0::/a/b\n',
                ['sys/fs/cgroup/a/memory.max'] = '3000000\n',
                ['sys/fs/cgroup/a/memory.current'] = '1000000\n',
                ['sys/fs/cgroup/a/memory.stat'] = 'anon 5\ninactive_file 400000\n',
                ['sys/fs/cgroup/a/b/memory.max'] = 'max\n',
                ['sys/fs/cgroup/a/b/memory.current'] = '7\n'}
    assert.equal(3000000 - 1000000 + 400000, free(v2)) -- the group above is the one with a limit
    local with_limits = {['proc/self/limits'] = 'Limit  Soft Limit  Hard Limit  Units\n'
      .. 'Max data size             unlimited            unlimited            bytes\n'
      .. 'Max address space         4000000000           unlimited            bytes\n',
      ['proc/self/status'] = 'VmSize:     500 kB\nVmData:   100 kB\n',
      ['proc/meminfo'] = 'MemAvailable:   9000000 kB\n'}
    local narrow = require('tinykg.bench.blas').narrow() -- else OpenBLAS makes all products
    local blas = narrow and 0 or require('tinykg').threads() * 128 * 2 ^ 20
    assert.equal(4e9 - 500 * 1024 - blas, free(with_limits))
    with_limits['proc/self/limits'] = 'Max data size   3000000000   unlimited   bytes\n'
    assert.equal(3e9 - 100 * 1024 - blas, free(with_limits))
    v2['sys/fs/cgroup/a/b/memory.max'] = '1000\n'
    assert.equal(993, free(v2))
    assert.equal(2000, free{
      ['proc/meminfo'] = meminfo, ['proc/self/cgroup'] = '7:cpu,memory:/x\n3:pids:/y\n',
      ['sys/fs/cgroup/memory/x/memory.limit_in_bytes'] = '9000\n',
      ['sys/fs/cgroup/memory/x/memory.usage_in_bytes'] = '7500\n',
      ['sys/fs/cgroup/memory/x/memory.stat'] = 'total_inactive_file 500\n'})
  end)
end)
