-- KGIN against numbers of an independent program in double precision (tests/golden), its intent
-- regularizers against loops, training, odd data.
local tk = require 'tinykg'
local files = require 'tests.support.golden'
local fixtures = require 'tests.support.fixtures'
local datasets = require 'tests.support.odd_datasets'
local saved = require 'tests.support.saved'
local tensors = require 'tests.support.tensors'

local recipe = datasets.recipe('kgin')

-- ---- the golden numbers ----

local golden, near = files.read('kgin'), files.near

--- The golden file's data set. User 4 has no item in train; nobody has item 6.
local function golden_data()
  local taken, t = golden.interactions, golden.triples
  return files.data(golden.sizes, taken.users, taken.items, {t.heads, t.relations, t.tails},
                    {'4 6'})
end

--- Makes the model of a case with the case's parameters, without dropout.
local function golden_model(case, options)
  local o = recipe:complete{dim = golden.sizes.dim, hops = golden.sizes.hops, dropout = 0,
                            node_dropout = 0, intents = #case.parameters.weights}
  local model = recipe.build(golden_data(), fixtures.merged(o, options))
  local p = {users = model.users.weight, entities = model.entities.weight,
             latent = model.latent.weight, relations = model.relations.weight,
             weights = model.mixture}
  for name, tensor in pairs(p) do tensor:write(tensors.flat(case.parameters[name])) end
  return model, p
end

local function golden_batch() return files.batch(golden.batch) end

local function gradients_near(want, p, what)
  for name, tensor in pairs(p) do
    local g = tensor.grad
    near(want[name], g and g:totable() or tk.zeros(tensor:size()):totable(), what .. ' ' .. name)
  end
end

--- Names of the regularizers in the golden file, by their names in the recipe.
local TOTALS = {distance = 'distance', cosine = 'cosine', mi = 'mi_rows'}

describe('KGIN follows the golden numbers', function()
  teardown(fixtures.clean)

  for name, case in pairs(golden.cases) do
    it('forward: ' .. name, function()
      local model = golden_model(case)
      local u, e = model:node_embeddings()
      near(case.intents, model:intents():totable(), 'intents')
      near(case.representations.users, u:totable(), 'users')
      near(case.representations.entities, e:totable(), 'entities')
      near(case.scores, tk.no_grad(model.rank, model, tk.ids{0, 1, 2, 3, 4}):totable(), 'scores')
      assert.is_true(datasets.rank_error(model, golden_data()) < 1e-5)
    end)

    it('ranking loss and gradients: ' .. name, function()
      local model, p = golden_model(case, {l2 = 0, sim_weight = 0})
      local loss = model:loss(golden_batch())
      loss:backward()
      assert.near(case.losses.ranking.loss, loss:item(), 1e-4)
      gradients_near(case.losses.ranking.gradients, p, 'ranking')
    end)

    it('L2: ' .. name, function()
      local with, without = golden_model(case, {l2 = 1, sim_weight = 0}),
        golden_model(case, {l2 = 0, sim_weight = 0})
      local l2 = with:loss(golden_batch()):item() - without:loss(golden_batch()):item()
      assert.near(case.losses.l2.loss, l2, 1e-4 * l2)
    end)

    for kind, theirs in pairs(TOTALS) do
      it(kind .. ', alone and in all: ' .. name, function()
        local model, p = golden_model(case, {l2 = golden.sizes.l2_weight, sim_kind = kind,
                                             sim_weight = golden.sizes.sim_weight})
        local alone = tk.loss.intent_regularizer(p.weights, kind)
        alone:backward()
        local want = case.losses[theirs]
        assert.near(want.loss, alone:item(), 1e-4 * math.abs(want.loss))
        near(want.gradients.weights, p.weights.grad:totable(), kind)
        local all = model:loss(golden_batch())
        all:backward()
        want = case.losses['total.' .. theirs]
        assert.near(want.loss, all:item(), 1e-4 * math.abs(want.loss))
        gradients_near(want.gradients, p, 'total ' .. kind)
      end)
    end
  end
end)

-- ---- intent regularizers by loops ----

local loops = {}

local function distances(x)
  local n, d, rows, all = #x, {}, {}, 0
  for i = 1, n do
    d[i], rows[i] = {}, 0
    for j = 1, n do
      d[i][j] = math.sqrt((x[i] - x[j]) ^ 2 + 1e-8)
      rows[i] = rows[i] + d[i][j] / n
    end
    all = all + rows[i] / n
  end
  for i = 1, n do
    for j = 1, n do d[i][j] = d[i][j] + all end
  end
  for i = 1, n do
    for j = 1, n do d[i][j] = d[i][j] - rows[i] - rows[j] end
  end
  return d
end

local function covariance(a, b)
  local sum, n = 0, #a
  for i = 1, n do
    for j = 1, n do sum = sum + a[i][j] * b[i][j] end
  end
  return math.sqrt(math.max(sum / n ^ 2, 0) + 1e-8)
end

local function dot(a, b)
  local sum = 0
  for i = 1, #a do sum = sum + a[i] * b[i] end
  return sum
end

local function cosine(a, b) return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) end

