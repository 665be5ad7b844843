--- Knowledge graphs: triples (head, relation, tail) as one adjacency, built once.
local ffi = require 'ffi'
local C = require 'tinykg.lib'
local session = require 'tinykg.session'
local tensor = require 'tinykg.tensor'
local check, fail = session.check, session.fail

---@class Graph
---@field nodes integer
---@field relations integer  relation ids; an isolated node's neighbour is itself by relation id
---  `relations`, so tables of relation vectors need `relations + 1` rows
---@field edges integer
local Graph = {}
Graph.__index = Graph

local function column(x, n, what)
  if x == nil then fail('graph: no %s given', what) end
  if tensor.is(x) then
    if x:dtype() ~= 'i32' then fail('graph: %s must be ids', what) end
    return x:values()
  end
  if type(x) == 'cdata' then
    if not n then fail('graph: n is needed with FFI arrays') end
    return x, n
  end
  return tensor.ids(x):values()
end

local function kept_ids(array, n)
  local t = tensor.create(tensor.I32, {n}, 'graph')
  check(C.tkg_tensor_write(t.kept, array, 0, n))
  return t
end

--- Triples and, when asked for, their inverses under the same relation.
local function directed(heads, relations, tails, n, both)
  if not both then return heads, relations, tails, n end
  local h, r, t = ffi.new('int32_t[?]', 2 * n + 1), ffi.new('int32_t[?]', 2 * n + 1),
    ffi.new('int32_t[?]', 2 * n + 1)
  for i = 0, n - 1 do
    h[2 * i], r[2 * i], t[2 * i] = heads[i], relations[i], tails[i]
    h[2 * i + 1], r[2 * i + 1], t[2 * i + 1] = tails[i], relations[i], heads[i]
  end
  return h, r, t, 2 * n
end

--- A graph of triples.
---@param o {head: Tensor, relation: Tensor, tail: Tensor, nodes: integer, relations: integer,
---  n?: integer, undirected?: boolean} ids 0-based; n: the length, when FFI arrays are given;
---  undirected: each triple counts in both directions (KGCN)
---@return Graph
local function new_graph(o)
  if o == nil then fail('graph: expected {head = ids, relation = ids, tail = ids, ...}') end
  session.options('graph', o, 'head relation tail nodes relations n undirected')
  local heads, n = column(o.head, o.n, 'head')
  local relations, n_relations = column(o.relation, o.n, 'relation')
  local tails, n_tails = column(o.tail, o.n, 'tail')
  if n ~= n_relations or n ~= n_tails then
    fail('graph: %d heads, %d relations, %d tails', n, n_relations, n_tails)
  end
  for _, count in ipairs{'nodes', 'relations'} do
    if type(o[count]) ~= 'number' or o[count] < 0 or o[count] % 1 ~= 0 then
      fail('graph: %s is %s, expected how many there are', count, tostring(o[count]))
    end
  end
  for i = 0, n - 1 do
    if heads[i] < 0 or heads[i] >= o.nodes or tails[i] < 0 or tails[i] >= o.nodes
       or relations[i] < 0 or relations[i] >= o.relations then
      fail('graph: triple %d is (%d, %d, %d), outside %d nodes and %d relations', i, heads[i],
           relations[i], tails[i], o.nodes, o.relations)
    end
  end
  heads, relations, tails, n = directed(heads, relations, tails, n, o.undirected)
  local offsets = ffi.new('int32_t[?]', o.nodes + 1)
  local sorted, order = ffi.new('int32_t[?]', n + 1), ffi.new('int32_t[?]', n + 1)
  check(C.tkg_csr_build(n, heads, tails, o.nodes, offsets, sorted, order))
  local by_head = ffi.new('int32_t[?]', n + 1)
  for i = 0, n - 1 do by_head[i] = relations[order[i]] end
  return setmetatable({
    nodes = o.nodes, relations = o.relations, edges = n,
    offsets = kept_ids(offsets, o.nodes + 1), tails = kept_ids(sorted, n),
    edge_relations = kept_ids(by_head, n),
  }, Graph)
end

--- `k` neighbours of each node of `ids`: distinct where a node has at least k; where it has fewer,
--- each equally often, up to one (KGCN's code draws with replacement and misses some); the node
--- itself by relation id `relations` where it has none.
---@param ids Tensor int32 [n]
---@return Tensor tails int32 [n, k], Tensor relations int32 [n, k]
function Graph:sample(ids, k)
  if not tensor.is(ids) then fail('sample: ids are a %s, expected a tensor', type(ids)) end
  if type(k) ~= 'number' or k < 1 or k % 1 ~= 0 then
    fail('sample: %s neighbours asked for, expected a whole number from 1', tostring(k))
  end
  local a = tensor.attribute()
  a.i[0], a.i[2] = k, self.relations
  local pair = tensor.record('sample_neighbors', a, self.offsets, self.tails, self.edge_relations,
                             ids)
  local n = ids:count()
  return pair:rows(1, 1):reshape(n, k), pair:rows(2, 2):reshape(n, k)
end

local Info = {__tostring = function(i)
  return string.format(
    'graph: %d nodes, %d relations, %d edges; degree mean %.1f max %d, %d isolated',
    i.nodes, i.relations, i.edges, i.mean_degree, i.max_degree, i.isolated)
end}

--- Counts and degrees: {nodes, relations, edges, isolated, mean_degree, max_degree}.
function Graph:info()
  local offsets = self.offsets:values()
  local isolated, largest = 0, 0
  for i = 0, self.nodes - 1 do
    local degree = offsets[i + 1] - offsets[i]
    if degree == 0 then isolated = isolated + 1 end
    largest = math.max(largest, degree)
  end
  return setmetatable({
    nodes = self.nodes, relations = self.relations, edges = self.edges, isolated = isolated,
    mean_degree = self.edges / math.max(self.nodes, 1), max_degree = largest}, Info)
end

function Graph:__tostring() return tostring(self:info()) end

return new_graph
