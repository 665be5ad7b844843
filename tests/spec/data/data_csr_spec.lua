-- Sorted pairs, distinct pairs and triples, argsort: against plain Lua.
local fixtures = require 'tests.support.fixtures'
local arrays = require 'tinykg.engine.arrays'
local array_of = require('tests.support.arrays').of
local random_from = require('tests.support.reference_ops').random

local list = fixtures.list

local function ints(values) return array_of('int32_t', values) end

local function random_pairs(n, users, items, seed)
  local draw, u, i = random_from(seed - 1), {}, {}
  for k = 1, n do
    u[k], i[k] = draw(users), draw(items)
  end
  return u, i
end

describe('csr', function()
  for _, case in ipairs { { 0, 3, 5 }, { 1, 1, 1 }, { 500, 7, 30 }, { 3000, 50, 3000000 },
    { 2000, 900, 2147483646 } } do
    local n, users, items = case[1], case[2], case[3]
    it(('sorts %d pairs of %d by %d, stably'):format(n, users, items), function()
      local u, i = random_pairs(n, users, items, n + 17)
      local want = {}
      for k = 1, n do want[k] = { u[k], i[k], k - 1 } end
      table.sort(want, function(a, b)
        if a[1] ~= b[1] then return a[1] < b[1] end
        if a[2] ~= b[2] then return a[2] < b[2] end
        return a[3] < b[3]
      end)
      local csr = arrays.csr(n, ints(u), ints(i), users)
      assert.equal(0, csr.offsets[0])
      assert.equal(n, csr.offsets[users])
      local at = 0
      for row = 0, users - 1 do
        for k = csr.offsets[row], csr.offsets[row + 1] - 1 do
          at = at + 1
          assert.same(want[at], { row, csr.items[k], csr.order[k] })
        end
      end
      assert.equal(n, at)
    end)
  end

  it('finds what is there and only that', function()
    local u, i = random_pairs(400, 9, 60, 5)
    local csr, has = arrays.csr(400, ints(u), ints(i), 9), {}
    for k = 1, 400 do has[u[k] * 100 + i[k]] = true end
    for row = 0, 8 do
      for col = 0, 61 do assert.equal(has[row * 100 + col] or false, csr:contains(row, col)) end
    end
    assert.is_false(csr:contains(9, 1))
    assert.is_false(csr:contains(-1, 1))
  end)

  it('keeps the first of equal pairs', function()
    local users, items = ints { 2, 0, 2, 0, 2, 2, 0 }, ints { 5, 1, 5, 0, 3, 5, 1 }
    local csr = arrays.csr(7, users, items, 4):unique()
    assert.equal(4, csr.n)
    assert.same({ 0, 2, 2, 4, 4 }, list(csr.offsets, 5))
    assert.same({ 0, 1, 3, 5 }, list(csr.items, 4))
    assert.same({ 3, 1, 4, 0 }, list(csr.order, 4))
  end)

  it('refuses ids out of range, saying which', function()
    local function build(u, i) return fixtures.message(arrays.csr, #u, ints(u), ints(i), 3) end
    assert.equal('csr: row 3 at position 1 is not in 0 .. 2', build({ 0, 3 }, { 0, 0 }))
    assert.equal('csr: row -1 at position 0 is not in 0 .. 2', build({ -1 }, { 0 }))
    assert.equal('csr: column -7 at position 1 is negative', build({ 0, 1 }, { 0, -7 }))
  end)
end)

describe('unique_triples', function()
  it('drops repeats in place and keeps the order', function()
    local h, r, t = ints { 1, 0, 1, 1, 0, 1 }, ints { 2, 2, 2, 1, 2, 2 }, ints { 3, 3, 3, 3, 3, 4 }
    local n = arrays.unique_triples(6, h, r, t)
    assert.equal(4, n)
    assert.same({ 1, 0, 1, 1 }, list(h, n))
    assert.same({ 2, 2, 1, 2 }, list(r, n))
    assert.same({ 3, 3, 3, 4 }, list(t, n))
  end)

  it('agrees with a Lua set on many', function()
    local draw, h, r, t, seen, want = random_from(2), {}, {}, {}, {}, {}
    for k = 1, 5000 do
      h[k], r[k], t[k] = draw(40), draw(3), draw(5000) < 4000 and draw(20) or draw(2000000)
      local key = h[k] .. ' ' .. r[k] .. ' ' .. t[k]
      if not seen[key] then
        seen[key] = true
        want[#want + 1] = key
      end
    end
    local hs, rs, ts = ints(h), ints(r), ints(t)
    local n = arrays.unique_triples(5000, hs, rs, ts)
    assert.same(want, fixtures.triples_of { n = n, heads = hs, relations = rs, tails = ts })
  end)

  it('refuses negative ids', function()
    assert.equal('triple 1 has the negative id -2', fixtures.message(arrays.unique_triples, 2,
      ints { 0, 0 }, ints { 0, -2 }, ints { 0, 0 }))
  end)
end)

describe('argsort and permutation', function()
  it('orders doubles of either sign, equal ones as they came', function()
    local values = { 3, -1e-300, 0, 1e300, -5.5, 3, 881250949.25, -0.0, 881250949, -1e300, 1e-310 }
    local want = {}
    for i = 1, #values do want[i] = i - 1 end
    table.sort(want, function(a, b)
      local x, y = values[a + 1], values[b + 1]
      if x ~= y then return x < y end
      return a < b
    end)
    assert.same(want, list(arrays.argsort(#values, array_of('double', values)), #values))
  end)

  it('permutes, the same for the same seed and epoch only', function()
    local a, b = arrays.permutation(100, 1, 2, 3), arrays.permutation(100, 1, 2, 3)
    assert.same(list(a, 100), list(b, 100))
    for _, other in ipairs { { 2, 2, 3 }, { 1, 3, 3 }, { 1, 2, 4 } } do
      assert.are_not.same(list(a, 100), list(arrays.permutation(100, unpack(other)), 100))
    end
    local sorted = list(a, 100)
    table.sort(sorted)
    for i = 1, 100 do assert.equal(i - 1, sorted[i]) end
  end)
end)
