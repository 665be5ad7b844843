-- Misuse of ops: one line that names this file, this line, the op and the shapes.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local graphs = require 'tests.support.graphs'

local a34, a35, v3, scalar = tk.ones(3, 4), tk.ones(3, 5), tk.ones(3), tensor.create(tensor.F32, {})
local cube, i3, i32, i33 = tk.ones(2, 3, 4), tk.ids {0, 1, 2}, tk.ids {{0, 1}, {1, 2}, {2, 0}},
  tk.ids {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}
local o32 = tk.ones(3, 2)
local empty, p34 = tk.ids {}, tk.parameter(tk.ones(3, 4))

--- Records op `name`, which the list of `with` gives integer attributes and a shape.
local function op(name, with, ...)
  local a = tensor.attribute()
  for k, v in ipairs(with) do a.i[k - 1] = v end
  if with.f then a.f[0] = with.f[1] end
  if with.shape then tensor.set_shape(with.shape) end
  return tensor.record(name, a, ...)
end

local heads, beyond, tails = tk.ids {0, 2, 3}, tk.ids {0, 9}, tk.ids {1, 0, 1}
local first = tk.ids {0}

-- Three heads, two tails, five edges: 0-0, 0-1, 2-0, 2-1, 2-1.
local EDGES = {{0, 0, 0}, {0, 1, 1}, {2, 0, 1}, {2, 1, 0}, {2, 1, 2}}
local function packed(layout)
  local graph = graphs.pack(3, 2, EDGES, layout)
  return tk.ids {unpack(graph)}, graph.graph.layout
end
local ONE_WAY = packed(graphs.ONE_WAY)
local BY_RELATION, KINDS = packed(graphs.RELATIONS)
local v5 = tk.ones(5)
local a24, picks = tk.ones(2, 4), tk.ids {{0, 1, 0, 1}, {-1, -1, 0, -1}, {2, 3, 4, 2}}

