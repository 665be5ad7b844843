--- Methods of graphs that sample neighbours and triples, or look edges up.
local arrays = require 'tinykg.engine.arrays'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local sample_triples = require 'tinykg.graph.sample_triples'
local tensor = require 'tinykg.engine.tensor'
local fail, record = runtime.fail, tensor.record

local methods = {}

local function is_transposed(graph) return packed.is_backward(graph.layout) end

--- Errors: the graph is transposed. `name`: a function that reads edges by head.
local function refuse_transposed(graph, name)
  if is_transposed(graph) then
    fail('%s: of the graph itself, not transposed: make one with heads and tails exchanged', name)
  end
end

--- Errors: the graph is transposed, or masks or dropouts left edges out of it. `name`: a function
--- that reads the packed array, which has all edges.
local function refuse_parts(graph, name)
  refuse_transposed(graph, name)
  if graph.left then
    fail('%s: masks or dropouts left edges out of this graph: call it on the graph that has ' ..
         'all, and mask what was drawn', name)
  end
end

--- Offsets, tails and relations, as ops read them with the layout. Errors: no relations.
local function rows_of(graph, name)
  packed.need_relations(graph, name)
  return graph:offsets(), graph:tails(), packed.view(graph, 'relations')
end

--- Samples k neighbours of each node of `ids`. They are distinct if a node has at least k; if it
--- has fewer, each is there equally often, up to one (KGCN's program samples with replacement and
--- misses some). A node without neighbours gets itself, by relation id `relations`.
---@param ids Tensor int32 [n] ---@param k integer
---@return Tensor tails int32 [n, k], Tensor relations int32 [n, k]
function methods:sample(ids, k)
  if k < 1 then fail('sample: %d neighbours asked for, expected 1 or more', k) end
  refuse_parts(self, 'sample')
  local offsets, tails, relations = rows_of(self, 'sample')
  local a = tensor.attribute()
  a.i[0], a.i[2], a.i[3] = k, self.relations, self.layout
  local pair = record('sample_neighbors', a, offsets, tails, relations, ids)
  local n = ids:count()
  return pair:rows(1, 1):reshape(n, k), pair:rows(2, 2):reshape(n, k)
end

--- Samples k neighbours of every node once, for KGCN. They take 8 k bytes per node. A node of
--- fewer than k has each equally often, as by `sample`, or, with replacement, some more often
--- than others, as in KGCN's program.
---@param k integer ---@param o? {replacement: boolean} false
---@return Tensor tails int32 [nodes, k], Tensor relations int32 [nodes, k]
function methods:neighborhood(k, o)
  runtime.options('neighborhood', o, 'replacement')
  refuse_parts(self, 'neighborhood')
  if o and o.replacement then return require('tinykg.graph.neighborhood')(self, k) end
  local tails, relations = self:sample(tensor.ids(arrays.range(self.nodes), self.nodes), k)
  return tails:keep(), relations:keep()
end

--- The same neighbours as an object that follows them hop by hop, for KGCN and KGNN-LS.
---@param k integer ---@param o? {replacement: boolean} as of neighborhood
---@return ReceptiveField
function methods:receptive_field(k, o)
  return require('tinykg.graph.receptive_field')(k, self:neighborhood(k, o))
end

--- Samples tails that make no edge with these heads and relations: negative triples. A head whose
--- edges by its relation lead to all tails gets any of them. Errors, when the step runs: ids that
--- are no head or no relation.
---@param heads Tensor int32 [n] ---@param relations Tensor int32 [n] ---@param count? integer 1
---@return Tensor int32 [n, count]
function methods:negatives(heads, relations, count)
  refuse_parts(self, 'negatives')
  local offsets, tails, by = rows_of(self, 'negatives')
  local a = tensor.attribute()
  a.i[0], a.i[2], a.i[3] = count or 1, self.tail_nodes, self.layout
  a.f[0] = self.relations
  return record('sample_tails', a, offsets, tails, by, heads, relations)
end

--- The weight of edge (rows[b], ids[b, j]), 1 in a graph without weights, `default` if there is
--- no edge or it was left out: entries of a sparse matrix. Of edges given twice, any. No gradient.
---@param rows Tensor int32 [b] heads ---@param ids Tensor int32 [b, j] tails, or other ids
---@param default? number 0
---@return Tensor [b, j]
function methods:lookup(rows, ids, default)
  refuse_transposed(self, 'lookup')
  local offsets, tails = self:offsets(), self:tails()
  local values = self.weights or ops.full(1, self.edges)
  if self.left and default then values = ops.where(self.left:gt(0), values, default) end
  local a = tensor.attribute()
  a.f[0] = default or 0
  return record('lookup', a, offsets, tails, rows, ids, values)
end

--- Ones on the diagonal [n, n]. Made once per n.
local function identity(graph, n)
  local shared, key = graph.shared, 'identity ' .. n
  if not shared[key] then
    local ones = arrays.floats(n * n)
    for i = 0, n - 1 do ones[i * (n + 1)] = 1 end
    shared[key] = tensor.constant(tensor.F32, {n, n}, ones)
    arrays.free(ones)
  end
  return shared[key]
