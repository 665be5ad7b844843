-- Metrics of each user and of what is recommended: against the definitions, worked out here, and
-- through the command line.
local tk = require 'tinykg'
local evaluate = require 'tinykg.train.evaluate'
local per_user = require 'tinykg.run.folder.per_user'
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

--- Scores of items 0..n-1 by their ids, the same for all users: the best are those that are unknown
--- with the highest ids.
local function by_id(data)
  local rows = {}
  for u = 1, data.users do
    rows[u] = {}
    for i = 1, data.items do rows[u][i] = i end
  end
  return tk.tensor(rows)
end

--- The lists of k by that, and the training interactions of each item.
local function expected_lists(data, k)
  local known, popularity, lists = {}, {}, {}
  for _, part in ipairs{data.train, data.valid} do
    for r = 0, part.n - 1 do
      local u, i = part.users[r], part.items[r]
      known[u] = known[u] or {}
      known[u][i] = true
      if part == data.train then popularity[i] = (popularity[i] or 0) + 1 end
    end
  end
  local test = data:positives('test')
  for u = 0, data.users - 1 do
    if test.offsets[u + 1] > test.offsets[u] then
      local list = {}
      for i = data.items - 1, 0, -1 do
        if #list < k and not (known[u] or {})[i] then list[#list + 1] = i end
      end
      lists[u] = list
    end
  end
  return lists, popularity
end

