--- LightGCN: embeddings of users and items smoothed over their interactions, nothing else.
--- Equation numbers are the paper's; files and lines are gusye1234/LightGCN-PyTorch's.
local tk = require 'tinykg'

local LightGCN = tk.nn.class('LightGCN')

--- Final rows: the mean of the embeddings and of what each layer makes of them (eq. 3, 4, 6, 8;
--- code/model.py:140-172).
function LightGCN:all()
  local graph, x = self.graph, self.nodes.weight
  if self.training then graph = graph:dropout(self.dropout) end
  local sum = x
  for _ = 1, self.layers do
    x = graph:aggregate(x)
    sum = sum + x
  end
  return sum / (self.layers + 1)
end

--- BPR of the batch; L2 of its embeddings, not of its final rows (eq. 15; code/model.py:191-204).
function LightGCN:loss(batch)
  local u, i, j = tk.loader.rows(self:all(), batch, self.user_nodes)
  return tk.loss.interactions(u, i, j, batch.labels)
    + tk.loss.l2(tk.loader.rows(self.nodes.weight, batch, self.user_nodes)) * (self.l2 / u:size(1))
end

--- Final rows, computed once for a whole evaluation.
function LightGCN:prepare() return self:all() end

tk.loader.scores_by_rows(LightGCN) -- eq. 5

--- What of the score hangs on each interaction.
function LightGCN:explain(users, items) return tk.edges.gradient(self, {'graph'}, users, items) end

return tk.recipe{
  name = 'LightGCN',
  source = 'He et al., LightGCN: Simplifying and Powering Graph Convolution Network for '
    .. 'Recommendation, SIGIR 2020; defaults of gusye1234/LightGCN-PyTorch code/parse.py',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'layers', 3, 'how far embeddings are spread'},
    {'dropout', 0, 'share of interactions left out of a step'},
    {'lr', 1e-3, 'learning rate of Adam'},
    {'l2', 1e-4, 'weight of 1/2 |embeddings|^2 of the batch'},
    {'draw', 'users', 'uniformly, a positive each'}, -- code/utils.py:72-92
    {'batch_size', 2048, 'users or interactions a step'},
    {'epochs', 1000, 'as many draws as there are training interactions, at most'},
    {'eval_every', 10, 'epochs from one validation to the next'}, -- code/main.py:43
    {'patience', 0, 'validations without improvement before training stops; 0 = never'},
  },
  -- kuandeng/LightGCN README.md, the authors' TensorFlow program
  presets = {['amazon-book'] = {layers = 4, batch_size = 1024, epochs = 200}},
  -- L2 is in the loss
  optimizer = function(o) return tk.optim.adam{lr = o.lr, bits = o.optimizer_bits} end,
  build = function(data, o)
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    return setmetatable({
      items = data.items, layers = o.layers, dropout = o.dropout, l2 = o.l2,
      graph = graph:normalized('symmetric'),
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user),
      nodes = tk.nn.Embedding(graph.nodes, o.dim, 0.1), -- normal: code/model.py:108
    }, LightGCN)
  end,
}
