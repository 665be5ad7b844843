-- Recipes beside the published programs: 30 training steps, optimizer and all, give the losses that
-- the programs' transcriptions have in double precision (tests/golden/steps.py). What is sampled
-- before training is sampled as in the programs.
local tk = require 'tinykg'
local arrays = require 'tests.support.arrays'
local files = require 'tests.support.golden'
local fixtures = require 'tests.support.fixtures'
local flat = require('tests.support.tensors').flat
local datasets = require 'tests.support.odd_datasets'
local train = require 'tinykg.train'

local golden = files.read('steps')

-- ---- the golden data set ----

--- Makes the set labelled data: known items have label 1, disliked ones 0.
local function label(data)
  local users, items, labels = {}, {}, {}
  for value, list in pairs{[0] = golden.disliked, golden.interactions} do
    for k, u in ipairs(list[1]) do
      users[#users + 1], items[#items + 1], labels[#labels + 1] = u, list[2][k], value
    end
  end
  data.train, data.task = {n = #users, users = arrays.of('int32_t', users),
                           items = arrays.of('int32_t', items),
                           labels = arrays.of('float', labels)}, 'ctr'
end

local function golden_data(labelled)
  local data = files.data(golden.sizes, golden.interactions[1], golden.interactions[2],
                          golden.triples, {'4 6'})
  if labelled then label(data) end
  return data
end

-- ---- a model with the golden start ----

--- Functions by recipe that replace what it sampled once by the golden samples.
local given = {}

function given.kgcn(model, drawn)
  model.field.tails, model.field.relations = tk.ids(drawn.tails), tk.ids(drawn.relations)
end
given['kgnn-ls'] = given.kgcn

function given.ripplenet(model, drawn)
  for hop, set in ipairs(model.ripples) do
    for column in pairs(set) do set[column] = tk.ids(drawn[('%s.%d'):format(column, hop)]) end
  end
end

function given.ckan(model, drawn)
  for _, of in ipairs{'users', 'items'} do
    for hop, set in ipairs(model['of_' .. of]) do
      for column in pairs(set) do
        set[column] = tk.ids(drawn[('%s.%s.%d'):format(of, column, hop)])
      end
    end
  end
end

--- Batches of triples come with those of interactions.
function given.cke(model)
  model.kg = {edges = model.kg.edges, sample_triples = function() return model.given end}
end
given.cfkg = given.cke

--- SGL's views: weights of the edges that stay, by the degrees in the view.
function given.sgl(model, drawn)
  local heads, tails = model.graph:heads():totable(), model.graph:tails():totable()
  for v = 1, 2 do
    local stays, degree, weights = drawn[('view.%d.1'):format(v)], {}, {}
    for e, x in ipairs(stays) do degree[heads[e]] = (degree[heads[e]] or 0) + x end
    for e, x in ipairs(stays) do
      weights[e] = x > 0 and 1 / math.sqrt(degree[heads[e]] * degree[tails[e]]) or 0
    end
    model.views[v] = {tk.tensor(weights)}
  end
end

--- KGAT's attention is computed from the parameters from the first step on.
function given.kgat(model) tk.no_grad(model.update_attention, model) end

--- KGCL's views of one epoch; its triples come with the batches.
function given.kgcl(model, drawn)
  for v, view in ipairs(model.views) do
    view.mask, view.scale = tk.tensor(drawn['mask.' .. v]), tk.tensor(drawn['scale.' .. v])
  end
  model.kg = {sample_triples = function() return model.given end}
  model.kg_size = #golden.cases.kgcl.batches[1].kg_heads
end

--- DiffKG's triples: those of the given graph, and those that its denoised rows keep.
function given.diffkg(model, drawn)
  model.some = tk.tensor(drawn.some)
  model.drawn:copy(tk.no_grad(model.draw, model))
  assert.same(drawn.drawn, model.drawn:totable())
end

--- KGRec's random numbers, in the order in which it draws them, come with the batch.
local NUMBERS = {'some', 'pairs', 'gumbel', 'any', 'noise1', 'noise2', 'order'}

local function with_numbers(model, batch)
  local random, at = tk.random, 0
  tk.random = function()
    at = at + 1
    return batch[NUMBERS[at]]
  end
  local ok, loss = pcall(model.loss, model, batch)
  tk.random = random
  return ok and loss or error(loss, 0)
end

--- Returns the losses that alternate in a recipe's steps, in their order, and the learning rate of
--- each, if it is not the option's.
local function losses_of(recipe, model, o)
  local list = {{fn = function(batch)
    return recipe == 'kgrec' and with_numbers(model, batch) or model:loss(batch)
  end}}
  if recipe == 'diffkg' then
    table.insert(list, 1, {fn = function(b) return model:diffusion_loss(b.diffusion) end})
  end
  if model.kg_loss and recipe ~= 'cke' then
    list[2] = {fn = function() return model:kg_loss(model.given) end, lr = o.kg_lr}
  end
  return list
end

local ONE_OPTIMIZER = {ktup = true, kgcl = true} -- of both of their parts

local function golden_model(case)
  local recipe = datasets.recipe(case.recipe)
  local options = recipe:complete(case.options)
  local data = golden_data(case.batches[1].labels ~= nil)
  data.features = case.drawn.texts and tk.tensor(case.drawn.texts) -- CoLaKG's frozen vectors
  local model = recipe.build(data, options):train()
  local state = model:state()
  for name, values in pairs(case.parameters) do state[name]:write(flat(values)) end
  if given[case.recipe] then given[case.recipe](model, case.drawn) end
  local steps = losses_of(case.recipe, model, options)
  local optimizer
  for k, loss in ipairs(steps) do
    local shared = ONE_OPTIMIZER[case.recipe] and optimizer
    optimizer = shared or recipe.optimizer(fixtures.merged(options, {lr = loss.lr}))
    steps[k] = tk.step(loss.fn, {optimizer = optimizer})
  end
  return model, steps
end

local function tensors(batch)
  local b = {users = tk.ids(batch.users), items = tk.ids(batch.items),
             labels = batch.labels and tk.tensor(batch.labels),
             negatives = batch.negatives and tk.ids(batch.negatives):reshape(-1, 1):keep()}
  local kg = {}
  for _, column in ipairs{'heads', 'relations', 'tails', 'negatives'} do
    kg[column] = batch['kg_' .. column] and tk.ids(batch['kg_' .. column])
  end
  b.diffusion = batch.diffusion_ids and {ids = tk.ids(batch.diffusion_ids),
    given = {steps = tk.ids(batch.diffusion_steps), noise = tk.tensor(batch.diffusion_noise)}}
  kg.counts = batch.kg_counts and tk.tensor(batch.kg_counts)
  for _, name in ipairs(batch.some and NUMBERS or {}) do b[name] = tk.tensor(batch[name]) end
  return b, kg
end

describe('steps of a recipe have the losses of the published program:', function()
  teardown(fixtures.clean)

  for name, case in pairs(golden.cases) do
    it(name, function()
      local model, steps = golden_model(case)
      for k, batch in ipairs(case.batches) do
        local b
        b, model.given = tensors(batch)
        if case.recipe == 'mcclk' then tk.no_grad(model.begin_epoch, model) end -- there, in steps
        for part, want in ipairs(flat{case.losses[k]}) do
          local loss = steps[part](b)
          if math.abs(loss - want) > 2e-6 * math.abs(want) then
            error(('step %d: %.9g, the program has %.9g'):format(k, loss, want), 0)
          end
        end
      end
    end)
  end
end)

-- ---- samples before training ----

local function most(t)
  local largest = 0
  for _, x in ipairs(flat(t:totable())) do largest = math.max(largest, math.abs(x)) end
  return largest
end

--- Uniform in +- bound: of many numbers the largest is just below.
local function within(bound, t)
  assert.is_true(most(t) <= bound * (1 + 1e-6) and most(t) > 0.97 * bound,
                 ('%g in +-%g'):format(most(t), bound))
end

describe('tables start as in the published program:', function()
  teardown(fixtures.clean)

  it('users and entities of KGIN as one', function()
    local data, recipe = datasets.demo(), datasets.recipe('kgin')
    local model = recipe.build(data, recipe:complete{dim = 8})
    local bound = math.sqrt(6 / (data.users + data.entities + 8))
    within(bound, model.users.weight)
    within(bound, model.entities.weight)
  end)

  it('entities of CKE as [entities, 1, dim]', function()
    local data, recipe = datasets.demo(), datasets.recipe('cke')
    local model = recipe.build(data, recipe:complete{dim = 8})
    within(math.sqrt(6 / (9 * data.entities)), model.entities.weight)
    within(math.sqrt(6 / (data.items + 8)), model.items.weight)
  end)

  it('of CFKG from a normal distribution', function()
    local data, recipe = datasets.demo(), datasets.recipe('cfkg')
    local model = recipe.build(data, recipe:complete{dim = 32})
    local x, square = flat(model.nodes.weight:totable()), 0
    for _, w in ipairs(x) do square = square + w * w / #x end
    local deviation = math.sqrt(2 / (data.entities + data.users + 32))
    assert.near(deviation, math.sqrt(square), 0.05 * deviation)
    assert.is_true(most(model.nodes.weight) > 2 * deviation) -- uniform ends at 1.73
  end)
end)

--- Returns chi^2 of counts against the expected ones.
local function chi(counts, expected)
  local sum = 0
  for k, want in ipairs(expected) do sum = sum + ((counts[k] or 0) - want) ^ 2 / want end
  return sum
end

describe('samples as in the published program:', function()
  teardown(fixtures.clean)

  --- Makes a graph in which each node has `degree` edges to itself, each of another relation.
  local function stars(degree, nodes)
    local heads, relations, tails = {}, {}, {}
    for v = 0, nodes - 1 do
      for k = 1, degree do
        heads[#heads + 1], relations[#relations + 1], tails[#tails + 1] = v, k - 1, v
      end
    end
    return tk.graph{head = heads, relation = relations, tail = tails, nodes = nodes + 1,
                    relations = degree}
  end

  it('neighbours with replacement if there are fewer, else distinct ones', function()
    local nodes, k = 3000, 4
    for degree = 1, 6 do
      local tails, relations = stars(degree, nodes):neighborhood(k, {replacement = true})
      local counts, distinct, r = {}, {}, relations:totable()
      for v = 1, nodes do
        local seen, n = {}, 0
        for _, edge in ipairs(r[v]) do
          counts[edge + 1] = (counts[edge + 1] or 0) + 1
          n, seen[edge] = n + (seen[edge] and 0 or 1), true
        end
        distinct[n] = (distinct[n] or 0) + 1
      end
      local even, whole = {}, degree >= k and k or nil
      for edge = 1, degree do even[edge] = nodes * k / degree end
      assert.is_true(chi(counts, even) < 25, 'degree ' .. degree)
      if whole then assert.same({[k] = nodes}, distinct) end
      if degree == 2 then -- all four the same: 2 / 2^4
        assert.is_true(chi({distinct[1], distinct[2]}, {nodes / 8, nodes * 7 / 8}) < 11)
      elseif degree == 3 then -- 3 and 3 (2^4 - 2) of 3^4; the rest
        assert.is_true(chi(distinct, {nodes / 27, nodes * 14 / 27, nodes * 12 / 27}) < 14)
      end
      -- the last node has no edge: itself, by a relation of its own
      assert.same({nodes, nodes, nodes, nodes}, tails:totable()[nodes + 1])
      assert.same({degree, degree, degree, degree}, r[nodes + 1])
    end
  end)

  it('ripple sets with replacement if there are fewer', function()
    local graph, rows, lists = stars(2, 1), 3000, {}
    for r = 1, rows do lists[r] = {0} end
    local seeds = arrays.csr(lists)
    local sets, same = graph:ripples(seeds, 1, 4, {replacement = true})[1], 0
    for _, row in ipairs(sets.relations:totable()) do
      local sum = row[1] + row[2] + row[3] + row[4]
      if sum == 0 or sum == 4 then same = same + 1 end
    end
    assert.is_true(chi({same, rows - same}, {rows / 8, rows * 7 / 8}) < 11)
    for _, row in ipairs(graph:ripples(seeds, 1, 4)[1].relations:totable()) do -- each at least once
      local sum = row[1] + row[2] + row[3] + row[4]
      assert.is_true(sum > 0 and sum < 4)
    end
  end)

  it('triples each equally often, or heads', function()
    -- head 0 has nine edges, head 1 has one
    local heads, tails, relations = {1}, {3}, {0}
    for k = 1, 9 do heads[k + 1], tails[k + 1], relations[k + 1] = 0, k + 3, 0 end
    local graph = tk.graph{head = heads, relation = relations, tail = tails, nodes = 40,
                           relations = 1}
    local counts = {}
    for _, by in ipairs{'triples', 'heads'} do
      counts[by] = {0, 0}
      for _ = 1, 1000 do
        local sampled = tk.no_grad(function() return graph:sample_triples(1, by).heads end)
        local head = sampled:item()
        counts[by][head + 1] = counts[by][head + 1] + 1
      end
    end
    assert.is_true(chi(counts.triples, {900, 100}) < 11)
    assert.is_true(chi(counts.heads, {500, 500}) < 11)
    assert.matches("sample_triples: by 'edges': heads or triples",
                   fixtures.message(graph.sample_triples, graph, 1, 'edges'))
  end)

  it('an epoch without the last batch, if the program leaves it out', function()
    local data = datasets.demo()
    local n = data.train.n
    for name, dropped in pairs{kgcn = true, ['kgnn-ls'] = true, kgin = true, ripplenet = false,
                               kgrec = true, mcclk = true} do
      local recipe, steps = datasets.recipe(name), nil
      local o = recipe:complete{epochs = 1, batch_size = 100, dim = 4, patience = 0}
      tk.seed(1)
      train.run(recipe, data, o, {quiet = true, on_epoch = function(r) steps = r.step end})
      assert.is_true(n % 100 > 0)
      assert.equal(dropped and math.floor(n / 100) or math.ceil(n / 100), steps)
    end
  end)
end)
