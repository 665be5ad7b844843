--- KTUP: a user is near an item by way of a preference, as a head is near a tail by way of a
--- relation (TransH); preferences and relations, items and their entities, are added up. Files and
--- lines are TaoMiner/joint-kg-recommender's below jTransUP/, whose computation this is, but items
--- without a triple are entities too and sampled items may repeat in a batch. There no sampled item
--- or triple is one of validation or test (models/knowledgable_recommendation.py:197-205), triples
--- are walked through (utils/data.py:87-110), and each validation, after 19,520 steps, that has not
--- the best F1@10 yet halves lr and begins Adam anew; five in a row end it (ktup.sh;
--- utils/trainer.py:86-103). RecBole's has means of margins, samples tails only, aligns items with
--- entities and does not clip.
local tk = require 'tinykg'

local KTUP = tk.nn.class('KTUP')

--- How far h and t, on the hyperplane of a norm, are apart by way of r (utils/misc.py:18-19;
--- models/jTransUP.py:137-143, 151-158).
function KTUP:apart(h, r, t, norm)
  local x = h - t
  x = x - norm * tk.dot(x, norm):reshape(-1, 1) + r
  return self.distance == 'l1' and x:abs():sum(2) or x:square():sum(2)
end

--- The preference for which a user takes an item, and its norm: a mixture of all, or the one that
--- fits best, drawn (there in evaluations too), with softmax's gradient (jTransUP.py:181, 250-315).
function KTUP:preference(u, i)
  local all, norms = self.preferences + self.relations, self.preference_norms + self.relation_norms
  local fit = (u + i):matmul(all, {transpose_b = true}) / 2
  if self.induction == 'soft' then return fit:matmul(all) / 2, fit:matmul(norms) / 2 end
  if self.training then fit = fit + tk.random('gumbel', fit:size()) end
  local soft = fit:softmax()
  local lean, _, best = soft - soft:detach(), soft:max(2) -- 0, with a gradient
  return (all:gather(best) + lean:matmul(all)) / 2, (norms:gather(best) + lean:matmul(norms)) / 2
end

--- Distances of pairs, [n] (jTransUP.py:124-143).
function KTUP:distances(users, items)
  local u, i = self.users:gather(users), self.items:gather(items) + self.entities:gather(items)
  local r, norm = self:preference(u, i)
  return self:apart(u, r, i, norm)
end

--- Vectors are to lie on their hyperplanes: a sum (utils/loss.py:18-19).
local function orthogonal(r, norm) return (tk.dot(r, norm):square() / r:square():sum(2)):sum() end

--- BPR of distances (of labelled data, cross-entropy), and preferences on their hyperplanes
--- (models/knowledgable_recommendation.py:337-344).
function KTUP:loss(batch)
  local near, labels = self:distances(batch.users, batch.items), batch.labels
  local loss = orthogonal(self.preferences, self.preference_norms)
  if labels then return loss + tk.loss.bce(self.margin - near, labels, batch.weights) end
  for k = 1, batch.negatives:size(2) do
    local far = self:distances(batch.users, batch.negatives:narrow(2, k, 1):reshape(-1))
    loss = loss + tk.loss.bpr(-near, -far, batch.weights) / batch.negatives:size(2)
  end
  return loss
end

--- Triples nearer by a margin than those with another head or tail, relations on their hyperplanes,
--- norms of at most 1: sums (knowledgable_recommendation.py:346-383). Triples are read from an end,
--- the other is sampled. zero_grad of PyTorch 0.3 leaves zeros (365), so Adam moves all rows.
function KTUP:kg_loss(batch)
  local from, to = self.entities:gather(batch.heads), self.entities:gather(batch.tails)
  local sampled, by = self.entities:gather(batch.negatives), self.base:gather(batch.relations)
  local r, norm = self.relations:gather(by), self.relation_norms:gather(by)
  local direction = self.direction:gather(batch.relations):reshape(-1, 1) -- 1, or -1 of an inverse
  local function distance(t) return self:apart(from * direction, r, t * direction, norm) end
  local function longer(x) return (x:square():sum(2) - 1):relu():sum() end
  local loss = ((distance(to) - distance(sampled) + self.margin):relu():sum() + longer(from) * 2
    + longer(to) + longer(sampled) + (longer(r) + orthogonal(r, norm)) * 2) * self.kg_weight
  if self.lazy then return loss end
  return loss
    + tk.loss.zero(self.row, self.users, self.items, self.preferences, self.preference_norms)
end

--- Of ten steps, joint_ratio are of interactions (knowledgable_recommendation.py:209, 320, 347).
function KTUP:phases(data, o)
  local turn, n = math.ceil(10 * o.joint_ratio - 1e-9), o.batch_size
  local cf = {name = 'cf', loss = self.loss, turn = turn}
  if self.kg.edges == 0 or turn >= 10 then return {cf} end
  return {cf, {name = 'kg', loss = self.kg_loss, optimizer = 'cf', turn = 10 - turn,
               steps = math.ceil(data.train.n / n / turn * (10 - turn)),
               sample = function() return self.kg:sample_triples(n, 'triples') end}}
end

--- Logits of pairs, [n]: above 0 within the margin.
function KTUP:score(users, items) return self.margin - self:distances(users, items) end

--- How near the ends of each triple are.
function KTUP:explain()
  return tk.edges.plausible(self.kg, self.relations:size(1), function(heads, relations, tails)
    return self:apart(self.entities:gather(heads), self.relations:gather(relations),
                      self.entities:gather(tails), self.relation_norms:gather(relations))
  end)
end

return tk.recipe{
  name = 'KTUP',
  source = 'Cao et al., Unifying Knowledge Graph Learning and Recommendation, WWW 2019; defaults '
    .. 'of its program for dbbook2014 (ktup.sh), but from scratch, and stopped sooner',
  options = {
    {'dim', 100, 'size of embeddings'},
    {'distance', 'l1', 'of translated ends; l2 is squared', {'l1', 'l2'}},
    {'induction', 'soft', 'of preferences: all, or one, hard', {'soft', 'hard'}},
    {'joint_ratio', 0.7, 'share of steps that are of interactions, in tenths'},
    {'margin', 1, 'by which a true triple should be nearer'}, -- models/base.py:68
    {'kg_weight', 1, 'weight of the loss of triples'}, {'lr', 1e-3}, {'clip', 5},
    {'batch_size', 400}, {'drop_last', true}, {'epochs', 500}, {'eval_every', 10}, {'patience', 10},
  },
  build = function(data, o)
    local n, base, sign = math.max(data.relations, 1), {}, {} -- of relations, then of inverses
    local function unit(rows) return tk.parameter(tk.xavier(rows, o.dim):normalize()) end
    for r = 1, 2 * n do base[r], sign[r] = (r - 1) % n, r > n and -1 or 1 end
    return setmetatable({
      kg = tk.graph(data, {inverse = true}), distance = o.distance, induction = o.induction,
      margin = o.margin, kg_weight = o.kg_weight, lazy = o.optimizer_lazy, base = tk.ids(base),
      direction = tk.tensor(sign), row = tk.ids{0}, users = unit(data.users),
      items = unit(data.items), entities = unit(data.entities), relations = unit(n),
      relation_norms = unit(n), preferences = unit(n), preference_norms = unit(n),
    }, KTUP)
  end,
}
