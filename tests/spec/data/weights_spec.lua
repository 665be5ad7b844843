-- Weights of interactions and of triples: what is read, what losses and graphs make of it. A row of
-- weight 2 counts as two rows of weight 1.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local recipe_file = require 'tinykg.train.recipe_file'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'
local train = require 'tinykg.train'

local NAMED = {weight = 'plays', triple_weight = 'confidence'}
local FILES = {
  ['interactions.csv'] = {'user,item,plays', 'a,x,3', 'a,y,1', 'b,x,2', 'b,z,0', 'a,x,2'},
  ['kg.csv'] = {'head,relation,tail,confidence', 'x,by,Woolf,2', 'y,by,Woolf,1', 'x,in,London,1',
                'z,in,London,3', 'y,by,Woolf,1'},
}

local function load(options, files)
  return tk.data.load(fixtures.dir(files or FILES),
                      options or {columns = NAMED, ratios = {1, 0, 0}})
end

local function list(values, n)
  local out = {}
  for i = 1, n do out[i] = values[i - 1] end
  return out
end

--- Asserts that two lists of numbers, or of lists, are equal but for rounding.
local function near(want, got, what)
  assert.equal(type(want), type(got), what)
  if type(want) == 'number' then
    assert(math.abs(want - got) < 1e-5, ('%s: %g, expected %g'):format(what or '', got, want))
    return
  end
  assert.equal(#want, #got)
  for i = 1, #want do near(want[i], got[i], ('%s[%d]'):format(what or '', i)) end
end

describe('weights in tables', function()
  teardown(fixtures.clean)

  it('are read if they are named, and those of repeated rows add up', function()
    local data = load()
    assert.same({5, 1, 2, 0}, list(data.train.weights, data.train.n))
    assert.same({2, 2, 1, 3}, list(data.graph.weights, data.graph.n))
    assert.is_nil(load{}.train.weights)
    assert.is_nil(load{}.graph.weights)
    assert.matches('weights of interactions: 0 to 5, mean 2;', tostring(data:info()))
  end)

  it('that are not read are named with the option that reads them', function()
    local data = load({}, {['interactions.csv'] = {'user,item,weight', 'a,x,1'}})
    assert.matches('not read: weight %(%-%-data%-set columns=weight:weight reads weights%)',
                   tostring(data:info()))
  end)

  it('stay with their rows through a split, a filter and an order', function()
    local rows = {'user,item,plays'}
    for u = 1, 6 do
      for i = 1, 5 do rows[#rows + 1] = ('u%d,i%d,%d'):format(u, i, 10 * u + i) end
    end
    rows[#rows + 1] = 'alone,i1,99'
    local data = load({columns = {weight = 'plays'}, kcore = 2, order = 'degree'},
                      {['interactions.csv'] = rows})
    for _, part in ipairs{data.train, data.valid, data.test} do
      for k = 0, part.n - 1 do
        local u = tonumber(data.names.users:name(part.users[k]):match('%d+'))
        local i = tonumber(data.names.items:name(part.items[k]):match('%d+'))
        assert.equal(10 * u + i, part.weights[k])
      end
    end
    assert.equal(30, data.train.n + data.valid.n + data.test.n)
  end)

  it('are written by convert, and read again', function()
    local dir, to = fixtures.dir(FILES), fixtures.dir()
    shell.works(('data convert %s %s/c --to plain --data-set '
      .. 'columns=weight:plays,triple_weight:confidence'):format(dir, to))
    local again = tk.data.load(to .. '/c',
                               {columns = {weight = 'weight', triple_weight = 'weight'}})
    local sum = 0
    for _, part in ipairs{again.train, again.valid, again.test} do
      for i = 0, part.n - 1 do sum = sum + part.weights[i] end
    end
    assert.equal(8, sum)
    assert.same({2, 2, 1, 3}, list(again.graph.weights, again.graph.n))
  end)

  it('are refused by their line if they are no weights', function()
    local function fails(weight)
      return sets.fails({['interactions.csv'] = {'user,item,w', 'a,x,1', 'a,y,' .. weight}},
                        {columns = {weight = 'w'}})
    end
    assert.equal("DIR/interactions.csv:3: '-1' is not a weight (0 or more), column 3", fails '-1')
    assert.matches("interactions.csv:3: 'much' is not a finite number, column 3", fails 'much')
    assert.matches('all weights of interactions are 0',
                   sets.fails({['interactions.csv'] = {'user,item,w', 'a,x,0'}},
                              {columns = {weight = 'w'}, ratios = {1, 0, 0}}))
    assert.matches("no column plays for weight", sets.fails({
      ['interactions.csv'] = {'user,item,w', 'a,x,0'}}, {columns = {weight = 'plays'}}))
    assert.matches('triple_weight: there is no kg.csv', sets.fails({
      ['interactions.csv'] = {'user,item,w', 'a,x,0'}}, {columns = {triple_weight = 'plays'}}))
  end)
end)

describe('weights in batches', function()
  teardown(fixtures.clean)

  it('are shares of their mean, however batches are drawn', function()
    local data = load()
    local want = {[0] = {[0] = 5 / 2, [1] = 1 / 2}, {[0] = 1, [2] = 0}}
    for _, draw in ipairs{'interactions', 'resampled', 'users', 'distinct_users'} do
      for batch in data:batches{size = 2, draw = draw} do
        local users, items, weights = batch.users:values(), batch.items:values(),
          batch.weights:values()
        for i = 0, batch.n - 1 do assert.equal(want[users[i]][items[i]], weights[i]) end
      end
    end
    assert.is_nil(load{}:batches{size = 2}().weights)
  end)

  it('are of the mean for sampled negatives', function()
    local data = load{columns = NAMED, task = 'ctr', ratios = {1, 0, 0}}
    for i = 0, data.train.n - 1 do
      if data.train.labels[i] == 0 then assert.equal(2, data.train.weights[i]) end
    end
  end)
end)

describe('losses with weights', function()
  local x, y = tk.tensor{0.5, -1, 2}, tk.tensor{0.25, 1, -0.5}
  local twice = tk.ids{0, 0, 1} -- weights 2, 1, 0
  local w = tk.tensor{2, 1, 0}

  it('are those of rows given as often', function()
    near(tk.loss.bpr(x:gather(twice), y:gather(twice)):item(), tk.loss.bpr(x, y, w):item())
    local labels = tk.tensor{1, 0, 1}
    near(tk.loss.bce(x:gather(twice), labels:gather(twice)):item(),
         tk.loss.bce(x, labels, w):item())
    local u, i, j = tk.randn(3, 4), tk.randn(3, 4), tk.randn(6, 4)
    near(tk.loss.interactions(u:gather(twice), i:gather(twice), j:gather(tk.ids{0, 1, 0, 1, 2, 3}))
           :item(), tk.loss.interactions(u, i, j, nil, w):item())
  end)

  it('weigh known items, and sampled ones not', function()
    local negatives = tk.ids{3, 4, 5}:reshape(3, 1)
    local score = tk.tensor{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}
    local function of(weights)
      local batch = {users = tk.ids{0, 1, 2}, items = tk.ids{0, 1, 2}, negatives = negatives,
                     weights = weights}
      local function logits(items) return score:gather(items) end
      return tk.loss.sampled_bce(logits(batch.items), batch, logits):item(),
        tk.loss.pointwise(batch, function(_, items, ...)
          return tk.loss.bce(logits(items), ...)
        end):item(),
        tk.loss.bce(logits(tk.loader.labelled(batch).items), tk.loader.labelled(batch).labels,
                    tk.loader.labelled(batch).weights):item() * 2
    end
    local known = (2 * math.log(1 + math.exp(-0.1)) + math.log(1 + math.exp(-0.2))) / 3
    local sampled = (math.log(1 + math.exp(0.4)) + math.log(1 + math.exp(0.5))
      + math.log(1 + math.exp(0.6))) / 3
    local a, b, c = of(w)
    near({known + sampled, known + sampled, known + sampled}, {a, b, c})
  end)

  it('say that one weight per row is needed', function()
    assert.error_matches(function() tk.loss.bpr(x, y, tk.ones(2)) end,
                         'loss.bpr: weights %[2%] of losses %[3%]: one per row is needed')
  end)
end)

describe('graphs of weighted triples', function()
  teardown(fixtures.clean)

  -- The triples of FILES, the first one twice and so on: entities x y z Woolf London.
  local HEADS, TAILS, BY = {0, 0, 1, 1, 0, 2, 2, 2}, {3, 3, 3, 3, 4, 4, 4, 4},
    {0, 0, 0, 0, 1, 1, 1, 1}
  local function graphs(options)
    local o = {head = HEADS, relation = BY, tail = TAILS, nodes = 5, relations = 2}
    for key, value in pairs(options or {}) do o[key] = value end
    return tk.graph(load(), options), tk.graph(o)
  end

  it('count a triple of weight 2 as two', function()
    for _, options in ipairs{{}, {inverse = true}, {undirected = true}} do
      local weighted, twice = graphs(options)
      local x, r = tk.randn(5, 3), tk.randn(weighted.relations, 3)
      for _, how in ipairs{{}, {reduce = 'mean'}, {reduce = 'mean', relation = r}} do
        local scale = how.reduce and 1 or 2 -- weights are shares of their mean, which is 2
        near(twice:aggregate(x, how):totable(), (weighted:aggregate(x, how) * scale):totable())
        near(twice:transpose():aggregate(x, how):totable(),
             (weighted:transpose():aggregate(x, how) * scale):totable())
      end
      for _, kind in ipairs{'row', 'relation'} do
        near(twice:normalized(kind):aggregate(x):totable(),
             weighted:normalized(kind):aggregate(x):totable(), kind)
      end
      local a, b = tk.randn(5, 3), tk.randn(5, 3)
      near(twice:aggregate(x, {weight = twice:softmax(twice:dot(a, b))}):totable(),
           weighted:aggregate(x, {weight = weighted:softmax(weighted:dot(a, b))}):totable())
    end
  end)

  it('scale both sides of the symmetric graph', function()
    local weighted = graphs{inverse = true}
    local e, w = weighted:triples(), weighted.triple_weights:values()
    local sum, got = {}, weighted:normalized('symmetric').weights:values()
    for p = 0, e.n - 1 do sum[e.heads[p]] = (sum[e.heads[p]] or 0) + w[p] end
    for p = 0, e.n - 1 do
      near(w[p] / math.sqrt(sum[e.heads[p]] * sum[e.tails[p]]), got[p])
    end
  end)

  it('are added up where triples become one edge', function()
    -- x by Woolf 2, y by Woolf 2, x in London 1, z in London 3, and x by London 5, of mean 13 / 5
    local files = fixtures.merged(FILES)
    files['kg.csv'] = {'head,relation,tail,confidence', 'x,by,Woolf,2', 'y,by,Woolf,2',
                       'x,in,London,1', 'z,in,London,3', 'x,by,London,5'}
    local g = tk.graph(load(nil, files), {single = true})
    local e, found = g:triples(), {}
    for p = 0, e.n - 1 do found[e.heads[p] .. ' ' .. e.tails[p]] = p end
    local w, entity = g.triple_weights:totable(), {x = 0, y = 1, z = 2}
    local function of(head, tail)
      return w[found[entity[head] .. ' ' .. tail] + 1] * 13 / 5
    end
    near({2, 6, 2, 3}, {of('x', 3), of('x', 4), of('y', 3), of('z', 4)})
    assert.equal(4, g.edges)
  end)

  it('make means of what masks and dropouts leave', function()
    local g, x = tk.graph(load(), {inverse = true}), tk.randn(5, 3)
    local left, e = {}, g:triples()
    for p = 1, g.edges do left[p] = p % 3 ~= 0 and 1 or 0 end
    local part, w = g:masked(tk.tensor(left)), g.triple_weights:totable()
    local rows, want = x:totable(), {}
    for h = 1, 5 do
      local sum, of = {0, 0, 0}, 0
      for p = 0, e.n - 1 do
        local weight = e.heads[p] == h - 1 and left[p + 1] * w[p + 1] or 0
        for c = 1, 3 do sum[c] = sum[c] + weight * rows[e.tails[p] + 1][c] end
        of = of + weight
      end
      for c = 1, 3 do sum[c] = of > 0 and sum[c] / of or 0 end
      want[h] = sum
    end
    near(want, part:aggregate(x, {reduce = 'mean'}):totable())
    near(want, part:normalized('row'):aggregate(x):totable())
    local ones = tk.ones(5, 1)
    local step = tk.step(function()
      return tk.parameter(ones):sum(), g:dropout(.5):aggregate(ones, {reduce = 'mean'}):keep()
    end)
    for _ = 1, 20 do
      for _, mean in ipairs(select(2, step()):totable()) do
        assert(mean[1] == 0 or math.abs(mean[1] - 1) < 1e-5, mean[1])
      end
    end
  end)

  it('leave interactions and graphs without weights as they are', function()
    assert.is_nil(tk.graph(load(), {of = 'interactions'}).triple_weights)
    assert.is_nil(tk.graph(load{}).triple_weights)
    local both = tk.graph(load(), {of = 'both'})
    local e, w = both:triples(), both.triple_weights:values()
    for p = 0, e.n - 1 do
      if e.heads[p] >= both.first_user then assert.equal(1, w[p]) end
    end
  end)
end)

describe('training with weights', function()
  local dir
  setup(function()
    dir = fixtures.dir()
    local rows, kg = {'user,item,plays'}, {'head,relation,tail,confidence'}
    for u = 1, 20 do
      for i = 0, 7 do
        rows[#rows + 1] = ('u%d,i%d,%d'):format(u, (u * 5 + i * i) % 23, 1 + (u + i) % 4)
      end
    end
    for i = 0, 22 do
      for r = 1, 5 do
        kg[#kg + 1] = ('i%d,r%d,e%d,%g'):format(i, r, 10 * r + i % (r + 2), 0.5 + (i + r) % 3)
      end
    end
    fixtures.write(dir .. '/interactions.csv', rows)
    fixtures.write(dir .. '/kg.csv', kg)
  end)
  teardown(fixtures.clean)

  --- The losses of a recipe's first epoch, as text. ---@param columns table? those of weights
  local function loss_of(path, columns)
    local recipe, loss = recipe_file.load(path), nil
    tk.seed(1)
    train.run(recipe, tk.data.load(dir, {columns = columns}), recipe:complete{epochs = 1},
              {quiet = true, on_epoch = function(record)
                loss = json.encode(record.losses or {record.loss})
              end})
    return loss
  end

  local PLAYS, CONFIDENCE = {weight = 'plays'}, {triple_weight = 'confidence'}

  for _, file in ipairs(fixtures.names((os.getenv('TINYKG_HOME') or '.') .. '/recipes')) do
    local name = file:match('^(.*)%.lua$')
    if name then
      it('weighs interactions: ' .. name, function()
        assert(loss_of(name, PLAYS) ~= loss_of(name))
      end)
    end
  end

  it('weighs triples where sums are over the graph', function()
    for _, name in ipairs{'kgin', 'kgat', 'kgrec', 'mcclk', 'diffkg'} do
      assert(loss_of(name, CONFIDENCE) ~= loss_of(name), name)
    end
    assert.equal(loss_of 'bpr-mf', loss_of('bpr-mf', CONFIDENCE)) -- has no graph
    assert.error_matches(function() loss_of('kgcn', CONFIDENCE) end,
      'recipe KGCN does not read the weights of triples %(columns=triple_weight:...%)')
  end)

  it('refuses a recipe whose loss does not read them', function()
    local recipe = fixtures.write(fixtures.dir() .. '/own.lua', [[
      local tk = require 'tinykg'
      local M = tk.nn.class('Own', tk.nn.Ranker)
      function M:node_embeddings() return self.users.weight, self.items.weight end
      function M:loss(batch)
        local u, i, j = self:batch_embeddings(batch)
        return tk.loss.interactions(u, i, j)
      end
      return tk.recipe{name = 'Own', build = function(data)
        return setmetatable({users = tk.nn.Embedding(data.users, 4),
                             items = tk.nn.Embedding(data.items, 4)}, M)
      end}
    ]])
    assert.is_string(loss_of(recipe))
    assert.error_matches(function() loss_of(recipe, PLAYS) end,
                         'recipe Own does not read batch.weights, the weights of interactions')
  end)
end)
