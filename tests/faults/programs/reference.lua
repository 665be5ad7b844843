--- What the ops mean and how their gradients go, in double precision: elementwise ops, layout,
--- reductions, matrices, rows. No line of it is shared with the engine.
--
-- ops[name] = {forward, backward, margin, exact}
--   forward(a, x)      the result (an array) of inputs x[1], x[2], ... with attributes a
--   backward(a, o, x)  adds to x[k].g what the gradient o.g of the result brings
--   margin(a, x, y)    false where an input is so near a kink that rounding decides what happens; y
--                      are the inputs once more, perturbed
--   exact              the op moves numbers and rounds nothing
local arrays = require 'tests.support.arrays'
local new, around, matrix, with = arrays.new, arrays.around, arrays.matrix, arrays.with
local abs, exp, log, sqrt, max = math.abs, math.exp, math.log, math.sqrt, math.max

local ops = {}

-- ---- elementwise ----

local function sigmoid(x)
  if x >= 0 then return 1 / (1 + exp(-x)) end
  local e = exp(x)
  return e / (1 + e)
end

local function softplus(x) return max(x, 0) + log(1 + exp(-abs(x))) end

local function tanh(x) return 2 * sigmoid(2 * x) - 1 end

--- f(x, a) and its derivative d(x, y, a).
local function unary(f, d, margin)
  return {
    margin = margin,
    forward = function(a, x)
      local p, o = x[1].v, new(x[1].shape)
      local v = o.v
      for i = 0, o.n - 1 do v[i] = f(p[i], a) end
      return o
    end,
    backward = function(a, o, x)
      local p, to, v, g = x[1].v, x[1].g, o.v, o.g
      for i = 0, o.n - 1 do to[i] = to[i] + g[i] * d(p[i], v[i], a) end
    end,
  }
end

--- Nothing within a ten-thousandth of `at`, except what is there exactly, however it is perturbed.
local function away_from(at, x, y)
  local near = 1e-4 * (abs(at) + arrays.largest(x))
  local p, q = x.v, y.v
  for i = 0, x.n - 1 do
    if abs(p[i] - at) < near and not (p[i] == at and q[i] == at) then return false end
  end
  return true
end
ops.away_from = away_from

ops.affine = unary(function(x, a) return a.scale * x + a.shift end,
                   function(_, _, a) return a.scale end)
ops.leaky_relu = unary(function(x, a) return x > 0 and x or a.slope * x end,
                       function(x, _, a) return x > 0 and 1 or a.slope end,
                       function(_, x, y) return away_from(0, x[1], y[1]) end)
ops.sigmoid = unary(sigmoid, function(_, y) return y * (1 - y) end)
ops.tanh = unary(tanh, function(_, y) return 1 - y * y end)
ops.softplus = unary(softplus, sigmoid)
ops.exp = unary(exp, function(_, y) return y end)
ops.log = unary(function(x) return log(x) end, function(x) return 1 / x end)
ops.sqrt = unary(sqrt, function(_, y) return 0.5 / y end)
ops.square = unary(function(x) return x * x end, function(x) return 2 * x end)
ops.over = unary(function(x, a) return a.number / x end, function(x, y) return -y / x end)
ops.clamp = unary(function(x, a) return max(a.low, math.min(x, a.high)) end,
                  function(x, _, a) return x >= a.low and x <= a.high and 1 or 0 end,
                  function(a, x, y)
                    return away_from(a.low, x[1], y[1]) and away_from(a.high, x[1], y[1])
                  end)

-- Ops with gradients of their own (helpers.lua): the last two are not what calculus says.
ops.swish = unary(function(x) return x * sigmoid(x) end, function(x)
  local s = sigmoid(x)
  return s + x * s * (1 - s)
end)
ops.straight = unary(function(x) return max(-0.5, math.min(x, 0.5)) end,
                     function() return 0.75 end)
ops.wrong = ops.tanh -- the engine's is wrong, on purpose

--- f(p, q) with derivatives d1(p, q, y), d2(p, q, y), broadcast as NumPy does.
local function binary(f, d1, d2)
  return {
    forward = function(a, x)
      local p, q = x[1], x[2]
      local shape = arrays.broadcast(p.shape, q.shape)
      if not a.maps then
        a.maps = {arrays.positions(shape, p.shape), arrays.positions(shape, q.shape)}
      end
      local o, mp, mq = new(shape), a.maps[1], a.maps[2]
      local v, pv, qv = o.v, p.v, q.v
      for i = 0, o.n - 1 do v[i] = f(pv[mp[i]], qv[mq[i]], a) end
      return o
    end,
    backward = function(a, o, x)
      local mp, mq, v, g = a.maps[1], a.maps[2], o.v, o.g
      local pv, qv, pg, qg = x[1].v, x[2].v, x[1].g, x[2].g
      for i = 0, o.n - 1 do
        local p, q = pv[mp[i]], qv[mq[i]]
        pg[mp[i]] = pg[mp[i]] + g[i] * d1(p, q, v[i], a)
        qg[mq[i]] = qg[mq[i]] + g[i] * d2(p, q, v[i], a)
      end
    end,
  }