local function over_pairs(w, fn)
  local sum = 0
  for p = 1, #w do
    for q = p + 1, #w do sum = sum + fn(w[p], w[q]) end
  end
  return sum
end

function loops.distance(w)
  return over_pairs(w, function(x, y)
    local a, b = distances(x), distances(y)
    return covariance(a, b) / math.sqrt(covariance(a, a) * covariance(b, b) + 1e-8)
  end)
end

function loops.cosine(w)
  return over_pairs(w, function(x, y) return cosine(x, y) ^ 2 end)
end

function loops.mi(w)
  local sum = 0
  for p = 1, #w do
    local all = 0
    for q = 1, #w do all = all + math.exp(cosine(w[p], w[q]) / 0.2) end
    sum = sum - math.log(math.exp(1 / 0.2) / all)
  end
  return sum
end

describe('loss.intent_regularizer', function()
  for kind, by_loops in pairs(loops) do
    for _, shape in ipairs{{1, 5}, {2, 2}, {3, 7}, {5, 33}} do
      it(('%s of %d x %d: value and gradient'):format(kind, shape[1], shape[2]), function()
        local w = tk.parameter(tk.randn(unpack(shape)))
        local at, loss = w:totable(), tk.loss.intent_regularizer(w, kind)
        loss:backward()
        local got = w.grad:totable()
        assert.near(by_loops(at), loss:item(), 2e-5 * math.max(1, math.abs(by_loops(at))))
        for p = 1, shape[1] do
          for j = 1, shape[2], 4 do
            local x, h = at[p][j], 1e-5
            at[p][j] = x + h
            local above = by_loops(at)
            at[p][j] = x - h
            local slope = (above - by_loops(at)) / (2 * h)
            at[p][j] = x
            assert.near(slope, got[p][j], 2e-3 * math.max(1, math.abs(slope)))
          end
        end
      end)
    end
  end

  it('of one relation, and of equal rows, is a number with a gradient', function()
    for kind in pairs(loops) do
      for _, w in ipairs{tk.tensor{{1}, {2}}, tk.tensor{{1, 2, 3}, {1, 2, 3}}, tk.zeros(2, 3)} do
        local p = tk.parameter(w)
        tk.loss.intent_regularizer(p, kind):backward()
        for _, row in ipairs(p.grad:totable()) do
          for _, x in ipairs(row) do assert.is_true(math.abs(x) < 1e6) end
        end
      end
    end
  end)

  it('refuses other kinds, and vectors', function()
    assert.matches("'rank' is not distance, cosine or mi",
                   fixtures.message(tk.loss.intent_regularizer, tk.ones(2, 2), 'rank'), 1, true)
    assert.matches('a matrix is needed',
                   fixtures.message(tk.loss.intent_regularizer, tk.ones(2), 'mi'), 1, true)
  end)
end)

