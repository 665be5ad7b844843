-- KGNN-LS: labels as a graph, label propagation and losses against loops, training, odd data.
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local datasets = require 'tests.support.odd_datasets'

local recipe = datasets.recipe('kgnn-ls')

describe('tk.equal', function()
  it('is 1 if an id is that of its row', function()
    local ids = tk.ids{{3, 1, 3, -1}, {0, 0, 7, 2}, {5, 4, 6, 1}}
    assert.same({{1, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 0}},
                tk.equal(ids, tk.ids{3, 2, 0}):totable())
    assert.same({1, 2}, tk.equal(tk.ids{{1, 1}}, tk.ids{1}):size())
    assert.matches('equal: column is 3, expected a tensor',
                   fixtures.message(tk.equal, ids, 3), 1, true)
  end)
end)

describe('tk.equal, called with columns of many lengths,', function()
  it('gives what it gives and keeps the ids of the longest alone', function()
    local function ask(n)
      local column, ids = {}, {}
      for i = 1, n do column[i], ids[i] = i % 3, {1, i % 3} end
      local got = tk.equal(tk.ids(ids), tk.ids(column)):totable()
      for i = 1, n do assert.same({i % 3 == 1 and 1 or 0, 1}, got[i]) end
    end
    local function live()
      runtime.collect(true)
      return tk.memory().live.total
    end
    ask(200)
    local before = live()
    for n = 1, 200 do ask(n) end
    assert.equal(before, live())
  end)
end)

