--- A graph for benchmarks of sums over edges: users and entities as nodes, each triple in both
--- directions.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local build = require 'tinykg.graph.build'
local random = require 'tinykg.base.random'
local tensor = require 'tinykg.engine.tensor'

local bench_graph = {}

local function lists(n) return ffi.new('int32_t[?]', n), ffi.new('int32_t[?]', n),
  ffi.new('int32_t[?]', n) end

local function merged(data)
  local g, train = data.graph, data.train
  local n, e = data.users + data.entities, 2 * (g.n + train.n)
  local heads, relations, tails = lists(e)
  local at = 0
  local function add(head, relation, tail)
    heads[at], relations[at], tails[at] = head, 2 * relation, tail
    heads[at + 1], relations[at + 1], tails[at + 1] = tail, 2 * relation + 1, head
    at = at + 2
  end
  for i = 0, train.n - 1 do add(train.users[i] + data.entities, 0, train.items[i]) end
  for i = 0, g.n - 1 do add(g.heads[i], 1 + g.relations[i], g.tails[i]) end
  return {nodes = n, tail_nodes = n, n = e, heads = heads, relations = relations, tails = tails,
          relation_count = 2 * data.relations + 2}
end

--- A random graph with a power law of degrees and about the size of KGAT's Last-FM.
local function generated(quick)
  local n, e, relations = 130000, 1776000, 20
  if quick then n, e = 4000, 40000 end
  local heads, kinds, tails = lists(e)
  local generator = random.new(1, 0x45444745)
  for i = 0, e - 1, 2 do
    local a, b = math.floor(n * generator:uniform() ^ 4), generator:below(n)
    local r = generator:below(relations / 2) * 2
    heads[i], kinds[i], tails[i] = a, r, b
    heads[i + 1], kinds[i + 1], tails[i + 1] = b, r + 1, a
  end
  return {nodes = n, tail_nodes = n, n = e, heads = heads, relations = kinds, tails = tails,
          relation_count = relations}
end

--- A graph for ops of the engine: {n, e, kinds, heads, packed, layout}.
---@param data? tinykg.Data nil: a generated graph
---@param quick? boolean
function bench_graph.new(data, quick)
  local g = data and merged(data) or generated(quick)
  local packed, layout = build.pack(g)
  return {n = g.nodes, e = g.n, kinds = g.relation_count, heads = g.heads, packed = packed,
          layout = layout}
end

--- Evenly spread nodes, the index of each node among them (-1: none), and their number of edges.
---@param g table from bench_graph.new ---@param count integer
---@return Tensor rows, Tensor row_of, integer edges
function bench_graph.some(g, count)
  local ids, row_of, found = ffi.new('int32_t[?]', count), ffi.new('int32_t[?]', g.n), 0
  for t = 0, g.n - 1 do row_of[t] = -1 end
  for b = 0, count - 1 do
    ids[b] = math.floor(b * g.n / count)
    row_of[ids[b]] = b
  end
  for i = 0, g.e - 1 do found = found + (row_of[g.heads[i]] >= 0 and 1 or 0) end
  return tensor.ids(ids, count), tensor.ids(row_of, g.n), found
end

--- The attributes of an op on the graph. ---@param backward? boolean
function bench_graph.attributes(g, backward)
  local a = tensor.attribute()
  a.i[0], a.i[1], a.i[2] = g.n, g.n, g.e
  a.i[3] = g.layout + (backward and C.TKG_GRAPH_BACKWARD or 0)
  return a
end

return bench_graph
