-- tinykg recommend and tinykg eval, through the command line.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local prints, refuses = shell.prints, shell.refuses

-- Books by hand. User 'dan' took nothing in train, 'eve' something in test only.
local USERS = {'ann', 'bob', 'cleo', 'dan', 'eve'}
local BOOKS = {'Emma', 'Persuasion', 'Ulysses', 'Murphy, abridged', 'Orlando', 'The Waves', 'Kim',
               'Dune'}

local function books()
  return fixtures.dir{
    ['train.txt'] = {'0 0 1 2', '1 0 2 3', '2 0 5', '3', '4'},
    ['valid.txt'] = {'0 3'}, ['test.txt'] = {'0 4', '1 6', '4 7'},
    ['kg_final.txt'] = {'0 0 8', '1 0 8', '2 0 9', '3 0 9', '4 0 10', '5 0 10'},
    ['user_list.txt'] = sets.id_list(USERS), ['item_list.txt'] = sets.id_list(BOOKS)}
end

-- Vectors such that scores of ann are 8, 7, ... by hand; Kim, Orlando and The Waves are alike.
local VECTORS = {
  users = {{1, 0}, {0, 1}, {1, 1}, {2, 0}, {0, 2}},
  items = {{3, 1}, {2, 2}, {5, 1}, {4, 4}, {1, 3}, {1, 3}, {1, 3}, {-1, 6}},
}

