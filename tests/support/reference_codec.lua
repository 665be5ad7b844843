--- The codec of kernels/shared/codec.h written again from its words, in float64 and without any of
--- its code, and calls of the engine's, for specs.
local assert = require 'luassert'
local ffi = require 'ffi'
local bit = require 'bit'

ffi.cdef [[
typedef struct {
  int bits, rounding;
  uint64_t seed;
  uint32_t step, stream;
  int64_t first_row;
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

local DITHER, STOCHASTIC, NEAREST, INDEPENDENT = 0, 1, 2, 3
local WIDTHS = { 1, 3, 5, 7, 8, 16, 17, 31, 33, 64, 100, 2060 }
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

-- The 8 numbers of 16 bits of Philox block `low` + 2^32 `high`.
local function numbers(codec, low, high)
  local c0, c1, c2, c3 = low, high, codec.step, codec.stream
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

-- Number i of the sequence that begins at block 2^32 `high`.
local function number(codec, i, high)
  local block = math.floor(i / 8)
  return numbers(codec, block % 2 ^ 32, high + math.floor(block / 2 ^ 32))[i % 8 + 1]
end

local function noise(codec, row, cols)
  local out, padded = {}, math.ceil(cols / 8) * 8
  local m, b
  if codec.rounding == DITHER then
    m, b = number(codec, 2 * row, 2 ^ 31), number(codec, 2 * row + 1, 2 ^ 31)
    m = m + 1 - m % 2
  end
  for c = 0, cols - 1 do
    out[c] = codec.rounding == NEAREST and 32768 or
      codec.rounding == DITHER and (number(codec, c, 0) * m + b) % 65536 or
      number(codec, row * padded + c, 0)
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
    local dither = codec.rounding == DITHER or codec.rounding == INDEPENDENT
    local u = dither and (n[c] + 0.5) / 65536 - 0.5 or 0
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

-- The same row again and again: each copy has numbers of its own, so it is another draw.
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
    for rounding = DITHER, INDEPENDENT do fn(new_codec(bits, rounding)) end
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

return {
  lib = lib, kernels = kernels, DITHER = DITHER, STOCHASTIC = STOCHASTIC, NEAREST = NEAREST,
  INDEPENDENT = INDEPENDENT,
  WIDTHS = WIDTHS, BITS = BITS, f32 = f32, bf16 = bf16, reference_pair = reference_pair,
  reference_row = reference_row, GUARD = GUARD, new_codec = new_codec, encode = encode,
  decode = decode, round_trip = round_trip, random_matrix = random_matrix, repeated = repeated,
  column = column, pair_at = pair_at, from_half = from_half, each_setting = each_setting,
  isas = isas,
}
