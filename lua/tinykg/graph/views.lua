--- Other graphs of the same edges: transposed, weighted, or without some of the edges. They share
--- the packed array, which has all edges.
---
--- `left` [edges] is the product of all masks and dropouts: 0 where an edge is not there, else what
--- its weight is multiplied with. `mask` is that of the masks alone. `base` are the weights without
--- `left`, and `weights`, which sums read, the product of both.
local arrays = require 'tinykg.engine.arrays'
local by_relation = require 'tinykg.graph.weights.by_relation'
local of_left = require 'tinykg.graph.weights.of_left'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'
local triple_weights = require 'tinykg.graph.weights.of_triples'
local C = require 'tinykg.engine.lib'
local fail = runtime.fail

local methods = {}

local function copy(graph, changes)
  local made = tables.merged(graph, changes)
  made.left_counts = nil -- those of other edges, or of the other way
  return setmetatable(made, getmetatable(graph))
end

--- Exchanges heads and tails; edge values keep their order. Sampling and lookup, which read edges
--- by head, are errors.
---@return Graph
function methods:transpose()
  return copy(self, {layout = packed.flipped(self.layout), nodes = self.tail_nodes,
                     tail_nodes = self.nodes})
end

--- Changes when numbers are written to a tensor.
local function version_of(t) return t.kept and C.tkg_tensor_version(t.kept) end

--- The weights of the edges that lead back, for gradients of a sum with weights w; nil if unknown.
---@param graph Graph ---@param w Tensor [edges] ---@return Tensor?
local function weights_back(graph, w)
  local back = graph.back
  if back and back.of == w and back.version == version_of(w)
     and not packed.is_backward(graph.layout) then
    return back.weights
  end
end

--- The graph with weights, which aggregate multiplies with, in place of those that it had. What
--- masks and dropouts left out stays out. Where each edge has one that leads back, as with
--- `inverse` or `undirected`, gradients can read the weights of those from a second array and need
--- not look them up, which is faster. That they are those weights is not checked.
---@param weights Tensor [edges]
---@param back? Tensor [edges] constants: of each edge, the weight of the edge that leads back
---@return Graph sharing the memory
function methods:weighted(weights, back)
  if back and not packed.leads_back(self.layout) then
    fail('weighted: weights of edges that lead back, but not each edge has one (option `inverse`)')
  end
  back = back and {of = weights, weights = back, version = version_of(weights)}
  return copy(self, {base = weights, weights = self.left and weights * self.left or weights,
                     is_weighted = true, back = back})
end

local NORMALIZED = {row = true, symmetric = true, relation = true}

--- Weights by the degrees of a graph that has all its edges, each counted once.
local function by_degrees(graph, kind)
  local e, back = graph:triples(), packed.is_backward(graph.layout)
  local weights = arrays.floats(e.n)
  if kind == 'relation' then
    by_relation(e, graph.relations, not back and packed.read(graph, 'offsets') or nil, weights)
  end
  local by_head, by_tail = packed.degrees(graph, back), packed.degrees(graph, not back)
  for p = 0, kind ~= 'relation' and e.n - 1 or -1 do
    weights[p] = kind == 'row' and 1 / by_head[e.heads[p]]
      or 1 / math.sqrt(by_head[e.heads[p]] * by_tail[e.tails[p]])
  end
  local made = tensor.constant(tensor.F32, {e.n}, weights)
  arrays.free(e.heads, e.relations, e.tails, weights)
  return made
end

--- The graph with weights 1 / degree of the head ('row'); 1 / sqrt(degree of head x degree of tail)
--- ('symmetric': Kipf & Welling 2017, without the self loops); 1 / edges of the head by the same
--- relation ('relation': KGAT's first attention). After masks and dropouts degrees are those of
--- what is left; normalized before them, an edge keeps the weight that it has in the whole graph.
---@param kind string 'row', 'symmetric' or 'relation' ---@return Graph sharing the memory
function methods:normalized(kind)
  if not NORMALIZED[kind] then
    fail("normalized: '%s' is not row, symmetric or relation", tostring(kind))
  end
  if kind == 'relation' then packed.need_relations(self, 'normalized') end
  if self.left then return self:weighted(of_left(self, kind)) end
  if self.triple_weights then return self:weighted(triple_weights.normalized(self, kind)) end
  local made = by_degrees(self, kind)
  -- degrees of heads are those of tails: an edge and the one that leads back weigh the same
  local alike = kind == 'symmetric' and packed.leads_back(self.layout)
  return self:weighted(made, alike and made or nil)
end

--- The graph where what is left so far is multiplied by `left`, which is a mask or a dropout.
local function multiplied(graph, left, is_mask)
  local all, mask = graph.left and graph.left * left or left, graph.mask
  if is_mask then mask = mask and (mask == graph.left and all or mask * left) or left end
  return copy(graph, {weights = graph.base and graph.base * all or all, left = all, mask = mask})
end

--- In a step: the graph without edges dropped at random, each with probability p; weights of the
--- others are divided by 1 - p. Means are over the edges left. Shares of softmax stay those of all
--- edges, so that a sum with them has the same expectation; with `masked` they are over those left.
--- Saves nothing: backward draws the mask again. Dropouts and masks may follow each other.
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function methods:dropout(p)
  if p == 0 then return self end
  return multiplied(self, ops.full(1, self.edges):dropout(p))
end

--- The graph without the edges where `left` is 0; weights of the others are multiplied by it. Means
--- and softmax are over these. Masks and dropouts may follow each other: an edge is there if all
--- leave it. Edge values have a place for each edge still, and edges, heads(), tails(), triples()
--- and info() are those of the whole graph.
---
---   local g = tk.graph{head = {0, 0, 0}, tail = {0, 1, 2}, nodes = 3}
---   local part = g:masked(tk.tensor{1, 1, 0}):masked(tk.tensor{0, 1, 1})
---   print(part:aggregate(tk.tensor{{1}, {2}, {4}}, {reduce = 'mean'}):totable()[1][1]) --> 2
---@param left Tensor [edges] 0, or 1 or more ---@return Graph sharing the memory
function methods:masked(left) return multiplied(self, left, true) end

--- In a step: the graph without edges to nodes dropped at random, each with probability p; weights
--- of the others are divided by 1 - p (node dropout: Berg et al. 2017, NGCF). As with `dropout`,
--- means are over the edges left.
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function methods:node_dropout(p)
  if p == 0 then return self end
  return multiplied(self, ops.full(1, self.tail_nodes):dropout(p):gather(self:tails()))
end

return {methods = methods, weights_back = weights_back}