--- An error's text must begin with `what`, and contain the rest. Each function is one line, and
--- none ends in a call: a tail call has no line.
local RECORDING = {
  {function() return (a34 + a35) end, 'add: f32 [3, 4] and f32 [3, 5] do not fit'},
  {function() return (a34 - v3) end, 'sub: f32 [3, 4] and f32 [3] do not fit'},
  {function() return (a34 * i3) end, 'mul: input 2 is i32 [3], expected f32'},
  {function() return (a35 / cube) end, 'div: f32 [3, 5] and f32 [2, 3, 4] do not fit'},
  {function() return (a34 + 'x') end, 'arithmetic on a tensor and a string'},
  {function() return (a34[4]) end, '[4] of a tensor [3, 4]: 1 to 3, or -1 to -3 from the last'},
  {function() return (a34[1.5]) end, 'row: i is 1.5, expected a whole number'},
  {function() return (a34:sum()[1]) end, '[1] of a tensor []: it has no dimension'},
  {function() a34[2] = 5 end, 'a tensor has no [2] to set: write('},
  {function() return (a34 + {}) end, 'arithmetic on a tensor and a table'},
  {function() return (a34:elu(-1)) end, 'elu: scale -1 is not above 0'},
  {function() return (i3:sigmoid()) end, 'sigmoid: input 1 is i32 [3], expected f32'},
  {function() return (i3:softmax()) end, 'softmax: input 1 is i32 [3], expected f32'},
  {function() return (a34:matmul(a35)) end, 'matmul: f32 [3, 4] and f32 [3, 5] do not fit'},
  {function() return (a34:matmul(v3)) end, 'matmul: f32 [3] does not fit', 'matrix'},
  {function() return (v3:matmul(a34)) end, 'matmul: f32 [3] does not fit', 'matrix'},
  {function() return (a34:matmul(a35, {transpose_b = true})) end,
   'matmul: f32 [3, 4]', 'transpose'},
  {function() return (cube:matmul(a34, {transpose_a = true})) end, 'matmul: f32 [2, 3, 4]'},
  {function() return (cube:transpose()) end, 'transpose: f32 [2, 3, 4] does not fit', 'matrix'},
  {function() return (tk.cat({a34, a35}, 1)) end, 'concat: f32 [3, 4] and f32 [3, 5] do not fit'},
  {function() return (tk.cat({a34, a35}, 3)) end, 'concat: f32 [3, 4] does not fit', 'dimension'},
  {function() return (tk.cat({a34, i32}, 2)) end, 'concat: f32 [3, 4] and i32 [3, 2] do not fit'},
  {function() return (tk.cat {}) end, 'cat: expected a list of tensors'},
  {function() return (tk.cat {a34, 5}) end, 'cat: 2 of the list is 5, expected a tensor'},
  {function() return (a34:reshape(5, 2)) end, 'reshape: f32 [3, 4] does not fit', '[5, 2]'},
  {function() return (a34:reshape(-1, 5)) end, 'reshape: f32 [3, 4] does not fit', '[-1, 5]'},
  {function() return (a34:reshape(-3, -4)) end, 'reshape: f32 [3, 4] does not fit', '[-3, -4]'},
  {function() return (a34:reshape(-1, -1)) end, 'reshape: f32 [3, 4] does not fit', '[-1, -1]'},
  {function() return (tk.zeros(0, 3):reshape(-1, 0)) end, 'reshape: f32 [0, 3] does not fit'},
  {function() return (a34:rows(2, 4)) end, 'narrow: 2..4 is outside 1..3'},
  {function() return (a34:narrow(2, 0, 2)) end, 'narrow: 0..1 is outside 1..4'},
  {function() return (a34:narrow(2, 3, -1)) end, 'narrow:', 'negative'},
  {function() return (a34:narrow(3, 1, 1)) end, 'narrow: dimension 3 of a tensor with 2'},
  {function() return (a34:sum(3)) end, 'sum: dimension 3 of a tensor with 2'},
  {function() return (a34:mean(0)) end, 'mean: dimension 0 of a tensor with 2'},
  {function() return (cube:max(1)) end, 'max: the last dimension'},
  {function() return (tk.zeros(3, 0):max(2)) end, 'max: f32 [3, 0] has no elements'},
  {function() return (cube:min(1)) end, 'min: the last dimension'},
  {function() return (tk.zeros(3, 0):min(2)) end, 'min: f32 [3, 0] has no elements'},
  {function() return (a34:dropout(1)) end, 'dropout: 1 is not in [0, 1)'},
  {function() return (tk.dot(a34, a35)) end, 'dot: f32 [3, 4] and f32 [3, 5] do not fit'},
  {function() return (tk.dot(scalar, scalar)) end, 'dot: f32 [] does not fit', 'no rows'},
  {function() return (cube:gather(i3)) end, 'gather: f32 [2, 3, 4] does not fit'},
  {function() return (a34:gather(v3)) end, 'gather: input 2 is f32 [3], expected int32 ids'},
  {function() return (a34:gather {0, 1}) end, 'gather: ids is a table, expected a tensor'},
  {function() return (a34:take(i3)) end, 'take: f32 [3, 4] and i32 [3] do not fit'},
  {function() return (a34:scatter_add(tk.ids {0, 1}, 5)) end,
   'scatter_add: f32 [3, 4] and i32 [2]'},
  {function() return (a34:scatter_add(i3, -1)) end, 'scatter_add: f32 [-1, 4]', 'negative'},
  {function() return (tk.neighbor_sum(a34, a35)) end,
   'neighbor_sum: f32 [3, 4] and f32 [3, 5] do not fit'},
  {function() return (tk.neighbor_sum(v3, a35)) end, 'neighbor_sum: f32 [3] does not fit'},
  {function() return (tk.neighbor_sum(a34, a35:gather(i33))) end,
   'neighbor_sum: f32 [3, 4] and f32 [3, 3, 5] do not fit'},
  {function() return (tk.relation_score(a34, a35, i32)) end,
   'relation_score: f32 [3, 4] and f32 [3, 5]'},
  {function() return (tk.relation_score(a34, a34, i3)) end,
   'relation_score: f32 [3, 4] and i32 [3] do'},
  {function() return (a34:size(3)) end, 'size: dimension 3 of a tensor with 2'},
  {function() return (a34:item()) end, 'item: a tensor of 12 elements is not one number'},
  {function() return (p34:softplus():backward()) end,
   'backward: a loss is one number, not f32 [3, 4]'},
  {function() return (a34:sum():backward()) end, 'backward: the loss depends on no parameter'},
  {function() return (tk.loss.bpr(v3, a34)) end, 'loss.bpr: scores [3] and [3, 4] would not be'},
  {function() return (tk.loss.softmax(v3, i3)) end, 'loss.softmax: logits must be a matrix'},
  {function() return (tk.tensor {{1, 2}, {3}}) end, 'rows differ in length'},
  {function() return (tk.ids {0.5}) end, 'ids: 0.5 at position 1 is not an int32'},
  {function() return (tk.zeros(1, 1, 1, 1, 1)) end, '5 dimensions asked for, at most 4'},
  {function() return (tk.zeros(1.5)) end, 'zeros: argument 1 is 1.5, expected a whole number'},
  {function() return (tk.parameter(i3)) end, 'parameter: ids cannot be trained'},
  -- what only the engine records is checked as well
  {function() return (op('broadcast', {shape = {5, 3}}, a34)) end,
   'broadcast: f32 [3, 4]', '[5, 3]'},
  {function() return (op('full', {shape = {2, -3}})) end, 'full: f32 [2, -3]', 'negative'},
  {function() return (op('scatter_add', {shape = {4, 9}}, a34, i3)) end,
   'scatter_add: f32 [3, 4]', '[4, 9]'},
  {function() return (op('scatter_add', {shape = {5, 4}}, a34, i3, a34)) end,
   'scatter_add: f32 [3, 4]'},
  {function() return (op('take_grad', {shape = {2, 9}}, tk.ones(3, 2), i32)) end,
   'take_grad: f32 [3, 2]'},
  {function() return (op('neighbor_dot', {2}, v3, a34)) end,
   'neighbor_dot: f32 [3] and f32 [3, 4]'},
  {function() return (op('neighbor_dot', {2}, a34, a34)) end,
   'neighbor_dot: f32 [3, 4] and f32 [3, 4]'},
  {function() return (op('neighbor_outer', {}, cube, a34)) end, 'neighbor_outer: f32 [2, 3, 4]'},
  {function() return (op('neighbor_scatter', {shape = {7, 4}}, a34, a34, i3)) end,
   'neighbor_scatter: f32 [3, 4]'},
  {function() return (op('neighbor_scatter', {shape = {7, 9}}, tk.ones(3, 2), a34, i32)) end,
   'neighbor_scatter:'},
  {function() return (op('sum', {4}, a34)) end, 'sum: f32 [3, 4] does not fit'},
  {function() return (op('softmax_grad', {}, a34, a35)) end, 'softmax_grad: f32 [3, 4] and'},
  {function() return (op('sample_neighbors', {0}, i3, i3, i3, i3)) end, 'sample_neighbors: 0'},
  {function() return (op('sample_neighbors', {2}, i3, i3, empty, i3)) end, 'sample_neighbors: i32'},
  {function() return (op('sample_neighbors', {2}, empty, i3, i3, i3)) end, 'sample_neighbors: i32'},
  {function() return (op('sample_tails', {2, 0, 0}, i3, i3, i3, i3, i3)) end,
   'sample_tails: 2 of 0 nodes asked for'},
  {function() return (op('sample_tails', {2, 0, 5}, i3, i3, i3, i3, first)) end,
   'sample_tails: i32 [3] and i32 [1]'},
  {function() return (op('lookup', {}, heads, tails, i3, i32, a34)) end, 'lookup: i32 [3] and'},
  {function() return (op('row_norm', {}, scalar)) end, 'row_norm: f32 [] does not fit'},
  {function() return (op('normalize', {}, a34, a34)) end, 'normalize: f32 [3, 4] and f32 [3, 4]'},
  {function() return (op('dropout', {}, a34, first)) end, 'dropout: f32 [3, 4] and i32 [1]'},
  {function() return (op('grouped_matmul', {}, a34, cube, i3)) end,
   'grouped_matmul: f32 [3, 4] and f32 [2, 3, 4] do not fit'},
  {function() return (op('aggregate', {2, 2, 4}, ONE_WAY, a34)) end,
   'aggregate: i32 [9] does not fit', 'no packed graph'},
  {function() return (op('aggregate', {3, 2, 5, 9}, ONE_WAY, a34)) end,
   'aggregate: this graph was made to be gone through one way only'},
  {function() return (op('aggregate_max_grad', {3, 2, 5, 8}, ONE_WAY, a34, picks)) end,
   'aggregate_max_grad: this graph was made to be gone through one way only'},
  {function() return (op('aggregate', {3, 2, 5, 8}, ONE_WAY, a34)) end,
   'aggregate: f32 [3, 4] does not fit', 'a row for each tail'},
  {function() return (op('aggregate', {3, 2, 5, 8}, ONE_WAY, a24, v3)) end,
   'aggregate: f32 [3] does not fit', 'a weight for each edge'},
  {function() return (op('aggregate', {3, 2, 5, 8}, ONE_WAY, a24, v5, v5)) end,
   'aggregate: weights of edges that lead back are of a graph where each edge has one'},
  {function() return (op('aggregate_mul', {3, 2, 5, 8}, ONE_WAY, a24, a34)) end,
   'aggregate_mul: this graph has no relations'},
  {function() return (op('aggregate_mul', {3, 2, 5, KINDS}, BY_RELATION, a24, a24)) end,
   'aggregate_mul: 2 rows for the relations 0..2'},
  {function() return (op('sddmm', {3, 2, 5, KINDS}, BY_RELATION, a34, a24, a24)) end,
   'sddmm: 2 rows for the relations 0..2'},
  {function() return (op('aggregate_relation', {3, 2, 5, KINDS, shape = {2, 4}}, BY_RELATION, a34,
                         a24)) end, 'aggregate_relation: 2 rows for the relations 0..2'},
  {function() return (op('aggregate_relation', {3, 2, 5, 8, shape = {2, 4}}, ONE_WAY, a34,
                         a24)) end, 'aggregate_relation: this graph has no relations'},
  {function() return (op('sddmm_relation', {3, 2, 5, KINDS, f = {3}}, BY_RELATION, a34, a24, i3,
                         v5)) end, 'sddmm_relation: no edge has relation 3'},
  {function() return (op('sddmm_relation', {3, 2, 5, KINDS + 1}, BY_RELATION, a24, a34,
                         tk.ids {0, 1}, v5)) end, 'sddmm_relation: forward only'},
  {function() return (op('sddmm_relation', {3, 2, 5, 8}, ONE_WAY, a34, a24, i3, v5)) end,
   'sddmm_relation: this graph has no relations'},
  {function() return (op('sddmm_relation', {3, 2, 5, KINDS}, BY_RELATION, a24, a24, i3, v5)) end,
   'sddmm_relation: f32 [2, 4] does not fit: a row for each head is needed'},
  {function() return (op('triples', {3, 2, 5, KINDS + 1}, BY_RELATION)) end,
   'triples: forward only'},
  {function() return (op('triples', {3, 2, 5, KINDS}, BY_RELATION, i32)) end,
   'triples: i32 [3, 2] does not fit: numbers of edges are a vector'},
  {function() return (op('sample', {0, 0, 5})) end, 'sample: 0 of 5 numbers asked for'},
  {function() return (op('sample', {2, 0, 0})) end, 'sample: 2 of 0 numbers asked for'},
  {function() return (op('add', {}, a34)) end, 'add takes 2 to 2 inputs, not 1'},
}

