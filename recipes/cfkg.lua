--- CFKG: taking an item is one more relation of the knowledge graph, with users among its nodes.
--- TransE embeds that graph: a user plus "takes" lies near the items of the user.
local tk = require 'tinykg'

local CFKG = tk.nn.class('CFKG')

--- |h + r - t|^2 of each triple.
local function distance(h, r, t) return (h + r - t):square():sum(2) end

--- A true tail is nearer than a drawn one, by a margin.
function CFKG:hinge(h, r, t, drawn)
  return (distance(h, r, t) - distance(h, r, drawn) + self.margin):relu():mean()
end

--- The row of "takes", behind those of the graph's relations.
function CFKG:takes() return self.relations.weight:rows(self.relations.n, self.relations.n) end

--- Interactions; labelled ones are to lie within the margin or outside.
function CFKG:cf_loss(batch)
  local u, i, j = tk.feed.rows(self.nodes.weight, batch, self.user_nodes)
  if j then return self:hinge(u, self:takes(), i, j) end
  local d = distance(u, self:takes(), i)
  return (batch.labels * d + (1 - batch.labels) * (self.margin - d):relu()):mean()
end

--- A batch of interactions and one of the graph's triples, in one step.
function CFKG:loss(batch)
  local loss = self:cf_loss(batch)
  if self.kg.edges == 0 then return loss end
  local kg, nodes = self.kg:draw(self.kg_batch_size), self.nodes
  return loss + self:hinge(nodes(kg.heads), self.relations(kg.relations), nodes(kg.tails),
                           nodes(kg.negatives))
end

--- Logits of pairs, [n]: above 0 within the margin.
function CFKG:score(users, items)
  local u, i = tk.feed.rows(self.nodes.weight, {users = users, items = items}, self.user_nodes)
  return -distance(u, self:takes(), i) + self.margin
end

--- Scores of all items for each user, [n, items]: -|w - i|^2 = 2 w i - |i|^2 - |w|^2.
function CFKG:rank(users)
  local w = self.nodes(self.user_nodes:gather(users)) + self:takes()
  local items = self.nodes.weight:rows(1, self.items)
  return w:matmul(items, {transpose_b = true}) * 2 - items:square():sum(2)
    - w:square():sum(2):reshape(-1, 1) + self.margin
end

--- How near the ends of each triple are, "takes" among them.
function CFKG:explain(_, _, graph)
  return tk.edges.plausible(graph, self.relations.n, function(h, r, t)
    return distance(self.nodes(h), self.relations(r), self.nodes(t))
  end)
end

return tk.recipe{
  name = 'CFKG',
  source = 'Ai et al., Learning Heterogeneous Knowledge Base Embeddings for Explainable '
    .. 'Recommendation, Algorithms 2018; loss of the code in KGAT\'s repository, batches and '
    .. 'defaults of RecBole',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'margin', 1, 'by which a true triple should be nearer'},
    {'lr', 1e-3, 'learning rate of Adam'},
    {'batch_size', 2048, 'interactions a step'},
    {'kg_batch_size', 2048, 'triples a step'},
    {'epochs', 300, 'passes over the training interactions, at most'},
    {'patience', 10, 'epochs without improvement before training stops; 0 = never'},
  },
  build = function(data, o)
    return setmetatable({
      kg = tk.graph(data), kg_batch_size = o.kg_batch_size, margin = o.margin, items = data.items,
      user_nodes = tk.feed.user_nodes(data.users, data.entities),
      nodes = tk.nn.Embedding(data.entities + data.users, o.dim),
      relations = tk.nn.Embedding(data.relations + 1, o.dim),
    }, CFKG)
  end,
}
