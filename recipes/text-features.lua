--- CoLaKG: LightGCN whose users and items begin as an embedding beside a frozen vector of a text;
--- an item also takes from those whose texts are alike. Lines are those of ziqiangcui/CoLaKG's
--- rec_code/model.py, whose computation this is. There a matrix [items, items] of cosines is sorted
--- (main.py:25-28), here no more than the nearest are kept. Vectors are data.features. A user's is
--- the mean of those of the items taken, where the program has one of a text by a language model;
--- and without features an item's is a random projection of its triples.
local tk = require 'tinykg'

local CoLaKG = tk.nn.class('CoLaKG', tk.nn.Ranker)

--- Vectors of texts, as large as embeddings (295-298, 301-304).
local function adapted(texts, layer, drop) return drop(layer(drop(texts)):elu()) end

--- Items, and what attention by texts picks from those alike (308-335).
function CoLaKG:item_rows()
  local near, q, n = self.near, self.texts:matmul(self.query), self.query:size(2)
  local x = (self.items.weight + adapted(self.texts, self.of_items, self.drop_items)) / 2
  local of_tail, of_head = q:matmul(self.mix:rows(1, n)), q:matmul(self.mix:rows(n + 1, 2 * n))
  local scores = of_tail:reshape(-1):gather(near:tails()) + of_head:reshape(-1):gather(near:heads())
  local shares = self.drop_shares(near:softmax(scores:leaky_relu(0.2)))
  return (x + near:aggregate(x, {weight = shares}):elu()) / 2
end

--- Items, then users: the mean of layers (339-364).
function CoLaKG:node_embeddings()
  local u = (self.users.weight + adapted(self.user_texts, self.of_users, self.drop_users)) / 2
  local graph = self.training and self.graph:dropout(self.o.edge_dropout) or self.graph
  return graph:smooth(tk.cat{self:item_rows(), u}, self.o.layers)
end

--- BPR; L2 of the batch's embeddings and of its texts' rows (374-405; utils.py:35-38).
function CoLaKG:loss(batch)
  local u, i, j = self:batch_embeddings(batch)
  local l2 = tk.loss.l2(self:batch_embeddings(batch, self.users.weight, self.items.weight))
    + tk.loss.l2(self:batch_embeddings(batch, self.of_users(self.user_texts),
                                       self.of_items(self.texts)))
  return tk.loss.interactions(u, i, j, batch.labels, batch.weights) + l2 * (self.o.l2 / u:size(1))
end

function CoLaKG:explain(u, i) return tk.edges.gradient(self, {'graph'}, u, i) end

--- The frozen vectors of items, and of users, that of an item is not changed by (main.py:23-24).
local function texts_of(data, columns)
  local items = data.features
  if not items then
    data:warn 'no features.npy in its folder: random projections of triples stand for texts'
    local kg = tk.graph(data, {undirected = true})
    items = kg:aggregate(tk.randn(data.entities, columns)):rows(1, data.items):keep()
  end
  local taken = tk.graph(data, {of = 'interactions'}):normalized('row')
  return items, taken:aggregate(items):keep()
end

return tk.recipe{
  name = 'CoLaKG',
  source = 'Cui et al., Comprehending Knowledge Graphs with Large Language Models for Recommender '
    .. 'Systems, SIGIR 2025; defaults of its program (rec_code/parse.py), but 10 more validations '
    .. 'without an improvement end it',
  options = {
    {'dim', 64, 'size of embeddings'}, {'layers', 3, 'steps that they are spread'},
    {'neighbors', 10, 'items of similar text that an item takes from'},
    {'item_dropout', 0.6, 'of items\' texts'}, {'user_dropout', 0.6, 'of users\' texts'},
    {'neighbor_dropout', 0.6, 'of attention'},
    {'edge_dropout', 0.3, 'share of interactions, each way, left out of a step'},
    {'projection', 64, 'columns of the projection of triples of data without features'},
    {'l2', 1e-4, 'weight of 1/2 |embeddings|^2 and |texts\' rows|^2 of the batch'},
    {'draw', 'users', 'uniformly, one positive of each'}, -- utils.py:58-90
    {'lr', 1e-3}, {'batch_size', 2048}, {'epochs', 2000}, {'eval_every', 5}, {'patience', 10},
  },
  presets = { -- rec_code/train_*.sh
    lastfm = {edge_dropout = 0, batch_size = 1024, user_dropout = 0.2},
    ['ml-1m'] = {edge_dropout = 0, batch_size = 4096, neighbors = 30},
    mind = {edge_dropout = 0.4, batch_size = 4096},
  },
  l2 = 'in loss',
  build = function(data, o)
    local texts, user_texts = texts_of(data, o.projection)
    local columns, hidden, gain = texts:size(2), 32, 1.414 -- 227, 255-258
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    local function uniform(n, d)
      return tk.nn.Embedding(n, d, {bound = gain * math.sqrt(6 / (n + d))}).weight
    end
    return setmetatable({
      o = o, texts = texts, user_texts = user_texts, item_count = data.items,
      near = tk.graph.nearest(texts, math.min(o.neighbors, data.items - 1)),
      graph = graph:normalized('symmetric'),
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user),
      users = tk.nn.Embedding(data.users, o.dim, 0.1),
      items = tk.nn.Embedding(data.items, o.dim, 0.1),
      of_items = tk.nn.Linear(columns, o.dim, 'torch'),
      of_users = tk.nn.Linear(columns, o.dim, 'torch'),
      query = uniform(columns, hidden), mix = uniform(2 * hidden, 1),
      drop_items = tk.nn.Dropout(o.item_dropout), drop_users = tk.nn.Dropout(o.user_dropout),
      drop_shares = tk.nn.Dropout(o.neighbor_dropout),
    }, CoLaKG)
  end,
}
