--- KGAT: users, items and entities are nodes of one graph. A node adds up its neighbours, weighted
--- by attention that depends on relations. Equation numbers are the paper's. Files and lines are
--- LunaBlack/KGAT-pytorch's, whose computation this is, except for `loops`; it stops by the test
--- set's recall (main_kgat.py:175-189), here by validation. The authors' TensorFlow program has
--- slopes of .2 (Model/KGAT.py:277) and keeps the first attention (68, 258, 384, 465).
local tk = require 'tinykg'

local KGAT = tk.nn.class('KGAT', tk.nn.Ranker) -- eq. 12

--- f(e_h, e_N) of a layer (eq. 8, 6, 7; model/KGAT.py:48-62).
local AGGREGATORS = {
  bi = function(f, x, y) return f.sum(x + y):leaky_relu() + f.product(x * y):leaky_relu() end,
  gcn = function(f, x, y) return f.sum(x + y):leaky_relu() end,
  graphsage = function(f, x, y) return f.sum(tk.cat({x, y}, 2)):leaky_relu() end,
}

--- pi(h, r, t), the softmax over the edges of each head (eq. 4, 5; model/KGAT.py:188-229).
function KGAT:update_attention()
  self.attention:update(self.nodes.weight, self.projections, self.relations.weight)
end

--- Attention is constant during an epoch, and used from the second one on (main_kgat.py:164-170).
function KGAT:begin_epoch(epoch)
  if epoch > 1 then self:update_attention() end
end

--- The embeddings beside each layer's output, normalised (eq. 11). The next layer reads the output
--- before that (model/KGAT.py:117-128; TensorFlow's lines 287-294).
function KGAT:node_embeddings()
  local pi, x = self.attention, self.nodes.weight
  local graph = self.graph:weighted(pi.weights, pi:back())
  if self.training then graph = graph:node_dropout(self.node_dropout) end
  local rows = {x}
  for k, layer in ipairs(self.layers) do
    local y = graph:aggregate(x, {recompute = self.recompute and k < #self.layers}) -- eq. 3
    x = self.drop(self.aggregator(layer, x, y))
    rows[k + 1] = x:normalize()
  end
  return rows
end

--- BPR (eq. 13; labelled data: cross-entropy) and L2 of the batch's final rows.
function KGAT:loss(batch) return self:interaction_loss(batch, self.l2) end

--- TransR: g(h, r, t) = |W_r e_h + e_r - W_r e_t|^2 (eq. 1) is to be smaller for a true tail than
--- for a sampled one (eq. 2). L2 of the projected rows.
function KGAT:kg_loss(batch)
  local nodes, matrices, by = self.nodes, self.projections, batch.relations
  local function project(ids) return tk.grouped_matmul(nodes(ids), matrices, by) end
  local h, r, t = project(batch.heads), self.relations(by), project(batch.tails)
  local sampled = project(batch.negatives)
  local near, far = (h + r - t):square():sum(2), (h + r - sampled):square():sum(2)
  return (near - far):softplus():mean()
    + tk.loss.l2(h, r, t, sampled) * (self.kg_l2 / h:size(1))
end

--- Alternating phases, each with an Adam of its own (main_kgat.py:90-91, 112-158).
function KGAT:phases(_, o)
  local steps = math.floor(self.graph.edges / o.kg_batch_size) + 1
  return {{name = 'cf', loss = self.loss},
          {name = 'kg', loss = self.kg_loss, bits = 32, steps = steps,
           sample = function() return self.graph:sample_triples(o.kg_batch_size) end}}
end

--- An evaluation uses the attention of the parameters as they are.
function KGAT:begin_evaluation() self:update_attention() end

--- Attention, as begin_evaluation left it.
function KGAT:explain() return {what = 'attention', self.attention} end

return tk.recipe{
  name = 'KGAT',
  source = 'Wang et al., KGAT: Knowledge Graph Attention Network for Recommendation, KDD 2019; '
    .. 'defaults of LunaBlack/KGAT-pytorch parser/parser_kgat.py, but from scratch',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'relation_dim', 64, 'size of relation vectors, to which nodes are projected'},
    {'layers', '64,32,16', 'outputs of each layer'},
    {'aggregator', 'bi', 'of a node and its neighbours\' sum', {'bi', 'gcn', 'graphsage'}},
    {'attention', true, 'false: each relation of a head weighs 1, shared by its edges'},
    {'parallel', 'merged', 'edges of a head and tail: scores added, or eq. 5', {'merged', 'apart'}},
    {'loops', false, 'keep triples of an entity with itself; in few bits, layers then keep more'},
    {'recompute', true, 'sum over edges again for backward: keeps least; false is faster'},
    {'bias', 'uniform', 'where layers begin; zeros: faster at first', {'uniform', 'zeros'}},
    {'dropout', 0.1, 'of each layer\'s output, while training'},
    {'node_dropout', 0, 'share of nodes whose edges are left out of a step'},
    {'l2', 1e-5, 'weight of 1/2 |final rows|^2 of the batch'},
    {'kg_l2', 1e-5, 'weight of 1/2 |projected rows|^2 of the batch of triples'},
    {'kg_batch_size', 2048, 'triples per step'},
    {'pretrain', '', 'best.safetensors of a run of bpr-mf.lua: users and items begin there'},
    {'draw', 'distinct_users'}, {'lr', 1e-4}, {'batch_size', 1024}, {'epochs', 1000},
    {'eval_every', 10}, {'patience', 10},
  },
  -- the authors' README; for last-fm their Log/training_log_last-fm.log:5 (the README has 1,024)
  presets = {['last-fm'] = {batch_size = 10240}, ['amazon-book'] = {}, yelp2018 = {}},
  l2 = 'in loss',
  build = function(data, o)
    local graph = tk.graph(data, {of = 'both', inverse = true, self_loops = o.loops and 'given'})
    local inputs, layers = o.dim, {}
    local self = setmetatable({
      graph = graph, user_nodes = tk.loader.user_nodes(data.users, graph.first_user),
      attention = tk.attention.new(graph, {
        weights = graph:normalized('relation').weights, merged = o.parallel == 'merged',
        one_way = true, fixed = not o.attention, back = not o.recompute}),
      nodes = tk.nn.Embedding(graph.nodes, o.dim), item_count = data.items,
      relations = tk.nn.Embedding(graph.relations, o.relation_dim),
      projections = tk.parameter(tk.xavier(graph.relations, o.dim, o.relation_dim, 'torch')),
      layers = layers, aggregator = AGGREGATORS[o.aggregator], recompute = o.recompute,
      drop = tk.nn.Dropout(o.dropout), node_dropout = o.node_dropout, l2 = o.l2, kg_l2 = o.kg_l2,
    }, KGAT)
    for k, size in ipairs(tk.nn.sizes(o.layers)) do
      local from = o.aggregator == 'graphsage' and 2 * inputs or inputs
      local function linear() return tk.nn.Linear(from, size, o.bias) end
      layers[k], inputs = {sum = linear(), product = o.aggregator == 'bi' and linear() or nil}, size
    end
    self.nodes:load_pretrained(o.pretrain, data, {users = graph.first_user, items = 0})
    return self
  end,
}
