--- Graphs: edges (head, relation, tail) packed once in both orientations, and the ops on them.
--
-- Edge values (weights, scores, what dot and softmax give) are vectors [edges] in the graph's own
-- order: by head, then by tail. triples() says which edge is where.
local bit = require 'bit'
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local build = require 'tinykg.graph.build'
local by_relation = require 'tinykg.graph.by_relation'
local ops = require 'tinykg.engine.ops'
local parallel = require 'tinykg.graph.parallel'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'
local sample_triples = require 'tinykg.graph.sample_triples'
local tensor = require 'tinykg.engine.tensor'
local check, fail, record = runtime.check, runtime.fail, tensor.record

local BACKWARD = C.TKG_GRAPH_BACKWARD

local make

---@class Graph
---@field nodes integer heads (and tails, unless the graph is from one kind of node to another)
---@field tail_nodes integer tails, where they are nodes of another kind; else as many as nodes
---@field relations integer? relation ids, inverses and loops included; an isolated node's sampled
---  neighbour is itself by relation id `relations`, so tables for them need `relations + 1` rows
---@field edges integer with inverses and loops
---@field of string? of a graph of a data set: 'kg', 'interactions' or 'both'
---@field first_user integer? the node of user 0, in a graph of a data set with users
---@field weights Tensor? [edges]: constants or values that aggregate multiplies with
local Graph = {}
Graph.__index = Graph

local function new(fields) return setmetatable(fields, Graph) end

local function copy(self, changes)
  local fields = {}
  for key, value in pairs(self) do fields[key] = value end
  for key, value in pairs(changes) do fields[key] = value end
  return new(fields)
end

--- Ids of one part of the packed array: a view, whose memory is the graph's.
local function part(self, first, count) return self.packed:narrow(1, first + 1, count) end

local function is_transposed(self) return bit.band(self.layout, BACKWARD) ~= 0 end

--- What reads edges by head, in the graph's order, cannot do so by tail.
local function refuse_transposed(self, name)
  if is_transposed(self) then
    fail('%s: of the graph itself, not transposed: make one with heads and tails exchanged', name)
  end
end

--- Heads, tails and edges of the packed array, which is read by them; the fields are for looking.
local function sizes(self)
  local c = self.counts
  local back = is_transposed(self)
  if self.nodes ~= (back and c.tails or c.heads) or self.tail_nodes ~= (back and c.heads or c.tails)
     or self.edges ~= c.edges or self.relations ~= c.relations then
    fail('a graph has the nodes, relations and edges that it was made with: they cannot be set')
  end
  return c.heads, c.tails, c.edges
end

--- [heads + 1] places where the edges of each head begin. ---@return Tensor
function Graph:offsets()
  refuse_transposed(self, 'offsets')
  return part(self, 0, (sizes(self)) + 1)
end

--- Tail of each edge as it is packed.
local function packed_tails(self)
  local heads, _, e = sizes(self)
  return part(self, heads + 1, e)
end

--- Relation of each edge [edges]. ---@return Tensor
function Graph:edge_relations()
  local heads, _, e = sizes(self)
  if not self.relations then fail('this graph has no relations') end
  return part(self, heads + 1 + e, e)
end

--- Head of each edge as it is packed: made when first asked for.
local function packed_heads(self)
  if not self.shared.heads then
    local n, _, e = sizes(self)
    local offsets, heads = self.packed:values(), ffi.new('int32_t[?]', e + 1)
    for h = 0, n - 1 do
      for p = offsets[h], offsets[h + 1] - 1 do heads[p] = h end
    end
    self.shared.heads = tensor.create(tensor.I32, {e}, 'graph'):write(heads, 0, e)
  end
  return self.shared.heads
end

--- Head of each edge [edges]. ---@return Tensor
function Graph:heads() return (is_transposed(self) and packed_tails or packed_heads)(self) end
--- Tail of each edge [edges]. ---@return Tensor
function Graph:tails() return (is_transposed(self) and packed_heads or packed_tails)(self) end

