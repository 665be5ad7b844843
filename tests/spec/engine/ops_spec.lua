-- Every op of the table: values against a double-precision reference, gradients against finite
-- differences of that reference, each with every instruction set of the machine, in memory full of
-- NaN, and bit by bit the same with 1, 2 and 4 threads. An op without a case fails the last test.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local graphs = require 'tests.support.graphs'
local reference = require 'tests.support.reference_ops'
local engine = require 'tests.support.tensors'

ffi.cdef 'int tkg_set_isa(const char *name);'

local to_tensor, flat, bytes_of = engine.of, engine.flat, engine.bytes
local checked = os.getenv 'TINYKG_CHECK' -- under a checker: the small cases only
local LARGE = {401, 331} -- enough work for four threads

-- ---- what a case is: inputs in order; f, i, shape as attributes ----

--- Floats: 'plain' in (-2, 2), 'apart' the same but .25 from 0, 'positive' in (.25, 2.25). All are
--- odd multiples of 2^-11, so none is nearer than that to a kink at 0 or at a clamp's bound.
local function F(shape, kind) return {shape = shape, kind = kind or 'plain'} end
--- Ids in 0..rows-1.
local function I(shape, rows) return {shape = shape, rows = rows} end
--- Ids that are given: an array, a list, or a packed graph.
local function GIVEN(list) return {shape = list.shape or {#list}, given = list} end

local KINDS = {
  plain = function(x) return x end,
  positive = function(x) return math.abs(x) + 0.25 end,
  apart = function(x) return x < 0 and x - 0.25 or x + 0.25 end,
}

local function generate(case, random)
  local inputs = {}
  for k, spec in ipairs(case) do
    inputs[k] = reference.array(spec.shape, function(i)
      if spec.given then return spec.given[i] end
      if spec.rows then return math.floor(random() * spec.rows) end
      return KINDS[spec.kind]((2 * math.floor(random() * 4096) + 1) / 2048 - 2)
    end)
    inputs[k].ids, inputs[k].graph = not spec.kind, spec.given and spec.given.graph
  end
  return inputs
end

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

--- Neighbourhoods of n rows, k neighbours, d columns, m rows to choose from.
local SIZES = {{0, 3, 4, 2}, {1, 1, 1, 1}, {5, 4, 31, 7}, {7, 8, 32, 5}, {3, 2, 33, 9},
               {4, 3, 131, 6}, {6, 5, 0, 4}, {801, 8, 32, 501}}

local function neighbourhoods(make)
  local list = {}
  for _, s in ipairs(SIZES) do
    for _, case in ipairs(make(unpack(s))) do list[#list + 1] = case end
  end
  return list
end

local function scatters()
  local list = {{F {7}, I({7}, 4), shape = {4}}, {F {3, 0}, I({3}, 4), shape = {4, 0}},
                {F {2, 3, 5}, I({2, 3}, 4), shape = {4, 5}},
                {F {4001, 33}, I({4001}, 501), shape = {501, 33}}}
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
  add(5, 5, graphs.random(random, 5, 5, 20), ONE, 0, 1, 2)
  add(11, 11, graphs.both_ways(graphs.random(random, 11, 11, 23, 4), 11), R, 61, 4, 1)
  add(6, 6, graphs.both_ways(graphs.random(random, 6, 6, 9), 6), 0, 127, 1, 6)
  add(151, 131, graphs.random(random, 151, 131, 3000, 7), R, 35, 7, 301) -- a hub with 1,000 edges
  add(90, 90, graphs.both_ways(graphs.random(random, 90, 90, 2000, 40), 90), R, 36, 40, 201)
  return list
end)()

--- make(G, flags, d, {n, m, e}, relations or nil, rows) -> cases, for each graph and each way.
local function on_graphs(make)
  local list = {}
  for _, entry in ipairs(GRAPHS) do
    local packed, d, relations, rows = unpack(entry)
    local g = packed.graph
    local function has(flag) return math.floor(g.layout / flag) % 2 == 1 end
    for way = 0, has(graphs.ONE_WAY) and 0 or 1 do
      local v = graphs.view(g, way)
      for _, case in ipairs(make(GIVEN(packed), d, v, has(graphs.RELATIONS) and relations, rows)) do
        case.i = {g.nodes, g.tail_nodes, g.n, g.layout + way}
        list[#list + 1] = case
      end
    end
  end
  return list
end

--- The same, of graphs with relations.
local function on_relations(make)
  return on_graphs(function(G, d, v, relations, rows)
    return relations and make(G, d, v, relations, rows) or {}
  end)
end

--- A slot for about one id in three: places in a matrix of b rows.
local function slots_of(m, b)
  local slots = {}
  for t = 1, m do slots[t] = t * 7 % 3 == 0 and t * 5 % b or -1 end
  return GIVEN(slots)
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
                {9, 2, 4, 0}, {2100, 9, 16, 17}, {3000, 70000, 1, 2}}

local function grouped(make)
  local list = {}
  for _, s in ipairs(GROUPS) do
    for _, case in ipairs(make(unpack(s))) do list[#list + 1] = case end
  end
  return list
end

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

local CASES = {
  full = {{f = {2.5}, shape = {}}, {f = {-1}, shape = {0}}, {f = {3}, shape = {31, 33}},
          {f = {0.1}, shape = LARGE}},
  affine = joined(each(SHAPES, 1, {f = {-1.5, 0.25}}), each({{5}}, 1, {f = {1, 0}})),
  add = broadcasting(), sub = broadcasting(), mul = broadcasting(), div = broadcasting 'apart',
  leaky_relu = joined(each(SHAPES, 1, {f = {0.01}}), each({{33}}, 1, {f = {0}}),
                      each({{33}}, 1, {f = {-1}})),
  leaky_relu_grad = each(SHAPES, 2, {f = {0.25}}),
  sigmoid = each(SHAPES, 1, {}), sigmoid_grad = each(SHAPES, 2, {}),
  tanh = each(SHAPES, 1, {}), tanh_grad = each(SHAPES, 2, {}),
  softplus = each(SHAPES, 1, {}), exp = each(SHAPES, 1, {}),
  log = each(SHAPES, 1, {}, 'positive'), sqrt = each(SHAPES, 1, {}, 'positive'),
  square = each(SHAPES, 1, {}),
  clamp = each(SHAPES, 1, {f = {-0.5, 1}}), clamp_grad = each(SHAPES, 2, {f = {-0.5, 1}}),
  sum = sums(),
  broadcast = {{F {}, shape = {}}, {F {}, shape = {2, 3}}, {F {1}, shape = {0}},
               {F {5}, shape = {3, 5}}, {F {31, 1}, shape = {31, 33}},
               {F {2, 1, 4, 1}, shape = {2, 3, 4, 5}}, {F {331}, shape = LARGE},
               {F {401, 1}, shape = LARGE}},
  argmax = each({{1}, {31}, {0, 3}, {33, 31}, {2, 3, 4, 5}, LARGE}, 1, {}),
  dot = each({{1}, {0}, {3, 0}, {0, 3}, {31, 33}, {32, 32}, {2, 3, 4, 5}, LARGE}, 2, {}),
  matmul = products(),
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
         {F {401, 300}, i = {1, 31}, shape = LARGE}},
  reshape = {{F {6}, shape = {2, 3}}, {F {1}, shape = {}}, {F {}, shape = {1, 1}},
             {F {0, 3}, shape = {5, 0}}, {I({4}, 9), shape = {2, 2}},
             {F(LARGE), shape = {331, 401}}},
  transpose = {{F {1, 1}}, {F {0, 3}}, {F {31, 33}}, {F {32, 1}}, {I({3, 5}, 9)}, {F(LARGE)}},
  gather = {{F {5, 3}, I({0}, 5)}, {F {0, 3}, I({0}, 1)}, {F {5, 31}, I({}, 5)},
            {F {5, 33}, I({31}, 5)}, {F {5, 2}, I({2, 3, 4}, 5)}, {F {31}, I({33}, 31)},
            {F {5, 0}, I({3}, 5)}, {I({9}, 99), I({4, 2}, 9)}, {F {501, 33}, I({4001}, 501)}},
  scatter_add = scatters(),
  take = {{F {1, 1}, I({1, 1}, 1)}, {F {31, 33}, I({31, 2}, 33)}, {F {0, 3}, I({0, 2}, 3)},
          {F {4, 3}, I({4, 0}, 3)}, {I({4, 3}, 99), I({4, 5}, 3)}, {F {4001, 9}, I({4001, 33}, 9)}},
  take_grad = {{F {1, 1}, I({1, 1}, 1), shape = {1, 1}},
               {F {31, 2}, I({31, 2}, 33), shape = {31, 33}},
               {F {4, 0}, I({4, 0}, 3), shape = {4, 3}},
               {F {4001, 33}, I({4001, 33}, 9), shape = {4001, 9}}},
  edge_dot = neighbourhoods(function(n, k, d, m)
    return {{F {n, d}, F {m, d}, I({n, k}, m)}, {F {n, d}, F {2, d}, I({n, k}, 2)}}
  end),
  mix = neighbourhoods(function(n, k, d, m)
    return {{F {n, k}, F {n * k, d}}, {F {n, k}, F {m, d}, I({n, k}, m)}}
  end),
  mix_dot = neighbourhoods(function(n, k, d, m)
    return {{F {n, d}, F {n * k, d}, i = {k}}, {F {n, d}, F {m, d}, I({n, k}, m), i = {k}}}
  end),
  mix_outer = neighbourhoods(function(n, k, d) return {{F {n, k}, F {n, d}}} end),
  mix_scatter = neighbourhoods(function(n, k, d, m)
    return {{F {n, k}, F {n, d}, I({n, k}, m), shape = {m, d}},
            {F {n, k}, F {n, d}, I({n, k}, m), F {m, d}, shape = {m, d}}}
  end),
  row_norm = joined(each(without_scalar(WIDTHS), 1, {f = {1e-12}}),
                    each({{33, 2}}, 1, {f = {1.5}})),
  normalize = joined(each(without_scalar(WIDTHS), 1, {f = {1e-12}}),
                     each({{33, 2}}, 1, {f = {1.5}})),
  normalize_grad = norm_gradients(),
  softmax = each(WIDTHS, 1, {}), softmax_grad = each(WIDTHS, 2, {}),
  log_softmax = each(WIDTHS, 1, {}), log_softmax_grad = each(WIDTHS, 2, {}),
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
  aggregate_slots = on_graphs(function(G, d, v)
    return {{G, F {9, d}, slots_of(v.m, 9)}, {G, F {9, d}, slots_of(v.m, 9), F {v.e}}}
  end),
  aggregate_mul = on_relations(function(G, d, v, k)
    return {{G, F {v.m, d}, F {k, d}}, {G, F {v.m, d}, F {k, d}, F {v.e}}}
  end),
  aggregate_mul_rows = on_relations(function(G, d, v, k, b)
    return {{G, F {v.m, d}, F {k, d}, I({b}, v.n)}, {G, F {v.m, d}, F {k, d}, I({b}, v.n), F {v.e}}}
  end),
  aggregate_mul_slots = on_relations(function(G, d, v, k)
    return {{G, F {9, d}, F {k, d}, slots_of(v.m, 9)},
            {G, F {9, d}, F {k, d}, slots_of(v.m, 9), F {v.e}}}
  end),
  aggregate_dot = joined(
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
  aggregate_argmax = on_graphs(function(G, d, v) return {{G, F {v.m, d}}} end),
  aggregate_pick = on_graphs(function(G, d, v) return {{G, F {v.m, d}, picks_of(v, d)}} end),
  aggregate_pick_grad = on_graphs(function(G, d, v)
    local one_way = math.floor(G.given.graph.layout / graphs.ONE_WAY) % 2 == 1
    return one_way and {} or {{G, F {v.n, d}, picks_of(v, d)}}
  end),
  slots = {{I({0}, 1), shape = {0}}, {I({0}, 1), shape = {5}}, {I({9}, 5), shape = {5}},
           {I({31}, 4000), shape = {4000}}},
  lookup = {{GIVEN {0}, GIVEN {}, GIVEN {}, I({0, 3}, 1), F {0}, f = {0}},
            {GIVEN {0, 0, 3, 4}, GIVEN {1, 3, 8, 0}, I({31}, 3), I({31, 5}, 10), F {4},
             f = {-1.5}},
            {GIVEN {0, 4}, GIVEN {0, 1, 2, 3}, I({4001}, 1), I({4001, 9}, 6), F {4}, f = {0.5}}},
}

--- What these record has no gradient, and says so.
local NO_GRADIENT = {}
for name in ([[leaky_relu_grad sigmoid_grad tanh_grad clamp_grad mix_outer mix_scatter row_norm
               normalize_grad softmax_grad log_softmax_grad grouped_outer aggregate_slots
               aggregate_mul_slots aggregate_relation aggregate_relation_rows edge_softmax_grad
               aggregate_pick_grad lookup]]):gmatch '%S+' do
  NO_GRADIENT[name] = true
end
local NO_FLOATS = {full = true, argmax = true, aggregate_argmax = true, slots = true}

-- ---- running a case ----

local function record(op, case, tensors)
  -- its gradient is that of the row, which includes its norm
  if op == 'normalize' then
    tensors = {tensors[1], engine.record('row_norm', case, tensors)}
  end
  return engine.record(op, case, tensors)
end

local function to_array(t)
  local out = flat(t)
  out.shape = t:size()
  return out
end

local nothing = tk.full(0 / 0, 300000)

--- Fills the memory of steps with NaN, so that what an op leaves unwritten or reads too much shows.
local function poison() tk.no_grad(function() return nothing * nothing + nothing end) end

local guard = tk.full(7, 16)

--- A copy in the memory of steps, with NaN around it.
local function in_step(t)
  if t:dtype() == 'f32' then return t * 1 end
  return t:rank() == 0 and t or t:narrow(1, 1, t:size(1))
end

--- The result between two values that must stay as they are.
local function guarded(op, case, tensors)
  poison()
  local before, out, after = tk.no_grad(function()
    local left, copies = guard * 1, {}
    for k, t in ipairs(tensors) do copies[k] = in_step(t) end
    local result = record(op, case, copies)
    return left, result, guard * 1
  end)
  assert(bytes_of(before) == bytes_of(guard) and bytes_of(after) == bytes_of(guard),
         op .. ' wrote outside its result')
  return out
end

--- Gradients of sum(output * weights).
local function gradients(op, case, inputs, weights)
  poison()
  local parameters, list = {}, {}
  for k, x in ipairs(inputs) do
    parameters[k] = x.ids and to_tensor(x) or tk.parameter(to_tensor(x))
  end
  local loss = (record(op, case, parameters) * weights):sum()
  loss:backward()
  for k, p in ipairs(parameters) do list[k] = not inputs[k].ids and p.grad or false end
  return list
end

-- ---- comparing ----

local function describe_case(op, case)
  local shapes = {}
  for k, spec in ipairs(case) do shapes[k] = '[' .. table.concat(spec.shape, ',') .. ']' end
  return op .. ' ' .. table.concat(shapes, ' ') ..
    (case.i and ' i = ' .. table.concat(case.i, ',') or '')
end

--- False for NaN.
local function at_most(error, limit) return error <= limit end

local function compare(got, want, what)
  assert.same(want.shape, got.shape, what)
  local most = 0
  for i = 1, #want do most = math.max(most, math.abs(want[i])) end
  for i = 1, #want do
    if not at_most(math.abs(got[i] - want[i]), 2e-6 * (most + 1) + 1e-5 * math.abs(want[i])) then
      error(('%s: element %d is %.9g, expected %.9g'):format(what, i, got[i], want[i]), 0)
    end
  end
end

--- Directions to try: everything at once, and single elements where that is cheap.
local function directions(x, random)
  local list = {reference.array(x.shape, function() return random() - 0.5 end)}
  if #x > 2500 then return list end
  for _ = 1, math.min(#x, 8) do
    local one = reference.array(x.shape)
    one[math.floor(random() * #x) + 1] = 1
    list[#list + 1] = one
  end
  return list
end

--- For each input, pairs of a direction and the derivative along it.
local function expected_slopes(op, case, inputs, weights, random)
  local function f(changed)
    local out, sum = reference.ops[op](changed, case), 0
    for i = 1, #out do sum = sum + out[i] * weights[i] end
    return sum
  end
  local slopes = {}
  for k, x in ipairs(inputs) do
    slopes[k] = {}
    for _, direction in ipairs(x.ids and {} or directions(x, random)) do
      table.insert(slopes[k], {direction, reference.along(f, inputs, k, direction)})
    end
  end
  return slopes
end

local function compare_slopes(gradient, slopes, what)
  for _, pair in ipairs(slopes) do
    local sum, scale = 0, 1
    for i = 1, #gradient do
      local term = gradient[i] * pair[1][i]
      sum, scale = sum + term, scale + math.abs(term)
    end
    if not at_most(math.abs(sum - pair[2]), 5e-6 * scale) then
      error(('%s: slope %.9g, expected %.9g'):format(what, sum, pair[2]), 0)
    end
  end
end

-- ---- the walk ----

local isas = {}
for _, name in ipairs {'sse2', 'avx2', 'avx512', 'neon'} do
  if C.tkg_set_isa(name) == 0 then isas[#isas + 1] = name end
end
C.tkg_set_isa(nil)
if checked then isas = {isas[#isas]} end
local thread_counts = {1, 2, 4}
if tk.device() ~= 'cpu' then isas, thread_counts = {isas[#isas]}, {1, 1} end -- twice: the same bits

local function differentiable(op, inputs)
  local floats = not NO_GRADIENT[op] and not NO_FLOATS[op]
  if not floats then return false end
  local graph = inputs[1].graph
  if graph then return math.floor(graph.layout / graphs.ONE_WAY) % 2 == 0 end
  return not inputs[1].ids
end

local function check_case(op, case, seed)
  local random, what = reference.random(seed), describe_case(op, case)
  local inputs = generate(case, random)
  local want = reference.ops[op](inputs, case)
  local weights = reference.array(want.shape, function()
    return reference.f32(random() - 0.5)
  end)
  local slopes = differentiable(op, inputs) and
    expected_slopes(op, case, inputs, weights, random)
  local tensors, weight = {}, to_tensor(weights)
  for k, x in ipairs(inputs) do tensors[k] = to_tensor(x) end

  for _, isa in ipairs(isas) do
    local seen
    C.tkg_set_isa(isa)
    for _, threads in ipairs(thread_counts) do
      tk.threads(threads)
      local here = ('%s (%s, %d threads)'):format(what, isa, threads)
      local bytes = {bytes_of(guarded(op, case, tensors)), bytes_of(record(op, case, tensors))}
      assert(bytes[1] == bytes[2], here .. ': depends on where it lies')
      local grads = slopes and gradients(op, case, inputs, weight) or {}
      for _, g in ipairs(grads) do bytes[#bytes + 1] = g and bytes_of(g) or '' end
      if not seen then
        compare(to_array(record(op, case, tensors)), want, here)
        for k, g in ipairs(grads) do
          if g then
            assert.same(inputs[k].shape, g:size(), here)
            compare_slopes(to_array(g), slopes[k], here .. ', gradient ' .. k)
          end
        end
      end
      seen = seen or table.concat(bytes)
      assert(seen == table.concat(bytes), here .. ': other bits than with one thread')
    end
  end
end

describe('op', function()
  after_each(function()
    C.tkg_set_isa(nil)
    tk.threads(0)
  end)

  local names = {}
  for op in pairs(CASES) do names[#names + 1] = op end
  table.sort(names)
  for number, op in ipairs(names) do
    it(op, function()
      for k, case in ipairs(CASES[op]) do
        local large = case[1] and reference.count(case[1].shape) > 50000
        if not (checked and large) then check_case(op, case, 1000 * number + k) end
      end
    end)
  end

  it('without a gradient says so', function()
    for op in pairs(NO_GRADIENT) do
      local case = CASES[op][3]
      local inputs = generate(case, reference.random(1))
      local weights = to_tensor(reference.ops[op](inputs, case))
      local ok, message = pcall(gradients, op, case, inputs, weights)
      assert.is_false(ok, op)
      assert.truthy(message:find('backward: ' .. op .. ' has no gradient', 1, true), message)
    end
  end)

  it('has a case, or a spec that names it', function()
    local elsewhere = {
      leaf = 'ops_memory_spec', encode = 'ops_memory_spec', decode = 'ops_memory_spec',
      sign_mask = 'ops_memory_spec', dropout = 'ops_sampling_spec',
      sample_neighbors = 'ops_sampling_spec', sample_negatives = 'ops_sampling_spec',
      sample_tails = 'ops_sampling_spec',
      detach = 'ops_custom_spec', upstream = 'ops_custom_spec', custom_vjp = 'ops_custom_spec',
      sgd = 'ops_training_spec', adam = 'ops_training_spec', adagrad = 'ops_training_spec',
      adam8 = 'ops_adam8_spec',
    }
    for op = 0, C.tkg_op_count() - 1 do
      local name = ffi.string(C.tkg_op_name(op))
      local spec = elsewhere[name]
      local file = spec and io.open('tests/spec/engine/' .. spec .. '.lua')
      local text = file and file:read '*a' or ''
      if file then file:close() end
      assert.truthy(CASES[name] or text:find("it%('[^']*%f[%w_]" .. name .. '%f[^%w_]'),
                    name .. ' has no case in ops_spec.lua')
    end
  end)
end)