end

ops.add = binary(function(p, q) return p + q end, function() return 1 end, function() return 1 end)
ops.sub = binary(function(p, q) return p - q end, function() return 1 end,
                 function() return -1 end)
ops.mul = binary(function(p, q) return p * q end, function(_, q) return q end,
                 function(p) return p end)
ops.div = binary(function(p, q) return p / q end, function(_, q) return 1 / q end,
                 function(_, q, y) return -y / q end)
ops.mixed = binary(function(p, q, a) return a.number * p * tanh(q) end,
                   function(_, q, _, a) return a.number * tanh(q) end,
                   function(p, q, y, a) -- tanh out of the result, with what that was rounded by
                     local t = p ~= 0 and y / (a.number * p) or tanh(q)
                     return a.number * p * (1 - t * t)
                   end)

-- ---- constants ----

local function nothing() end

ops.detach = {exact = true, backward = nothing, forward = function(_, x)
  local o = new(x[1].shape)
  for i = 0, o.n - 1 do o.v[i] = x[1].v[i] end
  return o
end}

--- A value that is known beforehand, without inputs.
ops.given = {exact = true, backward = nothing, forward = function(a)
  local o = new(a.shape)
  for i = 0, o.n - 1 do o.v[i] = a.value[i] end
  return o
end}

-- ---- layout ----

--- Ops that move numbers: element i of the result is element from[i] of the input, or zero for -1.
local function mover(shape_of, from_of)
  local function from(a, x)
    if not a.from then a.from = from_of(a, x[1]) end
    return a.from
  end
  return {
    exact = true,
    forward = function(a, x)
      local o, map, p = new(shape_of(a, x[1].shape)), from(a, x), x[1].v
      local v = o.v
      for i = 0, o.n - 1 do v[i] = p[map[i]] end
      return o
    end,
    backward = function(a, o, x)
      local map, to, g = from(a, x), x[1].g, o.g
      for i = 0, o.n - 1 do to[map[i]] = to[map[i]] + g[i] end
    end,
  }
end

ops.reshape = mover(function(a) return a.shape end, function(_, x)
  local map = arrays.ints(x.n + 1)
  for i = 0, x.n - 1 do map[i] = i end
  return map
end)

ops.transpose = mover(function(_, shape) return {shape[2], shape[1]} end, function(_, x)
  local rows, cols = x.shape[1], x.shape[2]
  local map = arrays.ints(x.n + 1)
  for r = 0, rows - 1 do
    for c = 0, cols - 1 do map[c * rows + r] = r * cols + c end
  end
  return map
end)

ops.narrow = mover(function(a, shape) return with(shape, a.dim, a.count) end, function(a, x)
  local outer, n, inner = around(x.shape, a.dim)
  local map, at = arrays.ints(outer * a.count * inner + 1), 0
  for b = 0, outer - 1 do
    for k = a.first, a.first + a.count - 1 do
      for i = 0, inner - 1 do
        map[at], at = (b * n + k) * inner + i, at + 1
      end
    end
  end
  return map
end)

--- Rows (or elements of a vector) by a.ids, whose shape is a.shape.
ops.gather = mover(function(a, shape)
  local out = {unpack(a.shape)}
  if #shape == 2 then out[#out + 1] = shape[2] end
  return out
end, function(a, x)
  local n, cols = arrays.count(a.shape), #x.shape == 2 and x.shape[2] or 1
  local map = arrays.ints(n * cols + 1)
  for i = 0, n - 1 do
    for c = 0, cols - 1 do map[i * cols + c] = a.ids[i] * cols + c end
  end
  return map
end)

ops.take = mover(function(a) return a.shape end, function(a, x)
  local rows, cols, k = x.shape[1], x.shape[2], a.shape[2]
  local map = arrays.ints(rows * k + 1)
  for i = 0, rows * k - 1 do map[i] = math.floor(i / k) * cols + a.ids[i] end
  return map
end)

