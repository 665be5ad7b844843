--- The ops and their gradients in double precision: elementwise ops, layout, reductions, matrices,
--- rows. Shares no code with the engine. reference_graph.lua adds the ops on graphs.
--
-- ops[name] = {forward, backward, margin, exact}
--   forward(a, x)      returns the result (arrays.lua) for inputs x[1], x[2], ... and attributes a
--   backward(a, o, x)  adds to x[k].g the gradient that o.g, the gradient of the result, causes
--   margin(a, x, y)    returns false if an input is so near a kink that rounding decides the
--                      result; y are the inputs, perturbed
--   exact              the op moves numbers and rounds nothing
--   passes             how many inputs, from the first, a gradient goes to; all by default
--   elementwise        of one input
--   call               how random programs write it and with which attributes, for ops of one input
--                      that need no form of their own (tests/faults/programs/forms.lua)
local arrays = require 'tests.support.arrays'
local scalars = require 'tests.support.scalars'
local new, around, matrix, with = arrays.new, arrays.around, arrays.matrix, arrays.with
local sigmoid, tanh = scalars.sigmoid, scalars.tanh
local abs, exp, log, sqrt = math.abs, math.exp, math.log, math.sqrt
local max, floor = math.max, math.floor

local ops = {}

-- ---- elementwise ----

--- f(x, a) and its derivative d(x, y, a).
local function unary(f, d, margin, call)
  return {
    elementwise = true,
    derivative = d,
    margin = margin,
    call = call,
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

--- Whether no number lies within a ten-thousandth of `at`, except those that equal it, perturbed or
--- not.
local function away_from(at, x, y)
  local near = 1e-4 * (abs(at) + arrays.largest(x))
  local p, q = x.v, y.v
  for i = 0, x.n - 1 do
    if abs(p[i] - at) < near and not (p[i] == at and q[i] == at) then return false end
  end
  return true
end

ops.affine = unary(function(x, a) return a.scale * x + a.shift end,
                   function(_, _, a) return a.scale end)
ops.leaky_relu = unary(function(x, a)
                         if x > 0 or x ~= x then return x end
                         return a.slope == 0 and 0 or a.slope * x
                       end,
                       function(x, _, a) return x > 0 and 1 or a.slope end,
                       function(_, x, y) return away_from(0, x[1], y[1]) end)
ops.sigmoid = unary(sigmoid, function(_, y) return y * (1 - y) end, nil, {'$1:sigmoid()'})
ops.tanh = unary(tanh, function(_, y) return 1 - y * y end, nil, {'$1:tanh()'})
ops.elu = unary(function(x, a)
                  local e = abs(x) < 1e-3 and x * (1 + x * (0.5 + x / 6)) or exp(x) - 1
                  return x > 0 and x or a.slope * e
                end,
                function(x, y, a) return x > 0 and 1 or y + a.slope end,
                function(_, x, y) return away_from(0, x[1], y[1]) end,
                {'$1:elu(0.75)', {slope = 0.75}})
ops.softplus = unary(scalars.softplus, sigmoid, nil, {'$1:softplus()'})
ops.exp = unary(exp, function(_, y) return y end)
ops.log = unary(function(x) return log(x) end, function(x) return 1 / x end)
ops.sqrt = unary(sqrt, function(_, y) return 0.5 / y end)
ops.square = unary(function(x) return x * x end, function(x) return 2 * x end, nil,
                   {'$1:square()'})
ops.over = unary(function(x, a) return a.number / x end, function(x, y) return -y / x end)
ops.clamp = unary(function(x, a) return x < a.low and a.low or x > a.high and a.high or x end,
                  function(x, _, a) return x >= a.low and x <= a.high and 1 or 0 end,
                  function(a, x, y)
                    return away_from(a.low, x[1], y[1]) and away_from(a.high, x[1], y[1])
                  end)

ops.sin = unary(math.sin, math.cos, nil, {'$1:sin()'})
ops.cos = unary(math.cos, function(x) return -math.sin(x) end, nil, {'$1:cos()'})
ops.asin = unary(math.asin, function(x) return 1 / sqrt(1 - x * x) end)
ops.pow = unary(function(x, a) return x ^ a.power end,
                function(x, _, a) return a.power * x ^ (a.power - 1) end)

-- Custom ops of random programs (helpers.lua). The gradient of the last two is not the derivative.
ops.swish = unary(function(x) return x * sigmoid(x) end, function(x)
  local s = sigmoid(x)
  return s + x * s * (1 - s)
end, nil, {'H.swish($1)'})
ops.straight = unary(function(x) return max(-0.5, math.min(x, 0.5)) end,
                     function() return 0.75 end, nil, {'H.straight($1)'})
ops.wrong = unary(tanh, ops.tanh.derivative) -- the engine's is wrong on purpose

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
                   function(p, q, y, a) -- tanh from the result, with its rounding
                     local t = p ~= 0 and y / (a.number * p) or tanh(q)
                     return a.number * p * (1 - t * t)
                   end)

