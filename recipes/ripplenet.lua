--- RippleNet: a user is what spreads from the items in the history along the knowledge graph, as
--- seen from the item in question. Equation numbers are the paper's; files are hwwang55/RippleNet's
--- below src/, whose computation this is, there in double precision (model.py:43-53). Users without
--- a positive item, whom it leaves out of all parts (data_loader.py:54-56), stay here; AUC is of a
--- whole part, and F1 takes the place of accuracy (train.py:49-58).
local tk = require 'tinykg'

local RippleNet = tk.nn.class('RippleNet')

--- The ripple sets of users, hop by hop: `memory` triples (h, r, t) each, and R h of them.
function RippleNet:ripples_of(users)
  local hops = {}
  for k, hop in self.ripples:gather(users, self.entities) do
    hop.rh = tk.grouped_matmul(hop.h, self.relations, hop.r, {transpose = true})
    hops[k] = hop
  end
  return hops
end

--- How the item's vector takes in the user's response to it (model.py:104-115).
local UPDATE = {
  plus_transform = function(v, o, m) return (v + o):matmul(m) end,
  replace_transform = function(_, o, m) return o:matmul(m) end,
  plus = function(v, o) return v + o end,
  replace = function(_, o) return o end,
}

--- Logits, [n], of items and the users of the ripple sets: item k with user k, or with user row[k].
--- The weights of a hop's triples are left in hop.weights.
function RippleNet:logits(hops, items, row)
  local v, u, m, d = self.entities(items), nil, self.memory, self.entities.d
  for _, hop in ipairs(hops) do
    local p, o
    if row then -- many items per user: a user's triples are a matrix
      p = tk.grouped_matmul(v, hop.rh:reshape(-1, m, d), row, {transpose = true}):softmax()
      o = tk.grouped_matmul(p, hop.t:reshape(-1, m, d), row)
    else
      p = tk.neighbor_dot(v, hop.rh, m):softmax() -- softmax of v R h (eq. 4)
      o = tk.neighbor_sum(p, hop.t)               -- eq. 5
    end
    hop.weights = p
    v = UPDATE[self.item_update](v, o, self.transform)
    u = u and self.all_hops and u + o or o        -- eq. 6
  end
  return tk.dot(u, v)
end

--- Logits of pairs, [n] (eq. 7; the sigmoid is in the loss).
function RippleNet:score(users, items) return self:logits(self:ripples_of(users), items) end

--- Scores of all items for each user, [n, items]: R h of each user is computed once.
function RippleNet:rank(users)
  return tk.loader.rank_pairs(users, self.items, self.memory, function(some, items, row)
    return self:logits(self:ripples_of(some), items, row)
  end)
end

--- - kge_weight * mean sigmoid(h R t), and L2 of the triples of the batch: a sum without a half
--- (eq. 9, 10, 13; model.py:130-145).
function RippleNet:regularizers(hops)
  local d, all = self.entities.d, nil
  local size_of_r = self.relations:reshape(-1, d * d):square():sum(2)
  for _, hop in ipairs(hops) do
    local fact = tk.dot(tk.grouped_matmul(hop.h, self.relations, hop.r), hop.t):sigmoid():mean()
    local sum = hop.h:square():sum() + hop.t:square():sum() + size_of_r:gather(hop.r):sum()
    local both = sum * self.l2 - fact * self.kge_weight
    all = all and all + both or both
  end
  return all
end

--- Cross-entropy of labels; without labels, of known items (1) and sampled ones (0) (eq. 13).
function RippleNet:loss(batch)
  local hops = self:ripples_of(batch.users)
  local rest, logits = self:regularizers(hops), self:logits(hops, batch.items)
  return tk.loss.sampled_bce(logits, batch, function(i) return self:logits(hops, i) end) + rest
end

--- The weight of each triple of the user's ripple sets.
function RippleNet:explain(users, items)
  local hops = self:ripples_of(users)
  self:logits(hops, items)
  hops.what = 'attention'
  return hops
end

return tk.recipe{
  name = 'RippleNet',
  source = 'Wang et al., RippleNet: Propagating User Preferences on the Knowledge Graph for '
    .. 'Recommender Systems, CIKM 2018; defaults of its program for MovieLens-1M',
  options = {
    {'dim', 16, 'size of entities; relations are dim x dim'},
    {'hops', 2, 'how far preferences spread'},
    {'memory', 32, 'sampled triples of each user and hop'},
    {'replacement', true, 'of fewer: with replacement; false: each at least once'},
    {'kge_weight', 0.01, 'weight of the triples\' own likelihood'},
    {'item_update', 'plus_transform', 'of the item\'s vector by the response',
     {'plus_transform', 'replace_transform', 'plus', 'replace'}},
    {'all_hops', true, 'the response is the sum of all hops\', else the last one\'s'},
    {'l2', 1e-7, 'weight of |h|^2 + |t|^2 + |R|^2, summed over the ripple sets of the batch'},
    {'lr', 0.02}, {'batch_size', 1024}, {'epochs', 10}, {'patience', 0},
  },
  -- main.py:9-20, 26-38 (2 hops, where the paper has 3)
  presets = {movie = {}, book = {dim = 4, hops = 2, l2 = 1e-5, lr = 1e-3}},
  l2 = 'in loss',
  optimizer = {eps_hat = 1e-8}, -- TensorFlow 1's Adam (model.py:150)
  build = function(data, o)
    local graph = tk.graph(data, {one_way = true})
    return setmetatable({
      items = data.items, memory = o.memory, item_update = o.item_update, all_hops = o.all_hops,
      kge_weight = o.kge_weight, l2 = o.l2,
      -- Sampled once (data_loader.py:93-128). Users whose history leads nowhere start from triples
      -- of the whole graph; items without links are entities that no ripple reaches.
      ripples = graph:ripples(data:known(), o.hops, o.memory, {replacement = o.replacement}),
      entities = tk.nn.Embedding(data.entities, o.dim),
      relations = tk.parameter(tk.xavier(data.relations, o.dim, o.dim)),
      transform = tk.parameter(tk.xavier(o.dim, o.dim)),
    }, RippleNet)
  end,
}
