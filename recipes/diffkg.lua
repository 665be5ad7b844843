--- DiffKG: a diffusion model learns which triples matter; users and items by these are to agree
--- with those by all. Files and lines are HKUDS/DiffKG's, whose computation this is. There the
--- graph is a dense matrix [entities, entities] (DataHandler.py:140); here a step makes rows of it.
local tk = require 'tinykg'

local DiffKG = tk.nn.class('DiffKG', tk.nn.Ranker)

--- Errors of restored rows of entities, and of items that are sums of those who took what is in
--- their row (Main.py:78-96; Model.py:252-276; the network: 106-164).
function DiffKG:diffusion_loss(batch)
  local items, o, e = self.item_count, self.o, self.entities.weight:detach()
  local restored, errors = self.diffusion:train_on(self.kg:dense_rows(batch.ids), batch.given)
  local takers = self.graph:aggregate(tk.cat{e:rows(1, items), self.users.weight:detach()})
  local apart = restored:narrow(2, 1, items):matmul(takers:rows(1, items)) - e:gather(batch.ids)
  return errors:mean() * (1 - o.e_loss) + apart:square():mean() * o.e_loss
end

--- An epoch's triples: those whose tail is among the best in its head's restored row, or head in
--- its tail's, and of these a random part, 1 (Main.py:100-143).
function DiffKG:draw()
  local kg, o, best, size = self.kg, self.o, {}, self.o.batch_size
  for first = 1, kg.nodes, size do
    local rows = kg:dense_rows(self.all:rows(first, math.min(first + size - 1, kg.nodes)))
    best[#best + 1] = select(2, self.diffusion:restore(rows):top_k(math.min(o.best, kg.nodes)))
  end
  local heads, tails, all = kg:heads(), kg:tails(), tk.cat(best)
  local there = tk.equal(all:gather(heads), tails) + tk.equal(all:gather(tails), heads)
  return there:sum(2):gt(0) * tk.random('uniform', kg.edges):ge(1 - o.keep)
end

--- Entities by attention to triples (Model.py:83-104).
function DiffKG:by_triples(kg)
  local e, r, d = self.entities.weight, self.relations.weight, self.o.dim
  local sum = e
  for _ = 1, self.o.hops do
    local of_head, of_tail = e:matmul(self.mix:rows(1, d)), e:matmul(self.mix:rows(d + 1, 2 * d))
    local scores = (kg:dot(of_head, self.ones, r) + kg:dot(self.ones, of_tail, r)):leaky_relu(0.2)
    e = self.drop(kg:aggregate(e, {weight = kg:softmax(scores)}) + e):normalize()
    sum = sum * self.o.residual + e
  end
  return sum
end

--- Items, then users: sums of layers, with loops (Model.py:33-46; DataHandler.py:82-97).
function DiffKG:rows_by(kg)
  local x, s = tk.cat{self:by_triples(kg):rows(1, self.item_count), self.users.weight}, self.scale
  local sum = x
  for _ = 1, self.o.layers do
    x = (self.graph:aggregate(x * s) + x * s) * s
    sum = sum + x
  end
  return sum
end

--- By the graph that scores, and by the other one (Main.py:153-168, 201-205; Model.py:48-58).
function DiffKG:node_embeddings(both)
  local one, two = self.kg:masked(self.drawn:gt(0.5)), self.kg:masked(self.some)
  if self.o.scored_by == 'given' then one, two = two, one end
  return self:rows_by(one), both and self:rows_by(two) or nil
end

--- BPR, InfoNCE of both, |parameters|^2 (Main.py:161-174; Utils/Utils.py:10-14, 31-38).
function DiffKG:loss(batch)
  local o, rows, other = self.o, self:node_embeddings(true)
  local u, i, j = self:batch_embeddings(batch, rows)
  local l2 = tk.loss.l2(self.users.weight, self.entities.weight, self.relations.weight, self.mix)
  return tk.loss.interactions(u, i, j, batch.labels, batch.weights) * (u:size(1) / o.batch_size)
    + self:view_contrast(batch, other, rows, o.temperature) * o.ssl_weight + l2 * (2 * o.l2)
end

function DiffKG:phases() -- each with an Adam of its own (Main.py:59-67, 78-187)
  return {{name = 'diffusion', loss = self.diffusion_loss, rows = self.kg.nodes},
    {name = 'cf', loss = self.loss, begin = function(m)
      local drawn = tk.no_grad(m.draw, m)
      m.drawn:copy(drawn)
      drawn:free() -- now, not when Lua's collector runs
    end}}
end
function DiffKG:explain(u, i) return tk.edges.gradient(self, {'kg', 'graph'}, u, i) end

return tk.recipe{
  name = 'DiffKG',
  source = 'Jiang et al., DiffKG: Knowledge Graph Diffusion Model for Recommendation, WSDM 2024; '
    .. 'defaults of its program (Params.py)',
  options = {
    {'dim', 64, 'size of embeddings'}, {'hops', 1, 'steps along triples'},
    {'layers', 2, 'steps along interactions'}, {'dropout', 0.1, 'of what a hop gathered'},
    {'residual', 0.5, 'weight of hops before'}, {'steps', 5, 'of the diffusion'},
    {'triples', 10, 'of an entity in the given graph, at random; 0: all'},
    {'hidden', 1000, 'size of the diffusion\'s layer'}, {'row_dropout', 0.5, 'of its input'},
    {'noise', 0.1, 'factor of its noise'}, {'e_loss', 0.5, 'share of items\' error in its loss'},
    {'best', 1, 'tails of an entity kept'}, {'keep', 0.5, 'share of these in an epoch'},
    {'scored_by', 'drawn', 'graph by which items are scored', {'drawn', 'given'}},
    {'ssl_weight', 0.1, 'weight of InfoNCE'}, {'temperature', 0.1, 'by which cosines are divided'},
    {'l2', 1e-7, 'weight of |parameters|^2'}, {'batch_size', 1024}, {'epochs', 25}, {'patience', 0},
  },
  presets = { -- README.md; the program takes the test set's best epoch (Main.py:49-54)
    ['last-fm'] = {hops = 2, dropout = 0.2, residual = 0, triples = 0, keep = 0.1, l2 = 1e-5,
                   scored_by = 'given', e_loss = 0.01},
    mind = {e_loss = 0.1, temperature = 1, ssl_weight = 1, dropout = 0.2, residual = 1},
    ['alibaba-ifashion'] = {l2 = 1e-6, epochs = 50, ssl_weight = 1, temperature = 1}},
  l2 = 'in loss',
  build = function(data, o)
    local kg, n = tk.graph(data, {inverse = true, single = true}), data.entities
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    local drawn = tk.parameter(tk.zeros(kg.edges)) -- saved with the parameters
    tk.optim.group({drawn}, {frozen = true})
    return setmetatable({
      o = o, kg = kg, graph = graph, drawn = drawn, all = tk.loader.user_nodes(n, 0),
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user), ones = tk.ones(n, o.dim),
      some = kg:at_most(o.triples > 0 and o.triples or n), drop = tk.nn.Dropout(o.dropout),
      scale = (1 / (graph:aggregate(tk.ones(graph.nodes, 1)) + 1):sqrt()):keep(),
      users = tk.nn.Embedding(data.users, o.dim), entities = tk.nn.Embedding(n, o.dim),
      relations = tk.nn.Embedding(math.max(kg.relations or 1, 1), o.dim), item_count = data.items,
      mix = tk.nn.Embedding(2 * o.dim, o.dim, {bound = 2 / math.sqrt(o.dim)}).weight,
      diffusion = tk.nn.Diffusion(n, {hidden = o.hidden, steps = o.steps, noise_scale = o.noise,
                                      dropout = o.row_dropout}),
    }, DiffKG)
  end,
}