-- ---- comparisons, and what they choose ----

--- Whether no two numbers that meet are so near that rounding decides, unless they are equal.
local function apart(_, x, y)
  local near = 1e-4 * (arrays.largest(x[1]) + arrays.largest(x[2]))
  local shape = arrays.broadcast(x[1].shape, x[2].shape)
  local mp, mq = arrays.positions(shape, x[1].shape), arrays.positions(shape, x[2].shape)
  for i = 0, arrays.count(shape) - 1 do
    local p, q = mp[i], mq[i]
    local same = x[1].v[p] == x[2].v[q] and y[1].v[p] == y[2].v[q]
    if math.abs(x[1].v[p] - x[2].v[q]) < near and not same then return false end
  end
  return true
end

local function zero() return 0 end

local function comparison(f)
  local op = binary(function(p, q) return f(p, q) and 1 or 0 end, zero, zero)
  op.margin, op.exact, op.passes = apart, true, 0
  return op
end

ops.greater = comparison(function(p, q) return p > q end)
ops.greater_equal = comparison(function(p, q) return p >= q end)
ops.equal = comparison(function(p, q) return p == q end)
ops.not_equal = comparison(function(p, q) return p ~= q end)

--- x where c > 0, or where it is not.
local function choice(wanted)
  local op = binary(function(p, c) return (c > 0) == wanted and p or 0 end,
                    function(_, c) return (c > 0) == wanted and 1 or 0 end, zero)
  op.exact, op.passes = true, 1
  return op
end

ops.select, ops.reject = choice(true), choice(false)

-- ---- constants ----

local function nothing() end

ops.detach = {exact = true, passes = 0, backward = nothing, forward = function(_, x)
  local o = new(x[1].shape)
  for i = 0, o.n - 1 do o.v[i] = x[1].v[i] end
  return o
end}

--- A constant, without inputs.
ops.given = {exact = true, backward = nothing, forward = function(a)
  local o = new(a.shape)
  for i = 0, o.n - 1 do o.v[i] = a.value[i] end
  return o
end}

-- ---- layout ----

--- An op that moves numbers: element i of the result is element map[i] of the input. The map is
--- map_of(a, shape of the input, elements of the result).
local function mover(shape_of, map_of)
  return {
    exact = true,
    forward = function(a, x)
      local o, p = new(shape_of(a, x[1].shape)), x[1].v
      a.map = a.map or map_of(a, x[1].shape, o.n)
      for i = 0, o.n - 1 do o.v[i] = p[a.map[i]] end
      return o
    end,
    backward = function(a, o, x)
      local to, g, map = x[1].g, o.g, a.map
      for i = 0, o.n - 1 do to[map[i]] = to[map[i]] + g[i] end
    end,
  }
end

--- The opposite: element i of the input is added to element map[i] of the result, for which the map
--- is made as if it were a mover's input.
local function adder(shape_of, map_of)
  return {
    forward = function(a, x)
      local o, p = new(shape_of(a, x[1].shape)), x[1].v
      a.map = a.map or map_of(a, o.shape, x[1].n)
      for i = 0, x[1].n - 1 do o.v[a.map[i]] = o.v[a.map[i]] + p[i] end
      return o
    end,
    backward = function(a, o, x)
      local to, g, map = x[1].g, o.g, a.map
      for i = 0, x[1].n - 1 do to[i] = to[i] + g[map[i]] end
    end,
  }
end

