--- BPR-MF: matrix factorisation with Bayesian personalised ranking; the baseline without a graph.
--- Lines are of KGAT's repository, whose BPR-MF is the baseline of many tables:
--- xiangwang1223/knowledge_graph_attention_network Model/BPRMF.py. Its lr is 1e-4, its batch 1,024.
local tk = require 'tinykg'

local Model = tk.nn.class('BPR-MF', tk.nn.Ranker)

--- Pairwise ranking of a known item above a sampled one (on labelled data, cross-entropy), and
--- L2 of the batch's rows, summed (lines 76-86). L2 of whole tables would be all the gradient that
--- most rows have, and Adam makes much of the smallest gradient.
function Model:loss(batch)
  local u, i, j = self:batch_embeddings(batch)
  return tk.loss.interactions(u, i, j, batch.labels, batch.weights)
    + tk.loss.l2(u, i, j) * self.l2
end

--- The rows by whose product a pair is scored.
function Model:node_embeddings() return self.users.weight, self.items.weight end

--- It does not see the graph.
function Model.explain() return {what = 'nothing', note = 'BPR-MF does not see the graph'} end

return tk.recipe{
  name = 'BPR-MF',
  source = 'Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'l2', 1e-5, 'weight of 1/2 |rows of the batch|^2'},
    {'lr', 0.001}, {'batch_size', 2048}, {'epochs', 100}, {'patience', 10},
  },
  l2 = 'in loss',
  build = function(data, o)
    return setmetatable({
      l2 = o.l2,
      users = tk.nn.Embedding(data.users, o.dim),
      items = tk.nn.Embedding(data.items, o.dim),
    }, Model)
  end,
}