--- Found when values are computed.
local RUNNING = {
  {function() return (a34:gather(tk.ids {1, 3}):totable()) end,
   'gather: id 3 at position 1 is outside 0..2'},
  {function() return (a34:gather(tk.ids {-1}):totable()) end, 'gather: id -1 at position 0'},
  {function() return (tk.zeros(0, 4):gather(tk.ids {0}):totable()) end, 'there are no rows'},
  {function() return (a34:take(tk.ids {{0}, {1}, {4}}):totable()) end, 'take: id 4 at position 2'},
  {function() return (a34:scatter_add(tk.ids {0, 5, 1}, 5):totable()) end, 'scatter_add: id 5'},
  {function() return (tk.relation_score(a34, tk.ones(2, 4), i32):totable()) end,
   'relation_score: id 2'},
  {function() return (tk.neighbor_sum(tk.ones(1, 3), a34:rows(1, 2):gather(i3)):totable()) end,
   'neighbor_sum: id 2'},
  {function() return (op('neighbor_dot', {2}, a34, tk.ones(2, 4), i32):totable()) end,
   'neighbor_dot: id 2'},
  {function() return (op('neighbor_scatter', {shape = {2, 4}}, o32, a34, i32):totable()) end,
   'neighbor_scatter: id 2'},
  {function() return (op('take_grad', {shape = {3, 2}}, tk.ones(3, 2), i32):totable()) end,
   'take_grad: id 2'},
  {function() return (op('sample_neighbors', {2}, heads, tails, tails, i3):totable()) end,
   'sample_neighbors: id 2'},
  {function() return (op('sample_neighbors', {2}, beyond, tails, tails, first):totable()) end,
   'sample_neighbors: row 0 is entries 0..9 of a table of 3'},
  {function() return (op('sample_negatives', {2, 0, 5}, heads, tails, i3):totable()) end,
   'sample_negatives: id 2'},
  {function() return (op('sample_negatives', {2, 0, 0}, heads, tails, tails):totable()) end,
   'sample_negatives: 0 items'},
  {function() return (op('sample_negatives', {2, 0, 9}, heads, tails, tails, v3, i3):totable()) end,
   'sample_negatives: an alias table'},
  {function() return (op('sample_tails', {2, 0, 5}, heads, tails, tails, i3, i3):totable()) end,
   'sample_tails: id 2 at position 2 is outside 0..1'},
  {function() return (op('sample_tails', {2, 0, 5, f = {2}}, heads, tails, tails, first,
                         tk.ids {2}):totable()) end,
   'sample_tails: relations: id 2 at position 0 is outside 0..1'},
  {function() return (op('sample_tails', {2, 0, 5}, beyond, tails, tails, first, first):totable())
   end, 'sample_tails: row 0 is entries 0..9 of a table of 3'},
  {function() return (op('lookup', {}, heads, tails, i3, i32, v3):totable()) end,
   'lookup: id 2 at position 2 is outside 0..1'},
  {function() return (op('lookup', {}, beyond, tails, first, tk.ids {{0}}, v3):totable()) end,
   'lookup: row 0 is entries 0..9 of a table of 3'},
  {function() return (op('dropout', {}, a34, tk.ids {0, -1, 4}):totable()) end,
   'dropout: id -1 at position 1'},
  {function() return (op('grouped_matmul', {}, a34, tk.ones(2, 4, 5), i3):totable()) end,
   'grouped_matmul: id 2 at position 2 is outside 0..1'},
  {function() return (op('grouped_outer', {shape = {2, 4, 4}}, a34, a34, i3):totable()) end,
   'grouped_outer: id 2 at position 2 is outside 0..1'},
  {function() return (op('inverse_index', {shape = {2}}, i3):totable()) end,
   'inverse_index: id 2 at position 2 is outside 0..1'},
  {function() return (op('first_index', {2}, i3):totable()) end,
   'first_index: id 2 at position 2 is outside 0..1'},
  {function() return (op('aggregate_rows', {3, 2, 5, 8}, ONE_WAY, a24, tk.ids {0, 3}):totable())
   end, 'aggregate_rows: id 3 at position 1 is outside 0..2'},
  {function() return (op('aggregate_indexed', {3, 2, 5, 8}, ONE_WAY, a34, beyond):totable()) end,
   'aggregate_indexed: id 9 at position 1 is outside 0..2'},
  {function() return (op('sddmm_relation', {3, 2, 5, KINDS}, BY_RELATION, a34, a24,
                         tk.ids {0, 1, 3}, v5):totable()) end,
   'sddmm_relation: id 3 at position 2 is outside 0..2'},
  {function() return (op('triples', {3, 2, 5, KINDS}, BY_RELATION, tk.ids {4, 5}):totable()) end,
   'triples: id 5 at position 1 is outside 0..4'},
  {function() return (op('aggregate_relation_rows', {3, 2, 5, KINDS, shape = {3, 4}}, BY_RELATION,
                         a34, a24, tk.ids {0, 1, 3}):totable()) end,
   'aggregate_relation_rows: id 3 at position 2'},
  {function() return (op('aggregate_max', {3, 2, 5, 8}, ONE_WAY, a24,
                         tk.ids {{0, 1, 0, 2}, {-1, -1, 0, -1}, {2, 3, 4, 2}}):totable()) end,
   'aggregate_max: row 0 has no edge 2'},
}

