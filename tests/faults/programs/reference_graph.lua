--- The ops on graphs, on neighbourhoods and by kind, dropout and losses, in double precision: added
--- to those of reference.lua.
--
-- A graph is {n, heads, tails, relations, nodes, tail_nodes, kinds}: edges in the graph's own
-- order. a.flip goes from heads to tails.
local ffi = require 'ffi'
local C = require 'tinykg.lib'
local arrays = require 'tests.support.arrays'
local ops = require 'tests.faults.programs.reference'
local new, matrix = arrays.new, arrays.matrix
local exp, log, max = math.exp, math.log, math.max

pcall(ffi.cdef, [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
]])

-- ---- dropout ----

local words = ffi.new('uint32_t[4]')

--- 0 or 1 / (1 - p) for each of n elements, as philox.h and ops.def say: element i has number i of
--- 16 bits of the op's stream, and stays where (number + 1/2) / 65536 >= p.
local function mask(n, p, seed, stream)
  local out = arrays.doubles(n + 1)
  for i = 0, n - 1 do
    if i % 8 == 0 then C.tkg_philox(seed, i / 8, 1, stream, words) end
    local word = tonumber(words[math.floor(i % 8 / 2)])
    local number = i % 2 == 0 and word % 65536 or math.floor(word / 65536)
    out[i] = (number + 0.5) / 65536 >= p and 1 / (1 - p) or 0
  end
  return out
end

ops.dropout = {
  draws = true,
  forward = function(a, x)
    local o = new(x[1].shape)
    a.mask = mask(o.n, a.p, a.seed, a.stream)
    for i = 0, o.n - 1 do o.v[i] = x[1].v[i] * a.mask[i] end
    return o
  end,
  backward = function(a, o, x)
    for i = 0, o.n - 1 do x[1].g[i] = x[1].g[i] + o.g[i] * a.mask[i] end
  end,
}

-- ---- sums over edges ----

local function ends(a)
  local g = a.graph
  if a.flip then return g.tails, g.heads, g.tail_nodes, g.nodes end
  return g.heads, g.tails, g.nodes, g.tail_nodes
end

--- What each edge counts: 1, or 1 / edges of its head.
local function shares(a)
  if not a.shares then
    local heads, _, n = ends(a)
    local degree, e = arrays.doubles(n + 1), a.graph.n
    a.shares = arrays.doubles(e + 1)
    for k = 0, e - 1 do degree[heads[k]] = degree[heads[k]] + 1 end
    for k = 0, e - 1 do a.shares[k] = a.reduce == 'mean' and 1 / degree[heads[k]] or 1 end
  end
  return a.shares
end

--- Weights of edges that dropout leaves: a mask of the edges, or of the nodes that they lead to; a
--- mean is over what is left, divided by at least 1.
local function dropped(a)
  local heads, tails, n, m = ends(a)
  local e, count = a.graph.n, arrays.doubles(n + 1)
  local weights = arrays.doubles(e + 1)
  local drawn = mask(a.drop == 'nodes' and m or e, a.p, a.seed, a.stream)
  for k = 0, e - 1 do
    weights[k] = drawn[a.drop == 'nodes' and tails[k] or k]
    count[heads[k]] = count[heads[k]] + weights[k]
  end
  for k = 0, a.reduce == 'mean' and e - 1 or -1 do
    weights[k] = weights[k] / max(count[heads[k]], 1)
  end
  return weights
end

