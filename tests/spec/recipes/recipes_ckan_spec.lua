-- CKAN: where the sets of items begin; logits against loops; training; odd data. Steps and loss are
-- compared with the published program's in recipes_steps_spec.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local datasets = require 'tests.support.odd_datasets'

local recipe = datasets.recipe('ckan')

describe('collaborators', function()
  teardown(fixtures.clean)

  it('are the items that an item\'s users know, or the item alone', function()
    for _, data in ipairs{datasets.ranking(), datasets.labelled(), datasets.demo()} do
      local seeds, known = tk.loader.collaborators(data), data:known()
      assert.equal(data.items, seeds.rows)
      assert.equal(seeds.n, seeds.offsets[seeds.rows])
      for item = 0, data.items - 1 do
        local want, got, none = {}, {}, true
        for u = 0, data.users - 1 do
          if known:contains(u, item) then
            none = false
            for at = known.offsets[u], known.offsets[u + 1] - 1 do want[known.items[at]] = 1 end
          end
        end
        if none then want[item] = 1 end
        for at = seeds.offsets[item], seeds.offsets[item + 1] - 1 do
          got[seeds.items[at]] = (got[seeds.items[at]] or 0) + 1
        end
        assert.same(want, got)
      end
    end
  end)
end)

describe('all_rows', function()
  it('calls a function of ids block by block', function()
    local table_, sizes = tk.randn(50, 3), {}
    local rows = tk.loader.all_rows(50, 2 ^ 21 / 16, function(ids)
      sizes[#sizes + 1] = ids:size(1)
      return table_:gather(ids)
    end)
    assert.same(table_:totable(), rows:totable())
    assert.same({16, 16, 16, 2}, sizes)
  end)
end)

-- ---- the model by loops ----

local function matvec(m, x)
  local y = {}
  for i, row in ipairs(m) do
    y[i] = 0
    for j, w in ipairs(row) do y[i] = y[i] + w * x[j] end
  end
  return y
end

local function relu(x)
  for i, v in ipairs(x) do x[i] = math.max(v, 0) end
  return x
end

local JOIN = {
  sum = function(a, b) return a + b end,
  pool = math.max,
}

local function by_loops(model, o)
  local e, r = model.entities.weight:totable(), model.relations.weight:totable()
  local w = {}
  for k, at in ipairs{1, 3, 5} do w[k] = model.attention[at].weight:totable() end

  local function score(head, relation)
    local x = {}
    for i = 1, o.dim do x[i], x[o.dim + i] = e[head + 1][i], r[relation + 1][i] end
    return 1 / (1 + math.exp(-matvec(w[3], relu(matvec(w[2], relu(matvec(w[1], x)))))[1]))
  end

  --- Vectors of a row's hops, and the mean of the first hop's heads.
  local function hops(sets, row)
    local list, first = {}, {}
    for k, set in ipairs(sets) do
      local h, rel, t = set.heads:totable()[row + 1], set.relations:totable()[row + 1],
        set.tails:totable()[row + 1]
      local all, sum, p = 0, {}, {}
      for m = 1, #h do
        p[m] = math.exp(score(h[m], rel[m]))
        all = all + p[m]
      end
      for i = 1, o.dim do
        sum[i] = 0
        for m = 1, #h do
          sum[i] = sum[i] + p[m] / all * e[t[m] + 1][i]
          if k == 1 then first[i] = (first[i] or 0) + e[h[m] + 1][i] / #h end
        end
      end
      list[k] = sum
    end
    return list, first
  end

  local function join(list)
    local out = {}
    for k, x in ipairs(list) do
      for i = 1, o.dim do
        local at = o.aggregator == 'concat' and (k - 1) * o.dim + i or i
        out[at] = out[at] and JOIN[o.aggregator](out[at], x[i]) or x[i]
      end
    end
    return out
  end

  return function(user, item)
    local of_user, mean = hops(model.of_users, user)
    local of_item, around = hops(model.of_items, item)
    table.insert(of_user, 1, mean)
    table.insert(of_item, 1, e[item + 1])
    if o.aggregator ~= 'concat' then of_item[#of_item + 1] = around end
    local u, v, sum = join(of_user), join(of_item), 0
    for i = 1, #u do sum = sum + u[i] * v[i] end
    return sum
  end
end

describe('CKAN', function()
  teardown(fixtures.clean)

  for _, aggregator in ipairs{'concat', 'sum', 'pool'} do
    it('scores as loops do: ' .. aggregator, function()
      local data = datasets.demo()
      local o = recipe:complete{dim = 4, layers = 2, user_triples = 3, item_triples = 5,
                                aggregator = aggregator}
      local model = recipe.build(data, o):train()
      for _, p in ipairs(model:parameters()) do p:write((tk.randn(p:size()):values())) end
      local logit = by_loops(model, o)
      local users, items = {0, 3, 3, 17, 80}, {0, 5, 59, 5, 31}
      local got = tk.no_grad(model.score, model, tk.ids(users), tk.ids(items)):totable()
      for k, user in ipairs(users) do
        local x = logit(user, items[k])
        assert.near(x, got[k], 1e-4 * math.max(1, math.abs(x)))
      end
      assert.is_true(datasets.rank_error(model, data) < 1e-3)
    end)
  end

  it('begins at the history, and at what an item\'s users know', function()
    local data = datasets.ranking()
    local model = recipe.build(data, recipe:complete{dim = 4, layers = 1, user_triples = 200,
                                                     item_triples = 200})
    local function heads(sets, row)
      local found = {}
      for _, head in ipairs(sets[1].heads:totable()[row + 1]) do found[head] = true end
      return found
    end
    assert.same({[0] = true, [1] = true, [2] = true}, heads(model.of_users, 0)) -- the history
    -- item 3: user 1 has 1 and 3, user 4 all, of which 5 has no triple
    assert.same({[0] = true, [1] = true, [2] = true, [3] = true, [4] = true},
                heads(model.of_items, 3))
  end)

  for _, bits in ipairs{32, 2} do
    it('learns the demo set at ' .. bits .. ' bits', function()
      datasets.learns_demo(recipe, bits, {epochs = 6, batch_size = 128, dim = 16, lr = 0.01,
                                          layers = 2, item_triples = 16}, 0.9, 0.55)
    end)
  end

  it('trains on odd data', function()
    datasets.bears_odd_data(recipe, {epochs = 10, eval_every = 10, dim = 3, lr = 0.05, layers = 3,
                                     user_triples = 4, item_triples = 3, negatives = 2})
  end)
end)
