-- What is drawn: neighbours, negatives, dropout masks. Properties and distributions; every draw is
-- a function of seed, step and stream alone.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local session = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

ffi.cdef [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
]]

local out_step = ffi.new('tkg_step *[1]')
session.check(C.tkg_step_create(session.engine, out_step))
local step = ffi.gc(out_step[0], C.tkg_step_release)

--- What fn records, drawn with the given seed and step number: a table from 1 and its shape.
local function draw(fn, seed, number)
  local tape = session.new_tape(true)
  tape.wanted, session.tape = {}, tape
  local t = fn()
  session.tape = session.ambient
  C.tkg_engine_set_seed(session.engine, seed or 1)
  session.check(C.tkg_step_set(step, 'number', number or 0))
  local root, out = ffi.new('int32_t[1]', t.node), ffi.new('tkg_tensor *[1]')
  session.check(C.tkg_step_run(step, tape.c, -1, nil, root, 1, out))
  C.tkg_engine_set_seed(session.engine, session.seed)
  local result = tensor.wrap(out[0])
  local list = tensors.flat(result)
  list.shape = result:size()
  return list
end

local function fits(observed, expected, what)
  local got, most = reference.chi_square(observed, expected)
  assert(got < most, ('%s: chi-square %.1f, at most %.1f is chance'):format(what, got, most))
end

--- Fails unless the numbers 0 .. n - 1 were drawn as often as their weights say; weight_of returns
--- nil for one that must not be drawn.
local function distributed(drawn, n, weight_of, what)
  local observed, expected, place, all = {}, {}, {}, 0
  for x = 0, n - 1 do
    local weight = weight_of(x)
    if weight then
      place[x], all = #expected + 1, all + weight
      observed[place[x]], expected[place[x]] = 0, weight
    end
  end
  for i = 1, #drawn do
    local at = assert(place[drawn[i]], ('%s: %d must not be drawn'):format(what, drawn[i]))
    observed[at] = observed[at] + 1
  end
  for k in ipairs(expected) do expected[k] = expected[k] * #drawn / all end
  if #expected > 1 then fits(observed, expected, what) end
end

--- Same seed, step and stream: same numbers; any of them changed: others. For any thread count.
local function is_pure(fn)
  local function skipping(n)
    return function()
      for _ = 1, n do fn() end
      return fn()
    end
  end
  local first = draw(fn, 5, 9)
  for _, threads in ipairs {1, 2, 4} do
    tk.threads(threads)
    assert.same(first, draw(fn, 5, 9))
  end
  tk.threads(0)
  assert.are_not.same(first, draw(fn, 6, 9))
  assert.are_not.same(first, draw(fn, 5 + 2 ^ 33, 9))
  assert.are_not.same(first, draw(fn, 5, 10))
  assert.are_not.same(first, draw(skipping(1), 5, 9))
  assert.same(draw(skipping(2), 5, 9), draw(skipping(2), 5, 9))
end

local function repeated(id, n) return tk.ids(ffi.new('int32_t[?]', n, id), n) end

--- The ids 0..n-1.
local function range(n)
  local ids = ffi.new('int32_t[?]', n)
  for i = 0, n - 1 do ids[i] = i end
  return tk.ids(ids, n)
end

