-- Recipes of graphs and of triples: each trains at 32 and at 2 bits, ranks as it scores, and works
-- with odd data.
local tk = require 'tinykg'
local demo = require 'tinykg.data.demo'
local evaluate = require 'tinykg.train.evaluate'
local train = require 'tinykg.train'
local fixtures = require 'tests.support.fixtures'
local sets = require 'tests.support.sets'

local RECIPES = {
  ['bpr-mf'] = {lr = 0.01}, kgat = {lr = 0.01, layers = '16,8', relation_dim = 16},
  lightgcn = {lr = 0.05}, sgl = {lr = 0.05}, cke = {lr = 0.01, relation_dim = 16},
  cfkg = {lr = 0.01}, mkr = {lr = 0.05, l2 = 1e-6}, kgcl = {lr = 0.01, neighbors = 4},
  kgrec = {lr = 0.01, hidden = 16}, mcclk = {lr = 0.01, neighbors = 4},
}

local function recipe_of(name) return dofile('recipes/' .. name .. '.lua') end

local function options_of(name, more)
  local o = {dim = 16, batch_size = 512, epochs = 4, patience = 0}
  for key, value in pairs(RECIPES[name]) do o[key] = value end
  if name == 'kgat' then o.kg_batch_size = 512 end
  for key, value in pairs(more or {}) do o[key] = value end
  return recipe_of(name):complete(o)
end

