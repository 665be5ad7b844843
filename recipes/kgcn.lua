--- KGCN: an item is made of its neighbourhood in the knowledge graph, weighted by how much the user
--- cares for each relation. Equation numbers are the paper's; files are hwwang55/KGCN's below src/,
--- whose computation this is. AUC and F1 are those of a whole part; there they are means over its
--- full batches (train.py:74-83). The program does not read data without labels.
local tk = require 'tinykg'

local KGCN = tk.nn.class('KGCN')

--- Ids h steps away, and each user's attention to the edges there: softmax over k of
--- g(u, r) = mean(u * r) (eq. 1, 2), divided by k since the program means over neighbours (eq. 3;
--- aggregators.py:47-54).
function KGCN:receptive_field(u, items)
  return self.field:expand(items, self.hops, function(relations)
    local g = tk.relation_score(u, self.relations.weight, relations) / self.dim
    return g:reshape(-1, self.neighbors):softmax() / self.neighbors
  end)
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
      local around = tk.neighbor_sum(attention[h], v[h + 1])
      local x = self:aggregate(self.layers[i], v[h], around)
      nearer[h] = last and x:tanh() or x:relu()
    end
    v = nearer
  end
  return u, v[1]
end

--- Logits of pairs, [n] (eq. 7; the sigmoid is in the loss).
function KGCN:score(users, items) return tk.dot(self:vectors(users, items)) end

--- Cross-entropy of labels; without labels, of known items (1) plus of sampled ones (0) (eq. 8).
function KGCN:loss(batch)
  return tk.loss.pointwise(batch, function(users, items, ...)
    return tk.loss.bce(self:score(users, items), ...)
  end)
end

--- Attention of the user to the item's neighbourhood.
function KGCN:explain(users, items) return tk.edges.sampled(self, users, items) end

return tk.recipe{
  name = 'KGCN',
  source = 'Wang et al., Knowledge Graph Convolutional Networks for Recommender Systems, WWW 2019; '
    .. 'defaults of its program for music',
  options = {
    {'dim', 16, 'size of embeddings'},
    {'neighbors', 8, 'sampled neighbours of each entity'},
    {'replacement', true, 'entities of fewer: with replacement; false: each equally often'},
    {'hops', 1, 'depth of the receptive field'},
    {'aggregator', 'sum', 'of an entity and its neighbours', {'sum', 'concat', 'neighbor'}},
    {'dropout', 0, 'of the aggregators\' inputs, while training'},
    {'l2', 1e-4, 'weight of 1/2 |parameters|^2'},
    {'l2_biases', false, 'whether l2 covers biases'}, -- the program: false (model.py:106-109)
    {'drop_last', true}, {'lr', 5e-4}, {'batch_size', 128}, {'epochs', 10}, {'patience', 0},
  },
  presets = { -- main.py:38-50, 24-36 (3 hops, where the paper has 1), 12-22
    music = {},
    book = {dim = 64, neighbors = 8, hops = 3, batch_size = 256, l2 = 2e-5, lr = 2e-4},
    movie = {dim = 32, neighbors = 4, hops = 2, batch_size = 65536, l2 = 1e-7, lr = 2e-2},
  },
  optimizer = {eps_hat = 1e-8}, -- TensorFlow 1's Adam (model.py:112)
  build = function(data, o)
    local graph = tk.graph(data, {undirected = true, one_way = true})
    local self = setmetatable({
      dim = o.dim, hops = o.hops, neighbors = o.neighbors, aggregator = o.aggregator, layers = {},
      -- sampled once (data_loader.py:90-106)
      field = graph:receptive_field(o.neighbors, {replacement = o.replacement}),
      users = tk.nn.Embedding(data.users, o.dim),
      entities = tk.nn.Embedding(data.entities, o.dim),
      relations = tk.nn.Embedding(data.relations + 1, o.dim), -- + 1: entities without an edge
      drop = tk.nn.Dropout(o.dropout),
    }, KGCN)
    local inputs = o.aggregator == 'concat' and 2 * o.dim or o.dim
    for i = 1, o.hops do self.layers[i] = tk.nn.Linear(inputs, o.dim) end
    return self
  end,
}
