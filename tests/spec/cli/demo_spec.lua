-- tinykg demo, as a newcomer sees it: the graph helps, the peak falls, and the commands that it
-- ends with give the numbers that it showed.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

local UNITS = {B = 1, KiB = 2 ^ 10, MiB = 2 ^ 20, GiB = 2 ^ 30}

--- The three columns of the first table of memory in a text, in bytes: {kept = {op-by-op, 32 bits,
--- chosen}, peak}.
local function columns_of(text)
  local found = {}
  for key, label in pairs{kept = 'kept for backward', peak = 'peak of the whole run'} do
    local list = {}
    for number, unit in text:match('\n *' .. label .. ' ([^\n]+)\n'):gmatch('([%d.]+) (%a+)') do
      list[#list + 1] = tonumber(number) * UNITS[unit]
    end
    found[key] = list
  end
  return found
end

--- The same within a thirtieth, what one digit behind the point can say: a run also counts batches
--- that Lua has yet to collect.
local function near(expected, found)
  for key, list in pairs(expected) do
    assert.equal(3, #list)
    assert.equal(3, #found[key])
    for i, bytes in ipairs(list) do assert.near(bytes, found[key][i], bytes / 30) end
  end
end

describe('tinykg demo', function()
  local dir, shown, commands
  setup(function()
    dir = fixtures.dir() .. '/demo'
    shown = shell.prints('demo ' .. dir)
    commands = {}
    for arguments in shown:match('\nNext:\n(.*)$'):gmatch('\n?  %./tinykg ([^\n]+)') do
      commands[arguments:match('^%a+')] = arguments
    end
  end)
  teardown(fixtures.clean)

  it('shows that the graph helps, and that 2 bits are as good', function()
    local function recall(group)
      local mean, deviation = shown:match('\n' .. group .. ' bits +3 +[%d.]+ %+%- [%d.]+ +'
                                          .. '([%d.]+) %+%- ([%d.]+)')
      return tonumber(mean), tonumber(deviation)
    end
    local exact, deviation = recall('KGIN, 32')
    assert.is_true(exact > 1.3 * recall('LightGCN, 32'))
    assert.is_true(exact > 1.3 * recall('BPR%-MF, 32'))
    assert.near(exact, (recall('KGIN, 2')), 2 * deviation)
  end)

  it('shows memory that falls, of what is kept and of the whole run', function()
    for key, list in pairs(columns_of(shown)) do
      assert.equal(3, #list, key)
      assert.is_true(list[1] > 1.2 * list[2] and list[2] > 1.2 * list[3], key)
    end
  end)

  it('shows what README.md says', function()
    near(columns_of(fixtures.bytes('README.md')), columns_of(shown))
  end)

  it('ends with commands that give the same numbers', function()
    near(columns_of(shown), columns_of(shell.prints(commands.memory)))
    local again = shell.prints(commands.run .. ' --quiet --out ' .. dir .. '-again')
    near(columns_of(shown), columns_of(again))
    local seed = commands.run:match('%-%-seed (%d+)')
    assert.equal(shown:match('KGIN +2 bits, seed ' .. seed .. ': test recall@20 ([%d.]+)'),
                 again:match('recall@20 +([%d.]+)'))
    assert.matches('report%.html: 12 runs\n', shell.prints(commands.report))
    local page = fixtures.bytes(dir .. '/report.html')
    assert.is_truthy(page:find('Accuracy against memory', 1, true))
    local first = fixtures.json(dir .. '/KGIN-2bit-seed1/summary.json').columns
    assert.same(first.op_by_op, fixtures.json(dir .. '-again/summary.json').columns.op_by_op)
    assert.equal(2, first.chosen.bits)
  end)
end)

describe('tinykg data demo', function()
  teardown(fixtures.clean)

  it('names a command whose model learns from the graph', function()
    local dir = fixtures.dir()
    local command = shell.prints('data demo ' .. dir .. '/films'):match('\n +tinykg (run [^\n]+)\n')
    shell.prints(command .. ' --quiet --out ' .. dir .. '/run')
    local summary = fixtures.json(dir .. '/run/summary.json')
    assert.is_true(summary.test['recall@20'] > 3 * summary.popularity['recall@20'])
  end)
end)
