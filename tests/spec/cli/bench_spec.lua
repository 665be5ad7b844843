-- tinykg bench: its ratios follow from its times, its bytes are those of training; it cleans up.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local json = require 'tinykg.base.json'

-- Runs a command; returns the JSON lines that it prints, by part.
local function lines_of(arguments)
  local parts = {}
  for line in shell.prints('bench --json ' .. arguments):gmatch('[^\n]+') do
    local record = assert(json.decode(line, line))
    parts[record.part] = parts[record.part] or {}
    table.insert(parts[record.part], record)
  end
  return parts
end

local function near(expected, value, share)
  assert.is_true(math.abs(value - expected) <= (share or 1e-4) * expected,
    ('%g, expected %g'):format(value, expected))
end

describe('bench', function()
  local dir, set

  setup(function() dir, set = shell.demo(60, 80) end)
  teardown(fixtures.clean)

  it('says what it runs on', function()
    local parts = lines_of('codec --quick --threads 1')
    local machine = parts.machine[1]
    assert.equal(1, machine.threads)
    assert.equal('cpu', machine.device:match('^%l+'):gsub('emu', 'cpu'))
    local out = shell.prints('doctor')
    assert.equal(out:match('vector code +(%w+)'), machine.vector_code)
    assert.equal(out:match('tinykg (%S+)'), machine.version)
  end)

  it('compares ops with copying and multiplying', function()
    local ops, named = lines_of('ops --quick').ops, {}
    for _, op in ipairs(ops) do
      named[op.op] = op
      assert.is_true(op.min_ms > 0 and op.min_ms <= op.median_ms, op.op)
    end
    for _, op in ipairs(ops) do
      near(op.min_ms / named.copy.min_ms, op.x_copy)
      near(op.min_ms / named['matmul, 64 x 64'].min_ms, op.x_matmul)
    end
    assert.equal(1, named.copy.x_copy)
    assert.is_table(named['edge_softmax, backward'])
  end)

  it('counts the edges of a data set', function()
    local op = lines_of('ops --quick --data ' .. set).ops[1]
    local data = require('tinykg.data').load(set)
    assert.equal(2 * (data.graph.n + data.train.n), op.edges)
    assert.equal(data.users + data.entities, op.nodes)
  end)

  it('says how small codes are', function()
    local codes = lines_of('codec --quick').codec
    assert.equal(16, #codes)
    for _, code in ipairs(codes) do -- a row of 64: its codes, and two halves for its range
      near(64 * 4 / (64 * code.bits / 8 + 4), code.ratio)
      near(code.encode_ns / code.copy_ns, code.encode_x_copy)
    end
  end)

  it('says what a step costs beside arithmetic: little', function()
    local rows = lines_of('overhead --quick --threads 1').overhead
    assert.equal(4, #rows)
    for k = 3, 4 do
      local few, many = rows[k - 2], rows[k]
      near((many.min_us - few.min_us) / (many.ops - few.ops), many.us_per_op, 1e-3)
      near(many.min_us, many.us_per_step + many.ops * many.us_per_op, 1e-3)
    end
    if os.getenv('TINYKG_CHECK') or os.getenv('TINYKG_DEVICE') then return end
    assert.is_true(rows[3].us_per_op < 2 and rows[3].us_per_step < 30)
  end)

  it('has the bytes of training', function()
    local settings = '--set dim=32 --set batch_size=256 --set neighbors=8'
    local found = lines_of(('step --data %s --recipe recipes/kgcn.lua --bits 32,2 --steps 3 %s')
      :format(set, settings)).step
    assert.equal(2, #found)
    for k, bits in ipairs { 32, 2 } do
      local run = ('%s/run%d'):format(dir, bits)
      shell.prints(('run recipes/kgcn.lua --quiet --data %s --out %s --bits %d --set epochs=1 %s')
        :format(set, run, bits, settings))
      local kept = fixtures.json(run .. '/summary.json').kept
      assert.equal(bits, found[k].bits)
      assert.equal(kept.stored_bytes, found[k].kept_bytes)
      assert.equal(kept.reference_bytes, found[k].reference_bytes)
      near(found[k].min_ms / found[1].min_ms, found[k].x_first)
    end
    assert.is_true(found[2].kept_bytes < found[1].kept_bytes)
  end)

  it('reads what is there, and ranks whom it should', function()
    local parts = lines_of('load eval --quick --data ' .. set)
    local bytes, last = 0, parts.load[#parts.load]
    for _, name in ipairs(fixtures.names(set)) do
      bytes = bytes + #fixtures.bytes(set .. '/' .. name)
    end
    assert.matches('^data set data,', last.what)
    near(bytes / 1e6, last.megabytes)
    near(last.megabytes * 1e3 / last.min_ms, last.mb_s)
    local data, users = require('tinykg.data').load(set, { task = 'ranking' }), {}
    for i = 0, data.test.n - 1 do users[data.test.users[i]] = true end
    local count = 0
    for _ in pairs(users) do count = count + 1 end
    assert.equal(count, parts.eval[1].users)
  end)

  it('prints tables, and leaves no files', function()
    local temporary = dir .. '/temporary'
    assert(require('lfs').mkdir(temporary))
    local out = shell.prints('bench --quick', 'TMPDIR=' .. temporary)
    for _, text in ipairs { 'tinykg %S+, device', 'op +min ms +median', 'bits +rounding',
      'step +bits', 'what +MB', 'users/s', 'KGAT kg +2 ' } do
      assert.matches('\n' .. text:gsub('^users', '[^\n]*users'), out)
    end
    assert.same({}, fixtures.names(temporary))
    shell.refuses('bench eval --data /nowhere', 1, '/nowhere: no such folder')
    shell.gives(130, 'TMPDIR=' .. temporary ..
      ' timeout --preserve-status --signal INT 2 ./tinykg bench ops', 'interrupted')
    assert.same({}, fixtures.names(temporary))
  end)

  it('refuses wrong usage with one line', function()
    shell.refuses('bench speed', 2, "part.*'ops'.*'all'")
    shell.refuses('bench --bits 3', 2, '%-%-bits: 3 is not')
    shell.refuses('bench --threads few', 2, "%-%-threads: 'few' is not a whole number")
    shell.refuses('bench --steps 0', 2, "%-%-steps: '0' is not")
    shell.refuses('bench --device tpu', 2, 'tpu is not auto')
    shell.refuses('bench --set dim=3', 2, '%-%-set: %-%-recipe')
    shell.refuses('bench ops --steps 3', 2, '%-%-steps: it is of step')
    shell.refuses('bench codec load --out x', 2, '%-%-out: it is of growth')
    shell.refuses('bench growth --quick --out /dev/null/x', 1, -- before it measures
                  '^tinykg: /dev/null: cannot be made: it is there and is not a folder')
    shell.refuses('bench step --quick --recipe nope.lua', 1, 'nope.lua: no such recipe')
  end)
end)

describe('what is measured', function()
  local clock, measure = require 'tinykg.base.clock', require 'tinykg.bench.measure'
  local real = clock.now
  after_each(function() clock.now = real end)

  -- A case that takes the given seconds, one after the other.
  local function taking(times, time, log, name)
    local k = 0
    return { run = function()
      k = k + 1
      time.now, log[#log + 1] = time.now + times[k], name
    end }
  end

  it('is taken in turns; two rounds warm up', function()
    local time, log = { now = 0 }, {}
    clock.now = function() return time.now end
    local a = taking({ 9, 9, .5, .25, .75, 2, 1 }, time, log, 'a')
    local b = taking({ 9, 9, 3, 1, 2, 1, 4 }, time, log, 'b')
    measure.turns({ a, b }, { rounds = 5 })
    assert.equal('a b a b a b a b a b a b a b', table.concat(log, ' '))
    assert.same({ 250, 750 }, { a.min, a.median })
    assert.same({ 1000, 2000 }, { b.min, b.median })
  end)

  it('ends when the time is over, but not before three rounds', function()
    local time, log = { now = 0 }, {}
    clock.now = function() return time.now end
    local slow = taking({ 1, 1, 1, 1, 1, 1, 1, 1 }, time, log, 's')
    measure.turns({ slow }, { seconds = 1 })
    assert.equal(2 + 3, #log)
    local quick = taking({ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, time, log, 'q')
    measure.turns({ quick }, { seconds = 6.5 })
    assert.equal(7, #quick.times + 2)
  end)
end)
