-- Measured sensitivities: beside the variance that METHOD section 4 derives, and by the command.
local fixtures = require 'tests.support.fixtures'
local measure = require 'tinykg.train.sensitivity'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

describe('sensitivity', function()
  teardown(fixtures.clean)

  it('is that of the formula: squared range times squared gradient, by row, over twelve', function()
    local ROWS, COLS, OUT = 256, 64, 16
    tk.seed(11)
    local x, g = tk.randn(ROWS, 32), tk.randn(ROWS, OUT)
    local Model = tk.nn.class('Linear')
    -- rows of the saved value differ in range, so do rows of what it is multiplied with
    function Model:hidden() return (x * self.scale):matmul(self.first):relu() end
    function Model:phases()
      return {{name = 'a', steps = 8, sample = function() return {} end, loss = function()
        return (self:hidden():matmul(self.second) * g * self.scale):sum()
      end}}
    end
    local recipe = tk.recipe{name = 'linear', build = function() end, options = {}}
    local scale = tk.tensor((function()
      local list = {}
      for i = 1, ROWS do list[i] = {i / ROWS} end
      return list
    end)())
    local model = setmetatable({first = tk.parameter(tk.randn(32, COLS)),
                                second = tk.parameter(tk.randn(COLS, OUT)), scale = scale}, Model)
    local values = measure({recipe = recipe, model = model, data = {train = {n = 1}},
                            options = recipe:complete{}}, {rounding = 'dither', batches = 8},
                           function() end)
    local hidden, gradient, sum = model:hidden():totable(), (g * scale):totable(), 0
    for i = 1, ROWS do
      local norm = 0
      for k = 1, OUT do norm = norm + gradient[i][k] ^ 2 end
      local low, high = math.min(unpack(hidden[i])), math.max(unpack(hidden[i]))
      sum = sum + (high - low) ^ 2 * norm / 12
    end
    local name, found = next(values.a)
    assert.matches('^sensitivity_spec.lua:%d+ #%d$', name)
    assert.is_nil(next(values.a, name))
    -- about half of the elements are zeros that the ReLU's mask restores: they have no noise
    local zeros = 0
    for i = 1, ROWS do
      for j = 1, COLS do zeros = zeros + (hidden[i][j] == 0 and 1 or 0) end
    end
    local expected = sum / ROWS * (1 - zeros / (ROWS * COLS))
    assert.is_true(math.abs(found / expected - 1) < .1, ('%g, expected %g'):format(found, expected))
  end)

  it('is measured of a run, into a file that run and memory take', function()
    local dir, data = shell.demo(60, 80)
    local run, file = dir .. '/run', dir .. '/c.json'
    local arguments = 'recipes/kgin.lua --set dim=64 --set epochs=1 --data ' .. data
    shell.prints(('run %s --quiet --out %s'):format(arguments, run))
    local before = fixtures.names(run)
    local out = shell.prints(('sensitivity %s --to %s --batches 1'):format(run, file))
    assert.matches('^kept value +phase +sensitivity\nkgin%.lua:%d+ #%d+ +loss +%d', out)
    assert.same(before, fixtures.names(run))
    local values = fixtures.json(file).values.loss
    for name, c in pairs(values) do
      assert.matches('^kgin%.lua:%d+ #%d+$', name)
      assert.is_true(c > 0)
    end
    shell.prints(('memory %s --budget 1G --sensitivity %s'):format(arguments, file))
    local again = shell.prints(('sensitivity %s --to %s --batches 1'):format(run, file))
    assert.equal(out, again)
    shell.refuses('sensitivity ' .. run, 2, '%-%-to')
    shell.refuses(('sensitivity %s --to %s --batches 0'):format(run, file), 2, '%-%-batches')
  end)
end)