-- Ids are looked at where there is nothing to compute: no columns, no rows, no edges, no heads.
local d0, n0, none = tk.zeros(3, 0), tk.zeros(0, 4), tk.zeros(0, 0)
local bad, bads = tk.ids {0, 1, 9}, tk.ids {{0}, {1}, {9}}
local NO_EDGES, NO_HEADS = tk.ids {unpack(graphs.pack(3, 2, {}, graphs.ONE_WAY))},
  tk.ids {unpack(graphs.pack(0, 2, {}, graphs.ONE_WAY))}
local t0, z31 = tk.zeros(2, 0), tk.zeros(3, 1)

--- A function that runs op `name`, and the error's text.
local function empty_op(text, name, ...)
  local given = {...}
  return {function() return (op(name, unpack(given)):totable()) end, name .. ': ' .. text}
end

local BEYOND_2 = 'id 9 at position 2 is outside 0..2'
local BEYOND_1 = 'id 9 at position 2 is outside 0..1'
local NO_ROWS = 'id 0 at position 0, but there are no rows'
local WITHOUT_ELEMENTS = {
  empty_op(BEYOND_2, 'gather', {}, d0, bad),
  empty_op(NO_ROWS, 'gather', {}, n0, bad),
  empty_op(NO_ROWS, 'gather', {}, none, bad),
  empty_op(NO_ROWS, 'take', {}, d0, bads),
  empty_op(BEYOND_2, 'scatter_add', {shape = {3, 0}}, d0, bad),
  empty_op(NO_ROWS, 'scatter_add', {shape = {0, 4}}, a34, bad),
  empty_op(NO_ROWS, 'take_grad', {shape = {3, 0}}, z31, bads),
  empty_op(BEYOND_1, 'grouped_matmul', {}, d0, tk.zeros(2, 0, 5), bad),
  empty_op(BEYOND_1, 'grouped_matmul', {}, a34, tk.zeros(2, 4, 0), bad),
  empty_op(NO_ROWS, 'grouped_matmul', {}, a34, tk.zeros(0, 4, 5), bad),
  empty_op(BEYOND_1, 'grouped_outer', {shape = {2, 0, 4}}, d0, a34, bad),
  empty_op(NO_ROWS, 'grouped_outer', {shape = {0, 4, 4}}, a34, a34, bad),
  empty_op(NO_ROWS, 'inverse_index', {shape = {0}}, bad),
  empty_op(NO_ROWS, 'first_index', {0}, bad),
  empty_op(BEYOND_2, 'aggregate_rows', {3, 2, 5, 8}, ONE_WAY, t0, bad),
  empty_op(BEYOND_2, 'aggregate_rows', {3, 2, 0, 8}, NO_EDGES, a24, bad),
  empty_op(NO_ROWS, 'aggregate_rows', {0, 2, 0, 8}, NO_HEADS, a24, bad),
  empty_op(BEYOND_2, 'aggregate_mul_rows', {3, 2, 5, KINDS}, BY_RELATION, t0, d0, bad),
  empty_op('id 9 at position 1 is outside 0..2', 'aggregate_indexed', {3, 2, 5, 8}, ONE_WAY, d0,
           beyond),
  empty_op('id 9 at position 1, but there are no rows', 'aggregate_indexed', {3, 2, 5, 8}, ONE_WAY,
           none, tk.ids {-1, 9}),
  empty_op('id 9 at position 1, but there are no rows', 'aggregate_indexed', {3, 2, 5, 8}, ONE_WAY,
           n0, tk.ids {-1, 9}),
  empty_op('id 9 at position 1 is outside 0..2', 'aggregate_indexed', {3, 2, 0, 8}, NO_EDGES, a34,
           beyond),
  empty_op('id 9 at position 1 is outside 0..2', 'aggregate_indexed', {0, 2, 0, 8}, NO_HEADS, a34,
           beyond),
  empty_op('id 9 at position 1 is outside 0..2', 'aggregate_mul_indexed', {3, 2, 5, KINDS},
           BY_RELATION, d0, d0, beyond),
  empty_op(BEYOND_2, 'aggregate_relation_rows', {3, 2, 5, KINDS, shape = {3, 0}}, BY_RELATION, d0,
           t0, bad),
  empty_op(BEYOND_2, 'sddmm_relation', {3, 2, 5, KINDS}, BY_RELATION, d0, t0, bad, v5),
  empty_op(NO_ROWS, 'triples', {3, 2, 0, 8}, NO_EDGES, bad),
  empty_op('row 0 has no edge 0', 'aggregate_max', {3, 2, 0, 8}, NO_EDGES, tk.zeros(2, 1), bads),
  empty_op(BEYOND_1, 'relation_score', {}, d0, t0, bads),
  empty_op(NO_ROWS, 'relation_score', {}, a34, n0, bads),
  empty_op(BEYOND_1, 'neighbor_sum', {}, z31, t0, bads),
  empty_op(NO_ROWS, 'neighbor_sum', {}, z31, none, bads),
  empty_op(BEYOND_1, 'neighbor_dot', {1}, d0, t0, bads),
  empty_op(NO_ROWS, 'neighbor_dot', {1}, a34, n0, bads),
  empty_op(BEYOND_1, 'neighbor_scatter', {shape = {2, 0}}, z31, d0, bads),
  empty_op(NO_ROWS, 'neighbor_scatter', {shape = {0, 4}}, z31, a34, bads),
  empty_op(BEYOND_1, 'lookup', {}, heads, tails, bad, empty:reshape(3, 0), v3),
  empty_op(BEYOND_1, 'lookup', {}, tk.ids {0, 0, 0}, empty, bad, bads, tk.zeros(0)),
  empty_op('row 0 is entries 0..9 of a table of 3', 'lookup', {}, tk.ids {0, 9}, tails, first,
           empty:reshape(1, 0), v3),
  empty_op('id -1 at position 1', 'dropout', {}, d0, tk.ids {0, -1, 4}),
  empty_op(NO_ROWS, 'sample_neighbors', {2}, first, empty, empty, bad),
  empty_op(NO_ROWS, 'sample_negatives', {2, 0, 5}, first, empty, bad),
  empty_op(NO_ROWS, 'sample_tails', {2, 0, 5}, first, empty, empty, bad, bad),
}

