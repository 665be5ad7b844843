--- BPR-MF: matrix factorisation with Bayesian personalised ranking; the baseline without a graph.
--- It follows no program: L2 is of all parameters, where the one in KGAT's repository
--- (xiangwang1223/knowledge_graph_attention_network Model/BPRMF.py:77-82) sums it over the batch's
--- rows, and RecBole (recbole/model/general_recommender/bpr.py) has none.
local tk = require 'tinykg'

local Model = tk.nn.class('BPR-MF', tk.nn.Ranker)

--- Pairwise ranking of a known item above a sampled one; on labelled data, cross-entropy.
function Model:loss(batch)
  local u, i = self.users(batch.users), self.items(batch.items)
  if batch.labels then return tk.loss.bce(tk.dot(u, i), batch.labels) end
  local d = self.items.d
  local j = self.items(batch.negatives) -- [n, negatives, d]
  local u3 = u:reshape(-1, 1, d)
  return tk.loss.bpr(tk.dot(u, i):reshape(-1, 1), (u3 * j):sum(3))
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
    {'l2', 1e-5}, {'lr', 0.001}, {'batch_size', 2048}, {'epochs', 100}, {'patience', 10},
  },
  build = function(data, o)
    return setmetatable({
      users = tk.nn.Embedding(data.users, o.dim),
      items = tk.nn.Embedding(data.items, o.dim),
    }, Model)
  end,
}
