-- What the codec reads back on average, against the formulas.
local ffi = require 'ffi'
local codecs = require 'tests.support.reference_codec'

local DITHER, STOCHASTIC, NEAREST = codecs.DITHER, codecs.STOCHASTIC, codecs.NEAREST
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
