--- Ops over the edges of a graph and over the rows of a matrix, compared with copying a matrix with
--- one row per node and with multiplying it by a square one.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local bench_graph = require 'tinykg.bench.graph'
local format = require 'tinykg.base.format'
local inputs = require 'tinykg.bench.inputs'
local measure = require 'tinykg.bench.measure'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local tk = require 'tinykg'

local COLUMNS = {{'op', 'op'}, {'min_ms', 'min ms', '%.3f'}, {'median_ms', 'median', '%.3f'},
  {'x_copy', 'x copy', '%.2f'}, {'x_matmul', 'x matmul', '%.2f'}, {'gflops', 'GFLOP/s', '%.1f'}}
local DIM = 64

--- A case that runs fn forward only and reads one number of the result; `flop` of a product.
local function forward(op, fn, flop)
  return {op = op, flop = flop, run = function()
    tk.no_grad(function() return fn():narrow(1, 1, 1) end)
  end}
end

--- A case that copies on the device and reads the last number.
local function copying(x, y)
  local number, last = ffi.new('float[1]'), x:count() - 1
  return {op = 'copy', run = function()
    runtime.check(C.tkg_tensor_copy(y.kept, x.kept))
    runtime.check(C.tkg_tensor_read(y.kept, number, last, 1))
  end}
end

--- Ops on the rows of matrices; the first two are the references of the ratios.
local function dense(n)
  local x, y = tk.randn(n, DIM):keep(), tk.randn(n, DIM):keep()
  local w, ids = tk.randn(DIM, DIM):keep(), ffi.new('int32_t[?]', n)
  for i = 0, n - 1 do ids[i] = i * 7919 % n end
  local rows, flop = tk.ids(ids, n), 2 * n * DIM * DIM
  return {
    copying(x, tk.zeros(n, DIM)),
    forward('matmul, 64 x 64', function() return x:matmul(w) end, flop),
    forward('matmul, weight gradient', function()
      return x:matmul(y, {transpose_a = true})
    end, flop),
    forward('add', function() return x + y end),
    forward('normalize', function() return x:normalize() end),
    forward('softmax', function() return x:softmax() end),
    forward('gather', function() return x:gather(rows) end),
  }, x, y
end

--- Ops on edges, including those of backward.
local function sparse(g, cases, x, y)
  local r, w = tk.randn(g.kinds, DIM):keep(), tk.randn(g.e):keep()
  local count = math.min(3072, math.floor(g.n / 4))
  local few, rows, row_of, found = tk.randn(count, DIM):keep(), bench_graph.some(g, count)
  local function add(what, shape, ...)
    local name, backward, given = what:match('^[%w_]+'), what:find('backward'), {...}
    cases[#cases + 1] = forward(what, function()
      local a = bench_graph.attributes(g, backward)
      if shape then tensor.set_shape(shape) end
      return tensor.record(name, a, g.packed, unpack(given))
    end)
  end
  add('aggregate', nil, x)
  add('aggregate, weights', nil, x, w)
  add('aggregate, backward', nil, x, w)
  add('aggregate_rows', nil, x, rows, w)
  add('aggregate_indexed, backward', nil, few, row_of, w)
  add('aggregate_mul', nil, x, r, w)
  add('aggregate_mul, backward', nil, x, r, w)
  add('aggregate_mul_rows', nil, x, r, rows, w)
  add('aggregate_mul_indexed, backward', nil, few, r, row_of, w)
  add('sddmm', nil, x, y)
  add('sddmm, relations', nil, x, y, r)
  add('aggregate_relation', {g.kinds, DIM}, x, y, w)
  add('edge_softmax', nil, w)
  add('edge_softmax, backward', nil, w)
  add('aggregate_argmax', nil, x)
  return count, found
end

--- Sums over edges of values that are encoded, and then decoded or read from the codes.
local function coded(g, cases, x)
  local w = tk.randn(g.e):keep()
  for _, bits in ipairs{8, 4, 2, 1} do
    local function record(op, input)
      local a = tensor.attribute()
      a.i[0] = bits
      return tensor.record(op, a, input)
    end
    local function add(how, values)
      cases[#cases + 1] = forward(('encode (%d), %s, aggregate'):format(bits, how), function()
        local v = values()
        return tensor.record('aggregate', bench_graph.attributes(g), g.packed, v, w)
      end)
    end
    add('decode', function() return record('decode', record('encode', x)) end)
    add('read codes', function() return record('encode', x) end)
  end
end

---@param o table {data, quick, seconds, folder}
---@param out tinykg.BenchOutput
return function(o, out)
  out:doing('ops')
  local g = bench_graph.new(o.data and inputs.data(o), o.quick)
  local cases, x, y = dense(g.n)
  local count, found = sparse(g, cases, x, y)
  coded(g, cases, x)
  measure.turns(cases, {seconds = o.seconds})
  local records, copy, matmul = {}, cases[1].min, cases[2].min
  for k, case in ipairs(cases) do
    records[k] = {op = case.op, min_ms = case.min, median_ms = case.median,
      x_copy = case.min / copy, x_matmul = case.min / matmul,
      gflops = case.flop and case.flop / case.min / 1e6, nodes = g.n, edges = g.e,
      relations = g.kinds, columns = DIM}
  end
  out:heading('ops, %d x %d floats; %s, %s; _rows, _indexed: %s with %s; x: by minima', g.n, DIM,
    format.count(g.e, 'edge'), format.count(g.kinds, 'relation'), format.count(count, 'node'),
    format.count(found, 'edge'))
  out:table('ops', COLUMNS, records)
end
