-- Speed of ops over the edges of a graph: milliseconds an op, and how many times as long as copying
-- a matrix with a row a node takes, in the same run.
--   tinykg tests/bench/graph_bench.lua [folder of a KGAT data set] [threads] [pattern]
-- Without a folder (or with -): a generated graph of about that size. Only ops whose line matches
-- the pattern are measured; TINYKG_LIB and TINYKG_ISA choose what runs.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.lib'
local clock = require 'tinykg.clock'
local tensor = require 'tinykg.tensor'

local folder, threads, pattern = arg[1] or '-', tonumber(arg[2] or 1), arg[3] or ''
local REPEATS, SLOTS = 7, 3072
tk.threads(threads)

-- ---- the graph: users and entities as nodes, each triple both ways ----

local function merged(data)
  local g, train = data.graph, data.train
  local n, e = data.users + data.entities, 2 * (g.n + train.n)
  local heads, relations, tails = ffi.new('int32_t[?]', e), ffi.new('int32_t[?]', e),
    ffi.new('int32_t[?]', e)
  local at = 0
  local function add(head, relation, tail, back)
    heads[at], relations[at], tails[at] = head, relation, tail
    heads[at + 1], relations[at + 1], tails[at + 1] = tail, back, head
    at = at + 2
  end
  for i = 0, train.n - 1 do
    add(train.users[i] + data.entities, 0, train.items[i], 1)
  end
  for i = 0, g.n - 1 do
    add(g.heads[i], 2 + 2 * g.relations[i], g.tails[i], 3 + 2 * g.relations[i])
  end
  return n, e, heads, relations, tails, 2 * data.relations + 2
end

--- Popular nodes are popular on a power law, as in such data.
local function generated()
  local n, e, relations = 130000, 1776000, 20
  local list = {ffi.new('int32_t[?]', e), ffi.new('int32_t[?]', e), ffi.new('int32_t[?]', e)}
  math.randomseed(1)
  for i = 0, e - 1, 2 do
    local a, b = math.floor(n * math.random() ^ 4), math.floor(n * math.random())
    local r = math.random(0, relations / 2 - 1) * 2
    list[1][i], list[2][i], list[3][i] = a, r, b
    list[1][i + 1], list[2][i + 1], list[3][i + 1] = b, r + 1, a
  end
  return n, e, list[1], list[2], list[3], relations
end

local function pack(n, e, heads, relations, tails)
  local with = 4 -- TKG_GRAPH_RELATIONS
  local room = tonumber(C.tkg_graph_length(n, n, e, with))
  local packed, found = ffi.new('int32_t[?]', room), ffi.new('int64_t[1]')
  assert(C.tkg_graph_pack(n, n, e, heads, relations, tails, with, packed, found, nil) == 0)
  local layout = tonumber(found[0])
  local length = tonumber(C.tkg_graph_length(n, n, e, layout))
  local t = tensor.create(tensor.I32, {length}, 'graph')
  assert(C.tkg_tensor_write(t.kept, packed, 0, length) == 0)
  return t, layout
end

local n, e, heads, relations, tails, kinds
if folder == '-' then
  n, e, heads, relations, tails, kinds = generated()
else
  n, e, heads, relations, tails, kinds =
    merged(require('tinykg.data').load(folder, {valid_ratio = 0}))
end
local graph, layout = pack(n, e, heads, relations, tails)

-- ---- measuring ----

--- The best of some runs, in milliseconds; one before them warms up.
local function measure(fn)
  local best = math.huge
  for i = 0, REPEATS do
    local start = clock.now()
    fn()
    if i > 0 then best = math.min(best, clock.now() - start) end
  end
  return best * 1e3
end

--- Records an op on the graph and computes it; one row of the result is looked at.
local function run(name, backward, shape, ...)
  local inputs = {...}
  return measure(function()
    tk.no_grad(function()
      local a = tensor.attribute()
      a.i[0], a.i[1], a.i[2], a.i[3] = n, n, e, layout + (backward and 1 or 0)
      if shape then tensor.set_shape(shape) end
      return tensor.record(name, a, graph, unpack(inputs)):narrow(1, 1, 1)
    end)
  end)
end

--- Distinct nodes spread evenly, the slot of each, and how many edges they have.
local function batch()
  local ids, slots, edges = ffi.new('int32_t[?]', SLOTS), ffi.new('int32_t[?]', n), 0
  for t = 0, n - 1 do slots[t] = -1 end
  for b = 0, SLOTS - 1 do
    ids[b] = math.floor(b * n / SLOTS)
    slots[ids[b]] = b
  end
  for i = 0, e - 1 do edges = edges + (slots[heads[i]] >= 0 and 1 or 0) end
  return tk.ids(ids, SLOTS), tk.ids(slots, n), edges
end

local function table_for(d)
  local x, y = tk.randn(n, d):keep(), tk.randn(n, d):keep()
  local r, w, few = tk.randn(kinds, d):keep(), tk.randn(e):keep(), tk.randn(SLOTS, d):keep()
  local rows, slots, of_rows = batch()
  local to, from = y:values(), x:values()
  local copy = measure(function() ffi.copy(to, from, 4 * n * d) end)
  print(('\nd = %d: copying %d x %d floats takes %.2f ms'):format(d, n, d, copy))
  print(('rows, slots: %d nodes with %d edges'):format(SLOTS, of_rows))
  print('op                                ms   x memcpy')
  local function line(what, ...)
    if not what:find(pattern) then return end
    local ms = run(what:match '^[%w_]+', what:find 'backward', ...)
    print(('%-28s %7.2f %10.2f'):format(what, ms, ms / copy))
  end
  line('aggregate', nil, x)
  line('aggregate, weights', nil, x, w)
  line('aggregate, backward', nil, x, w)
  line('aggregate_rows', nil, x, rows, w)
  line('aggregate_slots, backward', nil, few, slots, w)
  line('aggregate_mul', nil, x, r, w)
  line('aggregate_mul, backward', nil, x, r, w)
  line('aggregate_mul_rows', nil, x, r, rows, w)
  line('aggregate_mul_slots, backward', nil, few, r, slots, w)
  line('aggregate_dot', nil, x, y)
  line('aggregate_dot, relations', nil, x, y, r)
  line('aggregate_relation', {kinds, d}, x, y, w)
  line('edge_softmax', nil, w)
  line('edge_softmax, backward', nil, w)
  line('aggregate_argmax', nil, x)
end

print(('%d nodes, %d edges, %d relations; %d threads'):format(n, e, kinds, threads))
for _, d in ipairs {64, 32} do table_for(d) end
