-- The codec's format, bit for bit, against the reference of tests/support, and rows that go wrong
-- elsewhere; codec_statistics_spec has its noise.
local bit = require 'bit'
local ffi = require 'ffi'
local arrays = require 'tests.support.arrays'
local codecs = require 'tests.support.reference_codec'

local lib, kernels, DITHER = codecs.lib, codecs.kernels, codecs.DITHER
local STOCHASTIC, NEAREST, WIDTHS = codecs.STOCHASTIC, codecs.NEAREST, codecs.WIDTHS
local f32, bf16, reference_row = codecs.f32, codecs.bf16, codecs.reference_row
local GUARD, new_codec, encode = codecs.GUARD, codecs.new_codec, codecs.encode
local decode, round_trip, random_matrix = codecs.decode, codecs.round_trip, codecs.random_matrix
local repeated, column, pair_at = codecs.repeated, codecs.column, codecs.pair_at
local from_half, each_setting, isas = codecs.from_half, codecs.each_setting, codecs.isas

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
    for _, bad in ipairs { { 3, 0, 1, 8 }, { 0, 0, 1, 8 }, { 16, 0, 1, 8 }, { 2, 4, 1, 8 },
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
          local rows = cols < 20 and 11 or cols > 1000 and 1 or 3
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

-- --- rows that go wrong elsewhere ---

describe('the codec', function()
  after_each(function() lib.tkg_set_isa(nil) end)

  local function nan(v) return v ~= v end

  local function matrix(values) return arrays.of('float', values) end

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
