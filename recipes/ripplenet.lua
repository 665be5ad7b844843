--- RippleNet: a user is what spreads from the items in the history along the knowledge graph, seen
--- from the item that is asked about. Equation numbers are the paper's; files are
--- hwwang55/RippleNet's below src/, whose computation this is. Users without a positive item, whom
--- it leaves out of all parts (data_loader.py:54-56), stay here; AUC is of a whole part, and F1
--- where it has the accuracy (train.py:49-58).
local tk = require 'tinykg'

local RippleNet = tk.nn.class('RippleNet')

--- A user's ripple sets, hop by hop: R h and t of `memory` triples (h, r, t), and what the KGE term
--- and L2 need of them.
function RippleNet:ripples_of(users)
  local hops = {}
  for k, set in ipairs(self.ripples) do
    local r = set.relations:gather(users):reshape(-1)
    local h = self.entities(set.heads:gather(users):reshape(-1))
    local t = self.entities(set.tails:gather(users):reshape(-1))
    hops[k] = {h = h, r = r, t = t,
               rh = tk.grouped_matmul(h, self.relations, r, {transpose = true})}
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

--- Logits of users, by their ripple sets, and items, [n]: row k is of user k, or of user who[k].
--- What the hops' triples weigh is left in hop.p.
function RippleNet:logits(hops, items, who)
  local v, u, m, d = self.entities(items), nil, self.memory, self.entities.d
  for _, hop in ipairs(hops) do
    local p, o
    if who then -- many rows a user: a user's triples are a matrix
      p = tk.grouped_matmul(v, hop.rh:reshape(-1, m, d), who, {transpose = true}):softmax()
      o = tk.grouped_matmul(p, hop.t:reshape(-1, m, d), who)
    else
      p = tk.neighbor_dot(v, hop.rh, m):softmax() -- softmax of v R h (eq. 4)
      o = tk.neighbor_sum(p, hop.t)                   -- eq. 5
    end
    hop.p = p
    v = UPDATE[self.item_update](v, o, self.transform)
    u = u and self.all_hops and u + o or o   -- eq. 6
  end
  return tk.dot(u, v)
end

--- Logits of pairs, [n] (eq. 7; the sigmoid is in the loss).
function RippleNet:score(users, items) return self:logits(self:ripples_of(users), items) end

--- Scores of all items for each user, [n, items]: some users at once, R h of each made once.
function RippleNet:rank(users)
  local n, parts = users:size(1), {}
  local some = math.max(1, math.floor(2 ^ 21 / (self.items * self.memory)))
  for first = 1, n, some do
    local part = users:rows(first, math.min(first + some - 1, n))
    local who, items = tk.loader.pairs(part:size(1), self.items)
    parts[#parts + 1] = self:logits(self:ripples_of(part), items, who)
  end
  return tk.cat(parts):reshape(n, -1)
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

--- Cross-entropy of labels; without labels, of known items (1) and drawn ones (0) (eq. 13).
function RippleNet:loss(batch)
  local hops = self:ripples_of(batch.users)
  local logits, rest = self:logits(hops, batch.items), self:regularizers(hops)
  if batch.labels then return tk.loss.bce(logits, batch.labels) + rest end
  local count, loss = batch.negatives:size(2), (-logits):softplus():mean()
  for k = 1, count do
    local drawn = self:logits(hops, batch.negatives:narrow(2, k, 1):reshape(-1))
    loss = loss + drawn:softplus():mean() / count
  end
  return loss + rest
end

--- The weight of each triple of the user's ripple sets.
function RippleNet:explain(users, items)
  local hops, why = self:ripples_of(users), {what = 'attention'}
  self:logits(hops, items)
  for k, set in ipairs(self.ripples) do
    why[k] = {heads = set.heads:gather(users), relations = set.relations:gather(users),
              tails = set.tails:gather(users), weights = hops[k].p}
  end
  return why
end

return tk.recipe{
  name = 'RippleNet',
  source = 'Wang et al., RippleNet: Propagating User Preferences on the Knowledge Graph for '
    .. 'Recommender Systems, CIKM 2018; defaults of its program for MovieLens-1M',
  options = {
    {'dim', 16, 'size of entities; relations are dim x dim'},
    {'hops', 2, 'how far preferences spread'},
    {'memory', 32, 'triples drawn for each user and hop'},
    {'replacement', true, 'of fewer: with replacement; false: each at least once'},
    {'kge_weight', 0.01, 'weight of the triples\' own likelihood'},
    {'item_update', 'plus_transform', 'plus_transform, replace_transform, plus or replace'},
    {'all_hops', true, 'the response is the sum of all hops\', else the last one\'s'},
    {'lr', 0.02, 'learning rate of Adam'},
    {'l2', 1e-7, 'weight of |h|^2 + |t|^2 + |R|^2, summed over the ripple sets of the batch'},
    {'batch_size', 1024, 'interactions a step'},
    {'epochs', 10, 'passes over the training interactions'},
    {'patience', 0, 'epochs without improvement before training stops; 0 = never'},
  },
  -- main.py:9-20, 26-38 (2 hops, where the paper has 3)
  presets = {movie = {}, book = {dim = 4, hops = 2, l2 = 1e-5, lr = 1e-3}},
  optimizer = function(o) -- TensorFlow 1's (model.py:150); L2 is in the loss
    return tk.optim.adam{lr = o.lr, eps_hat = 1e-8, bits = o.optimizer_bits}
  end,
  build = function(data, o)
    if not UPDATE[o.item_update] then
      error('option item_update: ' .. o.item_update
            .. ' is not plus_transform, replace_transform, plus or replace', 0)
    end
    local graph = tk.graph(data, {one_way = true})
    return setmetatable({
      items = data.items, memory = o.memory, item_update = o.item_update, all_hops = o.all_hops,
      kge_weight = o.kge_weight, l2 = o.l2,
      -- Drawn once (data_loader.py:93-128). Users whose history leads nowhere start from triples of
      -- the whole graph; items without links are entities that no ripple reaches.
      ripples = graph:ripples(data:known(), o.hops, o.memory, {replacement = o.replacement}),
      entities = tk.nn.Embedding(data.entities, o.dim),
      relations = tk.parameter(tk.xavier(data.relations, o.dim, o.dim)),
      transform = tk.parameter(tk.xavier(o.dim, o.dim)),
    }, RippleNet)
  end,
}
