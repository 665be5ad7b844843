-- Paired tests: values of scipy 1.17.1 (stats.ttest_1samp and stats.wilcoxon of the differences).
local paired_tests = require 'tinykg.report.tests.paired_tests'

--- n numbers in 0..1 of the generator of Park and Miller.
local function drawn(seed, n)
  local list = {}
  for i = 1, n do
    seed = seed * 16807 % 2147483647
    list[i] = seed / 2147483647
  end
  return list
end

local function map(list, f)
  local out = {}
  for i, x in ipairs(list) do out[i] = f(x) end
  return out
end

local function minus(c) return function(x) return x - c end end
--- Twentieths: many ties, some zeros.
local function coarse(c) return function(x) return math.floor((x - c) * 10 + 0.5) / 20 end end

-- differences, t, its p, w, its p
local CASES = {
  {'12, exact', map(drawn(7, 12), minus(0.3)), 2.9622073787314847, 0.01292417560283345, 10,
   0.02099609375},
  {'50, exact', map(drawn(11, 50), minus(0.45)), 0.9377577942671487, 0.3529683195071287, 544,
   0.3724861917482851},
  {'51, by the normal distribution', map(drawn(13, 51), minus(0.45)), 3.753409731905044,
   0.00045518518916856134, 300, 0.0006675562532329613},
  {'400 with ties and 30 zeros', map(drawn(17, 400), coarse(0.48)), 1.0673694155967757,
   0.2864504328656856, 32233, 0.30856791762939617},
  {'40 with ties and zeros', map(drawn(19, 40), coarse(0.4)), 1.7782469350914576,
   0.0831604892173351, 220, 0.04617728201467546},
  {'12 with ties and zeros, exact', {-0.1, -0.125, -0.025, -0.4, -0.05, 0, -0.125, -0.2, -0.075,
   -0.125, 0.05, -0.025}, -2.9789175181317007, 0.012543762090176692, 3.5, 0.005859375},
  {'30 far from zero', map(drawn(23, 30), function(x) return x * 0.1 + 1 end), 200.7509367161657,
   3.8932773555617085e-47, 0, 1.862645149230957e-09},
  {'20,000', map(drawn(29, 20000), minus(0.497)), 0.8546885002776221, 0.3927338566323869, 99309230,
   0.3941537164461416},
}

describe('paired tests', function()
  local function near(want, got) assert.near(1, got / want, 1e-9) end

  for _, case in ipairs(CASES) do
    it('give what scipy gives: ' .. case[1], function()
      local t, p = paired_tests.student(case[2])
      near(case[3], t)
      near(case[4], p)
      local w, q = paired_tests.wilcoxon(case[2])
      assert.equal(case[5], w)
      near(case[6], q)
    end)
  end

  it('do not depend on the sign or on the order', function()
    local list = CASES[4][2]
    local back = {}
    for i = 1, #list do back[i] = -list[#list + 1 - i] end
    assert.near(select(2, paired_tests.student(list)), select(2, paired_tests.student(back)), 1e-12)
    assert.equal(select(2, paired_tests.wilcoxon(list)), select(2, paired_tests.wilcoxon(back)))
  end)

  it('find no difference where there is none', function()
    assert.same({0, 1}, {paired_tests.student{0, 0, 0}})
    assert.same({0, 1}, {paired_tests.wilcoxon{0, 0, 0}})
    assert.same({math.huge, 0}, {paired_tests.student{0.5, 0.5}})
  end)
end)
