-- Splits, filters, batches, the demo and the summary of a data set.
local fixtures = require 'tests.support.fixtures'
local arrays = require 'tinykg.engine.arrays'
local data = require 'tinykg.data'
local demo = require 'tinykg.data.demo'
local sets = require 'tests.support.sets'

local pairs_of = fixtures.pairs_of

-- Makes a plain data set in which each user has counts[user] items, with times and ratings.
local function plain(counts, extra)
  local lines = { 'user\titem\trating\ttimestamp' }
  for user, n in ipairs(counts) do
    for item = 1, n do
      lines[#lines + 1] = ('u%d\ti%d\t%d\t%d'):format(user, item, item % 5 + 1,
        (item * 7919 + user) % 1000)
    end
  end
  return fixtures.dir(fixtures.merged({ ['interactions.tsv'] = lines }, extra))
end

local function count_per_user(set, part)
  local counts = {}
  for user = 0, set.users - 1 do counts[user + 1] = 0 end
  for i = 0, part.n - 1 do counts[part.users[i] + 1] = counts[part.users[i] + 1] + 1 end
  return counts
end

-- Fails unless the three parts hold each of n interactions once.
local function assert_partition(set, n)
  local seen = {}
  for _, name in ipairs { 'train', 'valid', 'test' } do
    for _, pair in ipairs(pairs_of(set[name])) do
      assert.is_nil(seen[pair])
      seen[pair] = true
      n = n - 1
    end
  end
  assert.equal(0, n)
end

describe('splits', function()
  after_each(fixtures.clean)

  it('by ratio: of each user, none left out, the same for the same seed', function()
    local dir = plain { 1, 2, 3, 5, 10, 25, 100 }
    local set = data.load(dir, { seed = 4 })
    assert_partition(set, 146)
    assert.same({ 1, 1, 1, 3, 8, 21, 80 }, count_per_user(set, set.train))
    assert.same({ 0, 0, 1, 1, 1, 2, 10 }, count_per_user(set, set.valid))
    assert.same({ 0, 1, 1, 1, 1, 2, 10 }, count_per_user(set, set.test))
    assert.same(pairs_of(set.test), pairs_of(data.load(dir, { seed = 4 }).test))
    assert.are_not.same(pairs_of(set.test), pairs_of(data.load(dir, { seed = 5 }).test))
    assert.equal('ratio 0.8:0.1:0.1', set.split)
  end)

  it('by ratio: draws every item alike', function()
    local dir, drawn = plain { 10 }, {}
    for seed = 0, 399 do
      local set = data.load(dir, { seed = seed })
      drawn[set.test.items[0]] = (drawn[set.test.items[0]] or 0) + 1
    end
    -- 40 expected of each, standard deviation 6.
    for item = 0, 9 do assert.is_true(drawn[item] > 13 and drawn[item] < 67) end
  end)

  it('by ratio over all ratings', function()
    local set = data.load(plain { 30, 70 }, { split = 'ratio_global', ratios = { 0.6, 0.2, 0.2 } })
    assert_partition(set, 100)
    assert.same({ 60, 20, 20 }, { set.train.n, set.valid.n, set.test.n })
  end)

  it('leaves one out, the latest', function()
    local set = data.load(plain { 1, 2, 9 }, { split = 'leave_one_out' })
    assert_partition(set, 12)
    assert.same({ 1, 1, 7 }, count_per_user(set, set.train))
    assert.same({ 0, 0, 1 }, count_per_user(set, set.valid))
    assert.same({ 0, 1, 1 }, count_per_user(set, set.test))
    local last = set.test.times[set.test.n - 1]
    for i = 0, set.train.n - 1 do
      if set.train.users[i] == 2 then assert.is_true(set.train.times[i] < set.valid.times[0]) end
    end
    assert.is_true(set.valid.times[0] < last)
  end)

  it('by time, per user or over all', function()
    local dir = plain { 20, 40 }
    local set = data.load(dir, { split = 'time' })
    assert_partition(set, 60)
    assert.same({ 2, 4 }, count_per_user(set, set.test))
    for user = 0, 1 do
      local newest, oldest = -1, math.huge
      for i = 0, set.train.n - 1 do
        if set.train.users[i] == user then newest = math.max(newest, set.train.times[i]) end
      end
      for i = 0, set.test.n - 1 do
        if set.test.users[i] == user then oldest = math.min(oldest, set.test.times[i]) end
      end
      assert.is_true(newest < oldest)
    end
    set = data.load(dir, { split = 'time_global' })
    assert.equal(6, set.test.n)
    local oldest = math.huge
    for i = 0, 5 do oldest = math.min(oldest, set.test.times[i]) end
    for i = 0, set.train.n - 1 do assert.is_true(set.train.times[i] <= oldest) end
  end)

  it('by time needs times', function()
    local dir = fixtures.dir { ['interactions.tsv'] = 'user\titem\na\tb\n' }
    assert.equal('split by time: the interactions have no times',
      fixtures.message(data.load, dir, { split = 'time' }))
  end)
end)

