--- KGCN: an item is what its neighbourhood in the knowledge graph is, weighted by what this user
--- cares about. Equation numbers are the paper's.
local tk = require 'tinykg'

local KGCN = tk.nn.class('KGCN')

--- Ids h steps away, and each user's weight of the edges there: softmax over k of
--- g(u, r) = mean(u * r) (eq. 1, 2), divided by k since the code means over neighbours (eq. 3).
function KGCN:receptive_field(u, items)
  local ids, attention = {items}, {}
  for h = 1, self.hops do
    local relations = self.neighbor_relations:gather(ids[h]):reshape(u:size(1), -1)
    local pi = tk.edge_dot(u, self.relations.weight, relations) / self.dim
    attention[h] = pi:reshape(-1, self.neighbors):softmax() / self.neighbors
    ids[h + 1] = self.neighbor_tails:gather(ids[h]):reshape(-1)
  end
  return ids, attention
end

--- agg(v, v_S(v)): eq. 4 (sum), 5 (concat), 6 (neighbor).
function KGCN:aggregate(layer, own, around)
  local x = self.aggregator == 'sum' and own + around
    or self.aggregator == 'concat' and tk.cat({own, around}, 2) or around
  return layer(self.drop(x))
end

--- Algorithm 1: user vectors [n, d] and user-specific item vectors [n, d].
function KGCN:vectors(users, items)
  local u = self.users(users)
  local ids, attention = self:receptive_field(u, items)
  local v = {}
  for h = 1, self.hops + 1 do v[h] = self.entities(ids[h]) end
  for i = 1, self.hops do
    local last, nearer = i == self.hops, {}
    for h = 1, self.hops - i + 1 do
      local around = tk.mix(attention[h], v[h + 1])
      local x = self:aggregate(self.layers[i], v[h], around)
      nearer[h] = last and x:tanh() or x:relu()
    end
    v = nearer
  end
  return u, v[1]
end

--- Logits of pairs, [n] (eq. 7; the sigmoid is in the loss).
function KGCN:score(users, items) return tk.dot(self:vectors(users, items)) end

--- Cross-entropy of labels; without labels, of known items (1) and drawn ones (0) (eq. 8).
function KGCN:loss(batch)
  if batch.labels then return tk.loss.bce(self:score(batch.users, batch.items), batch.labels) end
  local positive = self:score(batch.users, batch.items)
  local users = {}
  for k = 1, batch.negatives:size(2) do users[k] = batch.users:reshape(-1, 1) end
  local negative = self:score(tk.cat(users, 2):reshape(-1), batch.negatives:reshape(-1))
  return (-positive):softplus():mean() + negative:softplus():mean()
end

--- Attention of the user over the item's neighbourhood.
function KGCN:explain(users, items) return tk.edges.sampled(self, users, items) end

local AGGREGATORS = {sum = 1, concat = 2, neighbor = 1}

return tk.recipe{
  name = 'KGCN',
  source = 'Wang et al., Knowledge Graph Convolutional Networks for Recommender Systems, WWW 2019; '
    .. 'defaults of the authors\' code for music',
  options = {
    {'dim', 16, 'size of embeddings'},
    {'neighbors', 8, 'neighbours drawn for each entity'},
    {'hops', 1, 'depth of the receptive field'},
    {'aggregator', 'sum', 'sum, concat or neighbor'},
    {'dropout', 0, 'of the aggregators\' inputs, while training'},
    {'lr', 5e-4, 'learning rate of Adam'},
    {'l2', 1e-4, 'weight of 1/2 |parameters|^2'},
    {'batch_size', 128, 'interactions a step'},
    {'epochs', 10, 'passes over the training interactions'},
    {'patience', 0, 'epochs without improvement before training stops; 0 = never'},
  },
  presets = {
    music = {},
    book = {dim = 64, neighbors = 8, hops = 1, batch_size = 256, l2 = 2e-5, lr = 2e-4},
    movie = {dim = 32, neighbors = 4, hops = 2, batch_size = 65536, l2 = 1e-7, lr = 2e-2},
  },
  build = function(data, o)
    local inputs = AGGREGATORS[o.aggregator]
    if not inputs then
      error('option aggregator: ' .. o.aggregator .. ' is not sum, concat or neighbor', 0)
    end
    local self = setmetatable({dim = o.dim, hops = o.hops, neighbors = o.neighbors,
                               aggregator = o.aggregator}, KGCN)
    -- drawn once for every entity, as in the paper's code
    self.neighbor_tails, self.neighbor_relations =
      tk.graph(data, {undirected = true, one_way = true}):neighborhood(o.neighbors)
    self.users = tk.nn.Embedding(data.users, o.dim)
    self.entities = tk.nn.Embedding(data.entities, o.dim)
    self.relations = tk.nn.Embedding(data.relations + 1, o.dim) -- + 1: entities without an edge
    self.drop = tk.nn.Dropout(o.dropout)
    self.layers = {}
    for i = 1, o.hops do self.layers[i] = tk.nn.Linear(inputs * o.dim, o.dim) end
    return self
  end,
}
