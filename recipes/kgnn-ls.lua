--- KGNN-LS: KGCN with label smoothness: what a user thinks of items spreads along the same weighted
--- edges, and must foretell what he thinks of the one held out. Equation numbers are the paper's.
local tk = require 'tinykg'

local KGNNLS = tk.nn.class('KGNN-LS')

--- Ids h steps away, and each user's weights of the edges there (eq. 1): softmax over k of
--- mean(u * r), divided by k since the code means over neighbours.
function KGNNLS:receptive_field(u, items)
  local ids, weights = {items}, {}
  for h = 1, self.hops do
    local relations = self.neighbor_relations:gather(ids[h]):reshape(u:size(1), -1)
    local s = tk.edge_dot(u, self.relations.weight, relations) / self.dim
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
      local x = self.layers[i](v[h] + tk.mix(weights[h], v[h + 1]))
      v[h] = i == self.hops and x:tanh() or x:relu()
    end
  end
  return v[1]
end

--- The label that spreads to each item from those around it, its own held out wherever it appears
--- (eq. 8, 9), [n]: known labels stay as they are, others start at 1/2.
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

local function cross_entropy(logits, y) return (logits:softplus() - logits * y):mean() end

--- Cross-entropy of scores and, by ls_weight, of propagated labels, taken as logits as the code
--- does (eq. 10).
function KGNNLS:loss_of(users, items, labels)
  local u = self.users(users)
  local ids, weights = self:receptive_field(u, items)
  local loss = cross_entropy(tk.dot(u, self:embed(ids, weights)), labels)
  if self.ls_weight == 0 then return loss end
  return loss + cross_entropy(self:propagate(users, ids, weights), labels) * self.ls_weight
end

--- Over labels; without labels, over known items (1) and drawn ones (0).
function KGNNLS:loss(batch)
  if batch.labels then return self:loss_of(batch.users, batch.items, batch.labels) end
  local users = {}
  for k = 1, batch.negatives:size(2) do users[k] = batch.users:reshape(-1, 1) end
  return self:loss_of(batch.users, batch.items, 1)
    + self:loss_of(tk.cat(users, 2):reshape(-1), batch.negatives:reshape(-1), 0)
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
    .. 'Regularization for Recommender Systems, KDD 2019; defaults of the authors\' code for music',
  options = {
    {'dim', 16, 'size of embeddings'},
    {'neighbors', 8, 'neighbours drawn for each entity'},
    {'hops', 1, 'depth of the receptive field'},
    {'ls_weight', 0.1, 'weight of label smoothness in the loss'},
    {'lr', 5e-4, 'learning rate of Adam'},
    {'l2', 1e-4, 'weight of 1/2 |parameters|^2'},
    {'batch_size', 128, 'interactions a step'},
    {'epochs', 10, 'passes over the training interactions'},
    {'patience', 0, 'epochs without improvement before training stops; 0 = never'},
  },
  presets = {
    music = {},
    movie = {dim = 32, neighbors = 16, batch_size = 65536, l2 = 1e-7, ls_weight = 1, lr = 2e-2},
    book = {dim = 64, hops = 2, batch_size = 256, l2 = 2e-5, ls_weight = 0.5, lr = 2e-4},
    restaurant = {dim = 8, neighbors = 4, hops = 2, batch_size = 65536, l2 = 1e-7,
                  ls_weight = 0.5, lr = 2e-2},
  },
  build = function(data, o)
    local self = setmetatable({dim = o.dim, hops = o.hops, neighbors = o.neighbors,
                               ls_weight = o.ls_weight}, KGNNLS)
    -- drawn once for every entity, as in the paper's code
    self.neighbor_tails, self.neighbor_relations =
      tk.graph(data, {undirected = true, one_way = true}):neighborhood(o.neighbors)
    self.labels = tk.graph(data, {of = 'labels'}) -- drawn where the data has none
    self.users = tk.nn.Embedding(data.users, o.dim)
    self.entities = tk.nn.Embedding(data.entities, o.dim)
    self.relations = tk.nn.Embedding(data.relations + 1, o.dim) -- + 1: entities without an edge
    self.layers = {}
    for i = 1, o.hops do self.layers[i] = tk.nn.Linear(o.dim, o.dim) end
    return self
  end,
}
