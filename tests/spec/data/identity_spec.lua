-- A run notes its data set: where that has changed, commands refuse to use wrong names.
-- luacheck: globals os.rename os.remove
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local runs = require 'tests.support.runs'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local prints, refuses = shell.prints, shell.refuses
local rows, set, trained = sets.rows, sets.folder, runs.trained
local KG = sets.kg

local read, write = runs.read, runs.write

--- Turns a run's folder into one of an older version.
local function made_old(run)
  local config = read(run .. '/config.json')
  config.data_set, config.data_options, config.checksum = nil, nil, nil
  write(run .. '/config.json', config)
  for _, name in ipairs{'names.tsv', 'split.bin', 'last-1.safetensors'} do
    os.remove(run .. '/' .. name)
  end
  runs.without_checksums(run .. '/best.safetensors')
  runs.without_checksums(run .. '/last.safetensors')
end

describe('a run and its data set', function()
  local dir
  setup(function() dir = fixtures.dir() end)
  teardown(fixtures.clean)

  --- Returns the outputs of export, recommend, explain and eval for a run.
  local function answers(run)
    prints(('export %s --to %s/all.tsv'):format(run, dir))
    local item = json.decode(prints('recommend ' .. run .. ' --user u1 -k 1 --json')).items[1].name
    local list = {fixtures.bytes(dir .. '/all.tsv'),
                  prints('recommend ' .. run .. ' --users all --all -k 20'),
                  prints(('explain %s --user u1 --item "%s" --json'):format(run,
                                                                            item:match('^%S+')))}
    for k, part in ipairs{'valid', 'test'} do
      list[3 + k] = prints(('eval %s --json --k 3 --part %s'):format(run, part))
    end
    return list
  end

  --- Makes labels of 12 items by 8 users, sorted by `before` if it is given, and the items' titles.
  local function labelled(before)
    local list, titles = {}, {'item,title'}
    for u = 1, 8 do
      for i = 1, 12 do
        if (u * 5 + i * i) % 7 < 4 then
          list[#list + 1] = ('u%d,a%d,%d'):format(u, i, (u * 3 + i * 7) % 5 < 2 and 1 or 0)
        end
      end
    end
    for i = 1, 12 do titles[i + 1] = ('a%d,Book %d'):format(i, i) end
    if before then table.sort(list, before) end
    table.insert(list, 1, 'user,item,label')
    return list, titles
  end

  it('answer the same when the rows come in another order, but do not go on', function()
    local list, titles = labelled()
    local pairs_set = set(rows())
    local labels_set = fixtures.dir{['interactions.csv'] = list, ['items.csv'] = titles,
                                    ['kg.csv'] = KG}
    prints(('run recipes/kgcn.lua --quiet --data %s --out %s/labels --set epochs=3 --set dim=4 ' ..
      '--set neighbors=2 --set batch_size=8'):format(labels_set, dir))
    trained(pairs_set, dir .. '/pairs')
    for _, case in ipairs{
      {'pairs', pairs_set, rows(), rows(true)},
      {'labels', labels_set, list,
       (labelled(function(a, b) return a:reverse() < b:reverse() end))},
    } do
      local run, path = dir .. '/' .. case[1], case[2] .. '/interactions.csv'
      local before = answers(run)
      fixtures.write(path, case[4])
      assert.same(before, answers(run))
      local _, err = shell.works('eval ' .. run)
      assert.matches('^note: [^\n]+ has changed since: the same rows in another order, [^\n]+: ' ..
                     'the numbers and the split that it had are used\n$', err)
      assert.matches('data set +ok: [^\n]* in another order', prints('check ' .. run))
      refuses('run --resume --set epochs=9 --out ' .. run, 1, '/' .. case[1] .. ': its data set ' ..
        case[2] .. ' has changed since: the same rows in another order, which numbers, split ' ..
        'and batches depend on')
      fixtures.write(case[2] .. '/kg.csv', {KG[1], KG[4], KG[2], KG[3]})
      refuses('eval ' .. run, 1, 'has changed since: the same rows in another order')
      fixtures.write(case[2] .. '/kg.csv', KG)
      fixtures.write(path, case[3])
      prints('run --resume --quiet --set epochs=9 --out ' .. run)
    end
    local text = fixtures.bytes(dir .. '/pairs/split.bin')
    fixtures.write(dir .. '/pairs/split.bin', string.char(bit.bxor(text:byte(1), 1)) .. text:sub(2))
    assert.equal(1, (shell.tinykg('check ' .. dir .. '/pairs')))
  end)

  it('part when anything of it changes, and it is said what', function()
    local data = set(rows())
    local run = trained(data, dir .. '/anything')
    local function changed(interactions, kg, why, more)
      fixtures.write(data .. '/interactions.csv', interactions)
      fixtures.write(data .. '/kg.csv', kg)
      refuses(('eval %s %s'):format(run, more or ''), 1, 'has changed since: ' .. why)
      refuses('run --resume --set epochs=9 --out ' .. run, 1, 'has changed since: ' .. why)
    end
    local more, other, renamed = rows(), rows(), rows()
    more[#more + 1] = 'u9,a1'
    changed(more, KG, 'users 7, were 6; train 19, were 18')
    other[2] = 'u1,a10' -- what u1 took first was a4
    changed(other, KG, 'other interactions, as many as were')
    for i, line in ipairs(renamed) do renamed[i] = line:gsub('^u2,', 'v2,') end
    changed(renamed, KG, 'other names among its 6 users')
    changed(rows(), {KG[1], KG[2], KG[3]}, 'triples 2, were 3')
    changed(rows(), {KG[1], 'a1,is,y', 'a2,is,x', 'a3,is,x'}, 'other triples, as many as were')
    changed(rows(), {KG[1], 'a1,was,x', 'a2,was,y', 'a3,was,x'}, 'other names among its 1 rel')
    fixtures.write(data .. '/kg.csv', KG)
    prints('check ' .. run)
  end)

  it('keep their split when its files change', function()
    local data = fixtures.dir{['train.txt'] = {'0 1 2 3', '1 2 3 4', '2 0 4'},
                              ['test.txt'] = {'0 0', '1 0'}, ['kg_final.txt'] = {'0 0 5'}}
    local run = trained(data, dir .. '/files')
    assert.equal('kind\tname\n', fixtures.bytes(run .. '/names.tsv')) -- they are numbers
    local before = prints('eval ' .. run)
    fixtures.write(data .. '/train.txt', {'0 0 2 3', '1 2 3 4', '2 0 4'})
    fixtures.write(data .. '/test.txt', {'0 1', '1 0'})
    local text, err = shell.works('eval ' .. run)
    assert.equal(before, text)
    assert.matches('note: .*: the same interactions in another split: the numbers and the spl', err)
    refuses('run --resume --set epochs=9 --out ' .. run, 1,
      'the same interactions in another split')
    os.remove(run .. '/split.bin')
    refuses('eval ' .. run, 1, 'the same interactions in another split')
  end)

  it('names of all kinds come back as they were', function()
    local odd = {'user,item', '"u\\1",a1', '"u, ""2""",a2', '"\\n",a\\tx', 'u4,a1', 'u4,a2',
                 'u4,a3'}
    local run = trained(set(odd, {KG[1], 'a1,"in\\of",z', 'a2,is,y'}), dir .. '/odd')
    prints('check ' .. run)
    local data = require('tinykg.run.data_set').load(require('tinykg.run.folder').config(run))
    local names = require('tinykg.run.folder.names').read(run, read(run .. '/config.json'))
    for _, kind in ipairs{'users', 'items', 'entities', 'relations'} do
      assert.equal(data[kind], names[kind].count)
      for id = 0, data[kind] - 1 do
        assert.equal(data.names[kind]:name(id), names[kind]:name(id))
      end
    end
    local text = fixtures.bytes(run .. '/names.tsv')
    fixtures.write(run .. '/names.tsv', (text:gsub('u4', 'u5')))
    refuses('export ' .. run .. ' --to ' .. dir .. '/x.tsv', 1, 'names.tsv: damaged')
  end)

  it('of an older version still answer, with a note, and keep their split', function()
    local data = set(rows())
    local whole = trained(data, dir .. '/old-whole', '--data-set seed=3 --seed 3')
    local run = trained(data, dir .. '/old', '--data-set seed=3 --seed 3')
    local before = prints('eval ' .. run .. ' --json')
    made_old(run)
    for _, command in ipairs{'eval %s --json', 'recommend %s --user u1', 'export %s --to ' .. dir ..
                             '/old.tsv', 'explain %s --user u1 --item a5', 'check %s'} do
      local text, err = shell.works(command:format(run))
      if command:find('eval', 1, true) then assert.equal(before, text) end
      local note = 'older version, which did not note what its data set was'
      if not command:find('check', 1, true) then assert.matches(note, err) end
    end
    prints('run --resume --quiet --set epochs=8 --out ' .. run)
    prints('run --resume --quiet --set epochs=8 --out ' .. whole)
    assert.same(read(whole .. '/summary.json').test, read(run .. '/summary.json').test)
    assert.same(read(whole .. '/config.json').data_set, read(run .. '/config.json').data_set)
  end)

  it('have one split by default, whatever the seed, and convert can write it', function()
    local list = {'user,item'}
    for u = 1, 20 do
      for i = 1, 10 do list[#list + 1] = ('u%d,a%d'):format(u, i) end
    end
    local data = set(list)
    --- Fails unless a run lists the pairs of test that convert wrote.
    local function same(run, folder)
      local found, expected = {}, {}
      for user, item in prints('recommend ' .. run .. ' --users all --all -k 10')
        :gmatch('(u%d+)\t%d+\t(a%d+)\t%S+\t%S+\ttest\n') do
        found[#found + 1] = user .. ',' .. item
      end
      for line in io.lines(folder .. '/interactions.csv') do
        expected[#expected + 1] = line:match('^(.*),test$')
      end
      table.sort(found)
      table.sort(expected)
      assert.equal(20, #expected)
      assert.same(expected, found)
    end
    prints(('data convert %s %s/c1 --to plain'):format(data, dir))
    for _, seed in ipairs{1, 2} do
      same(trained(data, dir .. '/seed' .. seed, '--seed ' .. seed), dir .. '/c1')
    end
    local run = trained(data, dir .. '/seed-of-split', '--data-set seed=7')
    prints(('data convert --of %s %s/c7 --to plain'):format(run, dir))
    same(run, dir .. '/c7')
    assert.not_equal(fixtures.bytes(dir .. '/c1/interactions.csv'),
                     fixtures.bytes(dir .. '/c7/interactions.csv'))
    refuses(('data convert --of %s a b --to plain'):format(run), 2, 'name TO alone')
    refuses(('data convert --of %s b --to plain --data-set seed=1'):format(run), 2, 'of the run')
    refuses('data convert b --to plain', 2, 'two folders')
    refuses(('data convert --of %s/nowhere b --to plain'):format(dir), 1, 'no such run')
  end)

  it('that has moved is named by --data, as each command says', function()
    local data, moved = set(rows()), fixtures.dir() .. '/moved'
    local run, sweep = trained(data, dir .. '/here'), dir .. '/sweep'
    prints(('run bpr-mf --quiet --data %s --set epochs=1 --seed 1,2 --out %s'):format(data, sweep))
    assert(os.rename(data, moved))
    local hint = ': no such folder %(%-%-data DIR says where the data set is now%)'
    local commands = {
      'run --resume --set epochs=50 --out ' .. run, 'run --resume --quiet --out ' .. sweep,
      ('run --extend %s --out %s/more'):format(run, dir), 'check ' .. run,
      ('data convert --of %s %s/converted --to plain'):format(run, dir), 'eval ' .. run}
    for _, command in ipairs(commands) do
      local code, out, err = shell.tinykg(command)
      assert.equal(1, code, command)
      assert.matches(hint, out .. err)
      code, out, err = shell.tinykg(command .. ' --data /nowhere/at/all')
      assert.equal(1, code, command)
      assert.matches('/nowhere/at/all: no such folder\n', out .. err)
    end
    assert.matches(hint, select(2, shell.tinykg('check --json ' .. run)))
    for _, command in ipairs(commands) do prints(command .. ' --data ' .. moved) end
    refuses(('data convert %s %s/b --to plain --data %s'):format(moved, dir, moved), 2,
            '%-%-data: it is for %-%-of')
  end)

  it('of another run: pretrained rows go by name', function()
    local mf = trained(set(rows()), dir .. '/mf', '--set dim=4')
    local users = tk.load(mf .. '/best.safetensors')['users.weight']:totable()
    local function began(data, more)
      local set_of = tk.data.load(data)
      local nodes = tk.nn.Embedding(set_of.users + 2, 4)
      nodes:load(mf .. '/best.safetensors', 'users.weight', 2, set_of, 'users')
      if more then more(set_of) end
      return nodes.weight:totable(), set_of.names.users
    end
    local found, names = began(set(rows(true)))
    for id = 0, 5 do
      local number = tonumber(names:name(id):match('%d'))
      assert.same(users[number], found[id + 3]) -- u1 is row 1 there
    end
    local fewer = {'user,item', 'u5,a1', 'u2,a3'}
    found = began(set(fewer))
    assert.same({users[5], users[2]}, {found[3], found[4]})
    fewer[4] = 'new,a1'
    assert.matches("best.safetensors: 1 of 3 users are not in the data set of its run, 'new' for",
      fixtures.message(began, set(fewer)))
    made_old(mf) -- by number, as before
    assert.same(users[1], began(set(rows()))[3])
    assert.matches('has no users.weight %[2, 4%] but one %[6, 4%]',
      fixtures.message(began, set{'user,item', 'u5,a1', 'u2,a3'}))
  end)

  it('of files that a run began with: they may be gone', function()
    local demo = dir .. '/demo'
    prints(('data demo %s --users 60 --items 80'):format(demo))
    local common = ' --quiet --data-set task=ranking --threads 1 --set dim=4 --data ' .. demo
    local mf, vectors = dir .. '/mf-before', dir .. '/vectors.tsv'
    prints(('run bpr-mf%s --set epochs=1 --out %s'):format(common, mf))
    prints(('export %s --vectors users --to %s'):format(mf, vectors))
    local own = fixtures.write(dir .. '/own.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('Own', tk.nn.Ranker)
function M:loss(b) return self:interaction_loss(b, 0) end
function M:node_embeddings() return self.users.weight, self.items.weight end
return tk.recipe{name = 'Own', options = {{'dim', 4, 'size'}, {'from', '', 'a file'}},
  build = function(d, o)
    local items = tk.nn.Embedding(d.items, o.dim):load(o.from, 'items.weight', 0, d, 'items')
    return setmetatable({users = tk.nn.Embedding(d.users, o.dim), items = items}, M)
  end}
]])
    for name, case in pairs{
      kgat = {'kgat --set relation_dim=4 --set layers=4', 'pretrain=%s/best.safetensors', mf},
      common = {'bpr-mf', 'pretrained=users:%s', vectors},
      own = {own, 'from=%s/best.safetensors', mf},
    } do
      local begin = ('run %s%s --set patience=0 --set eval_every=1 --set %s '):format(case[1],
        common, case[2]:format(case[3]))
      local out, whole = dir .. '/' .. name .. '-moved', dir .. '/' .. name .. '-whole'
      prints(begin .. '--set epochs=2 --out ' .. out)
      prints(begin .. '--set epochs=4 --out ' .. whole)
      local metrics = json.decode(prints('eval --json ' .. out)).metrics
      assert(os.rename(case[3], case[3] .. '.away'))
      assert.same(metrics, json.decode(prints('eval --json ' .. out)).metrics)
      prints('recommend ' .. out .. ' --users all -k 3')
      prints(('run --extend %s --quiet --set epochs=1 --out %s-extended'):format(out, out))
      refuses(('run --extend %s --quiet --set %s --out %s-x'):format(out,
        case[2]:format('elsewhere'), out), 1, 'elsewhere.*: No such file')
      prints('run --resume --quiet --set epochs=4 --out ' .. out)
      runs.same(whole, out)
      refuses(begin .. '--set epochs=2 --out ' .. out .. '-new', 1, 'No such file')
      assert(os.rename(case[3] .. '.away', case[3]))
    end
  end)

  it('of a file that build takes more from than parameters: without it no figures', function()
    local recipe = fixtures.write(dir .. '/takes_more.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('More', tk.nn.Ranker)
function M:loss(b) return self:interaction_loss(b, 0) end
function M:node_embeddings() return self.users.weight, self.items.weight + self.fixed end
return tk.recipe{name = 'More', options = {{'from', '', 'a file'}}, build = function(d, o)
  local items = tk.nn.Embedding(d.items, 4):load(o.from, 'items.weight', 0, d, 'items')
  return setmetatable({users = tk.nn.Embedding(d.users, 4), items = items,
                       fixed = tk.tensor(items.weight:totable())}, M)
end}
]])
    local demo, from, out = dir .. '/demo-more', dir .. '/from', dir .. '/takes-more'
    prints(('data demo %s --users 60 --items 80'):format(demo))
    local common = (' --quiet --data %s --data-set task=ranking --set epochs=1 --out '):format(demo)
    prints('run bpr-mf --set dim=4' .. common .. from)
    prints(('run %s --set from=%s/best.safetensors%s%s'):format(recipe, from, common, out))
    prints('eval ' .. out)
    assert(os.rename(from, from .. '.away'))
    refuses('eval ' .. out, 1, 'NaN')
  end)
end)
