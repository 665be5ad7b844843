-- What recipes of contrastive models are made of: parts of graphs, attention of several heads, the
-- first triples of items, batches with labels, the contrast of two views.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local flat = require('tests.support.tensors').flat

--- Nodes 0 to 3; edges by head and tail, and which are left.
local HEADS, RELATIONS, TAILS = {0, 0, 0, 1, 2}, {0, 1, 0, 1, 0}, {1, 2, 3, 3, 0}
local LEFT = {1, 0, 1, 0, 1}
local X = {{1, 2}, {3, -1}, {0.5, 4}, {-2, 1}}

local function graph()
  return tk.graph{head = HEADS, relation = RELATIONS, tail = TAILS, nodes = 4, relations = 2}
end

local function near(want, got)
  want, got = flat(want), flat(got)
  assert.equal(#want, #got)
  for k, x in ipairs(want) do assert.near(x, got[k], 1e-5) end
end

describe('a masked graph', function()
  it('sums, averages and shares over the edges left', function()
    local g, x = graph():masked(tk.tensor(LEFT)), tk.tensor(X)
    near({3 - 2, -1 + 1, 0, 0, 1, 2, 0, 0}, g:aggregate(x):totable())
    near({0.5, 0, 0, 0, 1, 2, 0, 0}, g:aggregate(x, {reduce = 'mean'}):totable())
    local e = math.exp(2) / (math.exp(2) + 1)
    near({e, 0, 1 - e, 0, 1}, g:softmax(tk.tensor{2, 9, 0, 5, 3}):totable())
    -- the other way, edge values in the same order
    local y = tk.tensor{{1, 2}, {3, 4}, {1, 2}, {0, 0}}
    near({1, 2, 1, 2, 0, 0, 1, 2}, g:transpose():aggregate(y, {reduce = 'mean'}):totable())
  end)

  it('is scaled by the degrees of its part', function()
    local g = tk.graph{head = {0, 0, 1}, tail = {1, 2, 2}, nodes = 3, undirected = true}
    local left = tk.tensor{{1}, {1}, {0}}
    near({1, 1, 0}, g:symmetric_scale(left):totable())
    near({1 / math.sqrt(2), 1 / math.sqrt(2), 1 / math.sqrt(2)}, g:symmetric_scale():totable())
    local x = tk.tensor{{1}, {2}, {4}}
    near({(1 + 3 + 2) / 3, (2 + 2.5 + 2.25) / 3, (4 + 1.5 + 2.75) / 3},
         g:smooth(x, 2, g:symmetric_scale()):totable())
    near(g:normalized('symmetric'):smooth(x, 2):totable(),
         g:smooth(x, 2, g:symmetric_scale()):totable())
  end)
end)

it('attention of two heads is that of two graphs of half the columns', function()
  local g, w, r = graph(), {{0.5, 1}, {-1, 2}}, {{1, -1}, {2, 0.5}}
  local o = {query = tk.tensor(w), relation = tk.tensor(r), heads = 2}
  local got = tk.attention.multi_head(g, tk.tensor(X), o):totable()
  for head = 0, 3 do
    for c = 1, 2 do
      local sum, total = 0, 0
      for k, h in ipairs(HEADS) do
        if h == head then
          local function q(v) return X[v + 1][1] * w[1][c] + X[v + 1][2] * w[2][c] end
          local relation = r[RELATIONS[k] + 1][c]
          local power = math.exp(q(h) * q(TAILS[k]) * relation)
          sum, total = sum + power * X[TAILS[k] + 1][c] * relation, total + power
        end
      end
      assert.near(total > 0 and sum / total or 0, got[head + 1][c], 1e-4)
    end
  end
  assert.matches('2 columns are not 3 equal parts',
                 fixtures.message(tk.attention.multi_head, g, tk.tensor(X),
                                  {query = tk.tensor(w), relation = tk.tensor(r), heads = 3}))
end)

describe('tk.loader', function()
  teardown(fixtures.clean)

  it('finds the first triples of items in the order of the data', function()
    local data = tk.data.load(fixtures.dir{
      ['train.txt'] = {'0 0 1 2'}, ['test.txt'] = {'0 3'},
      ['kg_final.txt'] = {'1 0 6', '0 1 5', '5 0 0', '1 1 4', '1 0 0', '3 0 6'}},
      {valid_ratio = 0})
    local first, all, count = tk.loader.item_triples(data, 2)
    assert.same({{5, 0}, {6, 4}, {2, 2}, {6, 3}}, first.tails:totable())
    assert.same({{1, 0}, {0, 1}, {0, 0}, {0, 0}}, first.relations:totable())
    assert.same({{1, 0}, {1, 1}, {0, 0}, {1, 0}}, first.known:totable())
    assert.same({{0, 0}, {1, 1}, {2, 2}, {3, 3}}, first.heads:totable())
    assert.equal(3, count)
    assert.equal(5, tk.graph(all).edges)
  end)

  it('gives sampled items the label 0', function()
    local b = tk.loader.labelled{users = tk.ids{4, 5}, items = tk.ids{1, 2},
                                 negatives = tk.ids{{6, 7}, {8, 9}}}
    assert.same({4, 5, 4, 5, 4, 5}, b.users:totable())
    assert.same({1, 2, 6, 8, 7, 9}, b.items:totable())
    assert.same({1, 1, 0, 0, 0, 0}, b.labels:totable())
    local given = {users = tk.ids{0}, items = tk.ids{0}, labels = tk.tensor{1}}
    assert.equal(given, tk.loader.labelled(given))
  end)
end)

it('negatives that are tails of other triples count where they are no tails of the head', function()
  local g = tk.graph{head = {0, 0, 1, 2}, relation = {0, 1, 0, 0}, tail = {3, 4, 3, 5},
                     nodes = 6, relations = 2}:weighted(tk.tensor{5, .25, 3, 2})
  local tails = {[0] = {[3] = true, [4] = true}, {[3] = true}, {[5] = true}}
  local seen = {}
  for _ = 1, 40 do
    local h, f, c = tk.no_grad(function()
      local b = g:sample_triples(3, 'heads', {negatives = 'tails'})
      return b.heads, b.negatives, b.counts
    end)
    h, f, c = h:totable(), f:totable(), c:totable()
    local of_two = (f[1] == 5 and 1 or 0) + (f[2] == 5 and 1 or 0) + (f[3] == 5 and 1 or 0)
    assert.equal(1, of_two) -- three heads are drawn for negatives too, each once
    for k = 1, 3 do
      seen[f[k]] = true
      assert.equal(tails[h[k]][f[k]] and 0 or 1, c[k])
    end
  end
  assert.same({[3] = true, [4] = true, [5] = true}, seen)
  assert.matches("negatives 'heads': uniform or tails",
                 fixtures.message(g.sample_triples, g, 1, 'heads', {negatives = 'heads'}))
end)

it('views of users and items are compared among their kind', function()
  local model = setmetatable({item_count = 2, user_nodes = tk.ids{2, 3, 4}},
                             tk.nn.class('M', tk.nn.Ranker))
  local one = {{1, 0}, {1, 1}, {0, 2}, {1, -1}, {3, 4}}
  local two = {{2, 1}, {0, 1}, {1, 3}, {-1, -1}, {1, 0}}
  local function cosine(a, b)
    return (a[1] * b[1] + a[2] * b[2])
      / math.sqrt((a[1] ^ 2 + a[2] ^ 2) * (b[1] ^ 2 + b[2] ^ 2))
  end
  local function loss(node, from, to)
    local sum = 0
    for k = from, to do sum = sum + math.exp(cosine(one[node], two[k]) / 0.5) end
    return math.log(sum) - cosine(one[node], two[node]) / 0.5
  end
  local got = model:view_contrast({users = tk.ids{0, 2}, items = tk.ids{1, 1}}, tk.tensor(one),
                                  tk.tensor(two), 0.5):item()
  assert.near((loss(3, 3, 5) + loss(5, 3, 5)) / 2 + loss(2, 1, 2), got, 1e-5)
end)

it('nn.MLP has ReLU between its layers', function()
  local mlp = tk.nn.MLP({2, 3, 1}, 'torch')
  local w, v = mlp[1].weight:totable(), mlp[3].weight:totable()
  local b, c = mlp[1].bias:totable(), mlp[3].bias:totable()
  local sum = c[1]
  for k = 1, 3 do
    sum = sum + v[1][k] * math.max(0, w[k][1] * 2 - w[k][2] + b[k])
    assert.is_true(math.abs(w[k][1]) <= 1 / math.sqrt(2) and math.abs(v[1][k]) <= 1 / math.sqrt(3))
  end
  assert.near(sum, mlp(tk.tensor{{2, -1}}):item(), 1e-5)
end)
