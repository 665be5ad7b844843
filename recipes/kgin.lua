--- KGIN: a user takes an item for intents, each a mixture of the graph's relations; an entity is
--- what comes along relational paths. Equation numbers are the paper's. Where the two differ, this
--- is what huangtinglin/Knowledge_Graph_based_Intent_Network computes; files below are its.
local tk = require 'tinykg'

local KGIN = tk.nn.class('KGIN', tk.nn.Ranker)

--- e_p = sum over relations of alpha(r, p) e_r, alpha = softmax of w (eq. 1, 2): [intents, d].
function KGIN:intents() return self.mixture:softmax():matmul(self.relations.weight) end

--- Final rows of users and of entities: e^0 + e^1 + ... (eq. 13). A hop reads the normalised rows
--- of the one before (modules/KGIN.py:189-203). A training step sees a part of the edges: each is
--- left out by node_dropout, where the program leaves out exactly a half (:85-90).
function KGIN:node_embeddings()
  local kg, taken, intents = self.kg, self.taken, self:intents()
  if self.training then
    kg, taken = kg:dropout(self.node_dropout), taken:dropout(self.node_dropout)
  end
  local u, e = self.users.weight, self.entities.weight
  local users, entities = u, e
  for _ = 1, self.hops do
    -- what a user took, through the lens of each intent (eq. 8); beta: eq. 9
    local beta = u:matmul(self.latent.weight, {transpose_b = true}):softmax()
    u = taken:aggregate(e:rows(1, self.item_count)) * (beta:matmul(intents) + 1)
    u = self.drop(u):normalize()
    users = users + u
    -- (1 / |N_v|) sum of e_r * e_t over the triples (v, r, t) (eq. 10, 11)
    e = kg:aggregate(e, {message = 'mul', reduce = 'mean', relation = self.relations.weight})
    e = self.drop(e):normalize()
    entities = entities + e
  end
  return users, entities
end

--- BPR (labelled data: cross-entropy), L2 of the batch's final rows, and how alike the intents'
--- mixtures are (eq. 3 to 5, 14, 15).
function KGIN:loss(batch)
  local loss = self:interaction_loss(batch, self.l2)
  if self.sim_weight == 0 then return loss end
  return loss + tk.loss.intent_regularizer(self.mixture, self.sim_kind) * self.sim_weight
end

--- The part of the score that depends on each edge, and the user's intents: beta, alpha of each.
function KGIN:explain(users, items)
  local why = tk.edges.gradient(self, {'kg', 'taken'}, users, items)
  local beta = self.users(users):matmul(self.latent.weight, {transpose_b = true}):softmax()
  why.intents = {weights = beta, relations = self.mixture:softmax()}
  why.note = 'rows are normalized, so the edges of a node weigh against each other'
  return why
end

return tk.recipe{
  name = 'KGIN',
  source = 'Wang et al., Learning Intents behind Interactions with Knowledge Graph for '
    .. 'Recommendation, WWW 2021; defaults of its program (utils/parser.py)',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'hops', 3, 'length of relational paths'},
    {'intents', 4, 'intents behind interactions'},
    {'sim_weight', 1e-4, 'weight of the intents\' independence in the loss'},
    {'sim_kind', 'distance', 'independence by', {'distance', 'cosine', 'mi'}},
    {'node_dropout', 0.5, 'share of edges and of interactions left out of a step'},
    {'dropout', 0.1, 'of what a hop gathered, while training'},
    {'l2', 1e-5, 'weight of 1/2 |final rows of the batch|^2'},
    {'drop_last', true}, -- main.py:100
    {'lr', 1e-4}, {'batch_size', 1024}, {'epochs', 1000}, {'eval_every', 10}, {'patience', 10},
  },
  -- README.md:51, 57, 63; it stops by the test set's recall (main.py:117-136), here by validation
  presets = {['last-fm'] = {}, ['amazon-book'] = {sim_weight = 1e-5}, ['alibaba-ifashion'] = {}},
  l2 = 'in loss',
  build = function(data, o)
    local relations = math.max(2 * data.relations, 1)
    -- e^0: as parts of one Xavier table of users and entities (modules/KGIN.py:243)
    local start = {bound = math.sqrt(6 / (data.users + data.entities + o.dim))}
    return setmetatable({
      hops = o.hops, item_count = data.items, l2 = o.l2, sim_weight = o.sim_weight,
      sim_kind = o.sim_kind, node_dropout = o.node_dropout,
      kg = tk.graph(data, {inverse = true}),
      taken = tk.graph(data, {of = 'interactions'}):normalized('row'),
      users = tk.nn.Embedding(data.users, o.dim, start),
      entities = tk.nn.Embedding(data.entities, o.dim, start),
      relations = tk.nn.Embedding(relations, o.dim),
      latent = tk.nn.Embedding(o.intents, o.dim),
      mixture = tk.parameter(tk.xavier(o.intents, relations)),
      drop = tk.nn.Dropout(o.dropout),
    }, KGIN)
  end,
}