--- int32[n] of f(i).
local function map(n, f)
  local out = arrays.ints(n + 1)
  for i = 0, n - 1 do out[i] = f(i) end
  return out
end

local function given_shape(a) return a.shape end

ops.broadcast = mover(given_shape, function(a, from) return arrays.positions(a.shape, from) end)

ops.reshape = mover(given_shape, function(_, _, n) return map(n, function(i) return i end) end)

ops.transpose = mover(function(_, shape) return {shape[2], shape[1]} end, function(_, shape, n)
  return map(n, function(i) return i % shape[1] * shape[2] + floor(i / shape[1]) end)
end)

--- a.count of dimension a.dim, from a.first.
local function narrowed(a, shape, n)
  local _, size, inner = around(shape, a.dim)
  return map(n, function(i)
    return floor(i / (a.count * inner)) * size * inner + a.first * inner + i % (a.count * inner)
  end)
end
ops.narrow = mover(function(a, shape) return with(shape, a.dim, a.count) end, narrowed)
ops.pad = adder(given_shape, narrowed)

--- Rows, or elements of a vector, by a.ids.
local function gathered(a, shape, n)
  local cols = #shape == 2 and shape[2] or 1
  return map(n, function(i) return a.ids[floor(i / cols)] * cols + i % cols end)
end
ops.gather = mover(function(a, shape)
  local out = {unpack(a.shape)} -- of the ids
  if #shape == 2 then out[#out + 1] = shape[2] end
  return out
end, gathered)
ops.scatter_add = adder(given_shape, gathered)

--- Elements of each row by a.ids.
local function taken(a, shape, n)
  local k = n / shape[1]
  return map(n, function(i) return floor(i / k) * shape[2] + a.ids[i] end)
end
ops.take = mover(given_shape, taken)
ops.take_grad = adder(given_shape, taken)

--- Calls visit(input, place in it, place in the result) for each element of each input.
local function each_part(a, o, x, visit)
  local first = 0
  for k = 1, #x do
    local count = x[k].shape[a.dim]
    local to = narrowed({dim = a.dim, first = first, count = count}, o.shape, x[k].n)
    for i = 0, x[k].n - 1 do visit(x[k], i, to[i]) end
    first = first + count
  end
end

ops.cat = {
  exact = true,
  forward = function(a, x)
    local total = 0
    for k = 1, #x do total = total + x[k].shape[a.dim] end
    local o = new(with(x[1].shape, a.dim, total))
    each_part(a, o, x, function(p, i, at) o.v[at] = p.v[i] end)
    return o
  end,
  backward = function(a, o, x)
    each_part(a, o, x, function(p, i, at) p.g[i] = p.g[i] + o.g[at] end)
  end,
}

-- ---- reductions ----

