-- Ranking by a sample of users or of items, against the definition worked out here.
local arrays = require 'tests.support.arrays'
local fixtures = require 'tests.support.fixtures'
local sample = require 'tinykg.train.sample_ranking'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local function data_of(folder) return tk.data.load(folder, {task = 'ranking'}) end

local function set_of(csr, user)
  local out, n = {}, 0
  for i = csr.offsets[user], csr.offsets[user + 1] - 1 do
    out[csr.items[i]], n = true, n + 1
  end
  return out, n
end

describe('the mark of a sample', function()
  it('is empty for full ranking alone, of all users that there are', function()
    local held = arrays.csr_lists{{1}, {}, {2}, {0, 3}} -- three users have some
    local data = {users = 4, valid = {n = 1}, test = {n = 0},
                  positives = function() return {offsets = arrays.of('int32_t', held.offsets)} end}
    local function mark(o) return sample.mark(o, data, 'valid') end
    assert.equal('', mark{})
    assert.equal('', mark{users = 0, negatives = 'full'})
    assert.equal(' (uni100)', mark{users = 0, negatives = 'uni100'})
    assert.equal(' (2 users)', mark{users = 2, negatives = 'full'})
    assert.equal(' (pop100, 2 users)', mark{users = 2, negatives = 'pop100'})
    assert.equal('', mark{users = 3, negatives = 'full'})
    assert.equal('', mark{users = 1e9, negatives = 'full'})
  end)
end)

describe('sampled users', function()
  it('are distinct, ascending, of those given, and the same for a seed', function()
    local ids = arrays.of('int32_t', {2, 3, 5, 8, 13, 21, 34, 55})
    local given = {[2] = true, [3] = true, [5] = true, [8] = true, [13] = true, [21] = true,
                   [34] = true, [55] = true}
    local seen = {}
    for seed = 1, 40 do
      local some, n = sample.users(ids, 8, 3, seed)
      assert.equal(3, n)
      for i = 0, 2 do
        assert.is_true(given[some[i]] and (i == 0 or some[i] > some[i - 1]))
        seen[some[i]] = (seen[some[i]] or 0) + 1
      end
      local again = sample.users(ids, 8, 3, seed)
      for i = 0, 2 do assert.equal(some[i], again[i]) end
    end
    for id in pairs(given) do assert.is_true(seen[id] > 4 and seen[id] < 27, id) end
    local all, n = sample.users(ids, 8, 9, 1)
    assert.equal(ids, all)
    assert.equal(8, n)
  end)
end)

