--- Adds to reference.lua the ops on graphs, dropout and losses, in double precision.
--
-- A graph is {n, heads, tails, relations, nodes, tail_nodes, kinds}: n edges in the graph's own
-- order. If a.flip is true, an op goes from heads to tails.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arrays = require 'tests.support.arrays'
local ops = require 'tests.support.reference'
local scalars = require 'tests.support.scalars'
local new, matrix = arrays.new, arrays.matrix
local sigmoid, softplus = scalars.sigmoid, scalars.softplus
local exp, log, max = math.exp, math.log, math.max

pcall(ffi.cdef, [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
]])

-- ---- dropout ----

local words = ffi.new('uint32_t[4]')

--- 0 or 1 / (1 - p) for each of n elements, as philox.h and ops.def define it: number i of 16 bits
--- of the op's stream belongs to element i, which stays if (number + 1/2) / 65536 >= p.
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

-- ---- random numbers ----

--- Numbers of each kind from the words of a Philox block, at place k of four, as
--- random_numbers.h defines them.
local kinds = {
  uniform = function(word, k) return math.floor(word[k] / 256) / 2 ^ 24 end,
  gumbel = function(word, k) return -log(-log((math.floor(word[k] / 512) + 0.5) / 2 ^ 23)) end,
  normal = function(word, k)
    local first, second = word[k - k % 2], word[k - k % 2 + 1]
    local radius, angle = math.sqrt(-2 * log((first + 1) / 2 ^ 32)), 2 * math.pi * second / 2 ^ 32
    return radius * (k % 2 == 0 and math.cos(angle) or math.sin(angle))
  end,
}

--- n numbers of a kind, of a stream at a step.
function ops.random_numbers(kind, n, seed, step, stream)
  local out = arrays.doubles(n + 1)
  for i = 0, n - 1 do
    if i % 4 == 0 then C.tkg_philox(seed, i / 4, step, stream, words) end
    local word = {}
    for k = 0, 3 do word[k] = tonumber(words[k]) end
    out[i] = kinds[kind](word, i % 4)
  end
  return out
end

--- A constant.
ops.random = {
  draws = true,
  backward = function() end,
  forward = function(a)
    local o = new(a.shape)
    local numbers = ops.random_numbers(a.kind, o.n, a.seed, 1, a.stream)
    for i = 0, o.n - 1 do o.v[i] = numbers[i] end
    return o
  end,
}

-- ---- sums over edges ----

local function ends(a)
  local g = a.graph
  if a.flip then return g.tails, g.heads, g.tail_nodes, g.nodes end
  return g.heads, g.tails, g.nodes, g.tail_nodes
end

--- The share of each edge: 1, or 1 / edges of its head.
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

--- Weights of edges under dropout: a mask of the edges, or of the nodes that they lead to; a mean
--- divides by the edges that are left, at least 1.
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

--- The inputs of an aggregate: values, relation vectors or nil, weights or nil.
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

--- The edge with the largest tail value for each head and column; -1 where there is none.
local function edges_of_largest(a, p)
  local heads, tails, n = ends(a)
  local cols, best = p.shape[2], new{n, p.shape[2]}
  for i = 0, best.n - 1 do best.v[i] = -1 end
  for k = 0, a.graph.n - 1 do
    for c = 0, cols - 1 do
      local to = heads[k] * cols + c
      local other, at = best.v[to], tails[k] * cols + c
      if other < 0 or p.v[at] > p.v[tails[other] * cols + c] then best.v[to] = k end
    end
  end
  return best
end

--- Calls visit(place in the result, place in the input) for each edge in `edges`.
local function each_picked(a, edges, visit)
  local _, tails = ends(a)
  local cols = edges.shape[2]
  for i = 0, edges.n - 1 do
    if edges.v[i] >= 0 then visit(i, tails[edges.v[i]] * cols + i % cols) end
  end
end

--- The tail value of an edge for each head and column: a.edges, or that of the largest.
ops.aggregate_max = {
  exact = true,
  forward = function(a, x)
    local edges = a.edges or edges_of_largest(a, x[1])
    local o = new(edges.shape)
    o.edges = edges
    each_picked(a, edges, function(to, at) o.v[to] = x[1].v[at] end)
    return o
  end,
  backward = function(a, o, x)
    each_picked(a, o.edges, function(to, at) x[1].g[at] = x[1].g[at] + o.g[to] end)
  end,
  margin = function(a, x)
    local heads, tails = ends(a)
    local p, cols, near = x[1], x[1].shape[2], 1e-4 * arrays.largest(x[1])
    local best = edges_of_largest(a, p).v
    for k = 0, a.graph.n - 1 do
      for c = 0, cols - 1 do
        local at, top = tails[k] * cols + c, tails[best[heads[k] * cols + c]] * cols + c
        if at ~= top and p.v[top] - p.v[at] < near then return false end
      end
    end
    return true
  end,
}

