--- KGNN-LS: KGCN with label smoothness: a user's labels of items spread along the same weighted
--- edges, and are to predict the one that is held out. Equation numbers are the paper's; files are
--- hwwang55/KGNN-LS's below src/, whose computation this is, except for evaluation (AUC and F1 are
--- those of a whole part; train.py:91-100 has means over full batches).
local tk = require 'tinykg'

local KGNNLS = tk.nn.class('KGNN-LS')

--- Ids h steps away, and each user's weights of the edges there (eq. 1): softmax over k of
--- mean(u * r), divided by k since the program means over neighbours (aggregators.py:48-55).
function KGNNLS:receptive_field(u, items)
  return self.field:expand(items, self.hops, function(relations)
    local s = tk.relation_score(u, self.relations.weight, relations) / self.dim
    return s:reshape(-1, self.neighbors):softmax() / self.neighbors
  end)
end

--- The item as this user sees it (eq. 3, 4), [n, d].
function KGNNLS:embed(ids, weights)
  local v = {}
  for h = 1, self.hops + 1 do v[h] = self.entities(ids[h]) end
  for i = 1, self.hops do
    for h = 1, self.hops - i + 1 do -- each in turn reads what is one step further out
      local x = self.layers[i](v[h] + tk.neighbor_sum(weights[h], v[h + 1]))
      v[h] = i == self.hops and x:tanh() or x:relu()
    end
  end
  return v[1]
end

--- The label that spreads to each item from those around it, [n]. Its own is held out wherever it
--- appears (eq. 8, 9; model.py:105-150). Known labels stay as they are, others start at 1/2.
function KGNNLS:propagate(users, ids, weights)
  local y, known, n = {}, {}, users:size(1)
  for h = 1, self.hops + 1 do
    local around = ids[h]:reshape(n, -1)
    local label = (self.labels:lookup(users, around, 0.5) - 0.5) * (1 - tk.equal(around, ids[1]))
    y[h], known[h] = label + 0.5, label:square() * 4
  end
  for i = 1, self.hops do
    for h = 1, self.hops - i + 1 do
      local spread = tk.dot(weights[h], y[h + 1]:reshape(-1, self.neighbors)):reshape(n, -1)
      y[h] = known[h] * y[h] + (1 - known[h]) * spread
    end
  end
  return y[1]:reshape(-1)
end

--- Cross-entropy of scores and, by ls_weight, of propagated labels, taken as logits as the program
--- does (eq. 10; model.py:165); without labels, of known items (1) plus of sampled ones (0).
function KGNNLS:loss(batch)
  return tk.loss.pointwise(batch, function(users, items, ...)
    local u = self.users(users)
    local ids, weights = self:receptive_field(u, items)
    local loss = tk.loss.bce(tk.dot(u, self:embed(ids, weights)), ...)
    if self.ls_weight == 0 then return loss end
    return loss + tk.loss.bce(self:propagate(users, ids, weights), ...) * self.ls_weight
  end)
end

--- Logits of pairs, [n].
function KGNNLS:score(users, items)
  local u = self.users(users)
  return tk.dot(u, self:embed(self:receptive_field(u, items)))
end

--- Attention of the user to the item's neighbourhood.
function KGNNLS:explain(users, items) return tk.edges.sampled(self, users, items) end

return tk.recipe{
  name = 'KGNN-LS',
  source = 'Wang et al., Knowledge-aware Graph Neural Networks with Label Smoothness '
    .. 'Regularization for Recommender Systems, KDD 2019; defaults of its program for music',
  options = {
    {'dim', 16, 'size of embeddings'},
    {'neighbors', 8, 'sampled neighbours of each entity'},
    {'replacement', true, 'entities of fewer: with replacement; false: each equally often'},
    {'hops', 1, 'depth of the receptive field'},
    {'ls_weight', 0.1, 'weight of label smoothness in the loss'},
    {'l2', 1e-4, 'weight of 1/2 |parameters|^2'},
    {'l2_biases', false, 'whether l2 covers biases'}, -- the program: false (model.py:158-161)
    {'drop_last', true}, {'lr', 5e-4}, {'batch_size', 128}, {'epochs', 10}, {'patience', 0},
  },
  presets = { -- main.py:38-47, 13-21, 26-34, 51-60
    music = {},
    movie = {dim = 32, neighbors = 16, batch_size = 65536, l2 = 1e-7, ls_weight = 1, lr = 2e-2},
    book = {dim = 64, hops = 2, batch_size = 256, l2 = 2e-5, ls_weight = 0.5, lr = 2e-4},
    restaurant = {dim = 8, neighbors = 4, hops = 2, batch_size = 65536, l2 = 1e-7, ls_weight = 0.5,
                  lr = 2e-2},
  },
  optimizer = {eps_hat = 1e-8}, -- TensorFlow 1's Adam (model.py:169)
  build = function(data, o)
    local graph = tk.graph(data, {undirected = true, one_way = true})
    local self = setmetatable({
      dim = o.dim, hops = o.hops, neighbors = o.neighbors, ls_weight = o.ls_weight, layers = {},
      -- sampled once (data_loader.py:88-104)
      field = graph:receptive_field(o.neighbors, {replacement = o.replacement}),
      labels = tk.graph(data, {of = 'labels'}), -- sampled where the data has none
      users = tk.nn.Embedding(data.users, o.dim),
      entities = tk.nn.Embedding(data.entities, o.dim),
      relations = tk.nn.Embedding(data.relations + 1, o.dim), -- + 1: entities without an edge
    }, KGNNLS)
    for i = 1, o.hops do self.layers[i] = tk.nn.Linear(o.dim, o.dim) end
    return self
  end,
}
