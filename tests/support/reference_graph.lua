--- What the ops on whole graphs mean: loops over edges, in double precision. Adds to the ops of
-- reference.lua; input 1 is a packed graph that knows its edges (graphs.lua).
local graphs = require 'tests.support.graphs'

return function(reference)
  local ops, array = reference.ops, reference.array

  local function view_of(inputs, a) return graphs.view(inputs[1].graph, a.i[4]) end

  --- Where rows of the output come from: head -> list of output rows.
  local function outputs_of(rows, n)
    local list = {}
    for head = 0, n - 1 do list[head] = rows and {} or {head} end
    for i = 1, rows and #rows or 0 do table.insert(list[rows[i]], i - 1) end
    return list
  end

  --- Sum of w x[tail] r[relation], for any of the parts.
  local function aggregate(v, x, r, rows, slots, w)
    local d = x.shape[2]
    local out, to = array {rows and #rows or v.n, d}, outputs_of(rows, v.n)
    for e = 1, v.e do
      local from = slots and slots[v.ids[e] + 1] or v.ids[e]
      for _, row in ipairs(from >= 0 and to[v.rows[e]] or {}) do
        for j = 1, d do
          local term = x[from * d + j] * (w and w[e] or 1)
          if r then term = term * r[v.relations[e] * d + j] end
          out[row * d + j] = out[row * d + j] + term
        end
      end
    end
    return out
  end

  function ops.aggregate(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], nil, nil, nil, inputs[3])
  end
  function ops.aggregate_rows(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], nil, inputs[3], nil, inputs[4])
  end
  function ops.aggregate_slots(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], nil, nil, inputs[3], inputs[4])
  end
  function ops.aggregate_mul(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], inputs[3], nil, nil, inputs[4])
  end
  function ops.aggregate_mul_rows(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], inputs[3], inputs[4], nil, inputs[5])
  end
  function ops.aggregate_mul_slots(inputs, a)
    return aggregate(view_of(inputs, a), inputs[2], inputs[3], nil, inputs[4], inputs[5])
  end

  function ops.aggregate_dot(inputs, attributes)
    local v, a, b, r = view_of(inputs, attributes), inputs[2], inputs[3], inputs[4]
    local d = a.shape[2]
    return array({v.e}, function(e)
      local sum = 0
      for j = 1, d do
        sum = sum + a[v.rows[e] * d + j] * b[v.ids[e] * d + j] *
          (r and r[v.relations[e] * d + j] or 1)
      end
      return sum
    end)
  end

  local function by_relation(v, a, b, rows, w, shape)
    local d, out, from = b.shape[2], array(shape), outputs_of(rows, v.n)
    for e = 1, v.e do
      for _, row in ipairs(from[v.rows[e]]) do
        for j = 1, d do
          local at = v.relations[e] * d + j
          out[at] = out[at] + (w and w[e] or 1) * a[row * d + j] * b[v.ids[e] * d + j]
        end
      end
    end
    return out
  end

  function ops.aggregate_relation(inputs, a)
    return by_relation(view_of(inputs, a), inputs[2], inputs[3], nil, inputs[4], a.shape)
  end
  function ops.aggregate_relation_rows(inputs, a)
    return by_relation(view_of(inputs, a), inputs[2], inputs[3], inputs[4], inputs[5], a.shape)
  end

  function ops.slots(inputs, a)
    local out = array(a.shape, -1)
    for i = #inputs[1], 1, -1 do out[inputs[1][i] + 1] = i - 1 end
    return out
  end

  --- f(edge) summed over the edges of each row: a table by row.
  local function by_row(v, f)
    local sums = {}
    for e = 1, v.e do sums[v.rows[e]] = (sums[v.rows[e]] or 0) + f(e) end
    return sums
  end

  function ops.edge_softmax(inputs, a)
    local v, s, most = view_of(inputs, a), inputs[2], {}
    for e = 1, v.e do most[v.rows[e]] = math.max(most[v.rows[e]] or -math.huge, s[e]) end
    local function term(e) return math.exp(s[e] - most[v.rows[e]]) end
    local sums = by_row(v, term)
    return array({v.e}, function(e) return term(e) / sums[v.rows[e]] end)
  end

  function ops.edge_softmax_grad(inputs, a)
    local v, g, y = view_of(inputs, a), inputs[2], inputs[3]
    local sums = by_row(v, function(e) return g[e] * y[e] end)
    return array({v.e}, function(e) return y[e] * (g[e] - sums[v.rows[e]]) end)
  end

  function ops.aggregate_argmax(inputs, a)
    local v, x = view_of(inputs, a), inputs[2]
    local d = x.shape[2]
    local out, most = array({v.n, d}, -1), {}
    for e = 1, v.e do
      for j = 1, d do
        local at, value = v.rows[e] * d + j, x[v.ids[e] * d + j]
        if not most[at] or value > most[at] then most[at], out[at] = value, e - 1 end
      end
    end
    return out
  end

  function ops.aggregate_pick(inputs, a)
    local v, x, edges = view_of(inputs, a), inputs[2], inputs[3]
    local d = x.shape[2]
    return array(edges.shape, function(i)
      return edges[i] < 0 and 0 or x[v.ids[edges[i] + 1] * d + (i - 1) % d + 1]
    end)
  end

  function ops.aggregate_pick_grad(inputs, a)
    local v, g, edges = view_of(inputs, a), inputs[2], inputs[3]
    local d = g.shape[2]
    local out = array {v.m, d}
    for i = 1, #edges do
      if edges[i] >= 0 then
        local at = v.ids[edges[i] + 1] * d + (i - 1) % d + 1
        out[at] = out[at] + g[i]
      end
    end
    return out
  end

  -- ---- rows through matrices of their own kind ----

  function ops.grouped_matmul(inputs, a)
    local x, w, ids = inputs[1], inputs[2], inputs[3]
    local transposed = a.i and a.i[1] == 1
    local d, k = x.shape[2], w.shape[transposed and 2 or 3]
    return array({x.shape[1], k}, function(i)
      local row, col, sum = math.floor((i - 1) / k), (i - 1) % k, 0
      local first = ids[row + 1] * d * k
      for j = 0, d - 1 do
        sum = sum + x[row * d + j + 1] * w[first + (transposed and col * d + j or j * k + col) + 1]
      end
      return sum
    end)
  end

  function ops.grouped_outer(inputs, a)
    local x, g, ids = inputs[1], inputs[2], inputs[3]
    local d, k, out = x.shape[2], g.shape[2], array(a.shape)
    for row = 0, x.shape[1] - 1 do
      local first = ids[row + 1] * d * k
      for i = 0, d * k - 1 do
        local j, col = math.floor(i / k), i % k
        out[first + i + 1] = out[first + i + 1] + x[row * d + j + 1] * g[row * k + col + 1]
      end
    end
    return out
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
end
