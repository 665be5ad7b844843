-- A budget is the run's: what is chosen to fit, that it is the least, and that the run has it.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local budget = require 'tinykg.train.budget'
local plan = require 'tinykg.train.memory.plan'
local recipe_file = require 'tinykg.train.recipe_file'
local tables = require 'tinykg.base.tables'
local tk = require 'tinykg'
local value_bits = require 'tinykg.train.memory.value_bits'

local home = os.getenv('TINYKG_HOME') or '.'
local WIDTHS = {32, 8, 4, 2, 1}

describe('the order in which values are lowered', function()
  -- sizes and readers of three values; the last reads its codes, so that it has twice 2 and 1 bits
  local SIZES, READERS = {1000, 4000, 2000}, {1, 3, 2}
  local function bits_of(i, bits) return i == 3 and bits <= 2 and 2 * bits or bits end
  local function bytes_of(i, bits) return SIZES[i] * bits_of(i, bits) / 8 end
  local function added(i, bits)
    return bits < 32 and READERS[i] * SIZES[i] / (2 ^ bits_of(i, bits) - 1) ^ 2 or 0
  end

  local function widths_of()
    local widths = {}
    for _, bits in ipairs(WIDTHS) do
      local values = {}
      for i = 1, 3 do
        values[i] = {value = 'm.lua:1 #' .. i, op = 'add', shape = {SIZES[i] / 10, 10},
                     rule = bits < 32 and 'quantize' or 'exact', bits = bits_of(i, bits),
                     kept_bytes = bytes_of(i, bits), readers = READERS[i]}
      end
      widths[bits] = {bits = bits, phases = {{name = 'loss', values = values}}}
    end
    return widths
  end

  --- The variance and the bytes of an assignment of bits.
  local function figures(assigned)
    local variance, bytes = 0, 0
    for i = 1, 3 do
      variance, bytes = variance + added(i, assigned[i]), bytes + bytes_of(i, assigned[i])
    end
    return variance, bytes
  end

  local function assigned_after(moves, n)
    local base, by_phase = value_bits.after({unpack(moves, 1, n)}, moves)
    local out = {}
    for i = 1, 3 do out[i] = by_phase and by_phase.loss['m.lua:1 #' .. i] or base end
    return out
  end

  it('gives the least variance for its bytes: none of all assignments has less', function()
    local moves = value_bits.moves(widths_of(), WIDTHS)
    assert.equal(11, #moves) -- four each, but the third has one less: 4 and 2 bits are the same
    for n = 0, #moves do
      local variance, bytes = figures(assigned_after(moves, n))
      for a = 1, 5 do for b = 1, 5 do for c = 1, 5 do
        local other, room = figures{WIDTHS[a], WIDTHS[b], WIDTHS[c]}
        assert.is_true(room > bytes or other >= variance * (1 - 1e-12))
      end end end
    end
    assert.same({1, 1, 1}, assigned_after(moves, #moves))
    assert.same({32, 32, 32}, assigned_after(moves, 0))
  end)

  it('goes by measured sensitivities where there are some', function()
    local function first(c)
      local measured = {values = {loss = {['m.lua:1 #2'] = c}}, mean = 1}
      return value_bits.moves(widths_of(), WIDTHS, measured)[1].value.name
    end
    assert.equal('m.lua:1 #2', first(0.1))
    assert.equal('m.lua:1 #1', first(10))
  end)
end)

describe('a choice', function()
  local data, recipe
  setup(function()
    data = tk.data.load((select(2, shell.demo(120, 160))))
    recipe = recipe_file.load(home .. '/recipes/kgin.lua')
  end)
  teardown(fixtures.clean)

  local function settings(bytes, bits, more)
    return tables.merged({bits = bits or 'auto', rounding = 'dither', budget = bytes, quiet = true},
                         more)
  end
  local function options(given)
    return recipe:complete(tables.merged({dim = 128, batch_size = 64, epochs = 2, eval_every = 1},
                                        given))
  end
  local function chosen(bytes, given, bits, more)
    return budget.choose(recipe, data, options(given), settings(bytes, bits, more))
  end
  local function peak(given, bits, values)
    local o = options(given)
    return plan.one(recipe, data, o, {bits = bits, value_bits = values,
                                      rounding = 'dither'}).memory.peak
  end

  it('changes nothing that needs no change', function()
    local choice = chosen(peak({}, 32))
    assert.same({}, choice.rows)
    assert.same({}, choice.options)
    assert.equal(32, choice.bits)
    assert.is_nil(choice.value_bits or choice.evaluation or choice.refusal)
  end)

  it('takes 8-bit moments first, says what they save, and stops there', function()
    local all = peak({}, 32)
    local choice = chosen(all - 1)
    assert.same({optimizer_bits = 8}, choice.options)
    assert.equal(32, choice.bits)
    assert.equal(1, #choice.rows)
    assert.equal(all - peak({optimizer_bits = 8}, 32), choice.rows[1].saved)
    assert.same({'optimizer_bits', '32', '8'},
                {choice.rows[1].name, choice.rows[1].from, choice.rows[1].to})
    assert.is_true(choice.rows[1].moved < 0) -- moments are read and written in every step
  end)

  it('lowers bits value by value, no further than needed', function()
    local given = {optimizer_bits = 32} -- asked for, so it stays
    local most, least = peak(given, 32), math.huge
    for _, bits in ipairs(WIDTHS) do least = math.min(least, peak(given, bits)) end
    local limit = math.floor(least + (most - least) * .4)
    local choice = chosen(limit, given)
    assert.is_nil(choice.refusal)
    assert.same({}, choice.options)
    assert.is_true(choice.plan.memory.peak <= limit)
    assert.equal(peak(given, choice.bits, choice.value_bits), choice.plan.memory.peak)
    local values = choice.value_bits.loss
    local raised = 0
    for _, value in ipairs(choice.plan.phases[1].values) do
      local now = value.value and (values[value.value] or choice.bits)
      if value.rule == 'quantize' then
        local more = tables.merged(values, {[value.value] = 32})
        assert.is_true(peak(given, choice.bits, {loss = more}) > limit,
                       value.value .. ': no need for ' .. now)
        raised = raised + 1
      end
    end
    assert.is_true(raised > 0)
    assert.same(choice.value_bits, chosen(limit, given).value_bits) -- always the same
  end)

  it('takes what changes an update last: 16-bit tables, then one second moment per row', function()
    local eight, half = {optimizer_bits = 8}, {optimizer_bits = 8, parameter_bits = 16}
    local rowwise = tables.merged(half, {optimizer_rowwise = true})
    local function options_at(limit, given)
      local choice = chosen(limit, given, 32)
      assert.is_nil(choice.refusal)
      assert.is_true(choice.plan.memory.peak <= limit)
      return choice.options
    end
    assert.same(eight, options_at(peak(eight, 32)))
    assert.is_true(peak(half, 32) < peak(eight, 32) and peak(rowwise, 32) < peak(half, 32))
    assert.same(half, options_at(peak(half, 32)))
    assert.same(rowwise, options_at(peak(rowwise, 32)))
    local asked = {parameter_bits = 32, optimizer_rowwise = false, optimizer_lazy = false}
    assert.is_string(chosen(peak(half, 32), asked, 32).refusal)
    assert.is_nil(chosen(peak(rowwise, 32), {ema = .9}, 32).options.parameter_bits)
  end)

  it('never changes --bits', function()
    local given = {optimizer_bits = 32, parameter_bits = 32, optimizer_rowwise = false,
                   optimizer_lazy = false}
    assert.equal(4, chosen(peak(given, 4), given, 4).bits)
    local choice = chosen(peak(given, 4), given, 32)
    assert.equal(32, choice.bits)
    assert.same({}, choice.rows)
    assert.matches('^KGIN: the run takes %S+ %a+, more than the budget, %S+ %a+; %-%-bits %d fits$',
                   choice.refusal)
    local bits = tonumber(choice.refusal:match('bits (%d)'))
    assert.is_true(peak(given, bits) <= peak(given, 4))
  end)

  it('puts back what a later one makes needless', function()
    local BALLAST = 4 * 20000
    local other = recipe_file.load(home .. '/recipes/kgin.lua')
    table.insert(other.options, {name = 'recompute', default = false, help = 'without ballast'})
    local build = other.build
    function other.build(...)
      local model, o = build(...), select(2, ...)
      model.ballast = not o.recompute and tk.zeros(BALLAST / 4) or nil
      return model
    end
    local o = other:complete{dim = 128, batch_size = 64, epochs = 2}
    local function options_at(less)
      local limit = peak({optimizer_bits = 8}, 32) + BALLAST - less
      local choice = budget.choose(other, data, o, settings(limit))
      assert.is_true(choice.plan.memory.peak <= limit)
      return choice.options
    end
    assert.same({optimizer_bits = 8}, options_at(0))
    assert.same({optimizer_bits = 8, recompute = true}, options_at(BALLAST))
  end)

  it('runs fewer tiles at a time where threads are many', function()
    if tk.device() ~= 'cpu' then return pending('tiles are the CPU backend\'s') end
    local many = tk.data.load((select(2, shell.demo(20000, 300))))
    local threads = tk.threads()
    local o = recipe:complete{dim = 64, epochs = 1, hops = 1}
    tk.threads(16)
    local asked = plan.one(recipe, many, o, {bits = 32, rounding = 'dither'})
    local choice = budget.choose(recipe, many, o, settings(asked.memory.peak - 1))
    tk.threads(threads)
    assert.equal(8, choice.tiles)
    assert.same({'tiles of rows at once', '16', '8'},
                {choice.rows[1].name, choice.rows[1].from, choice.rows[1].to})
    assert.equal(1, #choice.rows)
  end)

  it('says in one line what would fit, and that fits', function()
    local least = {optimizer_bits = 8, parameter_bits = 16, optimizer_rowwise = true}
    local choice = chosen(peak(tables.merged(least, {dim = 64}), 1))
    assert.matches('^KGIN: the run takes at least %S+ %a+, more than the budget, .*dim=%d+',
                   choice.refusal)
    assert.is_nil(choice.refusal:find('\n'))
    local dim = tonumber(choice.refusal:match('dim=(%d+)'))
    local function smaller(d) return peak(tables.merged(choice.options, {dim = d}), choice.bits) end
    assert.is_true(smaller(dim) <= choice.room.bytes)
    assert.is_true(smaller(2 * dim) > choice.room.bytes)
  end)

  it('holds a run without a budget against what is free, and changes no option', function()
    local room = budget.room
    budget.room = function()
      return {bytes = peak({}, 8), name = 'nine tenths of what is free',
              takes = function(width) return width.memory.peak end}
    end
    local fixed, auto = chosen(nil, {}, 32), chosen(nil, {})
    budget.room = room
    assert.matches('more than nine tenths of what is free, %S+ %a+; %-%-bits 8 fits$',
                   fixed.refusal)
    assert.is_nil(auto.refusal)
    assert.same({}, auto.options)
    assert.is_true(auto.plan.memory.peak <= auto.room.bytes)
  end)

  it('advises no smaller batch or dim where none fits', function()
    local room = budget.room
    budget.room = function()
      return {bytes = 0, name = 'nine tenths of what is free', more = 'more free memory',
              takes = function(width) return width.memory.peak end}
    end
    local none = chosen(nil, {}, 32).refusal
    budget.room = room
    assert.matches('more than nine tenths of what is free, 0 B; it needs more free memory$', none)
    assert.matches('more than the budget, 1 B; it needs a larger budget$', chosen(1).refusal)
  end)

  it('keeps what a model gives a phase of its own', function()
    local kgat = recipe_file.load(home .. '/recipes/kgat.lua')
    local o = kgat:complete{dim = 32, optimizer_bits = 32, recompute = false, epochs = 2}
    local ranked = tk.data.load((select(2, shell.demo(120, 160))), {task = 'ranking'})
    local widths = plan.of(kgat, ranked, o, {rounding = 'dither', quiet = true}, {32, 1})
    local limit = math.max(widths[1].memory.peak, widths[32].memory.peak - 1)
    local choice = budget.choose(kgat, ranked, o, settings(limit))
    assert.is_nil((choice.value_bits or {}).kg) -- 32 bits by the recipe
  end)
end)

describe('a run with a budget', function()
  local dir, data
  setup(function() dir, data = shell.demo(120, 160) end)
  teardown(fixtures.clean)

  local ARGUMENTS = 'recipes/kgin.lua --set dim=128 --set batch_size=64 --set eval_every=1 --data '

  local function memory(more)
    return json.decode(shell.prints('memory ' .. ARGUMENTS .. data .. ' --json ' .. more), 'json')
  end

  it('takes what memory --budget says, to the byte, writes it down and keeps it', function()
    local base = memory '--set epochs=2 --set optimizer_bits=8'
    local limit = ('--budget %dB --set epochs=2'):format(
      .5 * (base.widths[1].memory.peak + base.widths[5].memory.peak))
    local planned, out = memory(limit), dir .. '/fits'
    assert.is_nil(planned.refusal)
    assert.equal(2, #planned.chosen.rows)
    local text = shell.prints(('run %s%s %s --out %s'):format(ARGUMENTS, data, limit, out))
    assert.matches('\nto fit +from +to +saves +moved per epoch\n  optimizer_bits +32 +8 ', text)
    local config = fixtures.json(out .. '/config.json')
    for _, name in ipairs{'options', 'value_bits', 'evaluation', 'bits', 'rows'} do
      assert.same(planned.chosen[name], config.chosen[name])
    end
    assert.same({'auto', planned.bits, 8},
                {config.bits_asked, config.bits, config.options.optimizer_bits})
    assert.same(planned.memory, fixtures.json(out .. '/summary.json').memory)

    local kept = fixtures.json(out .. '/kept.json')
    shell.prints('run --resume --set epochs=3 --quiet --out ' .. out)
    assert.same(config.chosen, fixtures.json(out .. '/config.json').chosen)
    assert.same(kept.phases, fixtures.json(out .. '/kept.json').phases)
    shell.prints(('run %s%s --budget 4G --set epochs=4 --resume --quiet --out %s'):format(
      ARGUMENTS, data, out)) -- a choice is that of the run, whatever the budget is later
    assert.same(config.chosen, fixtures.json(out .. '/config.json').chosen)
    assert.same(kept.phases, fixtures.json(out .. '/kept.json').phases)
  end)

  it('refuses in one line', function()
    shell.refuses(('run %s%s --budget 100K --set epochs=1 --out %s/no'):format(
      ARGUMENTS, data, dir), 1,
      '^tinykg: KGIN: the run takes at least .* more than the budget, 100.0 KiB; ')
    assert.is_nil(fixtures.names(dir)['no'])
  end)

  it('is refused in one line, too, by a model that cannot update lazily', function()
    shell.refuses(('run kgat --data %s --budget 1500KiB --quiet --out %s/lazy'):format(data, dir),
                  1, 'KGAT: the run takes at least [%d.]+ MiB, more than the budget')
  end)

  it('can be planned for a GPU that is not there', function()
    if not emulation.is_there() then return pending('no libtinykg_emu.so') end
    local gpu = ' --device cuda --device-memory 8GiB'
    local found = memory('--bits 2' .. gpu)
    local on_emu = memory '--device emu --bits 2'
    if found.device:match('^emu') then assert.same(on_emu.memory, found.memory) end
    local text = shell.prints('memory ' .. ARGUMENTS .. data .. gpu)
    local blocks = tonumber(text:match('whole pages for (%d+) large blocks'))
    assert.matches("\n  the driver's context, at most +555.0 MiB\n  cuBLAS's workspace +32.0 MiB\n",
                   text)
    local run = tonumber(text:match('\n  the run +([%d.]+) MiB'))
    local whole = tonumber(text:match("the run takes ([%d.]+) MiB of the GPU's memory, 8.0 GiB: "))
    assert.is_true(math.abs(whole - (555 + 32 + 2 * blocks + run)) < .2 and blocks >= 1)
    shell.refuses('memory ' .. ARGUMENTS .. data .. ' --device cpu --device-memory 8GiB', 2,
                  '%-%-device%-memory: it is of a GPU')
    shell.refuses('memory ' .. ARGUMENTS .. data .. gpu .. ' --budget 1G', 2, 'take one')
  end)

  it("counts what cuSPARSE keeps of a GPU, where a recipe's precision is fast", function()
    if not emulation.is_there() then return pending('no libtinykg_emu.so') end
    local gpu = ' --bits 32 --device cuda --device-memory 8GiB --data ' .. data
    fixtures.write(dir .. '/fast.lua', "require('tinykg').precision 'fast'\n" ..
                   "return dofile 'recipes/lightgcn.lua'\n")
    local found = json.decode(shell.prints(('memory %s/fast.lua --json%s'):format(dir, gpu)))
    -- forward and backward by one matrix, since its weights are the same both ways, and one more
    -- while ways are timed: offsets, ids and values, each at a multiple of 256 bytes, a buffer as
    -- large as offsets and values, 1 MiB
    local set = tk.data.load(data)
    local function array(n) return math.ceil(4 * n / 256) * 256 end
    local nodes, edges = set.users + set.items, 2 * set:known().n
    assert.equal(2 * (2 * array(nodes + 1) + 3 * array(edges) + 2 ^ 20), found.cusparse)
    local text = shell.prints(('memory %s/fast.lua%s'):format(dir, gpu))
    local size =
      text:match("\ncuSPARSE's matrices: at most ([%d.]+ MiB) of the GPU beside that\n")
    assert.matches(("\n  cuSPARSE's matrices, at most +%s\n"):format(size), text)
    assert.is_nil(json.decode(shell.prints('memory recipes/lightgcn.lua --json' .. gpu)).cusparse)
  end)

  it('takes measured sensitivities from a file, and refuses others', function()
    local path = dir .. '/c.json'
    local base = memory '--set epochs=2 --set optimizer_bits=32'
    local peaks = {base.widths[1].memory.peak, base.widths[5].memory.peak}
    local limit = ('--set epochs=2 --set optimizer_bits=32 --budget %dB'):format(
      math.max(peaks[2], .5 * (peaks[1] + peaks[2])))
    local function lowered_with(values)
      fixtures.write(path, json.encode{values = {loss = values}})
      local lists = memory(limit .. ' --sensitivity ' .. path).chosen
      return lists.bits, lists.value_bits and lists.value_bits.loss or {}
    end
    local packed = tables.filter(base.widths[4].phases[1].values, function(value)
      return value.rule == 'quantize'
    end)
    for _, value in ipairs(packed) do
      local bits, own = lowered_with{[value.value] = 1e12} -- what hurts most is lowered last
      assert.is_true((own[value.value] or bits) >= 8, value.value)
    end
    for pattern, text in pairs{['no object "values"'] = '[]', ['is not a number from 0'] =
      '{"values": {"loss": {"a": -1}}}', ['c.json'] = '{'} do
      fixtures.write(path, text)
      shell.refuses(('memory %s%s --budget 1G --sensitivity %s'):format(ARGUMENTS, data, path),
                    2, '%-%-sensitivity: .*' .. pattern)
    end
  end)
end)
