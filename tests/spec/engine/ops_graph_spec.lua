-- Whole graphs beyond what a case of ops_spec.lua shows: how they are packed, hubs, edges that are
-- left out, many node ids, partial sums by relation; and gradients of norms from low-bit codes.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local graphs = require 'tests.support.graphs'
local tensors = require 'tests.support.tensors'
local reference = require 'tests.support.reference_ops'

local checked = os.getenv 'TINYKG_CHECK'
local random = reference.random(29)
local flat, near = tensors.flat, tensors.near
local to_tensor, with_threads = tensors.of, tensors.with_threads
local noise = reference.noise(random)

local function op(name, a, inputs)
  local list = {}
  for k, x in ipairs(inputs) do list[k] = tensor.is(x) and x or to_tensor(x) end
  return tensors.record(name, a, list)
end

-- ---- packing ----

describe('a packed graph', function()
  --- Packs lists of ids; returns the status, the array from 0, the layout and the places.
  local function pack(n, m, heads, relations, tails, layout)
    local e = #heads
    local function ids(list) return list and ffi.new('int32_t[?]', e + 1, list) end
    local packed = ffi.new('int32_t[?]', tonumber(C.tkg_graph_length(n, m, e, layout)))
    local found, place = ffi.new('int64_t[1]'), ffi.new('int32_t[?]', e + 1)
    local status = C.tkg_graph_pack(n, m, e, ids(heads), ids(relations), ids(tails), layout,
                                    packed, found, place)
    return status, packed, tonumber(found[0]), place
  end

  local function part(packed, first, count)
    local list = {}
    for i = 0, count - 1 do list[i + 1] = packed[first + i] end
    return list
  end

  local function relations_at(packed, first, count, type)
    return part(ffi.cast(type .. ' *', packed + first), 0, count)
  end

  it('has the edges by head, then by tail, and the places between', function()
    -- edges 0..4: 2-1, 0-1, 2-0, 2-1 (again), 0-0 of 3 heads and 2 tails
    local status, packed, layout, place =
      pack(3, 2, {2, 0, 2, 2, 0}, {5, 6, 7, 8, 9}, {1, 1, 0, 1, 0}, graphs.RELATIONS)
    assert.same({0, graphs.RELATIONS + 10 * graphs.KINDS}, {status, layout})
    assert.same({0, 2, 2, 5}, part(packed, 0, 4)) -- offsets
    assert.same({0, 1, 0, 1, 1}, part(packed, 4, 5)) -- tails
    assert.same({9, 6, 7, 5, 8}, relations_at(packed, 9, 5, 'uint8_t')) -- in two elements
    assert.same({0, 2, 1, 3, 4}, part(packed, 11, 5)) -- the other way: order
    assert.same({0, 2, 5}, part(packed, 16, 3)) -- offsets
    assert.same({0, 2, 0, 2, 2}, part(packed, 19, 5)) -- heads
    assert.same({3, 1, 2, 4, 0}, part(place, 0, 5))
    assert.equal(24, tonumber(C.tkg_graph_length(3, 2, 5, layout)))
    assert.equal(27, tonumber(C.tkg_graph_length(3, 2, 5, graphs.RELATIONS))) -- room for any
  end)

  it('has relation ids of as many bytes as the largest needs', function()
    for top, width in pairs {[0] = 1, [255] = 1, [256] = 2, [65535] = 2, [65536] = 4,
                             [2 ^ 31 - 1] = 4} do
      local status, packed, layout =
        pack(2, 2, {1, 0, 0}, {top, 0, 7}, {0, 0, 1}, graphs.RELATIONS + graphs.ONE_WAY)
      assert.equal(0, status)
      top = math.max(top, 7)
      assert.equal(graphs.RELATIONS + graphs.ONE_WAY + (top + 1) * graphs.KINDS, layout)
      local type = ({'uint8_t', 'uint16_t', nil, 'int32_t'})[width]
      assert.same({0, 7, top == 7 and 0 or top}, relations_at(packed, 6, 3, type))
      assert.equal(6 + ({1, 2, nil, 3})[width], tonumber(C.tkg_graph_length(2, 2, 3, layout)))
    end
  end)

  it('stores the ends once where both ways are alike', function()
    local heads, tails = {0, 1, 1, 2, 2}, {1, 0, 2, 1, 2}
    local status, packed, layout = pack(3, 3, heads, {3, 4, 5, 6, 7}, tails, graphs.RELATIONS)
    assert.same({0, graphs.RELATIONS + graphs.SYMMETRIC + 8 * graphs.KINDS}, {status, layout})
    assert.same({0, 1, 3, 5}, part(packed, 0, 4))
    assert.same({1, 0, 2, 1, 2}, part(packed, 4, 5))
    assert.same({3, 4, 5, 6, 7}, relations_at(packed, 9, 5, 'uint8_t'))
    assert.same({1, 0, 3, 2, 4}, part(packed, 11, 5)) -- numbers of the edges that lead back
    assert.equal(16, tonumber(C.tkg_graph_length(3, 3, 5, layout)))
    assert.equal(graphs.SYMMETRIC, select(3, pack(3, 3, heads, nil, tails, 0)))
    assert.equal(graphs.LOOPLESS, select(3, pack(3, 3, {0, 1}, nil, {1, 2}, 0)))
    assert.equal(graphs.LOOPLESS + graphs.SYMMETRIC, select(3, pack(3, 3, {0, 1}, nil, {1, 0}, 0)))
    assert.equal(0, select(3, pack(3, 4, heads, nil, tails, 0))) -- not square
  end)

  it('has one part where it is to be gone through one way', function()
    local status, packed, layout = pack(2, 3, {1, 0}, nil, {2, 1}, graphs.ONE_WAY)
    assert.same({0, graphs.ONE_WAY + graphs.LOOPLESS}, {status, layout})
    assert.same({0, 1, 2, 1, 2}, part(packed, 0, 5))
    assert.equal(5, tonumber(C.tkg_graph_length(2, 3, 2, layout)))
  end)

  it('may be empty', function()
    local status, packed, layout = pack(0, 0, {}, nil, {}, 0)
    assert.same({0, graphs.SYMMETRIC + graphs.LOOPLESS}, {status, layout})
    assert.equal(0, packed[0])
    assert.equal(0, (pack(3, 0, {}, {}, {}, graphs.RELATIONS)))
  end)

  it('pairs parallel edges with those that lead back, one to one', function()
    -- 0-1 by three relations, 1-0 by three, a repeated loop, 1-2 and 2-1
    local heads, tails = {0, 0, 0, 1, 1, 1, 2, 2, 1, 2}, {1, 1, 1, 0, 0, 0, 2, 2, 2, 1}
    local status, packed, layout =
      pack(3, 3, heads, {5, 0, 5, 1, 1, 9, 4, 4, 2, 3}, tails, graphs.RELATIONS)
    assert.same({0, graphs.RELATIONS + graphs.SYMMETRIC + 10 * graphs.KINDS}, {status, layout})
    local offsets, ends = part(packed, 0, 4), part(packed, 4, 10)
    local back = part(packed, 4 + 10 + 3, 10)
    for p = 1, 10 do
      local q = back[p] + 1
      assert.equal(p, back[q] + 1)
      local row = ends[p] + 1 -- the edge back begins where this one leads
      assert.is_true(q > offsets[row] and q <= offsets[row + 1])
      assert.is_true(p > offsets[ends[q] + 1] and p <= offsets[ends[q] + 2])
    end
  end)

  it('has no ids out of range', function()
    for _, edge in ipairs {{-1, 0}, {3, 0}, {0, -1}, {0, 2}} do
      local status = pack(3, 2, {0, edge[1]}, nil, {1, edge[2]}, 0)
      assert.not_equal(0, status)
      local message, bad = ffi.string(C.tkg_error()), edge[1] == 0 and edge[2] or edge[1]
      assert.truthy(message:find(' ' .. bad .. ' ', 1, true), message)
    end
    assert.not_equal(0, (pack(3, 2, {0, 1}, {0, -4}, {1, 0}, graphs.RELATIONS)))
    assert.equal('graph: relation -4 of edge 1 is negative', ffi.string(C.tkg_error()))
  end)

  it('has no more edges than kernels count in 32 bits', function()
    local most = C.TKG_GRAPH_MOST_EDGES
    assert.equal(2 ^ 31 - 1 - 1024, most)
    for _, n in ipairs {most + 1, 2 ^ 31 - 1, 2 ^ 31} do
      local text = ('graph: %.0f edges, with their inverses and loops: at most %d'):format(n, most)
      local one, found = ffi.new 'int32_t[1]', ffi.new 'int64_t[1]'
      -- before anything is read, or made
      assert.not_equal(0, C.tkg_graph_pack(1, 1, n, one, nil, one, 0, one, found, nil))
      assert.equal(text, ffi.string(C.tkg_error()))
      local ok, message = pcall(tk.graph, {head = one, tail = one, n = n, nodes = 1})
      assert(not ok and message:find(text, 1, true), message)
    end
  end)
end)