--- The edges in the graph's order, as FFI arrays: {n, heads, relations, tails}. ---@return table
function Graph:triples()
  local n, _, e = sizes(self)
  local packed = self.packed:values()
  local out = {n = e, heads = packed_heads(self):values(), tails = ffi.new('int32_t[?]', e + 1)}
  ffi.copy(out.tails, packed + n + 1, 4 * e)
  if is_transposed(self) then out.heads, out.tails = out.tails, out.heads end
  if self.relations then
    out.relations = ffi.new('int32_t[?]', e + 1)
    ffi.copy(out.relations, packed + n + 1 + e, 4 * e)
  end
  return out
end

-- ---- recording ----

--- Attributes of an op on this graph. ---@param flip? boolean the other way
local function on(self, flip)
  local a = tensor.attribute()
  a.i[0], a.i[1], a.i[2] = sizes(self)
  a.i[3] = flip and bit.bxor(self.layout, BACKWARD) or self.layout
  return a
end

local function op(self, name, ...) return record(name, on(self), self.packed, ...) end

--- A column of ones, a tail each: aggregating it counts edges. Made once.
local function ones(self)
  local shared = self.shared
  if not shared.ones or shared.ones:size(1) ~= self.tail_nodes then
    shared.ones = tensor.create(tensor.F32, {self.tail_nodes, 1}, 'graph')
    check(C.tkg_tensor_fill(shared.ones.kept, 1))
  end
  return shared.ones
end

--- Edges of each head, or of each tail: FFI doubles.
local function degrees(self, of_tails)
  local heads, tails, e = sizes(self)
  local packed, out = self.packed:values(), ffi.new('double[?]', math.max(heads, tails) + 1)
  for h = 0, of_tails and -1 or heads - 1 do out[h] = packed[h + 1] - packed[h] end
  for p = heads + 1, of_tails and heads + e or 0 do out[packed[p]] = out[packed[p]] + 1 end
  return out
end

--- 1 / (edges of each head), 0 without any, as a column. Made once.
local function inverse_degrees(self)
  local back = is_transposed(self)
  local key = back and 'by_tail' or 'by_head'
  if not self.shared[key] then
    local degree, inverse = degrees(self, back), ffi.new('float[?]', self.nodes + 1)
    for h = 0, self.nodes - 1 do inverse[h] = degree[h] > 0 and 1 / degree[h] or 0 end
    self.shared[key] = tensor.create(tensor.F32, {self.nodes, 1}, 'graph')
      :write(inverse, 0, self.nodes)
  end
  return self.shared[key]
end

local function weights_of(self, w)
  if w and self.weights then return self.weights * w end
  return w or self.weights
end

local function summed(self, x, relation, w)
  if relation then
    if w then return op(self, 'aggregate_mul', x, relation, w) end
    return op(self, 'aggregate_mul', x, relation)
  end
  if w then return op(self, 'aggregate', x, w) end
  return op(self, 'aggregate', x)
end

--- The graph from the nodes to the relations of their edges. Made once, and once more transposed.
local function relations_of(self)
  local key = is_transposed(self) and 'relations_by_tail' or 'relations_by_head'
  if not self.relations then fail('aggregate: this graph has no relations') end
  if not self.shared[key] then
    local e = self:triples()
    local packed, layout = build.pack{n = e.n, heads = e.heads, tails = e.relations,
                                      nodes = self.nodes, tail_nodes = self.relations}
    self.shared[key] = new{packed = packed, layout = layout, edges = e.n, nodes = self.nodes,
                           tail_nodes = self.relations, shared = {},
                           counts = {heads = self.nodes, tails = self.relations, edges = e.n}}
  end
  return self.shared[key]
end

--- Sum over edges of r[relation]: relation vectors summed as tails would be.
local function summed_relations(self, r, w)
  if w then fail('aggregate: add and sub take no weight; use mul or copy') end
  return op(relations_of(self), 'aggregate', r)
