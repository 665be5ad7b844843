--- KGRec: attention rates how much each triple explains. The best are hidden and to be made out
--- (masked autoencoder); items by better triples are to agree with items by the interactions that
--- these support. Lines are those of HKUDS/KGRec's modules/KGRec.py, or AttnHGCN.py after an A,
--- whose computation this is. There a step samples half of each relation's triples, here by coins.
local tk = require 'tinykg'

local KGRec = tk.nn.class('KGRec', tk.nn.Ranker)

--- Final rows of users and of entities, by attention to triples (A 57-113).
function KGRec:node_embeddings(taken, kg)
  local u, e, r = self.users.weight, self.entities.weight, self.relations.weight
  local users, entities = u, e
  for _ = 1, self.o.hops do
    u = (taken or self.taken):aggregate(e:rows(1, self.item_count))
    e = tk.attention.multi_head(kg or self.kg, e, {heads = 2, query = self.query, relation = r})
    u, e = self.drop(u):normalize(), self.drop(e):normalize()
    users, entities = users + u, entities + e
  end
  return users, entities
end

--- Rationales, constants: of triples, how many times its head's mean one weighs (A 159-182); of
--- interactions, 1/2 + 1/2 of the mean of triples with their item as tail (212-220).
function KGRec:rationales(kg)
  local q, ones = self.entities.weight:matmul(self.query):detach(), self.ones
  local scores = kg:dot(q, q, self.relations.weight:detach()) / math.sqrt(2 * q:size(2))
  scores = kg:softmax(scores) * kg:aggregate(ones):reshape(-1):gather(kg:heads())
  local mean = kg:transpose():aggregate(ones, {weight = scores, reduce = 'mean'}):reshape(-1)
  return scores, (tk.where(mean:gt(0), mean, 1) * 0.5 + 0.5):gather(self.taken:tails())
end

--- Triples to see, to hide, of a step's view; interactions to see, of its view (16-100, 210-229).
function KGRec:draw()
  local kg, taken, kept, keep = self.kg, self.taken, 1 - self.o.node_dropout, 1 - self.o.cl_drop
  local some = tk.random('uniform', kg.edges):ge(self.rates:gather(kg:edge_relations()))
  local pairs = tk.random('uniform', taken.edges):ge(self.o.node_dropout)
  local scores, of_pairs = self:rationales(kg:masked(some))
  scores = tk.where(some:gt(0), scores + tk.random('gumbel', kg.edges), -1e9)
  local any = tk.where(some:gt(0), tk.random('uniform', kg.edges), -1e9)
  local best, others = kg:top_k(scores, self.hidden), kg:top_k(any, self.hidden)
  local hidden = (best + others - best * others) * some
  local better = kg:top_k(scores, math.floor(keep * self.sampled)) * some
  of_pairs = of_pairs + tk.random('gumbel', taken.edges) + tk.random('gumbel', taken.edges)
  of_pairs = tk.where(pairs:gt(0), of_pairs, -1e9)
  local drawn = taken:top_k(of_pairs, math.floor(keep * kept * taken.edges)) * pairs
  return some - hidden, hidden, kg:masked(better), pairs / kept, drawn / (kept * keep)
end

--- Items by interactions alone, and by triples alone (A 115-157).
function KGRec:views(taken, kg)
  local u, e, r = self.users.weight, self.entities.weight, self.relations.weight
  local i, back = e:rows(1, self.item_count), taken:transpose()
  local items, entities = i, e
  for _ = 1, self.o.hops do
    u, i = taken:aggregate(i), back:aggregate(u)
    e = kg:aggregate(e, {relation = r, reduce = 'mean'})
    u, i, e = self.drop(u):normalize(), self.drop(i):normalize(), self.drop(e):normalize()
    items, entities = items + i, entities + e
  end
  return items, entities:rows(1, self.item_count)
end

