--- Graphs: edges (head, relation, tail), packed once in both orientations, and the ops on them.
--
-- Edge values (weights, scores, results of dot and softmax) are vectors [edges] in the graph's own
-- order: by head, then by tail. triples() returns the edges in that order.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local arrays = require 'tinykg.engine.arrays'
local build = require 'tinykg.graph.build'
local format = require 'tinykg.base.format'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'
local sampling = require 'tinykg.graph.sampling'
local smoothing = require 'tinykg.graph.smoothing'
local tensor = require 'tinykg.engine.tensor'
local triple_weights = require 'tinykg.graph.weights.of_triples'
local views = require 'tinykg.graph.views'
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
---@field weights Tensor? [edges]: constants or values that aggregate multiplies with; 0 of edges
---  that masks and dropouts left out (tinykg.graph.views)
---@field triple_weights Tensor? [edges], of a data set's triples (tinykg.graph.weights.of_triples)
local Graph = {}
Graph.__index = Graph

local function new(fields) return setmetatable(fields, Graph) end

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

--- 1 / (edges of each head), 0 without edges, as [nodes, 1]. Made once.
local function inverse_degrees(self)
  local back = is_transposed(self)
  local key = back and 'by_tail' or 'by_head'
  if not self.shared[key] then
    local degree, inverse = packed.degrees(self, back), ffi.new('float[?]', self.nodes + 1)
    for h = 0, self.nodes - 1 do inverse[h] = degree[h] > 0 and 1 / degree[h] or 0 end
    self.shared[key] = tensor.constant(tensor.F32, {self.nodes, 1}, inverse)
  end
  return self.shared[key]
end

local function summed(self, x, relation, w)
  if relation then
    if w then return op(self, 'aggregate_mul', x, relation, w) end
    return op(self, 'aggregate_mul', x, relation)
  end
  if not w then return op(self, 'aggregate', x) end
  return op(self, 'aggregate', x, w, views.weights_back(self, w))
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

--- What a mean over the edges left is divided by [nodes, 1]: the sum of `left`, or of its product
--- with the triples' weights. An edge left counts 1 or more, so without weights the sum is 0 or at
--- least 1. A head without edges has the sum 0, and is divided by 1 so that its gradient, which may
--- be large before normalize, does not grow. Each run of a step records it once.
local function left_count(self, weights)
  local counts, key = self.left_counts or {}, weights and 'weighted' or 'edges'
  self.left_counts = counts
  if not tensor.is_of_step(counts[key]) then
    local of = weights and self.left * weights or self.left
    local count = op(self, 'aggregate', ones(self), of)
    counts[key] = weights and ops.where(count:gt(0), count, 1) or count:clamp(1, math.huge)
  end
  return counts[key]
end

--- Divides a sum by the number of edges, of those left if some were left out.
---@param weights? Tensor [edges] of triples, that the sum was made with
local function averaged(self, sum, weights)
  if not self.left then return sum * inverse_degrees(self) end
  return sum / left_count(self, weights)
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
  local w, of_triples = triple_weights.in_sum(self, o.weight, reduce == 'mean')
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
  return reduce == 'mean' and averaged(self, sum, of_triples) or sum
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

--- Of each edge, the sum of scores of the edges left with its head and tail, less the logarithm of
--- their number.
local function merged_scores(self, scores)
  if not self.mask then
    local a = on(self)
    a.f[0] = -1
    return record('parallel_sum', a, self.packed, scores)
  end
  local left = self.mask:gt(0)
  return op(self, 'parallel_sum', ops.where(left, scores, 0))
    - op(self, 'parallel_sum', left):clamp(1):log()
end

--- Softmax of edge scores over the edges of each head.
---@param scores Tensor [edges]
---@param o? {merged: boolean} merged: edges of one head and tail are one, whose score is the sum of
---  theirs (as torch.sparse.softmax takes them); each has an equal share of its weight
---@return Tensor [edges]; 0 of the edges that masks left out. Dropouts do not change shares
function Graph:softmax(scores, o)
  runtime.options('softmax', o, 'merged')
  local mask = self.mask
  if o and o.merged then scores = merged_scores(self, scores) end
  if mask then scores = ops.where(mask:gt(0), scores, -1e30) end
  local shares = op(self, 'edge_softmax', triple_weights.in_softmax(self, scores))
  return mask and shares * mask:gt(0) or shares
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
  local heads, tails = self.nodes, self.tail_nodes
  local degree = packed.degrees(self, is_transposed(self))
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

--- Errors: options that say nothing to this kind of graph.
local function check_options(of, o)
  if not KINDS[of] then
    fail("graph: of = '%s': kg, interactions, both, labels or rows", tostring(of))
  end
  for name in pairs(of == 'labels' and o or {}) do
    if name ~= 'of' then fail("graph: of = 'labels' takes no other option, not %s", name) end
  end
  if o.merged and of == 'kg' then
    fail("graph: merged is for of = 'interactions' or 'rows'; 'kg', the default, has no users")
  end
  if o.merged == false and of == 'both' then
    fail("graph: of = 'both' has users and items in one graph: merged = false says otherwise")
  end
end

local function from_data(data, o)
  runtime.options('graph', o, 'of merged undirected inverse self_loops single one_way')
  o = o or {}
  local of = o.of or 'kg'
  check_options(of, o)
  if of == 'labels' then return require('tinykg.graph.labels')(make, data) end
  if of == 'rows' and data.task ~= 'ctr' then of = 'interactions' end
  if of == 'rows' then
    local graph = finish(build.of_rows(data, o.merged), o)
    graph.of = 'interactions'
    return graph
  end
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
---                   data, interactions; merged as there
---
--- Options of all but 'labels'; with triples they stand in the same table:
---   undirected  each edge also back, under the same relation (KGCN)
---   inverse     each edge also back, under relation id + number of relations (KGAT); not with
---               undirected
---   self_loops  true: each node to itself, under the last relation id; 'given' (default): those
---               that are given; false: none, so that values summed over the graph can be saved in
---               few bits where they meet their neighbours' (engine/passes/bias.c)
---   single      of the edges from one head to one tail only that of the lowest relation id, whose
---               weight is the sum of the weights of their triples, if these have some
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
  if more ~= nil then
    fail('graph: options of triples are in the table with them: tk.graph{head =, tail =, nodes =, '
         .. 'undirected = true}')
  end
  return finish(build.of_triples(o), o)
end

for _, part in ipairs{views, sampling, smoothing} do
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
