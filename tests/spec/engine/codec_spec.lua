-- The codec against a reference written here from kernels/shared/codec.h's words, in float64 and
-- without any of its code; its statistics against the formulas; and rows that go wrong elsewhere.
local ffi = require 'ffi'
local bit = require 'bit'

ffi.cdef [[
typedef struct {
  int bits, rounding;
  uint64_t seed;
  uint32_t step, stream;
} codec_spec_codec;
typedef struct {
  void (*encode)(const codec_spec_codec *codec, const float *x, int64_t cols, int64_t rows_total,
                 int64_t row_begin, int64_t row_end, uint8_t *packed);
  void (*decode)(const codec_spec_codec *codec, const uint8_t *packed, int64_t cols,
                 int64_t rows_total, int64_t row_begin, int64_t row_end, float *x);
  void (*sign_mask)(const float *x, int64_t n_begin, int64_t n_end, uint8_t *mask);
} codec_spec_kernels;
const codec_spec_kernels *tkg__codec(void);
int tkg_set_isa(const char *name);
const char *tkg__isa(void);
int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols);
int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed);
int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x);
void *mmap(void *at, size_t bytes, int protection, int flags, int file, int64_t offset);
int munmap(void *at, size_t bytes);
]]

local lib = ffi.load(os.getenv 'TINYKG_LIB' or './build/libtinykg.so')
local kernels = ffi.typeof('const codec_spec_kernels *')

local DITHER, STOCHASTIC, NEAREST = 0, 1, 2
local WIDTHS = { 1, 3, 5, 7, 8, 16, 17, 31, 33, 64, 100 }
local BITS = { 8, 4, 2, 1 }

-- --- the reference ---

local cell = ffi.new('union { float f; uint32_t u; int32_t i; }')

local function f32(x)
  cell.f = x
  return tonumber(cell.f)
end

-- bf16 has 8 significant bits: up is math.ceil, down is math.floor. For normal numbers.
local function bf16(x, round)
  if x == 0 then return x end
  local m, e = math.frexp(x)
  return round(m * 256) * 2 ^ (e - 8)
end

local function half_bits(x)
  cell.f = x
  return bit.rshift(cell.i, 16)
end

local function mulhilo(a, b)
  local p = ffi.cast('uint64_t', a) * ffi.cast('uint64_t', b)
  return tonumber(bit.rshift(p, 32)), tonumber(p % 4294967296ULL)
end

local function xor(a, b, c)
  return bit.bxor(bit.tobit(a), bit.tobit(b), bit.tobit(c)) % 4294967296
end

