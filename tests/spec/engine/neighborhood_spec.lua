-- The pass neighborhood: of the layer below a batch's rows only those are computed that the batch
-- reaches, and the numbers are those of the whole.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local N, D, EDGES = 2600, 8, 4000
local random = reference.random(11)
local drawn = tensors.drawn_from(random)
local flat = tensors.flat

local function number(n) return math.floor(random() * n) end

local function random_graph()
  local h, r, t = {}, {}, {}
  for k = 1, EDGES do h[k], r[k], t[k] = number(N), number(3), number(N) end
  return tk.graph{head = h, relation = r, tail = t, nodes = N, relations = 3, inverse = true}
end
local graph, other = random_graph(), random_graph()

local HEADS = N - 50
local taken = (function() -- by other nodes than it leads to
  local h, t = {}, {}
  for k = 1, EDGES do h[k], t[k] = number(HEADS), number(N) end
  return tk.graph{head = h, tail = t, nodes = {HEADS, N}}
end)()
local ITEMS = 900
local USERS = tk.ids{1, 77, 2020, 77}
local taken_items = (function() -- of which nodes are the first
  local h, t = {}, {}
  for k = 1, EDGES do h[k], t[k] = number(HEADS), number(ITEMS) end
  return tk.graph{head = h, tail = t, nodes = {HEADS, ITEMS}}
end)()
local weights = tk.tensor(drawn.parameter(graph.edges, 1):reshape(graph.edges):totable())

local X, B = drawn.parameter(N, D), drawn.parameter(1, D)
local W, V = drawn.parameter(D, D), drawn.parameter(D, D)
local R = drawn.parameter(6, D)
local PARAMETERS = {X, B, W, V, R}
local BATCH = tk.ids{3, 499, 0, 3, 2517, 8, 3, 20}

