-- The public data sets that benchmarks use, where they are: counts as their README says.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local data = require 'tinykg.data'

local root = os.getenv('TINYKG_DATA') or '../shared/data'

local function set(name, test)
  it(name, function()
    local dir = root .. '/' .. name
    if lfs.attributes(dir, 'mode') ~= 'directory' then
      pending(dir .. ' is not there (TINYKG_DATA names its folder)')
      return
    end
    test(dir)
  end)
end

local function counts(d)
  return { d.format, d.task, d.users, d.items, d.entities, d.relations, d.graph.n }
end

describe('real data sets', function()
  set('kgcn-music', function(dir)
    local d = data.load(dir)
    assert.same({ 'kgcn', 'ctr', 1872, 3846, 9366, 60, 15518 }, counts(d))
    local info = d:info()
    assert.same({ 21173, 21173 }, { info.positives, info.negatives })
    assert.same({ 25408, 8469, 8469 }, { d.train.n, d.valid.n, d.test.n })
    assert.equal('2', d.names.users:name(0))
    assert.equal('music.artist.origin', d.names.relations:name(0))
    assert.same({}, info.warnings)
  end)

  set('kgcn-music', function(dir)
    -- The raw files alone give the graph and the positives that the authors' preprocessing gave.
    local raw = fixtures.dir()
    for _, name in ipairs { 'user_artists.dat', 'kg.txt', 'item_index2entity_id.txt' } do
      fixtures.write(raw .. '/' .. name, fixtures.bytes(dir .. '/' .. name))
    end
    local options = { task = 'ranking', ratios = { 1, 0, 0 } }
    local a, b = data.load(raw, options), data.load(dir, options)
    assert.same(fixtures.pairs_of(b.train), fixtures.pairs_of(a.train))
    assert.same(fixtures.triples_of(b.graph), fixtures.triples_of(a.graph))
    local labelled = data.load(raw):info()
    assert.same({ 21173, 21173 }, { labelled.positives, labelled.negatives })
    fixtures.clean()
  end)

  set('recbole-ml-100k', function(dir)
    local d = data.load(dir)
    -- 34,628 entities are linked or in the graph; the 84 items without a link are the others.
    assert.same({ 'recbole', 'ranking', 943, 1682, 34628 + 84, 24, 91631 }, counts(d))
    assert.equal(100000, d:info().positives)
    assert.equal('242 (Kolya)', d.names.items:label(d.names.items:id('242')))
  end)

  set('kgat-last-fm', function(dir)
    local d = data.load(dir)
    assert.same({ 'kgat', 'ranking', 23566, 48123, 106389, 9, 464567 }, counts(d))
    assert.same({ 423635, 120815 }, { d.train.n + d.valid.n, d.test.n })
    assert.equal('12550284', d.names.users:name(0))
  end)

  set('kgat-amazon-book', function(dir)
    local d = data.load(dir)
    assert.same({ 'kgat', 'ranking', 70679, 24915, 113487, 39, 0 }, counts(d))
    assert.same({ 652514, 193920 }, { d.train.n + d.valid.n, d.test.n })
    assert.matches('no kg_final.txt', d.warnings[1])
  end)
end)
