--- KGAT: users, items and entities are nodes of one graph; a node is what its neighbours are,
--- weighted by attention that relations give. Equation numbers are the paper's; files and lines are
--- LunaBlack/KGAT-pytorch's, which this is, but for `loops`. The authors' TensorFlow program has
--- slopes of .2 (Model/KGAT.py:277), and computes attention (384, 465) but goes on with the weights
--- that it began with (68, 258).
local tk = require 'tinykg'

local KGAT = tk.nn.class('KGAT')

--- f(e_h, e_N) of a layer (eq. 8, 6, 7; model/KGAT.py:48-62).
local AGGREGATORS = {
  bi = function(layer, x, y)
    return layer.sum(x + y):leaky_relu() + layer.product(x * y):leaky_relu()
  end,
  gcn = function(layer, x, y) return layer.sum(x + y):leaky_relu() end,
  graphsage = function(layer, x, y) return layer.sum(tk.cat({x, y}, 2)):leaky_relu() end,
}

--- pi(h, r, t), softmax over the edges of each head (eq. 4, 5; model/KGAT.py:188-229). A constant
--- until the next epoch; in use from the second epoch on (main_kgat.py:164-170).
function KGAT:refresh()
  if not self.attention then return end
  local scores = self.attention:scores(self.nodes.weight, self.projections, self.relations.weight)
  local old = self.pi
  self.pi = self.graph:softmax(scores, {merged = self.merged}):keep()
  old:free()
end

function KGAT:begin_epoch(epoch)
  if epoch > 1 then self:refresh() end
end