--- Loss and gradients of fn, with the pass or without; and the step.
local function run(fn, rows, options)
  local o = {rows = rows, small = 0}
  for key, value in pairs(options or {}) do o[key] = value end
  tk.seed(4)
  local step = tk.step(fn, o)
  local out = {(step())}
  for _, p in ipairs(PARAMETERS) do
    if p.grad then for _, v in ipairs(flat(p.grad)) do out[#out + 1] = v end end
  end
  return out, step
end

local function sum(x) return graph:weighted(weights):aggregate(x) end
local function loss(x) return (x * x:sigmoid()):sum() end

--- KGAT's layer: two products of a node and its neighbours' sum.
local function bi(x)
  local y = sum(x)
  return (((x + y):matmul(W) + B):leaky_relu() + (x * y):matmul(V):leaky_relu()):dropout(.2)
end

local function count(step, op)
  local n = 0
  for _ in step:program():gmatch(' ' .. op .. ' ') do n = n + 1 end
  return n
end

--- Lines of products that leave out rows: they read three values.
local function products(step)
  local n = 0
  for _ in step:program():gmatch(' matmul +%d+ %d+ %d+ ') do n = n + 1 end
  return n
end

local function two_layers()
  local x = bi(X)
  return loss(tk.cat({bi(x), x:normalize(), X}, 2):gather(BATCH))
end

local function three_layers()
  local x = bi(X)
  local y = bi(x)
  return loss(tk.cat({bi(y):normalize(), y, x}, 2):gather(BATCH))
end

describe('neighborhood', function()
  for name, model in pairs{['two layers'] = two_layers, ['three layers'] = three_layers} do
    it(name .. ': values and gradients are those of the whole', function()
      local want, whole = run(model, false)
      local got, step = run(model, true)
      tensors.near(want, got, 1e-5, name, true)
      assert.equal(0, count(whole, 'neighborhood'))
      assert.equal(1, count(step, 'aggregate_where'))
      assert.equal(6, products(step)) -- forward, to weights, to rows, of two each
    end)
  end

  it('is the same on any number of threads, kept exactly or in few bits', function()
    for _, bits in ipairs{32, 2} do
      local first
      for _, threads in ipairs{1, 2, 3} do
        tk.threads(threads)
        local got = run(three_layers, true, {bits = bits})
        first = first or got
        assert.same(first, got)
      end
      tk.threads(0)
    end
  end)

  it('keeps as little as the whole, but for the ids of the batch', function()
    local _, whole = run(three_layers, false, {bits = 2})
    local _, step = run(three_layers, true, {bits = 2})
    assert.is_true(step:figure 'stored_bytes' <= whole:figure 'stored_bytes')
    assert.is_true(step:figure 'arena_bytes' <= whole:figure 'arena_bytes' + 3 * 4 * N)
  end)

  it('sums again from codes where a recipe asks for it', function()
    local function model()
      local x = (X * 2):tanh()
      for k = 1, 3 do
        local y = graph:aggregate(x, {recompute = k < 3})
        x = ((x + y):matmul(W):tanh() + (x * y):matmul(V):tanh())
      end
      return loss(x:gather(BATCH))
    end
    local want = run(model, false)
    local got, step = run(model, true)
    tensors.near(want, got, 1e-4, 'recomputed', true)
    local _, coded = run(model, true, {bits = 8})
    assert.equal(2, count(step, 'aggregate_where')) -- in forward and in backward
    assert.equal(2, count(coded, 'aggregate_where'))
  end)

  it('leaves nothing out where somebody reads the whole', function()
    local function model(also)
      return function()
        local x = bi(bi(X))
        return loss(bi(x):gather(BATCH)) + also(x)
      end
    end
    local function one_more(x) return x:gather(BATCH):sum() end
    local want, _ = run(model(one_more), false)
    local got, step = run(model(one_more), true)
    tensors.near(want, got, 1e-4, 'one more', true)
    assert.equal(1, count(step, 'aggregate_where'))
    local ids = tk.ids{1, 2}
    for name, also in pairs{
      all = function(x) return x:square():sum() end,
      gather = function(x) return x:gather(ids):sum() end,
      compared = function(x) return (x:gather(ids):gt(0) * X:gather(ids)):sum() end,
    } do
      want = run(model(also), false)
      got, step = run(model(also), true)
      tensors.near(want, got, 1e-4, name, true)
      assert.equal(0, count(step, 'aggregate_where'), name)
    end
  end)

  it('joins what several batches and graphs read', function()
    local ids = tk.ids{1, 2}
    for name, also in pairs{
      batch = function(x) return sum(x):gather(ids):sum() end,
      ['batch, compared'] = function(x) return (sum(x):gather(ids):gt(0) * B):sum() end,
      ['graph, compared'] = function(x)
        return (other:aggregate(x):gather(BATCH):gt(0) * B):sum()
      end,
      graph = function(x) return other:aggregate(x):gather(BATCH):sum() end,
    } do
      local function model()
        local x = bi(bi(X))
        return loss(bi(x):gather(BATCH)) + also(x)
      end
      local want = run(model, false)
      local got, step = run(model, true)
      tensors.near(want, got, 1e-4, name, true)
      assert.equal(1, count(step, 'aggregate_where'), name)
    end
  end)

  --- KGIN's hops: users take the first ITEMS nodes, whose vectors are sums over relations.
  local function hops(o)
    return function()
      local kg, users, more = graph, tk.zeros(1, D), 0
      local takes = taken_items
      if o.dropout then kg, takes = kg:dropout(.5), takes:dropout(.4) end
      if o.weighted then kg = kg:weighted(weights) end
      local x, nodes = X, X
      for k = 1, o.hops do
        if o.from and k == o.hops then
          more = loss(takes:aggregate(x:rows(o.from, o.from + ITEMS - 1)):gather(USERS))
        end
        users = users + takes:aggregate(x:rows(1, ITEMS)):normalize()
        x = kg:aggregate(x, {message = 'mul', relation = R, reduce = o.reduce})
        if o.product then x = x:matmul(W):tanh() end
        x = x:dropout(.1):normalize()
        nodes = nodes + x
      end
      local reads = nodes:gather(BATCH)
      if o.other then reads = reads + nodes:gather(tk.ids{9, 9, 1, 2, 4, 1, 3, 2599}) end
      return loss(reads) + loss(users:gather(o.users or USERS)) + more
    end
  end

  for name, o in pairs{
    ['as in KGIN'] = {hops = 3, dropout = true, reduce = 'mean'},
    ['without dropout of edges'] = {hops = 3, weighted = true, reduce = 'mean'},
    ['with products, sums'] = {hops = 2, dropout = true, product = true},
    ['of two batches'] = {hops = 3, dropout = true, reduce = 'mean', other = true},
    ['of one user'] = {hops = 2, dropout = true, users = tk.ids{7}},
  } do
    it('gives edges of heads that nobody reads no weight, ' .. name, function()
      local want, whole = run(hops(o), false)
      local got, step = run(hops(o), true)
      tensors.near(want, got, 1e-5, name, true)
      assert.equal(0, count(whole, 'edge_where'))
      assert.equal(2, count(step, 'edge_where')) -- in forward, and again in backward
      for _, bits in ipairs{32, 2} do
        tk.threads(1)
        local first = run(hops(o), true, {bits = bits})
        tk.threads(3)
        assert.same(first, (run(hops(o), true, {bits = bits})))
        tk.threads(0)
      end
    end)
  end

  it('does not take rows behind the first for the first', function()
    local o = {hops = 3, dropout = true, from = 101}
    local want = run(hops(o), false)
    local got, step = run(hops(o), true)
    tensors.near(want, got, 1e-5, 'from 101', true)
    assert.equal(0, count(step, 'edge_where'))
  end)

  it('knows dropped edges by number, whichever way they are gone through', function()
    local function model()
      local back = graph:transpose():dropout(.5)
      local x = (X + back:aggregate(X)):matmul(W):tanh()
      x = (x + back:aggregate(x)):matmul(V):tanh()
      return loss((x + back:aggregate(x)):gather(BATCH))
    end
    local want = run(model, false)
    local got, step = run(model, true)
    tensors.near(want, got, 1e-5, 'backward', true)
    assert.equal(1, count(step, 'aggregate_where'))
  end)

  it('reads every row where a user may have taken any', function()
    local all = {}
    for k = 1, 2000 do all[k] = k end
    local o = {hops = 3, dropout = true, users = tk.ids(all)}
    local want = run(hops(o), false)
    local got, step = run(hops(o), true)
    tensors.near(want, got, 1e-5, 'many', true)
    assert.equal(0, count(step, 'edge_where'))
  end)

  it('does not take ids of heads for those of tails', function()
    local function model(also)
      return function()
        local x = bi(X)
        return loss(tk.cat({taken:aggregate(x), taken:aggregate(X)}, 2):gather(BATCH)) + also(x)
      end
    end
    for name, also in pairs{
      none = function() return 0 end,
      gathered = function(x) return (x:gather(BATCH) * W):sum() end,
      compared = function(x) return (x:gather(BATCH):gt(0) * B):sum() end,
    } do
      local want = run(model(also), false)
      local got, step = run(model(also), true)
      tensors.near(want, got, 1e-4, name, true)
      assert.equal(name == 'none' and 1 or 0, count(step, 'aggregate_where'), name)
    end
  end)

  it('leaves nothing out of what is returned', function()
    local function model()
      local x = bi(bi(X))
      return loss(bi(x):gather(BATCH)), x
    end
    local steps = {}
    for i, rows in ipairs{false, true} do
      tk.seed(4)
      steps[i] = {tk.step(model, {rows = rows})()}
    end
    tensors.near(flat(steps[1][2]), flat(steps[2][2]), 1e-6, 'returned', true)
  end)

  it('leaves out nothing that is not finite for zeros', function()
    local function model()
      local x = ((sum(X) + X):matmul(W) * B):square():log()
      return loss(sum(x):gather(BATCH))
    end
    tensors.near(run(model, false), run(model, true), 1e-4, 'logarithm', true)
  end)

  it('reads a parameter of 16 bits', function()
    local x = tk.parameter(X:clone(), {bits = 16})
    local step = tk.step(function() return loss(sum(sum(x):tanh()):gather(BATCH)) end)
    local whole = tk.step(function() return loss(sum(sum(x):tanh()):gather(BATCH)) end,
                          {rows = false})
    assert.equal(whole(), (step()))
    assert.equal(1, count(step, 'aggregate_where'))
    assert.equal(0, count(step, 'widen'))
  end)

  it('is looked for in time where ids are made of each other', function()
    local step = tk.step(function()
      local ids = BATCH
      for _ = 1, 60 do ids = tk.cat({ids, ids}, 1):narrow(1, 2, 8) end
      return loss(sum(sum(X):tanh()):gather(ids))
    end)
    assert.is_true(step() == step())
  end)

  it('is not asked for where a batch is likely to reach most', function()
    local ids = {}
    for k = 1, 1200 do ids[k] = (7 * k) % N end
    local _, step = run(function() return loss(bi(bi(X)):gather(tk.ids(ids))) end, true)
    assert.equal(0, count(step, 'neighborhood'))
  end)

  it('agrees with the whole in models of any ops', function()
    local ROWS = { -- of one value, or of two
      function(x) return x * 2 - 1 end, function(x) return x:tanh() end,
      function(x) return x:leaky_relu() end, function(x) return x:sigmoid() end,
      function(x) return x:normalize() end, function(x) return x:matmul(W) end,
      function(x) return x + B end, function(x) return x:dropout(.3) end,
      function(x) return (x:square() + 1):log() end, function(x) return x:softmax() end,
      function(x) return x:elu() end, function(x) return sum(x) end,
      function(x) return x:softplus() end, function(x) return x:clamp(-.5, .7) end,
      function(x) return x:sin() end, function(x, y) return tk.where(x:gt(y), x, B) end,
      function(x, y) return x + y end, function(x, y) return x * y end,
      function(x, y) return x - y end, function(x, y) return x / (y:square() + 1) end,
      function(x, y) return tk.cat({x, y}, 2):narrow(2, 3, D) end,
      function(x, y) return x:matmul(V) * y:sigmoid() end,
      function(x)
        return graph:weighted(weights):aggregate(x, {message = 'mul', relation = R})
      end,
      function(x)
        return graph:dropout(.5):aggregate(x, {message = 'mul', relation = R, reduce = 'mean'})
      end,
    }
    local where, wanted, masked = 0, 0, 0
    for k = 1, 80 do
      local picks = {}
      for i = 1, 9 do picks[i] = {ROWS[number(#ROWS) + 1], random(), random()} end
      local reads, top, compares = number(3), number(4), random() < .2
      local first = random() < .7 and 1 or 100
      local function model()
        local values = {X, sum(X)}
        local function any(share) -- for the most part late ones
          return values[#values - math.floor(share * share * math.min(#values, 4))]
        end
        for i, p in ipairs(picks) do
          if i == 5 then values[#values + 1] = sum(values[#values]) end
          values[#values + 1] = p[1](any(p[2]), any(p[3]))
        end
        local last = values[#values]
        local read = {(top == 0 and taken:aggregate(last) or top == 1 and other:aggregate(last)
          or sum(last)):gather(BATCH)}
        local more = top < 3 and 0
          or loss(taken_items:dropout(.5):aggregate(last:rows(first, first + ITEMS - 1))
            :gather(USERS))
        for i = 1, reads do read[i + 1] = any(picks[i][2]):gather(BATCH) end
        if compares then read[#read + 1] = any(0):gather(BATCH):gt(0) * B end
        return loss(tk.cat(read, 2)) + more
      end
      local want = run(model, false)
      local got, step = run(model, true)
      tensors.near(want, got, 1e-4, 'model ' .. k, true)
      wanted = wanted + (step:program():find ' aggregate_where ' and 1 or 0)
      masked = masked + count(step, 'edge_where')
      where = where + products(step)
    end
    assert.is_true(wanted > 10 and where > 20 and masked > 5,
                   ('%d sums, %d products, %d masks'):format(wanted, where, masked))
  end)
end)
