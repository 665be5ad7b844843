-- Which format a folder is in, what its lists name, and ids with gaps. The expected values are
-- counted by hand from the rows written here.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local sets = require 'tests.support.sets'

local load, said, names_of, KG = sets.load, sets.said, sets.names_of, sets.kg

describe('a folder of several formats', function()
  after_each(fixtures.clean)

  local kgat = { ['train.txt'] = '0 1 2\n1 0\n', ['test.txt'] = '0 0\n',
    ['kg_final.txt'] = '0 0 3\n' }
  local function with(more) return fixtures.merged(kgat, more) end

  it('is what it has most files of', function()
    local set = load(with { ['item_index2entity_id.txt'] = '10\t0\n11\t1\n' })
    assert.equal('kgat', set.format)
    assert.same({}, set.warnings)
    set = load(with { ['item_index2entity_id.txt'] = '10\t0\n', ['kg.txt'] = '0\tr\t1\n',
      ['ratings.csv'] = 'u,i,r,t\n1,10,5,1\n' })
    assert.equal('kgat', set.format)
    said(set.warnings,
      '^read as kgat, though there are files of kgcn too: %-%-data%-set format=kgcn')
    set = load(with { ['interactions.csv'] = 'user,item\nu,a\n' })
    assert.equal('kgat', set.format)
    set = load(with { ['interactions.csv'] = 'user,item\nu,a\n', ['kg.csv'] = KG,
      ['items.csv'] = 'item\na\n' })
    assert.equal('plain', set.format)
    said(set.warnings, '^read as plain, though there are files of kgat too')
  end)

  it('is what format says', function()
    local contents = with { ['interactions.csv'] = 'user,item\nu,a\n', ['x.inter'] =
      'user_id:token\titem_id:token\nu\ta\n', ['ratings_final.txt'] = '0 0 1\n0 1 0\n' }
    for _, format in ipairs { 'kgat', 'kgcn', 'plain', 'recbole' } do
      local set = load(contents, { format = format })
      assert.equal(format, set.format)
      for _, text in ipairs(set.warnings) do assert.not_matches('^read as', text) end
    end
  end)
end)

describe('name lists', function()
  after_each(fixtures.clean)

  local function items(list)
    local set = load { ['train.txt'] = '0 0 1\n', ['test.txt'] = '0 2\n',
      ['item_list.txt'] = list }
    return names_of(set.names.items)
  end

  it('may have titles of several words, and no header', function()
    local wanted = { 'The First One', 'B', 'C 3' }
    assert.same(wanted, items 'org_id remap_id\nThe First One 0\nB 1\nC 3 2\n')
    assert.same(wanted, items 'The First One 0\nB 1\nC 3 2\n')
    assert.same(wanted, items 'The First One\t0\nB\t1\nC 3\t2\n')
    assert.same(wanted, items '0 The First One\n1 B\n2 C 3\n')
    local three = 'The First One 0 m.0\nB 1 m.1\nC 3 2 m.2\n'
    assert.same(wanted, items('org_id remap_id freebase_id\n' .. three))
    assert.same(wanted, items(three))
    assert.same({ '7', '8', '9' }, items '7 0\n8 1\n9 2\n')
  end)
end)

describe('ids with gaps', function()
  after_each(fixtures.clean)

  local base = { ['train.txt'] = '0 1 2\n1 2 3\n', ['test.txt'] = '0 3\n1 1\n' }
  local function with(changes) return fixtures.merged(base, changes) end

  it('cost nothing: entities', function()
    local set = load(with { ['kg_final.txt'] = '0 0 1000000000\n' })
    assert.same({ 2, 4, 5, 1 }, { set.users, set.items, set.entities, set.relations })
    assert.same({ '0 0 4' }, fixtures.triples_of(set.graph))
    assert.equal('1000000000', set.names.entities:name(4))
    assert.equal(4, set.names.entities:id '1000000000')
    said(set.warnings, '^1,000,000,001 entities, 5 of them used '
      .. '%(the largest: .*/kg_final.txt:1%): numbered anew')
  end)

  it('cost nothing: relations', function()
    local set = load(with { ['kg_final.txt'] = '0 0 5\n1 900000 4\n' })
    assert.same({ 2, 6 }, { set.relations, set.entities })
    assert.equal('900000', set.names.relations:name(1))
    said(set.warnings, '^900,001 relations, 2 of them used %(the largest: .*/kg_final.txt:2%)')
  end)

  it('cost nothing: items, of which those that somebody took are left', function()
    local set = load(with { ['train.txt'] = '0 1 2 300000000\n1 2 3\n',
      ['kg_final.txt'] = '0 0 7\n' })
    assert.same({ 2, 4, 6 }, { set.users, set.items, set.entities })
    assert.same({ '1', '2', '3', '300000000' }, names_of(set.names.items))
    assert.same({ '1', '2', '3', '300000000', '0', '7' }, names_of(set.names.entities))
    assert.same({ '4 0 5' }, fixtures.triples_of(set.graph))
    said(set.warnings, '^300,000,001 items, 4 of them used %(the largest: .*/train.txt:1%)')
  end)

  it('cost nothing: users, and in the files of KGCN', function()
    local set = load { ['kg_final.txt'] = '0 0 2\n',
      ['ratings_final.txt'] = { '5 0 1', '2000000000 1 0', '5 1 0', '2000000000 0 1' } }
    assert.same({ 2, 2, 3 }, { set.users, set.items, set.entities })
    assert.same({ '5', '2000000000' }, names_of(set.names.users))
  end)

  it('keep names that lists give, and numbers where they do not', function()
    local set = load(with { ['kg_final.txt'] = '0 0 70000000\n0 0 80000000\n',
      ['entity_list.txt'] = 'org_id remap_id\nfar away 80000000\n' })
    assert.same({ '0', '1', '2', '3', '70000000', 'far away' }, names_of(set.names.entities))
  end)

  it('stay where they are few, or where that is asked for', function()
    assert.equal(900, load(with { ['kg_final.txt'] = '0 0 899\n' }).entities)
    assert.equal(9000, load(with { ['kg_final.txt'] = '0 0 8999\n' }, { ids = 'given' }).entities)
    local set = load(with { ['kg_final.txt'] = '0 0 9\n' }, { ids = 'compact' })
    assert.same({ '1', '2', '3' }, names_of(set.names.items))
    assert.same({ '1', '2', '3', '0', '9' }, names_of(set.names.entities))
  end)

  it('take little time and memory on the command line', function()
    local dir = fixtures.dir(with { ['train.txt'] = '0 1 2 300000000\n1 2 3\n',
      ['kg_final.txt'] = '0 900000 2000000000\n' })
    local out = shell.prints('data info ' .. dir, 'ulimit -v 2000000; ')
    assert.matches('\nitems +4\n', out)
  end)
end)