ops.cat = {
  exact = true,
  forward = function(a, x)
    local total = 0
    for k = 1, #x do total = total + x[k].shape[a.dim] end
    local o, first = new(with(x[1].shape, a.dim, total)), 0
    for k = 1, #x do
      local outer, n, inner = around(x[k].shape, a.dim)
      for b = 0, outer - 1 do
        local to, from = (b * total + first) * inner, b * n * inner
        for i = 0, n * inner - 1 do o.v[to + i] = x[k].v[from + i] end
      end
      first = first + n
    end
    return o
  end,
  backward = function(a, o, x)
    local total, first = o.shape[a.dim], 0
    for k = 1, #x do
      local outer, n, inner = around(x[k].shape, a.dim)
      local to = x[k].g
      for b = 0, outer - 1 do
        local from, at = (b * total + first) * inner, b * n * inner
        for i = 0, n * inner - 1 do to[at + i] = to[at + i] + o.g[from + i] end
      end
      first = first + n
    end
  end,
}

ops.scatter_add = {
  forward = function(a, x)
    local p, cols = x[1], x[1].shape[2]
    local o = new{a.rows, cols}
    for i = 0, p.shape[1] - 1 do
      local to = a.ids[i] * cols
      for c = 0, cols - 1 do o.v[to + c] = o.v[to + c] + p.v[i * cols + c] end
    end
    return o
  end,
  backward = function(a, o, x)
    local p, cols = x[1], x[1].shape[2]
    for i = 0, p.shape[1] - 1 do
      local from = a.ids[i] * cols
      for c = 0, cols - 1 do p.g[i * cols + c] = p.g[i * cols + c] + o.g[from + c] end
    end
  end,
}

-- ---- reductions ----

--- Sum times a.scale over dimension a.dim, or over all.
ops.sum = {
  forward = function(a, x)
    local outer, n, inner = around(x[1].shape, a.dim)
    local o, p = new(a.dim and with(x[1].shape, a.dim) or {}), x[1].v
    local factor = a.mean and 1 / n or 1
    for b = 0, outer - 1 do
      for i = 0, inner - 1 do
        local sum = 0
        for k = 0, n - 1 do sum = sum + p[(b * n + k) * inner + i] end
        o.v[b * inner + i] = sum * factor
      end
    end
    return o
  end,
  backward = function(a, o, x)
    local outer, n, inner = around(x[1].shape, a.dim)
    local to, factor = x[1].g, a.mean and 1 / n or 1
    for b = 0, outer - 1 do
      for k = 0, n - 1 do
        for i = 0, inner - 1 do
          local at = (b * n + k) * inner + i
          to[at] = to[at] + o.g[b * inner + i] * factor
        end
      end
    end
  end,
}

--- The place of the largest of n numbers `inner` apart, the first of equals.
local function largest_at(p, first, n, inner)
  local best = first
  for k = 1, n - 1 do
    if p[first + k * inner] > p[best] then best = first + k * inner end
  end
  return best
end

--- Whether the largest leads by more than rounding can take away.
local function leads(p, q, first, n, inner, near)
  local best = largest_at(p, first, n, inner)
  for k = 0, n - 1 do
    local at = first + k * inner
    if at ~= best and p[best] - p[at] < near and not (p[best] == p[at] and q[best] == q[at]) then
      return false
    end
  end
  return true
end

ops.max = {
  exact = true,
  forward = function(a, x)
    local outer, n, inner = around(x[1].shape, a.dim)
    local o = new(a.dim and with(x[1].shape, a.dim) or {})
    o.at = arrays.ints(o.n + 1)
    for b = 0, outer - 1 do
      for i = 0, inner - 1 do
        local at = largest_at(x[1].v, b * n * inner + i, n, inner)
        o.at[b * inner + i], o.v[b * inner + i] = at, x[1].v[at]
      end
    end
    return o
  end,
  backward = function(_, o, x)
    for i = 0, o.n - 1 do x[1].g[o.at[i]] = x[1].g[o.at[i]] + o.g[i] end
  end,
  margin = function(a, x, y)
    local outer, n, inner = around(x[1].shape, a.dim)
    local near = 1e-4 * arrays.largest(x[1])
    for b = 0, outer - 1 do
      for i = 0, inner - 1 do
        if not leads(x[1].v, y[1].v, b * n * inner + i, n, inner, near) then return false end
      end
    end
    return true
  end,
}

