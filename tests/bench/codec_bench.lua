-- Speed of the codec on one thread: nanoseconds an element for every width and rounding, and how
-- many times as long as copying the same floats takes, measured in the same run.
--   tinykg tests/bench/codec_bench.lua [cols] [million elements]
-- TINYKG_LIB names the library, TINYKG_ISA the instruction set.
local ffi = require 'ffi'

ffi.cdef [[
typedef struct { long s, ns; } tkg_bench_time;
int clock_gettime(int clock, tkg_bench_time *t);
const char *tkg__isa(void);
int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols);
int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed);
int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x);
void tkg__fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, uint32_t step,
                      uint32_t stream);
]]

local lib = ffi.load(os.getenv 'TINYKG_LIB' or './build/libtinykg.so')
local cols = tonumber(arg[1] or 64)
local rows = math.max(1, math.floor(tonumber(arg[2] or 8.4) * 1e6 / cols))
local n = rows * cols
local repeats = 5

local function now()
  local t = ffi.new('tkg_bench_time')
  ffi.C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) * 1e-9
end

-- The best of some runs, in nanoseconds an element; one run before them warms up.
local function measure(fn)
  local best = math.huge
  for i = 0, repeats do
    local start = now()
    fn()
    if i > 0 then best = math.min(best, now() - start) end
  end
  return best / n * 1e9
end

local x, y = ffi.new('float[?]', n), ffi.new('float[?]', n)
lib.tkg__fill_normal(x, n, 0, 1, 1, 0, 0)
local copy = measure(function() ffi.copy(y, x, n * 4) end)

print(('codec, %s, %d x %d floats, one thread; memcpy %.3f ns/element')
  :format(ffi.string(lib.tkg__isa()), rows, cols, copy))
print('bits rounding     ratio  encode ns  x memcpy  decode ns  x memcpy')
for _, bits in ipairs { 8, 4, 2, 1 } do
  local bytes = tonumber(lib.tkg_codec_bytes(bits, rows, cols))
  local packed = ffi.new('uint8_t[?]', bytes)
  for rounding, name in pairs { [0] = 'dither', 'stochastic', 'nearest' } do
    local encode = measure(function()
      lib.tkg_codec_encode(bits, rounding, 1, 2, 3, x, rows, cols, packed)
    end)
    local decode = measure(function()
      lib.tkg_codec_decode(bits, rounding, 1, 2, 3, packed, rows, cols, y)
    end)
    print(('%4d %-10s %7.2f %10.3f %9.2f %10.3f %9.2f')
      :format(bits, name, n * 4 / bytes, encode, encode / copy, decode, decode / copy))
  end
end
