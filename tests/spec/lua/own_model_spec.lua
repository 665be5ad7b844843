-- Models that somebody writes: what other libraries allow and this one does not is an error in one
-- line, never another number; and what is trained is saved.
local fixtures = require 'tests.support.fixtures'
local tensors = require 'tests.support.tensors'
local tk = require 'tinykg'
local train = require 'tinykg.train'

local function refuses(expected, fn)
  local message = fixtures.message(fn)
  assert.truthy(message:find(expected, 1, true), message)
  assert.matches('^tests/spec/lua/own_model_spec.lua:%d+: ', message)
end

describe('an argument too many', function()
  it('of another library is refused: it would not do what it does there', function()
    local x = tk.ones(3, 3)
    refuses('softmax: argument 1 is 1, but it takes none', function() x:softmax(1) end)
    refuses('log_softmax: argument 1 is -1, but', function() x:log_softmax(-1) end)
    refuses('mean: argument 2 is a boolean, but all it takes is dim',
            function() x:mean(2, true) end)
    refuses('sum: argument 2 is a boolean', function() x:sum(2, true) end)
    refuses('transpose: argument 1 is 1', function() x:transpose(1, 2) end)
    refuses('normalize: argument 2 is 1, but all it takes is eps',
            function() x:normalize(.5, 1) end)
    refuses('dropout: argument 2 is a boolean', function() x:dropout(.5, true) end)
    refuses('cat: argument 3 is 1, but all it takes is list, dim',
            function() tk.cat({x, x}, 1, 1) end)
    refuses('loss.bpr: argument 4 is 1', function() tk.loss.bpr(x, x, nil, 1) end)
    refuses('nn.Dropout: argument 2 is a boolean', function() tk.nn.Dropout(.5, true) end)
  end)

  it('that is nil, or may be another result of a call, is none', function()
    local x = tk.ones(3, 3)
    assert.equal(9, x:sum(nil, nil):item())
    assert.equal(3, tk.dot(unpack{x, x, x}):totable()[1])
    local path = fixtures.dir() .. '/x.npy'
    tk.save(path, x)
    assert.equal(9, tk.load(path:gsub('y$', 'y')):sum():item())
    fixtures.clean()
  end)

  it('is the exponent of a norm, or a dimension, in normalize', function()
    refuses('normalize: eps 2 is not below 1', function() tk.ones(2, 2):normalize(2) end)
    refuses('normalize: eps nan is not below 1', function() tk.ones(2, 2):normalize(0 / 0) end)
  end)

  it('is checked in options whose types fill two lines', function()
    refuses('optim.adam: options.lazy is 1, expected true or false', function()
      tk.optim.adam{lazy = 1}
    end)
    local g = tk.graph{head = {0}, tail = {1}, nodes = 2}
    refuses('aggregate: o.recompute is a string', function()
      g:aggregate(tk.ones(2, 2), {recompute = 'yes'})
    end)
  end)

  it('is no table of options if it is a tensor', function()
    local g = tk.graph{head = {0, 1}, tail = {1, 2}, nodes = 3}
    refuses('softmax: expected a table of options (merged), not a tensor',
            function() g:softmax(tk.ones(2), tk.ids{0, 1}) end)
    refuses('aggregate: expected a table of options', function()
      g:aggregate(tk.ones(3, 2), tk.ones(2))
    end)
  end)
end)

describe('a loss', function()
  -- -logsigmoid(p[:, None] - n).mean() of torch 2.15 in float64
  local POSITIVE, NEGATIVE, GOLDEN = {1, -1}, {{0, 2}, {-1, 0.5}}, 1.0052709583947859

  it('of BPR compares row by row, or not at all', function()
    local p, n = tk.tensor(POSITIVE), tk.tensor(NEGATIVE)
    assert.near(GOLDEN, tk.loss.bpr(p:reshape(-1, 1), n):item(), 1e-6)
    assert.near(GOLDEN, tk.loss.bpr(p:reshape(-1, 1), n, tk.ones(2)):item(), 1e-6)
    for _, positive in ipairs{p, p:reshape(1, 2), p:reshape(2, 1, 1)} do
      refuses('would not be compared row by row: reshape one',
              function() tk.loss.bpr(positive, n) end)
    end
    assert.near(math.log(2), tk.loss.bpr(tk.full(3), tk.full(3, 4)):item(), 1e-6)
    assert.near(math.log(2), tk.loss.bpr(tk.ones(2, 3), tk.ones(2, 3)):item(), 1e-6)
  end)

  it('of interactions says which rows of sampled items it expects', function()
    local u, table_of = tk.ones(2, 4), tk.ones(9, 4)
    refuses('rows [2, 3, 4] of sampled items for users [2, 4]: expected [n k, d]', function()
      tk.loss.interactions(u, u, table_of:gather(tk.ids{{1, 2, 3}, {4, 5, 6}}))
    end)
    refuses('rows [3, 4] of sampled items', function()
      tk.loss.interactions(u, u, table_of:gather(tk.ids{1, 2, 3}))
    end)
  end)
end)

