-- KTUP: scores against loops, soft and hard; what the loss of triples reads; training; odd data.
-- Steps are compared with the published program's in recipes_steps_spec.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local datasets = require 'tests.support.odd_datasets'

local recipe = datasets.recipe('ktup')

local function model_of(data, options)
  local o = recipe:complete(fixtures.merged({dim = 4}, options))
  local model = recipe.build(data, o):train()
  for _, p in ipairs(model:parameters()) do p:write((tk.randn(p:size()):values())) end
  return model, o
end

local function dot(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] * b[i] end
  return sum
end

local function plus(a, b, scale)
  local out = {}
  for i = 1, #a do out[i] = a[i] + b[i] * (scale or 1) end
  return out
end

local function distance(o, h, r, t, norm)
  local sum = 0
  local a, b = plus(h, norm, -dot(h, norm)), plus(t, norm, -dot(t, norm))
  for i = 1, #h do
    local x = a[i] + r[i] - b[i]
    sum = sum + (o.distance == 'l1' and math.abs(x) or x * x)
  end
  return sum
end

--- The distance of a user and an item.
local function by_loops(model, o)
  local p = {}
  for name, t in pairs(model:state()) do p[name] = t:totable() end
  return function(user, item)
    local u, i = p.users[user + 1], plus(p.items[item + 1], p.entities[item + 1])
    local r, norm, best, most = {}, {}, nil, -math.huge
    for k = 1, o.dim do r[k], norm[k] = 0, 0 end
    for k, relation in ipairs(p.relations) do
      local vector = plus(p.preferences[k], relation)
      local fit = dot(plus(u, i), vector) / 2
      if fit > most then best, most = k, fit end
      if o.induction == 'soft' then
        r = plus(r, vector, fit / 2)
        norm = plus(norm, plus(p.preference_norms[k], p.relation_norms[k]), fit / 2)
      end
    end
    if o.induction == 'hard' then
      r = plus(r, plus(p.preferences[best], p.relations[best]), 0.5)
      norm = plus(norm, plus(p.preference_norms[best], p.relation_norms[best]), 0.5)
    end
    return distance(o, u, r, i, norm)
  end
end

describe('KTUP', function()
  local data
  setup(function() data = datasets.demo_ranking() end)
  teardown(fixtures.clean)

  for _, induction in ipairs{'soft', 'hard'} do
    for _, apart in ipairs{'l1', 'l2'} do
      it('scores as loops do: ' .. induction .. ', ' .. apart, function()
        local model, o = model_of(data, {distance = apart, induction = induction, margin = 2})
        model:eval()
        local loops, users, items = by_loops(model, o), {0, 3, 3, 17, 80}, {0, 5, 59, 5, 31}
        local got = tk.no_grad(model.score, model, tk.ids(users), tk.ids(items)):totable()
        for k, user in ipairs(users) do
          local want = 2 - loops(user, items[k])
          assert.near(want, got[k], 1e-4 * math.max(1, math.abs(want)))
        end
      end)
    end
  end

  it('takes the gradient of a hard preference from the softmax', function()
    local model = model_of(data, {induction = 'hard'}):eval()
    local users, items = tk.ids{0, 3, 17}, tk.ids{5, 2, 31}
    model:distances(users, items):sum():backward()
    local got = model.users.grad:totable()
    -- the published way, by a one-hot row: (hard - soft):detach() + soft
    local one = {}
    local function soft_of(u, i)
      local all = model.preferences + model.relations
      return ((u + i):matmul(all, {transpose_b = true}) / 2):softmax()
    end
    for k, row in ipairs(soft_of(model.users:gather(users), model.items:gather(items)
                                 + model.entities:gather(items)):totable()) do
      one[k] = {}
      for r, x in ipairs(row) do one[k][r] = x == math.max(unpack(row)) and 1 or 0 end
    end
    function model:preference(u, i)
      local soft, all = soft_of(u, i), self.preferences + self.relations
      local y = (tk.tensor(one) - soft):detach() + soft
      return y:matmul(all) / 2, y:matmul(self.preference_norms + self.relation_norms) / 2
    end
    model:distances(users, items):sum():backward()
    local want = model.users.grad:totable()
    for k, row in ipairs(want) do
      for c, x in ipairs(row) do assert.near(x, got[k][c], 1e-4 * math.max(1, math.abs(x))) end
    end
  end)

  it('reads a triple from its tail as from its head', function()
    local model = model_of(data)
    local g, n = data.graph, data.relations
    local h, r, t, other = g.heads[3], g.relations[3], g.tails[3], 7
    local function loss(heads, relations, tails, negatives)
      return model:kg_loss{heads = tk.ids{heads}, relations = tk.ids{relations},
                           tails = tk.ids{tails}, negatives = tk.ids{negatives}}:item()
    end
    -- where the sampled entity is the true one, both ends count the same
    model.entities:write(((model.entities * 0.1):values())) -- no norm above 1
    local from_head, from_tail = loss(h, r, t, t), loss(t, r + n, h, h)
    assert.near(from_head, from_tail, 1e-5 * from_head)
    assert.is_true(math.abs(loss(h, r, t, other) - loss(t, r + n, h, other)) > 1e-3)
  end)

  it('gives what a step of triples does not read the gradient 0, unless it is lazy', function()
    for _, lazy in ipairs{false, true} do
      local model = model_of(data, {optimizer_lazy = lazy})
      model:kg_loss{heads = tk.ids{0}, relations = tk.ids{0}, tails = tk.ids{1},
                    negatives = tk.ids{2}}:backward()
      for _, name in ipairs{'users', 'items', 'preferences', 'preference_norms'} do
        local grad = model[name].grad
        assert.equal(lazy, grad == nil, name)
        if grad then assert.equal(0, grad:abs():sum():item(), name) end
      end
    end
  end)

  for _, induction in ipairs{'soft', 'hard'} do
    for _, bits in ipairs{32, 2} do
      it(('learns the demo set at %d bits: %s'):format(bits, induction), function()
        datasets.learns_demo(recipe, bits, {epochs = 6, batch_size = 32, dim = 16, lr = 0.01,
                                            induction = induction}, 0.95)
      end)
    end
  end

  it('trains on odd data, and without a graph', function()
    local odd = {datasets.ranking(), datasets.labelled()}
    local rows = {'user,item'}
    for u = 1, 9 do
      for i = 0, 4 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 11) end
    end
    odd[3] = tk.data.load(fixtures.dir{['interactions.csv'] = rows})
    for _, set in ipairs(odd) do
      local losses = datasets.train(recipe, set, {epochs = 4, dim = 3, lr = 0.05, batch_size = 4,
                                                  eval_every = 4, negatives = 2})
      for _, loss in ipairs(losses) do assert.is_true(loss < 20) end
    end
  end)
end)
