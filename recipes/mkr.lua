--- MKR: which items a user takes, and which tail a head and relation have: cross & compress units
--- mix an item's vector with its entity's. Files and lines are hwwang55/MKR's below src/, whose
--- computation this is, but heads that are no items (its data have none) have rows among them as in
--- RecBole, and F1 replaces accuracy.
local tk = require 'tinykg'

local MKR = tk.nn.class('MKR', tk.nn.Ranker)

--- Dense layers (layers.py:33-48).
local function dense(layers, x)
  for _, layer in ipairs(layers) do x = layer(x):relu() end
  return x
end

--- Cross & compress: v e^T times weights, and its transpose times others (layers.py:64-86).
function MKR:cross(v, e)
  for _, unit in ipairs(self.units) do
    local ew, vw = e:matmul(unit.weight), v:matmul(unit.weight) -- columns: vv, ev, ve, ee
    v, e = v * ew:narrow(2, 1, 1) + e * vw:narrow(2, 2, 1) + unit.v,
      v * ew:narrow(2, 3, 1) + e * vw:narrow(2, 4, 1) + unit.e
  end
  return v, e
end

--- L2 of vectors, and of the weights of units and layers (model.py:58-61, 91, 107-116).
function MKR:l2_of(x, y, ...)
  local sum = tk.loss.l2(x, y)
  for _, layers in ipairs{self.units, ...} do
    for _, layer in ipairs(layers) do sum = sum + tk.loss.l2(layer.weight) end
  end
  return sum * self.l2
end

--- Users' and items' vectors, by whose product a pair is scored (model.py:43-56, 65-68).
function MKR:node_embeddings()
  local n = self.item_count
  return dense(self.user_layers, self.users.weight),
    (self:cross(self.items.weight:rows(1, n), self.entities.weight:rows(1, n)))
end

--- Cross-entropy of labels, or of known items (1) plus sampled ones (0); L2 (model.py:105-110).
function MKR:loss(batch)
  return tk.loss.pointwise(batch, function(users, items, ...)
    local u = dense(self.user_layers, self.users(users))
    local v = self:cross(self.items(items), self.entities(items))
    return tk.loss.bce(tk.dot(u, v), ...) + self:l2_of(u, v, self.user_layers)
  end)
end

--- Tails' vectors and predicted ones, whose product is a logit, and heads' (model.py:86-99).
function MKR:predict(heads, relations, tails)
  local _, h = self:cross(self.items(heads), self.entities(heads))
  local predicted = dense(self.head_layers, tk.cat({h, self.relations(relations)}, 2)):sigmoid()
  return dense(self.tail_layers, self.entities(tails)), predicted, h
end

--- Minus the triples' scores, and L2 for each: TensorFlow adds losses up (model.py:113-117).
function MKR:kg_loss(batch)
  local t, predicted, h = self:predict(batch.heads, batch.relations, batch.tails)
  return self:l2_of(h, t, self.tail_layers, self.head_layers) * h:size(1)
    - tk.dot(t, predicted):sigmoid():sum()
end

--- An epoch of triples after the first of interactions and then after each kg_interval-th, with an
--- Adam of its own (train.py:25-43; model.py:119-121).
function MKR:phases(_, o)
  local cf, h, r, t = {name = 'cf', loss = self.loss}, unpack(self.triples)
  return self.kg.edges == 0 and {cf} or {cf, {
    name = 'kg', rows = self.kg.edges, lr = o.kg_lr, every = o.kg_interval, loss = function(_, b)
      return self:kg_loss{heads = h:gather(b.ids), relations = r:gather(b.ids),
                          tails = t:gather(b.ids)}
    end}}
end

--- The score of each triple.
function MKR:explain()
  return tk.edges.plausible(self.kg, self.relations.n, function(...)
    return (-tk.dot(self:predict(...))):softplus()
  end)
end

return tk.recipe{
  name = 'MKR',
  source = 'Wang et al., Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation, '
    .. 'WWW 2019; defaults of its program for MovieLens-1M (src/main.py:11-21)',
  options = {
    {'dim', 8, 'size of embeddings'}, {'kg_lr', 0.01, 'learning rate of triples'},
    {'layers', 1, 'low layers: cross & compress units, and as many dense ones'},
    {'high_layers', 1, 'layers that predict a tail from a head and a relation'},
    {'kg_interval', 3, 'epochs of interactions for one of triples'},
    {'l2', 1e-6, 'weight of 1/2 |vectors|^2 of the batch, summed, and of weights'},
    {'lr', 0.02}, {'batch_size', 4096}, {'epochs', 20}, {'patience', 0},
  },
  presets = { -- main.py:11-49
    movie = {}, book = {batch_size = 32, lr = 2e-4, kg_lr = 2e-5, kg_interval = 2, epochs = 10},
    music = {dim = 4, layers = 2, batch_size = 256, lr = 1e-3, kg_lr = 2e-4, kg_interval = 2,
             epochs = 10},
  },
  l2 = 'in loss',
  optimizer = {eps_hat = 1e-8}, -- TensorFlow 1's Adam (model.py:120)
  build = function(data, o)
    local d, kg = o.dim, tk.graph(data, {one_way = true})
    local self = setmetatable({
      kg = kg, triples = {kg:heads():keep(), kg:edge_relations():keep(), kg:tails()},
      item_count = data.items, l2 = o.l2, users = tk.nn.Embedding(data.users, d),
      items = tk.nn.Embedding(data.entities, d, {bound = math.sqrt(6 / (data.items + d))}),
      entities = tk.nn.Embedding(data.entities, d), units = {}, user_layers = {}, tail_layers = {},
      relations = tk.nn.Embedding(math.max(data.relations, 1), d), head_layers = {},
    }, MKR)
    local bound = math.sqrt(6 / (d + 1)) -- of each column
    for k = 1, o.layers do
      self.units[k] = {weight = tk.nn.Embedding(d, 4, {bound = bound}).weight,
                       v = tk.parameter(tk.zeros(d)), e = tk.parameter(tk.zeros(d))}
      self.user_layers[k], self.tail_layers[k] = tk.nn.Linear(d, d), tk.nn.Linear(d, d)
    end
    for k = 1, o.high_layers - 1 do self.head_layers[k] = tk.nn.Linear(2 * d, 2 * d) end
    self.head_layers[o.high_layers] = tk.nn.Linear(2 * d, d)
    return self
  end,
}
