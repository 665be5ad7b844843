--- CKE, the structural part: an item is its own vector plus its entity's, which TransR learns from
--- the knowledge graph in the same step. It has no texts and images, like the program in KGAT's
--- repository (xiangwang1223/knowledge_graph_attention_network, files below Model/), whose
--- computation this is.
local tk = require 'tinykg'

local CKE = tk.nn.class('CKE', tk.nn.Ranker)

--- Item vectors: the part that interactions teach and the part that the graph does.
function CKE:item(ids) return self.items(ids) + self.entities(ids) end

--- TransR on unit vectors: |W_r e_h + r - W_r e_t|^2 for each of several tails (CKE.py:99-122).
function CKE:distances(heads, relations, ...)
  local function projected(ids)
    return tk.grouped_matmul(self.entities(ids), self.projections, relations):normalize()
  end
  local from, out = projected(heads) + self.relations(relations):normalize(), {}
  for k, tails in ipairs{...} do out[k] = (from - projected(tails)):square():sum(2) end
  return unpack(out)
end

--- Smaller for a true tail than for a sampled one. (The program's L2 of unit vectors, CKE.py:144,
--- is a constant.)
function CKE:kg_loss(batch)
  local near, far = self:distances(batch.heads, batch.relations, batch.tails, batch.negatives)
  return (near - far):softplus():mean()
end

--- Both losses of one step; L2 as a sum over the batch (CKE.py:149-161).
function CKE:loss(batch)
  local u, i = self.users(batch.users), self:item(batch.items)
  local j = batch.negatives and self:item(batch.negatives:reshape(-1))
  local loss = tk.loss.interactions(u, i, j, batch.labels, batch.weights)
    + tk.loss.l2(u, i, j) * self.l2
  if self.kg.edges == 0 then return loss end
  return loss + self:kg_loss(self.kg:sample_triples(self.kg_batch_size))
end

--- Vectors of all users and items.
function CKE:node_embeddings()
  return self.users.weight, self.items.weight + self.entities.weight:rows(1, self.items.n)
end

--- How near the ends of each triple are.
function CKE:explain()
  return tk.edges.plausible(self.kg, self.relations.n, function(...)
    return self:distances(...)
  end)
end

return tk.recipe{
  name = 'CKE',
  source = 'Zhang et al., Collaborative Knowledge Base Embedding for Recommender Systems, KDD '
    .. '2016; defaults of the program in KGAT\'s repository (utility/parser.py)',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'relation_dim', 64, 'size of relation vectors, to which entities are projected'},
    {'l2', 1e-5, 'weight of 1/2 |rows|^2 of the batch, summed'},
    {'kg_batch_size', 'auto', 'triples per step; auto: an epoch has as many as the graph'},
    {'draw', 'distinct_users'}, {'lr', 1e-4}, {'batch_size', 1024}, {'patience', 10},
    {'epochs', 100}, {'eval_every', 10}, -- parser.py:24; Main.py:286, 324
  },
  l2 = 'in loss',
  optimizer = {eps_hat = 1e-8}, -- TensorFlow 1's Adam (CKE.py:97)
  build = function(data, o)
    local kg = tk.graph(data)
    -- utility/load_data.py:38
    local triples = math.floor(kg.edges / math.max(math.floor(data.train.n / o.batch_size), 1))
    return setmetatable({
      kg = kg, l2 = o.l2,
      kg_batch_size = o.kg_batch_size == 'auto' and math.max(triples, 1)
        or tonumber(o.kg_batch_size),
      users = tk.nn.Embedding(data.users, o.dim),
      items = tk.nn.Embedding(data.items, o.dim),
      -- Xavier of [entities, 1, dim] as TensorFlow counts: 8 times less than a matrix's (CKE.py:69)
      entities = tk.nn.Embedding(data.entities, o.dim, {
        bound = math.sqrt(6 / (data.entities * (1 + o.dim)))}),
      relations = tk.nn.Embedding(math.max(data.relations, 1), o.relation_dim),
      projections = tk.parameter(tk.xavier(math.max(data.relations, 1), o.dim, o.relation_dim)),
    }, CKE)
  end,
}