-- The 8 numbers of 16 bits of one Philox block.
local function numbers(codec, block)
  local c0, c1, c2, c3 = block % 2 ^ 32, math.floor(block / 2 ^ 32), codec.step, codec.stream
  local k0, k1 = codec.seed, 0
  for _ = 1, 10 do
    local hi0, lo0 = mulhilo(0xD2511F53, c0)
    local hi1, lo1 = mulhilo(0xCD9E8D57, c2)
    c0, c1, c2, c3 = xor(hi1, c1, k0), lo1, xor(hi0, c3, k1), lo0
    k0, k1 = (k0 + 0x9E3779B9) % 2 ^ 32, (k1 + 0xBB67AE85) % 2 ^ 32
  end
  local out = {}
  for _, word in ipairs { c0, c1, c2, c3 } do
    out[#out + 1] = word % 65536
    out[#out + 1] = math.floor(word / 65536)
  end
  return out
end

local function noise(codec, row, cols)
  local out = {}
  for c = 0, cols - 1 do
    if codec.rounding == NEAREST then
      out[c] = 32768
    else
      local block = row * math.ceil(cols / 8) + math.floor(c / 8)
      out[c] = numbers(codec, block)[c % 8 + 1]
    end
  end
  return out
end

local function reference_pair(bits, min, max)
  local top = 2 ^ bits - 1
  local zero = bf16(min, math.floor)
  local step = bf16(f32(f32(max - zero) / top), math.ceil)
  while f32(zero + f32(top * step)) < max do step = bf16(step * (1 + 2 ^ -9), math.ceil) end
  return zero, step
end

-- Row number `row` of a matrix: its packed bytes, its pair, and what they decode to.
local function reference_row(codec, x, row, cols)
  local min, max, top = math.huge, -math.huge, 2 ^ codec.bits - 1
  for c = 0, cols - 1 do min, max = math.min(min, x[c]), math.max(max, x[c]) end
  local zero, step = reference_pair(codec.bits, min, max)
  local scale = step > 0 and f32(65536 / step) or 0
  local n, bytes, decoded = noise(codec, row, cols), {}, {}
  for i = 1, math.ceil(cols * codec.bits / 8) do bytes[i] = 0 end
  for c = 0, cols - 1 do
    local v = math.min(math.floor(f32(f32(f32(x[c] - zero) * scale) + 0.5)), top * 65536)
    local q = math.floor((v + n[c]) / 65536)
    local place = c * codec.bits
    local i = math.floor(place / 8) + 1
    bytes[i] = bytes[i] + q * 2 ^ (place % 8)
    local u = codec.rounding == DITHER and (n[c] + 0.5) / 65536 - 0.5 or 0
    decoded[c] = f32(zero + f32(f32(q - u) * step))
  end
  return bytes, { half_bits(zero), half_bits(step) }, decoded
end

-- --- helpers ---

local GUARD = 0xA5

local function new_codec(bits, rounding, seed)
  return { bits = bits, rounding = rounding, seed = seed or 11, step = 5, stream = 9 }
end

local function encode(codec, x, rows, cols)
  local bytes = tonumber(lib.tkg_codec_bytes(codec.bits, rows, cols))
  local packed = ffi.new('uint8_t[?]', bytes + 8)
  ffi.fill(packed, bytes + 8, GUARD)
  assert.equal(0, lib.tkg_codec_encode(codec.bits, codec.rounding, codec.seed, codec.step,
    codec.stream, x, rows, cols, packed))
  for i = bytes, bytes + 7 do assert.equal(GUARD, packed[i]) end
  return packed, bytes
end

local function decode(codec, packed, rows, cols)
  local y = ffi.new('float[?]', rows * cols + 1)
  y[rows * cols] = 777
  assert.equal(0, lib.tkg_codec_decode(codec.bits, codec.rounding, codec.seed, codec.step,
    codec.stream, packed, rows, cols, y))
  assert.equal(777, y[rows * cols])
  return y
end

local function round_trip(codec, x, rows, cols)
  return decode(codec, (encode(codec, x, rows, cols)), rows, cols)
end

local function random_matrix(rows, cols, seed)
  math.randomseed(seed)
  local x = ffi.new('float[?]', math.max(1, rows * cols))
  for i = 0, rows * cols - 1 do
    x[i] = math.sqrt(-2 * math.log(1 - math.random())) * math.cos(6.2831853 * math.random())
  end
  return x
end

-- The same row again and again: each copy lies in other Philox blocks, so it is another draw.
local function repeated(row, draws)
  local cols = #row
  local x = ffi.new('float[?]', draws * cols)
  for i = 0, draws * cols - 1 do x[i] = row[i % cols + 1] end
  return x
end

-- Mean and variance of what column c of repeated rows decodes to.
local function column(y, draws, cols, c)
  local mean, variance = 0, 0
  for r = 0, draws - 1 do mean = mean + y[r * cols + c] / draws end
  for r = 0, draws - 1 do variance = variance + (y[r * cols + c] - mean) ^ 2 / draws end
  return mean, variance
end

local function pair_at(packed, bits, rows, cols, row)
  local offset = math.ceil(rows * math.ceil(cols * bits / 8) / 4) * 4 + 4 * row
  local low = packed[offset] + 256 * packed[offset + 1]
  local high = packed[offset + 2] + 256 * packed[offset + 3]
  return low, high
end

local function from_half(half)
  cell.u = half * 65536
  return tonumber(cell.f)
end

local function each_setting(fn)
  for _, bits in ipairs(BITS) do
    for rounding = DITHER, NEAREST do fn(new_codec(bits, rounding)) end
  end
end

local function isas()
  local found = {}
  for _, name in ipairs { 'sse2', 'avx2', 'avx512', 'neon' } do
    if lib.tkg_set_isa(name) == 0 then
      assert.equal(name, ffi.string(lib.tkg__isa()))
      found[#found + 1] = name
    end
  end
  lib.tkg_set_isa(nil)
  return found
end

-- --- the format ---

describe('the codec\'s format', function()
  after_each(function() lib.tkg_set_isa(nil) end)

  it('has the sizes that METHOD.md states', function()
    local expected = {
      [8] = { 3.2, 3.76, 3.88, 3.94 },
      [4] = { 5.3, 7.11, 7.53, 7.76 },
      [2] = { 8.0, 12.8, 14.2, 15.1 },
      [1] = { 10.7, 21.3, 25.6, 28.4 },
    }
    for bits, ratios in pairs(expected) do
      for i, cols in ipairs { 16, 64, 128, 256 } do
        local ratio = 1000 * cols * 4 / tonumber(lib.tkg_codec_bytes(bits, 1000, cols))
        assert.is_true(math.abs(ratio - ratios[i]) < 0.051, bits .. ' ' .. cols .. ' ' .. ratio)
      end
    end
    assert.equal(16, tonumber(lib.tkg_codec_bytes(2, 1, 64)) - 4) -- INT2 at 64: one 16-byte word
  end)

  it('pads the codes to 4 bytes and needs nothing for nothing', function()
    assert.equal(3 * 1 + 1 + 3 * 4, tonumber(lib.tkg_codec_bytes(1, 3, 7)))
    assert.equal(0, tonumber(lib.tkg_codec_bytes(4, 0, 64)))
    assert.equal(20, tonumber(lib.tkg_codec_bytes(4, 5, 0)))
    assert.equal(2 ^ 33 + 2 ^ 30 * 4, tonumber(lib.tkg_codec_bytes(1, 2 ^ 30, 64)))
  end)

  it('refuses what cannot be', function()
    local x, packed = ffi.new('float[8]'), ffi.new('uint8_t[16]')
    for _, bad in ipairs { { 3, 0, 1, 8 }, { 0, 0, 1, 8 }, { 16, 0, 1, 8 }, { 2, 3, 1, 8 },
      { 2, -1, 1, 8 }, { 2, 0, -1, 8 }, { 2, 0, 1, -8 }, { 8, 0, 2 ^ 40, 2 ^ 40 } } do
      local bits, rounding, rows, cols = unpack(bad)
      assert.are_not.equal(0, lib.tkg_codec_encode(bits, rounding, 1, 1, 1, x, rows, cols, packed))
      assert.are_not.equal(0, lib.tkg_codec_decode(bits, rounding, 1, 1, 1, packed, rows, cols, x))
    end
    assert.are_not.equal(0, lib.tkg_set_isa('z80'))
  end)

  it('is the reference\'s, bit for bit, on every instruction set and at odd widths', function()
    for _, isa in ipairs(isas()) do
      lib.tkg_set_isa(isa)
      each_setting(function(codec)
        for _, cols in ipairs(WIDTHS) do
          local rows = 3
          local x = random_matrix(rows, cols, cols)
          local packed, total = encode(codec, x, rows, cols)
          local y = decode(codec, packed, rows, cols)
          local at = 0
          for r = 0, rows - 1 do
            local bytes, pair, decoded = reference_row(codec, x + r * cols, r, cols)
            for i = 1, #bytes do assert.equal(bytes[i], packed[at + i - 1]) end
            at = at + #bytes
            assert.same(pair, { pair_at(packed, codec.bits, rows, cols, r) })
            for c = 0, cols - 1 do
              assert.equal(decoded[c], y[r * cols + c])
            end
          end
          for i = at, total - 4 * rows - 1 do assert.equal(0, packed[i]) end
        end
      end)
    end
  end)

  it('gives the same bytes and the same floats on every instruction set', function()
    each_setting(function(codec)
      for _, shape in ipairs { { 700, 64 }, { 90, 33 }, { 1, 5000 }, { 3, 2049 }, { 2, 1027 } } do
        local rows, cols = unpack(shape)
        local x = random_matrix(rows, cols, 3)
        local packed, decoded
        for _, isa in ipairs(isas()) do
          lib.tkg_set_isa(isa)
          local p, bytes = encode(codec, x, rows, cols)
          p = ffi.string(p, bytes)
          local y = ffi.string(decode(codec, p, rows, cols), rows * cols * 4)
          packed, decoded = packed or p, decoded or y
          assert.is_true(packed == p and decoded == y, isa)
        end
      end
    end)
  end)

  it('does not depend on how the rows are split', function()
    each_setting(function(codec)
      for _, cols in ipairs { 7, 64, 100, 3000 } do
        local rows = 41
        local x = random_matrix(rows, cols, 4)
        local whole, bytes = encode(codec, x, rows, cols)
        local y = decode(codec, whole, rows, cols)
        local parts, z = ffi.new('uint8_t[?]', bytes), ffi.new('float[?]', rows * cols)
        ffi.fill(parts, bytes, GUARD)
        local k = ffi.cast(kernels, lib.tkg__codec())
        local c = ffi.new('codec_spec_codec', codec)
        for _, range in ipairs { { 33, 41 }, { 0, 1 }, { 1, 1 }, { 1, 18 }, { 18, 33 } } do
          k.encode(c, x, cols, rows, range[1], range[2], parts)
        end
        assert.is_true(ffi.string(whole, bytes) == ffi.string(parts, bytes))
        for _, range in ipairs { { 7, 41 }, { 0, 7 } } do
          k.decode(c, parts, cols, rows, range[1], range[2], z + range[1] * cols)
        end
        assert.is_true(ffi.string(y, rows * cols * 4) == ffi.string(z, rows * cols * 4))
      end
    end)
  end)

  it('handles 0 rows, 0 columns and 1 element', function()
    each_setting(function(codec)
      local x = random_matrix(1, 64, 5)
      round_trip(codec, x, 0, 64)
      round_trip(codec, x, 5, 0)
      local y = round_trip(codec, x, 1, 1)[0]
      assert.is_true(math.abs(y - x[0]) <= 1.5 * 2 ^ -7 * math.abs(x[0]))
    end)
  end)

  it('finds noise and bytes beyond 2^31 and 2^35 elements', function()
    -- Address space only: of the whole matrices just the last rows' pages are ever touched.
    local PROTECTION, FLAGS, cols, tail = 3, 0x2 + 0x20 + 0x4000, 64, 3
    local function reserve(bytes)
      local at = ffi.C.mmap(nil, bytes, PROTECTION, FLAGS, -1, 0)
      return tonumber(ffi.cast('intptr_t', at)) ~= -1 and at or nil
    end
    for _, rows in ipairs { 2 ^ 25 + 5, 2 ^ 29 + 5 } do
      local codec = new_codec(1, DITHER)
      local bytes = tonumber(lib.tkg_codec_bytes(1, rows, cols))
      local x_map, packed_map = reserve(rows * cols * 4), reserve(bytes)
      if not (x_map and packed_map) then return pending('no address space to reserve') end
      local x, packed = ffi.cast('float *', x_map), ffi.cast('uint8_t *', packed_map)
      local first = rows - tail
      local values = random_matrix(tail, cols, 8)
      ffi.copy(x + first * cols, values, tail * cols * 4)
      local k, c = ffi.cast(kernels, lib.tkg__codec()), ffi.new('codec_spec_codec', codec)
      k.encode(c, x, cols, rows, first, rows, packed)
      ffi.fill(x + first * cols, tail * cols * 4)
      k.decode(c, packed, cols, rows, first, rows, x + first * cols)
      for r = 0, tail - 1 do
        local codes, pair, decoded = reference_row(codec, values + r * cols, first + r, cols)
        for i = 1, #codes do assert.equal(codes[i], packed[(first + r) * 8 + i - 1]) end
        assert.same(pair, { pair_at(packed, 1, rows, cols, first + r) })
        for i = 0, cols - 1 do assert.equal(decoded[i], x[(first + r) * cols + i]) end
      end
      ffi.C.munmap(x_map, rows * cols * 4)
      ffi.C.munmap(packed_map, bytes)
    end
  end)
end)

-- --- what is read back, on average ---

describe('the codec\'s statistics', function()
  local row = { -1.337, 0.71, 0, 0.1234, 2.7182, -0.5, 1.0001, -1.2, 0.3333, 2.1, 0.9 }
  local cols, draws = #row, 40000
  local x = repeated(row, draws)

  -- The step of this row and where column c lies in its step.
  local function step_of(bits, c)
    local zero, step = reference_pair(bits, f32(-1.337), f32(2.7182))
    return step, ((x[c] - zero) / step) % 1
  end

  -- How many standard errors the worst column's mean is off.
  local function worst_bias(codec, deviation)
    local y, worst = round_trip(codec, x, draws, cols), 0
    for c = 0, cols - 1 do
      local step, p = step_of(codec.bits, c)
      local mean = column(y, draws, cols, c)
      -- v is kept to 16 fractional bits: so much of a step is not noise.
      local off = math.max(0, math.abs(mean - x[c]) - 2 ^ -16 * step)
      worst = math.max(worst, off / (deviation(step, p) / math.sqrt(draws)))
    end
    return worst
  end

  local function dither_sd(step) return step / math.sqrt(12) end
  local function stochastic_sd(step, p) return step * math.sqrt(p * (1 - p)) + 1e-12 end

  it('are unbiased with stochastic rounding and with dither, at every width', function()
    for _, bits in ipairs(BITS) do
      assert.is_true(worst_bias(new_codec(bits, DITHER), dither_sd) < 4)
      assert.is_true(worst_bias(new_codec(bits, STOCHASTIC), stochastic_sd) < 4)
    end
  end)

  it('show the bias of rounding to nearest, so the test above can fail', function()
    for _, bits in ipairs(BITS) do
      assert.is_true(worst_bias(new_codec(bits, NEAREST), dither_sd) > 20)
    end
  end)

  it('have the variance of the formulas', function()
    for _, bits in ipairs(BITS) do
      local dithered = round_trip(new_codec(bits, DITHER), x, draws, cols)
      local rounded = round_trip(new_codec(bits, STOCHASTIC), x, draws, cols)
      for c = 0, cols - 1 do
        local step, p = step_of(bits, c)
        local _, variance = column(dithered, draws, cols, c)
        -- Relative deviation of a sample variance: sqrt((kurtosis - 1) / draws).
        assert.is_true(math.abs(variance / (step ^ 2 / 12) - 1) < 4.5 * math.sqrt(0.8 / draws))
        _, variance = column(rounded, draws, cols, c)
        local expected = p * (1 - p)
        local spread = math.sqrt(((1 - 2 * p) ^ 2 * expected + 2 * expected ^ 2) / draws)
        assert.is_true(math.abs(variance / step ^ 2 - expected) < 4.5 * spread + 2e-5)
      end
    end
  end)

  it('keep errors within half a step (dither, nearest) or a step (stochastic)', function()
    each_setting(function(codec)
      local y, half = round_trip(codec, x, draws, cols), codec.rounding ~= STOCHASTIC
      local step = step_of(codec.bits, 0)
      local bound = (half and 0.5 or 1) * step * 1.001
      for i = 0, draws * cols - 1 do assert(math.abs(y[i] - x[i]) <= bound) end
    end)
  end)

  it('differ by seed, step and stream', function()
    local base = ffi.string(encode(new_codec(2, STOCHASTIC), x, 50, cols))
    for _, field in ipairs { 'seed', 'step', 'stream' } do
      local other = new_codec(2, STOCHASTIC)
      other[field] = other[field] + 1
      assert.is_false(base == ffi.string(encode(other, x, 50, cols)))
    end
  end)
end)

-- --- rows that go wrong elsewhere ---

describe('the codec', function()
  after_each(function() lib.tkg_set_isa(nil) end)

  local function nan(v) return v ~= v end

  local function matrix(values)
    return ffi.new('float[?]', #values, values)
  end

  it('clamps: no code spills into its neighbour', function()
    -- Range = 255 steps exactly, with a step whose rounded reciprocal is too large: the top value
    -- is coded as a little more than 255, and one number in 65,536 would carry it to 256.
    local step
    for m = 128, 255 do
      if f32(f32(65536 / (m / 128)) * (255 * m / 128)) > 255 * 65536 then step = m / 128 end
    end
    assert.truthy(step)
    local cols, rows = 64, 16384
    local x = ffi.new('float[?]', rows * cols)
    for i = 0, rows * cols - 1 do x[i] = i % cols == 0 and 0 or 255 * step end
    local packed = encode(new_codec(8, STOCHASTIC), x, rows, cols)
    for i = 0, rows * cols - 1 do assert(packed[i] == (i % cols == 0 and 0 or 255)) end
  end)

  it('decodes with the pair it encoded with, which covers the row', function()
    each_setting(function(codec)
      local rows, cols = 300, 16
      local x = random_matrix(rows, cols, 6)
      local packed = encode(codec, x, rows, cols)
      for r = 0, rows - 1 do
        local low, high = pair_at(packed, codec.bits, rows, cols, r)
        local zero, step = from_half(low), from_half(high)
        local top = zero + (2 ^ codec.bits - 1) * step
        for c = 0, cols - 1 do
          local v = x[r * cols + c]
          assert.is_true(zero <= v and v <= top)
        end
      end
    end)
    -- max - min rounds to 1, which as a step would leave the top at 0, below max.
    local x = matrix { -1, 2 ^ -25 }
    local _, high = pair_at(encode(new_codec(1, NEAREST), x, 1, 2), 1, 1, 2, 0)
    assert.equal(1 + 2 ^ -7, from_half(high))
  end)

  it('rounds v to 16 fractional bits', function()
    local x = matrix { 0, 0.5 - 2 ^ -18, 1, 0.5 - 2 ^ -16 }
    local packed = encode(new_codec(1, NEAREST), x, 1, 4)
    assert.equal(6, packed[0]) -- the second is a half and goes up, the fourth stays below
  end)

  it('returns constant rows exactly, or unbiased where bf16 cannot hold the value', function()
    each_setting(function(codec)
      for _, value in ipairs { 0, 1, -3.5, 2 ^ 100, -2 ^ -120 } do
        local y = round_trip(codec, repeated({ value }, 40), 4, 10)
        for i = 0, 39 do assert.equal(value, y[i]) end
      end
      if codec.rounding ~= NEAREST then
        local rows, value = 4000, f32(1.2345)
        local y = round_trip(codec, repeated({ value }, rows * 10), rows, 10)
        local mean, variance = column(y, rows * 10, 1, 0)
        local gap = value - bf16(value, math.floor)
        assert.is_true(variance <= (gap * 1.01) ^ 2 / 4)
        local deviation = math.sqrt(variance / (rows * 10))
        assert.is_true(math.abs(mean - value) <= 4 * deviation + 2 ^ -16 * gap + 2 ^ -24)
      end
    end)
  end)

  it('gives NaN for all of a row with NaN, infinities or too wide a range, and no other', function()
    local big = 3.4e38
    local bad = { math.huge, -math.huge }
    for _, bits in ipairs { 0x7fc00000, 0xffc00000, 0x7f800001, 0x7fffffff, 0xffffffff } do
      bad[#bad + 1] = bits
    end
    for _, isa in ipairs(isas()) do
      lib.tkg_set_isa(isa)
      each_setting(function(codec)
        for cols = 19, 20 do
          for case = 1, #bad + 1 do
            for at = 0, cols - 1, 6 do
              local x = random_matrix(3, cols, 7)
              local words = ffi.cast('uint32_t *', x)
              if case <= 2 then
                x[cols + at] = bad[case]
              elseif case <= #bad then
                words[cols + at] = bad[case] -- NaNs of both signs and extreme payloads
              else
                x[cols + at], x[cols + 1] = big, -big
              end
              local y = round_trip(codec, x, 3, cols)
              for c = 0, cols - 1 do
                assert.is_true(nan(y[cols + c]) and not nan(y[c]) and not nan(y[2 * cols + c]))
              end
            end
          end
        end
      end)
    end
  end)

  it('takes large, tiny and denormal values, and -0.0 as 0', function()
    each_setting(function(codec)
      for _, scale in ipairs { 2 ^ 120, 2 ^ 20, 2 ^ -90, 2 ^ -126, 2 ^ -149 } do
        local x = matrix { 0, scale, 0, scale, 3 * scale }
        local y = round_trip(codec, x, 1, 5)
        local bound = math.max(3.1 * scale / (2 ^ codec.bits - 1), 2 ^ -100)
        for c = 0, 4 do assert.is_true(math.abs(y[c] - x[c]) <= bound) end
      end
      local tiny = encode(codec, matrix { 0, 2 ^ -126 }, 1, 2)
      local _, high = pair_at(tiny, codec.bits, 1, 2, 0)
      assert.equal(2 ^ -100, from_half(high))
      local y = round_trip(codec, matrix { -0.0, -0.0, 0, -0.0 }, 2, 2)
      for i = 0, 3 do assert.equal(0, y[i]) end
      y = round_trip(codec, matrix { 65504 * 4, 1e30, -1e30 }, 1, 3) -- beyond fp16
      for c = 0, 2 do assert.is_false(nan(y[c])) end
    end)
  end)
end)

describe('the sign mask', function()
  after_each(function() lib.tkg_set_isa(nil) end)

  it('has a bit for each positive number and zeros beyond the end', function()
    for _, isa in ipairs(isas()) do
      lib.tkg_set_isa(isa)
      local k = ffi.cast(kernels, lib.tkg__codec())
      for _, n in ipairs { 0, 1, 7, 8, 9, 31, 32, 33, 2048, 5001 } do
        local x = random_matrix(1, n + 4, n)
        x[0], x[1], x[2], x[3] = 0 / 0, -0.0, 0, 2 ^ -149
        local bytes = math.ceil(n / 8)
        local mask = ffi.new('uint8_t[?]', bytes + 1)
        ffi.fill(mask, bytes + 1, GUARD)
        local middle = math.floor(n / 16) * 8
        k.sign_mask(x, middle, n, mask)
        k.sign_mask(x, 0, middle, mask)
        for i = 0, bytes * 8 - 1 do
          local expected = i < n and x[i] > 0
          assert.equal(expected, bit.band(mask[math.floor(i / 8)], 2 ^ (i % 8)) ~= 0)
        end
        assert.equal(GUARD, mask[bytes])
      end
    end
  end)
end)
