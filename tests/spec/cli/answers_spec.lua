-- Answers of a trained model beyond a known user's list: candidates only, likes of entities,
-- similar items and users, lengths of lists, new users and items (--extend).
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local prints = shell.prints

-- Vectors such that likeness is easily said: 'far' is opposite to 'a', 'b' nearly like it.
local MODEL = [[
local tk = require 'tinykg'
local M = tk.nn.class('Hand', %s)
function M:loss() return self.users.weight:square():sum() * 0 end
function M:node_embeddings() return self.users.weight, self.items.weight end
%s
return tk.recipe{name = 'Hand', options = {{'lr', 1e-12}}, build = function(d)
  local self = setmetatable({users = tk.nn.Embedding(d.users, 2),
                             items = tk.nn.Embedding(d.items, 2)}, M)
  for name, v in pairs{a = {1, 0}, b = {2, 1}, c = {0, 3}, far = {-1, 0}} do
    self.items.weight:write(v, 2 * d.names.items:id(name), 2)
  end
  for name, v in pairs{u = {1, 0}, v = {3, 1}, w = {0, 1}} do
    self.users.weight:write(v, 2 * d.names.users:id(name), 2)
  end
  return self
end}
]]

local ROWS = {'user,item,split', 'u,a,train', 'v,a,train', 'v,b,test', 'w,c,train', 'u,b,test',
              'w,far,test'}
local KG = {'head,relation,tail', 'a,by,Woolf', 'b,by,Woolf', 'c,by,Joyce', 'Joyce,from,Dublin'}

