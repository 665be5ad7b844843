--- CKAN: a user is what lies around the items in the history, hop by hop along the knowledge graph;
--- an item is what lies around the items that its users know. Files and lines are weberrr/CKAN's
--- below src/, whose computation this is, but AUC and F1 are of a whole part (train.py:38-56: means
--- over batches), and users without a positive item (left out by data_loader.py:45-47) stay.
local tk = require 'tinykg'

local CKAN = tk.nn.class('CKAN', tk.nn.Ranker)

--- Each set's sum of tails as heads and relations weigh them (model.py:13-20, 122-131), [n, d].
--- The weights are left in set.weights.
function CKAN:attend(set, size)
  local x = tk.cat({set.h, self.relations(set.r)}, 2)
  set.weights = self.attention(x):sigmoid():reshape(-1, size):softmax()
  return tk.neighbor_sum(set.weights, set.t)
end

--- Vectors of one hop after the other, and the mean of the entities where the first hop begins.
function CKAN:propagate(sets, size, ids)
  local hops, first = {}, nil
  for k, set in sets:gather(ids, self.entities) do
    first = first or set.h:reshape(-1, size, self.entities.d):mean(2)
    hops[k] = self:attend(set, size)
  end
  return hops, first
end

--- How the vectors of a user, or of an item, become one (model.py:79-97).
local AGGREGATORS = {
  concat = function(list) return tk.cat(list, 2) end,
  sum = function(list)
    local sum = list[1]
    for k = 2, #list do sum = sum + list[k] end
    return sum
  end,
  pool = function(list)
    local most = list[1]
    for k = 2, #list do most = most + (list[k] - most):relu() end
    return most
  end,
}

--- Users' vectors: what the history is, then each hop (model.py:32-46).
function CKAN:user_vectors(users)
  local list, first = self:propagate(self.of_users, self.user_triples, users)
  table.insert(list, 1, first)
  return AGGREGATORS[self.aggregator](list)
end

--- Items' vectors: the item's own entity and each hop (model.py:48-69).
function CKAN:item_vectors(items)
  local list, first = self:propagate(self.of_items, self.item_triples, items)
  table.insert(list, 1, self.entities(items))
  if self.aggregator ~= 'concat' then list[#list + 1] = first end
  return AGGREGATORS[self.aggregator](list)
end

--- Vectors of all users and items.
function CKAN:node_embeddings()
  local function all(n, size, vectors)
    local floats = 2 * size * self.entities.d
    return tk.loader.all_rows(n, floats, function(ids) return vectors(self, ids) end)
  end
  return all(self.users, self.user_triples, self.user_vectors),
    all(self.items, self.item_triples, self.item_vectors)
end

--- Cross-entropy of labels; without labels, of known items (1) and sampled ones (0).
function CKAN:loss(batch)
  local u = self:user_vectors(batch.users)
  local function logits(items) return tk.dot(u, self:item_vectors(items)) end
  return tk.loss.sampled_bce(logits(batch.items), batch, logits)
end

--- The weight of each triple around the user's items and around the item's.
function CKAN:explain(users, items)
  local why = {what = 'attention'}
  for _, of in ipairs{{self.of_users, self.user_triples, users},
                      {self.of_items, self.item_triples, items}} do
    for _, set in of[1]:gather(of[3], self.entities) do
      self:attend(set, of[2])
      why[#why + 1] = set
    end
  end
  return why
end

return tk.recipe{
  name = 'CKAN',
  source = 'Wang et al., CKAN: Collaborative Knowledge-aware Attentive Network for Recommender '
    .. 'Systems, SIGIR 2020; defaults of its program (src/main.py)',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'layers', 3, 'hops along the knowledge graph'},
    {'user_triples', 8, 'sampled triples of each user and hop'},
    {'item_triples', 64, 'sampled triples of each item and hop'},
    {'aggregator', 'concat', 'of the hops\' vectors', {'concat', 'sum', 'pool'}},
    {'l2', 1e-5}, {'lr', 2e-3}, {'batch_size', 2048}, {'epochs', 20}, {'patience', 0},
  },
  presets = {music = {}, book = {layers = 2, user_triples = 16}, -- README.md:82-103
             movie = {layers = 1, user_triples = 32}, restaurant = {layers = 1, user_triples = 16}},
  build = function(data, o)
    local graph, d = tk.graph(data, {one_way = true}), o.dim
    local function linear(n, m) return tk.nn.Linear(n, m, false) end
    local function relu(x) return x:relu() end
    -- once (data_loader.py:108-137); of seeds without triples, any of the graph's
    local function sample(seeds, size)
      return graph:ripples(seeds, o.layers, size, {replacement = true})
    end
    return setmetatable({
      users = data.users, items = data.items, aggregator = o.aggregator,
      user_triples = o.user_triples, item_triples = o.item_triples,
      of_users = sample(data:known(), o.user_triples),
      of_items = sample(tk.loader.collaborators(data), o.item_triples),
      entities = tk.nn.Embedding(data.entities, d),
      relations = tk.nn.Embedding(data.relations, d),
      attention = tk.nn.Sequential(linear(2 * d, d), relu, linear(d, d), relu, linear(d, 1)),
    }, CKAN)
  end,
}