--- The ids of items by score, the best first, equal ones by number.
local function ranked(user, hidden)
  local order, score = {}, {}
  for i, item in ipairs(VECTORS.items) do
    score[i - 1] = 0
    for d = 1, 2 do score[i - 1] = score[i - 1] + VECTORS.users[user + 1][d] * item[d] end
    if not hidden[i - 1] then order[#order + 1] = i - 1 end
  end
  table.sort(order, function(a, b)
    if score[a] ~= score[b] then return score[a] > score[b] end
    return a < b
  end)
  return order, score
end

local function ids(result)
  local found = {}
  for i, item in ipairs(result.items) do found[i] = item.id end
  return found
end

local function answer(arguments) return json.decode(prints(arguments .. ' --json')) end

describe('tinykg recommend', function()
  local run
  setup(function()
    run = fixtures.dir() .. '/run'
    prints(('run recipes/bpr-mf.lua --quiet --data %s --set dim=2 --set epochs=1 --out %s')
      :format(books(), run))
    local tensors, metadata = tk.load(run .. '/best.safetensors')
    for name, rows in pairs(VECTORS) do tensors[name .. '.weight']:copy(tk.tensor(rows)) end
    tk.save(run .. '/best.safetensors', tensors, metadata)
  end)
  teardown(fixtures.clean)

  it('says which of the items asked for the user has', function()
    local some = answer('recommend ' .. run .. ' --user ann --only Emma,Kim')
    assert.same({6}, ids(some))
    assert.equal('ann has 1 of these already: --all lists them too', some.note)
    local none = answer('recommend ' .. run .. ' --user ann --only Emma')
    assert.equal('ann has all of these already: --all lists them too', none.note)
    assert.is_nil(answer('recommend ' .. run .. ' --user ann --only Emma --all').note)
    local text = prints('recommend ' .. run .. ' --user ann --only Emma')
    assert.equal('BPR-MF on', text:sub(1, 9))
    assert.matches('ann: no item is left\nnote: ann has all of these already[^\n]*\n$', text)
  end)

  it('writes over no file that the run reads again', function()
    local best = fixtures.bytes(run .. '/best.safetensors')
    for _, command in ipairs{'recommend RUN --users all -o RUN/names.tsv',
                             'export RUN --vectors both --to RUN/best.safetensors',
                             'export RUN --to RUN//last.safetensors',
                             'sensitivity RUN --to RUN/config.json'} do
      refuses((command:gsub('RUN', run)), 2, 'is a file of the run in that folder: name another')
    end
    local link = fixtures.dir() .. '/link.tsv'
    os.execute(('ln -s %s/names.tsv %s'):format(run, link))
    refuses(('recommend %s --users all -o %s'):format(run, link), 2, 'is a file of the run')
    assert.equal(best, fixtures.bytes(run .. '/best.safetensors'))
    shell.works(('export %s --vectors users --to %s/users.tsv'):format(run, run))
  end)

  it('lists items by score, without train and validation, equal ones by number', function()
    local result = answer('recommend ' .. run .. ' --user ann')
    local want, score = ranked(0, {[0] = true, true, true, true})
    assert.same({4, 5, 6, 7}, want)
    assert.same(want, ids(result))
    for i, item in ipairs(result.items) do
      assert.equal(score[item.id], item.score)
      assert.equal(BOOKS[item.id + 1], item.name)
      assert.equal(BOOKS[item.id + 1], item.item)
      assert.equal(i, item.rank)
      assert.is_nil(item.title)
    end
    assert.equal('test', result.items[1].taken)
    assert.equal('model', result.by)
    want = ranked(1, {[0] = true, [2] = true, [3] = true})
    assert.same({want[1], want[2]}, ids(answer('recommend ' .. run .. ' --user bob -k 2')))
    assert.same({want[1], want[2]}, ids(answer('recommend ' .. run .. ' --id --user 1 -k 2')))
  end)

  it('keeps and marks known items with --all', function()
    local result = answer('recommend ' .. run .. ' --user ann --all')
    assert.same(ranked(0, {}), ids(result))
    local marks = {}
    for _, item in ipairs(result.items) do marks[item.id] = item.taken end
    assert.same({[0] = 'train', [1] = 'train', [2] = 'train', [3] = 'valid', [4] = 'test'}, marks)
  end)

  it('leaves out what --exclude names, in a list or a file', function()
    local want = ranked(2, {[0] = true, [5] = true, [2] = true, [7] = true})
    assert.same(want, ids(answer('recommend ' .. run .. ' --user cleo --exclude Ulysses,Dune')))
    local file = fixtures.dir{['left.txt'] = {'Ulysses', '', 'Dune'}} .. '/left.txt'
    assert.same(want, ids(answer('recommend ' .. run .. ' --user cleo --exclude @' .. file)))
    assert.same(want, ids(answer('recommend ' .. run .. ' --id --user 2 --exclude 2,7')))
    want = ranked(2, {[0] = true, [5] = true, [2] = true, [3] = true})
    assert.same(want, ids(answer(('recommend %s --user cleo --exclude "%s"')
      :format(run, 'Ulysses, Murphy, abridged'))))
  end)

  it('gives users whom train does not know the most popular items, and says so', function()
    for _, who in ipairs{'--user dan', '--user eve', '--new'} do
      local result = answer('recommend ' .. run .. ' ' .. who .. ' -k 3')
      assert.equal('popularity', result.by)
      assert.same({0, 2, 1}, ids(result)) -- taken by 3, 2 and, as Murphy and The Waves, by 1
      assert.equal(3, result.items[1].score)
      assert.matches('most popular', result.note)
    end
    assert.matches('note: dan has no interactions in train',
                   prints('recommend ' .. run .. ' --user dan'))
  end)

  it('gives somebody new what the model has for those who like the same', function()
    local result = answer('recommend ' .. run .. " --likes 'The Waves,Emma'")
    assert.equal('alike', result.by)
    -- by the cosine of the sets: cleo 2 / sqrt(2 2), ann and bob 1 / sqrt(2 3)
    local weight = {1 / math.sqrt(6), 1 / math.sqrt(6), 1}
    local score = {}
    for i = 0, 7 do
      score[i] = 0
      for u = 0, 2 do
        local _, own = ranked(u, {})
        score[i] = score[i] + weight[u + 1] * own[i] / (1 + 2 / math.sqrt(6))
      end
    end
    local want = {1, 2, 3, 4, 6, 7}
    table.sort(want, function(a, b)
      if math.abs(score[a] - score[b]) > 1e-9 then return score[a] > score[b] end
      return a < b
    end)
    assert.same(want, ids(result))
    assert.near(score[want[1]], result.items[1].score, 1e-5)
    result = answer('recommend ' .. run .. ' --likes Kim') -- item 6, which nobody took
    assert.equal('popularity', result.by)
    for _, id in ipairs(ids(result)) do assert.is_true(id ~= 6) end
  end)

  it('writes a list for each of many users', function()
    local out = fixtures.dir() .. '/top.tsv'
    assert.matches('5 users', prints(('recommend %s --users all -k 2 -o %s'):format(run, out)))
    local lines = {}
    for line in io.lines(out) do lines[#lines + 1] = line end
    assert.equal('user\trank\titem\tscore\tby\ttaken', lines[1])
    assert.equal('ann\t1\tOrlando\t1\tmodel\ttest', lines[2])
    assert.equal('dan\t1\tEmma\t3\tpopularity\t', lines[8])
    assert.equal(11, #lines)
    local some = fixtures.dir{['users.txt'] = {'cleo', 'ann'}} .. '/users.txt'
    local text = prints(('recommend %s --users %s -k 1 --json'):format(run, some))
    local first, second = text:match('^(.-)\n(.-)\n$')
    assert.equal('cleo', json.decode(first).name)
    assert.same(ids(answer('recommend ' .. run .. ' --user ann -k 1')), ids(json.decode(second)))
  end)

  it('lists no item that a user has with label 0, unless such rows were drawn', function()
    local rows = {'user,item,label,split', 'ann,A,1,train', 'ann,B,0,train', 'ann,C,0,valid',
                  'ann,D,0,test', 'bob,B,1,train', 'bob,C,1,train', 'bob,D,1,valid', 'bob,E,1,test',
                  'bob,A,0,test'}
    local dir = fixtures.dir{['own/interactions.csv'] = rows,
      ['drawn/ratings_final.txt'] = {'0 0 1', '0 1 0', '0 2 0', '0 3 0', '0 4 0', '1 1 1', '1 2 1',
                                     '1 3 1', '1 4 1', '1 0 0', '2 0 1', '2 1 0', '2 3 1', '2 4 0'},
      ['drawn/kg_final.txt'] = {'0 0 5', '1 0 5'}}
    local function best(name, more)
      local found, marks = answer(('recommend %s/%s-run %s'):format(dir, name, more)), {}
      for _, one in ipairs(found.items) do marks[one.item] = one.taken or '' end
      return marks, found
    end
    for _, name in ipairs{'own', 'drawn'} do
      prints(('run kgcn --quiet --data %s/%s --set dim=4 --set epochs=1 --out %s/%s-run')
        :format(dir, name, dir, name))
    end
    assert.same({D = '', E = ''}, (best('own', '--user ann')))
    assert.same({A = 'train', B = 'label 0', C = 'label 0', D = '', E = ''},
                (best('own', '--user ann --all')))
    local marks, found = best('own', '--user ann --only B,E')
    assert.same({E = ''}, marks)
    assert.equal('ann has 1 of these already: --all lists them too', found.note)
    assert.matches('\nann\t%d\tB\t[^\n]*\tlabel 0\n', prints(
      ('recommend %s/own-run --users all --all'):format(dir)))
    marks = best('drawn', '--id --user 0 --all')
    for _, mark in pairs(marks) do assert.not_equal('label 0', mark) end
    local explained = json.decode(prints(('explain %s/own-run --user ann --item E --json')
      :format(dir)))
    assert.equal(2, explained.of)
  end)

  it('tells item and title apart', function()
    local titled = fixtures.dir{
      ['interactions.csv'] = {'user,item', 'a,978-1', 'a,978-2', 'b,978-2', 'b,978-3', 'c,978-1'},
      ['items.csv'] = {'item,title', '978-1,"Dune, vol. 1"', '978-2,Emma', '978-3,Kim'}}
    local out = titled .. '/run'
    prints(('run bpr-mf --quiet --data %s --set dim=2 --set epochs=1 --out %s'):format(titled, out))
    local titles = {['978-1'] = 'Dune, vol. 1', ['978-2'] = 'Emma', ['978-3'] = 'Kim'}
    for _, whom in ipairs{'--user c', '--users all'} do
      local text = prints(('recommend %s %s --all --json'):format(out, whom)):match('([^\n]+)\n$')
      local items = json.decode(text).items
      assert.equal(3, #items)
      for rank, one in ipairs(items) do
        assert.equal(rank, one.rank)
        assert.equal(titles[one.item], one.title)
      end
    end
  end)

  it('refuses what it cannot do, with names that are close', function()
    refuses('recommend ' .. run .. ' --user bobb', 1, "no user 'bobb'.*close: bob ")
    refuses('recommend ' .. run .. ' --user zoe', 1, "no user 'zoe'.*%-%-new")
    refuses('recommend ' .. run .. ' --user ann --exclude Waves', 1, 'close: The Waves')
    refuses('recommend ' .. run .. ' --user ann --exclude dnue', 1, 'close: Dune')
    refuses('recommend ' .. run .. ' --user ann --likes Kim', 1, 'ann has interactions')
    refuses('recommend ' .. run .. ' --id --user 5', 1, 'no user number 5: there are 0 to 4')
    refuses('recommend ' .. run, 2, 'for whom')
    refuses('recommend ' .. run .. ' --user ann --new', 2, 'take one')
    refuses('recommend ' .. run .. ' --new --all', 2, '%-%-all: it is for users of the data set')
    refuses('recommend ' .. run .. ' --likes Kim --all', 2, '%-%-all: .*took nothing')
    refuses('recommend ' .. run .. ' --user ann -k 0', 2, "'0' is not a whole number")
    refuses('recommend ' .. run .. ' --user ann -o x.tsv', 2, '%-o: it is for %-%-users')
    refuses('recommend /no/such/run --user ann', 1, 'no such run')
    refuses('recommend ' .. run .. ' --user -3', 2, '%-%-user: .* is written %-%-user=%-3\n$')
    refuses('recommend ' .. run .. ' --user=-3', 1, "no user '%-3'")
    refuses('recommend ' .. run .. ' -k 3 -k 4 --new', 2, '%-k is given twice')
    refuses('recommend ' .. run .. ' --users all --users x', 2, '%-%-users is given twice')
  end)

  it('takes lists piece by piece', function()
    local want = ranked(2, {[0] = true, [5] = true, [2] = true, [7] = true})
    local file = fixtures.dir{['left.txt'] = 'Dune\n'} .. '/left.txt'
    assert.same(want, ids(answer(('recommend %s --user cleo --exclude Ulysses --exclude @%s')
      :format(run, file))))
    assert.same(ids(answer('recommend ' .. run .. " --likes 'The Waves,Emma'")),
                ids(answer('recommend ' .. run .. " --likes 'The Waves' --likes Emma")))
    local text = prints('recommend ' .. run .. ' --user ann --user bob -k 1')
    assert.matches('ann: the best 1 item.*\n\n[^\n]*bob: the best 1 item', text)
    local first, second = prints('recommend ' .. run .. ' --json --user ann --user bob')
      :match('^([^\n]+)\n([^\n]+)\n$')
    assert.equal('ann', json.decode(first).name)
    assert.same(ids(answer('recommend ' .. run .. ' --user bob')), ids(json.decode(second)))
  end)

  it('reads lists that begin with a byte order mark, and from standard input', function()
    local files = fixtures.dir{['u.txt'] = '\239\187\191ann\r\n  cleo \r\n',
                               ['i.txt'] = '\239\187\191Ulysses\nDune\n'}
    local text = prints('recommend ' .. run .. ' -k 1 --users ' .. files .. '/u.txt')
    assert.matches('\nann\t1\t.*\ncleo\t1\t', text)
    assert.equal(text, prints('recommend ' .. run .. ' -k 1 --users - <' .. files .. '/u.txt'))
    assert.same(ids(answer('recommend ' .. run .. ' --user cleo --exclude Ulysses,Dune')),
                ids(answer('recommend ' .. run .. ' --user cleo --exclude @' .. files .. '/i.txt')))
    assert.same(ids(answer('recommend ' .. run .. ' --likes Ulysses,Dune')),
                ids(answer('recommend ' .. run .. ' --likes @- <' .. files .. '/i.txt')))
    refuses('recommend ' .. run .. ' --users - </dev/null --user ann', 2, 'take one')
  end)

  it('answers for the others where some are not in the data set', function()
    local some = fixtures.dir{['users.txt'] = {'ann', 'nobody', 'cleo'}} .. '/users.txt'
    local out = fixtures.dir() .. '/top.tsv'
    local code, text, err = shell.tinykg('recommend ' .. run .. ' -k 1 --users ' .. some)
    assert.equal(1, code)
    assert.matches('\nann\t1\t.*\ncleo\t1\t', text)
    assert.matches("^%S+/users%.txt:2: no user 'nobody' in the data set[^\n]*\n" ..
                   'tinykg: 1 of 3 users are not in the data set\n$', err)
    shell.gives(1, ('./tinykg recommend %s -k 1 --users %s -o %s'):format(run, some, out))
    assert.equal(text, fixtures.bytes(out))
    shell.gives(1, './tinykg recommend ' .. run .. ' --user ann --user nobody --user bob -k 1',
                'ann: the best.*bob: the best')
    local none = {}
    for i = 1, 30 do none[i] = 'nobody ' .. i end
    code, text, err = shell.tinykg('recommend ' .. run .. ' --users ' ..
                                   fixtures.dir{u = none} .. '/u')
    assert.equal(1, code)
    assert.equal('', text)
    assert.matches("no user 'nobody 10'.*\n%.%.%. and 20 more\n" ..
                   'tinykg: 30 of 30 users are not in the data set\n$', err)
    assert.is_nil(err:find('nobody 11', 1, true))
  end)
end)

describe('tinykg eval', function()
  local dir, data
  setup(function() dir, data = shell.demo(60, 80) end)
  teardown(fixtures.clean)

  local function trained(recipe, name, more)
    local path = dir .. '/' .. name
    prints(('run recipes/%s.lua --quiet --data %s --out %s --set epochs=3 %s')
      :format(recipe, data, path, more or ''))
    return path
  end

  it('gives the numbers of the summary again', function()
    for _, recipe in ipairs{'kgat', 'kgcn', 'ripplenet'} do
      local path = trained(recipe, recipe, '--data-set task=ranking --set batch_size=500')
      local summary = assert(fixtures.json(path .. '/summary.json'))
      assert.same(summary.test, answer('eval ' .. path).metrics)
      assert.same(summary.valid, answer('eval ' .. path .. ' --part valid').metrics)
    end
    local path = trained('kgcn', 'labelled', '--set batch_size=500')
    local result = answer('eval ' .. path)
    assert.same(assert(fixtures.json(path .. '/summary.json')).test, result.metrics)
    assert.equal('KGCN', result.recipe)
    assert.is_true(result.finished)
    local out, err = shell.works('eval ' .. path .. ' --k 5')
    assert.matches('auc', out)
    assert.equal(('note: --k says nothing of %s: its data are labelled\n'):format(path), err)
    for given, said in pairs{['--users 5'] = '--users says', ['--negatives uni100'] =
                             '--negatives says', ['--k 5 --users 5'] = '--k, --users say'} do
      out, err = shell.works(('eval %s %s'):format(path, given))
      assert.matches('auc', out)
      assert.equal(('note: %s nothing of %s: its data are labelled\n'):format(said, path), err)
    end
    assert.equal('', select(2, shell.works('eval --users 0 --negatives full ' .. path)))
  end)

  it('agrees with what is recommended', function()
    local path = trained('lightgcn', 'lightgcn', '--data-set task=ranking')
    local set = tk.data.load(data, {task = 'ranking'})
    local test, hits, users = set:positives('test'), 0, 0
    for line in prints('recommend ' .. path .. ' --users all -k 5 --json'):gmatch('[^\n]+') do
      local result = json.decode(line)
      local first, last = test.offsets[result.user], test.offsets[result.user + 1] - 1
      local found = 0
      for _, item in ipairs(result.items) do
        for p = first, last do found = found + (test.items[p] == item.id and 1 or 0) end
      end
      if last >= first then
        hits, users = hits + found / (last - first + 1), users + 1
      end
    end
    local metrics = answer('eval ' .. path .. ' --k 5').metrics
    assert.equal(users, metrics.users)
    assert.near(hits / users, metrics['recall@5'], 1e-12)
  end)

  it('measures runs that were stopped, and several beside each other', function()
    local path = trained('bpr-mf', 'stopped', '--data-set task=ranking')
    local finished = trained('bpr-mf', 'finished', '--data-set task=ranking')
    os.remove(path .. '/summary.json')
    assert.is_false(answer('eval ' .. path).finished)
    local text = prints(('eval %s %s --k 3 --k 7'):format(path, finished))
    assert.matches('not finished', text)
    local a, b = text:match('recall@7 +(%S+) +(%S+)')
    assert.equal(a, b)
    assert.is_number(tonumber(a))
    assert.is_nil(text:match('@10'))
  end)

  it('ranks all items where it measures train itself', function()
    local path = trained('bpr-mf', 'fitted', '--data-set task=ranking --set lr=0.1')
    local metrics = answer('eval ' .. path .. ' --part train').metrics
    assert.is_true(metrics['recall@20'] > 0.3)
  end)

  it('refuses what it cannot do', function()
    local path = trained('bpr-mf', 'refused', '--data-set task=ranking')
    refuses('eval', 2, 'run')
    refuses('eval ' .. dir, 1, 'not the folder of a run')
    refuses('eval ' .. path .. ' --part all', 2, 'all is not test, valid or train')
    refuses('eval ' .. path .. ' --k 0', 2, "'0' is not a whole number")
    refuses('eval ' .. path .. ' --data /no/such/set', 1, '/no/such/set: no such folder')
    refuses('eval ' .. path .. ' --device tpu', 2, 'tpu is not')
    assert(os.rename(data, data .. '-moved'))
    refuses('eval ' .. path, 1, 'data: no such folder %(%-%-data DIR says where the data set is')
    assert(os.rename(data .. '-moved', data))
    os.remove(path .. '/best.safetensors')
    refuses('eval ' .. path, 1, 'no epoch of this run was finished')
  end)
end)
