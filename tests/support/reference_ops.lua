--- The ops of ops.def by name, with inputs and attributes as there, computed by the formulas of
--- reference.lua and by their reverse mode; derivatives by finite differences. An array here is a
--- flat table from 1, row-major, with its `shape`.
local ffi = require 'ffi'
local arrays = require 'tests.support.arrays'
local formulas = require 'tests.support.reference_graph'
local scalars = require 'tests.support.scalars'

local reference = {count = arrays.count, matrix = arrays.matrix, scalars = scalars}

--- An array of `shape`; `fill` is a number or a function of the position from 1.
local function array(shape, fill)
  local a = {shape = shape}
  for i = 1, arrays.count(shape) do a[i] = type(fill) == 'function' and fill(i) or fill or 0 end
  return a
end
reference.array = array

-- ---- to the arrays of reference.lua and back ----

local function doubles(x)
  local v = arrays.doubles(#x + 1)
  for i = 1, #x do v[i - 1] = x[i] end
  return v
end

local function inputs_of(list)
  local x = {}
  for k, input in ipairs(list) do x[k] = {shape = input.shape, n = #input, v = doubles(input)} end
  return x
end

local function array_of(shape, v)
  local out = {shape = shape}
  for i = 1, arrays.count(shape) do out[i] = v[i - 1] end
  return out
end

--- The result of a formula for a list of arrays.
local function forward(name, a, list)
  local o = formulas[name].forward(a, inputs_of(list))
  return array_of(o.shape, o.v), o
end

--- The gradient of input k: g is the gradient of the result; y replaces the result if given, and
--- `number` what a row's formula returned.
local function backward(name, a, g, list, k, y, number)
  local x = inputs_of(list)
  local o = formulas[name].forward(a, x)
  for _, input in ipairs(x) do input.g = arrays.doubles(input.n + 1) end
  o.g, o.v, o.extra = doubles(g), y and doubles(y) or o.v, number and doubles(number) or o.extra
  formulas[name].backward(a, o, x)
  return array_of(x[k].shape, x[k].g)
end

-- ---- the ops: f(inputs, attributes) -> array ----

local ops = {}
reference.ops = ops

--- Attributes f by all names that the formulas have for them.
local function named(a)
  local f0, f1 = unpack(a and a.f or {})
  local added = a and a.i and a.i[1] == 1
  return {scale = f0, shift = f1, slope = f0, low = f0, high = f1, power = f0,
          eps = added and -1 or f0, added = added and f0 or nil}
end

local function add_forward(name)
  ops[name] = function(inputs, a) return (forward(name, named(a), inputs)) end
end

--- g, y (or x, where the gradient is a function of it) and a number per row
local function add_gradient(name)
  ops[name .. '_grad'] = function(inputs, a)
    local g, y, number = unpack(inputs)
    return backward(name, named(a), g, {y}, 1, y, number)
  end
end

for name in ('add sub mul div greater greater_equal equal not_equal select reject dot transpose ' ..
             'softmax log_softmax'):gmatch '%S+' do
  add_forward(name)
end
for name in ('softmax log_softmax normalize'):gmatch '%S+' do add_gradient(name) end
for name, formula in pairs(formulas) do
  if type(formula) == 'table' and formula.elementwise then
    add_forward(name)
    add_gradient(name)
  end
end

function ops.normalize(inputs, a) return (forward('normalize', named(a), {inputs[1]})) end

function ops.row_norm(inputs, a)
  local y, o = forward('normalize', named(a), inputs)
  return array_of(arrays.with(y.shape, #y.shape, 1), o.extra)
end

function ops.full(_, a) return array(a.shape, a.f[1]) end

function ops.broadcast(inputs, a) return (forward('broadcast', {shape = a.shape}, inputs)) end

function ops.reshape(inputs, a) return (forward('reshape', {shape = a.shape}, inputs)) end

function ops.sum(inputs, a)
  local dims = {}
  for d = 1, #inputs[1].shape do dims[d] = math.floor(a.i[1] / 2 ^ (d - 1)) % 2 == 1 end
  return (forward('sum', {dims = dims, keep = a.i[2] == 1}, inputs))
end

function ops.argmax(inputs)
  local shape = inputs[1].shape
  local _, o = forward('max', {dim = #shape}, inputs)
  return array(o.shape, function(i) return o.at[i - 1] - (i - 1) * shape[#shape] end)
end

function ops.matmul(inputs, a)
  local i = a.i or {}
  return (forward('matmul', {ta = i[1] == 1, tb = i[2] == 1}, inputs))
end

function ops.batched_matmul(inputs, a)
  local i = a.i or {}
  return (forward('batched_matmul', {ta = i[1] == 1, tb = i[2] == 1}, inputs))
end

function ops.concat(inputs, a) return (forward('cat', {dim = a.i[1] + 1}, inputs)) end

--- The larger of the two shapes is that of narrow's input.
local function part(a, shape)
  local dim = a.i[1] + 1
  return {dim = dim, first = a.i[2], count = shape[dim], shape = a.shape}
end

function ops.narrow(inputs, a) return (forward('narrow', part(a, a.shape), inputs)) end

function ops.pad(inputs, a)
  local x, base = unpack(inputs)
  local out = forward('pad', part(a, x.shape), {x})
  return base and ops.add({out, base}, {}) or out
end

-- ---- the largest of a row ----

--- Places from 0 of the k largest of row r, in order.
local function largest(x, r, k)
  local cols, places = x.shape[#x.shape], {}
  for c = 0, cols - 1 do places[c + 1] = c end
  table.sort(places, function(a, b)
    local p, q = x[r * cols + a + 1], x[r * cols + b + 1]
    if p ~= q then return p > q end
    return a < b
  end)
  for c = k + 1, cols do places[c] = nil end
  return places
end

function ops.top_k(inputs, a)
  local rows, k = inputs[1].shape[1], a.i[1]
  local out = {shape = {rows, k}}
  for r = 0, rows - 1 do
    for _, place in ipairs(largest(inputs[1], r, k)) do out[#out + 1] = place end
  end
  return out
end

function ops.top_k_mask(inputs, a)
  local shape = inputs[1].shape
  local rows, cols = arrays.matrix(shape)
  local out = array(shape)
  for r = 0, rows - 1 do
    for _, place in ipairs(largest(inputs[1], r, a.i[1])) do out[r * cols + place + 1] = 1 end
  end
  return out
end

-- ---- rows against all rows of another matrix ----

function ops.product_logsumexp(inputs, a)
  local out = forward('product_logsumexp', {scale = a.f[1]}, inputs)
  return array({#out, 1}, function(i) return out[i] end)
end

function ops.product_logsumexp_grad(inputs, a)
  local g, x, y, sums = unpack(inputs)
  return backward('product_logsumexp', {scale = a.f[1]}, g, {x, y},
                  a.i and a.i[1] == 1 and 2 or 1, sums)
end

-- ---- rows by id ----

local function by_id(ids, shape) return {ids = doubles(ids), shape = shape or ids.shape} end

for _, name in ipairs {'gather', 'take', 'relation_score'} do
  ops[name] = function(inputs)
    local ids = inputs[#inputs]
    return (forward(name, by_id(ids), {unpack(inputs, 1, #inputs - 1)}))
  end
end

function ops.take_grad(inputs, a)
  return (forward('take_grad', by_id(inputs[2], a.shape), {inputs[1]}))
end

function ops.scatter_add(inputs, a)
  local g, ids, base = unpack(inputs)
  local out = forward('scatter_add', by_id(ids, a.shape), {g})
  return base and ops.add({out, base}, {}) or out
end

-- ---- neighbourhoods ----

--- Rows of x by ids, one after the other; x itself without ids.
local function rows_of(x, ids)
  return ids and forward('gather', by_id(ids, {#ids}), {x}) or x
end

function ops.neighbor_sum(inputs)
  return (forward('neighbor_sum', {}, {inputs[1], rows_of(inputs[2], inputs[3])}))
end

function ops.neighbor_dot(inputs, a)
  return (forward('neighbor_dot', {k = a.i[1]}, {inputs[1], rows_of(inputs[2], inputs[3])}))
end

function ops.neighbor_outer(inputs)
  local w, g = unpack(inputs)
  return backward('neighbor_sum', {}, g, {w, array {#w, g.shape[2]}}, 2)
end

function ops.neighbor_scatter(inputs, a)
  local w, g, ids, base = unpack(inputs)
  return ops.scatter_add({ops.neighbor_outer {w, g}, ids, base}, a)
end

-- ---- rows through matrices by kind ----

function ops.grouped_matmul(inputs, a)
  local x, w, ids = unpack(inputs)
  return (forward('grouped_matmul', {ids = doubles(ids), transposed = a.i and a.i[1] == 1}, {x, w}))
end

function ops.grouped_outer(inputs, a)
  local x, g, ids = unpack(inputs)
  return backward('grouped_matmul', {ids = doubles(ids)}, g, {x, array(a.shape)}, 2)
end

-- ---- whole graphs: input 1 is a packed graph that knows its edges (graphs.lua) ----

local function on_graph(inputs, a, fields)
  local out = {graph = inputs[1].graph, flip = a.i[4] % 2 == 1, reduce = 'sum'}
  for key, value in pairs(fields or {}) do out[key] = value end
  return out
end

local function aggregate(inputs, a, x, r, w)
  local message = {message = r and 'mul' or 'copy', weighted = w and true}
  local list = {x, r or w, r and w}
  return (forward('aggregate', on_graph(inputs, a, message), list))
end

--- Row row_of[i] of x for each i, zeros for -1.
local function expanded(x, row_of)
  local d = x.shape[2]
  return array({#row_of, d}, function(i)
    local slot = row_of[math.floor((i - 1) / d) + 1]
    return slot >= 0 and x[slot * d + (i - 1) % d + 1] or 0
  end)
end

function ops.aggregate(inputs, a) return aggregate(inputs, a, inputs[2], nil, inputs[3]) end

function ops.aggregate_mul(inputs, a)
  return aggregate(inputs, a, inputs[2], inputs[3], inputs[4])
end

function ops.aggregate_rows(inputs, a)
  return ops.gather {aggregate(inputs, a, inputs[2], nil, inputs[4]), inputs[3]}
end

function ops.aggregate_mul_rows(inputs, a)
  return ops.gather {aggregate(inputs, a, inputs[2], inputs[3], inputs[5]), inputs[4]}
end

function ops.aggregate_indexed(inputs, a)
  return aggregate(inputs, a, expanded(inputs[2], inputs[3]), nil, inputs[4])
end

function ops.aggregate_where(inputs, a)
  local out, where = aggregate(inputs, a, inputs[2], nil, inputs[4]), inputs[3]
  local cols = out.shape[2]
  for i = 1, #out do if where[math.floor((i - 1) / cols) + 1] < 0 then out[i] = 0 end end
  return out
end

function ops.aggregate_mul_indexed(inputs, a)
  return aggregate(inputs, a, expanded(inputs[2], inputs[4]), inputs[3], inputs[5])
end

function ops.sddmm(inputs, a)
  return (forward('edge_scores', on_graph(inputs, a), {unpack(inputs, 2)}))
end

--- The gradient of aggregate_mul's r.
local function by_relation(inputs, a, g, x, w)
  local fields = on_graph(inputs, a, {message = 'mul', weighted = w and true})
  return backward('aggregate', fields, g, {x, array(a.shape), w}, 2)
end

function ops.aggregate_relation(inputs, a)
  return by_relation(inputs, a, inputs[2], inputs[3], inputs[4])
end

function ops.aggregate_relation_rows(inputs, a)
  local _, rows, x, ids, w = unpack(inputs)
  local graph = inputs[1].graph
  local heads = a.i[4] % 2 == 1 and graph.tail_nodes or graph.nodes
  local g = ops.scatter_add({rows, ids}, {shape = {heads, rows.shape[2]}})
  return by_relation(inputs, a, g, x, w)
end

function ops.inverse_index(inputs, a)
  local out = array(a.shape, -1)
  for i = #inputs[1], 1, -1 do out[inputs[1][i] + 1] = i - 1 end
  return out
end

--- Heads, tails and their numbers, as the op goes through the graph.
local function ends(graph, a)
  if a.i[4] % 2 == 1 then return graph.tails, graph.heads, graph.tail_nodes, graph.nodes end
  return graph.heads, graph.tails, graph.nodes, graph.tail_nodes
end

function ops.neighborhood(inputs, a)
  local graph, w, batch = inputs[1].graph, inputs[3], {}
  local from, to, heads, tails = ends(graph, a)
  local out = array({tails}, -1)
  for _, id in ipairs(inputs[2]) do
    batch[id] = true
    if heads == tails then out[id + 1] = id end
  end
  for e = 0, graph.n - 1 do
    if batch[from[e]] and (not w or w[e + 1] ~= 0) then out[to[e] + 1] = to[e] end
  end
  return out
end

function ops.merge_index(inputs)
  local a, b = unpack(inputs)
  local out = array(a.shape, -1)
  for i, id in ipairs(a) do out[i] = id < 0 and b[i] or id end
  return out
end

function ops.edge_where(inputs, a)
  local graph, w, where = inputs[1].graph, inputs[2], inputs[3]
  local heads, out = ends(graph, a), array(inputs[2].shape, 0)
  for e = 1, #w do out[e] = where[heads[e - 1] + 1] < 0 and 0 or w[e] end
  return out
end

function ops.first_index(inputs)
  local out, first = array(inputs[1].shape, -1), {}
  for i, id in ipairs(inputs[1]) do
    first[id] = first[id] or i - 1
    out[i] = first[id]
  end
  return out
end

function ops.edge_softmax(inputs, a)
  return (forward('edge_softmax', on_graph(inputs, a), {inputs[2]}))
end

function ops.edge_softmax_grad(inputs, a)
  return backward('edge_softmax', on_graph(inputs, a), inputs[2], {inputs[3]}, 1, inputs[3])
end

--- Sums over edges with the same head and tail, in double precision.
function ops.parallel_sum(inputs, a)
  local graph, s = inputs[1].graph, inputs[2]
  local sums, count = {}, {}
  local function key(e) return graph.heads[e] * graph.tail_nodes + graph.tails[e] end
  for e = 0, graph.n - 1 do
    sums[key(e)], count[key(e)] = (sums[key(e)] or 0) + s[e + 1], (count[key(e)] or 0) + 1
  end
  return array({graph.n}, function(i)
    return sums[key(i - 1)] + (a.f and a.f[1] or 0) * math.log(count[key(i - 1)])
  end)
end

--- graph, a, b, heads, s
function ops.sddmm_relation(inputs, a)
  local graph, of = inputs[1].graph, {}
  local left, right, heads, s = unpack(inputs, 2)
  local d = left.shape[2]
  for i, head in ipairs(heads) do of[head] = i - 1 end
  return array({graph.n}, function(e)
    local row, sum = of[graph.heads[e - 1]], s[e]
    if not row or graph.relations[e - 1] ~= a.f[1] then return sum end
    for c = 1, d do sum = sum + left[row * d + c] * right[graph.tails[e - 1] * d + c] end
    return sum
  end)
end

function ops.triples(inputs)
  local graph, numbers = inputs[1].graph, inputs[2]
  local n = numbers and #numbers or graph.n
  local parts = {graph.heads, graph.relations, graph.tails}
  return array({3, n}, function(i)
    local at = (i - 1) % n
    return parts[math.floor((i - 1) / n) + 1][numbers and numbers[at + 1] or at]
  end)
end

function ops.aggregate_argmax(inputs, a)
  local _, o = forward('aggregate_max', on_graph(inputs, a), {inputs[2]})
  return array_of(o.shape, o.edges.v)
end

function ops.aggregate_max(inputs, a)
  local edges = inputs_of {inputs[3]}[1]
  return (forward('aggregate_max', on_graph(inputs, a, {edges = edges}), {inputs[2]}))
end

function ops.aggregate_max_grad(inputs, a)
  local _, g, edges = unpack(inputs)
  local m = a.i[4] % 2 == 1 and inputs[1].graph.nodes or inputs[1].graph.tail_nodes
  return backward('aggregate_max', on_graph(inputs, a, {edges = inputs_of {edges}[1]}), g,
                  {array {m, g.shape[2]}}, 1)
end

--- offsets, columns, rows, ids, values
function ops.lookup(inputs, a)
  local offsets, columns, rows, ids, values = unpack(inputs)
  return array(ids.shape, function(i)
    local row = rows[math.floor((i - 1) / ids.shape[2]) + 1]
    for at = offsets[row + 1] + 1, offsets[row + 2] do
      if columns[at] == ids[i] then return values[at] end
    end
    return a.f[1]
  end)
end

-- ---- derivatives ----

local function moved(x, direction, by)
  local out = {shape = x.shape}
  for i = 1, #x do out[i] = x[i] + by * direction[i] end
  return out
end

--- The derivative of f (from a list of arrays to a number) by input k along `direction`: a central
--- difference with an error of about 1e-10 of f's scale.
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

--- A generator (Park and Miller 1988), the same on every machine: floats in [0, 1), or integers
--- below n if it is called with n.
function reference.random(seed)
  local state = seed % 2147483646 + 1
  return function(n)
    state = state * 16807 % 2147483647
    return n and state % n or state / 2147483647
  end
end

--- Returns a function that draws arrays of numbers in (-scale, scale), 1 by default, as floats.
function reference.noise(random)
  return function(shape, scale)
    return reference.array(shape, function()
      return reference.f32((random() * 2 - 1) * (scale or 1))
    end)
  end
end

--- Chi-square of observed counts against expected ones, and the most that chance explains: five
--- standard deviations above the mean of the distribution.
function reference.chi_square(observed, expected)
  local sum, cells = 0, 0
  for i = 1, #expected do
    sum, cells = sum + (observed[i] - expected[i]) ^ 2 / expected[i], cells + 1
  end
  return sum, cells - 1 + 5 * math.sqrt(2 * (cells - 1))
end

return reference