describe('a message', function()
  it('names the function that was called, and what to do', function()
    local g = tk.graph{head = {0, 1}, tail = {1, 2}, nodes = 3}
    for name, call in pairs{
      sample = function() g:sample(tk.ids{0}, 2) end,
      sample_triples = function() g:sample_triples(4) end,
      edge_relations = function() g:edge_relations() end,
      negatives = function() g:negatives(tk.ids{0}, tk.ids{0}) end,
      neighborhood = function() g:neighborhood(2, {replacement = true}) end,
      normalized = function() g:normalized('relation') end,
      aggregate = function()
        g:aggregate(tk.ones(3, 2), {relation = tk.ones(1, 2), message = 'add'})
      end,
    } do
      refuses(name .. ': this graph has no relations: make it with relation = ids', call)
    end
    refuses('mean: dimension 5 of a tensor with 2', function() tk.ones(2, 2):mean(5) end)
  end)
end)

describe('R-GCN with bases', function()
  -- sum(tanh(y)^2), y[h] = sum over edges of x[t] W[r] / (edges of h by r), W[r] = sum_b mix[r, b]
  -- V[b], and its gradients, by torch 2.15 in float64 from a W for each relation
  local LOSS = 5.02036056314037
  local GRADIENTS = {
    {{0.009377366491371593, -0.016254101918377426}, {-0.08501965149669898, 0.1534821326037416},
     {-0.398337475339582, 0.8592990896639641}, {-0.38652058138507284, 1.1141521225691497}},
    {{0.8883789481770362, -1.021441770137092}, {0.14066292747965536, -0.10565499492440315}},
    {{-0.41402707192016197, 0.20132515133487075}, {-0.7519627009025155, 0.24247323769858056},
     {0.3770526133670118, -0.09447165043481495}, {0.21656995506788138, -0.13805522610546517}}}

  it('is what PyTorch computes, and keeps relations of edges once', function()
    local g = tk.graph{head = {0, 0, 1, 1, 3, 3}, relation = {0, 1, 0, 0, 1, 0},
                       tail = {1, 2, 2, 3, 0, 3}, nodes = 4, relations = 2}:normalized('relation')
    local x = tk.parameter(tk.tensor{{1, -2}, {0.5, 3}, {-1, 1}, {2, 0.25}})
    local mix = tk.parameter(tk.tensor{{1, -0.5}, {0.25, 2}})
    local bases = tk.parameter(tk.tensor{{1, 0.5}, {-1, 2}, {0, 1}, {1.5, -0.5}})
    local function layer()
      local parts = {}
      for b = 1, 2 do
        local weight = mix:narrow(2, b, 1):reshape(-1):gather(g:edge_relations())
        parts[b] = g:aggregate(x, {weight = weight})
      end
      return tk.cat(parts, 2):matmul(bases):tanh():square():sum()
    end
    local step = tk.step(layer)
    for _ = 1, 3 do assert.near(LOSS, step(), 1e-5) end
    for i, w in ipairs{x, mix, bases} do
      tensors.near(tensors.flat(GRADIENTS[i]), tensors.flat(w.grad:totable()), 1e-5, 'gradient')
    end
    local ids = 0
    for _, value in ipairs(step:kept()) do
      if value.shape[#value.shape] == 6 and value.rule == 'exact' then ids = ids + 1 end
    end
    assert.equal(1, ids)
    layer():backward() -- outside of steps
    tensors.near(tensors.flat(GRADIENTS[2]), tensors.flat(mix.grad:totable()), 1e-5, 'gradient')
  end)
end)

describe('a recipe of one\'s own', function()
  local Model, data = tk.nn.class('Own'), nil
  function Model:loss(batch)
    local u, i = self.users(batch.users), self.items(batch.items)
    local j = self.items(batch.negatives:reshape(-1))
    if self.hidden then u = u:matmul(self.hidden()) end
    return tk.loss.interactions(u, i, j)
  end
  function Model:score(users, items) return tk.dot(self.users(users), self.items(items)) end

  setup(function()
    local rows = {'user,item'}
    for u = 1, 12 do
      for i = 0, 7 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 17) end
    end
    data = tk.data.load(fixtures.dir{['interactions.csv'] = rows,
                                     ['kg.csv'] = {'head,relation,tail', 'book 1,by,Woolf'}})
  end)
  teardown(fixtures.clean)

  --- Losses of three epochs of a model that `change` has changed.
  local function losses(change, options)
    tk.seed(1)
    local list = {}
    local recipe = tk.recipe{name = 'Own', build = function(d)
      local m = {users = tk.nn.Embedding(d.users, 4), items = tk.nn.Embedding(d.items, 4)}
      change(m)
      return setmetatable(m, Model)
    end}
    local o = {epochs = 3, batch_size = 16}
    for key, value in pairs(options or {}) do o[key] = value end
    train.run(recipe, data, recipe:complete(o), {quiet = true, on_epoch = function(record)
      list[#list + 1] = record.loss
    end})
    return list
  end

  it('has options that can be given', function()
    local function recipe(...)
      local options = {...}
      return function()
        local made = tk.recipe{name = 'Own', build = function() end, options = options}
        return made
      end
    end
    refuses('recipe Own: option size is there twice', recipe({'size', 1, 'a'}, {'size', 2, 'b'}))
    refuses('option sizes: its default is a table', recipe{'sizes', {64, 32}, 'a list'})
    refuses('option kind: its default, a, is not among its values',
            recipe{'kind', 'a', 'of what', {'b', 'c'}})
    assert.equal('64,32', recipe{'sizes', '64,32', 'a list'}():complete{}.sizes)
  end)

  it('says in which line batches are asked for wrongly', function()
    refuses("batches: no option 'negative': did you mean negatives?", function()
      data:batches{negative = 1}
    end)
    refuses('batches: size 0: a positive integer', function() data:batches{size = 0} end)
    refuses('batches: seed a: an integer from 0', function() data:batches{seed = 'a'} end)
    refuses('batches: epoch -1: an integer from 0', function() data:batches{epoch = -1} end)
    refuses('batches: skip 0.5: an integer from 0', function() data:batches{skip = 0.5} end)
    refuses("batches: split 'all': train", function() data:batches{split = 'all'} end)
    refuses("positives: part 'all': train", function() data:positives('all') end)
  end)

  it('trains a parameter of two names once', function()
    local function tied(m) m.again, m.also = m.items.weight, {m.users.weight} end
    local function same() end
    for _, options in ipairs{{}, {ema = 0.9}, {accumulate = 2}, {ema = 0.9, accumulate = 2}} do
      assert.same(losses(same, options), losses(tied, options))
    end
    local layer = tk.nn.Linear(2, 3)
    local module = setmetatable({one = layer, two = layer.weight, list = {layer.bias}}, Model)
    assert.equal(2, #module:parameters())
  end)

  it('sets values itself, as parameters without a gradient: the best epoch has them', function()
    local function counting(m)
      m.count = tk.parameter(tk.zeros(1))
      m.on_epoch = function(self) self.count:copy(self.count + 1) end
      m.loss = function(self, batch) return Model.loss(self, batch) + self.count:detach():sum() end
    end
    local recipe = tk.recipe{name = 'Own', build = function(d)
      local m = {users = tk.nn.Embedding(d.users, 4), items = tk.nn.Embedding(d.items, 4)}
      counting(m)
      return setmetatable(m, Model)
    end, metrics = {early = function(model) return -model.count:item() end}}
    local result = train.run(recipe, data, recipe:complete{epochs = 3, batch_size = 16,
                                                           metric = 'early'}, {quiet = true})
    assert.equal(1, result.best_epoch)
    assert.equal(0, result.test.early)
    assert.equal(0, result.model.count:item())
  end)

  it('may not train what would not be saved', function()
    local w = tk.parameter(tk.ones(4, 4))
    local what = 'a parameter [4, 4] is trained, but no field of the model leads to it'
    local function closure(m) m.hidden = function() return w end end
    local function anew(m) m.hidden = function() return tk.parameter(tk.ones(4, 4)) end end
    for _, options in ipairs{{}, {accumulate = 2}} do
      refuses(what, function() losses(closure, options) end)
      refuses(what, function() losses(anew, options) end)
    end
    local trains = losses(function(m)
      closure(m)
      m.w = w
    end)
    assert.equal(3, #trains)
  end)

  it('is told what its functions should have returned', function()
    local function with(name, fn)
      return function() losses(function(m) m[name] = fn end) end
    end
    refuses('score: returned nothing, expected ', with('score', function() end))
    refuses('rank: returned nothing, expected ', with('rank', function() end))
    refuses('prepare: returned a number, expected a tensor or a table of tensors',
            with('prepare', function() return 3 end))
    refuses("on_epoch: record.x is a tensor, expected a number: item() gives a tensor's",
            with('on_epoch', function(_, record) record.x = tk.ones(1) end))
  end)
end)
