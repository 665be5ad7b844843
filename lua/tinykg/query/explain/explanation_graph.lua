--- The graph that explanations search for paths, and the weights of its edges. Its nodes are the
--- entities, then the users; its edges are the triples of the knowledge graph and the interactions
--- of train, each in both directions.
--
-- A place is the position of an edge in the arrays. Relations are numbered as in tk.graph(data,
-- {of = 'both', inverse = true}): those of the data, "took", then the inverses.
local ffi = require 'ffi'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local NAN = 0 / 0 -- LuaJIT must not read NaNs with other bits from memory

---@class ExplanationGraph
---@field graph Graph
---@field nodes integer ---@field edges integer ---@field entities integer
---@field base integer number of relations without inverses; "took" is base - 1
---@field offsets ffi.cdata* int32 [nodes + 1]
---@field tails ffi.cdata* int32 [edges] ---@field relations ffi.cdata* int32 [edges]
---@field weight ffi.cdata*? float [edges] set by weigh; equal for both directions of an edge;
---  NaN: no path has the edge
---@field read ffi.cdata*? bool [edges] whether the model reads the edge
local ExplanationGraph = {}
ExplanationGraph.__index = ExplanationGraph

--- Makes the graph of a data set. ---@param data tinykg.Data
---@return ExplanationGraph
local function new(data)
  local graph = require('tinykg.graph')(data, {of = 'both', inverse = true, self_loops = false,
                                               one_way = true})
  return setmetatable({graph = graph, data = data, nodes = graph.nodes, edges = graph.edges,
                       entities = data.entities, base = data.relations + 1,
                       offsets = packed.read(graph, 'offsets'), tails = packed.read(graph, 'tails'),
                       relations = packed.read(graph, 'relations')}, ExplanationGraph)
end

function ExplanationGraph:degree(node) return self.offsets[node + 1] - self.offsets[node] end

--- The first place of an edge from head to tail, or the place where it would be.
local function first_place(self, head, tail)
  local low, high = self.offsets[head], self.offsets[head + 1]
  while low < high do
    local middle = math.floor((low + high) / 2)
    if self.tails[middle] < tail then low = middle + 1 else high = middle end
  end
  return low
end

--- Adds a weight, unless it is NaN, to the edges from head to tail with a relation or its inverse.
local function add(self, given, head, relation, tail, weight)
  for p = first_place(self, head, tail), self.offsets[head + 1] - 1 do
    if self.tails[p] ~= tail then return end
    if self.relations[p] % self.base == relation and weight == weight then
      given[p] = (given[p] == given[p] and given[p] or 0) + weight
    end
  end
end

--- The place of the same edge in the other direction.
local function inverse_place(self, head, p)
  local tail, relation = self.tails[p], (self.relations[p] + self.base) % (2 * self.base)
  for q = first_place(self, tail, head), self.offsets[tail + 1] - 1 do
    if self.relations[q] == relation then return q end
  end
end

local function floats(t) return tensor.is(t) and t:values() or t end

--- Adds the weights of a graph of the data set: all at once if it has the same edges in the same
--- order, else edge by edge.
local function add_graph(self, given, graph, weights)
  if graph.of == 'both' and graph.edges == self.edges and graph.relations == 2 * self.base then
    for p = 0, self.edges - 1 do given[p] = weights[p] end
    return
  end
  local e, base, users = graph:triples(), self.base, self.entities
  local two_kinds = graph.of == 'interactions' and not graph.first_user
  local function node(id, is_user)
    if is_user then return users + id end
    return graph.first_user and id >= graph.first_user and users + id - graph.first_user or id
  end
  for p = 0, e.n - 1 do
    local h, t = node(e.heads[p], two_kinds), node(e.tails[p])
    local r = graph.of == 'interactions' and base - 1 or e.relations[p]
    if graph.of == 'kg' then r = r % (base - 1) else r = r % base end
    if h ~= t then add(self, given, h, r, t, weights[p]) end
  end
end

--- Adds the weights of a list of triples of entities.
local function add_list(self, given, part, weights)
  local heads, n = part.heads:values()
  local relations, tails = part.relations:values(), part.tails:values()
  for i = 0, n - 1 do
    if heads[i] ~= tails[i] then add(self, given, heads[i], relations[i], tails[i], weights[i]) end
  end
end

local function checked(part, i)
  if type(part) == 'table' and part.weights then
    if part.graph and part.graph.of then return part end
    if part.heads and part.relations and part.tails then return part end
  end
  runtime.fail('explain: part %d is not {graph = tk.graph(data, ...), weights =} or {heads =, ' ..
               'relations =, tails =, weights =}', i)
end

--- The weight of an edge between a and b from the given weights x and y of its two directions; NaN
--- where none is given.
local function joined(self, rule, a, b, x, y)
  local has_x, has_y = x == x, y == y
  if rule == 'least' then
    local sum = (has_x and x or 0) + (has_y and y or 0)
    return sum ~= 0 and sum or NAN
  end
  if has_x and has_y then return math.sqrt(x * y) end
  if has_x or has_y then return has_x and x or y end
  return 1 / math.sqrt(self:degree(a) * self:degree(b))
end

--- Gives the edges from a node that have no weight the weight of the heaviest edge, so that they
--- are never the weakest of a path.
local function weigh_first_edges(self, from)
  local most = -math.huge
  for p = 0, self.edges - 1 do
    if self.read[p] and self.weight[p] > most then most = self.weight[p] end
  end
  for p = self.offsets[from], self.offsets[from + 1] - 1 do
    if not self.read[p] then
      self.weight[p], self.weight[inverse_place(self, from, p)] = most, most
    end
  end
end

--- Sets the weights of edges from the parts of a model's explain, which has a weight for each
--- direction of an edge.
--- Rule 'product': weights are shares. An edge weighs the geometric mean of its directions, or the
--- one that is given. An edge that the model does not read weighs 1 / sqrt(degree of one end x
--- degree of the other): a link between nodes with few others tells more.
--- Rule 'least': weights are parts of the score. An edge weighs the sum of its directions. No path
--- has edges on which the score does not depend, except the user's own interactions, where paths
--- begin even if the model does not read them.
---@param parts table[] ---@param rule string 'product' or 'least'
---@param from? integer the node where paths begin
---@return ExplanationGraph self
function ExplanationGraph:weigh(parts, rule, from)
  local given = ffi.new('float[?]', self.edges + 1)
  for p = 0, self.edges - 1 do given[p] = NAN end
  for i, part in ipairs(parts) do
    local weights = floats(checked(part, i).weights)
    if part.graph then add_graph(self, given, part.graph, weights)
    else add_list(self, given, part, weights) end
  end
  local weight, read = ffi.new('float[?]', self.edges + 1), ffi.new('bool[?]', self.edges + 1)
  for a = 0, self.nodes - 1 do
    for p = self.offsets[a], self.offsets[a + 1] - 1 do
      local b = self.tails[p]
      if a < b then
        local q = inverse_place(self, a, p)
        weight[p] = joined(self, rule, a, b, given[p], given[q])
        read[p] = given[p] == given[p] or given[q] == given[q]
        weight[q], read[q] = weight[p], read[p]
      end
    end
  end
  self.weight, self.read = weight, read
  if rule == 'least' and from then weigh_first_edges(self, from) end
  return self
end

return {new = new}