-- ---- large ----

describe('a graph with a hub of 60,000 edges', function()
  local N, D = 100, 5
  local e = checked and 6000 or 90000
  local packed = graphs.pack(N, N, graphs.random(random, N, N, e, 40, 1.5), graphs.RELATIONS)
  local x, w, r = noise {N, D}, noise {e}, noise {40, D}
  local function attributes(way, shape)
    return {i = {N, N, e, packed.graph.layout + way}, shape = shape}
  end

  it('is summed both ways', function()
    for way = 0, 1 do
      local a = attributes(way)
      for name, inputs in pairs {aggregate = {packed, x, w}, aggregate_mul = {packed, x, r, w}} do
        near(reference.ops[name](inputs, a),
             with_threads(function() return op(name, a, inputs) end), 2e-3, name)
      end
    end
  end)

  it('is summed by relation in parts', function()
    local a = attributes(0, {40, D})
    local inputs = {packed, x, x, w}
    near(reference.ops.aggregate_relation(inputs, a),
         with_threads(function() return op('aggregate_relation', a, inputs) end), 1e-3,
         'by relation')
  end)

  it('has a softmax that sums to one', function()
    for way = 0, 1 do
      local a, logits = attributes(way), noise({e}, 30)
      local got = with_threads(function() return op('edge_softmax', a, {packed, logits}) end)
      near(reference.ops.edge_softmax({packed, logits}, a), got, 2e-6, 'softmax')
    end
  end)
end)

