-- Options kg (none, shuffled) and at (a split at a date).
local fixtures = require 'tests.support.fixtures'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local data = require 'tinykg.data'

local function sorted(list)
  table.sort(list)
  return list
end

--- 'head relation' of each triple, or its tail, in order of text.
local function heads_of(graph)
  local list = {}
  for i = 0, graph.n - 1 do list[i + 1] = ('%d %d'):format(graph.heads[i], graph.relations[i]) end
  return sorted(list)
end

local function tails_of(graph)
  return sorted(fixtures.list(graph.tails, graph.n))
end

describe('a data set with option kg', function()
  local dir
  setup(function()
    local kg = {'head,relation,tail'}
    for i = 1, 40 do kg[#kg + 1] = ('a%d,is,x%d'):format(i, i) end -- no triple can be there twice
    local taken = {'user,item'}
    for i = 1, 40 do taken[#taken + 1] = ('u%d,a%d'):format(i % 7, i) end
    dir = fixtures.dir{['interactions.csv'] = taken, ['kg.csv'] = kg}
  end)
  teardown(fixtures.clean)

  it('none has the same rows and parameters, and no triple', function()
    local given, none = data.load(dir), data.load(dir, {kg = 'none'})
    assert.equal(0, none.graph.n)
    assert.equal(given.entities, none.entities)
    assert.equal(given.relations, none.relations)
    assert.same(fixtures.pairs_of(given.train), fixtures.pairs_of(none.train))
    sets.said(none.warnings, '^kg=none: its 40 triples are left out$')
  end)

  it('shuffled keeps heads with relations, and tails, but not which belong together', function()
    local given, other = data.load(dir), data.load(dir, {kg = 'shuffled'})
    assert.same(heads_of(given.graph), heads_of(other.graph))
    assert.same(tails_of(given.graph), tails_of(other.graph))
    local function of(graph) return sorted(fixtures.triples_of(graph)) end
    assert.are_not.same(of(given.graph), of(other.graph))
    assert.same(of(other.graph), of(data.load(dir, {kg = 'shuffled'}).graph))
    assert.are_not.same(of(other.graph), of(data.load(dir, {kg = 'shuffled', seed = 1}).graph))
    assert.same(fixtures.pairs_of(given.test), fixtures.pairs_of(other.test))
    sets.said(other.warnings, '^kg=shuffled: the tails of its 40 triples are shuffled$')
  end)

  it('refuses another value, and is named in a run and in the report', function()
    assert.equal('data: option kg: half is not given, none or shuffled',
                 fixtures.message(data.load, dir, {kg = 'half'}))
    local run = dir .. '/run'
    local text = shell.prints(('run kgin --data %s --data-set kg=shuffled --set epochs=1 --out %s')
      :format(dir, run))
    assert.matches('note: kg=shuffled: the tails of its 40 triples are shuffled\n', text)
    assert.equal('shuffled', fixtures.json(run .. '/config.json').data_options.kg)
    shell.prints(('report %s -o %s/r.html'):format(run, dir))
    assert.is_truthy(fixtures.bytes(dir .. '/r.html'):find('kg shuffled', 1, true))
  end)
end)

describe('a split at a date', function()
  teardown(fixtures.clean)

  local rows = {'user,item,timestamp', 'u1,a1,2024-01-01', 'u1,a2,2024-01-30T23:59:59Z',
                'u1,a3,2024-01-31', 'u2,a1,2024-02-01', 'u2,a2,2023-12-31', 'u2,a3,2024-01-20'}

  local function parts(options)
    local set = sets.plain(rows, nil, options)
    local function named(part)
      local list = {}
      for i = 0, part.n - 1 do
        list[i + 1] = set.names.users:name(part.users[i]) .. ' '
          .. set.names.items:name(part.items[i])
      end
      return sorted(list)
    end
    return named(set.train), named(set.valid), named(set.test), set.split
  end

  it('tests on that day and later, and validates on the last of the rest', function()
    local train, valid, test, name = parts{split = 'time', at = '2024-01-31',
                                           ratios = {.75, .25, 0}}
    assert.same({'u1 a3', 'u2 a1'}, test)
    assert.same({'u1 a2'}, valid)
    assert.same({'u1 a1', 'u2 a2', 'u2 a3'}, train)
    assert.equal('time at 2024-01-31', name)
  end)

  it('takes two dates, and needs no option split', function()
    local train, valid, test = parts{at = {'2024-01-15', '2024-01-31'}}
    assert.same({'u1 a3', 'u2 a1'}, test)
    assert.same({'u1 a2', 'u2 a3'}, valid)
    assert.same({'u1 a1', 'u2 a2'}, train)
    local by_number = {parts{at = {19737 * 86400, 19753 * 86400}}} -- days since 1970, by date(1)
    assert.same({train, valid, test}, {unpack(by_number, 1, 3)})
  end)

  it('says what is wrong', function()
    local function says(options) return fixtures.message(sets.plain, rows, nil, options) end
    for _, at in ipairs{'soon', '2024-13-01', {'2024-02-01', '2024-01-01'}, '2024-02-30',
                        '2023-02-29', '1900-02-29', '2024-04-31', '2024-00-10', '2024-01-00'} do
      assert.matches('^data: option at: .- is not a date as 2024%-01%-31', says{at = at})
    end
    assert.matches('^time at 2024%-02%-29: .- has no rows', says{at = '2024-02-29'})
    assert.equal('option at: it is for split=time, not ratio',
                 says{split = 'ratio', at = '2024-01-31'})
    assert.equal('time at 2030-01-01: test has no rows: times are 2023-12-31 to 2024-02-01',
                 says{at = '2030-01-01', ratios = {.7, .3, 0}})
    local thousandths = {'user,item,timestamp', 'u,a,1600000000000', 'v,b,1600000000001'}
    assert.matches('train has no rows: times are 1600000000000 to 1600000000001, which are no ' ..
                   'seconds', fixtures.message(sets.plain, thousandths, nil, {at = '2024-01-31'}))
    assert.matches('have no times', fixtures.message(sets.plain, {'user,item', 'u,a', 'v,b'}, nil,
                                                     {at = '2024-01-31'}))
  end)

  it('is asked for on the command line', function()
    local dir = fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = sets.kg}
    assert.matches('train 2, valid 2, test 2 %(time at 2024%-01%-15, 2024%-01%-31%)',
                   shell.prints('data info ' .. dir .. ' --data-set at=2024-01-15,2024-01-31'))
  end)
end)