--- An item's views are to be alike, not each and a random item's other one (contrast.py:30-42).
function KGRec:contrast(by_users, by_triples)
  local x, y = self.of_users(by_users):normalize(), self.of_triples(by_triples):normalize()
  local _, other = tk.random('uniform', self.item_count):top_k(self.item_count)
  x = x / self.o.temperature
  local own, one, two = tk.dot(x, y), tk.dot(x, y:gather(other)), tk.dot(y, x:gather(other))
  return ((own:exp() * 2 + one:exp() + two:exp()):log() - own):mean()
end

--- BPR and L2 of the batch's rows, -log sigmoid(e_h . (e_t * r)) of hidden triples, the contrast
--- (246-274, 302-329).
function KGRec:loss(batch)
  local left, hidden, better, pairs, drawn = self:draw()
  local users, entities = self:node_embeddings(self.taken:masked(pairs), self.kg:masked(left))
  local u, i, j = self:batch_embeddings(batch, users, entities)
  local triples = self.kg:dot(entities, entities, self.relations.weight)
  local mae = ((-triples):softplus() * hidden):sum() / hidden:sum():clamp(1)
  return tk.loss.interactions(u, i, j, batch.labels, batch.weights)
    + tk.loss.l2(u, i, j) * (self.o.l2 / u:size(1)) + mae * self.o.mae_weight
    + self:contrast(self:views(self.taken:masked(drawn), better)) * self.o.ssl_weight
end

function KGRec:explain(u, i) return tk.edges.gradient(self, {'kg', 'taken'}, u, i) end

return tk.recipe{
  name = 'KGRec',
  source = 'Yang et al., Knowledge Graph Self-Supervised Rationalization for Recommendation, KDD '
    .. '2023; defaults of its program (utils/parser.py)',
  options = {
    {'dim', 64, 'size of embeddings'}, {'hops', 2, 'steps along edges'},
    {'hidden', 256, 'best triples that a step hides, and as many others'},
    {'mae_weight', 0.1, 'weight of their loss'}, {'ssl_weight', 0.01, 'weight of the contrast'},
    {'temperature', 1, 'divisor of its cosines'}, {'dropout', 0.1, 'of what a hop gathered'},
    {'cl_drop', 0.5, 'share of edges that views lack'}, {'l2', 1e-5, 'of 1/2 |final rows|^2'},
    {'node_dropout', 0.5, 'share of triples and of interactions left out of a step'},
    {'lr', 1e-4}, {'drop_last', true}, {'epochs', 1000}, {'eval_every', 10}, {'patience', 5},
  },
  presets = {['last-fm'] = {}, -- 135-153; run_kgrec.py:98-99
    ['mind-f'] = {ssl_weight = 1e-3, temperature = .1, cl_drop = .6, eval_every = 1, patience = 10},
    ['alibaba-fashion'] = {ssl_weight = 1e-3, temperature = .2, eval_every = 1, patience = 10}},
  l2 = 'in loss',
  build = function(data, o)
    local kg, relations = tk.graph(data, {inverse = true}), math.max(2 * data.relations, 1)
    local sizes, of, last = {o.dim, o.dim, o.dim}, data.graph.relations, 0
    local rates = tk.cat{tk.zeros(relations - 1) + o.node_dropout, tk.ones(1)} -- never the last: 44
    for k = 0, data.graph.n - 1 do last = last + (of[k] == data.relations - 1 and 1 or 0) end
    local start = {bound = math.sqrt(6 / (data.users + data.entities + o.dim))} -- of one table
    return setmetatable({
      o = o, kg = kg, taken = tk.graph(data, {of = 'interactions'}):normalized('row'),
      rates = rates, sampled = (1 - o.node_dropout) * (kg.edges - last),
      ones = tk.ones(data.entities, 1), item_count = data.items, drop = tk.nn.Dropout(o.dropout),
      hidden = math.min(o.hidden, kg.edges), users = tk.nn.Embedding(data.users, o.dim, start),
      entities = tk.nn.Embedding(data.entities, o.dim, start),
      relations = tk.nn.Embedding(relations, o.dim), query = tk.parameter(tk.xavier(o.dim, o.dim)),
      of_users = tk.nn.MLP(sizes, 'torch'), of_triples = tk.nn.MLP(sizes, 'torch'),
    }, KGRec)
  end,
}
