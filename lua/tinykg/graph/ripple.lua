--- Ripple sets (Wang et al., RippleNet, CIKM 2018): of a list of nodes, sampled triples that begin
--- at them, triples that begin at the tails of those, and so on.
local ffi = require 'ffi'
local arguments = require 'tinykg.base.arguments'
local packed = require 'tinykg.graph.packed'
local random = require 'tinykg.base.random'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- By hop {heads, relations, tails}: int32 tensors [rows, size].
---@class RippleSets
local RippleSets = {}
RippleSets.__index = RippleSets

--- Iterates over the hops of some rows: number from 1, and the hop's triples.
---@param rows Tensor int32 [n] ---@param embedding Module called with int32 ids
---@return fun(): integer?, table? heads, relations, tails: int32 [n, size]; of these, one after the
---  other, relation ids `r` [n size] and rows `h` and `t` [n size, d] of the embedding
function RippleSets:gather(rows, embedding)
  local k = 0
  return function()
    k = k + 1
    local set, hop = self[k], {}
    if not set then return nil end
    local function flat(name)
      hop[name] = set[name]:gather(rows)
      return hop[name]:reshape(-1)
    end
    hop.r = flat('relations')
    hop.h, hop.t = embedding(flat('heads')), embedding(flat('tails'))
    return k, hop
  end
end

arguments.class(RippleSets, 'RippleSets', 'ripple sets: graph:ripples')

--- Writes running sums of the degrees of nodes[0 .. n - 1] to sums. Returns their total.
local function sum_degrees(offsets, nodes, n, sums)
  local total = 0
  for i = 0, n - 1 do
    total = total + offsets[nodes[i] + 1] - offsets[nodes[i]]
    sums[i] = total
  end
  return total
end

--- Edge number `at` of the edges of all nodes, in the order of the nodes.
local function edge_of(offsets, nodes, n, sums, at)
  local low, high = 0, n - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sums[middle] > at then high = middle else low = middle + 1 end
  end
  return offsets[nodes[low] + 1] - (sums[low] - at)
end

local MOST_HOPS = 1000

local function check(graph, seeds, hops, size)
  if seeds.rows * size >= 2 ^ 31 or hops > MOST_HOPS then
    runtime.fail('ripples: %d hops of %d sets of %d are too many', hops, seeds.rows, size)
  end
  for name, value in pairs{hops = hops, size = size} do
    if value < 1 then runtime.fail('ripples: %s is %d, expected 1 or more', name, value) end
  end
  packed.need_relations(graph, 'ripples')
  if graph.edges == 0 then
    runtime.fail('ripples: the graph has no edges: there is nothing to spread along')
  end
  for at = seeds.offsets[0], seeds.offsets[seeds.rows] - 1 do
    if seeds.items[at] < 0 or seeds.items[at] >= graph.nodes then
      runtime.fail('ripples: seed %d is not a node 0 .. %d', seeds.items[at], graph.nodes - 1)
    end
  end
end

local function longest(seeds)
  local most = 0
  for row = 0, seeds.rows - 1 do
    most = math.max(most, seeds.offsets[row + 1] - seeds.offsets[row])
  end
  return most
end

--- Hop 1 of row r has `size` triples whose head is one of r's seeds; hop k has triples whose head
--- is a tail of hop k - 1, where a tail sampled twice counts twice. They are distinct if there are
--- enough; else each is there at least once or, with `replacement`, at random. A hop without
--- triples repeats the hop before. A row whose seeds have none (or without seeds) gets triples of
--- the whole graph. Errors: no relations, no edges, counts below 1, seeds that are no nodes.
---@param graph Graph ---@param seeds tinykg.Csr ---@param hops integer ---@param size integer
---@param replacement? boolean
---@return RippleSets
return function(graph, seeds, hops, size, replacement)
  check(graph, seeds, hops, size)
  local generator = random.new(runtime.seed, runtime.stream())
  local triples, offsets = graph:triples(), packed.read(graph, 'offsets')
  local room = math.max(longest(seeds), size)
  local sums, picked = ffi.new('double[?]', room + 1), ffi.new('double[?]', size)
  local count = seeds.rows * size
  local edges = {}
  for k = 1, hops do edges[k] = ffi.new('int32_t[?]', count + 1) end
  local tails = ffi.new('int32_t[?]', size)

  local function fill(k, row, nodes, n)
    local out, total = edges[k] + row * size, sum_degrees(offsets, nodes, n, sums)
    if total == 0 and k > 1 then
      ffi.copy(out, edges[k - 1] + row * size, 4 * size)
      return
    end
    generator:some(total > 0 and total or triples.n, size, picked, replacement)
    for i = 0, size - 1 do
      out[i] = total > 0 and edge_of(offsets, nodes, n, sums, picked[i]) or picked[i]
    end
  end

  for row = 0, seeds.rows - 1 do
    local first = seeds.offsets[row]
    fill(1, row, seeds.items + first, seeds.offsets[row + 1] - first)
    for k = 2, hops do
      for i = 0, size - 1 do tails[i] = triples.tails[edges[k - 1][row * size + i]] end
      fill(k, row, tails, size)
    end
  end

  local function column(k, from)
    local ids = ffi.new('int32_t[?]', count + 1)
    for i = 0, count - 1 do ids[i] = from[edges[k][i]] end
    return tensor.constant(tensor.I32, {seeds.rows, size}, ids)
  end
  local sets = setmetatable({}, RippleSets)
  for k = 1, hops do
    sets[k] = {heads = column(k, triples.heads), relations = column(k, triples.relations),
               tails = column(k, triples.tails)}
  end
  return sets
end
