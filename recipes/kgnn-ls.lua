--- KGNN-LS: KGCN with label smoothness: what a user thinks of items spreads along the same weighted
--- edges, and must foretell what the user thinks of the one held out. Equation numbers are the
--- paper's; files are hwwang55/KGNN-LS's below src/, whose computation this is, evaluation apart
--- (AUC and F1 of a whole part; train.py:91-100: means over full batches).
local tk = require 'tinykg'

local KGNNLS = tk.nn.class('KGNN-LS')

--- Ids h steps away, and each user's weights of the edges there (eq. 1): softmax over k of
--- mean(u * r), divided by k since the program means over neighbours (aggregators.py:48-55).
function KGNNLS:receptive_field(u, items)
  local ids, weights = {items}, {}
  for h = 1, self.hops do
    local relations = self.neighbor_relations:gather(ids[h]):reshape(u:size(1), -1)
    local s = tk.relation_score(u, self.relations.weight, relations) / self.dim
    weights[h] = s:reshape(-1, self.neighbors):softmax() / self.neighbors
    ids[h + 1] = self.neighbor_tails:gather(ids[h]):reshape(-1)
  end
  return ids, weights
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

--- The label that spreads to each item from those around it, its own held out wherever it appears
--- (eq. 8, 9; model.py:105-150), [n]: known labels stay as they are, others start at 1/2.
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

--- Cross-entropy of scores and, by ls_weight, of propagated labels, taken as logits as the
--- program does (eq. 10; model.py:165).
function KGNNLS:loss_of(users, items, labels)
  local u = self.users(users)
  local ids, weights = self:receptive_field(u, items)
  local loss = tk.loss.bce(tk.dot(u, self:embed(ids, weights)), labels)
  if self.ls_weight == 0 then return loss end
  return loss + tk.loss.bce(self:propagate(users, ids, weights), labels) * self.ls_weight
end

--- Over labels; without labels, over known items (1) and over drawn ones (0).
function KGNNLS:loss(batch)
  return tk.loss.pointwise(batch, function(...) return self:loss_of(...) end)
end

--- Logits of pairs, [n].
function KGNNLS:score(users, items)
  local u = self.users(users)
  return tk.dot(u, self:embed(self:receptive_field(u, items)))
end

--- Attention of the user over the item's neighbourhood.
function KGNNLS:explain(users, items) return tk.edges.sampled(self, users, items) end

return tk.recipe{
  name = 'KGNN-LS',
  source = 'Wang et al., Knowledge-aware Graph Neural Networks with Label Smoothness '
    .. 'Regularization for Recommender Systems, KDD 2019; defaults of its program for music',
  options = {
    {'dim', 16, 'size of embeddings'},
    {'neighbors', 8, 'neighbours drawn for each entity'},
    {'replacement', true, 'entities of fewer: with replacement; false: each equally often'},
    {'hops', 1, 'depth of the receptive field'},
    {'ls_weight', 0.1, 'weight of label smoothness in the loss'},
    {'lr', 5e-4, 'learning rate of Adam'},
    {'l2', 1e-4, 'weight of 1/2 |parameters|^2'},
    {'l2_biases', false, 'whether l2 covers biases'},
    {'batch_size', 128, 'interactions a step'},
    {'drop_last', true, 'leave out an epoch\'s last batch where it is not full'},
    {'epochs', 10, 'passes over the training interactions'},
    {'patience', 0, 'epochs without improvement before training stops; 0 = never'},
  },
  presets = { -- main.py:38-47, 13-21, 26-34, 51-60
    music = {},
    movie = {dim = 32, neighbors = 16, batch_size = 65536, l2 = 1e-7, ls_weight = 1, lr = 2e-2},
    book = {dim = 64, hops = 2, batch_size = 256, l2 = 2e-5, ls_weight = 0.5, lr = 2e-4},
    restaurant = {dim = 8, neighbors = 4, hops = 2, batch_size = 65536, l2 = 1e-7, ls_weight = 0.5,
                  lr = 2e-2},
  },
  optimizer = function(o) -- TensorFlow 1's (model.py:169); biases have no L2 there (:158-161)
    return tk.optim.adam{lr = o.lr, eps_hat = 1e-8, weight_decay = o.l2,
                         decay_rank = o.l2_biases and 0 or 2, bits = o.optimizer_bits}
  end,
  build = function(data, o)
    local graph = tk.graph(data, {undirected = true, one_way = true})
    local tails, relations = graph:neighborhood(o.neighbors, {replacement = o.replacement})
    local self = setmetatable({
      dim = o.dim, hops = o.hops, neighbors = o.neighbors, ls_weight = o.ls_weight, layers = {},
      labels = tk.graph(data, {of = 'labels'}), -- drawn where the data has none
      neighbor_tails = tails, neighbor_relations = relations, -- drawn once (data_loader.py:88-104)
      users = tk.nn.Embedding(data.users, o.dim),
      entities = tk.nn.Embedding(data.entities, o.dim),
      relations = tk.nn.Embedding(data.relations + 1, o.dim), -- + 1: entities without an edge
    }, KGNNLS)
    for i = 1, o.hops do self.layers[i] = tk.nn.Linear(o.dim, o.dim) end
    return self
  end,
}