describe('edges that are left out', function()
  -- rows of no edge, of one, of some, and of more than are looked at together
  local N, edges = 60, {}
  for head = 0, N - 1 do
    local count = head == 7 and 700 or head % 5 == 0 and 0 or head % 9
    for k = 1, count do edges[#edges + 1] = {head, (head * 3 + k * k * 7) % N, k % 4} end
  end
  local packed = graphs.pack(N, N, edges, graphs.RELATIONS)
  local e = #edges

  --- That many parts of the edges have another weight.
  local function weights(part)
    return reference.array({e}, function() return random() < part and random() + 0.5 or 0 end)
  end

  it('have weight zero, whatever the width and the way', function()
    for _, d in ipairs {1, 16, 24, 32, 64, 80} do
      local x, r = noise {N, d}, noise {4, d}
      for part = 0, 1, 0.25 do
        local w = weights(part)
        for way = 0, 1 do
          local a = {i = {N, N, e, packed.graph.layout + way * graphs.BACKWARD}}
          local by_relation = {i = a.i, shape = {4, d}}
          for name, case in pairs{aggregate = {a, {packed, x, w}},
                                  aggregate_mul = {a, {packed, x, r, w}},
                                  aggregate_relation = {by_relation, {packed, x, x, w}}} do
            local attributes, inputs = unpack(case)
            near(reference.ops[name](inputs, attributes),
                 with_threads(function() return op(name, attributes, inputs) end), 1e-3, name)
          end
        end
      end
    end
  end)

  it('have tails without a row, whatever the width and the way', function()
    for _, d in ipairs {1, 16, 24, 32, 64, 80} do
      for part = 0, 1, 0.25 do
        local row_of, rows = {ids = true, shape = {N}}, 0
        for t = 1, N do
          local has = random() < part
          row_of[t], rows = has and rows or -1, rows + (has and 1 or 0)
        end
        local x, r, w = noise {math.max(rows, 1), d}, noise {4, d}, weights(0.75)
        for way = 0, 1 do
          local a = {i = {N, N, e, packed.graph.layout + way * graphs.BACKWARD}}
          for name, case in pairs{aggregate_indexed = {{packed, x, row_of}, {packed, x, row_of, w}},
                                  aggregate_mul_indexed = {{packed, x, r, row_of},
                                                           {packed, x, r, row_of, w}}} do
            for _, inputs in ipairs(case) do
              near(reference.ops[name](inputs, a),
                   with_threads(function() return op(name, a, inputs) end), 1e-2, name)
            end
          end
        end
      end
    end
  end)
end)

describe('inverse_index', function()
  it('are told apart where ids agree in their last 18 bits', function()
    local M, D = 2 ^ 19 + 9, 3
    local edges, row_of = {}, {ids = true, shape = {M}}
    for i = 0, 11 do edges[i + 1] = {i % 4, (i * 5) % 9 + 2 ^ 18 * (i % 3)} end
    for t = 1, M do row_of[t] = -1 end
    for t = 0, 8 do row_of[t + 2 ^ 18 * (t % 2) + 1] = t end
    local packed, x = graphs.pack(4, M, edges, graphs.ONE_WAY), noise {9, D}
    local a = {i = {4, M, 12, packed.graph.layout}}
    near(reference.ops.aggregate_indexed({packed, x, row_of}, a),
         with_threads(function() return op('aggregate_indexed', a, {packed, x, row_of}) end), 1e-6,
         'aggregate_indexed')
  end)
end)

-- ---- values that have no order, or none to lose ----

describe('special values', function()
  local packed = graphs.pack(3, 3, {{0, 0}, {0, 1}, {0, 2}, {1, 1}, {2, 2}})
  local a = {i = {3, 3, 5, packed.graph.layout}}

  it('stay in the rows that they reach', function()
    local nan = 0 / 0
    local out = flat(op('aggregate', a, {packed, {1, nan, 2, shape = {3, 1}}}))
    assert.is_true(out[1] ~= out[1] and out[2] ~= out[2])
    assert.equal(2, out[3])
    local y = flat(op('edge_softmax', a, {packed, {1, nan, 2, 5, 6, shape = {5}}}))
    for e = 1, 3 do assert.is_true(y[e] ~= y[e]) end
    assert.same({1, 1}, {y[4], y[5]})
  end)

  it('in a softmax may be large or minus infinity', function()
    local inf = math.huge
    local y = flat(op('edge_softmax', a, {packed, {3e38, -3e38, -inf, -3e38, 88, shape = {5}}}))
    assert.same({1, 0, 0, 1, 1}, y)
  end)
end)

-- ---- a norm's gradient from codes ----

describe('normalize_grad from codes', function()
  local INDEPENDENT = 3 -- dither with a random number per element, as such codes have
  local function codes_of(y, bits, stream)
    return op('encode', {i = {bits, INDEPENDENT, stream}}, {y})
  end

  local function decoded(codes, bits, stream)
    return op('decode', {i = {bits, INDEPENDENT, stream}}, {codes})
  end

  --- Rows of length 1.
  local function unit_rows(shape)
    local x = noise(shape)
    return reference.ops.normalize({x}, {f = {1e-12}})
  end

  it('is the formula, with the noise that decode draws', function()
    for _, shape in ipairs {{0, 8}, {1, 1}, {7, 31}, {33, 64}, {2, 3, 17}, {3, 2049}, {900, 64}} do
      for _, bits in ipairs {8, 4, 2, 1} do
        local y, g, norms = to_tensor(unit_rows(shape)), noise(shape), {unpack(shape)}
        norms[#norms] = 1
        local n = reference.array(norms, function(i) return i % 4 == 3 and 0.5 or 0.5 + i % 7 end)
        local got = with_threads(function()
          return op('normalize_grad', {f = {0.5}}, {to_tensor(g) * 1, codes_of(y, bits, 3), n})
        end)
        local yt = flat(decoded(codes_of(y, bits, 3), bits, 3))
        local rows, cols = reference.matrix(shape)
        for r = 0, rows - 1 do
          local low, high, along = math.huge, -math.huge, 0
          local exact = flat(y)
          for c = r * cols + 1, (r + 1) * cols do
            low, high = math.min(low, exact[c]), math.max(high, exact[c])
            along = along + yt[c] * g[c]
          end
          local step, floor = (high - low) / (2 ^ bits - 1), n[r + 1] <= 0.5
          for c = r * cols + 1, (r + 1) * cols do
            -- the step is rounded up to bf16, from a minimum that is rounded down
            local term = step * step / 12 * math.abs(g[c])
            local want = floor and g[c] or g[c] - yt[c] * along + step * step / 12 * g[c]
            local off = 2e-6 + 1e-5 * math.abs(yt[c] * along) + (floor and 0 or 0.06 * term + 1e-4)
            want = want / n[r + 1]
            assert(math.abs(want - got[c]) <= off / n[r + 1],
                   ('%d bits, row %d: %.9g, expected %.9g'):format(bits, r, got[c], want))
          end
        end
      end
    end
  end)

  -- One row many times over: each has noise of its own.
  local COLS, DRAWS = 12, checked and 2000 or 40000
  local row, g_row = unit_rows {1, COLS}, noise {1, COLS}
  local function repeated(list)
    local function column(i) return list[(i - 1) % COLS + 1] end
    return to_tensor(reference.array({DRAWS, COLS}, column))
  end
  local y, g, norm = repeated(row), repeated(g_row), 1.75
  local n = to_tensor(reference.array({DRAWS, 1}, norm))
  local exact = reference.ops.normalize_grad({g_row, row, {norm}}, {f = {0}})

  --- The largest distance of a column's mean from the exact gradient, in standard errors.
  local function worst(values)
    local most = 0
    for c = 1, COLS do
      local sum, square = 0, 0
      for i = c, DRAWS * COLS, COLS do
        local d = values[i] - exact[c]
        sum, square = sum + d, square + d * d
      end
      local mean = sum / DRAWS
      most = math.max(most, math.abs(mean) / math.sqrt((square / DRAWS - mean ^ 2) / DRAWS))
    end
    return most
  end

  for _, bits in ipairs {8, 4, 2, 1} do
    it(('is right on average: %d bits'):format(bits), function()
      local got = flat(op('normalize_grad', {f = {1e-12}}, {g, codes_of(y, bits, 5), n}))
      local off = worst(got)
      assert.is_true(off < 4, off)
    end)
  end

  it('would not be without what is added for the noise', function()
    local yt = decoded(codes_of(y, 1, 5), 1, 5)
    local off = worst(flat(op('normalize_grad', {f = {1e-12}}, {g, yt, n})))
    assert.is_true(off > (checked and 4 or 20), off)
  end)
end)
