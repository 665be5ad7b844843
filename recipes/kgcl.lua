--- KGCL: an item is its vector and what attention picks from its triples; LightGCN smooths all. Two
--- views, without some triples and items whose triples say little, are to agree. Lines are those of
--- yuh-yang/KGCL-SIGIR22's code/, whose computation this is; there, items of triples come in the
--- data's order, and patience counts from epoch 25 (15 of amazon-book; main.py:82).
local tk = require 'tinykg'

local KGCL, recipe = tk.nn.class('KGCL', tk.nn.Ranker), nil

--- Shares of items' triples with mask 1: softmax of LeakyReLU((W [v, e] + b) . r) (GAT.py:56-66).
function KGCL:shares(v, e, mask)
  local r, by, w, d = self.relations.weight, self.first.relations, self.mix.weight, self.items.d
  local by_v, by_e = r:matmul(w:narrow(2, 1, d)), r:matmul(w:narrow(2, d + 1, d))
  local score = r:matmul(self.mix.bias:reshape(-1, 1)):reshape(-1):gather(by)
    + tk.relation_score(v, by_v, by)
    + tk.relation_score(e, by_e, by:reshape(-1, 1)):reshape(by:size())
  return tk.where(mask:gt(0), score:leaky_relu(0.2), -1e9):softmax() * mask
end

--- Items with what they take from these (GAT.py:23-28, 67-75), or from the row behind the entities.
function KGCL:items_by(mask)
  local v, e = self.drop(self.items.weight), self.drop(self.entities(self.tails))
  local alone, n = (1 - mask:max(2)):reshape(-1, 1), self.entities.n
  local taken = tk.neighbor_sum(self.drop(self:shares(v, e, mask)), e)
  return self.drop(v + taken + alone * self.entities.weight:rows(n, n))
end

--- Items, then users, in a view or in the whole: the mean of layers (model.py:108-171).
function KGCL:node_embeddings(view)
  local graph, v = self.graph, view or self.whole
  if self.training and not view then graph = graph:dropout(self.o.node_dropout) end
  return graph:smooth(tk.cat{self:items_by(v.mask), self.users.weight}, self.o.layers, v.scale)
end

--- Draws an epoch's views (contrast.py:90-135): triples by chance; items, with all that users took
--- of them, by how alike they are by both draws of triples.
function KGCL:draw_views()
  local rows, known = {}, self.first.known
  for v, view in ipairs(self.views) do
    for _, old in pairs(view) do old:free() end
    view.mask = (known * tk.random('uniform', known:size()):gt(self.o.kg_drop)):keep()
    rows[v] = self:items_by(view.mask):normalize()
  end
  local stable = tk.dot(rows[1], rows[2]):exp():reshape(-1, 1)
  local least = -(-stable):max()
  local weight = ((stable - least) / (stable:max() - least + 1e-9)):clamp(0.3)
  local kept = (weight / weight:mean() * (1 - self.o.ui_drop)):clamp(0, 0.95)
  for _, view in ipairs(self.views) do
    local left = tk.cat{kept:gt(tk.random('uniform', kept:size())), self.all_users}
    view.scale = self.graph:symmetric_scale(left):keep()
  end
end

--- BPR and InfoNCE of the views as sums over the batch, users among all users and items among all
--- items; L2 of its embeddings (Procedure.py:68-100, contrast.py:77-88).
function KGCL:loss(batch)
  local u, i, j = self:batch_embeddings(batch)
  local alike = self:view_contrast(batch, self:node_embeddings(self.views[1]),
                                   self:node_embeddings(self.views[2]), self.o.temperature)
  local loss = tk.loss.interactions(u, i, j, batch.labels, batch.weights)
  local l2 = tk.loss.l2(self:batch_embeddings(batch, self.users.weight, self.items.weight))
  return (loss + alike * self.o.ssl_weight) * u:size(1) + l2 * (self.o.l2 / u:size(1))
end

--- TransE: v + r is nearer to its tail than to another item's that v has by no relation (there: not
--- by r; model.py:218-247); L2. zero_grad of torch 1.8.1 leaves zeros: Adam moves users and mix on.
function KGCL:kg_loss()
  local b = self.kg:sample_triples(self.kg_size, 'heads', {negatives = 'tails'})
  local v, r = self.items(b.heads), self.relations(b.relations)
  local e, far = self.entities(b.tails), self.entities(b.negatives)
  local margin = (v + r - e):square():sum(2) - (v + r - far):square():sum(2)
  return (margin:softplus() * b.counts):mean()
    + tk.loss.l2(v, r, e, far) * (self.o.kg_l2 / self.kg_size)
    + tk.loss.zero(self.row, self.users.weight, self.mix.weight, self.mix.bias)
end

function KGCL:phases() -- triples, views, interactions; by one Adam (main.py:24, 56-75)
  local adam, steps = recipe.optimizer(self.o), self.kg_steps
  local cf = {name = 'cf', loss = self.loss, optimizer = adam,
              begin = function(model) tk.no_grad(model.draw_views, model) end}
  if steps == 0 then return {cf} end
  return {{name = 'kg', loss = self.kg_loss, steps = steps, optimizer = adam}, cf}
end

function KGCL:explain()
  local w = self:shares(self.items.weight, self.entities(self.tails), self.first.known)
  return {what = 'attention', setmetatable({weights = w}, {__index = self.first})}
end

recipe = tk.recipe{
  name = 'KGCL',
  source = 'Yang et al., Knowledge Graph Contrastive Learning for Recommendation, SIGIR 2022; '
    .. 'defaults of its program for yelp2018 (parse.py, world.py)',
  options = {
    {'dim', 64, 'size of embeddings'}, {'layers', 3, 'steps that they are spread'},
    {'neighbors', 10, 'triples of an item that attention sees, the first in the data'},
    {'dropout', 0.4, 'of items, entities and attention'}, {'kg_l2', 1e-3, 'l2 of triples'},
    {'node_dropout', 0.2, 'share of interactions left out of a step'}, {'drop_last', true},
    {'kg_drop', 0.5, 'of triples, of a view'}, {'ui_drop', 0.1, 'of items, of a view'},
    {'ssl_weight', 0.1, 'weight of InfoNCE'}, {'temperature', 0.2, 'by which cosines are divided'},
    {'l2', 1e-4, "of 1/2 |the batch's embeddings|^2"}, {'batch_size', 2048}, {'epochs', 1000},
    {'kg_batch_size', 4096, 'items per step'}, {'draw', 'resampled'}, {'patience', 5},
  },
  presets = {yelp2018 = {}, ['amazon-book'] = {ui_drop = 0.05}}, l2 = 'in loss',
  build = function(data, o)
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    local first, triples, items = tk.loader.item_triples(data, o.neighbors)
    local size = math.max(math.min(o.kg_batch_size, items), 1)
    local function normal(n) return tk.nn.Embedding(n, o.dim, 0.1) end
    return setmetatable({
      o = o, graph = graph, first = first, tails = first.tails:reshape(-1):keep(), views = {{}, {}},
      whole = {mask = first.known, scale = graph:symmetric_scale():keep()},
      kg = tk.graph(triples), kg_size = size, kg_steps = math.floor(items / size), row = tk.ids{0},
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user), item_count = data.items,
      all_users = tk.ones(data.users, 1), users = normal(data.users), items = normal(data.items),
      entities = normal(data.entities + 1), relations = normal(math.max(data.relations, 1)),
      mix = tk.nn.Linear(2 * o.dim, o.dim, 'torch'), drop = tk.nn.Dropout(o.dropout),
    }, KGCL)
  end,
}
return recipe