end

--- The mean: by how many edges there are, or by how many of a sample are left. What is left weighs
--- 1 / (1 - p), at least 1: a head without any is 0 whatever divides it, and 1 passes its gradient
--- on (which may be large already behind normalize) unharmed.
local function averaged(self, sum)
  if not self.left then return sum * inverse_degrees(self) end
  self.left_count = self.left_count
    or op(self, 'aggregate', ones(self), self.left):clamp(1, math.huge)
  return sum / self.left_count
end

local MESSAGES = {copy = true, mul = true, add = true, sub = true}

--- The largest of the tails' rows.
local function largest(self, x, o, w)
  if o.message and o.message ~= 'copy' or w then
    fail('aggregate: max takes the message copy, without weights')
  end
  return op(self, 'aggregate_pick', x, op(self, 'aggregate_argmax', x))
end

local function aggregated(self, x, o)
  local reduce, message = o.reduce or 'sum', o.message or (o.relation and 'mul' or 'copy')
  if not MESSAGES[message] then
    fail("aggregate: message '%s' is not one of copy, mul, add, sub", tostring(message))
  end
  if (message ~= 'copy') ~= (o.relation ~= nil) then
    fail("aggregate: message '%s' and relation vectors %s", message,
         o.relation and 'given' or 'missing')
  end
  local w = weights_of(self, o.weight)
  if reduce == 'max' then return largest(self, x, o, w) end
  if reduce ~= 'sum' and reduce ~= 'mean' then
    fail("aggregate: reduce '%s' is not one of sum, mean, max", tostring(reduce))
  end
  local sum
  if message == 'add' or message == 'sub' then
    local r = summed_relations(self, o.relation, w)
    sum = message == 'add' and summed(self, x) + r or summed(self, x) - r
  else
    sum = summed(self, x, o.relation, w)
  end
  return reduce == 'mean' and averaged(self, sum) or sum
end

--- out[h] = reduce over edges (h, r, t) of weight * message(x[t], relation[r]); 0 where h has none.
--- Nothing is made or kept an edge and column.
---
---   reduce    'sum' (default), 'mean' or 'max' (of copies without weights)
---   message   'copy' (default), 'mul' (default with relation), 'add' or 'sub' (x - relation)
---   relation  [relations, d]: a vector for each relation id
---   weight    [edges], with 'copy' and 'mul'; multiplied with the graph's own
---   recompute true: backward computes the result again instead of saving it
---
--- An example:
---
---   local g = tk.graph{head = {0, 0}, tail = {1, 2}, nodes = 3}
---   local x = tk.tensor{{1}, {2}, {4}}
---   print(g:aggregate(x):totable()[1][1])                      --> 6
---   print(g:aggregate(x, {reduce = 'mean'}):totable()[1][1])   --> 3
---@param x Tensor [tail nodes, d]
---@param o? {reduce: string, message: string, relation: Tensor, weight: Tensor,
---  recompute: boolean}
---@return Tensor [heads, d]
function Graph:aggregate(x, o)
  runtime.options('aggregate', o, 'reduce message relation weight recompute')
  local y = aggregated(self, x, o or {})
  if o and o.recompute then y:saved_as('recompute') end
  return y
end

--- a[head] . b[tail] for each edge, or a[head] . (b[tail] r[relation]).
---@param a Tensor [heads, d] ---@param b Tensor [tails, d] ---@param r? Tensor [relations, d]
---@return Tensor [edges]
function Graph:dot(a, b, r)
  refuse_transposed(self, 'dot')
  if r then return op(self, 'aggregate_dot', a, b, r) end
  return op(self, 'aggregate_dot', a, b)
end

