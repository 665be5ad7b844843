--- KGAT's attention (Wang et al., KDD 2019, eq. 4): scores of edges by one matrix per relation,
---   pi(h, r, t) = (e_t W_r) . tanh(e_h W_r + e_r) = e_t . (W_r tanh(e_h W_r + e_r)).
--- A head is projected once per relation of its edges, and back; tails are read where they lie.
--- Each relation adds its scores to one array; all that is kept is the graph itself.
local arguments = require 'tinykg.base.arguments'
local arrays = require 'tinykg.engine.arrays'
local count = require('tinykg.base.format').count
local C = require 'tinykg.engine.lib'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local attention = {}

---@class Attention
---@field graph Graph
---@field weights Tensor? [edges], of the last update
---@field parts table[]? of each relation with edges: {relation, first, count} of its distinct heads
---  in a list of those of all relations
local Attention = {}
Attention.__index = Attention

--- Counts the heads of each relation in `at`, or writes those of relation r, ascending, from
--- list[at[r]] on.
local function find_heads(graph, at, list)
  local offsets, relations = packed.stored(graph, 'offsets'), packed.stored(graph, 'relations')
  local seen = arrays.ints(graph.relations, -1)
  C.tkg_graph_list_heads(graph.nodes, offsets, relations, graph.layout, seen, at, list)
  arrays.free(offsets, relations, seen)
end

