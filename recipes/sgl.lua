--- SGL: LightGCN that also learns to tell nodes apart: a node's rows in two random parts of the
--- graph are to be alike, and unlike those of other nodes. Files and lines are wujcan/SGL-Torch's,
--- whose computation this is. It stops by the test set's recall (SGL.py:303-318, 336-343), here by
--- validation.
local tk = require 'tinykg'

local SGL = tk.nn.class('SGL', tk.nn.Ranker)

--- The mean of the embeddings and of each layer's output, over the graph or a view of it: weights
--- of its edges, for all layers or for each (model/general_recommender/SGL.py:96-110).
function SGL:node_embeddings(view)
  local x = self.nodes
  local sum = x
  for k = 1, self.layers do
    local graph = view and self.graph:weighted(view[k] or view[1], view[k] or view[1])
      or self.graph
    x = graph:aggregate(x)
    sum = sum + x
  end
  return sum / (self.layers + 1)
end

--- Draws both views anew for an epoch (SGL.py:201-243, 252-263).
function SGL:begin_epoch()
  for _, view in ipairs(self.views) do
    for k = 1, self.augmentation == 'walk' and self.layers or 1 do
      local what = self.augmentation == 'nodes' and 'nodes' or 'edges'
      view[k] = self.graph:subgraph_weights(self.dropout, what, view[k])
    end
  end
end

--- InfoNCE of the batch's users and of its items, each among all (SGL.py:84-92, 283-285): means, of
--- users plus of items.
function SGL:contrast(batch)
  local n, items, t = batch.users:size(1), self.item_count, self.temperature
  local ids = tk.cat{self.user_nodes:gather(batch.users), batch.items}
  local one = self:node_embeddings(self.views[1]):gather(ids):normalize()
  local two = self:node_embeddings(self.views[2]):normalize()
  return tk.loss.contrast(one:rows(1, n), two:rows(items + 1, two:size(1)), t,
                          {positives = batch.users})
    + tk.loss.contrast(one:rows(n + 1, 2 * n), two:rows(1, items), t, {positives = batch.items})
end

--- BPR, InfoNCE and L2 of the batch's embeddings, as sums over the batch (SGL.py:272-287).
function SGL:loss(batch)
  local u, i, j = self:batch_embeddings(batch)
  local loss = tk.loss.interactions(u, i, j, batch.labels, batch.weights)
  if self.ssl_weight > 0 then loss = loss + self:contrast(batch) * self.ssl_weight end
  return loss * u:size(1) + tk.loss.l2(self:batch_embeddings(batch, self.nodes)) * self.l2
end

--- The part of the score that depends on each interaction: its weight x gradient.
function SGL:explain(users, items) return tk.edges.gradient(self, {'graph'}, users, items) end

return tk.recipe{
  name = 'SGL',
  source = 'Wu et al., Self-supervised Graph Learning for Recommendation, SIGIR 2021; defaults of '
    .. 'wujcan/SGL-Torch conf/SGL.ini',
  options = {
    {'dim', 64, 'size of embeddings'},
    {'layers', 3, 'steps that embeddings are spread'},
    {'augmentation', 'edges', 'what a view leaves out; walk: edges, others at each layer',
     {'edges', 'nodes', 'walk'}},
    {'dropout', 0.1, 'share of interactions, or of nodes, left out of a view'},
    {'ssl_weight', 0.1, 'weight of InfoNCE; 0: LightGCN'},
    {'temperature', 0.2, 'by which cosines are divided'},
    {'l2', 1e-4, 'weight of 1/2 |embeddings|^2 of the batch, summed'},
    {'draw', 'users', 'uniformly, one positive of each'}, -- data/sampler.py:105-138
    {'lr', 1e-3}, {'batch_size', 2048}, {'epochs', 1000}, {'patience', 10},
  },
  presets = { -- README.md; its log of amazon-book has l2 = 1e-3
    yelp2018 = {}, ['amazon-book'] = {ssl_weight = 0.5},
    ['alibaba-ifashion'] = {l2 = 1e-3, ssl_weight = 0.02, dropout = 0.4, temperature = 0.5},
  },
  l2 = 'in loss',
  build = function(data, o)
    local graph = tk.graph(data, {of = 'interactions', merged = true, undirected = true})
    return setmetatable({
      item_count = data.items, layers = o.layers, l2 = o.l2, ssl_weight = o.ssl_weight,
      augmentation = o.augmentation, dropout = o.dropout, temperature = o.temperature,
      graph = graph:normalized('symmetric'), views = {{}, {}},
      user_nodes = tk.loader.user_nodes(data.users, graph.first_user),
      nodes = tk.parameter(tk.cat{tk.xavier(data.items, o.dim), tk.xavier(data.users, o.dim)}),
    }, SGL)
  end,
}
