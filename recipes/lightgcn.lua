--- LightGCN: embeddings of users and items smoothed over their interactions, nothing else.
--- Equation numbers are the paper's; files and lines are gusye1234/LightGCN-PyTorch's. Where its
--- C++ is built (code/sources/sampling.cpp) it draws each user equally often; this is its Python.
local tk = require 'tinykg'

local LightGCN = tk.nn.class('LightGCN', tk.nn.Ranker) -- eq. 5

--- The mean of the embeddings and of each layer's output (eq. 3, 4, 6, 8; code/model.py:140-172).
function LightGCN:node_embeddings()
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
  local u, i, j = self:batch_embeddings(batch)
  return tk.loss.interactions(u, i, j, batch.labels, batch.weights)
    + tk.loss.l2(self:batch_embeddings(batch, self.nodes.weight)) * (self.l2 / u:size(1))
end

--- The part of the score that depends on each interaction: its weight x gradient.
function LightGCN:explain(users, items) return tk.edges.gradient(self, {'graph'}, users, items) end

return tk.recipe{
  name = 'LightGCN',
  source = 'He et al., LightGCN: Simplifying and Powering Graph Convolution Network for '
    .. 'Recommendation, SIGIR 2020; defaults of gusye1234/LightGCN-PyTorch code/parse.py',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'layers', 3, 'steps that embeddings are spread'},
    {'dropout', 0, 'share of interactions left out of a step'},
    {'l2', 1e-4, 'weight of 1/2 |embeddings|^2 of the batch'},
    {'draw', 'users', 'uniformly, one positive of each'}, -- code/utils.py:72-92
    {'epochs', 1000, 'as many samples as there are training interactions, at most'},
    {'eval_every', 10, 'epochs from one validation to the next'}, -- code/main.py:43
    {'lr', 1e-3}, {'batch_size', 2048}, {'patience', 0},
  },
  -- kuandeng/LightGCN README.md, the authors' TensorFlow program
  presets = {['amazon-book'] = {layers = 4, batch_size = 1024, epochs = 200}},
  l2 = 'in loss',
  build = function(data, o)
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    return setmetatable({
      item_count = data.items, layers = o.layers, dropout = o.dropout, l2 = o.l2,
      graph = graph:normalized('symmetric'),
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user),
      nodes = tk.nn.Embedding(graph.nodes, o.dim, 0.1), -- normal: code/model.py:108
    }, LightGCN)
  end,
}