describe('filters', function()
  after_each(fixtures.clean)

  local lines = { 'user\titem', 'a\tx', 'a\ty', 'a\tz', 'b\tx', 'b\ty', 'c\tx', 'c\tw', 'd\tw',
    'd\tv' }
  local graph = { 'head\trelation\ttail', 'z\tr\te', 'y\tr\tx', 'w\tr\tf' }

  it('k-core: again and again, then numbers what is left anew', function()
    -- v, z go (one user each); then d has one item left and goes; w; c has only x and goes.
    local dir = fixtures.dir { ['interactions.tsv'] = lines, ['kg.tsv'] = graph }
    local set = data.load(dir, { kcore = 2, ratios = { 1, 0, 0 } })
    assert.same({ 2, 2, 6 }, { set.users, set.items, set.entities })
    assert.same({ '0 0', '0 1', '1 0', '1 1' }, pairs_of(set.train))
    assert.equal('y', set.names.items:name(1))
    assert.equal(1, set.names.items:id('y'))
    assert.is_nil(set.names.items:id('z'))
    assert.same({ 'x', 'y', 'z', 'w', 'e', 'f' }, sets.names_of(set.names.entities))
    -- z and w stay as entities since they have triples; v goes.
    assert.is_nil(set.names.entities:id('v'))
    assert.same({ '2 0 4', '1 0 0', '3 0 5' }, fixtures.triples_of(set.graph))
    assert.same({ users = 2, items = 3, interactions = 5 }, set.dropped.kcore)
    set = data.load(dir, { kcore = { item = 2 }, ratios = { 1, 0, 0 } })
    assert.same({ 4, 3 }, { set.users, set.items })
  end)

  it('k-core over given train and test files', function()
    local set = data.load(fixtures.dir { ['train.txt'] = '0 0 1\n1 1\n2 0 3\n', ['test.txt'] =
      '1 0\n2 2\n' }, { kcore = 2, valid_ratio = 0 })
    assert.same({ 2, 2 }, { set.users, set.items })
    assert.same({ '0 0', '0 1', '1 1' }, pairs_of(set.train))
    assert.same({ '1 0' }, pairs_of(set.test))
    assert.equal('3', data.load(fixtures.dir { ['train.txt'] = '1 3\n2 3\n', ['test.txt'] = '' },
      { kcore = { item = 2 } }).names.items:name(0))
  end)

  it('order by degree or search: new numbers, the same names and rows', function()
    local dir = fixtures.dir { ['interactions.tsv'] = lines, ['kg.tsv'] = graph }
    local function named(set)
      local list = {}
      for _, part in ipairs { 'train', 'valid', 'test' } do
        for i = 0, set[part].n - 1 do
          list[#list + 1] = part .. ' ' .. set.names.users:name(set[part].users[i]) .. ' ' ..
            set.names.items:name(set[part].items[i])
        end
      end
      for i = 0, set.graph.n - 1 do
        list[#list + 1] = set.names.entities:name(set.graph.heads[i]) .. ' ' ..
          set.names.relations:name(set.graph.relations[i]) .. ' ' ..
          set.names.entities:name(set.graph.tails[i])
      end
      table.sort(list)
      return list
    end
    for _, ratios in ipairs { { 1, 0, 0 }, { 0.5, 0.25, 0.25 } } do
      local given = data.load(dir, { ratios = ratios, seed = 3 })
      for _, order in ipairs { 'degree', 'bfs' } do
        local set = data.load(dir, { ratios = ratios, seed = 3, order = order })
        assert.same(named(given), named(set))
        assert.same({ given.users, given.items, given.entities },
          { set.users, set.items, set.entities })
      end
    end
    local set = data.load(dir, { ratios = { 1, 0, 0 }, order = 'degree' })
    assert.equal('x', set.names.items:name(0)) -- two users and a triple
    assert.equal('y', set.names.items:name(1)) -- the same, and behind x as given
    assert.equal('v', set.names.items:name(set.items - 1))
    assert.equal('a', set.names.users:name(0))
    assert.equal(0, set.names.items:id('x'))
  end)

  it('order bfs: from the most connected to its neighbours, then other components', function()
    local dir = fixtures.dir {
      ['interactions.tsv'] = { 'user\titem', 'a\tm', 'b\tn', 'b\to', 'c\to' },
      ['kg.tsv'] = { 'head\trelation\ttail', 'm\tr\te', 'm\tr\tm', 'n\tr\tf', 'o\tr\tf' } }
    -- o has b, c and f; then b brings n, and c and f nothing. m has a, e and, twice, itself: it is
    -- the most connected, and begins.
    local set = data.load(dir, { ratios = { 1, 0, 0 }, order = 'bfs' })
    assert.same({ 'm', 'o', 'n' }, sets.names_of(set.names.items))
    assert.same({ 'm', 'o', 'n', 'e', 'f' }, sets.names_of(set.names.entities))
    assert.same({ 'a', 'b', 'c' }, sets.names_of(set.names.users))
    set = data.load(dir, { ratios = { 1, 0, 0 }, order = 'bfs', kg = 'none' })
    assert.same({ 'o', 'n', 'm' }, sets.names_of(set.names.items))
    assert.same({ 'b', 'c', 'a' }, sets.names_of(set.names.users))
  end)

  it('that leave nothing say so', function()
    local dir = fixtures.dir { ['interactions.tsv'] = lines }
    assert.equal('no interactions are left to split: kcore=9 drops ' .. #lines - 1,
      fixtures.message(data.load, dir, { kcore = 9 }))
  end)

  it('count what they drop', function()
    local set = data.load(plain { 10 }, { rating_threshold = 3 })
    assert.equal(6, set.train.n + set.valid.n + set.test.n)
    assert.equal(4, set:info().dropped.ratings)
  end)
end)

describe('known and info', function()
  after_each(fixtures.clean)

  it('gives the positives of train by user', function()
    local set = data.load(fixtures.dir {
      ['ratings_final.txt'] = { '1 3 1', '1 0 1', '0 2 0', '1 2 0' },
    }, { ratios = { 1, 0, 0 } })
    local known = set:known()
    assert.same({ 0, 0, 2 }, fixtures.list(known.offsets, 3))
    assert.same({ 0, 3 }, fixtures.list(known.items, 2))
    assert.equal(2, known.n)
  end)

  it('counts', function()
    local info = data.load(plain({ 1, 2, 6 }, {
      ['kg.tsv'] = { 'head\trelation\ttail', 'i1\tr\te', 'i2\tr\te', 'i1\tr\te' },
    })):info()
    assert.same({ 3, 6, 7, 1, 2, 9, 0 }, { info.users, info.items, info.entities, info.relations,
      info.triples, info.positives, info.negatives })
    assert.equal(0.5, info.density)
    assert.same({ min = 1, median = 2, mean = 3, max = 6, none = 0 }, info.per_user)
    assert.same({ min = 1, median = 1, mean = 1.5, max = 3, none = 0 }, info.per_item)
    assert.same({ min = 0, median = 0, mean = 4 / 7, max = 2, none = 4 }, info.degree)
    assert.same({ '1 repeated triple dropped' }, info.warnings)
    assert.matches('density 50 %%', tostring(info))
  end)

  it('writes large numbers in groups', function()
    local set = data.load(plain { 1500 })
    assert.matches('items +1,500\n', tostring(set:info()))
  end)
end)

describe('batches', function()
  after_each(fixtures.clean)

  local function collect(set, options)
    local seen, sizes, numbers = {}, {}, {}
    for batch in set:batches(options) do
      sizes[#sizes + 1], numbers[#numbers + 1] = batch.n, batch.number
      local users, items = batch.users:values(), batch.items:values()
      local labels = batch.labels and batch.labels:values()
      for i = 0, batch.n - 1 do
        seen[#seen + 1] = ('%d %d'):format(users[i], items[i])
          .. (labels and (' %g'):format(labels[i]) or '')
      end
    end
    return seen, sizes, numbers
  end

  it('give each row once, in an order of seed and epoch', function()
    local set = data.load(plain { 30, 25 }, { ratios = { 1, 0, 0 } })
    local first, sizes, numbers = collect(set, { size = 16, seed = 3, epoch = 1 })
    assert.same({ 16, 16, 16, 7 }, sizes)
    assert.same({ 1, 2, 3, 4 }, numbers)
    assert.same(first, (collect(set, { size = 16, seed = 3, epoch = 1 })))
    assert.are_not.same(first, (collect(set, { size = 16, seed = 3, epoch = 2 })))
    assert.are_not.same(first, (collect(set, { size = 16, seed = 4, epoch = 1 })))
    local _, count = set:batches { size = 16 }
    assert.equal(4, count)
    table.sort(first)
    assert.same(pairs_of(set.train), first)
    local _, whole = collect(set, { size = 16, drop_last = true })
    assert.same({ 16, 16, 16 }, whole)
  end)

  it('keep the order without shuffling, with labels or only positives', function()
    local set = data.load(fixtures.dir { ['ratings_final.txt'] = { '1 3 1', '1 0 1', '0 2 0' } },
      { ratios = { 1, 0, 0 } })
    assert.same({ '1 3 1', '1 0 1', '0 2 0' }, (collect(set, { shuffle = false })))
    assert.same({ '1 3', '1 0' }, (collect(set, { shuffle = false, task = 'ranking' })))
    assert.same({}, (collect(set, { split = 'test' })))
  end)

  it('draw negatives that the user does not know', function()
    local set = data.load(plain { 30, 25 }, { ratios = { 1, 0, 0 } })
    local known, seen = set:known(), 0
    for batch in set:batches { size = 16, negatives = 3 } do
      assert.same({ batch.n, 3 }, batch.negatives:size())
      local users, drawn = batch.users:values(), batch.negatives:values()
      for i = 0, batch.n * 3 - 1 do
        assert.is_false(known:contains(users[math.floor(i / 3)], drawn[i])
          and known:count(users[math.floor(i / 3)]) < set.items)
        seen = seen + 1
      end
    end
    assert.equal(set.train.n * 3, seen)
  end)

  it('refuse what they do not know', function()
    local set = data.load(plain { 3 })
    local function says(options)
      return fixtures.message(function() set:batches(options) end)
    end
    assert.matches('size 0: a positive integer', says { size = 0 })
    assert.matches("no option 'sise'", says { sise = 1 })
    assert.matches("split 'all': train, valid or test", says { split = 'all' })
  end)
end)

describe('the demo', function()
  after_each(fixtures.clean)

  it('writes the same files for the same seed, and loads', function()
    local a, b, c = fixtures.dir(), fixtures.dir(), fixtures.dir()
    local made = demo.write(a .. '/deeper/still')
    demo.write(b, { seed = 1 })
    demo.write(c, { seed = 2 })
    for _, name in ipairs { 'ratings_final.txt', 'kg_final.txt', 'entity_list.txt' } do
      assert.equal(fixtures.bytes(a .. '/deeper/still/' .. name), fixtures.bytes(b .. '/' .. name))
      assert.are_not.equal(fixtures.bytes(b .. '/' .. name), fixtures.bytes(c .. '/' .. name))
    end
    local set = data.load(b)
    assert.same({ 'kgcn', 'ctr', 1000, 400, 6 },
      { set.format, set.task, set.users, set.items, set.relations })
    assert.same({ made.entities, made.triples }, { set.entities, set.graph.n })
    local info = set:info()
    assert.equal(made.positives, info.positives)
    assert.equal(info.positives, info.negatives)
    assert.is_true(info.positives > 18000 and info.positives < 22000)
    assert.equal(0, info.dropped.duplicates + info.dropped.triples)
    assert.equal('user 12', set.names.users:name(12))
    assert.equal('film 30', set.names.items:name(30))
    assert.equal('film 30', set.names.entities:name(30))
    assert.truthy(set.names.entities:id('genre:drama'))
    assert.equal('genre', set.names.relations:name(0))
  end)

  -- AUC over the test rows of score(user, item), by counting pairs in sorted order.
  local function auc(set, score)
    local list, positives = {}, 0
    for i = 0, set.test.n - 1 do
      list[i + 1] = { score(set.test.users[i], set.test.items[i]), set.test.labels[i] }
      positives = positives + set.test.labels[i]
    end
    table.sort(list, function(x, y) return x[1] < y[1] end)
    local sum, first = 0, 1
    while first <= #list do
      local last, ones = first, 0
      while list[last + 1] and list[last + 1][1] == list[first][1] do last = last + 1 end
      for i = first, last do ones = ones + list[i][2] end
      sum = sum + ones * (first + last) / 2
      first = last + 1
    end
    return (sum - positives * (positives + 1) / 2) / (positives * (#list - positives))
  end

  it('is explained by its graph, not by popularity', function()
    local dir = fixtures.dir()
    demo.write(dir)
    local set = data.load(dir)
    local popularity, attributes, likes, weight = {}, {}, {}, {}
    for i = 0, set.graph.n - 1 do
      local head, tail = set.graph.heads[i], set.graph.tails[i]
      attributes[head] = attributes[head] or {}
      table.insert(attributes[head], tail)
      weight[tail] = (weight[tail] or 0) + 1
    end
    for i = 0, set.train.n - 1 do
      local user, item = set.train.users[i], set.train.items[i]
      if set.train.labels[i] == 1 then
        popularity[item] = (popularity[item] or 0) + 1
        likes[user] = likes[user] or {}
        for _, entity in ipairs(attributes[item]) do
          likes[user][entity] = (likes[user][entity] or 0) + 1
        end
      end
    end
    local by_popularity = auc(set, function(_, item) return popularity[item] or 0 end)
    -- Shared attributes, the rare ones counting more.
    local by_graph = auc(set, function(user, item)
      local sum = 0
      for _, entity in ipairs(attributes[item]) do
        local count = likes[user] and likes[user][entity] or 0
        sum = sum + math.max(count - 1, 0) ^ 2 / weight[entity]
      end
      return sum
    end)
    assert.is_true(by_popularity < 0.62, 'by popularity ' .. by_popularity)
    assert.is_true(by_graph > 0.75, 'by graph ' .. by_graph)
  end)

  it('takes sizes and refuses nonsense', function()
    local dir = fixtures.dir()
    local made = demo.write(dir, { users = 20, items = 30, interactions = 4, directors = 5,
      actors = 9, series = 0 })
    local set = data.load(dir)
    assert.same({ 20, 30, made.entities }, { set.users, set.items, set.entities })
    assert.matches("no option 'user'", fixtures.message(demo.write, dir, { user = 3 }))
    assert.matches('items = 2 is out of range', fixtures.message(demo.write, dir, { items = 2 }))
    for _, seed in ipairs { 1e300, 2 ^ 53 + 2, -1, 0.5, 0 / 0 } do
      assert.matches('^demo: seed = .- is out of range: 0 to 9007199254740992$',
        fixtures.message(demo.write, dir, { seed = seed }))
    end
    assert.equal('demo: the folder to write has no name', fixtures.message(demo.write, ''))
    assert.matches('cannot be made', fixtures.message(demo.write, '/proc/none/x'))
  end)
end)

describe('negatives', function()
  local negatives = require 'tinykg.data.negatives'

  it('are never watched, never twice, as many as positives in each part', function()
    local function part(first, last)
      local n, rows = 0, { users = arrays.ints(900), items = arrays.ints(900) }
      for user = 0, 99 do
        for item = first, last do
          rows.users[n], rows.items[n] = user, (user + item) % 12
          n = n + 1
        end
      end
      rows.n = n
      return rows
    end
    local watched = part(0, 4)
    local labelled, missing = negatives.add({ part(0, 2), part(3, 4) },
      arrays.csr(watched.n, watched.users, watched.items, 100), 12, 1)
    assert.equal(0, missing)
    assert.same({ 600, 400 }, { labelled[1].n, labelled[2].n })
    local seen = {}
    for k = 1, 2 do
      local ones = 0
      for i = 0, labelled[k].n - 1 do
        local user, item = labelled[k].users[i], labelled[k].items[i]
        ones = ones + labelled[k].labels[i]
        assert.is_nil(seen[user * 12 + item])
        seen[user * 12 + item] = true
        assert.equal((item - user) % 12 <= 4, labelled[k].labels[i] == 1)
      end
      assert.equal(labelled[k].n / 2, ones)
    end
  end)

  it('draws every unwatched item alike', function()
    local n, items, drawn = 4000, 12, {}
    local part = { n = n, users = arrays.ints(n), items = arrays.ints(n) }
    for user = 0, n - 1 do part.users[user], part.items[user] = user, 3 end
    local watched = arrays.csr(n, part.users, part.items, n)
    local labelled, missing = negatives.add({ part }, watched, items, 9)
    assert.equal(0, missing)
    assert.equal(2 * n, labelled[1].n)
    for i = n, 2 * n - 1 do
      assert.equal(0, labelled[1].labels[i])
      drawn[labelled[1].items[i]] = (drawn[labelled[1].items[i]] or 0) + 1
    end
    assert.is_nil(drawn[3])
    -- 363.6 expected, standard deviation 18.2.
    for item = 0, items - 1 do
      if item ~= 3 then assert.is_true(math.abs(drawn[item] - 363.6) < 82) end
    end
  end)
end)
