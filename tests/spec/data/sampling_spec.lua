-- Batches of sampled users: distributions, epochs, resuming within an epoch, errors.
local array_of = require('tests.support.arrays').of
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local function ints(list) return array_of('int32_t', list) end

--- Makes a part of 7 users: users 0 and 4 have no items, every other user u has 3 u.
local function plain_part()
  local users, items = {}, {}
  for u = 1, 6 do
    for k = 1, u ~= 4 and 3 * u or 0 do users[#users + 1], items[#items + 1] = u, 100 * u + k end
  end
  return {n = #users, users = ints(users), items = ints(items)}
end

--- Returns the rows of an epoch as {user, item}, the sizes of its batches, and the count given.
local function drawn(part, options)
  local rows, sizes = {}, {}
  local next_batch, count = require('tinykg.data.loader.batches').iterate(part, options)
  for batch in next_batch do
    sizes[#sizes + 1] = batch.n
    for i = 0, batch.n - 1 do rows[#rows + 1] = {batch.users[i], batch.items[i]} end
  end
  return rows, sizes, count
end


--- Fails unless each key has an equal share of the counts, within 4.5 standard errors of a binomial
--- count.
local function uniform(counts, keys, what)
  local sum = 0
  for _, key in ipairs(keys) do sum = sum + (counts[key] or 0) end
  local p = 1 / #keys
  for _, key in ipairs(keys) do
    local got = counts[key] or 0
    assert(math.abs(got - sum * p) <= 4.5 * math.sqrt(sum * p * (1 - p)),
           ('%s: %s came %d times of %d'):format(what, key, got, sum))
  end
end

describe('loader.sampler', function()
  it('draws the same from a graph of the model as from lists of its own', function()
    local dir = shell.demo(50, 60)
    local data = tk.data.load(dir .. '/data')
    local users = tk.ids{0, 7, 7, 31, 49}
    for _, of in ipairs{{of = 'both', inverse = true}, {of = 'interactions'},
                        {of = 'interactions', merged = true, undirected = true}} do
      local model = {graph = tk.graph(data, of)}
      local own, shared = tk.loader.sampler(data, 8), tk.loader.sampler(data, 8, nil, model)
      local function drawn_by(sampler)
        tk.seed(3)
        return tk.no_grad(sampler, users):totable()
      end
      local before = tk.memory().live.data
      tk.loader.sampler(data, 8, 'uniform', model)
      assert.equal(before, tk.memory().live.data)
      assert.same(drawn_by(own), drawn_by(shared))
    end
    fixtures.clean()
  end)
end)

describe('loader.sampler by a power of popularity', function()
  teardown(fixtures.clean)

  it('draws items as often as that says', function()
    local rows = {'user,item'}
    for item = 1, 6 do
      for k = 1, item ^ 2 do rows[#rows + 1] = ('u%d,i%d'):format(k, item) end
    end
    local data = tk.data.load(fixtures.dir{['interactions.csv'] = rows})
    local known = data:known()
    local user, users_of, knows = data.users - 1, {}, {} -- how many know each
    for item = 0, data.items - 1 do users_of[item] = 0 end
    for i = 0, known.n - 1 do users_of[known.items[i]] = users_of[known.items[i]] + 1 end
    for i = known.offsets[user], known.offsets[user + 1] - 1 do knows[known.items[i]] = true end
    for _, by in ipairs{'popularity', 1, 0.5, 0} do
      local power, n, counts, sum = by == 'popularity' and 1 or by, 60000, {}, 0
      tk.seed(5)
      local items = tk.no_grad(tk.loader.sampler(data, n, by), tk.ids{user}):totable()[1]
      for _, item in ipairs(items) do counts[item] = (counts[item] or 0) + 1 end
      for item, times in pairs(users_of) do
        if not knows[item] then sum = sum + times ^ power end
      end
      for item, times in pairs(users_of) do
        local expected = knows[item] and 0 or n * times ^ power / sum
        assert.near(expected, counts[item] or 0, 5 * math.sqrt(expected))
      end
    end
    for _, by in ipairs{'popular', -1, math.huge, 0 / 0} do
      assert.matches("negative sampling: '.*' is not uniform, popularity or a power of it from 0",
                     fixtures.message(tk.loader.sampler, data, 2, by))
    end
  end)
end)

describe('loader.rank_pairs', function()
  it('scores all items for each user, as many users at once as fit', function()
    for floats, parts in pairs{[1] = 1, [2 ^ 18] = 3, [2 ^ 21] = 5} do
      local function score(users, items, row)
        local list, ids, at = {}, users:totable(), row:totable()
        for k, item in ipairs(items:totable()) do list[k] = 10 * ids[at[k] + 1] + item end
        parts = parts - 1
        return tk.tensor(list)
      end
      local scores = tk.loader.rank_pairs(tk.ids{7, 3, 5, 0, 2}, 3, floats, score)
      assert.same({{70, 71, 72}, {30, 31, 32}, {50, 51, 52}, {0, 1, 2}, {20, 21, 22}},
                  scores:totable())
      assert.equal(0, parts)
    end
  end)
end)

describe('sampled users', function()
  after_each(fixtures.clean)

  local WITH_ITEMS = {1, 2, 3, 5, 6}

  --- Counts how often each user and each item came in many epochs.
  local function tally(draw, size)
    local part, users, items = plain_part(), {}, {}
    for epoch = 1, 600 do
      for _, row in ipairs((drawn(part, {draw = draw, size = size, seed = 5, epoch = epoch}))) do
        users[row[1]] = (users[row[1]] or 0) + 1
        items[row[2]] = (items[row[2]] or 0) + 1
      end
    end
    return users, items
  end

  for _, case in ipairs{{'users', 16}, {'distinct_users', 4}, {'distinct_users', 16}} do
    it(('come equally often, and so do their items: %s, %d per batch'):format(case[1], case[2]),
       function()
      local users, items = tally(case[1], case[2])
      assert.is_nil(users[0])
      assert.is_nil(users[4])
      uniform(users, WITH_ITEMS, 'user')
      for _, u in ipairs(WITH_ITEMS) do
        local own = {}
        for k = 1, 3 * u do own[k] = 100 * u + k end
        uniform(items, own, 'item of user ' .. u)
      end
    end)
  end

  it('come as often as they have positives, each of these equally often: resampled', function()
    local users, items = tally('resampled', 16)
    assert.is_nil(users[4])
    for _, u in ipairs(WITH_ITEMS) do
      assert.equal(600 * 3 * u, users[u])
      local own = {}
      for k = 1, 3 * u do own[k] = 100 * u + k end
      uniform(items, own, 'item of user ' .. u)
    end
  end)

  it('are independent of each other, with replacement', function()
    local part, pairs_, keys = plain_part(), {}, {}
    for epoch = 1, 800 do
      local rows = drawn(part, {draw = 'users', size = 16, seed = 1, epoch = epoch})
      for i = 1, #rows - 1, 2 do
        local key = rows[i][1] .. ' ' .. rows[i + 1][1]
        pairs_[key] = (pairs_[key] or 0) + 1
      end
    end
    for _, a in ipairs(WITH_ITEMS) do
      for _, b in ipairs(WITH_ITEMS) do keys[#keys + 1] = a .. ' ' .. b end
    end
    uniform(pairs_, keys, 'pair')
  end)

  it('that are distinct come once per batch, in every order', function()
    local part, orders, keys = plain_part(), {}, {}
    for epoch = 1, 500 do
      local rows, sizes = drawn(part, {draw = 'distinct_users', size = 4, seed = 2, epoch = epoch})
      local at = 1
      for _, n in ipairs(sizes) do
        local seen = {}
        for i = at, at + n - 1 do
          assert.is_nil(seen[rows[i][1]], 'a user twice in a batch')
          seen[rows[i][1]] = true
        end
        local key = rows[at][1] .. ' ' .. rows[at + 3][1]
        orders[key] = (orders[key] or 0) + 1
        at = at + n
      end
    end
    for _, a in ipairs(WITH_ITEMS) do
      for _, b in ipairs(WITH_ITEMS) do
        if a ~= b then keys[#keys + 1] = a .. ' ' .. b end
      end
    end
    uniform(orders, keys, 'first and last of a batch')
  end)

  it('make as many steps as the programs do', function()
    local part = plain_part() -- 51 interactions
    local function sizes(draw, size, drop_last)
      local _, list, count = drawn(part, {draw = draw, size = size, drop_last = drop_last})
      assert.equal(#list, count)
      return list
    end
    -- LightGCN: as many draws as interactions, in batches of which the last is a short one
    assert.same({16, 16, 16, 3}, sizes('users', 16))
    assert.same({16, 16, 16}, sizes('users', 16, true))
    assert.same({17, 17, 17}, sizes('users', 17))
    assert.same({16, 16, 16, 3}, sizes('resampled', 16)) -- KGCL: as many as interactions
    -- KGAT-pytorch, CKE: n // size + 1, all of them whole
    assert.same({16, 16, 16, 16}, sizes('distinct_users', 16))
    assert.same({17, 17, 17, 17}, sizes('distinct_users', 17))
    assert.same({100}, sizes('distinct_users', 100))
    assert.same({}, (drawn({n = 0, users = ints{}, items = ints{}}, {draw = 'users'})))
    assert.same({}, (drawn({n = 0, users = ints{}, items = ints{}}, {draw = 'distinct_users'})))
  end)

  it('depend on seed, epoch and place: an epoch is resumed anywhere', function()
    local part = plain_part()
    for _, draw in ipairs{'resampled', 'users', 'distinct_users'} do
      local function rows(more)
        local o = {draw = draw, size = 4, seed = 3, epoch = 2}
        return (drawn(part, fixtures.merged(o, more)))
      end
      local whole = rows()
      assert.same(whole, rows())
      for _, other in ipairs{{seed = 4}, {epoch = 3}} do assert.are_not.same(whole, rows(other)) end
      for skip = 1, 13 do
        local rest = rows{skip = skip}
        assert.equal(math.max(#whole - 4 * skip, 0), #rest)
        for i, row in ipairs(rest) do assert.same(whole[4 * skip + i], row) end
      end
    end
  end)

  it('are refused of labelled rows, in no order and by other names', function()
    local labelled = tk.data.load(fixtures.dir{
      ['ratings_final.txt'] = {'1 3 1', '1 0 1', '0 2 0'}}, {ratios = {1, 0, 0}})
    local function says(options)
      return fixtures.message(function() labelled:batches(options) end)
    end
    assert.matches('draw=users: .*have labels: take draw=interactions', says{draw = 'users'})
    assert.matches('draw=distinct_users: .*have labels', says{draw = 'distinct_users'})
    assert.matches('draw all: interactions, resampled, users or distinct_users', says{draw = 'all'})
    assert.matches('draw=users: .*shuffle', says{draw = 'users', shuffle = false, negatives = 1})
    for batch in labelled:batches{draw = 'users', size = 8, negatives = 2} do
      for i = 0, batch.n - 1 do assert.equal(1, batch.users:values()[i]) end -- who has positives
    end
  end)
end)

describe('a recipe that samples users', function()
  local dir, labelled
  setup(function() dir, labelled = shell.demo(60, 40) end)
  teardown(fixtures.clean)

  local function options_of(run) return runs.read(run .. '/config.json').options end

  it('takes labelled data row by row, and refuses to sample its users', function()
    local out = dir .. '/labelled'
    local begin = ('run recipes/kgat.lua --quiet --data %s --set dim=8 --set epochs=1 --set ' ..
                   'kg_batch_size=64 --set layers=8 '):format(labelled)
    shell.prints(begin .. '--out ' .. out)
    assert.is_nil(options_of(out).draw)
    shell.prints('run --resume --set epochs=2 --out ' .. out)
    shell.prints((begin:gsub('epochs=1', 'epochs=3')) .. '--resume --out ' .. out)
    assert.equal(3, runs.read(out .. '/summary.json').epochs)
    shell.refuses(begin .. '--set draw=distinct_users --out ' .. dir .. '/asked', 1,
                  'option draw=distinct_users: .*have labels')
    shell.refuses(begin .. '--set draw=users --out ' .. dir .. '/asked', 1, 'option draw=users')
    shell.refuses(begin .. '--set draw=some --out ' .. dir .. '/asked', 2,
                  'option draw: some is not interactions, resampled, users or distinct_users')
  end)

  it('samples as its program does, and each can sample as the others', function()
    local ranked = '--data-set task=ranking --quiet --data ' .. labelled .. ' --set epochs=1 ' ..
      '--set dim=8 --set batch_size=32 --out ' .. dir
    for recipe, draw in pairs{lightgcn = 'users', cke = 'distinct_users', kgat = 'distinct_users',
                              ['bpr-mf'] = 'interactions'} do
      local more = recipe == 'kgat' and ' --set kg_batch_size=64 --set layers=8' or ''
      local out = ('%s/%s'):format(dir, recipe)
      shell.prints(('run recipes/%s.lua %s/%s%s'):format(recipe, ranked, recipe, more))
      assert.equal(draw, options_of(out).draw)
      local n = tk.data.load(labelled, {task = 'ranking'}).train.n
      local steps = draw == 'distinct_users' and math.floor(n / 32) + 1 or math.ceil(n / 32)
      if recipe ~= 'kgat' then assert.equal(steps, runs.log(out)[1].step) end
    end
    shell.prints('run recipes/bpr-mf.lua ' .. ranked .. '/other --set draw=distinct_users')
    assert.equal('distinct_users', options_of(dir .. '/other').draw)
  end)
end)
