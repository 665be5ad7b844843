--- Graphs: edges (head, relation, tail), packed once in both orientations, and the ops on them.
--
-- Edge values (weights, scores, results of dot and softmax) are vectors [edges] in the graph's own
-- order: by head, then by tail. triples() returns the edges in that order.
local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local arrays = require 'tinykg.engine.arrays'
local build = require 'tinykg.graph.build'
local by_relation = require 'tinykg.graph.weights.by_relation'
local format = require 'tinykg.base.format'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'
local sampling = require 'tinykg.graph.sampling'
local smoothing = require 'tinykg.graph.smoothing'
local tensor = require 'tinykg.engine.tensor'
local triple_weights = require 'tinykg.graph.weights.of_triples'
local check, fail, record = runtime.check, runtime.fail, tensor.record
local is_transposed, refuse_transposed = sampling.is_transposed, sampling.refuse_transposed

local make

---@class Graph
---@field nodes integer heads (and tails, unless the graph is from one kind of node to another)
---@field tail_nodes integer tails, if they are nodes of another kind; else as many as nodes
---@field relations integer? relation ids, inverses and loops included. The sampled neighbour of a
---  node without edges is itself, by relation id `relations`: tables then need `relations + 1` rows
---@field edges integer with inverses and loops
---@field of string? of a graph of a data set: 'kg', 'interactions' or 'both'
---@field first_user integer? the node of user 0, in a graph of a data set with users
---@field train tinykg.Csr? what data:known() returned, of a graph with these interactions
---@field weights Tensor? [edges]: constants or values that aggregate multiplies with
---@field triple_weights Tensor? [edges], of a data set's triples (tinykg.graph.weights.of_triples)
local Graph = {}
Graph.__index = Graph

local function new(fields) return setmetatable(fields, Graph) end

local function copy(self, changes)
  return new(tables.merged(self, changes))
end

--- Heads, tails and edges of the packed array. Errors: the fields, which are for reading only, were
--- set.
local function sizes(self)
  local c = self.counts
  local back = is_transposed(self)
  if self.nodes ~= (back and c.tails or c.heads) or self.tail_nodes ~= (back and c.heads or c.tails)
     or self.edges ~= c.edges or self.relations ~= c.relations then
    fail('a graph has the nodes, relations and edges that it was made with: they cannot be set')
  end
  return c.heads, c.tails, c.edges
end

--- The place where each head's edges begin [heads + 1]. ---@return Tensor
function Graph:offsets()
  refuse_transposed(self, 'offsets')
  sizes(self)
  return packed.view(self, 'offsets')
end

--- Row k of {heads, relations, tails} of the packed array's edges [edges].
local function ends(self, k)
  local a = tensor.attribute()
  a.i[0], a.i[1], a.i[2] = sizes(self)
  a.i[3] = packed.forward(self.layout)
  return record('triples', a, self.packed):rows(k, k):reshape(self.edges)
end

local function packed_tails(self)
  sizes(self)
  return packed.view(self, 'tails')
end

local function packed_heads(self) return ends(self, 1) end

--- Relation of each edge [edges]. ---@return Tensor
function Graph:edge_relations()
  packed.need_relations(self, 'edge_relations')
  return ends(self, 2)
end

--- Head of each edge [edges]. ---@return Tensor
function Graph:heads() return (is_transposed(self) and packed_tails or packed_heads)(self) end
--- Tail of each edge [edges]. ---@return Tensor
function Graph:tails() return (is_transposed(self) and packed_heads or packed_tails)(self) end

--- The edges in the graph's order, as FFI arrays: {n, heads, relations, tails}. ---@return table
function Graph:triples()
  local _, _, e = sizes(self)
  local out = {n = e, heads = packed.heads(self), tails = packed.read(self, 'tails'),
               relations = self.relations and packed.read(self, 'relations') or nil}
  if is_transposed(self) then out.heads, out.tails = out.tails, out.heads end
  return out
end

-- ---- recording ----

--- Attributes of an op on this graph. ---@param flip? boolean the other way
local function on(self, flip)
  local a = tensor.attribute()
  a.i[0], a.i[1], a.i[2] = sizes(self)
  a.i[3] = flip and packed.flipped(self.layout) or self.layout
  return a
end

local function op(self, name, ...) return record(name, on(self), self.packed, ...) end

