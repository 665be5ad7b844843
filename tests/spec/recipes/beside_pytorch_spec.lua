-- The programs of PyTorch and PyG that the benchmarks compare with compute what we compute: loss
-- and gradients of a step, in each of their forms. Skipped where there is no PyTorch.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local power_law = require 'tinykg.bench.power_law'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'
local train = require 'tinykg.train'

local SIZES = {users = 60, items = 50, entities = 90, relations = 3, interactions = 600,
               triples = 300, seed = 1}
local ROWS = 40

--- ROWS ids below n, or others for another `salt`.
local function ids(n, salt)
  local list = {}
  for k = 1, ROWS do list[k] = (k * k * 7 + salt * 13 * k) % n end
  return tk.ids(list)
end

local function labels()
  local list = {}
  for k = 1, ROWS do list[k] = k % 3 % 2 end
  return tk.tensor(list)
end

local function interactions(model)
  return {loss = {model.loss, {users = ids(SIZES.users, 1), items = ids(SIZES.items, 2),
                               negatives = ids(SIZES.items, 3)}}}
end

--- What is compared: options of ours, the other program's, kinds of step with their batches, what
--- the model drew once by the other's names.
local MODELS = {
  kgat = {
    write = power_law.write_kgat, forms = {'csr', 'coo', 'pyg', 'messages'},
    options = {dim = 16, relation_dim = 16, layers = '16,8', dropout = 0, l2 = 1e-3},
    words = '--dim 16 --layers 16,8 --dropout 0 --l2 1e-3 --valid 0 --no-loops',
    kinds = function(model)
      local nodes, relations = model.graph.nodes, model.graph.relations
      return {cf = interactions(model).loss,
              kg = {model.kg_loss, {heads = ids(nodes, 1), relations = ids(relations, 2),
                                    tails = ids(nodes, 3), negatives = ids(nodes, 4)}}}
    end,
  },
  kgin = {
    write = power_law.write_kgat, forms = {'csr', 'coo', 'index', 'pyg', 'messages'},
    options = {dim = 16, hops = 2, dropout = 0, node_dropout = 0, l2 = 1e-3, sim_weight = 0.1},
    words = '--dim 16 --layers 2 --dropout 0 --node-dropout 0 --l2 1e-3 --sim-weight 0.1 --valid 0',
    kinds = interactions,
  },
  kgcn = {
    write = power_law.write_kgcn, forms = {'plain'},
    options = {dim = 16, hops = 2, neighbors = 4},
    words = '--dim 16 --hops 2 --neighbors 4 --l2-form decay --forms plain',
    kinds = function(model)
      return {loss = {model.loss, {users = ids(SIZES.users, 1), items = ids(SIZES.items, 2),
                                   labels = labels()}}}
    end,
    drawn = function(model)
      return {adj_entity = model.field.tails, adj_relation = model.field.relations}
    end,
  },
}

--- Our steps, in FOLDER/step.safetensors as pytorch_agree.py reads it. build: makes the same model
--- each time, whose parameters have no gradients yet.
local function write_steps(m, build, folder)
  local model, all = build(), {}
  for _, p in ipairs(model:named_parameters()) do all['p.' .. p.name] = p.tensor end
  for key, t in pairs(m.drawn and m.drawn(model) or {}) do all['c.' .. key] = t end
  for kind in pairs(m.kinds(model)) do
    local own = build()
    local loss, batch = unpack(m.kinds(own)[kind])
    for field, t in pairs(batch) do all[('b.%s.%s'):format(kind, field)] = t end
    all['l.' .. kind] = loss(own, batch):backward()
    for _, p in ipairs(own:named_parameters()) do
      all[('g.%s.%s'):format(kind, p.name)] = p.tensor.grad
    end
  end
  tk.save(folder .. '/step.safetensors', all)
end

local python, why

describe('beside PyTorch', function()
  setup(function() python, why = require('tests.bench.pytorch').python{install = false} end)
  teardown(fixtures.clean)

  for name, m in pairs(MODELS) do
    it(name .. ' has the same loss and gradients', function()
      if not python then return pending(why) end
      local dir = fixtures.dir()
      m.write(dir .. '/data', SIZES)
      local recipe = dofile('recipes/' .. name .. '.lua')
      local data = tk.data.load(dir .. '/data',
                                {seed = 0, valid_ratio = m.forms[1] ~= 'plain' and 0 or nil})
      write_steps(m, function()
        tk.seed(1)
        return train.build(recipe, data, recipe:complete(m.options)):train()
      end, dir)
      local command = '%s tests/bench/pytorch_agree.py %s %s --data %s/data %s'
      local text = shell.gives(0, command:format(python, name, dir, dir, m.words))
      local seen = {}
      for line in text:gmatch('{[^\n]*}') do
        local r = json.decode(line)
        seen[r.form] = true
        if not r.missing then
          assert.is_true(math.abs(r.loss - r.ours) < 1e-5 * math.abs(r.ours), line)
          assert.is_true(r.gradients < 1e-4, line)
        end
      end
      for _, form in ipairs(m.forms) do assert.is_true(seen[form], form .. ': ' .. text) end
    end)
  end
end)