--- Trains. Returns the losses of each epoch by phase, and the result.
local function trained(name, data, bits, more)
  tk.seed(3)
  local losses = {}
  local result = train.run(recipe_of(name), data, options_of(name, more), {
    bits = bits, quiet = true,
    on_epoch = function(r) losses[#losses + 1] = r.losses or {loss = r.loss} end})
  return losses, result
end

--- The losses that fall within four epochs: KGCL's triples share an Adam whose moments are those of
--- a loss hundreds of times larger.
local function learned(name, losses)
  return name == 'kgcl' and {cf = losses.cf} or losses
end

local function finite(metrics)
  for _, value in pairs(metrics) do assert.is_true(value == value and value < math.huge) end
end

--- Fails unless the rows of rank equal the score of each pair.
local function same_scores(model, data, name)
  model:eval()
  local prepared, release = evaluate.prepare(model)
  local users = {}
  for u = 0, math.min(data.users, 9) - 1 do users[#users + 1] = u end
  local ranked = tk.no_grad(model.rank, model, tk.ids(users), prepared):totable()
  local fresh = tk.no_grad(model.rank, model, tk.ids(users)):totable()
  for k, u in ipairs(users) do
    local us, is = {}, {}
    for i = 0, data.items - 1 do us[i + 1], is[i + 1] = u, i end
    local scored = tk.no_grad(model.score, model, tk.ids(us), tk.ids(is), prepared):totable()
    for i = 1, data.items do
      assert.near(scored[i], ranked[k][i], 1e-4, name)
      assert.near(scored[i], fresh[k][i], 1e-4, name)
    end
  end
  release()
end

describe('recipe', function()
  local dir, ranked, labelled
  setup(function()
    dir = fixtures.dir() .. '/demo'
    demo.write(dir, {users = 120, items = 60, interactions = 10})
    ranked, labelled = tk.data.load(dir, {task = 'ranking'}), tk.data.load(dir)
  end)
  teardown(fixtures.clean)

  for name in pairs(RECIPES) do
    it(name .. ' trains at 32 and at 2 bits', function()
      for _, bits in ipairs{32, 2} do
        local losses, result = trained(name, ranked, bits)
        for phase, first in pairs(learned(name, losses[1])) do
          assert(losses[4][phase] < 0.97 * first, ('%s, %d bits: %s %g -> %g'):format(
            name, bits, phase, first, losses[4][phase]))
        end
        finite(result.test)
        assert.is_true(result.kept.stored_bytes <= result.kept.reference_bytes)
      end
    end)

    it(name .. ' takes labelled data', function()
      local losses, result = trained(name, labelled, 32)
      for phase, first in pairs(learned(name, losses[1])) do
        assert.is_true(losses[4][phase] < first)
      end
      finite{result.test.auc}
    end)

    it(name .. ' ranks as it scores, prepared or not', function()
      local _, result = trained(name, ranked, 32, {epochs = 2})
      same_scores(result.model, ranked, name)
    end)

    it(name .. ' repeats bit for bit, other seeds are other runs', function()
      local a, b = trained(name, ranked, 2, {epochs = 2}), trained(name, ranked, 2, {epochs = 2})
      assert.same(a, b)
    end)
  end

  it('kgat takes its options', function()
    for _, more in ipairs{{aggregator = 'gcn'}, {aggregator = 'graphsage'}, {attention = false},
                          {node_dropout = 0.2}, {layers = '8'}, {negatives = 3}} do
      local losses = trained('kgat', ranked, 2, more)
      assert.is_true(losses[4].cf < losses[1].cf)
    end
    assert.matches('option aggregator: ngcf is not bi, gcn or graphsage',
                   fixtures.message(trained, 'kgat', ranked, 32, {aggregator = 'ngcf'}))
  end)

  it('cfkg takes its distances', function()
    for _, distance in ipairs{'inner', 'l1', 'l2'} do
      for _, data in ipairs{ranked, labelled} do
        local losses, result = trained('cfkg', data, 2, {distance = distance})
        assert.is_true(losses[4].loss < losses[1].loss, distance)
        finite(result.test)
        if distance == 'l1' then assert.is_false(result.model.rank)
        elseif data == ranked then same_scores(result.model, ranked, distance) end
      end
    end
    assert.matches('option distance: l3 is not inner, l1 or l2',
                   fixtures.message(trained, 'cfkg', ranked, 32, {distance = 'l3'}))
  end)

  it('kgat has attention from the second epoch on', function()
    local recipe, o = recipe_of('kgat'), options_of('kgat')
    local model = recipe.build(ranked, o)
    local first = model.attention.weights:totable()
    model:begin_epoch(1)
    assert.same(first, model.attention.weights:totable())
    tk.no_grad(model.begin_epoch, model, 2)
    local second = model.attention.weights:totable()
    assert.is_true(second[1] ~= first[1] or second[2] ~= first[2])
    local sums, e = {}, model.graph:triples()
    for p = 0, e.n - 1 do sums[e.heads[p]] = (sums[e.heads[p]] or 0) + second[p + 1] end
    for _, sum in pairs(sums) do assert.near(1, sum, 1e-5) end
  end)

  it('lightgcn averages the layers of a symmetric graph', function()
    local recipe = recipe_of('lightgcn')
    local model = recipe.build(ranked, options_of('lightgcn', {layers = 2, dim = 3}))
    local x, e = model.nodes.weight:totable(), model.graph:triples()
    local degree = {}
    for p = 0, e.n - 1 do degree[e.heads[p]] = (degree[e.heads[p]] or 0) + 1 end
    local sum, now = {}, x
    for v, row in ipairs(x) do sum[v] = {unpack(row)} end
    for _ = 1, 2 do
      local nextrows = {}
      for v = 1, #x do nextrows[v] = {0, 0, 0} end
      for p = 0, e.n - 1 do
        local h, t = e.heads[p], e.tails[p]
        for c = 1, 3 do
          nextrows[h + 1][c] = nextrows[h + 1][c]
            + now[t + 1][c] / math.sqrt(degree[h] * degree[t])
        end
      end
      now = nextrows
      for v = 1, #x do for c = 1, 3 do sum[v][c] = sum[v][c] + now[v][c] end end
    end
    local got = tk.no_grad(model.node_embeddings, model):totable()
    for v = 1, #x do for c = 1, 3 do assert.near(sum[v][c] / 3, got[v][c], 1e-5) end end
  end)
end)

describe('a recipe works with', function()
  teardown(fixtures.clean)

  local function every(data, more)
    for name in pairs(RECIPES) do
      local _, result = trained(name, data, 2, more or {epochs = 2, batch_size = 4})
      finite(result.test)
      if result.model.rank then same_scores(result.model, data, name) end
    end
  end

  local listed = sets.id_list

  it('users without items, isolated entities, self loops, repeats, relations without triples',
     function()
    every(tk.data.load(fixtures.dir{
      ['train.txt'] = {'0 0 1 2 1 1', '1', '2 2 3', '3 0', '4 5 1 0'},
      ['test.txt'] = {'0 3', '1 4', '2 0'},
      ['kg_final.txt'] = {'0 0 8', '0 0 8', '1 0 8', '8 3 8', '2 2 9', '0 2 8', '9 2 2', '3 3 3'},
      ['user_list.txt'] = listed(6), ['item_list.txt'] = listed(7),
      ['entity_list.txt'] = listed(12), ['relation_list.txt'] = listed(5)}, {valid_ratio = 0}))
  end)

  local function readings()
    local rows = {'user,item'}
    for u = 1, 9 do
      for i = 0, 4 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 11) end
    end
    return rows
  end

  it('items that the graph does not know', function()
    every(tk.data.load(fixtures.dir{['interactions.csv'] = readings(),
      ['kg.csv'] = {'head,relation,tail', 'book 1,by,Woolf', 'Joyce,knew,Pound'}}))
  end)

  it('no graph at all', function()
    local data = tk.data.load(fixtures.dir{['interactions.csv'] = readings()})
    assert.equal(0, data.graph.n)
    every(data)
  end)
end)

describe('the loss of CFKG', function()
  teardown(fixtures.clean)

  it('is the mean over several sampled items', function()
    local data = tk.data.load(fixtures.dir{
      ['interactions.csv'] = {'user,item', 'a,0', 'a,1', 'b,2', 'b,3', 'c,4', 'c,5', 'c,0'}})
    local recipe, users, items = recipe_of('cfkg'), {0, 2, 2}, {1, 2, 0}
    local sampled = {{4, 5, 3}, {0, 1, 3}, {3, 2, 1}}
    for _, distance in ipairs{'inner', 'l1', 'l2'} do
      local model = recipe.build(data, recipe:complete{dim = 3, distance = distance})
      local rows, of_users = model.nodes.weight:totable(), model.user_nodes:totable()
      local takes, sum = model.relations.weight:totable(), 0
      takes = takes[#takes]
      local function apart(user, item)
        local from, to, d = rows[of_users[user + 1] + 1], rows[item + 1], 0
        for c = 1, 3 do
          local x = from[c] + takes[c]
          d = d + (distance == 'inner' and -x * to[c] or distance == 'l1' and math.abs(x - to[c])
                   or distance == 'l2' and (x - to[c]) ^ 2)
        end
        return d
      end
      for b, list in ipairs(sampled) do
        local near = apart(users[b], items[b])
        for _, j in ipairs(list) do
          local far = apart(users[b], j)
          sum = sum + (distance == 'inner' and math.log(1 + math.exp(near))
                       + math.log(1 + math.exp(-far)) or math.max(0, near - far + model.margin))
        end
      end
      local loss = model:loss{users = tk.ids(users), items = tk.ids(items),
                              negatives = tk.ids(sampled)}
      assert.near(sum / 9, loss:item(), 1e-5)
    end
  end)
end)
