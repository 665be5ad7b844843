--- Cases of every op for ops_spec: a list per op. A case has its inputs in order, and f, i, shape
--- as attributes; an input has a shape and a kind of floats, or ids.
local graphs = require 'tests.support.graphs'
local reference = require 'tests.support.reference_ops'

local LARGE = {401, 331} -- enough work for four threads

--- Floats: 'plain' in (-2, 2), 'apart' the same but .25 from 0, 'positive' in (.25, 2.25), 'high'
--- in (4.25, 6.25), 'within' in (-.98, .98), 'dropped' in (0, 2) or 0. All but the last two are odd
--- multiples of 2^-11, so none is nearer than that to a kink at 0 or at a clamp's bound.
local function F(shape, kind) return {shape = shape, kind = kind or 'plain'} end
--- Ids in 0..rows-1.
local function I(shape, rows) return {shape = shape, rows = rows} end
--- Ids that are given: an array, a list, or a packed graph.
local function GIVEN(list) return {shape = list.shape or {#list}, given = list} end

local SHAPES = {{}, {0}, {1}, {31}, {32, 33}, {3, 0, 2}, {2, 3, 4, 5}, LARGE}
local WIDTHS = {{}, {0}, {3, 0}, {0, 3}, {33, 1}, {7, 2}, {7, 3}, {9, 4}, {7, 5}, {5, 8}, {3, 16},
                {31, 31}, {3, 32}, {4, 33}, {2, 3, 4, 5}, {2, 2049}, LARGE}

--- A case for each shape with `n` inputs of that shape and the same attributes.
local function each(shapes, n, attributes, kind)
  local list = {}
  for s, shape in ipairs(shapes) do
    local case = {f = attributes.f, i = attributes.i}
    for k = 1, n do case[k] = F(shape, kind) end
    list[s] = case
  end
  return list
end

local function joined(...)
  local all = {}
  for _, list in ipairs {...} do
    for _, case in ipairs(list) do all[#all + 1] = case end
  end
  return all
end

local function broadcasting(right)
  local list = {}
  for _, pair in ipairs {
    {{}, {}}, {{}, {5}}, {{33}, {}}, {{0}, {1}}, {{0, 4}, {4}}, {{31}, {31}}, {{3, 1}, {1, 4}},
    {{31, 33}, {33}}, {{31, 33}, {31, 1}}, {{1, 33}, {32, 33}}, {{2, 3, 4, 5}, {4, 1}},
    {{2, 1, 3, 1}, {4, 1, 5}}, {{1, 1, 5}, {2, 3, 1}}, {LARGE, {331}}, {{401, 1}, LARGE},
    {LARGE, LARGE},
  } do
    list[#list + 1] = {F(pair[1]), F(pair[2], right)}
  end
  return list
end

local function sums()
  local list = {{F {}, i = {0, 0}}, {F {0}, i = {1, 0}}, {F {3, 0}, i = {1, 0}},
                {F {3, 0}, i = {2, 1}}, {F {70001}, i = {1, 0}}, {F {2, 9001, 3}, i = {2, 0}},
                {F {301, 2, 301}, i = {5, 1}}, {F(LARGE), i = {1, 0}}, {F(LARGE), i = {2, 0}}}
  for dims = 0, 15 do list[#list + 1] = {F {3, 4, 5, 6}, i = {dims, dims % 2}} end
  return list
end

local function products()
  local list = {
    {F {2, 3, 4}, F {4, 5}}, {F {2, 3, 2, 4}, F {4, 5}}, {F {2, 3, 4}, F {5, 4}, i = {0, 1}},
    {F {0, 3}, F {3, 2}}, {F {2, 3}, F {3, 0}}, {F {2, 0}, F {0, 3}}, {F {401, 64}, F {64, 131}},
    {F {4001, 16}, F {4001, 33}, i = {1, 0}},
  }
  for t = 0, 3 do
    local ta, tb = t % 2, math.floor(t / 2)
    for _, s in ipairs {{1, 1, 1}, {31, 32, 33}, {33, 1, 31}, {1, 33, 2}} do
      list[#list + 1] = {F(ta == 1 and {s[2], s[1]} or {s[1], s[2]}),
                         F(tb == 1 and {s[3], s[2]} or {s[2], s[3]}), i = {ta, tb}}
    end
  end
  return list
end

--- Matrices of all four ways to transpose them.
local function batched()
  local list = {{F {0, 2, 3}, F {0, 3, 4}}, {F {2, 0, 3}, F {2, 3, 4}}, {F {2, 3, 0}, F {2, 0, 4}},
                {F {2, 3, 4, 5}, F {2, 3, 5, 2}}, {F {3, 300, 7}, F {3, 7, 40}}}
  for t = 0, 3 do
    local ta, tb = t % 2, math.floor(t / 2)
    for _, s in ipairs {{1, 1, 1, 1}, {5, 31, 32, 33}, {40, 3, 17, 2}} do
      local b, n, k, m = unpack(s)
      list[#list + 1] = {F(ta == 1 and {b, k, n} or {b, n, k}),
                         F(tb == 1 and {b, m, k} or {b, k, m}), i = {ta, tb}}
    end
  end
  return list
end

--- Neighbourhoods of n rows, k neighbours, d columns, m rows to choose from.
local SIZES = {{0, 3, 4, 2}, {1, 1, 1, 1}, {5, 4, 31, 7}, {7, 8, 32, 5}, {3, 2, 33, 9},
               {4, 3, 131, 6}, {6, 5, 0, 4}, {801, 8, 32, 501}, {9, 7, 16, 6}, {5, 9, 64, 3}}

--- The cases that make(...) gives for each of some sizes.
local function over_sizes(sizes, make)
  local list = {}
  for _, s in ipairs(sizes) do
    for _, case in ipairs(make(unpack(s))) do list[#list + 1] = case end
  end
  return list
end

local function neighbourhoods(make) return over_sizes(SIZES, make) end

local function scatters()
  local list = {{F {7}, I({7}, 4), shape = {4}}, {F {3, 0}, I({3}, 4), shape = {4, 0}},
                {F {2, 3, 5}, I({2, 3}, 4), shape = {4, 5}},
                {F {4001, 33}, I({4001}, 501), shape = {501, 33}}}
  for _, d in ipairs {1, 16, 64} do
    list[#list + 1] = {F {700, d}, I({700}, 9), F {9, d}, shape = {9, d}}
  end
  for _, n in ipairs {0, 1, 31, 33} do
    list[#list + 1] = {F {n, 5}, I({n}, 9), shape = {9, 5}}
    list[#list + 1] = {F {n, 5}, I({n}, 9), F {9, 5}, shape = {9, 5}}
  end
  return list
end

-- ---- graphs ----

--- {packed graph, columns, relations, rows asked for}
local GRAPHS = (function()
  local random, list = reference.random(17), {}
  local R, ONE = graphs.RELATIONS, graphs.ONE_WAY
  local function add(n, m, edges, layout, d, relations, rows)
    list[#list + 1] = {graphs.pack(n, m, edges, layout), d, relations, rows}
  end
  add(0, 0, {}, 0, 3, 1, 0)
  add(3, 2, {}, R, 5, 2, 4)
  add(1, 1, {{0, 0, 0}}, R, 1, 1, 3)
  add(9, 7, graphs.random(random, 9, 7, 31, 3), R, 31, 3, 12)
  add(7, 9, graphs.random(random, 7, 9, 33), R + ONE, 33, 1, 5)
  add(9, 8, graphs.random(random, 9, 8, 61, 300), R, 3, 300, 5) -- ids of two bytes, and of four
  add(8, 8, graphs.both_ways(graphs.random(random, 8, 8, 23, 70000), 8), R, 1, 70000, 4)
  add(5, 5, graphs.random(random, 5, 5, 20), ONE, 0, 1, 2)
  add(11, 11, graphs.both_ways(graphs.random(random, 11, 11, 23, 4), 11), R, 61, 4, 1)
  add(6, 6, graphs.both_ways(graphs.random(random, 6, 6, 9), 6), 0, 127, 1, 6)
  add(151, 131, graphs.random(random, 151, 131, 3000, 7), R, 35, 7, 301) -- a hub with 1,000 edges
  add(90, 90, graphs.both_ways(graphs.random(random, 90, 90, 2000, 40), 90), R, 36, 40, 201)
  return list
end)()

--- make(G, d, {n, m, e}, relations or nil, rows, way) -> cases, for each graph and each way.
local function on_graphs(make)
  local list = {}
  for _, entry in ipairs(GRAPHS) do
    local packed, d, relations, rows = unpack(entry)
    local g = packed.graph
    local function has(flag) return math.floor(g.layout / flag) % 2 == 1 end
    for way = 0, has(graphs.ONE_WAY) and 0 or 1 do
      local v = graphs.view(g, way)
      for _, case in ipairs(make(GIVEN(packed), d, v, has(graphs.RELATIONS) and relations, rows,
                                 way)) do
        case.i = {g.nodes, g.tail_nodes, g.n, g.layout + way}
        list[#list + 1] = case
      end
    end
  end
  return list
end

--- The same, of graphs with relations.
local function on_relations(make)
  return on_graphs(function(G, d, v, relations, rows, way)
    return relations and make(G, d, v, relations, rows, way) or {}
  end)
end

--- A row for about one id in three: places in a matrix of b rows.
local function rows_by_tail(m, b)
  local row_of = {}
  for t = 1, m do row_of[t] = t * 7 % 3 == 0 and t * 5 % b or -1 end
  return GIVEN(row_of)
end

--- For each row and column an edge of that row, -1 where it has none and now and then.
local function picks_of(v, d)
  local of_row, picks = {}, {shape = {v.n, d}}
  for e = 0, v.e - 1 do
    of_row[v.rows[e]] = of_row[v.rows[e]] or {}
    table.insert(of_row[v.rows[e]], e)
  end
  for i = 0, v.n * d - 1 do
    local edges = of_row[math.floor(i / d)]
    picks[i + 1] = edges and i % 7 ~= 3 and edges[i * 5 % #edges + 1] or -1
  end
  return GIVEN(picks)
end

--- {rows, kinds, columns before, columns behind}
local GROUPS = {{0, 3, 4, 5}, {1, 1, 1, 1}, {33, 4, 31, 7}, {31, 300, 3, 5}, {9, 2, 0, 4},
                {9, 2, 4, 0}, {2100, 9, 16, 17}, {3000, 70000, 1, 2}, {777, 9, 16, 16},
                {95, 3, 8, 8}, {95, 3, 32, 16}}

local function grouped(make) return over_sizes(GROUPS, make) end

--- {rows of x, rows of y, columns}: blocks and tiles that end with their rows, and others
local PAIRS = {{1, 1, 1}, {0, 3, 4}, {3, 2, 0}, {31, 33, 32}, {5, 301, 3}, {257, 129, 33},
               {64, 128, 131}, {2, 700, 16}, {401, 331, 20}}

--- {rows, columns, how many of them}
local BEST = {{1, 1, 1}, {0, 3, 2}, {31, 33, 5}, {33, 31, 31}, {7, 32, 16}, {3, 5001, 300},
              {401, 331, 10}}

local function best_of_rows(shape_of)
  return over_sizes(BEST, function(n, m, k) return {{F(shape_of(n, m)), i = {k}}} end)
end

local function pairs_of_rows(make) return over_sizes(PAIRS, make) end

local function without_scalar(shapes)
  local list = {}
  for _, shape in ipairs(shapes) do list[#list + 1] = #shape > 0 and shape or nil end
  return list
end

local function norm_gradients()
  local list = {}
  for _, shape in ipairs(without_scalar(WIDTHS)) do
    local norms = {unpack(shape)}
    norms[#norms] = 1
    for _, least in ipairs {1e-12, 1.5} do
      list[#list + 1] = {F(shape), F(shape), F(norms, 'positive'), f = {least}}
    end
  end
  return list
end

--- Cases by op.
return {
  full = {{f = {2.5}, shape = {}}, {f = {-1}, shape = {0}}, {f = {3}, shape = {31, 33}},
          {f = {0.1}, shape = LARGE}},
  affine = joined(each(SHAPES, 1, {f = {-1.5, 0.25}}), each({{5}}, 1, {f = {1, 0}})),
  add = broadcasting(), sub = broadcasting(), mul = broadcasting(), div = broadcasting 'apart',
  leaky_relu = joined(each(SHAPES, 1, {f = {0.01}}), each({{33}}, 1, {f = {0}}),
                      each({{33}}, 1, {f = {-1}})),
  leaky_relu_grad = each(SHAPES, 2, {f = {0.25}}),
  sigmoid = each(SHAPES, 1, {}), sigmoid_grad = each(SHAPES, 2, {}),
  tanh = each(SHAPES, 1, {}), tanh_grad = each(SHAPES, 2, {}),
  elu = each(SHAPES, 1, {f = {0.75}}), elu_grad = each(SHAPES, 2, {f = {0.75}}),
  softplus = each(SHAPES, 1, {}), exp = each(SHAPES, 1, {}),
  log = each(SHAPES, 1, {}, 'positive'), sqrt = each(SHAPES, 1, {}, 'positive'),
  square = each(SHAPES, 1, {}),
  clamp = each(SHAPES, 1, {f = {-0.5, 1}}), clamp_grad = each(SHAPES, 2, {f = {-0.5, 1}}),
  -- trigonometry, powers, comparisons
  sin = each(SHAPES, 1, {}), cos = each(SHAPES, 1, {}), asin = each(SHAPES, 1, {}, 'within'),
  pow = joined(each(SHAPES, 1, {f = {1.75}}, 'positive'), each({{33}}, 1, {f = {3}}),
               each({{5, 31}}, 1, {f = {-2}}, 'apart'), each({{31}}, 1, {f = {1.5}}, 'positive')),
  greater = broadcasting(), greater_equal = broadcasting(), equal = broadcasting(),
  not_equal = broadcasting(), select = broadcasting(), reject = broadcasting(),
  sum = sums(),
  broadcast = {{F {}, shape = {}}, {F {}, shape = {2, 3}}, {F {1}, shape = {0}},
               {F {5}, shape = {3, 5}}, {F {31, 1}, shape = {31, 33}},
               {F {2, 1, 4, 1}, shape = {2, 3, 4, 5}}, {F {331}, shape = LARGE},
               {F {401, 1}, shape = LARGE}},
  argmax = each({{1}, {31}, {0, 3}, {33, 31}, {2, 3, 4, 5}, LARGE}, 1, {}),
  dot = each({{1}, {0}, {3, 0}, {0, 3}, {31, 33}, {32, 32}, {7, 16}, {2, 3, 4, 5}, LARGE}, 2, {}),
  matmul = products(), batched_matmul = batched(),
  concat = {{F {3}, F {0}, F {33}, i = {0}}, {F {2, 3}, F {2, 31}, i = {1}},
            {F {2, 3, 4}, F {2, 1, 4}, F {2, 32, 4}, F {2, 2, 4}, F {2, 0, 4}, F {2, 1, 4},
             i = {1}},
            {F {0, 3}, F {0, 3}, i = {0}}, {I({4}, 9), I({3}, 9), i = {0}},
            {F {401, 131}, F {401, 200}, i = {1}}},
  narrow = {{F {33}, i = {0, 5}, shape = {7}}, {F {5, 31}, i = {1, 0}, shape = {5, 31}},
            {F {5, 31}, i = {1, 30}, shape = {5, 1}}, {F {5, 31}, i = {0, 2}, shape = {0, 31}},
            {F {2, 3, 4, 5}, i = {2, 1}, shape = {2, 3, 2, 5}},
            {I({9}, 50), i = {0, 3}, shape = {4}},
            {F {401, 400}, i = {1, 33}, shape = {401, 331}}},
  pad = {{F {7}, i = {0, 5}, shape = {33}}, {F {5, 31}, i = {1, 0}, shape = {5, 31}},
         {F {5, 1}, i = {1, 30}, shape = {5, 31}}, {F {0, 31}, i = {0, 2}, shape = {5, 31}},
         {F {2, 3, 2, 5}, i = {2, 1}, shape = {2, 3, 4, 5}},
         {F {401, 300}, i = {1, 31}, shape = LARGE},
         {F {7}, F {33}, i = {0, 5}, shape = {33}},
         {F {5, 1}, F {5, 31}, i = {1, 30}, shape = {5, 31}},
         {F {2, 3, 2, 5}, F {2, 3, 4, 5}, i = {2, 1}, shape = {2, 3, 4, 5}},
         {F {0, 31}, F {5, 31}, i = {0, 2}, shape = {5, 31}},
         {F {401, 300}, F(LARGE), i = {1, 31}, shape = LARGE}},
  reshape = {{F {6}, shape = {2, 3}}, {F {1}, shape = {}}, {F {}, shape = {1, 1}},
             {F {0, 3}, shape = {5, 0}}, {I({4}, 9), shape = {2, 2}},
             {F(LARGE), shape = {331, 401}}},
  transpose = {{F {1, 1}}, {F {0, 3}}, {F {31, 33}}, {F {32, 1}}, {I({3, 5}, 9)}, {F(LARGE)}},
  gather = {{F {5, 3}, I({0}, 5)}, {F {0, 3}, I({0}, 1)}, {F {5, 31}, I({}, 5)},
            {F {5, 33}, I({31}, 5)}, {F {5, 2}, I({2, 3, 4}, 5)}, {F {31}, I({33}, 31)},
            {F {5, 0}, I({3}, 5)}, {F {9, 8}, I({12}, 9)}, {F {9, 64}, I({12}, 9)},
            {I({9}, 99), I({4, 2}, 9)}, {F {501, 33}, I({4001}, 501)}},
  scatter_add = scatters(),
  take = {{F {1, 1}, I({1, 1}, 1)}, {F {31, 33}, I({31, 2}, 33)}, {F {0, 3}, I({0, 2}, 3)},
          {F {4, 3}, I({4, 0}, 3)}, {I({4, 3}, 99), I({4, 5}, 3)}, {F {4001, 9}, I({4001, 33}, 9)}},
  take_grad = {{F {1, 1}, I({1, 1}, 1), shape = {1, 1}},
               {F {31, 2}, I({31, 2}, 33), shape = {31, 33}},
               {F {4, 0}, I({4, 0}, 3), shape = {4, 3}},
               {F {4001, 33}, I({4001, 33}, 9), shape = {4001, 9}}},
  relation_score = neighbourhoods(function(n, k, d, m)
    return {{F {n, d}, F {m, d}, I({n, k}, m)}, {F {n, d}, F {2, d}, I({n, k}, 2)}}
  end),
  neighbor_sum = neighbourhoods(function(n, k, d, m)
    return {{F {n, k}, F {n * k, d}}, {F {n, k}, F {m, d}, I({n, k}, m)}}
  end),
  neighbor_dot = neighbourhoods(function(n, k, d, m)
    return {{F {n, d}, F {n * k, d}, i = {k}}, {F {n, d}, F {m, d}, I({n, k}, m), i = {k}}}
  end),
  neighbor_outer = neighbourhoods(function(n, k, d) return {{F {n, k}, F {n, d}}} end),
  neighbor_scatter = neighbourhoods(function(n, k, d, m)
    return {{F {n, k}, F {n, d}, I({n, k}, m), shape = {m, d}},
            {F {n, k}, F {n, d}, I({n, k}, m), F {m, d}, shape = {m, d}}}
  end),
  row_norm = joined(each(without_scalar(WIDTHS), 1, {f = {1e-12}}),
                    each({{33, 2}}, 1, {f = {1.5}}), each({{33, 5}}, 1, {f = {0.5}, i = {1}})),
  normalize = joined(each(without_scalar(WIDTHS), 1, {f = {1e-12}}),
                     each({{33, 2}}, 1, {f = {1.5}}), each({{33, 5}}, 1, {f = {0.5}, i = {1}})),
  normalize_grad = norm_gradients(),
  softmax = each(WIDTHS, 1, {}), softmax_grad = each(WIDTHS, 2, {}),
  log_softmax = each(WIDTHS, 1, {}), log_softmax_grad = each(WIDTHS, 2, {}),
  top_k = best_of_rows(function(n, m) return {n, m} end),
  top_k_mask = joined(best_of_rows(function(n, m) return {n, m} end),
                      {{F {70001}, i = {9001}}, {F {2, 3, 33}, i = {4}}}),
  product_logsumexp = pairs_of_rows(function(n, m, d)
    return {{F {n, d}, F {m, d}, f = {0.25}}, {F {n, d}, F {m, d}, f = {-1.5}}}
  end),
  product_logsumexp_grad = pairs_of_rows(function(n, m, d)
    return {{F {n, 1}, F {n, d}, F {m, d}, F({n, 1}, 'high'), f = {0.0625}},
            {F {n, 1}, F {n, d}, F {m, d}, F({n, 1}, 'high'), f = {0.0625}, i = {1}}}
  end),
  grouped_matmul = grouped(function(n, r, d, k)
    return {{F {n, d}, F {r, d, k}, I({n}, r)}, {F {n, d}, F {r, k, d}, I({n}, r), i = {1}}}
  end),
  grouped_outer = grouped(function(n, r, d, k)
    return {{F {n, d}, F {n, k}, I({n}, r), shape = {r, d, k}}}
  end),
  aggregate = on_graphs(function(G, d, v)
    return {{G, F {v.m, d}}, {G, F {v.m, d}, F {v.e}}}
  end),
  aggregate_rows = on_graphs(function(G, d, v, _, b)
    return {{G, F {v.m, d}, I({b}, v.n)}, {G, F {v.m, d}, I({b}, v.n), F {v.e}}}
  end),
  aggregate_indexed = on_graphs(function(G, d, v)
    return {{G, F {9, d}, rows_by_tail(v.m, 9)}, {G, F {9, d}, rows_by_tail(v.m, 9), F {v.e}}}
  end),
  aggregate_where = on_graphs(function(G, d, v)
    return {{G, F {v.m, d}, rows_by_tail(v.n, 9)}, {G, F {v.m, d}, rows_by_tail(v.n, 9), F {v.e}}}
  end),
  neighborhood = on_graphs(function(G, _, v, _, b)
    return {{G, I({b}, v.n)}, {G, I({b}, v.n), F({v.e}, 'dropped')}}
  end),
  merge_index = {
    {rows_by_tail(40, 9), rows_by_tail(17, 5)}, {rows_by_tail(9, 9), GIVEN {}},
    {rows_by_tail(70001, 9), rows_by_tail(70001, 7)}, {GIVEN {-1, 2, -1}, GIVEN {5, -1, -1}},
  },
  edge_where = on_graphs(function(G, _, v) return {{G, F {v.e}, rows_by_tail(v.n, 9)}} end),
  aggregate_mul = on_relations(function(G, d, v, k)
    return {{G, F {v.m, d}, F {k, d}}, {G, F {v.m, d}, F {k, d}, F {v.e}}}
  end),
  aggregate_mul_rows = on_relations(function(G, d, v, k, b)
    return {{G, F {v.m, d}, F {k, d}, I({b}, v.n)}, {G, F {v.m, d}, F {k, d}, I({b}, v.n), F {v.e}}}
  end),
  aggregate_mul_indexed = on_relations(function(G, d, v, k)
    return {{G, F {9, d}, F {k, d}, rows_by_tail(v.m, 9)},
            {G, F {9, d}, F {k, d}, rows_by_tail(v.m, 9), F {v.e}}}
  end),
  sddmm = joined(
    on_graphs(function(G, d, v) return {{G, F {v.n, d}, F {v.m, d}}} end),
    on_relations(function(G, d, v, k) return {{G, F {v.n, d}, F {v.m, d}, F {k, d}}} end)),
  aggregate_relation = on_relations(function(G, d, v, k)
    return {{G, F {v.n, d}, F {v.m, d}, shape = {k, d}},
            {G, F {v.n, d}, F {v.m, d}, F {v.e}, shape = {k, d}}}
  end),
  aggregate_relation_rows = on_relations(function(G, d, v, k, b)
    return {{G, F {b, d}, F {v.m, d}, I({b}, v.n), shape = {k, d}},
            {G, F {b, d}, F {v.m, d}, I({b}, v.n), F {v.e}, shape = {k, d}}}
  end),
  edge_softmax = on_graphs(function(G, _, v) return {{G, F {v.e}}} end),
  edge_softmax_grad = on_graphs(function(G, _, v) return {{G, F {v.e}, F {v.e}}} end),
  parallel_sum = on_graphs(function(G, _, v)
    return {{G, F {v.e}, f = {0}}, {G, F {v.e}, f = {-1}}}
  end),
  sddmm_relation = on_relations(function(G, d, v, _, _, way)
    if way == 1 or v.e == 0 then return {} end
    local heads, list = {}, {}
    for head = 0, v.n - 1 do
      if head % 4 ~= 1 then heads[#heads + 1] = head end
    end
    for _, e in ipairs {0, math.floor(v.e / 2), v.e - 1} do
      list[#list + 1] = {G, F {#heads, d}, F {v.m, d}, GIVEN(heads), F {v.e},
                         f = {G.given.graph.relations[e]}}
    end
    list[#list + 1] = {G, F {0, d}, F {v.m, d}, GIVEN {}, F {v.e}, f = {0}}
    return list
  end),
  triples = on_graphs(function(G, _, v, _, _, way)
    return way == 0 and {{G}, {G, I({v.e > 0 and 33 or 0}, v.e)}} or {}
  end),
  aggregate_argmax = on_graphs(function(G, d, v) return {{G, F {v.m, d}}} end),
  aggregate_max = on_graphs(function(G, d, v) return {{G, F {v.m, d}, picks_of(v, d)}} end),
  aggregate_max_grad = on_graphs(function(G, d, v)
    local one_way = math.floor(G.given.graph.layout / graphs.ONE_WAY) % 2 == 1
    return one_way and {} or {{G, F {v.n, d}, picks_of(v, d)}}
  end),
  inverse_index = {{I({0}, 1), shape = {0}}, {I({0}, 1), shape = {5}}, {I({9}, 5), shape = {5}},
           {I({31}, 4000), shape = {4000}}},
  first_index = {{I({0}, 1), i = {0}}, {I({1}, 1), i = {1}}, {I({9}, 5), i = {5}},
                 {I({4001}, 700), i = {700}}, {I({31}, 4000), i = {4000}}},
  lookup = {{GIVEN {0}, GIVEN {}, GIVEN {}, I({0, 3}, 1), F {0}, f = {0}},
            {GIVEN {0, 0, 3, 4}, GIVEN {1, 3, 8, 0}, I({31}, 3), I({31, 5}, 10), F {4},
             f = {-1.5}},
            {GIVEN {0, 4}, GIVEN {0, 1, 2, 3}, I({4001}, 1), I({4001, 9}, 6), F {4}, f = {0.5}}},
}