--- p[head] . (q[tail] r[relation]) for each edge; r may be left out.
ops.edge_scores = ops.products(function(a) return {a.graph.n} end, function(a, x, visit)
  local heads, tails = ends(a)
  local cols, r = x[1].shape[2], x[3]
  for k = 0, a.graph.n - 1 do
    local p, q, kind = heads[k] * cols, tails[k] * cols, r and a.graph.relations[k] * cols
    for c = 0, cols - 1 do visit(k, p + c, q + c, kind and kind + c) end
  end
end)

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

--- The place of (relation r, row i, column c) of projections [kinds, d, k].
local function of_matrix(w, r, i, c) return (r * w.shape[2] + i) * w.shape[3] + c end

--- (x[tail] w[r]) . tanh(x[head] w[r] + by[r]) for each edge; nodes x, projections w, vectors by.
ops.attention_scores = {
  forward = function(a, x)
    local g, p, w, by = a.graph, x[1], x[2], x[3]
    local d, k = w.shape[2], w.shape[3]
    local o = new{g.n}
    o.tails, o.heads = arrays.doubles(g.n * k + 1), arrays.doubles(g.n * k + 1)
    for e = 0, g.n - 1 do
      local r = g.relations[e]
      for c = 0, k - 1 do
        local tail, head = 0, by.v[r * k + c]
        for i = 0, d - 1 do
          local m = w.v[of_matrix(w, r, i, c)]
          tail, head = tail + p.v[g.tails[e] * d + i] * m, head + p.v[g.heads[e] * d + i] * m
        end
        o.tails[e * k + c], o.heads[e * k + c] = tail, math.tanh(head)
        o.v[e] = o.v[e] + tail * o.heads[e * k + c]
      end
    end
    return o
  end,
  backward = function(a, o, x)
    local g, p, w, by = a.graph, x[1], x[2], x[3]
    local d, k = w.shape[2], w.shape[3]
    for e = 0, g.n - 1 do
      local r = g.relations[e]
      for c = 0, k - 1 do
        local head = o.heads[e * k + c]
        local to_tail, to_head = o.g[e] * head, o.g[e] * o.tails[e * k + c] * (1 - head * head)
        by.g[r * k + c] = by.g[r * k + c] + to_head
        for i = 0, d - 1 do
          local at, t, h = of_matrix(w, r, i, c), g.tails[e] * d + i, g.heads[e] * d + i
          w.g[at] = w.g[at] + to_tail * p.v[t] + to_head * p.v[h]
          p.g[t] = p.g[t] + to_tail * w.v[at]
          p.g[h] = p.g[h] + to_head * w.v[at]
        end
      end
    end
  end,
}

--- Edges of the same head and tail are merged: their scores are added, each gets an equal share.
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

-- ---- losses: numbers ----

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
      local most, sum = ops.log_sum(x[1].v, r * cols, cols)
      o.v[0] = o.v[0] + (most + sum - x[1].v[r * cols + a.ids[r]]) / rows
    end
    return o
  end,
  backward = function(a, o, x)
    local rows, cols = matrix(x[1].shape)
    for r = 0, rows - 1 do
      local most, sum = ops.log_sum(x[1].v, r * cols, cols)
      for c = 0, cols - 1 do
        local i = r * cols + c
        local d = exp(x[1].v[i] - most - sum) - (c == a.ids[r] and 1 or 0)
        x[1].g[i] = x[1].g[i] + o.g[0] * d / rows
      end
    end
  end,
}

--- Per row i of x: log(sum(exp(x . y / temperature))) over the rows y, less the term of row ids[i].
ops.contrast = {
  forward = function(a, x)
    local p, q, cols = x[1], x[2], x[1].shape[2]
    local sums = ops.product_logsumexp.forward({scale = 1 / a.temperature}, x)
    local o = new{p.shape[1]}
    o.sums, o.rough = sums.v, 0
    for i = 0, o.n - 1 do
      local own = 0
      for c = 0, cols - 1 do own = own + p.v[i * cols + c] * q.v[a.ids[i] * cols + c] end
      o.v[i] = sums.v[i] - own / a.temperature
      o.rough = max(o.rough, math.abs(own) / a.temperature)
    end
    return o
  end,
  backward = function(a, o, x)
    local p, q, cols = x[1], x[2], x[1].shape[2]
    ops.product_logsumexp.backward({scale = 1 / a.temperature}, {v = o.sums, g = o.g}, x)
    p.rough_g, q.rough_g = 0, 0 -- equal rows of y cancel
    for i = 0, o.n - 1 do
      local by = -o.g[i] / a.temperature
      for c = 0, cols - 1 do
        local at, to = i * cols + c, a.ids[i] * cols + c
        p.rough_g = max(p.rough_g, math.abs(by * q.v[to]))
        q.rough_g = max(q.rough_g, math.abs(by * p.v[at]))
        p.g[at] = p.g[at] + by * q.v[to] -- one after the other: both may be one element
        q.g[to] = q.g[to] + by * p.v[at]
      end
    end
  end,
}

--- Pairwise ranking of dot products: rows of users, of items, and of k drawn items per user.
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
