--- Parallel edges (of one head and tail, by several relations) as one edge in a softmax: its score
--- is the sum of theirs, and each gets an equal share of its weight. A head's sum over edges is
--- then that of one weight per pair of nodes.
local ffi = require 'ffi'
local ops = require 'tinykg.engine.ops'
local tensor = require 'tinykg.engine.tensor'

--- Calls fn(first, last) with the places of each group of parallel edges, which are neighbours.
local function each_group(graph, fn)
  local e, first = graph:triples(), 0
  for p = 1, e.n do
    if p == e.n or e.heads[p] ~= e.heads[first] or e.tails[p] ~= e.tails[first] then
      if p - first > 1 then fn(first, p - 1) end
      first = p
    end
  end
end

--- The n edges that have parallel ones: {edges = [n], log_count = [n], others: a graph from each to
--- those parallel to it, place = [all edges]: 1 to n, or 0 for an edge without}. False if there are
--- none. Made once.
local function parallel(make, graph)
  local shared = graph.shared
  if shared.parallel ~= nil then return shared.parallel end
  local n, links = 0, 0
  each_group(graph, function(first, last)
    local m = last - first + 1
    n, links = n + m, links + m * (m - 1)
  end)
  shared.parallel = false
  if n == 0 then return false end
  local place, edges = ffi.new('int32_t[?]', graph.edges), ffi.new('int32_t[?]', n)
  local heads, tails = ffi.new('int32_t[?]', links), ffi.new('int32_t[?]', links)
  local log_count, at, link = ffi.new('float[?]', n), 0, 0
  each_group(graph, function(first, last)
    local begin, m = at, last - first + 1
    for p = first, last do
      for other = begin, begin + m - 1 do
        if other ~= at then
          heads[link], tails[link] = at, other
          link = link + 1
        end
      end
      edges[at], place[p], log_count[at] = p, at + 1, math.log(m)
      at = at + 1
    end
  end)
  shared.parallel = {
    place = tensor.constant(tensor.I32, {graph.edges}, place),
    edges = tensor.constant(tensor.I32, {n}, edges),
    log_count = tensor.constant(tensor.F32, {n}, log_count),
    others = make{head = heads, tail = tails, n = links, nodes = n}}
  return shared.parallel
end

--- Turns scores of edges into scores whose softmax treats parallel edges (same head and tail) as
--- one: their scores are added, and they share its weight equally.
---@param make function tk.graph ---@param graph Graph ---@param scores Tensor [edges]
---@return Tensor [edges]
return function(make, graph, scores)
  local few = parallel(make, graph)
  if not few then return scores end
  local added = few.others:aggregate(scores:gather(few.edges):reshape(-1, 1)):reshape(-1)
  return scores + ops.cat({ops.full(0, 1), added - few.log_count}, 1):gather(few.place)
end