--- Sums or means over dimension a.dim, over those in the set a.dims, or over all; summed dimensions
--- stay as 1 if a.keep is true.
local function summed(a, from)
  local kept, shape, count = {}, {}, 1
  for d, size in ipairs(from) do
    local over = not a.dim or a.dim == d
    if a.dims then over = a.dims[d] end
    kept[d] = over and 1 or size
    if over then count = count * size end
    if a.keep or not over then shape[#shape + 1] = kept[d] end
  end
  a.map = a.map or arrays.positions(from, kept)
  return shape, a.mean and 1 / count or 1
end

ops.sum = {
  forward = function(a, x)
    local shape, factor = summed(a, x[1].shape)
    local o, p = new(shape), x[1].v
    for i = 0, x[1].n - 1 do o.v[a.map[i]] = o.v[a.map[i]] + p[i] end
    for i = 0, o.n - 1 do o.v[i] = o.v[i] * factor end
    return o
  end,
  backward = function(a, o, x)
    local _, factor = summed(a, x[1].shape)
    local to = x[1].g
    for i = 0, x[1].n - 1 do to[i] = to[i] + o.g[a.map[i]] * factor end
  end,
}

--- The place of the largest (sign 1) or smallest (-1) of n numbers `inner` apart; of equal ones,
--- the first.
local function extreme_at(sign, p, first, n, inner)
  local best = first
  for k = 1, n - 1 do
    if sign * p[first + k * inner] > sign * p[best] then best = first + k * inner end
  end
  return best
end

--- Whether that number is apart from the others by more than rounding.
local function leads(sign, p, q, first, n, inner, near)
  local best = extreme_at(sign, p, first, n, inner)
  for k = 0, n - 1 do
    local at = first + k * inner
    local ahead = sign * (p[best] - p[at])
    if at ~= best and ahead < near and not (p[best] == p[at] and q[best] == q[at]) then
      return false
    end
  end
  return true
end

local function extreme(sign)
  return {
    exact = true,
    forward = function(a, x)
      local outer, n, inner = around(x[1].shape, a.dim)
      local o = new(a.dim and with(x[1].shape, a.dim) or {})
      o.at = arrays.ints(o.n + 1)
      for b = 0, outer - 1 do
        for i = 0, inner - 1 do
          local at = extreme_at(sign, x[1].v, b * n * inner + i, n, inner)
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
          if not leads(sign, x[1].v, y[1].v, b * n * inner + i, n, inner, near) then
            return false
          end
        end
      end
      return true
    end,
  }
end

ops.max, ops.min = extreme(1), extreme(-1)

--- Places of the n numbers from `first` on, the largest first; of equal ones, the first.
local function order_of(p, first, n)
  local places = {}
  for c = 1, n do places[c] = first + c - 1 end
  table.sort(places, function(i, j)
    if p[i] ~= p[j] then return p[i] > p[j] end
    return i < j
  end)
  return places
end

ops.top_k = {
  exact = true,
  forward = function(a, x)
    local rows, cols = matrix(x[1].shape)
    local o = new(with(x[1].shape, #x[1].shape, a.k))
    o.at = arrays.ints(o.n + 1)
    for r = 0, rows - 1 do
      local places = order_of(x[1].v, r * cols, cols)
      for k = 1, a.k do
        local i = r * a.k + k - 1
        o.at[i], o.v[i] = places[k], x[1].v[places[k]]
      end
    end
    return o
  end,
  backward = function(_, o, x)
    for i = 0, o.n - 1 do x[1].g[o.at[i]] = x[1].g[o.at[i]] + o.g[i] end
  end,
  margin = function(a, x, y) -- no rounding changes the order, up to the first that is left out
    local rows, cols = matrix(x[1].shape)
    local p, q, near = x[1].v, y[1].v, 1e-4 * arrays.largest(x[1])
    for r = 0, rows - 1 do
      local places = order_of(p, r * cols, cols)
      for k = 1, math.min(a.k, cols - 1) do
        local i, j = places[k], places[k + 1]
        if p[i] - p[j] < near and not (p[i] == p[j] and q[i] == q[j]) then return false end
      end
    end
    return true
  end,
}

--- 1 for the largest, 0 for the others: a constant.
ops.top_k_mask = {
  exact = true,
  margin = ops.top_k.margin, passes = 0,
  backward = nothing,
  forward = function(a, x)
    local rows, cols = matrix(x[1].shape)
    local o = new(x[1].shape)
    for r = 0, rows - 1 do
      local places = order_of(x[1].v, r * cols, cols)
      for k = 1, a.k do o.v[places[k]] = 1 end
    end
    return o
  end,
}

-- ---- sums of products ----

--- An op that adds products of elements of its inputs, p q or p q r: each(a, x, visit) calls
--- visit(place in the result, place of p, place of q, place of r or nil) for each product.
local function products(shape_of, each)
  return {
    forward = function(a, x)
      local o, r = new(shape_of(a, x)), x[3] and x[3].v
      local v, p, q = o.v, x[1].v, x[2].v
      each(a, x, function(to, i, j, k) v[to] = v[to] + p[i] * q[j] * (k and r[k] or 1) end)
      return o
    end,
    backward = function(a, o, x)
      local g, p, q, pg, qg, r = o.g, x[1].v, x[2].v, x[1].g, x[2].g, x[3]
      each(a, x, function(from, i, j, k)
        local by = g[from] * (k and r.v[k] or 1)
        pg[i] = pg[i] + by * q[j]
        qg[j] = qg[j] + by * p[i]
        if k then r.g[k] = r.g[k] + g[from] * p[i] * q[j] end
      end)
    end,
  }
end
ops.products = products

ops.dot = products(function(_, x) return with(x[1].shape, #x[1].shape) end, function(_, x, visit)
  local _, cols = matrix(x[1].shape)
  for i = 0, x[1].n - 1 do visit(floor(i / cols), i, i) end
end)

ops.matmul = products(function(a, x)
  local cols = x[2].shape[a.tb and 1 or 2]
  return a.ta and {x[1].shape[2], cols} or with(x[1].shape, #x[1].shape, cols)
end, function(a, x, visit)
  local p, q = x[1].shape, x[2].shape
  local rows, inner = matrix(p)
  local pr, pk = inner, 1 -- steps from row to row and from column to column
  if a.ta then rows, inner, pr, pk = inner, rows, 1, inner end
  local cols, qk, qc = q[2], q[2], 1
  if a.tb then cols, qk, qc = q[1], 1, q[2] end
  for r = 0, rows - 1 do
    for c = 0, cols - 1 do
      for k = 0, inner - 1 do visit(r * cols + c, r * pr + k * pk, k * qk + c * qc) end
    end
  end
end)

--- Matrices in the last two dimensions, one by one.
ops.batched_matmul = products(function(a, x)
  local p, q = x[1].shape, x[2].shape
  local rows = with(p, #p - 1, p[a.ta and #p or #p - 1])
  return with(rows, #p, q[a.tb and #q - 1 or #q])
end, function(a, x, visit)
  local p, q = x[1].shape, x[2].shape
  local prows, pcols, qrows, qcols = p[#p - 1], p[#p], q[#q - 1], q[#q]
  local m, inner, n = a.ta and pcols or prows, a.ta and prows or pcols, a.tb and qrows or qcols
  for b = 0, arrays.count(p, #p - 2) - 1 do
    for r = 0, m - 1 do
      for c = 0, n - 1 do
        for k = 0, inner - 1 do
          visit((b * m + r) * n + c,
                b * prows * pcols + (a.ta and k * pcols + r or r * pcols + k),
                b * qrows * qcols + (a.tb and c * qcols + k or k * qcols + c))
        end
      end
    end
  end
end)

--- u[b, d] . r[ids[b, k]] for each id.
ops.relation_score = products(given_shape, function(a, x, visit)
  local cols, k = x[1].shape[2], a.shape[2]
  for i = 0, a.shape[1] * k - 1 do
    local p, q = floor(i / k) * cols, a.ids[i] * cols
    for c = 0, cols - 1 do visit(i, p + c, q + c) end
  end
end)

--- Sums of k rows each: w[n, k] times x[n k, d].
ops.neighbor_sum = products(function(_, x)
  return {x[1].shape[1], x[2].shape[2]}
end, function(_, x, visit)
  local k, cols = x[1].shape[2], x[2].shape[2]
  for i = 0, x[1].n - 1 do
    local to = floor(i / k) * cols
    for c = 0, cols - 1 do visit(to + c, i, i * cols + c) end
  end
end)

--- u[n, d] . x[n k, d] for k rows each.
ops.neighbor_dot = products(function(a, x) return {x[1].shape[1], a.k} end, function(a, x, visit)
  local cols, k = x[1].shape[2], a.k
  for i = 0, x[1].shape[1] * k - 1 do
    local p = floor(i / k) * cols
    for c = 0, cols - 1 do visit(i, p + c, i * cols + c) end
  end
end)

--- Row i of x[n, d] times the matrix w[ids[i]].
ops.grouped_matmul = products(function(a, x)
  return {x[1].shape[1], x[2].shape[a.transposed and 2 or 3]}
end, function(a, x, visit)
  local n, d, rows, cols = x[1].shape[1], x[1].shape[2], x[2].shape[2], x[2].shape[3]
  local k = a.transposed and rows or cols
  for i = 0, n - 1 do
    local first = a.ids[i] * rows * cols
    for c = 0, k - 1 do
      for j = 0, d - 1 do
        visit(i * k + c, i * d + j, first + (a.transposed and c * cols + j or j * cols + c))
      end
    end
  end
end)

-- ---- rows ----

--- f(p, v, first, cols, a) computes a row and may return a number of it; d(v, g, to, first, cols,
--- number, a) adds the row's gradient.
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

--- The largest number of a row, and log(sum(exp(x - largest))).
local function log_sum(p, first, cols)
  local most, sum = -math.huge, 0
  for i = first, first + cols - 1 do most = max(most, p[i]) end
  for i = first, first + cols - 1 do sum = sum + exp(p[i] - most) end
  return most, log(sum)
end
ops.log_sum = log_sum

local function dotted(v, g, first, cols)
  local sum = 0
  for i = first, first + cols - 1 do sum = sum + v[i] * g[i] end
  return sum
end

--- The product of row i of p and row j of q.
local function row_product(p, i, q, j, cols)
  local sum = 0
  for c = 0, cols - 1 do sum = sum + p.v[i * cols + c] * q.v[j * cols + c] end
  return sum
end

--- log(sum(exp(a.scale * x . y))) over the rows y, for each row of x.
ops.product_logsumexp = {
  forward = function(a, x)
    local p, q = x[1], x[2]
    local n, m, cols = p.shape[1], q.shape[1], p.shape[2]
    local o, logits = new{n}, arrays.doubles(m + 1)
    for i = 0, n - 1 do
      for j = 0, m - 1 do logits[j] = a.scale * row_product(p, i, q, j, cols) end
      local most, sum = log_sum(logits, 0, m)
      o.v[i] = most + sum
    end
    return o
  end,
  backward = function(a, o, x)
    local p, q = x[1], x[2]
    local cols = p.shape[2]
    for i = 0, p.shape[1] - 1 do
      for j = 0, q.shape[1] - 1 do
        local by = o.g[i] * a.scale * exp(a.scale * row_product(p, i, q, j, cols) - o.v[i])
        for c = 0, cols - 1 do
          p.g[i * cols + c] = p.g[i * cols + c] + by * q.v[j * cols + c]
          q.g[j * cols + c] = q.g[j * cols + c] + by * p.v[i * cols + c]
        end
      end
    end
  end,
}

ops.softmax = by_row(function(p, v, first, cols)
  local most, sum = log_sum(p, first, cols)
  for i = first, first + cols - 1 do v[i] = exp(p[i] - most - sum) end
end, function(v, g, to, first, cols)
  local sum = dotted(v, g, first, cols)
  for i = first, first + cols - 1 do to[i] = to[i] + v[i] * (g[i] - sum) end
end)

ops.log_softmax = by_row(function(p, v, first, cols)
  local most, sum = log_sum(p, first, cols)
  for i = first, first + cols - 1 do v[i] = p[i] - most - sum end
end, function(v, g, to, first, cols)
  local sum = 0
  for i = first, first + cols - 1 do sum = sum + g[i] end
  for i = first, first + cols - 1 do to[i] = to[i] + g[i] - exp(v[i]) * sum end
end)

--- With a.added its norm is the root of the squares' sum and that; a.eps is then below it.
ops.normalize = by_row(function(p, v, first, cols, a)
  local square = dotted(p, p, first, cols)
  local norm = a.added and sqrt(square + a.added) or max(sqrt(square), a.eps)
  for i = first, first + cols - 1 do v[i] = p[i] / norm end
  return norm
end, function(v, g, to, first, cols, norm, a)
  local along = norm > a.eps and dotted(v, g, first, cols) or 0
  for i = first, first + cols - 1 do to[i] = to[i] + (g[i] - along * v[i]) / norm end
end)

--- Rows with mean 0 and variance 1.
ops.layer_norm = by_row(function(p, v, first, cols, a)
  local mean, square = 0, 0
  for i = first, first + cols - 1 do mean = mean + p[i] / cols end
  for i = first, first + cols - 1 do square = square + (p[i] - mean) ^ 2 / cols end
  local deviation = sqrt(square + a.eps)
  for i = first, first + cols - 1 do v[i] = (p[i] - mean) / deviation end
  return deviation
end, function(v, g, to, first, cols, deviation)
  local mean, along = 0, dotted(v, g, first, cols) / cols
  for i = first, first + cols - 1 do mean = mean + g[i] / cols end
  for i = first, first + cols - 1 do to[i] = to[i] + (g[i] - mean - along * v[i]) / deviation end
end)

--- Norms are away from eps, and no row is tiny beside another.
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