describe('sampled negatives', function()
  local folder, data
  setup(function() folder = select(2, shell.demo(60, 400)) data = data_of(folder) end)
  teardown(fixtures.clean)

  it('are a user\'s items and at most 100 others for each, none known', function()
    local own, known = data:positives('test'), data:known()
    for _, negatives in ipairs{'uni100', 'pop100'} do
      local candidates = sample.candidates(data, own, known, negatives, 7)
      local users = arrays.of('int32_t', {0, 3, 59})
      local lists, again = candidates(users, 3), candidates(arrays.of('int32_t', {59}), 1)
      for row = 0, 2 do
        local list, n = set_of(lists, row)
        local items, count = set_of(own, users[row])
        for item in pairs(items) do assert.is_true(list[item]) end
        for item in pairs(list) do
          assert.is_true(items[item] or not known:contains(users[row], item))
        end
        assert.is_true(count == 0 and n == 0 or n > count + 10 and n <= 101 * count)
      end
      assert.same(set_of(lists, 2), set_of(again, 0)) -- a user's do not depend on the others
    end
  end)

  it('are drawn as often as interactions have them, or uniformly', function()
    local own, known, counts, total = data:positives('test'), data:known(), {}, 0
    for _, part in ipairs{data.train, data.valid, data.test} do
      for i = 0, part.n - 1 do
        counts[part.items[i]], total = (counts[part.items[i]] or 0) + 1, total + 1
      end
    end
    local popular = 0
    for item = 0, data.items - 1 do
      if not popular or (counts[item] or 0) > (counts[popular] or 0) then popular = item end
    end
    local hits = {uni100 = 0, pop100 = 0}
    local never = {uni100 = 0, pop100 = 0}
    for negatives in pairs(hits) do
      local users = {}
      for user = 0, data.users - 1 do
        if own:count(user) > 0 and not own:contains(user, popular)
          and not known:contains(user, popular) then users[#users + 1] = user end
      end
      local lists = sample.candidates(data, own, known, negatives, 3)(
        arrays.of('int32_t', users), #users)
      for row = 0, #users - 1 do
        if lists:contains(row, popular) then hits[negatives] = hits[negatives] + 1 end
        for i = lists.offsets[row], lists.offsets[row + 1] - 1 do
          if not counts[lists.items[i]] then never[negatives] = never[negatives] + 1 end
        end
      end
    end
    assert.is_true(hits.pop100 >= hits.uni100)
    assert.equal(0, never.pop100)
  end)

  it('give the metrics of a list of the candidates', function()
    local own, known = data:positives('test'), data:known()
    local scores = tk.randn(data.users, data.items):keep()
    local model = {score = function(_, users, items)
      local u, i, out = users:totable(), items:totable(), {}
      for k = 1, #u do out[k] = u[k] * data.items + i[k] end
      return scores:reshape(-1):gather(tk.ids(out))
    end}
    local result = tk.metrics.ranking(model, data, {k = 5, negatives = 'uni100', seed = 11})
    local values, recall, users = scores:totable(), 0, 0
    local candidates = sample.candidates(data, own, known, 'uni100', 11)
    for user = 0, data.users - 1 do
      if own:count(user) > 0 then
        local list = {}
        local csr = candidates(arrays.of('int32_t', {user}), 1)
        for i = 0, csr.n - 1 do list[i + 1] = csr.items[i] end
        local of_user = values[user + 1]
        table.sort(list, function(a, b) return of_user[a + 1] > of_user[b + 1] end)
        local hits = 0
        for rank = 1, 5 do hits = hits + (own:contains(user, list[rank]) and 1 or 0) end
        recall, users = recall + hits / own:count(user), users + 1
      end
    end
    assert.near(recall / users, result['recall@5 (uni100)'], 1e-12)
    assert.equal(users, result.users)
    assert.is_nil(result['recall@5'])
  end)

  it('are said in lines, files and tables, and never compared with full ranking', function()
    local dir = fixtures.dir()
    local base = 'recipes/bpr-mf.lua --data ' .. folder .. ' --data-set task=ranking --set epochs=1'
    local text = shell.prints('run ' .. base .. ' --set eval_negatives=pop100 --set eval_users=20 '
                              .. '--out ' .. dir .. '/sampled')
    assert.matches('valid recall@20 (pop100, 20 users) 0.', text, 1, true)
    assert.matches('recall@10 (pop100, 20 users)  0.', text, 1, true)
    local summary = fixtures.json(dir .. '/sampled/summary.json')
    assert.equal(20, summary.test.users)
    for name in pairs(summary.test) do
      assert.is_true(name == 'users' or name:find(' (pop100, 20 users)', 1, true) ~= nil, name)
    end
    shell.prints('run ' .. base .. ' --out ' .. dir .. '/full')
    shell.prints('report ' .. dir .. '/full ' .. dir .. '/sampled --output ' .. dir .. '/page.html')
    local page = fixtures.bytes(dir .. '/page.html')
    assert.matches('recall@20 (pop100, 20 users)', page, 1, true)
    local eval = shell.prints('eval ' .. dir .. '/full --negatives uni100 --users 30')
    assert.matches('recall@20 %(uni100, 30 users%) +0%.', eval)
    assert.is_nil(eval:match('recall@20 +0'))
    assert.equal(shell.prints('eval ' .. dir .. '/full'),
                 (shell.prints('eval ' .. dir .. '/full --users 1e9')))
    assert.matches("option eval_users: labelled data are not ranked",
      shell.gives(1, './tinykg run recipes/kgcn.lua --data ' .. folder ..
                  ' --data-set task=ctr --set eval_users=5 --out ' .. dir .. '/no', 'labelled'))
  end)
end)