--- Ones [tails, 1]: their aggregate counts edges. Made once.
local function ones(self)
  local shared = self.shared
  if not shared.ones or shared.ones:size(1) ~= self.tail_nodes then
    shared.ones = tensor.create(tensor.F32, {self.tail_nodes, 1}, 'graph')
    check(C.tkg_tensor_fill(shared.ones.kept, 1))
  end
  return shared.ones
end

--- How many edges each head, or each tail, has: FFI doubles.
local function degrees(self, of_tails)
  local heads, tails, e = sizes(self)
  local out = ffi.new('double[?]', math.max(heads, tails) + 1)
  if of_tails then
    local ids = packed.read(self, 'tails')
    for p = 0, e - 1 do out[ids[p]] = out[ids[p]] + 1 end
    arrays.free(ids)
  else
    local offsets = packed.read(self, 'offsets')
    for h = 0, heads - 1 do out[h] = offsets[h + 1] - offsets[h] end
    arrays.free(offsets)
  end
  return out
end

--- 1 / (edges of each head), 0 without edges, as [nodes, 1]. Made once.
local function inverse_degrees(self)
  local back = is_transposed(self)
  local key = back and 'by_tail' or 'by_head'
  if not self.shared[key] then
    local degree, inverse = degrees(self, back), ffi.new('float[?]', self.nodes + 1)
    for h = 0, self.nodes - 1 do inverse[h] = degree[h] > 0 and 1 / degree[h] or 0 end
    self.shared[key] = tensor.constant(tensor.F32, {self.nodes, 1}, inverse)
  end
  return self.shared[key]
end

--- Changes when numbers are written to a tensor.
local function version_of(t) return t.kept and C.tkg_tensor_version(t.kept) end

local function summed(self, x, relation, w)
  if relation then
    if w then return op(self, 'aggregate_mul', x, relation, w) end
    return op(self, 'aggregate_mul', x, relation)
  end
  if not w then return op(self, 'aggregate', x) end
  local back = self.back
  if back and back.of == w and back.version == version_of(w) and not is_transposed(self) then
    return op(self, 'aggregate', x, w, back.weights)
  end
  return op(self, 'aggregate', x, w)
end

--- The graph from nodes to the relations of their edges. Made once per orientation.
local function relations_of(self)
  local key = is_transposed(self) and 'relations_by_tail' or 'relations_by_head'
  packed.need_relations(self, 'aggregate')
  if not self.shared[key] then
    local e = self:triples()
    local array, layout = build.pack{n = e.n, heads = e.heads, tails = e.relations,
                                     nodes = self.nodes, tail_nodes = self.relations}
    arrays.free(e.heads, e.relations, e.tails)
    self.shared[key] = new{packed = array, layout = layout, edges = e.n, nodes = self.nodes,
                           tail_nodes = self.relations, shared = {},
                           counts = {heads = self.nodes, tails = self.relations, edges = e.n}}
  end
  return self.shared[key]
end

--- Sum over edges of r[relation], as a sum over the graph from nodes to relations.
local function summed_relations(self, r, w)
  if w then fail('aggregate: add and sub take no weight; use mul or copy') end
  return op(relations_of(self), 'aggregate', r)
end

--- Divides a sum by the number of edges, or after dropout by the number of edges left. An edge left
--- weighs 1 / (1 - p), so the divisor is 0 or at least 1. A head without edges has the sum 0, and
--- is divided by 1 so that its gradient, which may be large before normalize, does not grow.
local function averaged(self, sum)
  if not self.left then return sum * inverse_degrees(self) end
  self.left_count = self.left_count
    or op(self, 'aggregate', ones(self), self.left):clamp(1, math.huge)
  return sum / self.left_count
end

local MESSAGES = {copy = true, mul = true, add = true, sub = true}

--- The largest element of the tails' rows, column by column.
local function largest(self, x, o, w)
  if o.message and o.message ~= 'copy' or w then
    fail('aggregate: max takes the message copy, without weights')
  end
  return op(self, 'aggregate_max', x, op(self, 'aggregate_argmax', x))
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
  local w = triple_weights.in_sum(self, o.weight, reduce == 'mean')
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

--- out[h] = reduce over edges (h, r, t) of weight * message(x[t], relation[r]); 0 if h has no
--- edges. No memory is needed per edge and column.
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
  if r then return op(self, 'sddmm', a, b, r) end
  return op(self, 'sddmm', a, b)
end

