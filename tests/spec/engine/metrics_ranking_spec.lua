-- Lists of the best and the ranking metrics against brute force in double precision and examples
-- worked by hand.
local ffi = require 'ffi'
local lib = require 'tinykg.engine.lib'
local metrics = require 'tinykg.train.metrics'
local arrays = require 'tests.support.arrays'
local fixtures = require 'tests.support.fixtures'
local random_from = require('tests.support.reference_ops').random

local csr, message_of = arrays.csr_lists, fixtures.message
local function floats(list) return arrays.of('float', list) end
local function ints(list) return arrays.of('int32_t', list) end

-- The OpenMP runtime that the engine is linked with is found through the engine's own handle.
pcall(ffi.cdef, 'void omp_set_num_threads(int);')
local function threads(n) lib.omp_set_num_threads(n) end

local function near(expected, got, tolerance)
  assert.near(expected, got, tolerance or 1e-12)
end

-- Ids in order of falling score, then rising id; `known` and -inf left out.
local function brute_list(scores, known, k)
  local out, list = {}, {}
  for _, item in ipairs(known or {}) do out[item] = true end
  for id = 0, #scores - 1 do
    if not out[id] and scores[id + 1] ~= -math.huge then list[#list + 1] = id end
  end
  table.sort(list, function(a, b)
    if scores[a + 1] ~= scores[b + 1] then return scores[a + 1] > scores[b + 1] end
    return a < b
  end)
  for i = #list, k + 1, -1 do list[i] = nil end
  return list
end

local function dcg(relevant, k)
  local sum = 0
  for rank = 1, math.min(k, #relevant) do
    sum = sum + relevant[rank] * math.log(2) / math.log(rank + 1)
  end
  return sum
end

-- From the definitions, one metric at a time.
local function brute_metrics(list, test, k)
  local wanted, relevant, hits, first, precisions = {}, {}, 0, nil, 0
  for _, item in ipairs(test) do wanted[item] = true end
  for rank, item in ipairs(list) do relevant[rank] = wanted[item] and 1 or 0 end
  for rank = 1, math.min(k, #list) do
    if relevant[rank] == 1 then
      hits, first = hits + 1, first or rank
      precisions = precisions + hits / rank
    end
  end
  local all_hits, perfect = {}, {}
  for rank, r in ipairs(relevant) do all_hits[rank] = r end
  table.sort(all_hits, function(a, b) return a > b end)
  for i = 1, math.min(k, #test) do perfect[i] = 1 end
  local precision, recall = hits / k, hits / #test
  return {
    recall = recall,
    precision = precision,
    hit = hits > 0 and 1 or 0,
    mrr = first and 1 / first or 0,
    map = precisions / math.min(k, #test),
    ndcg = dcg(relevant, k) / dcg(perfect, k),
    ndcg_kgat = dcg(all_hits, k) > 0 and dcg(relevant, k) / dcg(all_hits, k) or 0,
    f1 = hits > 0 and 2 * precision * recall / (precision + recall) or 0,
  }
end

describe('metrics.topk', function()
  local function list(options)
    local top, best = metrics.topk(options)
    local ids, scores = {}, {}
    for i = 0, options.k - 1 do ids[i + 1], scores[i + 1] = top[i], best[i] end
    return ids, scores
  end

  it('lists best first, ties by lower id, without known items, padded', function()
    local ids, scores = list { scores = { 1, 3, 3, 2, 3 }, items = 5, k = 3 }
    assert.same({ 1, 2, 4 }, ids)
    assert.same({ 3, 3, 3 }, scores)
    ids, scores = list {
      scores = { 1, 3, 3, 2, 3 }, items = 5, k = 4,
      users = { 1 }, known = csr { { 0 }, { 4, 1, 0 } },
    }
    assert.same({ 2, 3, -1, -1 }, ids)
    assert.same({ 3, 2, -math.huge, -math.huge }, scores)
    assert.same({ -1 }, (list { scores = { -math.huge }, items = 1, k = 1 }))
    assert.same({ 1, 0 }, (list { scores = { -1e38, math.huge }, items = 2, k = 2 }))
    assert.same({ 0, 1 }, (list { scores = { -0.0, 0 }, items = 2, k = 2 }))
  end)

  it('agrees with a full sort, whatever the order of scores and the length', function()
    local random = random_from(4)
    local orders = {
      function(i) return i end,
      function(i) return -i end,
      function() return random(7) end,
      function() return random(100000) / 64 end,
      function() return random(3) == 0 and -math.huge or random(50) end,
      function() return 1 end,
    }
    for _, items in ipairs { 1, 127, 128, 129, 1000 } do
      for order, value in ipairs(orders) do
        local scores, known = {}, {}
        for i = 1, items do
          scores[i] = value(i)
          if random(5) == 0 then known[#known + 1] = i - 1 end
        end
        for _, k in ipairs { 1, 10, 128, items, items + 5 } do
          local expected = brute_list(scores, known, k)
          for i = #expected + 1, k do expected[i] = -1 end
          local got = list {
            scores = floats(scores), items = items, k = k, users = { 0 }, known = csr { known },
          }
          assert.same(expected, got, ('items %d, order %d, k %d'):format(items, order, k))
        end
      end
    end
  end)

  it('names row and column of the first NaN for any thread count, masked or not', function()
    for _, n in ipairs { 1, 2, 4 } do
      threads(n)
      local scores = ffi.new('float[?]', 40 * 300)
      for _, row in ipairs { 39, 23, 31 } do scores[row * 300 + 260 - row] = 0 / 0 end
      scores[23 * 300 + 299] = 0 / 0
      assert.matches('score at row 23 %(user 23%), column 237 is NaN',
        message_of(metrics.topk, { scores = scores, rows = 40, items = 300, k = 5 }))
    end
    threads(2)
    assert.matches('row 0 %(user 0%), column 1 is NaN', message_of(metrics.topk,
      { scores = { 5, 0 / 0, 1 }, items = 3, k = 1, known = csr { { 0, 1 } } }))
  end)

  it('refuses ids out of range and senseless sizes', function()
    assert.matches('topk: k is 0', message_of(metrics.topk, { scores = { 1 }, items = 1, k = 0 }))
    assert.matches('topk: items is nil', message_of(metrics.topk, { scores = { 1 }, k = 1 }))
    assert.matches('length 6 asked of 2 values',
      message_of(metrics.topk, { scores = { 1, 2 }, rows = 2, items = 3, k = 1 }))
    assert.matches('item 3 of user 0 is out of range: there are 3 items', message_of(metrics.topk,
      { scores = { 1, 2, 3 }, items = 3, k = 1, known = csr { { 3 } } }))
    assert.matches('user 7 is out of range', message_of(metrics.topk,
      { scores = { 1 }, items = 1, k = 1, users = { 7 }, known = csr { {} } }))
  end)

  it('has the same checks in the engine itself', function()
    local scores, top = floats { 1, 2, 3 }, ints { 0, 0, 0 }
    local function failure(cols, users, offsets, items)
      assert.is_true(lib.tkg_metrics_topk(scores, 1, cols, users, offsets, items, 1, top, nil) > 0)
      return ffi.string(lib.tkg_error())
    end
    assert.matches('known item 3 of user 0 is out of range: 3 items',
      failure(3, nil, ints { 0, 1 }, ints { 3 }))
    assert.matches('user %-4 has no place', failure(3, ints { -4 }, ints { 0, 0 }, ints {}))
    assert.matches('user 0 has no place', failure(3, nil, ints { 2, 1 }, ints { 1, 2 }))
    assert.matches('scores of 1 x 2147483648', failure(2 ^ 31, nil, nil, nil))
  end)
end)

describe('metrics.ranking', function()
  -- A scorer over a Lua matrix, scores[user + 1][item + 1].
  local function scorer(scores, items, block)
    local buffer = ffi.new('float[?]', block * items)
    return function(users, first, count)
      for r = 0, count - 1 do
        for i = 0, items - 1 do buffer[r * items + i] = scores[users[first + r] + 1][i + 1] end
      end
      return buffer
    end
  end

  -- Falling scores that put `list` first.
  local function scores_for(list, items)
    local scores = {}
    for i = 1, items do scores[i] = -i end
    for rank, item in ipairs(list) do scores[item + 1] = 100 - rank end
    return scores
  end

  local function rank_one(list, test, k)
    return metrics.ranking {
      users = { 0 }, items = 10, test = csr { test }, k = k,
      score = scorer({ scores_for(list, 10) }, 10, 1),
    }
  end

  it('gives the values worked out by hand', function()
    -- hits at ranks 1, 3 and 5 of five, four test items; 1/log2(2..6) = 1 .63093 .5 .43068 .38685
    local m = rank_one({ 5, 1, 7, 3, 2 }, { 2, 5, 7, 9 }, { 2, 3, 5 })
    assert.equal(1, m.users)
    near(1 / 4, m['recall@2'])
    near(1 / 2, m['precision@2'])
    near(1, m['hit@2'])
    near(1, m['mrr@2'])
    near(1 / 2, m['map@2']) -- (1/1) / min(2, 4)
    near(0.61315, m['ndcg@2'], 5e-6) -- 1 / 1.63093
    near(0.61315, m['ndcg_kgat@2'], 5e-6) -- three hits in the list of five: D(min(2, 3))
    near(2 / 6, m['f1@2'])
    near(2 / 4, m['recall@3'])
    near(2 / 3, m['precision@3'])
    near(5 / 9, m['map@3']) -- (1/1 + 2/3) / min(3, 4)
    near(0.70392, m['ndcg@3'], 5e-6) -- 1.5 / 2.13093
    near(4 / 7, m['f1@3'])
    near(3 / 4, m['recall@5'])
    near(3 / 5, m['precision@5'])
    near(17 / 30, m['map@5']) -- (1/1 + 2/3 + 3/5) / min(5, 4)
    near(0.73659, m['ndcg@5'], 5e-6) -- 1.88685 / 2.56161: the ideal list has four hits
    near(0.88546, m['ndcg_kgat@5'], 5e-6) -- 1.88685 / 2.13093: only the three retrieved
    near(6 / 9, m['f1@5'])
  end)

  it('keeps the two NDCGs apart', function()
    -- one hit of three at rank 1: perfect for KGAT's definition alone
    local m = rank_one({ 4, 0, 1 }, { 4, 8, 9 }, 3)
    near(1, m['ndcg_kgat@3'])
    near(1 / 2.13093, m['ndcg@3'], 5e-6)
    -- KGAT's depends on the longest list asked for: the hit at rank 3 enters the ideal list of @2
    near(1, rank_one({ 4, 0, 8 }, { 4, 8, 9 }, { 2 })['ndcg_kgat@2'])
    near(1 / 1.63093, rank_one({ 4, 0, 8 }, { 4, 8, 9 }, { 2, 3 })['ndcg_kgat@2'], 5e-6)
    near(rank_one({ 4, 0, 8 }, { 4, 8, 9 }, { 2 })['ndcg@2'],
      rank_one({ 4, 0, 8 }, { 4, 8, 9 }, { 2, 3 })['ndcg@2'], 0)
    -- all retrieved in order: exactly 1 for both
    m = rank_one({ 9, 4, 8 }, { 4, 8, 9 }, { 3, 5 })
    near(1, m['ndcg@3'], 0)
    near(1, m['ndcg_kgat@5'], 0)
  end)

  it('gives zeros, not NaN, where nothing is hit', function()
    local m = rank_one({ 1, 2, 3 }, { 9 }, 3)
    for _, name in ipairs(metrics.names) do assert.equal(0, m[name .. '@3']) end
  end)

  -- 61 users, 150 items, ties, -inf, known items (some of them test items too), users without test.
  local function problem()
    local random, p = random_from(2023), { items = 150, users = {}, scores = {} }
    local test, known = {}, {}
    for u = 0, 60 do
      p.users[u + 1], p.scores[u + 1], test[u + 1], known[u + 1] = u, {}, {}, {}
      for i = 0, p.items - 1 do
        p.scores[u + 1][i + 1] = random(20) == 0 and -math.huge or random(40) / 8
        if u % 7 ~= 3 and random(u % 5 == 0 and 4 or 20) == 0 then table.insert(test[u + 1], i) end
        if random(6) == 0 then table.insert(known[u + 1], i) end
      end
    end
    p.test_lists, p.known_lists = test, known
    p.test, p.known = csr(test), csr(known)
    return p
  end

  local function rank(p, block, k, progress)
    return metrics.ranking {
      users = p.users, items = p.items, test = p.test, known = p.known, block = block, k = k,
      score = scorer(p.scores, p.items, block), progress = progress,
    }
  end

  it('equals brute force over users, masks and ties', function()
    local p, ks = problem(), { 1, 10, 20, 149, 200 }
    local sums, counted = {}, 0
    for u, test in ipairs(p.test_lists) do
      if #test > 0 then
        counted = counted + 1
        local list = brute_list(p.scores[u], p.known_lists[u], 200)
        for _, k in ipairs(ks) do
          for name, value in pairs(brute_metrics(list, test, k)) do
            local key = name .. '@' .. k
            sums[key] = (sums[key] or 0) + value
          end
        end
      end
    end
    local m, keys = rank(p, 16, ks), 0
    assert.is_true(counted < 61 and counted > 40)
    assert.equal(counted, m.users)
    for key, sum in pairs(sums) do
      near(sum / counted, m[key])
      keys = keys + 1
    end
    assert.equal(#ks * #metrics.names, keys)
  end)

  it('gives the same bits for any block size, any thread count, and ffi inputs', function()
    local p = problem()
    local expected = rank(p, 256, { 5, 20 })
    for _, n in ipairs { 1, 2, 4 } do
      threads(n)
      for _, block in ipairs { 1, 3, 7, 61, 100 } do
        assert.same(expected, rank(p, block, { 20, 5, 20 })) -- cuts in any order, repeats too
      end
    end
    threads(2)
    p.users, p.test = ints(p.users), { offsets = ints(p.test.offsets), items = ints(p.test.items) }
    p.known = { offsets = ints(p.known.offsets) + 0, items = ints(p.known.items) + 0, n = 61 }
    assert.same(expected, rank(p, 10, { 5, 20 }))
  end)

  it('scores only users with test items, block by block, and tells its progress', function()
    local seen, done = {}, {}
    local m = metrics.ranking {
      users = { 4, 0, 2, 1 }, items = 3, block = 2, k = 1,
      test = csr { { 0 }, { 1 }, {}, { 2 }, { 2 } },
      score = function(users, first, count)
        seen[#seen + 1] = { count, users[first], count > 1 and users[first + 1] or nil }
        return ffi.new('float[6]', { 3, 2, 1, 3, 2, 1 })
      end,
      progress = function(now, total) done[#done + 1] = now .. '/' .. total end,
    }
    assert.same({ { 2, 4, 0 }, { 1, 1 } }, seen)
    assert.same({ '2/3', '3/3' }, done)
    assert.equal(3, m.users)
    near(1 / 3, m['hit@1'])
  end)

  it('masks train positives: they never take a place in the list', function()
    local function recall(known)
      return metrics.ranking {
        users = { 0 }, items = 4, test = csr { { 2 } }, known = known, k = 1,
        score = function() return floats { 9, 8, 7, 6 } end,
      }['recall@1']
    end
    assert.equal(0, recall(nil))
    assert.equal(1, recall(csr { { 0, 1 } }))
    assert.equal(0, recall(csr { { 0, 2 } }))
  end)

  it('refuses wrong input, each with what and where', function()
    local function attempt(change)
      local options = {
        users = { 0, 1 }, items = 4, test = csr { { 1, 2 }, { 3 } }, known = csr { {}, {} }, k = 2,
        score = function() return ffi.new('float[8]') end,
      }
      return message_of(metrics.ranking, fixtures.merged(options, change))
    end
    assert.matches('test items of user 0 %(row 0%) must ascend',
      attempt { test = csr { { 2, 1 }, {} } })
    assert.matches('test items of user 1 %(row 1%) must ascend',
      attempt { test = csr { { 1 }, { 3, 3 } } })
    assert.matches('test: item 4 of user 1 is out of range', attempt { test = csr { {}, { 4 } } })
    assert.matches('known: item %-1 of user 0', attempt { known = csr { { -1 }, {} } })
    assert.matches('user 2 is out of range', attempt { users = { 0, 2 } })
    assert.matches('known: offsets 0%.%.9, but 1 items',
      attempt { known = { offsets = { 0, 0, 9 }, items = { 1 } } })
    assert.matches('test: offsets fall at user 1',
      attempt { test = { offsets = { 0, 2, 1 }, items = { 1, 2 } } })
    assert.matches('none of the 2 users has a test item', attempt { test = csr { {}, {} } })
    assert.matches('k is 0', attempt { k = { 10, 0 } })
    assert.matches('k is 1.5', attempt { k = 1.5 })
    assert.matches('block is 0', attempt { block = 0 })
    assert.matches('items is nil', attempt { items = false })
    assert.matches('score must be a function', attempt { score = 3 })
    assert.matches('expected a buffer of 2 x 4 floats',
      attempt { score = function() return {} end })
    assert.matches('expected a buffer of 2 x 4 floats',
      attempt { score = function() return ffi.new('float[7]') end })
    assert.matches('row 1 %(user 1%), column 2 is NaN', attempt {
      score = function() return ffi.new('float[8]', { 0, 0, 0, 0, 0, 0, 0 / 0, 0 }) end,
    })
    assert.matches('metrics_ranking_spec.lua:%d+: mine',
      attempt { score = function() error('mine') end })
  end)

  it('takes the whole list for KGAT\'s ideal, also beyond the last cut', function()
    local sums, counted = ffi.new('double[8]'), ffi.new('int64_t[1]')
    assert.equal(0, lib.tkg_metrics_ranking(ints { 4, 0, 8 }, 1, 3, nil, ints { 0, 3 },
      ints { 4, 8, 9 }, ints { 2 }, 1, sums, counted))
    near(1 / 1.63093, sums[lib.TKG_METRIC_NDCG_KGAT], 5e-6) -- hits at ranks 1 and 3: D(2)
  end)

  it('makes no longer lists than there are items, whatever the cuts', function()
    local test, lengths = csr { { 0, 1, 3 }, { 2 } }, {}
    local options = { users = { 0, 1 }, items = 4, test = test, k = { 3, 50, 100000 },
      top = function(_, count, k, top, best)
        lengths[#lengths + 1] = k
        for i = 0, count * k - 1 do top[i], best[i] = i % 4, -i end
      end }
    local result = metrics.ranking(options)
    assert.same({ 4 }, lengths)
    local want = { [0] = { 0, 1, 3 }, { 2 } }
    for _, k in ipairs(options.k) do
      for name, value in pairs(brute_metrics({ 0, 1, 2, 3 }, want[0], k)) do
        local other = brute_metrics({ 0, 1, 2, 3 }, want[1], k)[name]
        near((value + other) / 2, result[name .. '@' .. k])
      end
    end
  end)

  it('lists for fewer users at once where lists are long, with the same result', function()
    local users, items, counts, offsets, taken = 700, 60000, {}, { 0 }, {}
    for u = 1, users do offsets[u + 1], taken[u] = u, u end
    local function ndcg(k)
      counts = {}
      local list = {}
      for u = 0, users - 1 do list[u + 1] = u end
      return metrics.ranking { users = list, items = items, k = k, block = 4096,
        test = { offsets = offsets, items = taken, n = users },
        top = function(_, count, length, top, best)
          counts[#counts + 1] = count
          for i = 0, count * length - 1 do top[i], best[i] = i % length, -(i % length) end
        end }['ndcg@20']
    end
    local short = ndcg { 20 }
    assert.same({ 700 }, counts)
    assert.equal(short, ndcg { 20, 50000 })
    assert.same({ 256, 256, 188 }, counts)
  end)

  it('counts lists that are shorter than a user\'s test items', function()
    local sums, counted = ffi.new('double[8]'), ffi.new('int64_t[1]')
    assert.equal(0, lib.tkg_metrics_ranking(ints { 4, 0 }, 1, 2, nil, ints { 0, 3 },
      ints { 4, 8, 9 }, ints { 5 }, 1, sums, counted))
    near(1 / (1 + math.log(2) / math.log(3) + .5), sums[lib.TKG_METRIC_NDCG])
    near(1 / 5, sums[lib.TKG_METRIC_PRECISION])
  end)

  it('checks the cuts in the engine too', function()
    local sums, counted = ffi.new('double[16]'), ffi.new('int64_t[1]')
    local function status(ks)
      return lib.tkg_metrics_ranking(ints { 0, 1 }, 1, 2, nil, ints { 0, 1 }, ints { 0 }, ints(ks),
        #ks, sums, counted)
    end
    assert.equal(0, status { 1, 2 })
    assert.equal(1, tonumber(counted[0]))
    assert.is_true(status { 2, 1 } > 0)
    assert.is_true(status { 0 } > 0)
    assert.is_true(status {} > 0)
    assert.equal(1, tonumber(counted[0])) -- a failed call adds nothing
    assert.equal(8, lib.TKG_METRIC_COUNT)
  end)
end)
