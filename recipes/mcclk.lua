--- MCCLK: users and items by the knowledge graph and by interactions, and items by what is alike;
--- these views are to agree. Lines are those of CCIIPLab/MCCLK's modules/MCCLK.py, which this
--- computes. There a step compares all entities, here an epoch, in blocks. Evaluations there leave
--- out edges, and are means over batches (main.py:84-104). Without labels, items are sampled.
local tk = require 'tinykg'

local MCCLK = tk.nn.class('MCCLK', tk.nn.Ranker)

--- Rows of users and of entities by the graph; a step sees each edge by chance, there exactly half
--- of them. One weighs softmax of |e_h * r|^2 |e_t * r|^2 over those of its head (18-50, 81-133).
function MCCLK:by_graph()
  local kg, taken, u, e = self.kg, self.taken, self.users.weight, self.entities.weight
  if self.training then
    kg = kg:masked(tk.random('uniform', kg.edges):ge(self.o.node_dropout))
    taken = taken:dropout(self.o.node_dropout)
  end
  local users, entities, r = u, e, self.relations.weight
  for _ = 1, self.o.hops do
    local norms = e:square():matmul(r:square(), {transpose_b = true}) -- |e * r|^2
    local liked = u:matmul(r, {transpose_b = true}):softmax():matmul(r)
    u = taken:aggregate(e:rows(1, self.item_count)) * (liked + 1)
    e = kg:aggregate(e, {relation = r, weight = kg:softmax(kg:dot(norms, norms, self.identity))})
    u, e = self.drop(u):normalize(), self.drop(e):normalize()
    users, entities = users + u, entities + e
  end
  return users, entities
end

--- Rows of users and of items by interactions alone (272-288, 379-389).
function MCCLK:by_interactions()
  local u, i = self.users.weight, self.entities.weight:rows(1, self.item_count)
  local users, items, back, n = u, i, self.taken:transpose(), self.o.layers
  for _ = 1, n do
    u, i = self.taken:aggregate(i), back:aggregate(u)
    users, items = users + u, items + i
  end
  return users / (n + 1), items / (n + 1)
end

--- Finds what is alike, by embeddings and by rows of the graph: D^-1/2 S D^-1/2 of the cosines S of
--- the nearest, itself among them (117, 136-166). Constants.
function MCCLK:begin_epoch()
  for k, rows in ipairs{self.entities.weight, function() return select(2, self:by_graph()) end} do
    local old = self.alike[k]
    if old then old.weights:free() old:free() end
    local near, cosines = tk.graph.nearest(rows, self.most - 1)
    self.alike[k] = near:weighted(cosines)
  end
end
function MCCLK:begin_evaluation() self:begin_epoch() end -- by the parameters as they are

function MCCLK:by_alike() -- rows of items (266-269)
  local sum = 0
  for _, near in ipairs(self.alike) do
    local scale = 1 / (near:aggregate(self.ones) + 1):clamp(1e-3):sqrt()
    local x = self.entities.weight * scale
    sum = sum + (near:aggregate(x) + x) * scale * 0.5
  end
  return sum:normalize():rows(1, self.item_count)
end

--- Three parts side by side; of users the second and the third are one (305-306).
function MCCLK:node_embeddings()
  local users, entities = self:by_graph()
  local u, i = self:by_interactions()
  return {users, u, u}, {entities:rows(1, self.item_count), self:by_alike(), i}
end

--- -log of the share of b_i among rows of b and other rows of a; also of a_i if `both` (315-377).
function MCCLK:contrast(space, a, b, both)
  local function apart(x, y)
    local rest = tk.loss.contrast(x, tk.cat{x, y}, self.o.temperature, {reduce = 'none'})
    return ((rest:exp() - 1):log() + (tk.dot(x, x) - tk.dot(x, y)) / self.o.temperature):mean()
  end
  a, b = space(a):normalize(), space(b):normalize()
  return both and (apart(a, b) + apart(b, a)) * 0.5 or apart(a, b)
end

--- Cross-entropy, L2 of the batch's rows, contrasts of its views (299-308, 391-402).
function MCCLK:loss(batch)
  batch = tk.loader.labelled(batch)
  local u, i = self:batch_embeddings(batch)
  local d, item = self.users.d, i:narrow(2, 2 * self.users.d + 1, self.users.d)
  local contrast = self:contrast(self.spaces[1], i:narrow(2, d + 1, d), item)
    + self:contrast(self.spaces[2], self.entities(batch.items), item, true)
    + self:contrast(self.spaces[3], self.users(batch.users), u:narrow(2, d + 1, d), true)
  return tk.loss.bce(tk.dot(u, i), batch.labels, batch.weights) + contrast * self.o.ssl_weight
    + tk.loss.l2(u, i) * (self.o.l2 / u:size(1))
end

function MCCLK:explain(u, i) return tk.edges.gradient(self, {'kg', 'taken'}, u, i) end

return tk.recipe{
  name = 'MCCLK',
  source = 'Zou et al., Multi-level Cross-view Contrastive Learning for Knowledge-aware '
    .. 'Recommender System, SIGIR 2022; defaults of its program (utils/parser.py)',
  options = {
    {'dim', 64, 'size of embeddings'}, {'hops', 2, 'steps along triples'},
    {'layers', 2, 'steps along interactions'}, {'neighbors', 10, 'entities that are most alike'},
    {'node_dropout', 0.5, 'share of edges and pairs left out of a step'}, {'drop_last', true},
    {'dropout', 0.1, 'of what a hop gathered'}, {'ssl_weight', 1e-3, 'weight of the contrasts'},
    {'temperature', 0.6, 'by which their cosines are divided'}, {'lr', 3e-3}, {'patience', 0},
    {'l2', 1e-5, 'weight of 1/2 |final rows|^2'}, {'batch_size', 4096}, {'epochs', 400},
  },
  l2 = 'in loss',
  build = function(data, o)
    local relations, taken = math.max(2 * data.relations, 1), tk.graph(data, {of = 'rows'})
    local start = {bound = math.sqrt(6 / (data.users + data.entities + o.dim))} -- of one table
    local identity = tk.zeros(relations, relations)
    for r = 0, relations - 1 do identity:write({1}, r * (relations + 1)) end
    local function space() return tk.nn.MLP({o.dim, o.dim, o.dim}, 'torch') end
    return setmetatable({
      o = o, kg = tk.graph(data, {inverse = true}), taken = taken:normalized('row'), alike = {},
      item_count = data.items, identity = identity, ones = tk.ones(data.entities, 1),
      users = tk.nn.Embedding(data.users, o.dim, start), spaces = {space(), space(), space()},
      entities = tk.nn.Embedding(data.entities, o.dim, start), drop = tk.nn.Dropout(o.dropout),
      relations = tk.nn.Embedding(relations, o.dim), most = math.min(o.neighbors, data.entities),
    }, MCCLK)
  end,
}
