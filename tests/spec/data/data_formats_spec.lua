-- Each format from small folders made here, and each message for what is wrong with one.
local fixtures = require 'tests.support.fixtures'
local data = require 'tinykg.data'
local sets = require 'tests.support.sets'

local pairs_of, triples_of, with = fixtures.pairs_of, fixtures.triples_of, fixtures.merged
local fails, names_of = sets.fails, sets.names_of

local function all_pairs(set)
  local list = {}
  for _, name in ipairs { 'train', 'valid', 'test' } do
    for _, pair in ipairs(pairs_of(set[name])) do list[#list + 1] = pair end
  end
  table.sort(list)
  return list
end

describe('data.load: which format', function()
  after_each(fixtures.clean)

  it('says what was looked for', function()
    local message = fails {}
    assert.matches('^DIR: no data set found: looked for ', message)
    for _, word in ipairs { '%*%.inter', 'ratings_final%.txt', 'train%.txt', 'interactions%.' } do
      assert.matches(word, message)
    end
  end)

  it('says that a folder is missing or is none', function()
    assert.equal('/nowhere/at/all: no such folder', fixtures.message(data.load, '/nowhere/at/all'))
    local file = fixtures.dir { x = '' } .. '/x'
    assert.matches('^' .. file .. ': not a folder: a data set is a folder, with interactions.csv',
                   fixtures.message(data.load, file))
  end)

  it('checks its options', function()
    local function says(options) return fixtures.message(data.load, '.', options) end
    assert.matches("^data: no option 'sed': did you mean seed%? %(has at, attributes, .*seed",
      says { sed = 1 })
    assert.equal('data: option seed: x is not an integer from 0', says { seed = 'x' })
    assert.matches('option format: nope is not one of kgat, kgcn, plain, recbole',
      says { format = 'nope' })
    assert.matches('option ratios: .* add up to 1', says { ratios = { 0.5, 0.1, 0.1 } })
    assert.matches('option split: half is not one of', says { split = 'half' })
    assert.matches('option valid_ratio: 1 is', says { valid_ratio = 1 })
    assert.matches('option kcore', says { kcore = 1.5 })
    assert.matches('option task: fun is not ctr or ranking', says { task = 'fun' })
  end)
end)

describe('data.load: KGAT', function()
  after_each(fixtures.clean)

  local set = {
    ['train.txt'] = '0 0 1 2 1\n1 \n2\t2 3 \n\n3 0',
    ['test.txt'] = '0 3 2\r\n2 0\r\n',
    ['kg_final.txt'] = { '0 0 4', '4 1 5', '2\t0\t4', '0 0 4' },
  }
  local lists = {
    ['user_list.txt'] = { 'org_id remap_id', 'ann 0', 'bob 1', 'cy 2', 'di 3' },
    ['item_list.txt'] = { 'org_id remap_id freebase_id', 'B0 0 m.0', 'B1 1 m.1', 'B2 2 m.2',
      'B3 3 m.3' },
    ['entity_list.txt'] = { 'org_id remap_id', 'm.0 0', 'm.1 1', 'm.2 2', 'm.3 3',
      'the "Big" one 4', ' 5', 'm.6 6' },
    ['relation_list.txt'] = { 'org_id remap_id', 'http://r/0 0', 'http://r/1 1', 'r2 2' },
  }

  it('reads train, test and graph', function()
    local d = data.load(fixtures.dir(set), { valid_ratio = 0 })
    assert.same({ 'kgat', 'ranking', 4, 4, 6, 2 },
      { d.format, d.task, d.users, d.items, d.entities, d.relations })
    assert.same({ '0 0', '0 1', '0 2', '2 2', '2 3', '3 0' }, pairs_of(d.train))
    assert.same({ '0 3', '2 0' }, pairs_of(d.test)) -- 0 2 is in train
    assert.equal(0, d.valid.n)
    assert.same({ '0 0 4', '4 1 5', '2 0 4' }, triples_of(d.graph))
    assert.same({ 6, 2, 3 }, { d.graph.nodes, d.graph.relation_count, d.graph.n })
    assert.same({ duplicates = 1, triples = 1, overlap = 1, ratings = 0 }, d.dropped)
    assert.equal('2', d.names.users:name(2))
    assert.equal(2, d.names.users:id('2'))
    assert.is_nil(d.names.users:name(4))
    assert.is_nil(d.names.users:id('x'))
  end)

  it('reads name lists, names with blanks and without letters too', function()
    local d = data.load(fixtures.dir(with(set, lists)))
    assert.equal(7, d.entities)
    assert.equal(3, d.relations)
    assert.same({ 'ann', 'bob', 'cy', 'di' }, names_of(d.names.users))
    assert.same({ 'B0', 'B1', 'B2', 'B3' }, names_of(d.names.items))
    assert.same({ 'm.0', 'm.1', 'm.2', 'm.3', 'the "Big" one', '5', 'm.6' },
      names_of(d.names.entities))
    assert.same({ 'http://r/0', 'http://r/1', 'r2' }, names_of(d.names.relations))
    assert.is_nil(d.names.users:id('eve'))
    assert.is_nil(d.names.users:id('0'))
  end)

  it('takes a tenth of each user out of train, or as told', function()
    local items = {}
    for i = 0, 19 do items[i + 1] = i end
    local many = '0 ' .. table.concat(items, ' ') .. '\n1 1 2 3\n2 1\n'
    local dir = fixtures.dir { ['train.txt'] = many, ['test.txt'] = '1 0\n' }
    local d = data.load(dir)
    assert.same({ 22, 2, 1 }, { d.train.n, d.valid.n, d.test.n })
    assert.same({ 0, 0 }, fixtures.list(d.valid.users, 2))
    assert.same(pairs_of(d.valid), pairs_of(data.load(dir).valid))
    assert.are_not.same(pairs_of(d.valid), pairs_of(data.load(dir, { seed = 5 }).valid))
    d = data.load(dir, { valid_ratio = 0.5 })
    assert.same({ 12, 12 }, { d.train.n, d.valid.n })
    d = data.load(dir, { valid_ratio = 0 })
    assert.same({ 24, 0 }, { d.train.n, d.valid.n })
  end)

  it('prefers derived/, and uses a validation file that is a part of train', function()
    local dir = fixtures.dir(with(set, {
      ['derived/train.txt'] = '0 0 1\n1 2\n',
      ['derived/test.txt'] = '0 2\n',
      ['derived/valid.txt'] = '0 1\n1 3\n',
    }))
    local d = data.load(dir)
    assert.same({ '0 0', '1 2' }, pairs_of(d.train))
    assert.same({ '0 1', '1 3' }, pairs_of(d.valid))
    assert.same({ '0 2' }, pairs_of(d.test))
    assert.equal(3, d.graph.n)
    assert.matches('derived/', tostring(d:info()))
  end)

  it('does without a graph and says so', function()
    local d = data.load(fixtures.dir(with(set, { ['kg_final.txt'] = false })))
    assert.same({ 0, 4, 4, 0 }, { d.graph.n, d.entities, d.graph.nodes, d.relations })
    assert.matches('no kg_final.txt', d:info().warnings[1])
  end)

  it('reads compressed files', function()
    local dir = fixtures.dir(set)
    local plain = data.load(dir)
    if not fixtures.compress(dir .. '/train.txt', 'xz')
      or not fixtures.compress(dir .. '/kg_final.txt', 'gzip') then
      pending('xz or gzip is not installed')
      return
    end
    local d = data.load(dir)
    assert.same(all_pairs(plain), all_pairs(d))
    assert.same(triples_of(plain.graph), triples_of(d.graph))
  end)

  it('draws negatives when asked for click-through data', function()
    local d = data.load(fixtures.dir(set), { task = 'ctr', valid_ratio = 0 })
    assert.equal('ctr', d.task)
    local watched = { ['0 0'] = 1, ['0 1'] = 1, ['0 2'] = 1, ['0 3'] = 1, ['2 2'] = 1, ['2 3'] = 1,
      ['2 0'] = 1, ['3 0'] = 1 }
    local seen = {}
    for _, pair in ipairs(all_pairs(d)) do
      local key, label = pair:match('^(%d+ %d+) (%d)$')
      assert.equal(label == '1', watched[key] ~= nil)
      assert.is_nil(seen[key])
      seen[key] = true
    end
    assert.matches('negatives fewer than positives', tostring(d:info())) -- user 0 has all four
  end)

  it('names the file and line of what is wrong', function()
    assert.equal("DIR/train.txt:1: 'x' is not an id (a non-negative integer), column 2",
      fails(with(set, { ['train.txt'] = '0 x\n' })))
    assert.equal("DIR/kg_final.txt:2: 2 columns separated by spaces, expected 3",
      fails(with(set, { ['kg_final.txt'] = '0 0 1\n0 1\n' })))
    assert.equal('DIR/train.txt: no interactions', fails(with(set, { ['train.txt'] = '' })))
    assert.equal('DIR/kg_final.txt: no rows: the file is empty',
      fails(with(set, { ['kg_final.txt'] = '' })))
    assert.equal('DIR/user_list.txt:1: expected a header with org_id and remap_id, or a name and '
      .. "an id, got 'ann zero'", fails(with(set, { ['user_list.txt'] = 'ann zero\n' })))
    assert.equal("DIR/user_list.txt:3: id 0 has a second name",
      fails(with(set, { ['user_list.txt'] = 'org_id remap_id\nann 0\nbob 0\n' })))
    assert.equal('DIR/user_list.txt: the file is empty',
      fails(with(set, { ['user_list.txt'] = '' })))
    assert.equal('DIR/test.txt: no such file',
      fails({ ['train.txt'] = '0 1\n' }, { format = 'kgat' }))
    assert.matches('its own train and test files', fails(set, { split = 'ratio' }))
    assert.equal('rating_threshold: the interactions have no ratings',
      fails(set, { rating_threshold = 3 }))
  end)
end)

describe('data.load: KGCN', function()
  after_each(fixtures.clean)

  local final = {
    ['ratings_final.txt'] = { '0\t0\t1', '0\t2\t0', '1\t1\t1', '1\t0\t0', '1\t2\t1' },
    ['kg_final.txt'] = { '0\t0\t3', '1\t1\t3', '3\t0\t4' },
  }
  local raw = {
    ['user_artists.dat'] = { 'userID\tartistID\tweight', '7\t20\t5', '7\t99\t1', '3\t10\t1',
      '7\t30\t2', '3\t20\t9' },
    ['item_index2entity_id.txt'] = '10\te10\r\n20\te20\r\n30\te30\r\n40\te40\r\n50\te50\r\n',
    ['kg.txt'] = 'e20\tgenre\trock\r\ne10\tborn\tRome\r\nrock\tgenre\te10\r\n',
  }

  it('reads final files', function()
    local d = data.load(fixtures.dir(final))
    assert.same({ 'kgcn', 'ctr', 2, 3, 5, 2 },
      { d.format, d.task, d.users, d.items, d.entities, d.relations })
    assert.same({ '0 0 1', '0 2 0', '1 0 0', '1 1 1', '1 2 1' }, all_pairs(d))
    assert.same({ 3, 1, 1 }, { d.train.n, d.valid.n, d.test.n })
    assert.same({ '0 0 3', '1 1 3', '3 0 4' }, triples_of(d.graph))
    assert.equal('4', d.names.entities:name(4))
  end)

  it('numbers raw files as the preprocessing does, and draws negatives', function()
    local dir = fixtures.dir(raw)
    local d = data.load(dir)
    assert.same({ 2, 5, 7, 2 }, { d.users, d.items, d.entities, d.relations })
    assert.same({ '7', '3' }, names_of(d.names.users))
    assert.same({ '10', '20', '30', '40', '50' }, names_of(d.names.items))
    assert.same({ 'e10', 'e20', 'e30', 'e40', 'e50', 'rock', 'Rome' }, names_of(d.names.entities))
    assert.same({ 'genre', 'born' }, names_of(d.names.relations))
    assert.same({ '1 0 5', '0 1 6', '5 0 0' }, triples_of(d.graph))
    local positive, negative = {}, {}
    for _, pair in ipairs(all_pairs(d)) do
      local key, label = pair:match('^(.*) (%d)$')
      local list = label == '1' and positive or negative
      list[#list + 1] = key
    end
    assert.same({ '0 1', '0 2', '1 0', '1 1' }, positive)
    local allowed = { ['0 0'] = 1, ['0 3'] = 1, ['0 4'] = 1, ['1 2'] = 1, ['1 3'] = 1, ['1 4'] = 1 }
    assert.equal(4, #negative)
    for _, key in ipairs(negative) do assert.truthy(allowed[key]) end
    assert.same(all_pairs(d), all_pairs(data.load(dir)))
    assert.matches('1 ratings of items without an entity', tostring(d:info()))
  end)

  it('has one item for each raw one, though two share an entity or one has two lines', function()
    local dir = fixtures.dir(with(raw, { ['item_index2entity_id.txt'] = { '10\te10',
      '20\te20', '30\te20', '10\te10', '40\te40', '20\te50', '60\te10' } }))
    local d = data.load(dir, { task = 'ranking', ratios = { 1, 0, 0 } })
    assert.same({ '10', '20', '30', '40', '60' }, names_of(d.names.items))
    assert.same({ 'e10', 'e20', '30', 'e40', '60', 'rock', 'Rome' }, names_of(d.names.entities))
    assert.same({ '1 0 5', '0 1 6', '5 0 0' }, triples_of(d.graph))
    assert.same({ '0 1', '0 2', '1 0', '1 1' }, all_pairs(d))
    local file = dir .. '/item_index2entity_id.txt'
    assert.same({ file .. ':3: an entity that an earlier item has: this item gets one of its own '
      .. '(and 1 more)', file .. ':6: an item that is there before: ignored' },
      { d.warnings[1], d.warnings[2] })
    -- Final files with ids of these lines, and kg.txt for their graph.
    fixtures.write(dir .. '/item_index2entity_id.txt', { '10\te10', '20\te10', '30\te20' })
    fixtures.write(dir .. '/ratings_final.txt', { '0\t0\t1', '0\t2\t0', '1\t1\t1' })
    d = data.load(dir)
    assert.same({ '10', '20', '30' }, names_of(d.names.items))
    assert.same({ '2 0 3', '0 1 4', '3 0 0' }, triples_of(d.graph))
    assert.matches('index2entity_id.txt:2: an entity that an earlier item has', d.warnings[1])
  end)

  it('applies the threshold of movies; what was rated low is no negative', function()
    local set = with(raw, {
      ['user_artists.dat'] = false,
      ['ratings.csv'] = { 'userId,movieId,rating,timestamp', '1,10,4.5,9', '1,20,1.0,9',
        '1,30,3.5,9', '2,10,2.0,9', '3,40,4,9' },
    })
    local d = data.load(fixtures.dir(set))
    assert.same({ '1', '3' }, names_of(d.names.users))
    for seed = 0, 19 do
      for _, pair in ipairs(all_pairs(data.load(fixtures.dir(set), { seed = seed }))) do
        assert.is_nil(pair:match('^0 1 ') or pair:match('^0 2 '))
      end
    end
    assert.same({ '0 0', '1 3' }, all_pairs(data.load(fixtures.dir(set), { task = 'ranking' })))
    assert.same({ '0 0', '0 2', '1 3' },
      all_pairs(data.load(fixtures.dir(set), { task = 'ranking', rating_threshold = 3.5 })))
    local dat = with(set, { ['ratings.csv'] = false,
      ['ratings.dat'] = { '1::10::5::978300760', '1::20::3::978300760' } })
    assert.same({ '0 0' }, all_pairs(data.load(fixtures.dir(dat), { task = 'ranking' })))
  end)

  it('reads the quoted ratings of books, careless quotes included', function()
    local d = data.load(fixtures.dir(with(raw, {
      ['user_artists.dat'] = false,
      ['item_index2entity_id.txt'] = false,
      ['kg.txt'] = false,
      ['item_index2entity_id_rehashed.txt'] = { '034545104X\t5', '0 9 8\t6', 'a"b\t7' },
      ['kg_part1_rehashed.txt'] = { '5\tr\t100' },
      ['kg_part2_rehashed.txt'] = { '100\tq\t6' },
      ['BX-Book-Ratings.csv'] = { '"User-ID";"ISBN";"Book-Rating"', '"276725";"034545104X";"0"',
        '"276725";"0 9 8";"5"', '"9";"a"b";"0"' },
    })), { task = 'ranking' })
    assert.same({ '0 0', '0 1', '1 2' }, all_pairs(d))
    assert.same({ '0 0 3', '3 1 1' }, triples_of(d.graph))
  end)

  it('prefers derived/ and finds the names in the raw files that agree with it', function()
    local derived = {
      ['derived/ratings_final.txt'] = { '0\t1\t1', '0\t2\t1', '0\t3\t0', '0\t4\t0', '1\t0\t1',
        '1\t1\t1', '1\t4\t0', '1\t3\t0' },
      ['derived/kg_final.txt'] = { '1\t0\t5', '0\t1\t6', '5\t0\t0' },
    }
    local d = data.load(fixtures.dir(with(raw, derived)))
    assert.same(derived['derived/ratings_final.txt'][1]:gsub('\t', ' '), all_pairs(d)[1])
    assert.equal(8, #all_pairs(d))
    assert.same({ '7', '3' }, names_of(d.names.users))
    assert.same({ '10', '20', '30', '40', '50' }, names_of(d.names.items))
    assert.same({ 'genre', 'born' }, names_of(d.names.relations))
    assert.equal('Rome', d.names.entities:name(6))
    -- Another graph, or other positives, and the names would be wrong.
    d = data.load(fixtures.dir(with(raw, with(derived, {
      ['derived/kg_final.txt'] = { '1\t0\t5', '0\t1\t6', '5\t1\t0' },
      ['derived/ratings_final.txt'] = { '0\t1\t1', '0\t3\t0', '1\t0\t1', '1\t4\t0' },
    }))))
    assert.same({ '0', '1' }, names_of(d.names.users))
    assert.equal('0', d.names.relations:name(0))
    assert.equal('6', d.names.entities:name(6))
  end)

  it('does not take the names of users whose ratings differ', function()
    local function users(ratings)
      local d = data.load(fixtures.dir(with(raw, {
        ['user_artists.dat'] = { 'userID\tartistID\tweight', '7\t20\t1', '3\t30\t1', '3\t40\t1' },
        ['derived/ratings_final.txt'] = ratings,
      })))
      return names_of(d.names.users)
    end
    assert.same({ '7', '3' }, users { '0 1 1', '1 3 1', '1 2 1', '1 0 0' })
    assert.same({ '0', '1' }, users { '0 1 1', '0 2 1', '1 3 1' })
    assert.same({ '0', '1', '2' }, users { '0 1 1', '1 2 1', '1 3 1', '2 0 0' })
  end)

  it('takes only the positives for ranking', function()
    local d = data.load(fixtures.dir(final), { task = 'ranking' })
    assert.equal('ranking', d.task)
    assert.is_nil(d.train.labels)
    assert.same({ '0 0', '1 1', '1 2' }, all_pairs(d))
  end)

  it('names what is wrong', function()
    assert.equal("DIR/ratings_final.txt:2: '2' is not a label (0 or 1)",
      fails(with(final, { ['ratings_final.txt'] = { '0 0 1', '0 1 2' } })))
    assert.equal("DIR/ratings_final.txt:1: 'u1' is not an id (a non-negative integer), column 1",
      fails(with(final, { ['ratings_final.txt'] = { 'u1 0 1' } })))
    assert.equal('DIR/ratings_final.txt: no rows: the file is empty',
      fails(with(final, { ['ratings_final.txt'] = '' })))
    assert.matches('^DIR: no ratings: looked for ratings_final.txt, user_artists.dat',
      fails(with(raw, { ['user_artists.dat'] = false })))
    assert.matches('^DIR: no rating of an item of DIR/item_index2entity_id.txt',
      fails(with(raw, { ['user_artists.dat'] = { 'userID\tartistID\tweight', '7\t98\t5' } })))
    assert.equal("DIR/kg.txt:1: 2 columns separated by tabs, expected 3",
      fails(with(raw, { ['kg.txt'] = 'e20\tgenre\n' })))
    assert.matches('leave_one_out.* needs positives only',
      fails(final, { split = 'leave_one_out' }))
  end)
end)

describe('data.load: RecBole', function()
  after_each(fixtures.clean)

  local set = {
    ['x.inter'] = { 'user_id:token\titem_id:token\trating:float\ttimestamp:float',
      'u1\ti5\t4\t100', 'u2\ti3\t2.5\t90', 'u1\ti3\t5\t50', 'u2\ti5\t1\t99', 'u1\ti7\t3\t70' },
    ['x.kg'] = { 'head_id:token\trelation_id:token\ttail_id:token', 'm.a\tby\tm.p', 'm.q\tby\tm.b',
      'm.p\tin\tm.q' },
    ['x.link'] = { 'item_id:token\tentity_id:token', 'i3\tm.b', 'i5\tm.a', 'gone\tm.z' },
    ['x.item'] = { 'item_id:token\tmovie_title:token_seq\tclass:token_seq', 'i3\tThe Third\tA B',
      'i5\t\tC', 'i9\tNever Seen\tA' },
    ['x.user'] = { 'user_id:token\tage:token', 'u2\t30', 'u3\t31' },
  }

  it('puts items first among the entities, each with its own', function()
    local d = data.load(fixtures.dir(set))
    assert.same({ 'recbole', 'x', 'ranking', 3, 4, 2 },
      { d.format, d.name, d.task, d.users, d.items, d.relations })
    assert.same({ 'u1', 'u2', 'u3' }, names_of(d.names.users))
    assert.same({ 'i5', 'i3', 'i7', 'i9' }, names_of(d.names.items))
    assert.same({ 'm.a', 'm.b', 'i7', 'i9', 'm.p', 'm.q', 'm.z' }, names_of(d.names.entities))
    assert.same({ '0 0 4', '5 0 1', '4 1 5' }, triples_of(d.graph))
    assert.equal(7, d.graph.nodes)
    assert.same({ '0 0', '0 1', '0 2', '1 0', '1 1' }, all_pairs(d))
    assert.equal('i3 (The Third)', d.names.items:label(1))
    assert.equal('i5', d.names.items:label(0))
    assert.matches('2 items without a link', tostring(d:info()))
  end)

  it('keeps ratings and times, and drops by rating', function()
    local d = data.load(fixtures.dir(set), { rating_threshold = 2.5, ratios = { 1, 0, 0 } })
    assert.same({ '0 0', '0 1', '0 2', '1 1' }, pairs_of(d.train))
    assert.same({ 4, 2.5, 5, 3 }, fixtures.list(d.train.ratings, 4))
    assert.same({ 100, 90, 50, 70 }, fixtures.list(d.train.times, 4))
    assert.equal(1, d.dropped.ratings)
  end)

  it('takes labels as click-through data', function()
    local d = data.load(fixtures.dir { ['y.inter'] = { 'label:float\tuser_id:token\titem_id:token',
      '1\ta\tb', '0\ta\tc' } })
    assert.equal('ctr', d.task)
    assert.same({ '0 0 1', '0 1 0' }, all_pairs(d))
    assert.matches('no triples in y.kg', d:info().warnings[1])
  end)

  it('lets one item have an entity, and an item one', function()
    local d = data.load(fixtures.dir(with(set, { ['x.link'] = { 'item_id:token\tentity_id:token',
      'i3\tm.b', 'i5\tm.b', 'i3\tm.a' } })))
    assert.equal('m.b', d.names.entities:name(1))
    assert.equal('i5', d.names.entities:name(0))
    assert.matches('2 links ignored', tostring(d:info()))
  end)

  it('keeps an item apart from an entity that has its name', function()
    local d = data.load(fixtures.dir(with(set, {
      ['x.kg'] = { 'head_id:token\trelation_id:token\ttail_id:token', 'i7\tby\tm.a' } })))
    assert.equal('item:i7', d.names.entities:name(2))
    assert.equal('i7', d.names.entities:name(d.graph.heads[0]))
    assert.is_true(d.graph.heads[0] >= d.items)
  end)

  it('chooses the file called like the folder', function()
    local dir = fixtures.dir(with(set, {
      ['z.inter'] = { 'user_id:token\titem_id:token', '1\t2' },
    }))
    assert.matches(': x%.inter and z%.inter: name the folder', fixtures.message(data.load, dir))
    local folder = dir:match('[^/]+$')
    fixtures.write(dir .. '/' .. folder .. '.inter', { 'user_id:token\titem_id:token', '1\t2' })
    assert.equal(folder, data.load(dir .. '/').name)
  end)

  it('names what is wrong', function()
    assert.equal("DIR/x.inter:1: 'rating' is not name:type (token, float, token_seq or float_seq), "
      .. 'column 3', fails { ['x.inter'] = 'user_id:token\titem_id:token\trating\n' })
    assert.equal('DIR/x.inter:1: no column item_id:token (has user_id:token, movie:token)',
      fails { ['x.inter'] = 'user_id:token\tmovie:token\n1\t2\n' })
    assert.equal("DIR/x.inter:3: 'bad' is not a finite number, column 3", fails {
      ['x.inter'] = 'user_id:token\titem_id:token\trating:float\n1\t2\t3\n1\t3\tbad\n' })
    assert.equal('DIR/x.inter:2: 1 column separated by tabs, expected 2', fails {
      ['x.inter'] = 'user_id:token\titem_id:token\n1\n' })
    assert.equal('DIR/x.inter: no rows: the file is empty',
      fails { ['x.inter'] = 'user_id:token\titem_id:token\n' })
    assert.equal('DIR/x.inter: the file is empty', fails { ['x.inter'] = '' })
  end)
end)

describe('data.load: plain tables', function()
  after_each(fixtures.clean)

  local set = {
    ['interactions.csv'] = { 'timestamp,user,item,rating', '5,ann,"Up, up",4', '6,bob,Jaws,3',
      '7,ann,Jaws,5' },
    ['kg.tsv'] = { 'head\trelation\ttail', 'Jaws\tdirector\tSpielberg', 'Up, up\tgenre\tcomedy',
      'Spielberg\tborn\tOhio' },
  }

  it('reads names; an entity called like an item is that item', function()
    local d = data.load(fixtures.dir(set))
    assert.same({ 'plain', 'ranking', 2, 2, 5, 3 },
      { d.format, d.task, d.users, d.items, d.entities, d.relations })
    assert.same({ 'ann', 'bob' }, names_of(d.names.users))
    assert.same({ 'Up, up', 'Jaws' }, names_of(d.names.items))
    assert.same({ 'Up, up', 'Jaws', 'Spielberg', 'comedy', 'Ohio' }, names_of(d.names.entities))
    assert.is_nil(d.names.items:id('Ohio'))
    assert.same({ '1 0 2', '0 1 3', '2 2 4' }, triples_of(d.graph))
    assert.same({ '0 0', '0 1', '1 1' }, all_pairs(d))
  end)

  it('takes columns by other names, or by number without a header', function()
    local d = data.load(fixtures.dir { ['interactions.tsv'] = { 'who\twhat', 'a b\tc' } },
      { columns = { user = 'who', item = 'what' } })
    assert.equal('a b', d.names.users:name(0))
    d = data.load(fixtures.dir { ['interactions.txt'] = { 'i1 x u1', 'i2 x u1' },
      ['triples.csv'] = { 'r,i1,e' } },
      { columns = { user = 3, item = 1, head = 2, relation = 1, tail = 3 } })
    assert.same({ 1, 2, 3 }, { d.users, d.items, d.entities })
    assert.equal('i1', d.names.items:name(0))
    assert.same({ '0 0 2' }, triples_of(d.graph))
  end)

  it('accepts user_id and item_id, and labels', function()
    local d = data.load(fixtures.dir {
      ['interactions.tsv'] = { 'user_id\titem_id\tlabel', '7\t8\t1', '7\t9\t0' },
    }, { ratios = { 1, 0, 0 } })
    assert.equal('ctr', d.task)
    assert.same({ '0 0 1', '0 1 0' }, pairs_of(d.train))
  end)

  it('names what is wrong', function()
    assert.equal("DIR/interactions.csv:1: no column 'item': expected a header with user, item, or "
      .. '--data-set columns=item:COLUMN (has user, thing)',
      fails { ['interactions.csv'] = 'user,thing\na,b\n' })
    assert.equal('DIR/interactions.csv:1: no column uid for user (has user, item)',
      fails({ ['interactions.csv'] = 'user,item\na,b\n' }, { columns = { user = 'uid' } }))
    assert.equal("DIR/interactions.tsv:3: '0.5' is not a label (0 or 1)",
      fails { ['interactions.tsv'] = 'user\titem\tlabel\na\tb\t1\na\tc\t0.5\n' })
    assert.equal("DIR/kg.tsv:1: no column 'head': expected a header with head, relation, tail, or "
      .. '--data-set columns=head:COLUMN,relation:COLUMN,tail:COLUMN (has h, r, t)',
      fails(with(set, { ['kg.tsv'] = 'h\tr\tt\n' })))
    assert.equal("DIR/kg.tsv:2: '' is not a name (it is empty), column 3",
      fails(with(set, { ['kg.tsv'] = 'head\trelation\ttail\na\tb\t\n' })))
    assert.equal('DIR/interactions.*: no such file', (fails({}, { format = 'plain' })
      :gsub('interactions%..-:', 'interactions.*:')))
  end)
end)