--- Final rows of all nodes: the embeddings beside each layer's output, normalised (eq. 11). The
--- next layer reads that output as it is (model/KGAT.py:117-128; TensorFlow's lines 287-294).
function KGAT:all()
  local graph, x = self.graph:weighted(self.pi), self.nodes.weight
  if self.training then graph = graph:node_dropout(self.node_dropout) end
  local rows = {x}
  for k, layer in ipairs(self.layers) do
    local y = graph:aggregate(x) -- eq. 3
    if self.recompute and k < #self.layers then y:saved_as('recompute') end
    x = self.drop(self.aggregator(layer, x, y))
    rows[k + 1] = x:normalize()
  end
  return tk.cat(rows, 2)
end

--- BPR of the batch (eq. 13; labelled data: cross-entropy) and L2 of its final rows.
function KGAT:loss(batch)
  local u, i, j = tk.loader.rows(self:all(), batch, self.user_nodes)
  return tk.loss.interactions(u, i, j, batch.labels)
    + tk.loss.l2(u, i, j) * (self.l2 / u:size(1))
end

--- TransR: g(h, r, t) = |W_r e_h + e_r - W_r e_t|^2 (eq. 1), smaller for a true tail than for a
--- drawn one (eq. 2); L2 of the projected rows.
function KGAT:kg_loss(batch)
  local function projected(ids)
    return tk.grouped_matmul(self.nodes(ids), self.projections, batch.relations)
  end
  local h, r, t = projected(batch.heads), self.relations(batch.relations), projected(batch.tails)
  local drawn = projected(batch.negatives)
  local near, far = (h + r - t):square():sum(2), (h + r - drawn):square():sum(2)
  return (near - far):softplus():mean()
    + tk.loss.l2(h, r, t, drawn) * (self.kg_l2 / h:size(1))
end

--- In turns, each with an Adam of its own (main_kgat.py:90-91, 112-158).
function KGAT:phases(_, o)
  local steps = math.floor(self.graph.edges / o.kg_batch_size) + 1
  return {{name = 'cf', loss = self.loss},
          {name = 'kg', loss = self.kg_loss, bits = 32, steps = steps,
           sample = function() return self.graph:sample_triples(o.kg_batch_size) end}}
end

--- For a whole evaluation: attention of the parameters as they are, then all final rows.
function KGAT:prepare()
  self:refresh()
  return self:all()
end

tk.loader.scores_by_rows(KGAT) -- eq. 12

--- Attention, as prepare left it.
function KGAT:explain() return {what = 'attention', {graph = self.graph, weights = self.pi}} end

return tk.recipe{
  name = 'KGAT',
  source = 'Wang et al., KGAT: Knowledge Graph Attention Network for Recommendation, KDD 2019; '
    .. 'defaults of LunaBlack/KGAT-pytorch parser/parser_kgat.py, but from scratch',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'relation_dim', 64, 'size of relation vectors, to which nodes are projected'},
    {'layers', '64,32,16', 'outputs of each layer'},
    {'aggregator', 'bi', 'of a node and what is around it', {'bi', 'gcn', 'graphsage'}},
    {'attention', true, 'false: each relation of a head weighs 1, shared by its edges'},
    {'parallel', 'merged', 'scores of edges of one head and tail: added, or as in eq. 5',
     {'merged', 'apart'}},
    {'loops', false, 'keep triples of an entity with itself; in few bits, layers then keep more'},
    {'recompute', true, 'sum over edges again for backward: keeps least; false is faster'},
    {'bias', 'uniform', 'where layers begin; zeros: faster at first', {'uniform', 'zeros'}},
    {'dropout', 0.1, 'of each layer\'s output, while training'},
    {'node_dropout', 0, 'share of nodes whose edges are left out of a step'},
    {'lr', 1e-4, 'learning rate of Adam'},
    {'l2', 1e-5, 'weight of 1/2 |final rows|^2 of the batch'},
    {'kg_l2', 1e-5, 'weight of 1/2 |projected rows|^2 of the batch of triples'},
    {'draw', 'distinct_users', 'no user twice in a batch, a positive each'},
    {'batch_size', 1024, 'users or interactions a step'},
    {'kg_batch_size', 2048, 'triples a step'},
    {'epochs', 1000, 'as many steps as batches of the training interactions, and one; at most'},
    {'eval_every', 10, 'epochs from one validation to the next'},
    {'patience', 10, 'validations without improvement before training stops; 0 = never'},
    {'pretrain', '', 'best.safetensors of a run of bpr-mf.lua: users and items begin there'},
  },
  -- the authors' README; for last-fm their Log/training_log_last-fm.log:5 (the README has 1,024)
  presets = {['last-fm'] = {batch_size = 10240}, ['amazon-book'] = {}, yelp2018 = {}},
  -- L2 is in the losses
  optimizer = function(o) return tk.optim.adam{lr = o.lr, bits = o.optimizer_bits} end,
  build = function(data, o)
    local how = {of = 'both', inverse = true}
    if not o.loops then how.self_loops = false end -- a layer has the node itself anyway
    local graph = tk.graph(data, how)
    local self = setmetatable({items = data.items, l2 = o.l2, kg_l2 = o.kg_l2, layers = {},
                               recompute = o.recompute, node_dropout = o.node_dropout,
                               merged = o.parallel == 'merged',
                               aggregator = AGGREGATORS[o.aggregator]}, KGAT)
    self.graph, self.pi = graph, graph:normalized('relation').weights
    self.attention = o.attention and tk.attention.new(graph, {one_way = true})
    self.user_nodes = tk.loader.user_nodes(data.users, graph.first_user)
    self.nodes = tk.nn.Embedding(graph.nodes, o.dim)
    self.relations = tk.nn.Embedding(graph.relations, o.relation_dim)
    self.projections = tk.parameter(tk.xavier(graph.relations, o.dim, o.relation_dim, 'torch'))
    self.drop = tk.nn.Dropout(o.dropout)
    local inputs = o.dim
    for k, size in ipairs(tk.nn.sizes(o.layers)) do
      local from = o.aggregator == 'graphsage' and 2 * inputs or inputs
      self.layers[k] = {sum = tk.nn.Linear(from, size, o.bias)}
      if o.aggregator == 'bi' then self.layers[k].product = tk.nn.Linear(from, size, o.bias) end
      inputs = size
    end
    if o.pretrain ~= '' then
      self.nodes:load(o.pretrain, 'users.weight', graph.first_user, data, 'users')
      self.nodes:load(o.pretrain, 'items.weight', 0, data, 'items')
    end
    return self
  end,
}