--- Softmax of edge scores over the edges of each head.
---@param scores Tensor [edges]
---@param o? {merged: boolean} merged: edges of one head and tail are one, whose score is the sum of
---  theirs (as torch.sparse.softmax takes them); each has an equal share of its weight
---@return Tensor [edges]; 0 of the edges that masked left out
function Graph:softmax(scores, o)
  runtime.options('softmax', o, 'merged')
  local mask = self.mask
  if mask then scores = ops.where(mask:gt(0), scores, -1e30) end
  if o and o.merged then
    local a = on(self)
    a.f[0] = -1
    scores = record('parallel_sum', a, self.packed, scores)
  end
  local shares = op(self, 'edge_softmax', triple_weights.in_softmax(self, scores))
  return mask and shares * mask:gt(0) or shares
end

-- ---- other graphs of the same edges ----

--- Exchanges heads and tails; edge values keep their order. Sampling and lookup, which read edges
--- by head, are errors.
---@return Graph
function Graph:transpose()
  return copy(self, {layout = packed.flipped(self.layout), nodes = self.tail_nodes,
                     tail_nodes = self.nodes, left_count = false})
end

--- The graph with weights, which aggregate multiplies with. Where each edge has one that leads
--- back, as with `inverse` or `undirected`, gradients can read the weights of those from a second
--- array and need not look them up, which is faster. That they are those weights is not checked.
---@param weights Tensor [edges]
---@param back? Tensor [edges] constants: of each edge, the weight of the edge that leads back
---@return Graph sharing the memory
function Graph:weighted(weights, back)
  if back and not packed.leads_back(self.layout) then
    fail('weighted: weights of edges that lead back, but not each edge has one (option `inverse`)')
  end
  back = back and {of = weights, weights = back, version = version_of(weights)}
  return copy(self, {weights = weights, is_weighted = true, back = back})
end

local NORMALIZED = {row = true, symmetric = true, relation = true}

