-- Random programs over every op, in every way to run them, against double precision: a few
-- thousand from the date as seed. tests/faults/programs has the harness; `make fuzz-programs` runs
-- any number.
local tk = require 'tinykg'
local check = require 'tests.faults.programs.check'
local compare = require 'tests.faults.programs.compare'
local coverage = require 'tests.faults.programs.coverage'
local engine = require 'tests.faults.programs.engine'
local forms = require 'tests.faults.programs.forms_graph'
local make = require 'tests.faults.programs.make'
local mean = require 'tests.faults.programs.mean'
local minimise = require 'tests.faults.programs.minimise'
local ops = require 'tests.support.reference_graph'
local program = require 'tests.faults.programs.program'
local random = require 'tests.faults.programs.random'
local run = require 'tests.faults.programs.run'
local source = require 'tests.faults.programs.source'
local ways = require 'tests.faults.programs.ways'

local checker = os.getenv 'TINYKG_CHECK'
local PROGRAMS = checker == 'valgrind' and 30 or checker and 300 or 4000
local MEANS = checker and 3 or 80

-- Ops that no program can be asked to reach, with the reason.
local UNREACHED = {first_index = 'of lazy updates alone, whose rule is in row_updates_spec'}

describe('random programs', function()
  it('compute what double precision does, in every way to run them, and use every op', function()
    local lines, seed = {}, run.seed_of_today()
    local result = run.all{programs = PROGRAMS, means = MEANS, seed = seed,
                           print = function(text) lines[#lines + 1] = text end}
    print(('  %d random programs from seed %d: make fuzz-programs N=%d SEED=%d'):format(
      PROGRAMS, seed, PROGRAMS, seed))
    assert(result.failures == 0, table.concat(lines, '\n'))
    assert.is_true(result.totals.programs > 0.9 * PROGRAMS)
    assert.equal(MEANS, result.means)
    if not checker then
      for _, name in ipairs(result.coverage:missing()) do
        assert(UNREACHED[name], 'no random program used the op ' .. name)
      end
    end
  end)

  it('say the same for the same seed', function()
    for seed = 1, 20 do
      local first, second = make(seed), make(seed)
      assert.equal(first and source.of(first), second and source.of(second))
    end
  end)
end)

-- The reference is tested, too: its gradients against differences, in double precision.
describe('the gradients of the reference', function()
  --- The loss where leaf i is moved by h along a direction drawn from `seed`.
  local function loss_at(p, i, seed, h)
    local plain = program.value
    program.value = function(node, values, generator)
      local value = plain(node, values, generator)
      if node == p.nodes[i] then
        local r = random.new(seed)
        for k = 0, value.n - 1 do value.v[k] = value.v[k] + h * (2 * r:unit() - 1) end
      end
      return value
    end
    local ok, _, loss = pcall(program.evaluate, p)
    program.value = plain
    assert(ok)
    return loss
  end

  it('are what the differences are', function()
    local compared = 0
    for seed = 1, checker and 60 or 400 do
      local p = make(seed)
      local values = p and program.evaluate(p)
      for i, node in ipairs(p and p.nodes or {}) do
        if node.op == 'leaf' and node.parameter and not source.of(p):find 'straight' then
          local r, slope, size = random.new(i), 0, 1e-3
          for k = 0, values[i].n - 1 do
            local part = values[i].g[k] * (2 * r:unit() - 1)
            slope, size = slope + part, size + math.abs(part)
          end
          local h = 1e-6
          local found = (loss_at(p, i, i, h) - loss_at(p, i, i, -h)) / (2 * h)
          if source.of(p):find 'detach' == nil then
            assert(math.abs(found - slope) < 1e-4 * size,
                   ('seed %d, x%d: %g, by differences %g'):format(seed, i, slope, found))
            compared = compared + 1
          end
        end
      end
    end
    assert.is_true(compared > (checker and 50 or 400))
  end)
end)

-- A harness that finds nothing must be able to.
describe('a planted fault is found:', function()
  --- How many of the first programs that begin with `form` fail in the plain way, and the shortest
  --- of them.
  local function failing(form, n)
    local count, tried, shortest = 0, 0, nil
    for seed = 1, n do
      local p = make(seed, {form = form})
      if p and source.of(p):find('H.wrong', 1, true) then
        tried = tried + 1
        local wrong = check.fails(p, ways.plain)
        if wrong then
          count = count + 1
          if not shortest or #p.nodes < #shortest.nodes then shortest = p end
        end
      end
    end
    return count, tried, shortest
  end

  it('a wrong derivative, made a small program to paste', function()
    local count, tried, p = failing(forms.planted.gradient, 60)
    assert.is_true(tried > 30 and count > 0.2 * tried, ('%d of %d'):format(count, tried))
    local small = minimise(p, function(q) return check.fails(q, ways.plain) end)
    local text = source.to_paste(small, '{}')
    assert.matches('H.wrong', text)
    assert.is_true(#small.nodes <= 4, text)
    local chunk = assert(loadstring(text))
    local printed, plain = {}, print
    rawset(_G, 'print', function(...) printed[#printed + 1] = {...} end)
    local ok, message = pcall(chunk)
    rawset(_G, 'print', plain)
    assert(ok, message)
    assert.is_true(#printed >= 2)
  end)

  it('a wrong number forward, in each op of the reference', function()
    for _, name in ipairs{'tanh', 'add', 'matmul', 'gather', 'aggregate', 'neighbor_sum',
                          'log_softmax'} do
      local forward, found, seed = ops[name].forward, false, 0
      while not found and seed < 400 do
        seed = seed + 1
        local p = make(seed)
        local used = false
        for _, node in ipairs(p and p.nodes or {}) do used = used or node.op == name end
        if used then
          ops[name].forward = function(a, x)
            local o = forward(a, x)
            if o.n > 0 then o.v[o.n - 1] = o.v[o.n - 1] * 1.001 + 0.001 end
            return o
          end
          found = check.fails(p, ways.plain)
          ops[name].forward = forward
        end
      end
      assert(found, name)
    end
  end)

  it('other bits', function()
    local load = engine.load(source.of(make(3)))
    local a = assert(engine.run(load, make(3), {}))
    local b = assert(engine.run(load, make(3), {}))
    assert.is_nil(compare.bits(a, b))
    local k = #b.gradients
    while not b.gradients[k] do k = k - 1 end
    b.gradients[k] = {v = a.gradients[k].v, n = a.gradients[k].n, bytes = 'x' ..
                      a.gradients[k].bytes:sub(2)}
    assert.matches('gradient ' .. k, compare.bits(a, b))
    assert.is_nil(compare.bits(a, b, true))
  end)

  it('a bias at 2 bits: rounding to the nearest', function()
    local biased, noisy = 0, 0
    for seed = 1, 150 do
      local p = make(seed)
      if p and not program.draws(p) and not program.is_noisy(p) then
        local load = engine.load(source.of(p))
        local wrong, varies = mean.check(load, p, {bits = 2, small = 0})
        assert.is_nil(wrong)
        if varies then
          noisy = noisy + 1
          if mean.check(load, p, {bits = 2, small = 0, rounding = 'nearest'}) then
            biased = biased + 1
          end
        end
      end
    end
    assert(noisy > 4 and biased > 0.8 * noisy, ('%d of %d'):format(biased, noisy))
  end)

  it('an op that nothing used', function()
    local covered = coverage.new()
    covered:note('   0  leaf                f32 [6, 4]\n', 1)
    covered:note('f    1  tanh               0  f32 [6, 4]\n', 1)
    assert.equal(#coverage.ops - 2, #covered:missing())
    tk.threads(0)
  end)
end)
