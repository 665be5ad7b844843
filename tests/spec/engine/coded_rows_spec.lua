-- Ops that read rows of packed codes: the same bits as if the codes were decoded first, for every
-- width, rounding and instruction set, with and without signs, and whatever the number of threads.
local ffi = require 'ffi'
local tensor = require 'tinykg.engine.tensor'
local graphs = require 'tests.support.graphs'
local tensors = require 'tests.support.tensors'
local reference = require 'tests.support.reference_ops'

local few = os.getenv 'TINYKG_CHECK' or os.getenv 'TINYKG_DEVICE' == 'emu'
local random = reference.random(31)
local noise, bytes = reference.noise(random), tensors.bytes
local to_tensor, with_threads = tensors.of, tensors.with_threads

local engine = ffi.load(os.getenv 'TINYKG_LIB' or './build/libtinykg.so')

local DITHER, STOCHASTIC, NEAREST, INDEPENDENT = 0, 1, 2, 3
local N, M, KINDS, ROWS = 40, 50, 4, 30

local function op(name, a, inputs)
  local list = {}
  for k, x in ipairs(inputs) do list[k] = tensor.is(x) and x or to_tensor(x) end
  return tensors.record(name, a, list)
end

--- Values of which a third is zero, as behind a ReLU, with a row of zeros and one with a NaN.
local function positive(shape)
  local x = noise(shape)
  for i = 1, #x do x[i] = math.max(x[i] * 3 + 1, 0) end
  for c = 1, shape[2] do x[c] = 0 end
  x[2 * shape[2] + 1] = 0 / 0
  return x
end

local edges = graphs.random(random, N, M, 300, KINDS)
local packed = graphs.pack(N, M, edges, graphs.RELATIONS)
local e = packed.graph.n

--- Ops that read rows of x, [M,d] or [N,d], as inputs() and attributes of each. `apart`: noise
--- may be drawn per element, as ids list the rows or all are decoded in turn.
local function readers(d)
  local w, r, ids = noise {e}, noise {KINDS, d}, {ids = true, shape = {ROWS}}
  for i = 1, ROWS do ids[i] = math.floor(random() * N) end
  local half = noise {e} -- many edges are left out
  for i = 1, e, 2 do half[i] = 0 end
  local a, b = noise {N, d}, noise {M, d}
  local at, back = packed.graph.layout, packed.graph.layout + graphs.BACKWARD
  local function graph_op(name, rows, way, shape, inputs)
    return {name = name, rows = rows, a = {i = {N, M, e, way}, shape = shape}, inputs = inputs,
            apart = name:find '_rows' ~= nil or name == 'aggregate_relation'}
  end
  local vectors, few_rows = {KINDS, d}, noise {ROWS, d}
  return {
    graph_op('aggregate', M, at, nil, function(x) return {packed, x} end),
    graph_op('aggregate', M, at, nil, function(x) return {packed, x, w} end),
    graph_op('aggregate', N, back, nil, function(x) return {packed, x, w} end),
    graph_op('aggregate_mul', M, at, nil, function(x) return {packed, x, r} end),
    graph_op('aggregate_mul', N, back, nil, function(x) return {packed, x, r, w} end),
    graph_op('aggregate_rows', M, at, nil, function(x) return {packed, x, ids, w} end),
    graph_op('aggregate_mul_rows', M, at, nil, function(x) return {packed, x, r, ids} end),
    graph_op('sddmm', M, at, nil, function(x) return {packed, a, x} end),
    graph_op('sddmm', N, at, nil, function(x) return {packed, x, b, r} end),
    graph_op('aggregate_relation', N, at, vectors, function(x) return {packed, x, b} end),
    graph_op('aggregate_relation', M, at, vectors, function(x) return {packed, a, x, w} end),
    graph_op('aggregate_relation', M, at, vectors, function(x) return {packed, a, x, half} end),
    graph_op('aggregate_relation', N, back, vectors, function(x) return {packed, b, x} end),
    graph_op('aggregate_relation_rows', M, at, vectors,
             function(x) return {packed, few_rows, x, ids, w} end),
    {name = 'gather', rows = N, a = {}, apart = true, inputs = function(x) return {x, ids} end},
  }
end

local function check(reader, d, codec)
  local x = to_tensor(positive {reader.rows, d})
  local function codes() return op('encode', {i = codec}, {x}) end
  local want = bytes(op(reader.name, reader.a,
                        reader.inputs(op('decode', {i = codec}, {codes()}))))
  with_threads(function()
    local got = op(reader.name, reader.a, reader.inputs(codes()))
    assert(bytes(got) == want, ('%s, %d columns, %d bits, rounding %d, signs %d'):format(
      reader.name, d, codec[1], codec[2], codec[4]))
    return got
  end)
end

local function check_all(d)
  for _, reader in ipairs(readers(d)) do
    for _, bits in ipairs {8, 4, 2, 1} do
      for rounding = DITHER, reader.apart and INDEPENDENT or NEAREST do
        for signs = 0, 1 do check(reader, d, {bits, rounding, 7, signs}) end
      end
    end
  end
end

describe('an op that reads codes gives what it gives for the decoded values', function()
  for _, d in ipairs(few and {17} or {1, 8, 16, 31, 64, 130}) do
    it(d .. ' columns', function()
      for _, isa in ipairs(few and {'best'} or {'sse2', 'avx2', 'avx512', 'neon'}) do
        if few or engine.tkg_set_isa(isa) == 0 then check_all(d) end
      end
      engine.tkg_set_isa(nil)
    end)
  end
end)

describe('codes that may not be read', function()
  local function refuses(codec, cols, reader)
    local codes = op('encode', {i = codec}, {noise {N, cols}})
    local ok, message = pcall(op, reader.name, reader.a, reader.inputs(codes))
    assert.is_false(ok)
    assert.matches(reader.name .. ': input %d is codes %[40, ' .. cols .. '%], expected f32 values',
                   message)
  end

  it('have noise per element and are read at random, or too many columns', function()
    local list = readers(8)
    for _, reader in ipairs(list) do
      if reader.rows == N and not reader.apart then refuses({2, INDEPENDENT, 7, 0}, 8, reader) end
    end
    refuses({2, STOCHASTIC, 7, 0}, 2049, list[#list])
  end)
end)