-- ---- training ----

describe('KGIN', function()
  teardown(fixtures.clean)

  for _, bits in ipairs{32, 2} do
    it('learns the demo set at ' .. bits .. ' bits', function()
      local options = {epochs = 6, lr = 0.01, dim = 16, batch_size = 128}
      datasets.learns_demo(recipe, bits, options, 0.9, 0.6)
    end)
  end

  it('trains on odd data, without a NaN whatever is dropped', function()
    for _, kind in ipairs{'distance', 'cosine', 'mi'} do
      datasets.bears_odd_data(recipe, {epochs = 30, eval_every = 30, dim = 4, lr = 0.01,
                                       sim_kind = kind, negatives = 2})
    end
  end)

  it('takes one hop, one intent, no regularizer', function()
    local losses = datasets.train(recipe, datasets.ranking(), {epochs = 2, dim = 3, hops = 1,
      intents = 1, sim_weight = 0, node_dropout = 0, dropout = 0})
    assert.equal(2, #losses)
  end)

  it('drops other edges in each step, none when it scores', function()
    local data = datasets.demo()
    local model = recipe.build(data, recipe:complete{dim = 4}):train()
    local step = tk.step(function() return (model:node_embeddings()):sum() end)
    assert.not_equal(step(), step())
    model:eval()
    step = tk.step(function() return (model:node_embeddings()):sum() end)
    assert.equal(step(), step())
  end)

  it('saves layers in codes and rows of the batch exactly: gradients are unbiased', function()
    local data = datasets.demo()
    local o = recipe:complete{dim = 16, node_dropout = 0, dropout = 0}
    local model = recipe.build(data, o):train()
    local batch = {users = tk.ids{0, 1, 2, 3}, items = tk.ids{3, 9, 3, 20},
                   negatives = tk.ids{{1}, {2}, {3}, {4}}}
    local function step_of(bits)
      return tk.step(function() return model:loss(batch) end, {bits = bits, small = 0})
    end
    local function gradients(step) return saved.gradients(step, model:parameters()) end
    local exact, step = gradients(step_of(32)), step_of(2)
    local off, error_of_mean = tensors.deviations(exact, function() return gradients(step) end, 300)
    local noisy, most, total = 0, 0, 0
    for i = 1, #exact do
      if error_of_mean[i] > 1e-7 then
        local z = math.abs(off[i]) / error_of_mean[i]
        noisy, most, total = noisy + 1, math.max(most, z), total + z * z
      end
    end
    assert.is_true(noisy > 1000, noisy .. ' elements with noise')
    assert.is_true(most < 5.5, most .. ' standard errors off')
    assert.is_true(total / noisy < 1.5, 'mean square of standard errors ' .. total / noisy)
    local packed = 0
    for _, row in ipairs(step:kept()) do
      if row.op == 'normalize' and row.shape[1] == data.entities then
        assert.equal('quantize', row.rule)
        packed = packed + 1
      end
    end
    assert.equal(2, packed)
  end)

  it('scores the same with and without prepare', function()
    local data = datasets.demo()
    local model = recipe.build(data, recipe:complete{dim = 4}):eval()
    local users, items = tk.ids{0, 5, 7}, tk.ids{3, 3, 1}
    local u, e = tk.no_grad(model.node_embeddings, model)
    local prepared = {users = {u}, items = {e}}
    near(tk.no_grad(model.score, model, users, items):totable(),
         tk.no_grad(model.score, model, users, items, prepared):totable(), 'scores')
    near(tk.no_grad(model.rank, model, users):totable(),
         tk.no_grad(model.rank, model, users, prepared):totable(), 'ranking')
  end)

  it('refuses another kind of independence', function()
    assert.matches('option sim_kind: rank is not distance, cosine or mi',
                   fixtures.message(recipe.complete, recipe, {sim_kind = 'rank'}), 1, true)
  end)
end)