--- The parts of an aggregate among its inputs: values, relation vectors, weights.
local function parts(a, x)
  return x[1], a.message ~= 'copy' and x[2] or nil, a.weighted and x[#x]
end

local SIGN = {add = 1, sub = -1}

local aggregate = {
  forward = function(a, x)
    local heads, tails, n = ends(a)
    local p, r, w = parts(a, x)
    local cols, mul = p.shape[2], a.message == 'mul'
    local o, sign = new{n, cols}, SIGN[a.message]
    a.share = a.drop and dropped(a) or shares(a)
    for k = 0, a.graph.n - 1 do
      local share = a.share[k] * (w and w.v[k] or 1) * (a.constant and a.constant[k] or 1)
      local to, from, kind = heads[k] * cols, tails[k] * cols, r and a.graph.relations[k] * cols
      for c = 0, cols - 1 do
        local value = p.v[from + c]
        if mul then value = value * r.v[kind + c] end
        if sign then value = value + sign * r.v[kind + c] end
        o.v[to + c] = o.v[to + c] + share * value
      end
    end
    return o
  end,
  backward = function(a, o, x)
    local heads, tails = ends(a)
    local p, r, w = parts(a, x)
    local cols, mul, sign = p.shape[2], a.message == 'mul', SIGN[a.message]
    for k = 0, a.graph.n - 1 do
      local fixed = a.share[k] * (a.constant and a.constant[k] or 1)
      local share, along = fixed * (w and w.v[k] or 1), 0
      local to, from, kind = heads[k] * cols, tails[k] * cols, r and a.graph.relations[k] * cols
      for c = 0, cols - 1 do
        local g, factor = o.g[to + c], mul and r.v[kind + c] or 1
        p.g[from + c] = p.g[from + c] + share * g * factor
        if r then r.g[kind + c] = r.g[kind + c] + share * g * (mul and p.v[from + c] or sign) end
        along = along + g * p.v[from + c] * factor
      end
      if w then w.g[k] = w.g[k] + fixed * along end
    end
  end,
}
ops.aggregate = aggregate
ops.aggregate_dropped = {draws = true, forward = aggregate.forward, backward = aggregate.backward}

--- Visits the largest tail value of each head and column: visit(place in the result, in the input).
local function each_largest(a, p, visit)
  local heads, tails = ends(a)
  local cols, k, e = p.shape[2], 0, a.graph.n
  local best = {}
  while k < e do
    for c = 0, cols - 1 do
      local to, at = heads[k] * cols + c, tails[k] * cols + c
      if not best[to] or p.v[at] > p.v[best[to]] then best[to] = at end
    end
    k = k + 1
  end
  for to, at in pairs(best) do visit(to, at) end
end

ops.aggregate_max = {
  exact = true,
  forward = function(a, x)
    local _, _, n = ends(a)
    local o = new{n, x[1].shape[2]}
    each_largest(a, x[1], function(to, at) o.v[to] = x[1].v[at] end)
    return o
  end,
  backward = function(a, o, x)
    each_largest(a, x[1], function(to, at) x[1].g[at] = x[1].g[at] + o.g[to] end)
  end,
  margin = function(a, x)
    local heads, tails = ends(a)
    local p, cols, near, best = x[1], x[1].shape[2], 1e-4 * arrays.largest(x[1]), {}
    each_largest(a, p, function(to, at) best[to] = at end)
    for k = 0, a.graph.n - 1 do
      for c = 0, cols - 1 do
        local at, top = tails[k] * cols + c, best[heads[k] * cols + c]
        if at ~= top and p.v[top] - p.v[at] < near then return false end
      end
    end
    return true
  end,
}

ops.edge_scores = {
  forward = function(a, x)
    local p, q, r, g = x[1], x[2], x[3], a.graph
    local o, cols = new{g.n}, p.shape[2]
    for k = 0, g.n - 1 do
      local i, j, sum = g.heads[k] * cols, g.tails[k] * cols, 0
      local kind = r and g.relations[k] * cols
      for c = 0, cols - 1 do
        sum = sum + p.v[i + c] * q.v[j + c] * (r and r.v[kind + c] or 1)
      end
      o.v[k] = sum
    end
    return o
  end,
  backward = function(a, o, x)
    local p, q, r, g = x[1], x[2], x[3], a.graph
    local cols = p.shape[2]
    for k = 0, g.n - 1 do
      local i, j, kind = g.heads[k] * cols, g.tails[k] * cols, r and g.relations[k] * cols
      for c = 0, cols - 1 do
        local factor, pv, qv, top = r and r.v[kind + c] or 1, p.v[i + c], q.v[j + c], o.g[k]
        p.g[i + c] = p.g[i + c] + top * qv * factor
        q.g[j + c] = q.g[j + c] + top * pv * factor
        if r then r.g[kind + c] = r.g[kind + c] + top * pv * qv end
      end
    end
  end,
}

ops.edge_softmax = {
  forward = function(a, x)
    local heads, _, n = ends(a)
    local o, p, e = new{a.graph.n}, x[1].v, a.graph.n
    local most, sum = arrays.doubles(n + 1), arrays.doubles(n + 1)
    for h = 0, n - 1 do most[h] = -math.huge end
    for k = 0, e - 1 do most[heads[k]] = max(most[heads[k]], p[k]) end
    for k = 0, e - 1 do sum[heads[k]] = sum[heads[k]] + exp(p[k] - most[heads[k]]) end
    for k = 0, e - 1 do o.v[k] = exp(p[k] - most[heads[k]]) / sum[heads[k]] end
    return o
  end,
  backward = function(a, o, x)
    local heads, _, n = ends(a)
    local sum = arrays.doubles(n + 1)
    for k = 0, o.n - 1 do sum[heads[k]] = sum[heads[k]] + o.v[k] * o.g[k] end
    for k = 0, o.n - 1 do x[1].g[k] = x[1].g[k] + o.v[k] * (o.g[k] - sum[heads[k]]) end
  end,
}

--- Edges of one head and tail are one, of the sum of their scores; each has an equal share.
local function run_of_edges(a)
  if not a.run then
    local g = a.graph
    a.run, a.of_run, a.runs = arrays.ints(g.n + 1), arrays.ints(g.n + 1), 0
    for k = 0, g.n - 1 do
      local new_run = k == 0 or g.heads[k] ~= g.heads[k - 1] or g.tails[k] ~= g.tails[k - 1]
      if new_run then a.runs = a.runs + 1 end
      a.run[k] = a.runs - 1
      a.of_run[a.run[k]] = a.of_run[a.run[k]] + 1
    end
  end
  return a.run, a.of_run
end

ops.edge_softmax_merged = {
  forward = function(a, x)
    local run, of_run = run_of_edges(a)
    local sums, merged = arrays.doubles(a.runs + 1), new{a.graph.n}
    for k = 0, merged.n - 1 do sums[run[k]] = sums[run[k]] + x[1].v[k] end
    for k = 0, merged.n - 1 do merged.v[k] = sums[run[k]] - log(of_run[run[k]]) end
    return ops.edge_softmax.forward(a, {merged})
  end,
  backward = function(a, o, x)
    local run = run_of_edges(a)
    local merged, sums = new{o.n}, arrays.doubles(a.runs + 1)
    merged.g = arrays.doubles(o.n + 1)
    ops.edge_softmax.backward(a, o, {merged})
    for k = 0, o.n - 1 do sums[run[k]] = sums[run[k]] + merged.g[k] end
    for k = 0, o.n - 1 do x[1].g[k] = x[1].g[k] + sums[run[k]] end
  end,
}

-- ---- neighbourhoods, kinds ----

ops.edge_dot = {
  forward = function(a, x)
    local u, r = x[1], x[2]
    local n, cols, k = u.shape[1], u.shape[2], a.shape[2]
    local o = new{n, k}
    for i = 0, n * k - 1 do
      local from, to, sum = math.floor(i / k) * cols, a.ids[i] * cols, 0
      for c = 0, cols - 1 do sum = sum + u.v[from + c] * r.v[to + c] end
      o.v[i] = sum
    end
    return o
  end,
  backward = function(a, o, x)
    local u, r = x[1], x[2]
    local cols, k = u.shape[2], a.shape[2]
    for i = 0, o.n - 1 do
      local from, to = math.floor(i / k) * cols, a.ids[i] * cols
      for c = 0, cols - 1 do
        local uv, rv = u.v[from + c], r.v[to + c]
        u.g[from + c] = u.g[from + c] + o.g[i] * rv
        r.g[to + c] = r.g[to + c] + o.g[i] * uv
      end
    end
  end,
}

ops.mix = {
  forward = function(_, x)
    local w, p = x[1], x[2]
    local n, k, cols = w.shape[1], w.shape[2], p.shape[2]
    local o = new{n, cols}
    for i = 0, n * k - 1 do
      local to, from = math.floor(i / k) * cols, i * cols
      for c = 0, cols - 1 do o.v[to + c] = o.v[to + c] + w.v[i] * p.v[from + c] end
    end
    return o
  end,
  backward = function(_, o, x)
    local w, p = x[1], x[2]
    local n, k, cols = w.shape[1], w.shape[2], p.shape[2]
    for i = 0, n * k - 1 do
      local to, from, sum, factor = math.floor(i / k) * cols, i * cols, 0, w.v[i]
      for c = 0, cols - 1 do
        sum = sum + o.g[to + c] * p.v[from + c]
        p.g[from + c] = p.g[from + c] + factor * o.g[to + c]
      end
      w.g[i] = w.g[i] + sum
    end
  end,
}

ops.mix_dot = {
  forward = function(a, x)
    local u, p, k = x[1], x[2], a.k
    local n, cols = u.shape[1], u.shape[2]
    local o = new{n, k}
    for i = 0, n * k - 1 do
      local from, sum = math.floor(i / k) * cols, 0
      for c = 0, cols - 1 do sum = sum + u.v[from + c] * p.v[i * cols + c] end
      o.v[i] = sum
    end
    return o
  end,
  backward = function(a, o, x)
    local u, p, k = x[1], x[2], a.k
    local cols = u.shape[2]
    for i = 0, o.n - 1 do
      local from, at = math.floor(i / k) * cols, i * cols
      for c = 0, cols - 1 do
        local uv, pv = u.v[from + c], p.v[at + c]
        u.g[from + c] = u.g[from + c] + o.g[i] * pv
        p.g[at + c] = p.g[at + c] + o.g[i] * uv
      end
    end
  end,
}

--- Visits each multiplication: out place, x place, w place.
local function each_grouped(a, x, visit)
  local p, w = x[1], x[2]
  local n, d, rows, cols = p.shape[1], p.shape[2], w.shape[2], w.shape[3]
  local k = a.transposed and rows or cols
  for i = 0, n - 1 do
    local first = a.ids[i] * rows * cols
    for c = 0, k - 1 do
      for j = 0, d - 1 do
        visit(i * k + c, i * d + j, first + (a.transposed and c * cols + j or j * cols + c))
      end
    end
  end
end

ops.grouped_matmul = {
  forward = function(a, x)
    local o = new{x[1].shape[1], x[2].shape[a.transposed and 2 or 3]}
    local v, p, w = o.v, x[1].v, x[2].v
    each_grouped(a, x, function(to, i, j) v[to] = v[to] + p[i] * w[j] end)
    return o
  end,
  backward = function(a, o, x)
    local g, p, w, pg, wg = o.g, x[1].v, x[2].v, x[1].g, x[2].g
    each_grouped(a, x, function(from, i, j)
      pg[i] = pg[i] + g[from] * w[j]
      wg[j] = wg[j] + g[from] * p[i]
    end)
  end,
}

-- ---- losses: numbers ----

local function sigmoid(x) return 1 / (1 + exp(-x)) end
local function softplus(x) return max(x, 0) + log(1 + exp(-math.abs(x))) end

ops.bpr = {
  forward = function(_, x)
    local o, sum = new{}, 0
    for i = 0, x[1].n - 1 do sum = sum + softplus(x[2].v[i] - x[1].v[i]) end
    o.v[0] = sum / x[1].n
    return o
  end,
  backward = function(_, o, x)
    for i = 0, x[1].n - 1 do
      local d = o.g[0] * sigmoid(x[2].v[i] - x[1].v[i]) / x[1].n
      x[1].g[i] = x[1].g[i] - d
      x[2].g[i] = x[2].g[i] + d
    end
  end,
}

ops.bce = {
  forward = function(_, x)
    local o, sum = new{}, 0
    for i = 0, x[1].n - 1 do sum = sum + softplus(x[1].v[i]) - x[1].v[i] * x[2].v[i] end
    o.v[0] = sum / x[1].n
    return o
  end,
  backward = function(_, o, x)
    for i = 0, x[1].n - 1 do
      local scale, logit = o.g[0] / x[1].n, x[1].v[i]
      x[1].g[i] = x[1].g[i] + scale * (sigmoid(logit) - x[2].v[i])
      x[2].g[i] = x[2].g[i] - scale * logit
    end
  end,
}

ops.l2 = {
  forward = function(_, x)
    local o = new{}
    for k = 1, #x do
      for i = 0, x[k].n - 1 do o.v[0] = o.v[0] + 0.5 * x[k].v[i] ^ 2 end
    end
    return o
  end,
  backward = function(_, o, x)
    for k = 1, #x do
      for i = 0, x[k].n - 1 do x[k].g[i] = x[k].g[i] + o.g[0] * x[k].v[i] end
    end
  end,
}

ops.cross_entropy = {
  forward = function(a, x)
    local o, rows, cols = new{}, matrix(x[1].shape)
    for r = 0, rows - 1 do
      o.v[0] = o.v[0] + (ops.log_sum(x[1].v, r * cols, cols) - x[1].v[r * cols + a.ids[r]]) / rows
    end
    return o
  end,
  backward = function(a, o, x)
    local rows, cols = matrix(x[1].shape)
    for r = 0, rows - 1 do
      local sum = ops.log_sum(x[1].v, r * cols, cols)
      for c = 0, cols - 1 do
        local i = r * cols + c
        local d = exp(x[1].v[i] - sum) - (c == a.ids[r] and 1 or 0)
        x[1].g[i] = x[1].g[i] + o.g[0] * d / rows
      end
    end
  end,
}

--- Pairwise ranking of dot products: users' rows, items' rows, k drawn items' rows a user.
ops.interactions = {
  forward = function(_, x)
    local u, n, cols = x[1], x[1].shape[1], x[1].shape[2]
    local o, k = new{}, x[3].shape[1] / n
    o.slopes, o.rough = arrays.doubles(n * k + 1), 0
    for i = 0, n * k - 1 do
      local row, sum = math.floor(i / k) * cols, 0
      for c = 0, cols - 1 do
        local drawn, known = u.v[row + c] * x[3].v[i * cols + c], u.v[row + c] * x[2].v[row + c]
        sum = sum + drawn - known
        o.rough = o.rough + (math.abs(drawn) + math.abs(known)) / (n * k)
      end
      o.v[0] = o.v[0] + softplus(sum) / (n * k)
      o.slopes[i] = sigmoid(sum) / (n * k)
    end
    return o
  end,
  backward = function(_, o, x)
    local u, n, cols = x[1], x[1].shape[1], x[1].shape[2]
    local k = x[3].shape[1] / n
    for i = 0, n * k - 1 do
      local row, d = math.floor(i / k) * cols, o.g[0] * o.slopes[i]
      for c = 0, cols - 1 do
        local at = i * cols + c
        local uv, pv, qv = u.v[row + c], x[2].v[row + c], x[3].v[at]
        u.g[row + c] = u.g[row + c] + d * (qv - pv)
        x[2].g[row + c] = x[2].g[row + c] - d * uv
        x[3].g[at] = x[3].g[at] + d * uv
      end
    end
  end,
}

return ops
