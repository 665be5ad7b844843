-- Steps over enough rows and edges that every kernel shares its work among threads: what they give
-- with four threads is what they give with one, and make check-tsan sees no race in them.
local tk = require 'tinykg'

local NODES, EDGES, RELATIONS, DIM, BATCH = 20000, 60000, 5, 16, 8192

--- A graph with a hub: one node in a twentieth of all edges.
local function graph()
  local heads, tails, relations = {}, {}, {}
  for i = 1, EDGES do
    heads[i] = i % 20 == 0 and 1 or (i * 7919) % NODES
    tails[i], relations[i] = (i * 104729) % NODES, i % RELATIONS
  end
  return tk.graph{head = heads, tail = tails, relation = relations, nodes = NODES,
                  relations = RELATIONS}
end

local function ids(factor)
  local list = {}
  for i = 1, BATCH do list[i] = (i * factor) % NODES end
  return tk.ids(list)
end

--- Two steps of a model that has each kind of op. Returns the losses and a sum of all parameters.
local function trained(g, threads, bits, optimizer)
  tk.threads(threads)
  tk.seed(5)
  local e, u = tk.nn.Embedding(NODES, DIM), tk.nn.Embedding(NODES, DIM)
  local r, l = tk.nn.Embedding(RELATIONS + 1, DIM), tk.nn.Linear(DIM, DIM)
  local users, items = ids(31), ids(37)
  local step = tk.step(function()
    local x = e.weight
    local weights = g:softmax(g:dot(x, x))
    local h = g:aggregate(x, {relation = r.weight}) + g:aggregate(x, {weight = weights:detach()}) +
      g:aggregate(x, {reduce = 'max'})
    h = l(h):relu():dropout(0.1):normalize()
    local near, by = g:sample(items, 4)
    local w = tk.relation_score(u(users), r.weight, by):softmax()
    local mixed = tk.neighbor_sum(w, x:gather(near:reshape(-1)))
    local score = tk.dot(u(users), h:gather(items) + mixed)
    return score:softplus():mean() + x:softmax():square():mean() + x:log_softmax():mean() * 0.01
  end, {optimizer = optimizer(), bits = bits})
  local sums = {step(), step()}
  for _, weight in ipairs{e.weight, u.weight, r.weight, l.weight} do
    sums[#sums + 1] = weight:abs():sum():item()
  end
  return sums
end

describe('large steps on four threads', function()
  local g = graph()
  for _, case in ipairs{
    {32, 'Adam', tk.optim.adam}, {2, '8-bit Adam', function() return tk.optim.adam{bits = 8} end},
    {4, 'Adagrad', tk.optim.adagrad},
    {8, 'SGD', function() return tk.optim.sgd{lr = 0.1, momentum = 0.9} end},
  } do
    it(('%d bits, %s'):format(case[1], case[2]), function()
      assert.same(trained(g, 1, case[1], case[3]), trained(g, 4, case[1], case[3]))
    end)
  end
end)
