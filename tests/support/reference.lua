--- What the ops mean, in plain double precision, and derivatives by finite differences. Shares no
-- code with the engine: an array is a flat table from 1, row-major, with its `shape`.
local ffi = require 'ffi'

local reference = {}

-- ---- arrays ----

local function count(shape)
  local n = 1
  for d = 1, #shape do n = n * shape[d] end
  return n
end
reference.count = count

--- An array of `shape`; `fill` is a number or a function of the position from 1.
local function array(shape, fill)
  local a = {shape = shape}
  for i = 1, count(shape) do a[i] = type(fill) == 'function' and fill(i) or fill or 0 end
  return a
end
reference.array = array

--- The matrix view: the last dimension are columns.
local function matrix(shape)
  local cols = shape[#shape] or 1
  local rows = 1
  for d = 1, #shape - 1 do rows = rows * shape[d] end
  return rows, cols
end
reference.matrix = matrix

--- shape seen from dimension `dim` (from 1): elements before, of it, behind.
local function around(shape, dim)
  local outer, inner = 1, 1
  for d = 1, dim - 1 do outer = outer * shape[d] end
  for d = dim + 1, #shape do inner = inner * shape[d] end
  return outer, shape[dim], inner
end

--- Where each element of `shape` lies in an array of shape `from` that broadcasts to it.
local function positions(shape, from)
  local strides, stride = {}, 1
  for d = #from, 1, -1 do
    strides[d + #shape - #from] = from[d] == 1 and 0 or stride
    stride = stride * from[d]
  end
  local index, at, list = {}, 1, {}
  for d = 1, #shape do index[d], strides[d] = 0, strides[d] or 0 end
  for i = 1, count(shape) do
    list[i] = at
    for d = #shape, 1, -1 do
      index[d], at = index[d] + 1, at + strides[d]
      if index[d] < shape[d] then break end
      at = at - index[d] * strides[d]
      index[d] = 0
    end
  end
  return list
end

local function broadcast_shape(a, b)
  local shape, rank = {}, math.max(#a, #b)
  for d = 1, rank do
    local na, nb = a[d - rank + #a] or 1, b[d - rank + #b] or 1
    shape[d] = na == 1 and nb or na
  end
  return shape
end

-- ---- the ops: f(inputs, attributes) -> array ----

local ops = {}
reference.ops = ops

local function sigmoid(x)
  if x >= 0 then return 1 / (1 + math.exp(-x)) end
  local e = math.exp(x)
  return e / (1 + e)
end

local function log1p(x)
  local u = 1 + x
  if u == 1 or u == math.huge then return x end
  return math.log(u) * x / (u - 1)
end

local function softplus(x)
  if x ~= x then return x end
  return math.max(x, 0) + log1p(math.exp(-math.abs(x)))
end

local function tanh(x)
  if math.abs(x) < 1e-4 then return x - x * x * x / 3 end
  return 2 * sigmoid(2 * x) - 1
end

--- Elementwise ops of one input: f(x, f0, f1).
local unary = {
  affine = function(x, scale, shift) return scale * x + shift end,
  leaky_relu = function(x, slope)
    if x > 0 or x ~= x then return x end
    return slope == 0 and 0 or slope * x
  end,
  sigmoid = sigmoid, tanh = tanh, softplus = softplus,
  exp = math.exp, sqrt = math.sqrt,
  log = function(x) return math.log(x) end, -- math.log itself takes a base
  square = function(x) return x * x end,
  clamp = function(x, low, high) return x < low and low or x > high and high or x end,
}
reference.unary = unary

for name, f in pairs(unary) do
  ops[name] = function(inputs, a)
    local x, f0, f1 = inputs[1], a.f and a.f[1], a.f and a.f[2]
    local out = {shape = x.shape}
    for i = 1, #x do out[i] = f(x[i], f0, f1) end
    return out
  end
end

--- Elementwise ops of two inputs of one shape: f(g, x, f0, f1).
for name, f in pairs {
  leaky_relu_grad = function(g, x, slope) return x > 0 and g or slope * g end,
  sigmoid_grad = function(g, y) return g * y * (1 - y) end,
  tanh_grad = function(g, y) return g * (1 - y * y) end,
  clamp_grad = function(g, x, low, high) return x >= low and x <= high and g or 0 end,
} do
  ops[name] = function(inputs, a)
    local g, x, f0, f1 = inputs[1], inputs[2], a.f and a.f[1], a.f and a.f[2]
    local out = {shape = g.shape}
    for i = 1, #g do out[i] = f(g[i], x[i], f0, f1) end
    return out
  end
end

for name, f in pairs {
  add = function(a, b) return a + b end, sub = function(a, b) return a - b end,
  mul = function(a, b) return a * b end, div = function(a, b) return a / b end,
} do
  ops[name] = function(inputs)
    local a, b = inputs[1], inputs[2]
    local shape = broadcast_shape(a.shape, b.shape)
    local at_a, at_b, out = positions(shape, a.shape), positions(shape, b.shape), {shape = shape}
    for i = 1, #at_a do out[i] = f(a[at_a[i]], b[at_b[i]]) end
    return out
  end
end

function ops.full(_, a) return array(a.shape, a.f[1]) end

function ops.broadcast(inputs, a)
  local at, x = positions(a.shape, inputs[1].shape), inputs[1]
  return array(a.shape, function(i) return x[at[i]] end)
end

function ops.sum(inputs, a)
  local x, kept, shape = inputs[1], {}, {}
  for d = 1, #x.shape do
    local summed = math.floor(a.i[1] / 2 ^ (d - 1)) % 2 == 1
    kept[d] = summed and 1 or x.shape[d]
    if not summed or a.i[2] == 1 then shape[#shape + 1] = kept[d] end
  end
  local at, out = positions(x.shape, kept), array(shape)
  for i = 1, #x do out[at[i]] = out[at[i]] + x[i] end
  return out
end

local function without_last(shape) return {unpack(shape, 1, #shape - 1)} end

function ops.argmax(inputs)
  local x = inputs[1]
  local rows, cols = matrix(x.shape)
  local out = array(without_last(x.shape))
  for r = 0, rows - 1 do
    local best = 0
    for c = 1, cols - 1 do
      if x[r * cols + c + 1] > x[r * cols + best + 1] then best = c end
    end
    out[r + 1] = best
  end
  return out
end

function ops.dot(inputs)
  local a, b = inputs[1], inputs[2]
  local _, cols = matrix(a.shape)
  local out = array(without_last(a.shape))
  for i = 1, #a do
    local r = math.floor((i - 1) / cols) + 1
    out[r] = out[r] + a[i] * b[i]
  end
  return out
end

function ops.transpose(inputs)
  local x = inputs[1]
  local rows, cols = matrix(x.shape)
  local out = {shape = {cols, rows}}
  for c = 1, cols do
    for r = 1, rows do out[#out + 1] = x[(r - 1) * cols + c] end
  end
  return out
end

function ops.matmul(inputs, attributes)
  local i = attributes.i or {0, 0}
  local a = i[1] == 1 and ops.transpose {inputs[1]} or inputs[1]
  local b = i[2] == 1 and inputs[2] or ops.transpose {inputs[2]} -- rows of b are columns
  local rows, inner = matrix(a.shape)
  local cols = b.shape[1]
  local shape = {unpack(a.shape)}
  shape[#shape] = cols
  local out = {shape = shape}
  for r = 0, rows - 1 do
    for c = 0, cols - 1 do
      local sum = 0
      for k = 1, inner do sum = sum + a[r * inner + k] * b[c * inner + k] end
      out[r * cols + c + 1] = sum
    end
  end
  return out
end

function ops.concat(inputs, a)
  local dim, shape = a.i[1] + 1, {unpack(inputs[1].shape)}
  for k = 2, #inputs do shape[dim] = shape[dim] + inputs[k].shape[dim] end
  local out, outer = {shape = shape}, around(shape, dim)
  for o = 0, outer - 1 do
    for _, x in ipairs(inputs) do
      local _, n, inner = around(x.shape, dim)
      for j = 1, n * inner do out[#out + 1] = x[o * n * inner + j] end
    end
  end
  return out
end

function ops.narrow(inputs, a)
  local x, dim = inputs[1], a.i[1] + 1
  local out = {shape = {unpack(x.shape)}}
  out.shape[dim] = a.shape[dim]
  local outer, n, inner = around(x.shape, dim)
  for o = 0, outer - 1 do
    for j = 1, a.shape[dim] * inner do
      out[#out + 1] = x[(o * n + a.i[2]) * inner + j]
    end
  end
  return out
end

function ops.pad(inputs, a)
  local x, dim = inputs[1], a.i[1] + 1
  local out = array(a.shape)
  local outer, n, inner = around(x.shape, dim)
  for o = 0, outer - 1 do
    for j = 1, n * inner do
      out[(o * a.shape[dim] + a.i[2]) * inner + j] = x[o * n * inner + j]
    end
  end
  return out
end

function ops.reshape(inputs, a)
  local x, out = inputs[1], {shape = a.shape}
  for i = 1, #x do out[i] = x[i] end
  return out
end

-- ---- rows by id ----

local function row_width(shape) return #shape == 2 and shape[2] or 1 end

function ops.gather(inputs)
  local x, ids = inputs[1], inputs[2]
  local d, out = row_width(x.shape), {shape = {unpack(ids.shape)}}
  if #x.shape == 2 then out.shape[#out.shape + 1] = d end
  for i = 1, #ids do
    for j = 1, d do out[#out + 1] = x[ids[i] * d + j] end
  end
  return out
end

function ops.scatter_add(inputs, a)
  local g, ids, base = inputs[1], inputs[2], inputs[3]
  local d = row_width(a.shape)
  local out = array(a.shape, base and function(i) return base[i] end)
  for i = 1, #ids do
    for j = 1, d do
      out[ids[i] * d + j] = out[ids[i] * d + j] + g[(i - 1) * d + j]
    end
  end
  return out
end

function ops.take(inputs)
  local x, ids = inputs[1], inputs[2]
  local r, j = x.shape[2], ids.shape[2]
  return array(ids.shape, function(i) return x[math.floor((i - 1) / j) * r + ids[i] + 1] end)
end

function ops.take_grad(inputs, a)
  local g, ids, out = inputs[1], inputs[2], array(a.shape)
  local r, j = a.shape[2], ids.shape[2]
  for i = 1, #ids do
    local at = math.floor((i - 1) / j) * r + ids[i] + 1
    out[at] = out[at] + g[i]
  end
  return out
end

-- ---- neighbourhoods ----

local function row_dot(a, row_a, b, row_b, d)
  local sum = 0
  for j = 1, d do sum = sum + a[row_a * d + j] * b[row_b * d + j] end
  return sum
end

function ops.edge_dot(inputs)
  local u, r, ids = inputs[1], inputs[2], inputs[3]
  local j, d = ids.shape[2], u.shape[2]
  return array(ids.shape,
               function(i) return row_dot(u, math.floor((i - 1) / j), r, ids[i], d) end)
end

function ops.mix(inputs)
  local w, x, ids = inputs[1], inputs[2], inputs[3]
  local k, d = w.shape[2], x.shape[2]
  local out = array {w.shape[1], d}
  for i = 1, #w do
    local to, from = math.floor((i - 1) / k) * d, (ids and ids[i] or i - 1) * d
    for j = 1, d do out[to + j] = out[to + j] + w[i] * x[from + j] end
  end
  return out
end

function ops.mix_dot(inputs, a)
  local g, x, ids, k = inputs[1], inputs[2], inputs[3], a.i[1]
  return array({g.shape[1], k}, function(i)
    return row_dot(g, math.floor((i - 1) / k), x, ids and ids[i] or i - 1, g.shape[2])
  end)
end

function ops.mix_outer(inputs)
  local w, g = inputs[1], inputs[2]
  local k, d = w.shape[2], g.shape[2]
  local out = {shape = {#w, d}}
  for i = 1, #w do
    for j = 1, d do out[#out + 1] = w[i] * g[math.floor((i - 1) / k) * d + j] end
  end
  return out
end

function ops.mix_scatter(inputs, a)
  local rows = ops.mix_outer {inputs[1], inputs[2]}
  return ops.scatter_add({rows, inputs[3], inputs[4]}, a)
end

-- ---- rows ----

--- An op row by row: f(row, row of the second input, f0) -> row.
local function by_row(f)
  return function(inputs, a)
    local x, y = inputs[1], inputs[2]
    local rows, cols = matrix(x.shape)
    local out = {shape = x.shape}
    for r = 0, rows - 1 do
      local row, other = {}, {}
      for c = 1, cols do
        row[c] = x[r * cols + c]
        other[c] = y and y[r * cols + c]
      end
      row = f(row, other, a.f and a.f[1])
      for c = 1, cols do out[r * cols + c] = row[c] end
    end
    return out
  end
end

local function total(row, f)
  local sum = 0
  for c = 1, #row do sum = sum + f(row[c], c) end
  return sum
end

local function mapped(row, f)
  local out = {}
  for c = 1, #row do out[c] = f(row[c], c) end
  return out
end

local function log_softmax(row)
  local most = math.max(-math.huge, unpack(row))
  local log_sum = math.log(total(row, function(x) return math.exp(x - most) end))
  return mapped(row, function(x) return x - most - log_sum end)
end

local function length(row, least)
  return math.max(math.sqrt(total(row, function(x) return x * x end)), least)
end

ops.log_softmax = by_row(log_softmax)
ops.softmax = by_row(function(row) return mapped(log_softmax(row), math.exp) end)
ops.normalize = by_row(function(row, _, least)
  local n = length(row, least)
  return mapped(row, function(x) return x / n end)
end)
ops.softmax_grad = by_row(function(g, y)
  local mean = total(g, function(x, c) return x * y[c] end)
  return mapped(g, function(x, c) return y[c] * (x - mean) end)
end)
ops.log_softmax_grad = by_row(function(g, y)
  local sum = total(g, function(x) return x end)
  return mapped(g, function(x, c) return x - math.exp(y[c]) * sum end)
end)
function ops.row_norm(inputs, a)
  local x = inputs[1]
  local rows, cols = matrix(x.shape)
  local shape = {unpack(x.shape)}
  shape[#shape] = 1
  local out = array(shape)
  for r = 1, rows do out[r] = length({unpack(x, (r - 1) * cols + 1, r * cols)}, a.f[1]) end
  return out
end

--- d(x / n) = (g - y (g . y)) / n with y = x / n; g / n where n is a constant
function ops.normalize_grad(inputs, a)
  local g, y, n = inputs[1], inputs[2], inputs[3]
  local rows, cols = matrix(g.shape)
  local out = {shape = g.shape}
  for r = 0, rows - 1 do
    local along = 0
    for c = r * cols + 1, (r + 1) * cols do along = along + g[c] * y[c] end
    if n[r + 1] <= a.f[1] then along = 0 end
    for c = r * cols + 1, (r + 1) * cols do out[c] = (g[c] - y[c] * along) / n[r + 1] end
  end
  return out
end

require 'tests.support.reference_graph'(reference)

-- ---- derivatives ----

local function moved(x, direction, by)
  local out = {shape = x.shape}
  for i = 1, #x do out[i] = x[i] + by * direction[i] end
  return out
end

--- The derivative of f (a number of a list of arrays) with respect to input k along `direction`:
--- a central difference, its error about 1e-10 of f's scale.
function reference.along(f, inputs, k, direction)
  local h, changed = 1e-5, {unpack(inputs)}
  changed[k] = moved(inputs[k], direction, h)
  local above = f(changed)
  changed[k] = moved(inputs[k], direction, -h)
  return (above - f(changed)) / (2 * h)
end

-- ---- numbers ----

local cell = ffi.new('float[1]')

--- x rounded to single precision.
function reference.f32(x)
  cell[0] = x
  return tonumber(cell[0])
end

--- A generator of its own (Park and Miller 1988): uniform in [0, 1), the same everywhere.
function reference.random(seed)
  local state = seed % 2147483646 + 1
  return function()
    state = state * 16807 % 2147483647
    return state / 2147483647
  end
end

--- Chi-square of observed counts against expected ones, and the most that chance explains: five
--- standard deviations above the mean of its distribution.
function reference.chi_square(observed, expected)
  local sum, cells = 0, 0
  for i = 1, #expected do
    sum, cells = sum + (observed[i] - expected[i]) ^ 2 / expected[i], cells + 1
  end
  return sum, cells - 1 + 5 * math.sqrt(2 * (cells - 1))
end

return reference
