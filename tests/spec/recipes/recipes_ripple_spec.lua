-- RippleNet: ripple sets as in the paper; logits and losses against loops; training; odd data.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local csr = require('tests.support.arrays').csr
local datasets = require 'tests.support.odd_datasets'

local recipe = datasets.recipe('ripplenet')

-- ---- ripple sets ----

--- A random graph in which entity 0 has most triples and 30 .. 39 have none.
local function random_graph()
  local h, r, t = {}, {}, {}
  for k = 1, 300 do
    h[k] = k % 3 == 0 and 0 or math.random(0, 29)
    r[k], t[k] = math.random(0, 4), math.random(0, 39)
  end
  return tk.graph{head = h, relation = r, tail = t, nodes = 40, relations = 5}
end

local function facts_of(graph)
  local e, facts, degree = graph:triples(), {}, {}
  for i = 0, e.n - 1 do
    facts[('%d %d %d'):format(e.heads[i], e.relations[i], e.tails[i])] = true
    degree[e.heads[i]] = (degree[e.heads[i]] or 0) + 1
  end
  return facts, degree
end

local function row_of(set, row)
  return set.heads:totable()[row], set.relations:totable()[row], set.tails:totable()[row]
end

local function among(list)
  local set = {}
  for _, x in ipairs(list) do set[x] = true end
  return set
end