describe('sample', function()
  local function sample(k, n)
    return function()
      local a = tensor.attribute()
      a.i[0], a.i[2] = k, n
      return tensor.record('sample', a)
    end
  end

  it('sample gives distinct numbers, or each as evenly as possible', function()
    for _, size in ipairs {{1, 1}, {5, 5}, {3, 40}, {31, 40}, {97, 40}} do
      local k, n = unpack(size)
      local drawn, seen = draw(sample(k, n), 7), {}
      assert.same({k}, drawn.shape)
      for i = 1, k do
        assert.is_true(drawn[i] >= 0 and drawn[i] < n)
        seen[drawn[i]] = (seen[drawn[i]] or 0) + 1
      end
      for x = 0, n - 1 do
        local times = seen[x] or 0
        assert.is_true(times == math.floor(k / n) or times == math.ceil(k / n))
      end
    end
  end)

  it('is uniform over numbers', function()
    local all = {}
    for number = 1, 300 do
      local drawn = draw(sample(20, 50), 3, number)
      for i = 1, 20 do all[#all + 1] = drawn[i] end
    end
    distributed(all, 50, function() return 1 end, 'sample')
  end)

  it('is a function of seed, step and stream', function() is_pure(sample(300, 5000)) end)
end)

describe('sample_neighbors', function()
  -- Node i has degree i; its edge j leads to 100 i + j, by relation (i + j) % 3.
  local NODES, K = 12, 4
  local heads, relations, tails = {}, {}, {}
  for i = 1, NODES - 1 do
    for j = 0, i - 1 do
      heads[#heads + 1], relations[#relations + 1], tails[#tails + 1] = i, (i + j) % 3, 100 * i + j
    end
  end
  local graph = tk.graph {head = tk.ids(heads), relation = tk.ids(relations),
                          tail = tk.ids(tails), nodes = 1200, relations = 3}

  local function sample(ids, k)
    return function()
      local t, r = graph:sample(ids, k)
      return tk.cat({t:reshape(1, t:count()), r:reshape(1, r:count())})
    end
  end

  it('sample_neighbors gives edges of the graph, distinct where there are enough', function()
    local n = 2400
    for _, k in ipairs {1, K, 5, 8, 31} do
      local drawn = draw(sample(range(n / 2), k), 3)
      local count = n / 2 * k
      assert.same({2, count}, drawn.shape)
      for node = 0, n / 2 - 1 do
        local degree, seen = node < NODES and node or 0, {}
        for j = 1, k do
          local tail, relation = drawn[node * k + j], drawn[count + node * k + j]
          seen[tail] = (seen[tail] or 0) + 1
          if degree == 0 then
            assert.same({node, 3}, {tail, relation})
          else
            local edge = tail - 100 * node
            assert(edge >= 0 and edge < degree, 'no neighbour of ' .. node .. ': ' .. tail)
            assert.equal((node + edge) % 3, relation)
          end
        end
        for _, times in pairs(seen) do -- distinct, or as evenly as possible
          assert(degree == 0 or times <= math.ceil(k / degree), 'an edge too often')
        end
      end
    end
  end)

  it('reads relation ids of one, two and four bytes', function()
    for _, top in ipairs {2, 300, 70000} do
      local by = tk.graph {head = {0, 0, 1, 2}, relation = {top, 1, 0, top - 1},
                           tail = {3, 1, 2, 0}, nodes = 4, relations = top + 1}
      local expected = {['0 3'] = top, ['0 1'] = 1, ['1 2'] = 0, ['2 0'] = top - 1,
                        ['3 3'] = top + 1}
      local tails_of, relations_of = by:sample(range(4), 2)
      local t, r = tails_of:totable(), relations_of:totable()
      for node = 0, 3 do
        for j = 1, 2 do
          assert.equal(expected[node .. ' ' .. t[node + 1][j]], r[node + 1][j])
        end
      end
      -- the only tail that is excluded is the one by this relation
      local free = by:negatives(repeated(0, 400), repeated(top, 400)):totable()
      local seen = {}
      for i = 1, 400 do seen[free[i][1]] = true end
      assert.same({[0] = true, [1] = true, [2] = true}, seen)
    end
  end)

  it('draws each set of k edges equally often', function()
    local drawn = draw(sample(repeated(5, 20000), 2), 11)
    local observed, expected = {}, {}
    for r = 0, 19999 do
      local a, b = drawn[2 * r + 1] - 500, drawn[2 * r + 2] - 500
      local set = math.min(a, b) * 5 + math.max(a, b)
      observed[set] = (observed[set] or 0) + 1
    end
    local list = {}
    for a = 0, 4 do
      for b = a + 1, 4 do
        list[#list + 1], expected[#expected + 1] = observed[a * 5 + b] or 0, 2000
      end
    end
    fits(list, expected, 'sets of two')
  end)

  it('draws each edge equally often, with and without repetition', function()
    for _, case in ipairs {{11, 4}, {3, 4}, {5, 8}, {1, 8}, {11, 11}} do
      local degree, k, rows = case[1], case[2], 6000
      local drawn = draw(sample(repeated(degree, rows), k), 17)
      local observed, expected = {}, {}
      for j = 1, degree do observed[j], expected[j] = 0, rows * k / degree end
      for i = 1, rows * k do
        local edge = drawn[i] - 100 * degree + 1
        observed[edge] = observed[edge] + 1
      end
      if degree > 1 and degree ~= k then fits(observed, expected, 'edges of ' .. degree)
      else assert.same(expected, observed) end
    end
  end)

  it('is a function of seed, step and stream', function()
    is_pure(sample(repeated(11, 9000), 4))
  end)

  it('takes no ids, and no edges', function()
    assert.same({2, 0}, draw(sample(tk.ids {}, 4)).shape)
    local lonely = tk.graph {head = tk.ids {}, relation = tk.ids {}, tail = tk.ids {},
                             nodes = 3, relations = 1}
    local tail, relation = lonely:sample(tk.ids {2, 0}, 2)
    assert.same({{2, 2}, {0, 0}}, tail:totable())
    assert.same({{1, 1}, {1, 1}}, relation:totable())
  end)
end)

local function sample_negatives(known, users, count, items)
  local a = tensor.attribute()
  a.i[0], a.i[2] = count, items
  return tensor.record('sample_negatives', a, known.offsets, known.items, users,
                       unpack {known.probability, known.alias})
end

--- An alias table (Vose 1991) for probabilities proportional to `weights`.
local function alias_table(weights)
  local n, sum, small, large = #weights, 0, {}, {}
  for _, w in ipairs(weights) do sum = sum + w end
  local scaled, probability, alias = {}, {}, {}
  for i, w in ipairs(weights) do
    scaled[i], probability[i], alias[i] = w * n / sum, 1, i - 1
    table.insert(scaled[i] < 1 and small or large, i)
  end
  while #small > 0 and #large > 0 do
    local s, l = table.remove(small), table.remove(large)
    probability[s], alias[s] = scaled[s], l - 1
    scaled[l] = scaled[l] + scaled[s] - 1
    table.insert(scaled[l] < 1 and small or large, l)
  end
  return tk.tensor(probability), tk.ids(alias)
end

describe('sample_negatives', function()
  -- User 0 knows nothing, 1 every third item, 2 all, 3 all but item 13, 4 the first 15.
  local ITEMS = 20
  local offsets, items = {0, 0}, {}
  for user = 1, 4 do
    for item = 0, ITEMS - 1 do
      if user == 1 and item % 3 == 0 or user == 2 or user == 3 and item ~= 13 or
        user == 4 and item < 15 then items[#items + 1] = item end
    end
    offsets[user + 2] = #items
  end
  local known = {offsets = tk.ids(offsets), items = tk.ids(items)}
  local weights = {}
  for i = 1, ITEMS do weights[i] = i end
  local probability, alias = alias_table(weights)
  local popular = {offsets = known.offsets, items = known.items, probability = probability,
                   alias = alias}

  local function knows(user, item)
    for at = offsets[user + 1] + 1, offsets[user + 2] do
      if items[at] == item then return true end
    end
    return false
  end

  local function negatives(table_, user, rows, count)
    return draw(function()
      return sample_negatives(table_, repeated(user, rows), count, ITEMS)
    end, 23)
  end

  local function check_distribution(table_, weight_of, what)
    for _, user in ipairs {0, 1, 3, 4} do
      distributed(negatives(table_, user, 4000, 5), ITEMS, function(item)
        return not knows(user, item) and weight_of(item)
      end, what .. ', user ' .. user)
    end
  end

  it('sample_negatives is uniform over what a user does not know', function()
    check_distribution(known, function() return 1 end, 'uniform')
  end)

  it('follows an alias table', function()
    check_distribution(popular, function(item) return item + 1 end, 'popularity')
  end)

  it('finds the one unknown item of a thousand, and survives that there is none', function()
    local list = {}
    for item = 0, 999 do if item ~= 777 then list[#list + 1] = item end end
    local all_but_one = {offsets = tk.ids {0, 999}, items = tk.ids(list)}
    local drawn = draw(function()
      return sample_negatives(all_but_one, repeated(0, 500), 2, 1000)
    end)
    for i = 1, #drawn do assert.equal(777, drawn[i]) end
    for _, table_ in ipairs {known, popular} do
      for _, item in ipairs(negatives(table_, 2, 50, 3)) do
        assert(item >= 0 and item < ITEMS)
      end
    end
  end)

  it('is a function of seed, step and stream', function()
    is_pure(function() return sample_negatives(popular, repeated(4, 9000), 3, ITEMS) end)
  end)

  it('takes no users', function()
    assert.same({0, 3}, draw(function()
      return sample_negatives(known, tk.ids {}, 3, ITEMS)
    end).shape)
  end)
end)

describe('sample_tails', function()
  -- Of 20 nodes, head 1 leads to every third by relation 0 and to the nodes 1, 2, 3 by relation 1,
  -- which meet at 3; head 2 to all by relation 0, head 3 to all but 13 by relation 0.
  local NODES = 20
  local offsets, tails, relations, has = {0, 0}, {}, {}, {}
  local function edge(head, relation, tail)
    tails[#tails + 1], relations[#relations + 1] = tail, relation
    has[(head * 9 + relation) * NODES + tail] = true
  end
  for head = 1, 3 do
    for tail = 0, NODES - 1 do
      if head == 1 and tail % 3 == 0 or head == 2 or head == 3 and tail ~= 13 then
        edge(head, 0, tail)
      end
      if head == 1 and tail >= 1 and tail <= 3 then edge(head, 1, tail) end
    end
    offsets[head + 2] = #tails
  end
  local known = {tk.ids(offsets), tk.ids(tails), tk.ids(relations)}

  local function sample_tails(of, heads, by, count, nodes)
    local a = tensor.attribute()
    a.i[0], a.i[2] = count, nodes
    return tensor.record('sample_tails', a, of[1], of[2], of[3], heads, by)
  end

  it('sample_tails is uniform over the nodes that make no triple', function()
    for _, pair in ipairs {{0, 0}, {1, 0}, {1, 1}, {1, 2}, {2, 1}, {3, 0}} do
      local head, relation = unpack(pair)
      local drawn = draw(function()
        return sample_tails(known, repeated(head, 4000), repeated(relation, 4000), 5, NODES)
      end, 29)
      distributed(drawn, NODES, function(tail)
        return not has[(head * 9 + relation) * NODES + tail] and 1
      end, ('tails of (%d, %d)'):format(head, relation))
    end
  end)

  it('takes its numbers where sample_negatives does', function()
    local seed, number, rows, count = 41, 6, 30, 3
    local drawn = draw(function()
      return sample_tails(known, repeated(0, rows), repeated(0, rows), count, 1000)
    end, seed, number)
    local words = ffi.new('uint32_t[4]')
    for at = 0, rows * count - 1 do
      C.tkg_philox(seed, 32 * at, number, 0, words)
      assert.equal(math.floor(words[0] * 1000 / 2 ^ 32), drawn[at + 1])
    end
  end)

  it('finds the one free node of a thousand, and survives that there is none', function()
    local list, by = {}, {}
    for node = 0, 999 do
      if node ~= 777 then list[#list + 1], by[#by + 1] = node, 4 end
    end
    local all_but_one = {tk.ids {0, 999}, tk.ids(list), tk.ids(by)}
    local drawn = draw(function()
      return sample_tails(all_but_one, repeated(0, 300), repeated(4, 300), 2, 1000)
    end)
    for i = 1, #drawn do assert.equal(777, drawn[i]) end
    for _, tail in ipairs(draw(function()
      return sample_tails(known, repeated(2, 50), repeated(0, 50), 3, NODES)
    end)) do assert(tail >= 0 and tail < NODES) end
  end)

  it('is a function of seed, step and stream', function()
    is_pure(function()
      return sample_tails(known, repeated(1, 9000), repeated(0, 9000), 3, NODES)
    end)
  end)

  it('takes no heads', function()
    assert.same({0, 3}, draw(function()
      return sample_tails(known, tk.ids {}, tk.ids {}, 3, NODES)
    end).shape)
  end)
end)

describe('dropout', function()
  it('dropout zeroes the fraction asked for and keeps the mean', function()
    local n = 200000
    local x = tk.ones(n)
    for _, p in ipairs {0.1, 0.5, 0.9} do
      local drawn = draw(function() return x:dropout(p) end, 31)
      local zeros, sum = 0, 0
      for i = 1, n do
        if drawn[i] == 0 then zeros = zeros + 1
        else assert.near(1 / (1 - p), drawn[i], 1e-6 / (1 - p)) end
        sum = sum + drawn[i]
      end
      local deviation = math.sqrt(p * (1 - p) / n)
      assert.near(p, zeros / n, 5 * deviation)
      assert.near(1, sum / n, 5 * deviation / (1 - p))
    end
  end)

  it('keeps an element where its 16-bit number of the counter says so', function()
    local n, seed, number, p = 2053, 77, 12, 0.3
    local drawn = draw(function() return tk.ones(n):dropout(p) end, seed, number)
    local words = ffi.new('uint32_t[4]')
    for i = 0, n - 1 do
      C.tkg_philox(seed, math.floor(i / 8), number, 0, words) -- stream 0: the tape's first draw
      local word = words[math.floor(i % 8 / 2)]
      local u = ((i % 2 == 0 and word % 65536 or math.floor(word / 65536)) + 0.5) / 65536
      assert.equal(u < p, drawn[i + 1] == 0)
    end
  end)

  it('scales what it keeps and is the same whatever the shape', function()
    local values = reference.array({31, 33}, function(i) return i end)
    local x = tk.zeros(31, 33):write(values)
    local drawn = draw(function() return x:dropout(0.25) end, 2)
    local line = draw(function() return x:reshape(-1):dropout(0.25) end, 2)
    assert.same({unpack(line)}, {unpack(drawn)})
    for i = 1, #values do
      assert(drawn[i] == 0 or math.abs(drawn[i] / values[i] - 4 / 3) < 1e-6)
    end
  end)

  it('of gathered rows is what it would be of the whole matrix', function()
    local rows = {7, 0, 30, 7, 12}
    local list = tk.ids(rows)
    for _, cols in ipairs {1, 7, 8, 33, 64, 2053} do
      local x = tk.zeros(31, cols):write(reference.array({31, cols}, function(i) return i end))
      local function dropped(...)
        local a = tensor.attribute()
        a.f[0] = 0.3
        return tensor.record('dropout', a, ...)
      end
      local whole = draw(function() return dropped(x):gather(list) end, 9, 4)
      assert.same(whole, draw(function() return dropped(x:gather(list), list) end, 9, 4))
    end
    local x = tk.ones(4000, 33)
    local ids = range(4000)
    is_pure(function()
      local a = tensor.attribute()
      a.f[0] = 0.3
      return tensor.record('dropout', a, x, ids)
    end)
  end)

  it('of rows by id has the same mask in backward', function()
    local w, ids = tk.parameter(tk.ones(5, 33)), tk.ids {900, 3, 3, 0, 77}
    local step_of = tk.step(function()
      local a = tensor.attribute()
      a.f[0] = 0.5
      local y = tensor.record('dropout', a, w, ids)
      return y:sum(), y
    end)
    local _, y = step_of()
    local out, grad = y:values(), w.grad:values()
    for i = 0, 5 * 33 - 1 do assert.equal(out[i], grad[i]) end
    for j = 0, 32 do assert.equal(out[33 + j], out[66 + j]) end
  end)

  it('draws neighbours in memory independently', function()
    local drawn = draw(function() return tk.ones(100000):dropout(0.5) end, 3)
    local observed = {0, 0, 0, 0}
    for i = 1, #drawn - 1, 2 do
      local pair = (drawn[i] > 0 and 1 or 0) + (drawn[i + 1] > 0 and 2 or 0) + 1
      observed[pair] = observed[pair] + 1
    end
    fits(observed, {12500, 12500, 12500, 12500}, 'pairs')
  end)

  it('is a function of seed, step and stream', function()
    local x = tk.ones(200000)
    is_pure(function() return x:dropout(0.5) end)
  end)

  it('has the same mask in backward, at every width', function()
    local n, d = 301, 64
    for _, bits in ipairs {32, 8, 1} do
      local w = tk.parameter(tk.ones(n, d))
      local step_of = tk.step(function()
        local y = w:tanh():dropout(0.4)
        return y:sum(), y
      end, {bits = bits})
      local before
      for _ = 1, 3 do
        local _, y = step_of()
        local out, grad = y:values(), w.grad:values()
        for i = 0, n * d - 1 do assert.equal(out[i] == 0, grad[i] == 0) end
        local text = ffi.string(out, 4 * n * d)
        assert.are_not.equal(before, text) -- each step has a mask of its own
        before = text
      end
    end
  end)

  it('of nothing is the value itself, and a probability is below 1', function()
    local x = tk.ones(3)
    assert.equal(x, x:dropout(0))
    for _, p in ipairs {1, -0.1, 2, 'half'} do
      assert.has_error(function() x:dropout(p) end)
    end
  end)
end)