local function message_of(fn)
  local ok, message = pcall(fn)
  assert(not ok, 'no error from line ' .. debug.getinfo(fn, 'S').linedefined)
  assert.equal('string', type(message))
  return message
end

describe('an error', function()
  it('when recording names the line, the op and the shapes', function()
    for _, case in ipairs(RECORDING) do
      local message = message_of(case[1])
      local line = debug.getinfo(case[1], 'S').linedefined
      local want = ('tests/spec/engine/ops_errors_spec.lua:%d: %s'):format(line, case[2])
      assert(message:sub(1, #want) == want and not message:find('\n'),
             message .. '\nexpected ' .. want)
      assert(message:find(case[3] or '', 1, true), message)
    end
  end)

  it('when running names the line that recorded, whatever the number of threads', function()
    for _, case in ipairs(RUNNING) do
      for _, threads in ipairs {1, 4} do
        tk.threads(threads)
        local message = message_of(case[1])
        local line = 'ops_errors_spec.lua:' .. debug.getinfo(case[1], 'S').linedefined .. ': '
        assert(message:find(line, 1, true) and message:find(case[2], 1, true) and
               not message:find('\n'), message .. '\nexpected ' .. line .. case[2])
      end
    end
    tk.threads(0)
  end)

  it('when running names the line of the way that the function took', function()
    local w, of = tk.parameter(tk.ones(5, 2)), nil
    local step = tk.step(function(way, ids)
      of = debug.getinfo(1, 'l').currentline
      if way == 1 then
        return w:gather(ids):square():mean()        -- of + 2
      elseif way == 2 then
        local x = w:sum()
        return w:gather(ids):mean() + x             -- of + 5
      end
      local a = tk.ones(5, 2):square():sum()
      return (w:gather(ids) * a):square():mean()    -- of + 8
    end)
    local good, wrong = tk.ids{0, 1}, tk.ids{0, 9}
    for round = 1, 2 do
      for way, line in ipairs{2, 5, 8} do
        if round == 1 then step(way, good) end
        local message = message_of(function() step(way, wrong) end)
        assert.matches(('ops_errors_spec.lua:%d: gather: id 9'):format(of + line), message, 1, true)
      end
    end
    step(3, good)
    for line in step:recorded():gmatch 'square[^\n]*' do
      assert.matches('ops_errors_spec.lua:%d+$', line)
    end
  end)

  it('comes of ids of an op that has no elements', function()
    for k, case in ipairs(WITHOUT_ELEMENTS) do
      local ok, message = pcall(case[1])
      assert(not ok and message:find(case[2], 1, true),
             ('case %d: %s\nexpected %s'):format(k, tostring(message), case[2]))
    end
  end)

  it('is the same from a large table that several threads read', function()
    local ids = {}
    for i = 1, 60000 do ids[i] = 0 end
    ids[59001], ids[31] = 7, 5
    local table_, list = tk.ones(3, 16), tk.ids(ids)
    for _, threads in ipairs {1, 2, 4} do
      tk.threads(threads)
      local message = message_of(function() return (table_:gather(list):totable()) end)
      assert.truthy(message:find('gather: id 5 at position 30 is outside 0..2', 1, true), message)
    end
    tk.threads(0)
  end)

  it('comes of nodes that a tape does not have, whoever asks', function()
    local step, tape, out = runtime.create 'step', runtime.create 'tape', ffi.new 'tkg_tensor *[2]'
    local leaf = C.tkg_tape_leaf(tape, tk.parameter(tk.ones(1):sum()).kept)
    assert.equal(0, leaf)
    for _, wrong in ipairs{-2, 1, 1000000} do
      local message = message_of(function()
        runtime.check(C.tkg_step_run(step, tape, wrong, nil, nil, 0, nil))
      end)
      assert.truthy(message:find(('the loss, %d, is no value'):format(wrong), 1, true), message)
    end
    for _, wrong in ipairs{-1, 1, 1000000} do
      local nodes = ffi.new('int32_t[2]', leaf, wrong)
      for _, loss in ipairs{-1, leaf} do
        local expected = ('step: output 2, %d, is no value of this tape'):format(wrong)
        local message = message_of(function()
          runtime.check(C.tkg_step_run(step, tape, loss, nil, nodes, 2, out))
        end)
        assert.truthy(message:find(expected, 1, true), message)
        message = message_of(function()
          runtime.check(C.tkg_step_plan(step, tape, loss, nil, nodes, 2))
        end)
        assert.truthy(message:find(expected, 1, true), message)
      end
    end
  end)

  it('leaves tape and memory usable', function()
    for _, case in ipairs(RECORDING) do pcall(case[1]) end
    for _, case in ipairs(RUNNING) do pcall(case[1]) end
    assert.same({4, 4, 4}, a34:sum(2):totable())
  end)
end)

describe('a value', function()
  it('of a step that is over says so', function()
    local kept
    local step = tk.step(function()
      kept = kept or a34 * 2
      return tk.parameter(tk.ones(3)):sum()
    end)
    step()
    step()
    local message = message_of(function() return (kept + 1) end)
    assert.truthy(message:find('belongs to a step that is over', 1, true), message)
  end)

  it('of a tensor that changed since says so', function()
    local x = tk.ones(3)
    local y = x * 2
    x:write {5, 5, 5}
    local message = message_of(function() return (y:totable()) end)
    assert.truthy(message:find('changed after the value was recorded', 1, true), message)
  end)
end)
