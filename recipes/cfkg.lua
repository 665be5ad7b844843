--- CFKG: users are nodes of the knowledge graph, and taking an item is one more of its relations. A
--- translation embeds that graph: a user plus "takes" is near the items of the user. This is
--- RecBole's (recbole/model/knowledge_aware_recommender/cfkg.py), whose two tables of nodes are one
--- here. Distances l1 and l2 are those of the program in KGAT's repository
--- (xiangwang1223/knowledge_graph_attention_network Model/CFKG.py:118-129), whose default is l1,
--- trained by SGD (:142) where this is trained by Adam.
local tk = require 'tinykg'

local CFKG = tk.nn.class('CFKG')

--- How far h + r and t are apart.
local APART = {
  inner = function(x, t) return -tk.dot(x, t) end,
  l1 = function(x, t) return (x - t):abs():sum(2) end,
  l2 = function(x, t) return (x - t):square():sum(2) end, -- squared
}

function CFKG:apart(h, r, t) return APART[self.distance](h + r, t) end

--- Per triple: a true tail is near and a sampled one is not (cfkg.py:128-134), or it is nearer by a
--- margin.
function CFKG:losses(h, r, t, sampled)
  local near, far = self:apart(h, r, t), self:apart(h, r, sampled)
  if self.distance == 'inner' then return near:softplus() + (-far):softplus() end
  return (near - far + self.margin):relu()
end

--- The row of "takes", behind those of the graph's relations.
function CFKG:takes() return self.relations.weight:rows(self.relations.n, self.relations.n) end

--- Per interaction, the mean over its sampled items; labelled ones are to be near, or within the
--- margin, or not.
function CFKG:cf_losses(batch)
  local u, i, j = tk.loader.rows(self.nodes.weight, batch, self.user_nodes)
  if j then
    local n, d = i:size(1), i:size(2)
    local count, sampled = j:size(1) / n, j:reshape(n, -1)
    local losses = self:losses(u, self:takes(), i, sampled:narrow(2, 1, d))
    for k = 2, count do
      losses = losses + self:losses(u, self:takes(), i, sampled:narrow(2, (k - 1) * d + 1, d))
    end
    return count == 1 and losses or losses / count
  end
  local d, y = self:apart(u, self:takes(), i), batch.labels
  if self.distance == 'inner' then return d:softplus() - (1 - y) * d end
  return y * d + (1 - y) * (self.margin - d):relu()
end

--- A batch of interactions and one of the graph's triples in one mean (cfkg.py:94-117).
function CFKG:loss(batch)
  local losses, nodes = self:cf_losses(batch), self.nodes
  if batch.weights then losses = losses * batch.weights end
  if self.kg.edges == 0 then return losses:mean() end
  local kg = self.kg:sample_triples(self.kg_batch_size, 'triples')
  return tk.cat{losses, self:losses(nodes(kg.heads), self.relations(kg.relations), nodes(kg.tails),
                                    nodes(kg.negatives))}:mean()
end

--- Logits of pairs, [n]: above 0 where they are near, or within the margin.
function CFKG:score(users, items)
  local u, i = tk.loader.rows(self.nodes.weight, {users = users, items = items}, self.user_nodes)
  local near = -self:apart(u, self:takes(), i)
  return self.distance == 'inner' and near or near + self.margin
end

--- Scores of all items for each user, [n, items]; -|w - i|^2 = 2 w i - |i|^2 - |w|^2.
function CFKG:rank(users)
  local w = self.nodes(self.user_nodes:gather(users)) + self:takes()
  local items = self.nodes.weight:rows(1, self.items)
  local both = w:matmul(items, {transpose_b = true})
  if self.distance == 'inner' then return both end
  return both * 2 - items:square():sum(2) - w:square():sum(2):reshape(-1, 1) + self.margin
end

--- How near the ends of each triple are, "takes" among them: exp(-d), or the product's sigmoid.
function CFKG:explain(_, _, graph)
  return tk.edges.plausible(graph, self.relations.n, function(h, r, t)
    local d = self:apart(self.nodes(h), self.relations(r), self.nodes(t))
    return self.distance == 'inner' and d:softplus() or d
  end)
end

return tk.recipe{
  name = 'CFKG',
  source = 'Ai et al., Learning Heterogeneous Knowledge Base Embeddings for Explainable '
    .. 'Recommendation, Algorithms 2018; defaults of RecBole',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'distance', 'inner', 'of h + r and t; l2 is squared', {'inner', 'l1', 'l2'}},
    {'margin', 1, 'by which a true triple should be nearer; l1 and l2'},
    {'kg_batch_size', 2048, 'triples per step'},
    {'lr', 1e-3}, {'batch_size', 2048}, {'epochs', 300}, {'patience', 10},
  },
  build = function(data, o)
    local nodes, relations = data.entities + data.users, data.relations + 1
    return setmetatable({
      kg = tk.graph(data), kg_batch_size = o.kg_batch_size, margin = o.margin, items = data.items,
      distance = o.distance, rank = o.distance ~= 'l1' and CFKG.rank, -- by pairs
      user_nodes = tk.loader.user_nodes(data.users, data.entities),
      -- Xavier normal (recbole/model/init.py:20-44)
      nodes = tk.nn.Embedding(nodes, o.dim, math.sqrt(2 / (nodes + o.dim))),
      relations = tk.nn.Embedding(relations, o.dim, math.sqrt(2 / (relations + o.dim))),
    }, CFKG)
  end,
}