--- Softmax of edge scores over the edges of each head.
---@param scores Tensor [edges]
---@param o? {merged: boolean} merged: edges of one head and tail are one, whose score is the sum of
---  theirs (as torch.sparse.softmax takes them); each has an equal share of its weight
---@return Tensor [edges]
function Graph:softmax(scores, o)
  runtime.options('softmax', o, 'merged')
  if o and o.merged then scores = parallel(make, self, scores) end
  return op(self, 'edge_softmax', scores)
end

-- ---- other graphs of the same edges ----

--- Tails and heads exchanged; shares the memory. Edge values keep their order. Nothing is drawn or
--- looked up in it: that needs the edges by head. ---@return Graph
function Graph:transpose()
  return copy(self, {layout = bit.bxor(self.layout, BACKWARD), nodes = self.tail_nodes,
                     tail_nodes = self.nodes, left_count = false})
end

--- With edge weights that aggregate multiplies with.
---@param weights Tensor [edges] ---@return Graph sharing the memory
function Graph:weighted(weights) return copy(self, {weights = weights}) end

local NORMALIZED = {row = true, symmetric = true, relation = true}

--- With weights 1 / degree of the head ('row'); 1 / sqrt(degree of head x degree of tail)
--- ('symmetric': Kipf & Welling 2017, without the self loops); 1 / edges of the head by the same
--- relation ('relation': KGAT's before its first attention).
---@param kind string 'row', 'symmetric' or 'relation' ---@return Graph sharing the memory
function Graph:normalized(kind)
  if not NORMALIZED[kind] then
    fail("normalized: '%s' is not row, symmetric or relation", tostring(kind))
  end
  local e, back = self:triples(), is_transposed(self)
  local weights = ffi.new('float[?]', e.n + 1)
  if kind == 'relation' then
    if not self.relations then fail("normalized: 'relation': this graph has no relations") end
    by_relation(e, self.relations, not back and self.packed:values() or nil, weights)
  end
  local by_head, by_tail = degrees(self, back), degrees(self, not back)
  for p = 0, kind ~= 'relation' and e.n - 1 or -1 do
    weights[p] = kind == 'row' and 1 / by_head[e.heads[p]]
      or 1 / math.sqrt(by_head[e.heads[p]] * by_tail[e.tails[p]])
  end
  return self:weighted(tensor.create(tensor.F32, {e.n}, 'graph'):write(weights, 0, e.n))
end

--- In a step: this graph with edges dropped at random, each with probability p, the others' weights
--- divided by 1 - p. Means are over the edges that are left. Drawn again for backward, not kept.
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function Graph:dropout(p)
  if p == 0 then return self end
  local left = ops.full(1, self.edges):dropout(p)
  return copy(self, {weights = self.weights and self.weights * left or left, left = left})
end

--- In a step: this graph without the edges that lead to nodes dropped at random, weights of the
--- others divided by 1 - p (node dropout: Berg et al. 2017, NGCF).
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function Graph:node_dropout(p)
  if p == 0 then return self end
  local left = ops.full(1, self.tail_nodes):dropout(p):gather(self:tails())
  return copy(self, {weights = self.weights and self.weights * left or left, left = left})
end

-- ---- sampling ----

--- `k` neighbours of each node of `ids`: distinct where a node has at least k; where it has fewer,
--- each equally often, up to one (KGCN's code draws with replacement and misses some); the node
--- itself by relation id `relations` where it has none.
---@param ids Tensor int32 [n] ---@param k integer
---@return Tensor tails int32 [n, k], Tensor relations int32 [n, k]
function Graph:sample(ids, k)
  if k < 1 then fail('sample: %d neighbours asked for, expected 1 or more', k) end
  refuse_transposed(self, 'sample')
  local offsets, tails, relations = self:offsets(), self:tails(), self:edge_relations()
  local a = tensor.attribute()
  a.i[0], a.i[2] = k, self.relations
  local pair = record('sample_neighbors', a, offsets, tails, relations, ids)
  local n = ids:count()
  return pair:rows(1, 1):reshape(n, k), pair:rows(2, 2):reshape(n, k)
end

--- A fixed number of neighbours of every node, drawn once: what KGCN reads. They last, and take 8 k
--- bytes a node. Nodes of fewer than k have each equally often, as `sample` draws, or, with
--- replacement, some of them more often than others, as KGCN's program draws.
---@param k integer ---@param o? {replacement: boolean} false
---@return Tensor tails int32 [nodes, k], Tensor relations int32 [nodes, k]
function Graph:neighborhood(k, o)
  runtime.options('neighborhood', o, 'replacement')
  refuse_transposed(self, 'neighborhood')
  if o and o.replacement then return require('tinykg.graph.neighborhood')(self, k) end
  local ids = ffi.new('int32_t[?]', self.nodes + 1)
  for i = 0, self.nodes - 1 do ids[i] = i end
  local tails, relations = self:sample(tensor.ids(ids, self.nodes), k)
  return tails:keep(), relations:keep()
end

--- The same neighbours as an object that follows them hop by hop, for KGCN and KGNN-LS.
---@param k integer ---@param o? {replacement: boolean} as of neighborhood ---@return ReceptiveField
function Graph:receptive_field(k, o)
  return require('tinykg.graph.receptive_field')(k, self:neighborhood(k, o))
end

--- Tails that make no edge with these heads and relations: negative triples.
---@param heads Tensor int32 [n] ---@param relations Tensor int32 [n] ---@param count? integer 1
---@return Tensor int32 [n, count]
function Graph:negatives(heads, relations, count)
  refuse_transposed(self, 'negatives')
  local offsets, tails, by = self:offsets(), self:tails(), self:edge_relations()
  local a = tensor.attribute()
  a.i[0], a.i[2] = count or 1, self.tail_nodes
  return record('sample_tails', a, offsets, tails, by, heads, relations)
end

--- What the edge (rows[b], ids[b, j]) weighs (1 in a graph without weights), `default` where there
--- is none: entries of a sparse matrix. Of edges given twice, any. No gradient.
---@param rows Tensor int32 [b] heads ---@param ids Tensor int32 [b, j] tails, or ids that are none
---@param default? number 0
---@return Tensor [b, j]
function Graph:lookup(rows, ids, default)
  refuse_transposed(self, 'lookup')
  local offsets, tails = self:offsets(), self:tails()
  local values = self.weights or ops.full(1, self.edges)
  local a = tensor.attribute()
  a.f[0] = default or 0
  return record('lookup', a, offsets, tails, rows, ids, values)
end

--- Ripple sets (Wang et al. 2018) of lists of nodes: see tinykg.graph.ripple.
---@param seeds {rows: integer, offsets: ffi.cdata*, items: ffi.cdata*} a list of nodes a row, as a
---  data set's known() is ---@param hops integer ---@param size integer
---@param o? {replacement: boolean} false: of fewer triples than that, each is there at least once
---@return RippleSets by hop {heads, relations, tails}, each int32 [rows, size]
function Graph:ripples(seeds, hops, size, o)
  runtime.options('ripples', o, 'replacement')
  refuse_transposed(self, 'ripples')
  return require('tinykg.graph.ripple')(self, seeds, hops, size, o and o.replacement)
end

--- Samples a batch of triples, each with a negative tail: one that makes no edge with its head and
--- relation. A step's plan samples anew in each run.
---@param n integer
---@param by? string 'heads' (default): heads uniformly, then one edge of each, as KGAT's program;
---  'triples': triples uniformly, as RecBole. Distinct ones if there are as many
---@return {heads: Tensor, relations: Tensor, tails: Tensor, negatives: Tensor} int32 [n] each
function Graph:sample_triples(n, by)
  refuse_transposed(self, 'sample_triples')
  return sample_triples(self, n, by)
end

-- ---- looking ----

local Info = {__tostring = function(i)
  return string.format(
    'graph: %s nodes, %d relations, %d edges; degree mean %.1f max %d, %d isolated',
    i.tail_nodes and i.nodes .. ' x ' .. i.tail_nodes or i.nodes, i.relations, i.edges,
    i.mean_degree, i.max_degree, i.isolated)
end}

--- Counts and degrees of heads: {nodes, relations, edges, isolated, mean_degree, max_degree}.
--- Printed, it is a line. ---@return table
function Graph:info()
  local _, _, e = sizes(self)
  local heads, tails, degree = self.nodes, self.tail_nodes, degrees(self, is_transposed(self))
  local isolated, most = 0, 0
  for i = 0, heads - 1 do
    if degree[i] == 0 then isolated = isolated + 1 end
    most = math.max(most, degree[i])
  end
  return setmetatable({nodes = heads, tail_nodes = tails ~= heads and tails or nil,
    relations = self.relations or 0, edges = e, isolated = isolated,
    mean_degree = e / math.max(heads, 1), max_degree = most}, Info)
end

function Graph:__tostring() return tostring(self:info()) end

-- ---- making one ----

local function finish(g, o)
  g = build.extended(g, o)
  local packed, layout = build.pack(g, o.one_way)
  return new{packed = packed, layout = layout, edges = g.n, nodes = g.nodes,
             tail_nodes = g.tail_nodes, relations = g.relation_count, first_user = g.first_user,
             counts = {heads = g.nodes, tails = g.tail_nodes, edges = g.n,
                       relations = g.relation_count}, shared = {}}
end

local KINDS = {kg = true, interactions = true, both = true, labels = true}

local function from_data(data, o)
  runtime.options('graph', o, 'of merged undirected inverse self_loops one_way')
  o = o or {}
  local of = o.of or 'kg'
  if not KINDS[of] then fail("graph: of = '%s': kg, interactions, both or labels", tostring(of)) end
  if of == 'labels' then return require('tinykg.graph.labels')(make, data) end
  local graph = finish(build.of_data(data, of, of == 'both' or o.merged or false), o)
  graph.of = of
  return graph
end

--- A graph of triples, or of a data set's train part.
---
--- tk.graph{head =, relation =, tail =, nodes =, relations =}: ids 0-based, as int32 tensors,
--- lists, or FFI arrays with their length `n`. Without relation the edges are all of one kind.
--- nodes may be {heads, tails} for edges from one kind of node to another.
---
--- tk.graph(data, {of = 'kg' | 'interactions' | 'both', merged =}): entities; users x items, or,
--- with merged = true, one graph in which user u is node items + u; entities and, behind them,
--- users, interactions by a relation of their own, the last. of = 'labels': users x items, an edge
--- a label of train, weighing 1 or 0; of data without labels, what users took (1) and as many items
--- that they did not, drawn (0). Options of the others:
---   undirected  each edge also back, under the same relation (KGCN)
---   inverse     each edge also back, under relation id + number of relations (KGAT)
---   self_loops  true: each node to itself, under the last relation id; 'given' (default): those
---               that are given; false: none, so that values summed over the graph can be saved in
---               few bits where they meet their neighbours' (engine/passes/bias.c)
---   one_way     no gradient to what is aggregated, and half the memory
--- Edges that are given twice count twice; self loops and nodes without edges are fine.
---
---   local g = tk.graph{head = {0, 0, 1}, relation = {0, 1, 0}, tail = {1, 2, 2}, nodes = 3,
---                      relations = 2}
---   print(g)  --> graph: 3 nodes, 2 relations, 3 edges; degree mean 1.0 max 2, 1 isolated
---@return Graph
function make(o, more)
  if type(o) ~= 'table' then
    fail('graph: expected {head = ids, relation = ids, tail = ids, ...} or a data set')
  end
  if type(o.known) == 'function' then return from_data(o, more) end
  runtime.options('graph', o,
                  'head relation tail nodes relations n undirected inverse self_loops one_way')
  return finish(build.of_triples(o), o)
end

arguments.class(Graph, 'Graph', 'a graph')
renamed.add(Graph, 'graph:')

return make
