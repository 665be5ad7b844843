--- The codec of saved tensors on one thread of the CPU: nanoseconds per element at each width and
--- rounding, and the ratio to copying the same floats.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local measure = require 'tinykg.bench.measure'
local rounding = require 'tinykg.engine.rounding'

ffi.cdef [[
int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols);
int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed);
int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x);
void tkg__fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, uint32_t step,
                      uint32_t stream);
]]

local COLUMNS = {{'bits', 'bits', '%d'}, {'rounding', 'rounding'}, {'ratio', 'x smaller', '%.2f'},
  {'encode_ns', 'encode ns', '%.3f'}, {'encode_x_copy', 'x copy', '%.2f'},
  {'decode_ns', 'decode ns', '%.3f'}, {'decode_x_copy', 'x copy', '%.2f'}}
local COLS = 64

local function cases_of(rows, x, y)
  local cases = {{run = function() ffi.copy(y, x, rows * COLS * 4) end}}
  for _, bits in ipairs{8, 4, 2, 1} do
    local packed = ffi.new('uint8_t[?]', tonumber(C.tkg_codec_bytes(bits, rows, COLS)))
    for _, name in ipairs(rounding.NAMES) do
      local number = rounding.NUMBERS[name]
      cases[#cases + 1] = {bits = bits, rounding = name, bytes = ffi.sizeof(packed),
        run = function() C.tkg_codec_encode(bits, number, 1, 2, 3, x, rows, COLS, packed) end}
      cases[#cases + 1] = {
        run = function() C.tkg_codec_decode(bits, number, 1, 2, 3, packed, rows, COLS, y) end}
    end
  end
  return cases
end

---@param o table {quick, seconds}
---@param out tinykg.BenchOutput
return function(o, out)
  local rows = o.quick and 2048 or 65536
  local n = rows * COLS
  local x, y = ffi.new('float[?]', n), ffi.new('float[?]', n)
  C.tkg__fill_normal(x, n, 0, 1, 1, 0, 0)
  out:doing('codec')
  local cases = measure.turns(cases_of(rows, x, y), {seconds = o.seconds})
  local records, copy = {}, cases[1].min
  for k = 2, #cases, 2 do
    local encode, decode = cases[k], cases[k + 1]
    records[#records + 1] = {bits = encode.bits, rounding = encode.rounding,
      ratio = 4 * n / encode.bytes, encode_ns = 1e6 * encode.min / n,
      encode_x_copy = encode.min / copy, decode_ns = 1e6 * decode.min / n,
      decode_x_copy = decode.min / copy, copy_ns = 1e6 * copy / n, rows = rows, columns = COLS}
  end
  out:heading('codec of kept values, %d x %d floats, one thread of the CPU; copying: %.3f ns per '
    .. 'element; minima', rows, COLS, 1e6 * copy / n)
  out:table('codec', COLUMNS, records)
end
