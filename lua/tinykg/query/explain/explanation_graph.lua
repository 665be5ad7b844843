--- The graph that explanations walk on: entities and, behind them, users; triples of the knowledge
--- graph and interactions of train, each in both directions; and what its edges weigh.
--
-- A place is where an edge from a node to a neighbour is in the arrays. Relations are numbered as
-- in tk.graph(data, {of = 'both', inverse = true}): those of the data, "took", then the inverses.
local ffi = require 'ffi'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local NAN = 0 / 0 -- the only one that may be read from memory: LuaJIT takes others for its own

---@class Union
---@field graph Graph
---@field nodes integer ---@field edges integer ---@field entities integer
---@field base integer relations without their inverses: "took" is base - 1
---@field offsets ffi.cdata* int32 [nodes + 1]
---@field tails ffi.cdata* int32 [edges] ---@field relations ffi.cdata* int32 [edges]
---@field weight ffi.cdata*? float [edges] what an edge weighs, whichever way it is walked; NaN: it
---  is never walked. After Union:weigh.
---@field read ffi.cdata*? bool [edges] whether the model reads the edge
local Union = {}
Union.__index = Union

--- The graph of a data set. ---@param data tinykg.Data
---@return Union
local function new(data)
  local graph = require('tinykg.graph')(data, {of = 'both', inverse = true, self_loops = false,
                                               one_way = true})
  local packed = graph.packed:values()
  return setmetatable({graph = graph, data = data, keep = packed, nodes = graph.nodes,
                       edges = graph.edges, entities = data.entities, base = data.relations + 1,
                       offsets = packed, tails = packed + graph.nodes + 1,
                       relations = packed + graph.nodes + 1 + graph.edges}, Union)
end

function Union:degree(node) return self.offsets[node + 1] - self.offsets[node] end

--- The first place of an edge from head to tail, or where it would be.
local function first_place(self, head, tail)
  local low, high = self.offsets[head], self.offsets[head + 1]
  while low < high do
    local middle = math.floor((low + high) / 2)
    if self.tails[middle] < tail then low = middle + 1 else high = middle end
  end
  return low
end

--- Adds a weight, unless it is NaN, to edges from head to tail by a relation, whichever way they
--- are in the data.
local function add(self, said, head, relation, tail, weight)
  for p = first_place(self, head, tail), self.offsets[head + 1] - 1 do
    if self.tails[p] ~= tail then return end
    if self.relations[p] % self.base == relation and weight == weight then
      said[p] = (said[p] == said[p] and said[p] or 0) + weight
    end
  end
end

--- The place of the same edge walked the other way.
local function back(self, head, p)
  local tail, relation = self.tails[p], (self.relations[p] + self.base) % (2 * self.base)
  for q = first_place(self, tail, head), self.offsets[tail + 1] - 1 do
    if self.relations[q] == relation then return q end
  end
end

local function floats(t) return tensor.is(t) and t:values() or t end

--- Weights of a graph of the data set: same edges in the same order, or edge by edge.
local function add_graph(self, said, graph, weights)
  if graph.of == 'both' and graph.edges == self.edges and graph.relations == 2 * self.base then
    for p = 0, self.edges - 1 do said[p] = weights[p] end
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
    if h ~= t then add(self, said, h, r, t, weights[p]) end
  end
end

--- Weights of a list of triples of entities.
local function add_list(self, said, part, weights)
  local heads, n = part.heads:values()
  local relations, tails = part.relations:values(), part.tails:values()
  for i = 0, n - 1 do
    if heads[i] ~= tails[i] then add(self, said, heads[i], relations[i], tails[i], weights[i]) end
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

--- What an edge between a and b weighs of which x and y are said (NaN: nothing), one for each way.
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

--- Edges from a node of which nothing is said weigh as much as the heaviest of all: never the
--- weakest of a path.
local function begin_at(self, from)
  local most = -math.huge
  for p = 0, self.edges - 1 do
    if self.read[p] and self.weight[p] > most then most = self.weight[p] end
  end
  for p = self.offsets[from], self.offsets[from + 1] - 1 do
    if not self.read[p] then
      self.weight[p], self.weight[back(self, from, p)] = most, most
    end
  end
end

--- Sets what edges weigh. Parts as a model's explain gives them say it for each way of an edge.
--- Rule 'product': shares. An edge weighs the geometric mean of both ways where both are given,
--- else what is given; one that the model does not read weighs 1 / sqrt(neighbours of one end x of
--- the other): a link between nodes that have few others says more.
--- Rule 'least': parts of the score. An edge weighs the sum of both ways; edges on which the score
--- does not depend are not walked, but for those from `from` that no part says anything of: what a
--- user took is where their paths begin, whatever graph the model reads.
---@param parts table[] ---@param rule string 'product' or 'least'
---@param from? integer the node that paths begin at
---@return Union self
function Union:weigh(parts, rule, from)
  local said = ffi.new('float[?]', self.edges + 1)
  for p = 0, self.edges - 1 do said[p] = NAN end
  for i, part in ipairs(parts) do
    local weights = floats(checked(part, i).weights)
    if part.graph then add_graph(self, said, part.graph, weights)
    else add_list(self, said, part, weights) end
  end
  local weight, read = ffi.new('float[?]', self.edges + 1), ffi.new('bool[?]', self.edges + 1)
  for a = 0, self.nodes - 1 do
    for p = self.offsets[a], self.offsets[a + 1] - 1 do
      local b = self.tails[p]
      if a < b then
        local q = back(self, a, p)
        weight[p] = joined(self, rule, a, b, said[p], said[q])
        read[p] = said[p] == said[p] or said[q] == said[q]
        weight[q], read[q] = weight[p], read[p]
      end
    end
  end
  self.weight, self.read = weight, read
  if rule == 'least' and from then begin_at(self, from) end
  return self
end

return {new = new}