describe('a receptive field', function()
  it('has the sampled neighbours of each hop, and their weights', function()
    local graph = tk.graph{head = {0, 0, 1, 2}, relation = {0, 1, 2, 0}, tail = {1, 2, 3, 0},
                           nodes = 4, relations = 3}
    local field, seen = graph:receptive_field(2), {}
    local tails, relations = field.tails:totable(), field.relations:totable()
    local ids, weights = field:expand(tk.ids{0, 3}, 2, function(r)
      seen[#seen + 1] = r:totable()
      return r:size(2)
    end)
    assert.same({4 / 2, 8 / 2}, weights)
    local at = {0, 3}
    for h = 1, 3 do
      assert.same(at, ids[h]:totable())
      local next_ids, by = {}, {}
      for _, node in ipairs(at) do
        for k = 1, 2 do
          next_ids[#next_ids + 1] = tails[node + 1][k]
          by[#by + 1] = relations[node + 1][k]
        end
      end
      if seen[h] then
        local flat = {}
        for _, row in ipairs(seen[h]) do
          for _, r in ipairs(row) do flat[#flat + 1] = r end
        end
        assert.same(by, flat)
      end
      at = next_ids
    end
  end)
end)

describe('Graph:lookup', function()
  local graph = tk.graph{head = {0, 0, 2}, tail = {4, 1, 0}, nodes = {3, 5}}

  it('is 1 or the weight of the edge, and the default without an edge', function()
    local rows, ids = tk.ids{2, 0, 1}, tk.ids{{0, 1, 9}, {4, 1, 0}, {0, 1, 4}}
    assert.same({{1, 0, 0}, {1, 1, 0}, {0, 0, 0}}, graph:lookup(rows, ids):totable())
    local weighted = graph:weighted(tk.tensor{0.25, 2, -3}) -- by head, then by tail
    assert.same({{-3, 0.5, 0.5}, {2, 0.25, 0.5}, {0.5, 0.5, 0.5}},
                weighted:lookup(rows, ids, 0.5):totable())
  end)
end)

describe('the graph of labels', function()
  teardown(fixtures.clean)

  it('has train\'s labels, and no others', function()
    local data, want = datasets.labelled(), {}
    local labels = tk.graph(data, {of = 'labels'})
    for i = 0, data.train.n - 1 do
      want[data.train.users[i] * 10 + data.train.items[i]] = data.train.labels[i]
    end
    for u = 0, data.users - 1 do
      local got = labels:lookup(tk.ids{u}, tk.ids{{0, 1, 2, 3, 4, 5, 11}}, 0.5):totable()[1]
      for i = 0, 5 do assert.equal(want[u * 10 + i] or 0.5, got[i + 1]) end
      assert.equal(0.5, got[7]) -- an entity that is no item
    end
  end)

  it('of data without labels has as many sampled 0 as known 1, none of them known', function()
    local data = datasets.demo_ranking()
    local labels, known = tk.graph(data, {of = 'labels'}), data:known()
    local all = {}
    for i = 0, data.items - 1 do all[i + 1] = i end
    for u = 0, data.users - 1 do
      local count, likes = {[0] = 0, [1] = 0}, {}
      for at = known.offsets[u], known.offsets[u + 1] - 1 do likes[known.items[at]] = true end
      for i, y in ipairs(labels:lookup(tk.ids{u}, tk.ids{all}, 0.5):totable()[1]) do
        if y ~= 0.5 then count[y] = count[y] + 1 end
        assert.equal(likes[i - 1] or false, y == 1)
      end
      assert.is_true(count[0] > 0 and count[0] <= count[1]) -- some are drawn twice
    end
    tk.seed(5)
    local a = tk.graph(data, {of = 'labels'}):triples()
    tk.seed(5)
    local b = tk.graph(data, {of = 'labels'}):triples()
    assert.same(fixtures.list(a.tails, a.n), fixtures.list(b.tails, b.n))
  end)

  it('has no 0 for a user who knows every item', function()
    local labels = tk.graph(datasets.ranking(), {of = 'labels'})
    assert.same({{1, 1, 1, 1, 1, 1}},
                labels:lookup(tk.ids{4}, tk.ids{{0, 1, 2, 3, 4, 5}}, 0.5):totable())
  end)
end)

-- ---- the model by loops ----

--- Functions of a user and an item: the propagated label (eq. 8, held-out item at 1/2), the logit.
local function by_loops(model, data)
  local tails, relations = model.field.tails:totable(), model.field.relations:totable()
  local users, r = model.users.weight:totable(), model.relations.weight:totable()
  local entities, K, labels = model.entities.weight:totable(), model.neighbors, {}
  for i = 0, data.train.n - 1 do
    labels[data.train.users[i] .. ' ' .. data.train.items[i]] = data.train.labels[i]
  end

  local function weights(user, entity)
    local w, all = {}, 0
    for k = 1, K do
      local s, e = 0, r[relations[entity + 1][k] + 1]
      for c = 1, #e do s = s + users[user + 1][c] * e[c] / #e end
      w[k] = math.exp(s)
      all = all + w[k]
    end
    for k = 1, K do w[k] = w[k] / all / K end
    return w
  end

  local self = {}

  --- Returns the label of `entity`, propagated to it in `rounds` rounds, with `item` held out.
  function self.label(user, item, entity, rounds)
    local y = entity ~= item and labels[user .. ' ' .. entity]
    if y then return y end
    if rounds == 0 then return 0.5 end
    local sum, w = 0, weights(user, entity)
    for k = 1, K do
      sum = sum + w[k] * self.label(user, item, tails[entity + 1][k], rounds - 1)
    end
    return sum
  end

  function self.vector(user, entity, round)
    if round == 0 then return entities[entity + 1] end
    local own, w = self.vector(user, entity, round - 1), weights(user, entity)
    local x, d = {}, model.dim
    for c = 1, d do x[c] = own[c] end
    for k = 1, K do
      local v = self.vector(user, tails[entity + 1][k], round - 1)
      for c = 1, d do x[c] = x[c] + w[k] * v[c] end
    end
    local layer, y = model.layers[round], {}
    local m, b = layer.weight:totable(), layer.bias:totable()
    for c = 1, d do
      y[c] = b[c]
      for j = 1, d do y[c] = y[c] + m[c][j] * x[j] end
      y[c] = round == model.hops and (1 - 2 / (math.exp(2 * y[c]) + 1)) or math.max(y[c], 0)
    end
    return y
  end

  function self.logit(user, item)
    local v, sum = self.vector(user, item, model.hops), 0
    for c = 1, #v do sum = sum + v[c] * users[user + 1][c] end
    return sum
  end
  return self
end

local function cross_entropy(x, y) return math.log(1 + math.exp(x)) - x * y end

describe('KGNN-LS computes what loops do:', function()
  teardown(fixtures.clean)

  for hops = 1, 3 do
    it(hops .. ' hops', function()
      local data = datasets.demo()
      local model = recipe.build(data, recipe:complete{dim = 3, neighbors = 4, hops = hops,
                                                       ls_weight = 0.7}):train()
      for _, table in ipairs{model.users, model.relations, model.entities} do
        table.weight:write((tk.randn(table.n, 3):values()))
      end
      local loops, users, items, labels = by_loops(model, data), {}, {}, {}
      for k = 1, 12 do
        users[k], items[k] = data.train.users[9 * k], data.train.items[9 * k]
        labels[k] = data.train.labels[9 * k]
      end
      local u, i = tk.ids(users), tk.ids(items)
      local ids, weights = model:receptive_field(model.users(u), i)
      local y, loss, unlike = model:propagate(u, ids, weights):totable(), 0, 0
      for k = 1, 12 do
        local want, x = loops.label(users[k], items[k], items[k], hops),
          loops.logit(users[k], items[k])
        assert.near(want, y[k], 1e-5)
        loss = loss + (cross_entropy(x, labels[k]) + 0.7 * cross_entropy(want, labels[k])) / 12
        if math.abs(want - 0.5 / 4 ^ hops) > 1e-6 then unlike = unlike + 1 end
      end
      if hops > 1 then assert.is_true(unlike > 0, 'no label was ever met') end
      local batch = {users = u, items = i, labels = tk.tensor(labels)}
      assert.near(loss, model:loss(batch):item(), 1e-4)
    end)
  end

  it('label smoothness moves users and relations, not entities', function()
    local data = datasets.demo()
    local function gradients(ls_weight)
      tk.seed(2)
      local model = recipe.build(data, recipe:complete{hops = 2, ls_weight = ls_weight}):train()
      model:loss{users = tk.ids{0, 1, 2}, items = tk.ids{3, 4, 5},
                 labels = tk.tensor{1, 0, 1}}:backward()
      local out = {}
      for name, t in pairs(model:state()) do out[name] = t.grad:totable() end
      return out
    end
    local without, with = gradients(0), gradients(100)
    assert.same(without['entities.weight'], with['entities.weight'])
    assert.not_same(without['users.weight'], with['users.weight'])
    assert.not_same(without['relations.weight'], with['relations.weight'])
  end)
end)

-- ---- training ----

describe('KGNN-LS', function()
  teardown(fixtures.clean)

  for _, bits in ipairs{32, 2} do
    it('learns the demo set at ' .. bits .. ' bits', function()
      local options = {epochs = 10, lr = 0.01, hops = 2, neighbors = 4, l2 = 1e-5}
      datasets.learns_demo(recipe, bits, options, 0.9)
    end)
  end

  it('trains on odd data', function()
    for _, data in ipairs{datasets.ranking(), datasets.labelled()} do
      local losses = datasets.train(recipe, data, {epochs = 10, eval_every = 10, dim = 3, lr = 0.05,
                                                   hops = 2, neighbors = 3, negatives = 2})
      for _, loss in ipairs(losses) do assert.is_true(loss > 0 and loss < 10) end
    end
  end)
end)
