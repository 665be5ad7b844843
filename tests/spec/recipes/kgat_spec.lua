-- KGAT against numbers of the project's float64 program (tests/golden/kgat.json): attention, final
-- rows, scores, every loss term and every gradient, for three aggregators.
local tk = require 'tinykg'
local files = require 'tests.support.golden'
local fixtures = require 'tests.support.fixtures'
local flat = require('tests.support.tensors').flat

local golden, near = files.read('kgat'), files.near
local recipe = dofile('recipes/kgat.lua')
local R = golden.sizes.kg_relations

--- Maps a relation of the golden file (0 user -> item, 1 item -> user, 2 + r, 5 + r) to ours.
local function ours(relation)
  if relation == 0 then return R end
  if relation == 1 then return 2 * R + 1 end
  return relation < 2 + R and relation - 2 or relation - 2 - R + R + 1
end

--- Reorders rows by golden relations into our order.
local function by_relation(rows)
  local out = {}
  for i, row in ipairs(rows) do out[ours(i - 1) + 1] = row end
  return out
end

describe('KGAT', function()
  local data
  setup(function()
    local taken, g = golden.interactions, golden.triples
    data = files.data(golden.sizes, taken.users, taken.items, {g.heads, g.relations, g.tails},
                      {'0 6'})
  end)
  teardown(fixtures.clean)

  local AGGREGATORS = {['bi-interaction'] = 'bi', gcn = 'gcn', graphsage = 'graphsage'}

  local function write(t, rows) t:write(flat(rows)) end

  local function model_of(case, parallel)
    local s = golden.sizes
    local o = recipe:complete{
      dim = s.dim, relation_dim = s.relation_dim, layers = table.concat(s.layers, ','),
      aggregator = AGGREGATORS[case], loops = true, l2 = s.cf_l2, kg_l2 = s.kg_l2, dropout = 0,
      parallel = parallel}
    local model = recipe.build(data, o)
    local p = golden.parameters
    write(model.nodes.weight, p.embeddings)
    write(model.relations.weight, by_relation(p.relations))
    write(model.projections, by_relation(p.transform))
    for name, rows in pairs(golden.cases[case].parameters) do
      local part, layer, what = name:match('^(%a+)_(%d)%.(%a+)$')
      part = part == 'linear' and 'sum' or part
      write(model.layers[layer + 1][part][what], rows)
    end
    return model
  end

  --- Compares values of edges with the golden ones, edge by edge.
  local function compare_edges(want, model, got, what)
    local e, index, mine = model.graph:triples(), {}, {}
    assert.equal(#golden.graph.heads, e.n)
    for p = 0, e.n - 1 do
      index[('%d %d %d'):format(e.heads[p], e.relations[p], e.tails[p])] = p
    end
    local values = got:values()
    for k, h in ipairs(golden.graph.heads) do
      local p = index[('%d %d %d'):format(h, ours(golden.graph.relations[k]),
                                          golden.graph.tails[k])]
      mine[k] = values[assert(p)]
    end
    near(want, mine, what)
  end

  --- Compares the summed weights of all edges between a head and a tail with the golden ones.
  local function compare_pairs(want, model, got, what)
    local e, sums, mine = model.graph:triples(), {}, {}
    local values = got:values()
    for p = 0, e.n - 1 do
      local key = e.heads[p] .. ' ' .. e.tails[p]
      sums[key] = (sums[key] or 0) + values[p]
    end
    for k, h in ipairs(want.heads) do mine[k] = sums[h .. ' ' .. want.tails[k]] end
    near(want.weights, mine, what)
  end

  it('has the golden graph and attention', function()
    local model = model_of('gcn')
    compare_edges(golden.attention.initial, model, model.attention.weights, 'first weights')
    compare_edges(golden.attention.scores, model, tk.no_grad(function()
      return model.attention:scores(model.nodes.weight, model.projections, model.relations.weight)
    end), 'scores')
    tk.no_grad(model.update_attention, model)
    compare_pairs(golden.attention.merged, model, model.attention.weights, 'attention')
    model = model_of('gcn', 'apart')
    tk.no_grad(model.update_attention, model)
    compare_edges(golden.attention.apart, model, model.attention.weights,
                  'attention, each edge for itself')
    assert.matches('option parallel: both is not merged or apart',
                   fixtures.message(model_of, 'gcn', 'both'))
  end)

  it('gives edges of one head and tail equal shares of their weight', function()
    local model = model_of('gcn')
    tk.no_grad(model.update_attention, model)
    local e, pi, seen = model.graph:triples(), model.attention.weights:values(), 0
    for p = 1, e.n - 1 do
      if e.heads[p] == e.heads[p - 1] and e.tails[p] == e.tails[p - 1] then
        assert.near(pi[p - 1], pi[p], 1e-6)
        seen = seen + 1
      end
    end
    assert.equal(3, seen) -- (0, 7) and (7, 0); (9, 9) in both directions
  end)

  --- Compares the gradients that a step without an optimizer leaves with the golden ones.
  local function gradients(model, want, what)
    for name, rows in pairs(want) do
      local part, layer, field = name:match('^(%a+)_(%d)%.(%a+)$')
      local parameter
      if name == 'embeddings' then parameter = model.nodes.weight
      elseif name == 'relations' then parameter, rows = model.relations.weight, by_relation(rows)
      elseif name == 'transform' then parameter, rows = model.projections, by_relation(rows)
      else parameter = model.layers[layer + 1][part == 'linear' and 'sum' or part][field] end
      near(rows, parameter.grad:totable(), what .. ': gradient of ' .. name)
    end
  end

  local function batch() return files.batch(golden.batch) end

  for case in pairs(AGGREGATORS) do
    it('follows the golden numbers: ' .. case, function()
      for _, stage in ipairs{'initial', 'merged', 'apart'} do
        local model = model_of(case, stage ~= 'initial' and stage or nil)
        local want = golden.cases[case].results[stage]
        if stage ~= 'initial' then tk.no_grad(model.update_attention, model) end
        local rows = want.representations
        local final = tk.no_grad(function() return tk.cat(model:node_embeddings(), 2) end)
        near({rows.entities, rows.users}, final:totable(), stage .. ': final rows')
        local everyone = tk.ids{0, 1, 2, 3, 4}
        near(want.scores, tk.no_grad(model.rank, model, everyone):totable(), 'scores')
        for _, bits in ipairs{32, 2} do
          local step = tk.step(function(b) return model:loss(b) end, {bits = bits, small = 0})
          near(want.cf.total.loss, step(batch()), 'loss at ' .. bits .. ' bits')
          if bits == 32 then gradients(model, want.cf.total.gradients, stage) end
        end
        model.l2 = 0
        local step = tk.step(function(b) return model:loss(b) end)
        near(want.cf.ranking.loss, step(batch()), 'ranking loss')
        gradients(model, want.cf.ranking.gradients, stage .. ', ranking')
      end
    end)
  end

  it('learns the graph by TransR', function()
    local b, model = golden.kg_batch, model_of('gcn')
    local relations = {}
    for k, r in ipairs(b.relations) do relations[k] = ours(r) end
    local kg = {heads = tk.ids(b.heads), relations = tk.ids(relations), tails = tk.ids(b.tails),
                negatives = tk.ids(b.negatives)}
    local step = tk.step(function() return model:kg_loss(kg) end)
    near(golden.kg.total.loss, step(), 'loss')
    gradients(model, golden.kg.total.gradients, 'total')
    model.kg_l2 = 0
    step = tk.step(function() return model:kg_loss(kg) end)
    near(golden.kg.ranking.loss, step(), 'ranking loss')
    gradients(model, golden.kg.ranking.gradients, 'ranking')
  end)

  it('initializes as KGAT-pytorch does', function()
    local model = recipe.build(data, recipe:complete{layers = '50', dim = 40, relation_dim = 30})
    local function bounds(t, bound, what)
      local largest, sum, list = 0, 0, flat(t:totable())
      for _, x in ipairs(list) do
        largest, sum = math.max(largest, math.abs(x)), sum + x * x
      end
      assert.is_true(largest <= bound and largest > 0.9 * bound, what .. ' ' .. largest)
      assert.near(bound ^ 2 / 3, sum / #list, 0.4 * bound ^ 2 / 3, what) -- uniform
    end
    local relations, nodes = model.graph.relations, model.graph.nodes
    bounds(model.nodes.weight, math.sqrt(6 / (nodes + 40)), 'nodes')
    bounds(model.relations.weight, math.sqrt(6 / (relations + 30)), 'relations')
    -- torch counts [R, d, k] as d k inputs and R k outputs
    bounds(model.projections, math.sqrt(6 / (40 * 30 + relations * 30)), 'projections')
    bounds(model.layers[1].sum.weight, math.sqrt(6 / (40 + 50)), 'layers')
    bounds(model.layers[1].sum.bias, 1 / math.sqrt(40), 'biases')
  end)

  it('starts from a trained BPR-MF', function()
    local mf = dofile('recipes/bpr-mf.lua')
    local from = mf.build(data, mf:complete{dim = 6})
    local path = fixtures.dir() .. '/best.safetensors'
    tk.save(path, from:state())
    local o = {dim = 6, pretrain = path}
    local model = recipe.build(data, recipe:complete(o))
    local rows = model.nodes.weight:totable()
    assert.same(from.items.weight:totable()[7], rows[7])
    assert.same(from.users.weight:totable()[5], rows[golden.sizes.entities + 5])
    o.dim = 5
    assert.matches('has no users.weight %[5, 5%] but one %[5, 6%]',
                   fixtures.message(recipe.build, data, recipe:complete(o)))
  end)
end)