ops.dot = {
  forward = function(_, x)
    local rows, cols = matrix(x[1].shape)
    local o, p, q = new(with(x[1].shape, #x[1].shape)), x[1].v, x[2].v
    for r = 0, rows - 1 do
      local sum = 0
      for i = r * cols, r * cols + cols - 1 do sum = sum + p[i] * q[i] end
      o.v[r] = sum
    end
    return o
  end,
  backward = function(_, o, x)
    local rows, cols = matrix(x[1].shape)
    local p, q, pg, qg = x[1].v, x[2].v, x[1].g, x[2].g
    for r = 0, rows - 1 do
      for i = r * cols, r * cols + cols - 1 do
        pg[i] = pg[i] + o.g[r] * q[i]
        qg[i] = qg[i] + o.g[r] * p[i]
      end
    end
  end,
}

-- ---- matrices ----

--- Strides of a matrix product's sides: rows, inner, cols; steps of p by row and inner, of q.
local function product(a, x)
  local p, q = x[1].shape, x[2].shape
  local prows, pcols = matrix(p)
  local rows, inner = prows, pcols
  if a.ta then rows, inner = pcols, prows end
  local cols = a.tb and q[1] or q[2]
  return rows, inner, cols, a.ta and 1 or pcols, a.ta and pcols or 1, a.tb and 1 or q[2],
    a.tb and q[2] or 1
end

ops.matmul = {
  forward = function(a, x)
    local rows, inner, cols, pr, pk, qk, qc = product(a, x)
    local shape = a.ta and {rows, cols} or with(x[1].shape, #x[1].shape, cols)
    local o, p, q = new(shape), x[1].v, x[2].v
    for r = 0, rows - 1 do
      for c = 0, cols - 1 do
        local sum = 0
        for k = 0, inner - 1 do sum = sum + p[r * pr + k * pk] * q[k * qk + c * qc] end
        o.v[r * cols + c] = sum
      end
    end
    return o
  end,
  backward = function(a, o, x)
    local rows, inner, cols, pr, pk, qk, qc = product(a, x)
    local p, q, pg, qg = x[1].v, x[2].v, x[1].g, x[2].g
    for r = 0, rows - 1 do
      for c = 0, cols - 1 do
        local g = o.g[r * cols + c]
        for k = 0, inner - 1 do
          local i, j = r * pr + k * pk, k * qk + c * qc
          pg[i] = pg[i] + g * q[j]
          qg[j] = qg[j] + g * p[i]
        end
      end
    end
  end,
}

-- ---- rows ----

--- f(p, v, first, cols) fills one row; d(v, g, to, first, cols, o, r) passes one row's gradient on.
local function by_row(f, d)
  return {
    forward = function(a, x)
      local rows, cols = matrix(x[1].shape)
      local o = new(x[1].shape)
      o.extra = arrays.doubles(rows + 1)
      for r = 0, rows - 1 do o.extra[r] = f(x[1].v, o.v, r * cols, cols, a) or 0 end
      return o
    end,
    backward = function(a, o, x)
      local rows, cols = matrix(o.shape)
      for r = 0, rows - 1 do d(o.v, o.g, x[1].g, r * cols, cols, o.extra[r], a) end
    end,
  }
end

local function log_sum(p, first, cols)
  local most, sum = -math.huge, 0
  for i = first, first + cols - 1 do most = max(most, p[i]) end
  for i = first, first + cols - 1 do sum = sum + exp(p[i] - most) end
  return most + log(sum)
end
ops.log_sum = log_sum

local function dotted(v, g, first, cols)
  local sum = 0
  for i = first, first + cols - 1 do sum = sum + v[i] * g[i] end
  return sum
end

ops.softmax = by_row(function(p, v, first, cols)
  local sum = log_sum(p, first, cols)
  for i = first, first + cols - 1 do v[i] = exp(p[i] - sum) end
end, function(v, g, to, first, cols)
  local sum = dotted(v, g, first, cols)
  for i = first, first + cols - 1 do to[i] = to[i] + v[i] * (g[i] - sum) end
end)

ops.log_softmax = by_row(function(p, v, first, cols)
  local sum = log_sum(p, first, cols)
  for i = first, first + cols - 1 do v[i] = p[i] - sum end
end, function(v, g, to, first, cols)
  local sum = 0
  for i = first, first + cols - 1 do sum = sum + g[i] end
  for i = first, first + cols - 1 do to[i] = to[i] + g[i] - exp(v[i]) * sum end
end)

ops.normalize = by_row(function(p, v, first, cols, a)
  local norm = max(sqrt(dotted(p, p, first, cols)), a.eps)
  for i = first, first + cols - 1 do v[i] = p[i] / norm end
  return norm
end, function(v, g, to, first, cols, norm, a)
  local along = norm > a.eps and dotted(v, g, first, cols) or 0
  for i = first, first + cols - 1 do to[i] = to[i] + (g[i] - along * v[i]) / norm end
end)

--- Norms away from the floor, and rows that are not next to nothing.
function ops.normalize.margin(a, x)
  local rows, cols = matrix(x[1].shape)
  local most = 0
  for r = 0, rows - 1 do
    local norm = sqrt(dotted(x[1].v, x[1].v, r * cols, cols))
    most = max(most, norm)
    if abs(norm - a.eps) < 1e-3 * a.eps + 1e-9 then return false end
    if norm > a.eps and norm < 1e-3 * most then return false end
  end
  return true
end

return ops
