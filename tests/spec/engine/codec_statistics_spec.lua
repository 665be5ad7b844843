-- What the codec reads back on average, against the formulas.
local ffi = require 'ffi'
local codecs = require 'tests.support.reference_codec'

local DITHER, STOCHASTIC, NEAREST = codecs.DITHER, codecs.STOCHASTIC, codecs.NEAREST
local INDEPENDENT = codecs.INDEPENDENT
local BITS, f32, reference_pair = codecs.BITS, codecs.f32, codecs.reference_pair
local new_codec, encode, round_trip = codecs.new_codec, codecs.encode, codecs.round_trip
local repeated, column, each_setting = codecs.repeated, codecs.column, codecs.each_setting

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
      assert.is_true(worst_bias(new_codec(bits, INDEPENDENT), dither_sd) < 4)
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
      local dithered = {round_trip(new_codec(bits, DITHER), x, draws, cols),
                        round_trip(new_codec(bits, INDEPENDENT), x, draws, cols)}
      local rounded = round_trip(new_codec(bits, STOCHASTIC), x, draws, cols)
      for c = 0, cols - 1 do
        local step, p = step_of(bits, c)
        for _, y in ipairs(dithered) do
          local _, variance = column(y, draws, cols, c)
          -- Relative deviation of a sample variance: sqrt((kurtosis - 1) / draws).
          assert.is_true(math.abs(variance / (step ^ 2 / 12) - 1) < 4.5 * math.sqrt(0.8 / draws))
        end
        local _, variance = column(rounded, draws, cols, c)
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
    for _, rounding in ipairs { DITHER, STOCHASTIC, INDEPENDENT } do
      local base = ffi.string(encode(new_codec(2, rounding), x, 50, cols))
      for _, field in ipairs { 'seed', 'step', 'stream' } do
        local other = new_codec(2, rounding)
        other[field] = other[field] + 1
        assert.is_false(base == ffi.string(encode(other, x, 50, cols)))
      end
    end
  end)
end)

-- Errors of a small matrix in many steps, in units of a codec's step: their joint moments.
describe('errors of different elements', function()
  local ROWS, COLS, STEPS = 18, 12, 8000
  local row = { 0, 1, 0.3, 0.8, 0.45, 0.1, 0.62, 0.77, 0.9, 0.05, 0.33, 0.5 }
  local x = repeated(row, ROWS) -- equal rows: the four phases of a rectangle add up to 0
  -- places (row, column) that share a row, a column, neither, and Philox blocks or not
  local i, j, t, k = 1, 2, 10, 9
  local PAIRS = { { i, j, i, k }, { i, j, t, j }, { i, j, t, k }, { i, k, t, j },
    { i, j, i + 1, j + 1 }, { 0, 0, 8, 8 }, { 7, 3, 8, 3 }, { 5, 7, 5, 8 } }

  --- Means of the products of errors: of the pairs, and of the rectangle of rows i, t and columns
  --- j, k.
  local function moments(codec)
    local pairs_, rectangle, step = {}, 0, f32(1) / (2 ^ codec.bits - 1)
    for s = 1, STEPS do
      codec.step = s
      local y = round_trip(codec, x, ROWS, COLS)
      local function e(r, c) return (y[r * COLS + c] - x[r * COLS + c]) / step end
      for n, p in ipairs(PAIRS) do
        pairs_[n] = (pairs_[n] or 0) + e(p[1], p[2]) * e(p[3], p[4]) / STEPS
      end
      rectangle = rectangle + e(i, j) * e(i, k) * e(t, j) * e(t, k) / STEPS
    end
    return pairs_, rectangle
  end

  -- numbers that were sums of one per row and one per column would give a rectangle the mean 1/720
  for name, rounding in pairs { affine = DITHER, independent = INDEPENDENT } do
    it('are uncorrelated in pairs and at the corners of a rectangle: ' .. name,
      function()
        local pairs_, rectangle = moments(new_codec(1, rounding))
        for n, mean in ipairs(pairs_) do -- a product of two has the deviation 1/12
          assert.is_true(math.abs(mean) < 4 / 12 / math.sqrt(STEPS), n .. ': ' .. mean)
        end
        -- a product of four has the deviation 1/144
        assert.is_true(math.abs(rectangle) < 4 / 144 / math.sqrt(STEPS), rectangle)
      end)
  end
end)
