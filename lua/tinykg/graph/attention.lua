--- KGAT's attention (Wang et al., KDD 2019, eq. 4): scores of edges by one matrix per relation,
---   pi(h, r, t) = (e_t W_r) . tanh(e_h W_r + e_r)
--- A node is projected once per relation of its edges, not once per edge: each relation has a small
--- graph of its own heads and tails.
local ffi = require 'ffi'
local arguments = require 'tinykg.base.arguments'
local build = require 'tinykg.graph.build'
local arrays = require 'tinykg.engine.arrays'
local count = require('tinykg.base.format').count
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local attention = {}

---@class Attention
---@field graph Graph
---@field weights Tensor? [edges], of the last update
---@field parts table[] of each relation with edges: {relation, heads, tails, packed, sizes}
---@field place Tensor? [edges] the place of each edge's score among those of all parts
local Attention = {}
Attention.__index = Attention

--- Returns the distinct ids of ids[from .. to - 1], ascending, as a tensor, and their count.
--- Replaces the ids by their positions in it. `number`: -1 for each node, before and after.
local function distinct(ids, from, to, number, nodes)
  local found, n = arrays.ints(to - from), 0
  for p = from, to - 1 do number[ids[p]] = 0 end
  for v = 0, nodes - 1 do
    if number[v] == 0 then
      found[n], number[v] = v, n + 1
      n = n + 1
    end
  end
  for p = from, to - 1 do ids[p] = number[ids[p]] - 1 end
  local t = tensor.constant(tensor.I32, {n}, found)
  for i = 0, n - 1 do number[found[i]] = -1 end
  return t, n
end

--- Edges sorted by relation, then in the graph's order: {first[relations + 1], heads, tails}, and
--- the place of each edge among them.
local function by_relation(graph)
  local e = graph:triples()
  local first, place = arrays.ints(graph.relations + 1), arrays.ints(e.n)
  for r = 0, graph.relations do first[r] = 0 end
  for p = 0, e.n - 1 do first[e.relations[p] + 1] = first[e.relations[p] + 1] + 1 end
  for r = 1, graph.relations do first[r] = first[r] + first[r - 1] end
  local at, heads, tails = arrays.ints(graph.relations), arrays.ints(e.n), arrays.ints(e.n)
  for r = 0, graph.relations - 1 do at[r] = first[r] end
  for p = 0, e.n - 1 do
    local to = at[e.relations[p]]
    heads[to], tails[to], place[p] = e.heads[p], e.tails[p], to
    at[e.relations[p]] = to + 1
  end
  return {n = e.n, first = first, heads = heads, tails = tails, place = place}
end

--- One relation's small graph. Its edges are in the whole graph's order, since local ids ascend
--- with the nodes'.
local function part_of(edges, r, graph, number, one_way)
  local from, to = edges.first[r], edges.first[r + 1]
  local part = {relation = r}
  local heads, tails
  part.heads, heads = distinct(edges.heads, from, to, number, graph.nodes)
  part.tails, tails = distinct(edges.tails, from, to, number, graph.tail_nodes)
  local array, layout = build.pack({n = to - from, heads = edges.heads + from,
                                     tails = edges.tails + from, nodes = heads,
                                     tail_nodes = tails}, one_way)
  part.packed, part.sizes = array, {heads, tails, to - from, layout}
  return part
end

--- The small graphs of all relations, and the place of each edge's score among theirs.
local function prepare(self, one_way)
  local graph = self.graph
  local edges = by_relation(graph)
  local most = math.max(graph.nodes, graph.tail_nodes)
  local number = arrays.ints(most)
  ffi.fill(number, 4 * most, 0xff) -- -1 everywhere
  self.place = tensor.constant(tensor.I32, {edges.n}, edges.place)
  for r = 0, graph.relations - 1 do
    if edges.first[r + 1] > edges.first[r] then
      self.parts[#self.parts + 1] = part_of(edges, r, graph, number, one_way)
    end
  end
end

--- Attention over a graph's edges.
---
---   weights  [edges], until the first update
---   merged   as of graph:softmax
---   one_way  scores that no gradient goes through, in half the memory
---   fixed    the weights stay: update does nothing, and there are no scores
---@param graph Graph with relations
---@param o? {weights: Tensor, merged: boolean, one_way: boolean, fixed: boolean}
---@return Attention
function attention.new(graph, o)
  runtime.options('attention', o, 'weights merged one_way fixed')
  o = o or {}
  if not graph.relations then runtime.fail('attention: this graph has no relations') end
  if packed.is_backward(graph.layout) then
    runtime.fail('attention: of the graph itself, not transposed')
  end
  local self = setmetatable({graph = graph, parts = {}, weights = o.weights, merged = o.merged},
                            Attention)
  if not o.fixed then prepare(self, o.one_way) end
  return self
end

local function dot(part, a, b)
  local with = tensor.attribute()
  for k = 1, 4 do with.i[k - 1] = part.sizes[k] end
  return tensor.record('sddmm', with, part.packed, a, b)
end

--- The score of each edge, in the graph's order. Gradients go to all three, unless one_way.
---@param x Tensor [nodes, d] ---@param w Tensor [relations, d, k] ---@param r Tensor [relations, k]
---@return Tensor [edges]
function Attention:scores(x, w, r)
  if not self.place then runtime.fail('attention: it is fixed and has no scores') end
  local scores = {}
  for i, part in ipairs(self.parts) do
    local at = part.relation + 1
    local matrix = w:rows(at, at):reshape(w:size(2), w:size(3))
    local heads = x:gather(part.heads):matmul(matrix) + r:rows(at, at)
    scores[i] = dot(part, heads:tanh(), x:gather(part.tails):matmul(matrix))
  end
  if #scores == 0 then return ops.full(0, 0) end
  return ops.cat(scores, 1):gather(self.place)
end

--- Makes `weights` the softmax of the scores over the edges of each head. They are constants until
--- the next update: no gradient goes through them. Frees those before. Not inside a step.
---@param x Tensor [nodes, d] ---@param w Tensor [relations, d, k] ---@param r Tensor [relations, k]
---@return Attention self
function Attention:update(x, w, r)
  if not self.place then return self end
  local before = self.weights
  self.weights = self.graph:softmax(self:scores(x, w, r), {merged = self.merged}):keep()
  if before then before:free() end
  return self
end

arguments.class(Attention, 'Attention', 'attention: tk.attention.new')

function Attention:__tostring()
  return ('attention: %s by %s'):format(count(self.graph.edges, 'edge'),
                                        count(#self.parts, 'relation'))
end

return attention
