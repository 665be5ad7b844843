--- CFKG: taking an item is one more relation of a knowledge graph with users in it, and TransE
--- embeds that graph: a user plus "takes" lies near the user's items.
local tk = require 'tinykg'

local CFKG = tk.nn.class('CFKG')

--- d(h, r, t) = |h + r - t|^2.
local function distance(h, r, t) return (h + r - t):square():sum(2) end

--- A true triple is nearer than one with a drawn tail, by a margin of 1.
function CFKG:loss(batch)
  local h, r = self.nodes(batch.heads), self.relations(batch.relations)
  local near = distance(h, r, self.nodes(batch.tails))
  local far = distance(h, r, self.nodes(batch.negatives))
  return (near - far + self.margin):relu():mean()
end

--- All training is on triples, of interactions and of the graph alike: as many steps as batches
--- that hold the interactions once, as the code.
function CFKG:phases(data, o)
  return {{name = 'kg', loss = self.loss, steps = math.floor(data.train.n / o.batch_size) + 1,
           draw = function() return self.graph:draw(o.batch_size) end}}
end

--- u + "takes" of each user.
function CFKG:wanted(users)
  local takes = self.relations.weight:rows(self.takes + 1, self.takes + 1)
  return self.nodes(self.user_nodes:gather(users)) + takes
end

--- Logits of pairs: -d(u, takes, i), [n].
function CFKG:score(users, items)
  return -(self:wanted(users) - self.nodes(items)):square():sum(2)
end

--- Scores of all items for each user, [n, items]: -|w - i|^2 = 2 w i - |i|^2 - |w|^2.
function CFKG:rank(users)
  local w, items = self:wanted(users), self.nodes.weight:rows(1, self.items)
  return w:matmul(items, {transpose_b = true}) * 2 - items:square():sum(2)
    - w:square():sum(2):reshape(-1, 1)
end

return tk.recipe{
  name = 'CFKG',
  source = 'Ai et al., Learning Heterogeneous Knowledge Base Embeddings for Explainable '
    .. 'Recommendation, Algorithms 2018; loss of the code in KGAT\'s repository, Adam and lr of '
    .. 'RecBole',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'margin', 1, 'by which a true triple should be nearer'},
    {'lr', 1e-3, 'learning rate of Adam'},
    {'batch_size', 1024, 'triples a step'},
    {'epochs', 400, 'of as many steps as pass over the interactions once, at most'},
    {'patience', 50, 'epochs without improvement before training stops; 0 = never'},
  },
  build = function(data, o)
    local graph = tk.graph(data, {of = 'both', inverse = true})
    return setmetatable({
      graph = graph, items = data.items, margin = o.margin, takes = data.relations,
      user_nodes = tk.feed.user_nodes(data.users, graph.first_user),
      nodes = tk.nn.Embedding(graph.nodes, o.dim),
      relations = tk.nn.Embedding(graph.relations, o.dim),
    }, CFKG)
  end,
}