local function parts_of(graph)
  local heads, parts, first = arrays.ints(graph.relations), {}, 0
  find_heads(graph, heads)
  for r = 0, graph.relations - 1 do
    if heads[r] > 0 then
      parts[#parts + 1] = {relation = r, first = first, count = heads[r]}
      first = first + heads[r]
    end
  end
  return parts, first
end

--- The heads of each relation, ascending, one relation after the other. `kind`: of its memory.
---@return Tensor int32
local function list_heads(self, kind)
  local list, at = arrays.ints(self.heads), arrays.ints(self.graph.relations)
  for _, part in ipairs(self.parts) do at[part.relation] = part.first end
  find_heads(self.graph, at, list)
  local heads = tensor.create(tensor.I32, {self.heads}, kind):write(list, 0, self.heads)
  arrays.free(list, at)
  return heads
end

--- By weights: those of the edges that lead back. No part of a model, whose weights may be others
--- after a checkpoint was read.
local backs = setmetatable({}, {__mode = 'k'})

local function keep_back(self)
  if not (self.keeps_back and self.weights) then return end
  backs[self.weights] = self.weights:gather(packed.view(self.graph, 'order')):keep()
end

local function free(weights)
  if not weights then return end
  if backs[weights] then backs[weights]:free() end
  backs[weights] = nil
  weights:free()
end

--- Attention over a graph's edges.
---
---   weights  [edges], until the first update
---   back     true: for attention:back(), where each edge has one that leads back: 4 bytes per
---            edge, and faster steps
---   merged   as of graph:softmax
---   one_way  scores that no gradient goes through: the lists of heads are made for each update
---   fixed    the weights stay: update does nothing, and there are no scores
---@param graph Graph with relations
---@param o? {weights: Tensor, back: boolean, merged: boolean, one_way: boolean, fixed: boolean}
---@return Attention
function attention.new(graph, o)
  runtime.options('attention', o, 'weights back merged one_way fixed')
  o = o or {}
  packed.need_relations(graph, 'attention')
  if packed.is_backward(graph.layout) then
    runtime.fail('attention: of the graph itself, not transposed')
  end
  local self = setmetatable({graph = graph, weights = o.weights, merged = o.merged}, Attention)
  self.keeps_back = o.back and packed.leads_back(graph.layout)
  keep_back(self)
  if o.fixed then return self end
  self.parts, self.heads = parts_of(graph)
  if not o.one_way then self.list = list_heads(self, 'graph') end
  return self
end

--- Adds a[i] . x[tail] to the scores of a relation's edges from head i of `heads`.
local function add_scores(self, relation, a, x, heads, scores)
  local graph, with = self.graph, tensor.attribute()
  with.i[0], with.i[1], with.i[2] = graph.nodes, graph.tail_nodes, graph.edges
  with.i[3], with.f[0] = graph.layout, relation
  return tensor.record('sddmm_relation', with, graph.packed, a, x, heads, scores)
end

local AT_ONCE = 8192 -- heads that are projected together, where no gradient goes back

--- Errors: w and r have not a matrix and a row for each relation of the graph.
local function check_relations(self, w, r)
  local n, of_w, of_r = self.graph.relations, w:size(), r:size()
  if #of_w == 3 and #of_r == 2 and of_w[1] >= n and of_r[1] >= n then return end
  runtime.fail('attention: w [%s] and r [%s], expected [%d, d, k] and [%d, k] for the %d relations '
    .. 'of the graph', table.concat(of_w, ', '), table.concat(of_r, ', '), n, n, n)
end

--- Scores by a list of heads, which must live until they are computed.
---@param at_once integer heads of a relation at a time
local function scores_with(self, list, x, w, r, at_once)
  check_relations(self, w, r)
  local scores = ops.full(0, self.graph.edges)
  for _, part in ipairs(self.parts) do
    local at = part.relation + 1
    local matrix = w:rows(at, at):reshape(w:size(2), w:size(3))
    for first = 0, part.count - 1, at_once do
      local heads = list:narrow(1, part.first + first + 1, math.min(at_once, part.count - first))
      local projected = (x:gather(heads):matmul(matrix) + r:rows(at, at)):tanh()
      local back = projected:matmul(matrix, {transpose_b = true})
      scores = add_scores(self, part.relation, back, x, heads, scores)
    end
  end
  return scores
end

--- The score of each edge, in the graph's order. Gradients go to all three.
---@param x Tensor [nodes, d] ---@param w Tensor [relations, d, k] ---@param r Tensor [relations, k]
---@return Tensor [edges]
function Attention:scores(x, w, r)
  if not self.parts then runtime.fail('attention: it is fixed and has no scores') end
  return scores_with(self, self.list or list_heads(self, 'data'), x, w, r, self.heads)
end

--- Makes `weights` the softmax of the scores over the edges of each head. They are constants until
--- the next update: no gradient goes through them. Frees those before. Not inside a step.
---@param x Tensor [nodes, d] ---@param w Tensor [relations, d, k] ---@param r Tensor [relations, k]
---@return Attention self
function Attention:update(x, w, r)
  if not self.parts then return self end
  local before, list = self.weights, self.list or list_heads(self, 'data')
  local scores = scores_with(self, list, x, w, r, AT_ONCE)
  self.weights = self.graph:softmax(scores, {merged = self.merged}):keep()
  if list ~= self.list then list:free() end
  free(before)
  keep_back(self)
  return self
end

--- Of each edge, the weight of the edge that leads back, for graph:weighted; nil without option
--- `back`, or where it is not known.
---@return Tensor? [edges]
function Attention:back() return backs[self.weights] end

--- Sums over tails by scaled dot-product attention of several heads, each of an equal part of the
--- columns, as in KGRec (Yang et al., KDD 2023): the sum over the edges (h, r, t) of a row h of
--- softmax(q_h . (q_t * r) / sqrt(columns)) x_t * r, where q = x W. Nothing is kept per edge and
--- column.
---@param graph Graph with relations ---@param x Tensor [nodes, d]
---@param o {query: Tensor, relation: Tensor, heads: integer} query: W [d, d]; relation: [relations,
---  d]; heads that divide d
---@return Tensor [nodes, d]
function attention.multi_head(graph, x, o)
  runtime.options('attention.multi_head', o, 'query relation heads')
  local d, heads, out = x:size(2), o.heads, {}
  if d % heads ~= 0 then
    runtime.fail('attention.multi_head: %d columns are not %d equal parts', d, heads)
  end
  local q, size = x:matmul(o.query), d / heads
  for h = 1, heads do
    local function part(t) return t:narrow(2, (h - 1) * size + 1, size) end
    local scores = graph:dot(part(q), part(q), part(o.relation)) / math.sqrt(size)
    out[h] = graph:aggregate(part(x), {relation = part(o.relation), weight = graph:softmax(scores)})
  end
  return heads > 1 and ops.cat(out, 2) or out[1]
end

arguments.class(Attention, 'Attention', 'attention: tk.attention.new')

function Attention:__tostring()
  return ('attention: %s by %s'):format(count(self.graph.edges, 'edge'),
                                        count(#(self.parts or {}), 'relation'))
end

return attention