--- The graph with weights 1 / degree of the head ('row'); 1 / sqrt(degree of head x degree of tail)
--- ('symmetric': Kipf & Welling 2017, without the self loops); 1 / edges of the head by the same
--- relation ('relation': KGAT's first attention).
---@param kind string 'row', 'symmetric' or 'relation' ---@return Graph sharing the memory
function Graph:normalized(kind)
  if not NORMALIZED[kind] then
    fail("normalized: '%s' is not row, symmetric or relation", tostring(kind))
  end
  if kind == 'relation' then packed.need_relations(self, 'normalized') end
  if self.triple_weights then return self:weighted(triple_weights.normalized(self, kind)) end
  local e, back = self:triples(), is_transposed(self)
  local weights = arrays.floats(e.n)
  if kind == 'relation' then
    by_relation(e, self.relations, not back and packed.read(self, 'offsets') or nil, weights)
  end
  local by_head, by_tail = degrees(self, back), degrees(self, not back)
  for p = 0, kind ~= 'relation' and e.n - 1 or -1 do
    weights[p] = kind == 'row' and 1 / by_head[e.heads[p]]
      or 1 / math.sqrt(by_head[e.heads[p]] * by_tail[e.tails[p]])
  end
  local made = tensor.constant(tensor.F32, {e.n}, weights)
  arrays.free(e.heads, e.relations, e.tails, weights)
  -- degrees of heads are those of tails: an edge and the one that leads back weigh the same
  local alike = kind == 'symmetric' and packed.leads_back(self.layout)
  return self:weighted(made, alike and made or nil)
end

--- In a step: the graph without edges dropped at random, each with probability p; weights of the
--- others are divided by 1 - p. Means are over the edges left. Saves nothing: backward draws the
--- mask again.
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function Graph:dropout(p)
  if p == 0 then return self end
  local left = ops.full(1, self.edges):dropout(p)
  return copy(self, {weights = self.weights and self.weights * left or left, left = left})
end

--- The graph without the edges where `left` is 0; weights of the others are multiplied by it. Means
--- and softmax are over these.
---@param left Tensor [edges] 0, or 1 or more ---@return Graph sharing the memory
function Graph:masked(left)
  return copy(self, {weights = self.weights and self.weights * left or left, left = left,
                     left_count = false, mask = left})
end

--- In a step: the graph without edges to nodes dropped at random, each with probability p; weights
--- of the others are divided by 1 - p (node dropout: Berg et al. 2017, NGCF).
---@param p number 0 <= p < 1 ---@return Graph sharing the memory
function Graph:node_dropout(p)
  if p == 0 then return self end
  local left = ops.full(1, self.tail_nodes):dropout(p):gather(self:tails())
  return copy(self, {weights = self.weights and self.weights * left or left, left = left})
end

--- Frees the graph's memory now, instead of when Lua's collector does. Using it afterwards, or a
--- graph that shares it (weighted, transposed), is an error.
function Graph:free()
  local function free(value)
    if type(value) ~= 'table' then return end
    if tensor.is(value) or getmetatable(value) == Graph then value:free() else free(value.ids) end
  end
  for key, value in pairs(self.shared) do
    free(value)
    self.shared[key] = nil
  end
  self.packed:free()
end

-- ---- information ----

local Info = {__tostring = function(i)
  return ('graph: %s, %s, %s; degree mean %.1f max %d, %d isolated'):format(
    i.tail_nodes and i.nodes .. ' x ' .. i.tail_nodes .. ' nodes' or format.count(i.nodes, 'node'),
    format.count(i.relations, 'relation'), format.count(i.edges, 'edge'), i.mean_degree,
    i.max_degree, i.isolated)
end}

--- Counts and degrees of heads: {nodes, relations, edges, isolated, mean_degree, max_degree}; print
--- shows a line. ---@return table
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
  local array, layout, weights = build.pack(g, o.one_way)
  build.release(g)
  return new{packed = array, layout = layout, edges = g.n, triple_weights = weights,
             nodes = g.nodes, tail_nodes = g.tail_nodes, relations = g.relation_count,
             first_user = g.first_user,
             counts = {heads = g.nodes, tails = g.tail_nodes, edges = g.n,
                       relations = g.relation_count}, shared = {}}
end

local KINDS = {kg = true, interactions = true, both = true, labels = true, rows = true}

--- Users x items of all labelled rows.
local function rows_of(data)
  local rows = data.train
  local graph = make{head = rows.users, tail = rows.items, n = rows.n,
                     nodes = {data.users, data.items}}
  graph.of = 'interactions'
  return graph
end

local function from_data(data, o)
  runtime.options('graph', o, 'of merged undirected inverse self_loops single one_way')
  o = o or {}
  local of = o.of or 'kg'
  if not KINDS[of] then
    fail("graph: of = '%s': kg, interactions, both, labels or rows", tostring(of))
  end
  if of == 'labels' then return require('tinykg.graph.labels')(make, data) end
  if of == 'rows' and data.task ~= 'ctr' then of = 'interactions' end
  if of == 'rows' then return rows_of(data) end
  local graph = finish(build.of_data(data, of, of == 'both' or o.merged or false), o)
  graph.of = of
  graph.train, graph.shared.given = of ~= 'kg' and data:known() or nil, data.graph
  data.graph.weights_due = graph.triple_weights ~= nil or data.graph.weights_due
  return graph
end

--- Makes a graph of triples, or of a data set's train part.
---
--- tk.graph{head =, relation =, tail =, nodes =, relations =}: 0-based ids, as int32 tensors,
--- lists, or FFI arrays with their length `n`. Without relation all edges are of one kind. nodes
--- may be {heads, tails}: edges from one kind of node to another.
---
--- tk.graph(data, {of =, merged =}):
---   'kg'            entities; the default
---   'interactions'  users x items; with merged = true one graph, where user u is node items + u
---   'both'          entities, then users; interactions have a relation of their own, the last
---   'labels'        users x items, one edge per label of train with weight 1 or 0; of data without
---                   labels, items that users took (1) and as many sampled others (0)
---   'rows'          users x items, one edge per row of labelled data, whatever the label; of other
---                   data, interactions
---
--- Options of all but 'labels':
---   undirected  each edge also back, under the same relation (KGCN)
---   inverse     each edge also back, under relation id + number of relations (KGAT)
---   self_loops  true: each node to itself, under the last relation id; 'given' (default): those
---               that are given; false: none, so that values summed over the graph can be saved in
---               few bits where they meet their neighbours' (engine/passes/bias.c)
---   single      of the edges from one head to one tail only that of the lowest relation id
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
                  'head relation tail nodes relations n undirected inverse self_loops single '
                    .. 'one_way')
  return finish(build.of_triples(o), o)
end

for _, part in ipairs{sampling, smoothing} do
  for name, method in pairs(part.methods) do Graph[name] = method end
end
arguments.class(Graph, 'Graph', 'a graph')
renamed.add(Graph, 'graph:')

-- tk.graph{...} is a call of the module; `make` is what the reference tells of.
local nearest = require('tinykg.graph.nearest')(make)
return setmetatable({nearest = nearest.nearest}, {
  __call = function(_, ...) return make(...) end,
  make = make,
})