describe('an evaluation', function()
  local dir, data, path
  setup(function()
    dir, path = shell.demo(80, 60)
    data = tk.data.load(path, {task = 'ranking'})
  end)
  teardown(fixtures.clean)

  it('measures what is recommended, as the definitions say', function()
    local got = evaluate.ranking(by_id(data), data, {k = {5, 3}, exposure = true})
    for _, k in ipairs{3, 5} do
      local lists, popularity = expected_lists(data, k)
      local counts, places, novelty, popular = {}, 0, 0, 0
      for _, list in pairs(lists) do
        for _, i in ipairs(list) do
          counts[i], places = (counts[i] or 0) + 1, places + 1
          popular = popular + (popularity[i] or 0)
          novelty = novelty + math.log(data.users / math.max(popularity[i] or 0, 1)) / math.log(2)
        end
      end
      local covered, apart = 0, 0 -- gini: mean |x_i - x_j| over all pairs, over twice the mean
      for i = 0, data.items - 1 do
        covered = covered + (counts[i] and 1 or 0)
        for j = 0, data.items - 1 do
          apart = apart + math.abs((counts[i] or 0) - (counts[j] or 0))
        end
      end
      assert.near(covered / data.items, got['coverage@' .. k], 1e-12)
      assert.near(apart / (2 * data.items * places), got['gini@' .. k], 1e-12)
      assert.near(popular / places, got['popularity@' .. k], 1e-9)
      assert.near(novelty / places, got['novelty@' .. k], 1e-9)
      assert.is_true(got['gini@' .. k] > 0.5 and got['coverage@' .. k] < 1)
    end
  end)

  it('tells the metrics of each user, whose means are its own', function()
    local seen, sums, n = {}, {}, 0
    local got = evaluate.ranking(by_id(data), data, {k = 5, users = 30, seed = 4,
      each = function(user, values)
        assert.is_nil(seen[user])
        seen[user], n = values, n + 1
        for name, value in pairs(values) do sums[name] = (sums[name] or 0) + value end
      end})
    assert.equal(30, n)
    assert.equal(30, got.users)
    local lists, test = expected_lists(data, 5), data:positives('test')
    for user, values in pairs(seen) do
      local wanted, hits = {}, 0
      local first, last = test.offsets[user], test.offsets[user + 1] - 1
      for at = first, last do wanted[test.items[at]] = true end
      for _, i in ipairs(lists[user]) do hits = hits + (wanted[i] and 1 or 0) end
      assert.near(hits / (last - first + 1), values['recall@5 (30 users)'], 1e-12)
    end
    for name, sum in pairs(sums) do assert.near(got[name], sum / n, 1e-12) end
  end)

  it('of a run writes them by name, on request', function()
    local train = ('./tinykg run recipes/bpr-mf.lua --quiet --data %s --data-set task=ranking ' ..
      '--set epochs=2 --set dim=8 '):format(path)
    shell.gives(0, train .. ('--out %s/plain'):format(dir))
    shell.gives(0, train .. ('--set per_user=true --set exposure=true --out %s/full'):format(dir))
    assert.is_nil(per_user.read(dir .. '/plain'))
    local values = assert(per_user.read(dir .. '/full'))
    local plain, full = runs.read(dir .. '/plain/summary.json').test,
      runs.read(dir .. '/full/summary.json').test
    for name, value in pairs(plain) do assert.equal(value, full[name]) end
    for _, name in ipairs{'recall@20', 'ndcg@10', 'f1@10'} do
      local sum, n = 0, 0
      for user, value in pairs(values[name]) do
        assert.is_truthy(data.names.users:id(user), user)
        sum, n = sum + value, n + 1
      end
      assert.equal(full.users, n)
      assert.near(full[name], sum / n, 1e-8)
    end
    assert.is_number(full['gini@20'])
    assert.is_nil(plain['gini@20'])
    assert.is_nil(values['gini@20'])
    shell.gives(0, './tinykg check ' .. dir .. '/full',
                'per_user.tsv +ok: test metrics of %d+ users')
    local best = fixtures.bytes(dir .. '/full/best.safetensors')
    shell.gives(0, ('./tinykg export %s/full --vectors both --to %s/v.safetensors')
      :format(dir, dir))
    fixtures.write(dir .. '/full/best.safetensors', fixtures.bytes(dir .. '/v.safetensors'))
    shell.gives(1, './tinykg check ' .. dir .. '/full',
                'best.safetensors +NOT ok: it does not say of which')
    fixtures.write(dir .. '/full/best.safetensors', best)
    fixtures.write(dir .. '/full/per_user.tsv', 'user\trecall@20\na\tmuch\n')
    shell.gives(1, './tinykg check ' .. dir .. '/full',
                'per_user.tsv:2: not the metrics of a user')
  end)

  it('has the files of its last training alone', function()
    local out, first = dir .. '/longer', dir .. '/first.tsv'
    local train = ('./tinykg run recipes/bpr-mf.lua --quiet --data %s --data-set task=ranking ' ..
      '--set patience=0 --set lr=0.05 --set dim=8 --out %s '):format(path, out)
    local function has(name) return io.open(out .. '/' .. name) ~= nil end
    shell.gives(0, train .. '--set epochs=1 --set per_user=true --profile')
    assert.is_true(has 'profile.json' and has 'trace.json' and has 'per_user.tsv')
    fixtures.write(first, fixtures.bytes(out .. '/per_user.tsv'))
    shell.gives(0, train .. '--set epochs=40 --set per_user=false --resume')
    assert.is_false(has 'profile.json' or has 'trace.json' or has 'per_user.tsv')
    shell.gives(0, './tinykg check ' .. out)
    shell.gives(0, './tinykg run --resume --quiet --set per_user=true --out ' .. out)
    local summary = runs.read(out .. '/summary.json')
    assert.equal(40, summary.epochs)
    shell.gives(0, './tinykg check ' .. out, 'per_user.tsv +ok: test metrics of %d+ users')
    -- as an older version left it
    fixtures.write(out .. '/per_user.tsv', fixtures.bytes(first))
    shell.gives(1, './tinykg check ' .. out, 'summary.json +NOT ok: its test %S+ is 0[%d.]+, ' ..
                'the mean%s+in%s+per_user.tsv%s+is%s+0[%d.]+')
  end)

  it('quotes names that would hide the ends of lines from readers of tables', function()
    local names, made = {[0] = 'ann', '"open', 'a "b"', 'c\td'}, dir .. '/quoted'
    require('lfs').mkdir(made)
    local list = {}
    for user = 0, 3 do list[user + 1] = {user = user, values = {hit = user}} end
    per_user.write(made, {name = function(_, user) return names[user] end}, list)
    assert.equal('user\thit\nann\t0\n"""open"\t1\n"a ""b"""\t2\nc\\td\t3\n',
                 fixtures.bytes(made .. '/per_user.tsv'))
    assert.same({ann = 0, ['"open'] = 1, ['a "b"'] = 2, ['c\\td'] = 3}, per_user.read(made).hit)
    local odd = {'"', '""', '"whole"', '"open', 'a "b"'}
    for user, name in ipairs(odd) do
      list[user], names[user] = {user = user, values = {hit = user}}, name
    end
    per_user.write(made, {name = function(_, user) return names[user] end}, list)
    local now, lines = per_user.read(made).hit, {'user\thit'}
    for user, name in ipairs(odd) do lines[user + 1] = name .. '\t' .. user end
    fixtures.write(made .. '/per_user.tsv', table.concat(lines, '\n') .. '\n') -- of older versions
    assert.same({['"'] = 1, ['""'] = 2, ['"whole"'] = 3, ['"open'] = 4, ['a "b"'] = 5}, now)
    assert.same(now, per_user.read(made).hit)
  end)

  it('of labelled data has no lists to speak of', function()
    shell.gives(1, ('./tinykg run recipes/kgcn.lua --data %s --data-set task=ctr ' ..
      '--set per_user=true --out %s/ctr'):format(path, dir), 'option per_user: labelled data')
  end)
end)
