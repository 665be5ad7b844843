-- Philox4x32-10 against its published vectors, and the fills made from it.
local ffi = require 'ffi'

ffi.cdef [[
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);
void tkg_philox_raw(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
void tkg__fill_uniform(float *out, int64_t n, float lo, float hi, uint64_t seed, uint32_t step,
                       uint32_t stream, int64_t first);
void tkg__fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, uint32_t step,
                      uint32_t stream, int64_t first);
void tkg__permutation(int32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);
]]

local lib = ffi.load(os.getenv 'TINYKG_LIB' or './build/libtinykg.so')

local function words(out)
  return { out[0], out[1], out[2], out[3] }
end

local function philox(seed, block, step, stream)
  local out = ffi.new('uint32_t[4]')
  lib.tkg_philox(seed, block, step, stream, out)
  return words(out)
end

describe('Philox4x32-10', function()
  -- The known answers published with Random123 (kat_vectors).
  local ones = 0xffffffff
  local vectors = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { ones, ones, ones, ones }, { ones, ones },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
  }

  it('gives the published answers', function()
    for _, v in ipairs(vectors) do
      local out = ffi.new('uint32_t[4]')
      lib.tkg_philox_raw(ffi.new('uint32_t[4]', v[1]), ffi.new('uint32_t[2]', v[2]), out)
      assert.same(v[3], words(out))
    end
  end)

  it('takes seed, block, step and stream in the project\'s order', function()
    -- The last vector again: key = seed, low word first; counter = block low, high, step, stream.
    assert.same(vectors[3][3],
      philox(0x299f31d0a4093822ULL, 0x85a308d3243f6a88ULL, 0x13198a2e, 0x03707344))
  end)

  it('changes with every part of its input', function()
    local base = philox(1, 2, 3, 4)
    for _, other in ipairs { philox(2, 2, 3, 4), philox(0x100000001ULL, 2, 3, 4),
      philox(1, 3, 3, 4), philox(1, 0x100000002ULL, 3, 4), philox(1, 2, 4, 4),
      philox(1, 2, 3, 5) } do
      assert.are_not.same(base, other)
    end
  end)
end)

-- Buffers end in a guard that a fill must leave alone.
local guard = 12345

local function fill(name, n, a, b, seed, first)
  local out = ffi.new('float[?]', n + 1)
  out[n] = guard
  lib[name](out, n, a, b, seed or 7, 1, 2, first or 0)
  assert.equal(guard, out[n])
  return out
end

local function moments(x, n)
  local mean, variance, fourth = 0, 0, 0
  for i = 0, n - 1 do mean = mean + x[i] / n end
  for i = 0, n - 1 do
    local d = (x[i] - mean) ^ 2
    variance, fourth = variance + d / n, fourth + d * d / n
  end
  return mean, variance, fourth / variance ^ 2
end

describe('a uniform fill', function()
  it('is the words\' upper 24 bits, number after number', function()
    for _, n in ipairs { 0, 1, 3, 4, 5, 9 } do
      local x = fill('tkg__fill_uniform', n, 0, 1)
      for i = 0, n - 1 do
        local word = philox(7, math.floor(i / 4), 1, 2)[i % 4 + 1]
        assert.equal(math.floor(word / 256) / 2 ^ 24, x[i])
      end
    end
  end)

  it('has the mean, the variance and the ends of its interval', function()
    local n, lo, hi = 100000, -2, 3
    local x = fill('tkg__fill_uniform', n, lo, hi)
    local mean, variance = moments(x, n)
    local expected = (hi - lo) ^ 2 / 12
    assert.is_true(math.abs(mean - 0.5) < 4 * math.sqrt(expected / n))
    assert.is_true(math.abs(variance / expected - 1) < 4 * math.sqrt(0.8 / n))
    local least, most = math.huge, -math.huge
    for i = 0, n - 1 do least, most = math.min(least, x[i]), math.max(most, x[i]) end
    assert.is_true(least >= lo and least < lo + 1e-3 and most <= hi and most > hi - 1e-3)
  end)
end)

describe('a normal fill', function()
  it('is Box and Muller\'s of the words', function()
    local x = fill('tkg__fill_normal', 7, 1, 2)
    for i = 0, 6 do
      local w = philox(7, math.floor(i / 4), 1, 2)
      local first = i % 4 < 2 and 1 or 3
      local radius = math.sqrt(-2 * math.log((w[first] + 1) / 2 ^ 32))
      local angle = 2 * math.pi * w[first + 1] / 2 ^ 32
      local normal = radius * (i % 2 == 0 and math.cos(angle) or math.sin(angle))
      assert.is_true(math.abs(1 + 2 * normal - x[i]) < 1e-6)
    end
  end)

  it('has the moments and the tails of a normal distribution', function()
    local n = 400000
    local x = fill('tkg__fill_normal', n, 3, 0.5)
    local mean, variance, kurtosis = moments(x, n)
    assert.is_true(math.abs(mean - 3) < 4 * 0.5 / math.sqrt(n))
    assert.is_true(math.abs(variance / 0.25 - 1) < 4 * math.sqrt(2 / n))
    assert.is_true(math.abs(kurtosis - 3) < 4 * math.sqrt(24 / n))
    local beyond = 0
    for i = 0, n - 1 do
      if math.abs(x[i] - 3) > 3 * 0.5 then beyond = beyond + 1 end
    end
    assert.is_true(math.abs(beyond / n - 0.0026998) < 4 * math.sqrt(0.0027 / n))
  end)

  it('depends neither on the length nor on earlier calls', function()
    local long, short = fill('tkg__fill_normal', 11, 0, 1), fill('tkg__fill_normal', 6, 0, 1)
    for i = 0, 5 do assert.equal(long[i], short[i]) end
    for _, name in ipairs{'tkg__fill_normal', 'tkg__fill_uniform'} do
      local whole, rest = fill(name, 11, 0, 1), fill(name, 3, 0, 1, 7, 8)
      for i = 0, 2 do assert.equal(whole[8 + i], rest[i]) end
    end
    assert.are_not.equal(long[0], fill('tkg__fill_normal', 1, 0, 1, 8)[0])
  end)
end)

describe('a permutation', function()
  local function permutation(n, seed)
    local out = ffi.new('int32_t[?]', n + 1)
    out[n] = guard
    lib.tkg__permutation(out, n, seed, 1, 2)
    assert.equal(guard, out[n])
    return out
  end

  it('holds every number once', function()
    for _, n in ipairs { 0, 1, 2, 3, 10, 1000 } do
      local p, seen = permutation(n, 5), {}
      for i = 0, n - 1 do
        assert.is_true(p[i] >= 0 and p[i] < n and not seen[p[i]])
        seen[p[i]] = true
      end
    end
  end)

  it('is any order with the same probability', function()
    local count, draws = {}, 24000
    for seed = 1, draws do
      local p = permutation(4, seed)
      local key = p[0] * 1000 + p[1] * 100 + p[2] * 10 + p[3]
      count[key] = (count[key] or 0) + 1
    end
    local chi, orders = 0, 0
    for _, c in pairs(count) do
      chi, orders = chi + (c - draws / 24) ^ 2 / (draws / 24), orders + 1
    end
    assert.equal(24, orders)
    assert.is_true(chi < 49.7) -- 23 degrees of freedom, one in a thousand
  end)
end)