describe('ripple sets', function()
  it('begin at the seeds, go on from the tails before, and are triples of the graph', function()
    local graph = random_graph()
    local facts, degree = facts_of(graph)
    local lists = {{0}, {1, 2, 3}, {4, 35}, {0, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {29}}
    for _, size in ipairs{1, 7, 32} do
      local sets = graph:ripples(csr(lists), 3, size)
      assert.equal(3, #sets)
      for row, seeds in ipairs(lists) do
        local from = among(seeds)
        for hop = 1, 3 do
          local h, r, t = row_of(sets[hop], row)
          local leads = false
          for x in pairs(from) do leads = leads or degree[x] end
          if not leads then
            assert.same({row_of(sets[hop - 1], row)}, {h, r, t})
          else
            for k = 1, size do
              assert.is_true(facts[('%d %d %d'):format(h[k], r[k], t[k])])
              assert.is_true(from[h[k]], 'a head that nothing leads to')
            end
            from = among(t)
          end
        end
      end
    end
  end)

  it('are sampled without replacement if there are enough, each equally often', function()
    local tails = {}
    for k = 1, 12 do tails[k] = k end
    local graph = tk.graph{head = {0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2}, tail = tails,
                           relation = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nodes = 13,
                           relations = 1}
    local lists, counts, rows = {}, {}, 3000
    for r = 1, rows do lists[r] = {1, 0, 2} end
    for _, row in ipairs(graph:ripples(csr(lists), 1, 5)[1].tails:totable()) do
      local seen = {}
      for _, t in ipairs(row) do
        assert.is_nil(seen[t])
        seen[t] = true
        counts[t] = (counts[t] or 0) + 1
      end
    end
    local expected, chi = rows * 5 / 12, 0
    for t = 1, 12 do chi = chi + (counts[t] - expected) ^ 2 / expected end
    assert.is_true(chi < 35, 'chi^2 of 11 degrees of freedom is ' .. chi)
    local all = graph:ripples(csr{{0, 1, 2}}, 1, 12)[1].tails:totable()[1]
    table.sort(all)
    assert.same(tails, all)
  end)

  it('repeat triples if there are too few', function()
    local graph = tk.graph{head = {0}, relation = {3}, tail = {1}, nodes = 3, relations = 4}
    local sets = graph:ripples(csr{{0}}, 2, 3)
    for hop = 1, 2 do -- 1 leads nowhere: hop 2 is hop 1 again
      assert.same({{{0, 0, 0}}, {{3, 3, 3}}, {{1, 1, 1}}},
                  {sets[hop].heads:totable(), sets[hop].relations:totable(),
                   sets[hop].tails:totable()})
    end
  end)

  it('start anywhere for rows without triples', function()
    local graph = random_graph()
    local facts = facts_of(graph)
    local h, r, t = row_of(graph:ripples(csr{{}, {31, 32}}, 1, 20)[1], 2)
    for k = 1, 20 do assert.is_true(facts[('%d %d %d'):format(h[k], r[k], t[k])]) end
  end)

  it('depend on the seed', function()
    local graph = random_graph()
    local function drawn(seed)
      tk.seed(seed)
      return graph:ripples(csr{{0, 1}, {2}}, 2, 16)[2].tails:totable()
    end
    assert.same(drawn(3), drawn(3))
    assert.not_same(drawn(3), drawn(4))
  end)

  it('are gathered by row, with rows of an embedding', function()
    local graph = random_graph()
    local sets, table_ = graph:ripples(csr{{0, 1}, {2}, {29}}, 2, 3), tk.nn.Embedding(40, 2)
    local hops = {}
    for k, hop in sets:gather(tk.ids{2, 0}, table_) do
      hops[k] = hop
      for _, name in ipairs{'heads', 'relations', 'tails'} do
        local all = sets[k][name]:totable()
        assert.same({all[3], all[1]}, hop[name]:totable())
      end
      assert.same(hop.relations:reshape(-1):totable(), hop.r:totable())
      assert.same(table_(hop.heads:reshape(-1)):totable(), hop.h:totable())
      assert.same(table_(hop.tails:reshape(-1)):totable(), hop.t:totable())
    end
    assert.equal(2, #hops)
  end)

  it('need triples, and whole numbers', function()
    local none = tk.graph{head = {}, relation = {}, tail = {}, nodes = 3, relations = 1}
    assert.truthy(fixtures.message(none.ripples, none, csr{{0}}, 1, 1):find('no edges', 1, true))
    local graph = random_graph()
    assert.matches('hops is 0, expected 1 or more',
                   fixtures.message(graph.ripples, graph, csr{{0}}, 0, 1), 1, true)
    assert.matches('ripples: seed 99 is not a node 0 .. %d',
                   fixtures.message(graph.ripples, graph, csr{{0}, {1, 99}}, 1, 1))
    local plain = tk.graph{head = {0}, tail = {1}, nodes = 2}
    assert.truthy(fixtures.message(plain.ripples, plain, csr{{0}}, 1, 1):find('no relations'))
  end)
end)

-- ---- the model by loops ----

local function matvec(m, x, transposed)
  local y = {}
  for i = 1, #x do
    y[i] = 0
    for j = 1, #x do y[i] = y[i] + (transposed and m[j][i] or m[i][j]) * x[j] end
  end
  return y
end

local function plus(a, b)
  local c = {}
  for i = 1, #a do c[i] = a[i] + b[i] end
  return c
end

local function dot(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] * b[i] end
  return sum
end

--- Rows are row vectors in the code: (v + o) T is T^t (v + o) of columns.
local UPDATE = {
  plus_transform = function(v, o, m) return matvec(m, plus(v, o), true) end,
  replace_transform = function(_, o, m) return matvec(m, o, true) end,
  plus = plus,
  replace = function(_, o) return o end,
}

local function by_loops(model, o)
  local entities, relations = model.entities.weight:totable(), model.relations:totable()
  local transform, sets = model.transform:totable(), {}
  for k, set in ipairs(model.ripples) do
    sets[k] = {h = set.heads:totable(), r = set.relations:totable(), t = set.tails:totable()}
  end
  local self = {}

  function self.logit(user, item)
    local v, u = entities[item + 1], nil
    for k = 1, o.hops do
      local h, r, t = sets[k].h[user + 1], sets[k].r[user + 1], sets[k].t[user + 1]
      local p, all, response = {}, 0, {}
      for m = 1, o.memory do
        p[m] = math.exp(dot(v, matvec(relations[r[m] + 1], entities[h[m] + 1])))
        all = all + p[m]
      end
      for i = 1, o.dim do
        response[i] = 0
        for m = 1, o.memory do response[i] = response[i] + p[m] / all * entities[t[m] + 1][i] end
      end
      v = UPDATE[o.item_update](v, response, transform)
      u = u and o.all_hops and plus(u, response) or response
    end
    return dot(u, v)
  end

  function self.regularizers(users)
    local kge, squares = 0, 0
    for k = 1, o.hops do
      local sum = 0
      for _, user in ipairs(users) do
        local set = sets[k]
        for m = 1, o.memory do
          local h, t = entities[set.h[user + 1][m] + 1], entities[set.t[user + 1][m] + 1]
          local r = relations[set.r[user + 1][m] + 1]
          sum = sum + 1 / (1 + math.exp(-dot(h, matvec(r, t))))
          squares = squares + dot(h, h) + dot(t, t)
          for i = 1, o.dim do squares = squares + dot(r[i], r[i]) end
        end
      end
      kge = kge + sum / (#users * o.memory)
    end
    return o.l2 * squares - o.kge_weight * kge
  end
  return self
end

local function softplus(x) return math.log(1 + math.exp(x)) end

describe('RippleNet computes what loops do:', function()
  teardown(fixtures.clean)

  for item_update in pairs(UPDATE) do
    for _, all_hops in ipairs{true, false} do
      it(item_update .. (all_hops and ', all hops' or ', the last hop'), function()
        local data = datasets.demo()
        local o = recipe:complete{dim = 5, hops = 3, memory = 6, item_update = item_update,
                                  all_hops = all_hops, l2 = 1e-3, kge_weight = 0.3}
        local model = recipe.build(data, o):train()
        model.relations:write((tk.randn(data.relations, 5, 5):values()))
        model.entities.weight:write((tk.randn(data.entities, 5):values()))
        assert.is_true(datasets.rank_error(model, data) < 1e-3)
        local loops, loss = by_loops(model, o), 0
        local users, items, labels = {0, 3, 3, 17, 80}, {0, 5, 59, 5, 31}, {1, 0, 1, 1, 0}
        local got = model:score(tk.ids(users), tk.ids(items)):totable()
        for k, user in ipairs(users) do
          local x = loops.logit(user, items[k])
          assert.near(x, got[k], 1e-4 * math.max(1, math.abs(x)))
          loss = loss + (softplus(x) - labels[k] * x) / #users
        end
        local batch = {users = tk.ids(users), items = tk.ids(items), labels = tk.tensor(labels)}
        loss = loss + loops.regularizers(users)
        assert.near(loss, model:loss(batch):item(), 1e-4 * math.abs(loss))
      end)
    end
  end

  it('several sampled items for each known one', function()
    local data = datasets.demo_ranking()
    local o = recipe:complete{dim = 4, memory = 5, l2 = 0, kge_weight = 0}
    local model = recipe.build(data, o):train()
    local loops, loss, drawn = by_loops(model, o), 0, {{1, 2, 3}, {8, 5, 13}}
    for k, user in ipairs{4, 9} do
      loss = loss + softplus(-loops.logit(user, 7)) / 2
      for _, item in ipairs(drawn[k]) do loss = loss + softplus(loops.logit(user, item)) / 6 end
    end
    local batch = {users = tk.ids{4, 9}, items = tk.ids{7, 7}, negatives = tk.ids(drawn)}
    assert.near(loss, model:loss(batch):item(), 1e-4)
  end)
end)

-- ---- training ----

describe('RippleNet', function()
  teardown(fixtures.clean)

  for _, bits in ipairs{32, 2} do
    it('learns the demo set at ' .. bits .. ' bits', function()
      datasets.learns_demo(recipe, bits, {epochs = 8, batch_size = 128}, 0.7, 0.55)
    end)
  end

  it('trains on odd data', function()
    datasets.bears_odd_data(recipe, {epochs = 10, eval_every = 10, dim = 3, lr = 0.05, hops = 3,
                                     memory = 4, negatives = 2})
  end)

  it('refuses another item update', function()
    assert.matches('option item_update: x is not plus_transform',
                   fixtures.message(recipe.complete, recipe, {item_update = 'x'}), 1, true)
  end)
end)