describe('a trained model', function()
  local dir
  setup(function()
    dir = fixtures.dir{['data/interactions.csv'] = ROWS, ['data/kg.csv'] = KG,
      ['products.lua'] = MODEL:format('tk.nn.Ranker', ''),
      ['pairs.lua'] = MODEL:format('nil',
        'function M:score(u, i) return tk.dot(self.users(u), self.items(i)) end')}
    for _, name in ipairs{'products', 'pairs'} do
      prints(('run %s/%s.lua --data %s/data --data-set valid_ratio=0 --set epochs=1 --quiet --out '
                .. '%s/%s'):format(dir, name, dir, dir, name))
    end
  end)
  teardown(fixtures.clean)

  local function items_of(arguments)
    local found = json.decode(prints('recommend ' .. dir .. '/products --json ' .. arguments))
    local list = {}
    for i, one in ipairs(found.items) do list[i] = one.item end
    return list, found
  end

  it('lists candidates only', function()
    assert.same({'b', 'c', 'far'}, (items_of '--user u'))
    assert.same({'b', 'far'}, (items_of '--user u --only b,far'))
    fixtures.write(dir .. '/some.txt', {'far', 'c'})
    assert.same({'c', 'far'}, (items_of('--user u --only @' .. dir .. '/some.txt')))
    assert.matches('\nu\t1\tc\t', prints('recommend ' .. dir .. '/products --users all --only c'))
    shell.refuses('recommend ' .. dir .. '/products --user u --only nothing', 1,
                  "no item 'nothing' in the data set")
  end)

  it('says which items have the same title', function()
    local find = require 'tinykg.data.find'
    local titles, names = {[0] = 'Same', 'Same', 'Other'}, {[0] = 'x9', 'x10', 'x11'}
    local items = {count = 3, titles = titles}
    function items.id() end
    function items.name(_, id) return names[id] end
    function items.label(_, id) return ('%s (%s)'):format(names[id], titles[id]) end
    assert.same({2, 1}, {find.id(items, 'item', 'Other'), (find.id(items, 'item', 'x10 (Same)'))})
    local id, message = find.id(items, 'item', 'Same')
    assert.is_nil(id)
    assert.equal("2 items are called 'Same': x9, x10: name one", message)
  end)

  it('knows somebody by likes of entities, which hide no items', function()
    -- Joyce is c, which w took: the scores are w's
    local list, found = items_of '--likes Joyce'
    assert.equal('alike', found.by)
    assert.same({'c', 'b', 'a', 'far'}, list)
    -- with c named as well it is hidden
    assert.same({'b', 'a', 'far'}, (items_of '--likes Joyce,c'))
    -- Woolf is a and b: u and v took a
    assert.same({'b', 'a', 'c', 'far'}, (items_of '--likes Woolf'))
    shell.refuses('recommend ' .. dir .. '/products --likes Dublin', 1,
                  "likes: no item shares a triple with 'Dublin'")
    shell.refuses('recommend ' .. dir .. '/products --likes Proust', 1, "no item 'Proust'")
  end)

  --- Names and likeness of a list.
  local function similar(run, arguments)
    local found = json.decode(prints(('similar %s/%s --json %s'):format(dir, run, arguments)))
    local names, alike = {}, {}
    for i, one in ipairs(found.list) do names[i], alike[i] = one.name, one.alike end
    return names, alike, found
  end

  it('lists similar items and users by their vectors', function()
    local names, alike, found = similar('products', '--item a')
    assert.equal('vectors', found.by)
    assert.same({'b', 'c', 'far'}, names)
    assert.near(2 / math.sqrt(5), alike[1], 1e-6)
    assert.near(0, alike[2], 1e-6)
    assert.near(-1, alike[3], 1e-6)
    names, alike = similar('products', '--user u -k 1')
    assert.same({'v'}, names)
    assert.near(3 / math.sqrt(10), alike[1], 1e-6)
    assert.matches('^Hand on data: most like a, by the cosine of vectors\nrank +cosine +item\n' ..
                   ' +1 +0%.8944 +b\n', prints('similar ' .. dir .. '/products --item a'))
  end)

  it('lists them by scores where it has no vectors', function()
    -- scores of items a b c far: u 1 2 0 -1, v 3 7 3 -3, w 0 1 3 0, each less its mean
    local scores, mean = {{1, 2, 0, -1}, {3, 7, 3, -3}, {0, 1, 3, 0}}, {0.5, 2.5, 1}
    local function cosine(of, other)
      local dot, x2, y2 = 0, 0, 0
      for u = 1, 3 do
        local x, y = scores[u][of] - mean[u], scores[u][other] - mean[u]
        dot, x2, y2 = dot + x * y, x2 + x * x, y2 + y * y
      end
      return dot / math.sqrt(x2 * y2)
    end
    local place = {a = 1, b = 2, c = 3, far = 4}
    local names, alike, found = similar('pairs', '--item a')
    assert.equal('scores', found.by)
    assert.equal(3, #names)
    for i, name in ipairs(names) do assert.near(cosine(1, place[name]), alike[i], 1e-5) end
    assert.is_true(alike[1] >= alike[2] and alike[2] >= alike[3])
    names, alike = similar('pairs', '--user u')
    assert.same({'v', 'w'}, names)
    local dot, x2, y2 = 0, 0, 0
    for i = 1, 4 do
      local x, y = scores[1][i] - mean[1], scores[2][i] - mean[2]
      dot, x2, y2 = dot + x * y, x2 + x * x, y2 + y * y
    end
    assert.near(dot / math.sqrt(x2 * y2), alike[1], 1e-5)
    shell.refuses('similar ' .. dir .. '/pairs', 2, 'similar: %-%-item I or %-%-user U: take one')
  end)
end)

describe('lengths of lists', function()
  teardown(fixtures.clean)

  it('may be thousands', function()
    local rows = {'user,item,split', 'u,i0,test'}
    for i = 1, 9000 do rows[i + 2] = ('%s,i%d,train'):format(i % 2 == 0 and 'u' or 'v', i) end
    local dir = fixtures.dir{['data/interactions.csv'] = rows}
    prints(('run bpr-mf --data %s/data --set epochs=1 --set dim=4 --quiet --out %s/run'):format(dir,
                                                                                             dir))
    local found = json.decode(prints(('similar %s/run --item i1 -k 8500 --json'):format(dir)))
    assert.equal(8500, #found.list)
    assert.equal(8501 + 1, select(2, prints(('similar %s/run --item i1 -k 8500'):format(dir))
      :gsub('\n', '')))
  end)

  it('that have all items are compared by NDCG: recall is 1', function()
    local dir = fixtures.dir()
    prints('data demo ' .. dir .. '/data --users 60 --items 18')
    for k, metric in pairs{[20] = 'ndcg@20', [10] = 'recall@10'} do
      local out = ('%s/of-%d'):format(dir, k)
      prints(('run bpr-mf --quiet --data %s/data --data-set task=ranking --set epochs=1 ' ..
              '--set eval_k=%d --out %s'):format(dir, k, out))
      local summary = fixtures.json(out .. '/summary.json')
      assert.equal(metric, summary.metric)
      assert.is_true(summary.valid[metric] < 1)
    end
  end)

  it('that have all that each user is offered are said to', function()
    local rows, kg = {'user,item'}, {'head,relation,tail', 'i1,is,x'}
    for user = 1, 30 do
      for k = 0, 9 do rows[#rows + 1] = ('u%d,i%d'):format(user, (user + 2 * k) % 24) end
    end
    local dir = fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = kg}
    local function run(more)
      return (prints(('run bpr-mf --data %s --set epochs=1 --force --out %s/run %s')
        :format(dir, dir, more)):gsub('%s+', ' '))
    end
    local text = run ''
    assert.matches('note: lists of 20 have all that each user is offered, so recall@20 is always '
                   .. '1: early stopping goes by ndcg@20', text, 1, true)
    assert.equal('ndcg@20', fixtures.json(dir .. '/run/summary.json').metric)
    text = run '--set metric=recall@20'
    assert.matches('each user is offered: recall@20 is always 1', text, 1, true)
    assert.is_nil(text:match('no better than popularity'))
    assert.equal(1, fixtures.json(dir .. '/run/summary.json').test['recall@20'])
    assert.is_nil(run('--set eval_k=10'):match('is always 1'))
  end)

  it('have the metrics of the recipe itself beside them', function()
    local dir = fixtures.dir{['own.lua'] = [[
      local tk = require 'tinykg'
      local Model = tk.nn.class('Own')
      function Model:loss(b) return tk.loss.interactions(self.u(b.users), self.i(b.items),
        self.i(b.negatives:reshape(-1)), b.labels, b.weights) end
      function Model:score(users, items) return tk.dot(self.u(users), self.i(items)) end
      return tk.recipe{name = 'Own', build = function(data)
        return setmetatable({u = tk.nn.Embedding(data.users, 4),
                             i = tk.nn.Embedding(data.items, 4)}, Model)
      end, metrics = {share = function(_, _, part) return part == 'valid' and .25 or .75 end}}]]}
    prints('data demo ' .. dir .. '/data --users 60 --items 40')
    prints(('run %s/own.lua --data %s/data --data-set task=ranking --set epochs=1 --quiet ' ..
            '--out %s/run'):format(dir, dir, dir))
    assert.matches('\nshare +0%.7500\nusers +%d+\n', prints('eval ' .. dir .. '/run'))
    assert.equal(.25, json.decode(prints('eval --part valid --json ' .. dir .. '/run'))
      .metrics.share)
  end)

  it('are an option, by which it stops early', function()
    local dir = fixtures.dir()
    prints('data demo ' .. dir .. '/data --users 60 --items 40')
    local text = prints('run bpr-mf --data ' .. dir .. '/data --data-set task=ranking ' ..
      '--set eval_k=5,3 --set epochs=2 --out ' .. dir .. '/run')
    local summary = fixtures.json(dir .. '/run/summary.json')
    assert.equal('recall@5', summary.metric)
    assert.is_number(summary.test['ndcg@3'])
    assert.is_nil(summary.test['recall@20'])
    assert.matches('\nrecall@3 +0%.%d+ +0%.%d+ +0%.%d+\nrecall@5 ', text)
    for _, wrong in ipairs{'0', '1e9'} do
      shell.gives(2, ('./tinykg run bpr-mf --data %s/data --set eval_k=%s --out %s/x'):format(dir,
        wrong, dir), "option eval_k: '" .. wrong .. "' is not a whole number from 1 to 100000\n$")
    end
    shell.gives(2, './tinykg eval --k 5,1e9 ' .. dir .. '/run', '%-%-k: .* from 1 to 100000\n$')
    text = prints('eval --k 5,5,3 ' .. dir .. '/run')
    assert.equal(2, select(2, text:gsub('recall@', '')))
  end)
end)

describe('a run that extends another', function()
  local dir
  setup(function()
    dir = fixtures.dir{['new/interactions.csv'] = {'user,item,split', 'x,n,train', unpack(ROWS, 2)},
                       ['new/kg.csv'] = {KG[1], 'n,by,Woolf', unpack(KG, 2)},
                       ['old/interactions.csv'] = ROWS, ['old/kg.csv'] = KG}
  end)
  teardown(fixtures.clean)

  local function row(folder, name, at)
    return tk.load(folder .. '/last.safetensors')['model.' .. name]:totable()[at + 1]
  end

  it('has what was learned, by name, and trains what is new', function()
    local base = ' --data-set valid_ratio=0 --quiet --out '
    for recipe, tables in pairs{['bpr-mf'] = {'users', 'items'}, kgin = {'users', 'entities'}} do
      local old, new = dir .. '/old-' .. recipe, dir .. '/new-' .. recipe
      prints(('run %s --data %s/old --set dim=4 --set epochs=2%s%s'):format(recipe, dir, base, old))
      prints(('run --extend %s --data %s/new --set epochs=1 --set lr=1e-30%s%s'):format(old, dir,
        base, new)) -- a step that is too small for a float
      assert.equal(4, fixtures.json(new .. '/config.json').options.dim)
      local before, now = tk.data.load(dir .. '/old'), tk.data.load(dir .. '/new')
      for _, kind in ipairs(tables) do
        local names = before.names[kind]
        for id = 0, names.count - 1 do
          assert.same(row(old, kind .. '.weight', id),
                      row(new, kind .. '.weight', now.names[kind]:id(names:name(id))))
        end
        assert.equal(names.count + 1, now.names[kind].count)
      end
    end
    local text = prints('recommend ' .. dir .. '/new-kgin --user x -k 2')
    assert.matches('KGIN on new, x: the best 2 items', text)
  end)

  it('says what rows it found, and goes on after an interruption', function()
    local folder = dir .. '/said'
    local text = prints('run --extend ' .. dir .. '/old-kgin --data ' .. dir .. '/new ' ..
                        '--set epochs=1 --out ' .. folder)
    assert.matches('\nbegins as %S+/old%-kgin:%s+entities%.weight 7 of 8 rows,%s+' ..
                   'users%.weight 3%s+of 4 rows\n', text)
    text = prints('run --resume --set epochs=2 --out ' .. folder)
    assert.is_nil(text:find('begins as', 1, true))
    assert.equal(2, fixtures.json(folder .. '/summary.json').epochs)
  end)

  it('says what cannot be extended', function()
    shell.refuses('run --extend ' .. dir .. '/old-kgin --data ' .. dir .. '/new --seed 1,2', 2,
                  '%-%-extend: it is for one run, not for a sweep')
    shell.refuses('run bpr-mf --extend ' .. dir .. '/old-kgin --data ' .. dir .. '/new --out ' ..
                  dir .. '/no', 2, 'recipe BPR%-MF has no option')
    shell.refuses(('run --extend %s/old-kgin --data %s/new --force --out %s/./old-kgin/'):format(
      dir, dir, dir), 2, "%-%-extend: %S+ is that run's own folder: name another %-%-out")
    assert.is_truthy(fixtures.bytes(dir .. '/old-kgin/best.safetensors'))
  end)
end)