end

--- Rows of the graph's matrix as a dense one: in row i, how many edges lead from node ids[i] to
--- each tail, or their weights' sum. No matrix of all nodes is made.
---@param ids Tensor int32 [n] distinct heads ---@return Tensor [n, tail nodes]
function methods:dense_rows(ids)
  refuse_transposed(self, 'dense_rows')
  local chosen = identity(self, ids:size(1)):scatter_add(ids, self.nodes) -- [heads, n]
  return self:transpose():aggregate(chosen):transpose()
end

--- Ripple sets (Wang et al. 2018) of lists of nodes: see tinykg.graph.ripple.
---@param seeds {rows: integer, offsets: ffi.cdata*, items: ffi.cdata*} a list of nodes per row,
---  as data:known() returns ---@param hops integer ---@param size integer triples per row and hop
---@param o? {replacement: boolean} false: of fewer triples, each is there at least once
---@return RippleSets by hop {heads, relations, tails}, each int32 [rows, size]
function methods:ripples(seeds, hops, size, o)
  runtime.options('ripples', o, 'replacement')
  refuse_parts(self, 'ripples')
  return require('tinykg.graph.ripple')(self, seeds, hops, size, o and o.replacement)
end

--- Samples a batch of triples, each with a negative tail: one that makes no edge with its head
--- and relation. A step's plan samples anew in each run.
---@param n integer
---@param by? string 'heads' (default): heads uniformly, then one edge of each, as KGAT's program;
---  'triples': triples uniformly, as RecBole. Distinct ones if there are as many
---@param o? {negatives: string} 'uniform' (default), or 'tails': tails of other triples, sampled in
---  the same way; `counts` is then 0 where one is a tail of the head, else 1
---@return {heads: Tensor, relations: Tensor, tails: Tensor, negatives: Tensor, counts: Tensor?}
---  int32 [n] each; counts f32 [n]
function methods:sample_triples(n, by, o)
  refuse_parts(self, 'sample_triples')
  return sample_triples(self, n, by, o)
end

--- Draws at most n edges of each head, without replacement: all of a head with fewer (selection
--- sampling, Knuth, TAOCP 2, 3.4.2). Not inside a step.
---@param n integer ---@return Tensor f32 [edges] 1 of the drawn ones, 0 of the others
function methods:at_most(n)
  refuse_parts(self, 'at_most')
  local numbers, offsets = ops.random('uniform', self.edges):values(), packed.read(self, 'offsets')
  for h = 0, self.nodes - 1 do
    local wanted = n
    for p = offsets[h], offsets[h + 1] - 1 do
      local drawn = numbers[p] * (offsets[h + 1] - p) < wanted
      numbers[p], wanted = drawn and 1 or 0, drawn and wanted - 1 or wanted
    end
  end
  arrays.free(offsets)
  return tensor.constant(tensor.F32, {self.edges}, numbers)
end

--- A mask of the n edges with the largest scores: 1 for these, 0 for the others; of equal scores
--- the lower edge number first. Edges that masks or dropouts left out are 0 and none of the n.
--- A constant: no gradient goes to the scores. With Gumbel noise added to logarithms of weights, n
--- edges are drawn without replacement, in proportion to their weights (Kool et al., ICML 2019):
---
---   local g, scores = tk.graph{head = {0, 0, 1}, tail = {1, 2, 2}, nodes = 3}, tk.rand(3)
---   local mask = g:top_k(scores:log() + tk.random('gumbel', g.edges), 2)
---   print(mask:sum():item()) --> 2
---@param scores Tensor [edges] ---@param n integer 0 or more; more than the edges are all
---@return Tensor f32 [edges]
function methods:top_k(scores, n)
  local edges = self.edges
  if scores:rank() ~= 1 or scores:size(1) ~= edges then
    fail('top_k: scores [%s] of a graph with %d edges', table.concat(scores:size(), ', '), edges)
  end
  if n < 0 or n % 1 ~= 0 then fail('top_k: n is %s, expected a number of edges', tostring(n)) end
  local there = self.left and self.left:gt(0)
  if there then scores = ops.where(there, scores, -math.huge) end
  local best = (n == 0 or n >= edges) and ops.full(n == 0 and 0 or 1, edges)
    or ops.top_k_mask(scores, n)
  return there and best * there or best
end

--- Draws a part of a graph of interactions (of = 'interactions', merged, undirected), both edges of
--- an interaction or none. Not inside a step.
---@param p number share that is left out, 0 <= p < 1
---@param what string 'edges': of the interactions; 'nodes': of the users and of the items
---@param before? Tensor weights that these replace: they are freed
---@return Tensor [edges] 1 / sqrt(degree of head x degree of tail) in the part, 0 of edges left out
function methods:subgraph_weights(p, what, before)
  refuse_parts(self, 'subgraph_weights')
  return require('tinykg.graph.subgraph')(self, p, what, before)
end

return {methods = methods, is_transposed = is_transposed,
        refuse_transposed = refuse_transposed}
