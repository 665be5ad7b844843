--- Finds the heaviest paths of at most four edges between two nodes, exactly: all walks of two
--- edges from one end are joined with those of up to two edges from the other. No node comes twice.
local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'

---@class Path
---@field weight number ---@field sum number of its edges' weights
---@field nodes integer[] ---@field places integer[] of its edges in the explanation graph
---@field reversed boolean[] whether the edge at that place begins at the further node

--- Whether path a comes before b: by weight, then sum, fewer edges, lower node numbers, places.
local function before(a, b)
  if a.weight ~= b.weight then return a.weight > b.weight end
  if a.sum ~= b.sum then return a.sum > b.sum end
  if #a.nodes ~= #b.nodes then return #a.nodes < #b.nodes end
  for i = 1, #a.nodes do
    if a.nodes[i] ~= b.nodes[i] then return a.nodes[i] < b.nodes[i] end
  end
  for i = 1, #a.places do
    if a.places[i] ~= b.places[i] then return a.places[i] < b.places[i] end
  end
  return false
end

--- The best `count` paths seen; `least` is what a path must weigh to be one of them.
local function new_best(count)
  local best = {least = -math.huge}
  function best.add(path)
    local at = #best + 1
    while at > 1 and before(path, best[at - 1]) do at = at - 1 end
    if at > count then return end
    table.insert(best, at, path)
    best[count + 1] = nil
    if #best == count then best.least = best[count].weight end
  end
  return best
end

--- All walks of two edges from a node that avoid another: columns first (the node between), p1, p2,
--- weight, sum, read. Walks that end at the same node are a linked list: head[node], next.
local function two_steps(u, from, avoid, join)
  local n = 0
  for p = u.offsets[from], u.offsets[from + 1] - 1 do n = n + u:degree(u.tails[p]) end
  local s = {n = 0, first = arrays.ints(n), p1 = arrays.ints(n), p2 = arrays.ints(n),
             weight = arrays.doubles(n), sum = arrays.doubles(n), next = arrays.ints(n),
             read = ffi.new('bool[?]', n + 1), head = arrays.ints(u.nodes),
             best = arrays.doubles(u.nodes)}
  for v = 0, u.nodes - 1 do s.head[v], s.best[v] = -1, -math.huge end
  for p1 = u.offsets[from], u.offsets[from + 1] - 1 do
    local a, w1 = u.tails[p1], u.weight[p1]
    for p2 = u.offsets[a], (a ~= avoid and w1 == w1) and u.offsets[a + 1] - 1 or -1 do
      local b, w2 = u.tails[p2], u.weight[p2]
      if b ~= from and w2 == w2 then
        local i, w = s.n, join(w1, w2)
        s.n = i + 1
        s.first[i], s.p1[i], s.p2[i], s.weight[i], s.sum[i] = a, p1, p2, w, w1 + w2
        s.read[i], s.next[i], s.head[b] = u.read[p1] or u.read[p2], s.head[b], i
        if w > s.best[b] then s.best[b] = w end
      end
    end
  end
  return s
end

local JOIN = {
  product = function(a, b) return a * b end,
  least = function(a, b) return a < b and a or b end,
}
local EMPTY = {product = 1, least = math.huge} -- the weight of a path without edges

--- The path of walk i, which ends at x, and of the edges behind it: p3 (at y) if any, p4 (at `to`).
local function path_of(s, i, from, x, y, to, p3, p4, weight, sum)
  local path = {weight = weight, sum = sum, nodes = {from, s.first[i], x},
                places = {s.p1[i], s.p2[i]}, reversed = {false, false}}
  for _, step in ipairs{p3 and {p3, y} or {p4, to}, p3 and {p4, to}} do
    if step[1] then
      table.insert(path.places, step[1])
      table.insert(path.nodes, step[2])
      table.insert(path.reversed, true)
    end
  end
  return path
end

--- The heaviest paths from `from` to `to` of two edges up to `length`.
---@param u ExplanationGraph after weigh ---@param from integer ---@param to integer
---@param o {length: integer, count: integer, rule: string, all: boolean} length: 2 to 4; rule:
---  'product' of the weights or the 'least'; all: also paths without an edge that the model reads
---@return Path[] the heaviest first
return function(u, from, to, o)
  local join, best = JOIN[o.rule], new_best(o.count)
  local s = two_steps(u, from, to, join)

  --- Adds the paths of all walks to x and given edges behind x.
  local function meet(x, w, sum, read, y, p3, p4)
    local i = s.head[x]
    if i < 0 or join(s.best[x], w) < best.least then return end
    while i >= 0 do
      local weight = join(s.weight[i], w)
      if weight >= best.least and s.first[i] ~= y and (o.all or read or s.read[i]) then
        best.add(path_of(s, i, from, x, y, to, p3, p4, weight, s.sum[i] + sum))
      end
      i = s.next[i]
    end
  end

  local first, last = u.offsets[to], u.offsets[to + 1] - 1
  meet(to, EMPTY[o.rule], 0, false)
  for p4 = first, o.length >= 3 and last or -1 do
    local w4 = u.weight[p4]
    if w4 == w4 and u.tails[p4] ~= from then
      meet(u.tails[p4], w4, w4, u.read[p4], nil, nil, p4)
    end
  end
  for p4 = first, o.length >= 4 and last or -1 do
    local y, w4 = u.tails[p4], u.weight[p4]
    for p3 = u.offsets[y], (y ~= from and w4 == w4) and u.offsets[y + 1] - 1 or -1 do
      local x, w3 = u.tails[p3], u.weight[p3]
      if w3 == w3 and x ~= to and x ~= from then
        meet(x, join(w3, w4), w3 + w4, u.read[p3] or u.read[p4], y, p3, p4)
      end
    end
  end
  return best
end
