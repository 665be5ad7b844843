-- Values dealt to ranks: steps of small networks have the same losses and gradients, bit for bit,
-- on any number of ranks, whether their columns can be dealt or not.
local fixtures = require 'tests.support.fixtures'
local mpi = require 'tests.support.mpi'
local shell = require 'tests.support.shell'

describe('ranks', function()
  teardown(fixtures.clean)

  it('exchange gradients in 8 bits on request, right on average', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for _, n in ipairs{2, 4} do
      local text = shell.gives(0, mpi.tinykg(n, 'tests/support/ranks_codes.lua'))
      local coded, exact, noise, off = text:match(
        '(%S+) of (%S+) bytes, noise (%S+), of means (%S+)')
      assert.is_true(coded / exact < 0.9, text)
      assert.is_true(tonumber(noise) > 1e-4 and tonumber(noise) < 0.05, text)
      -- the error of a mean of m falls as 1 / sqrt(m): by a bias it would not
      assert.is_true(tonumber(off) > 0.8 and tonumber(off) < 1.2, text)
    end
  end)

  it('exchange values and take the same steps as one', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for _, columns in ipairs{16, 20, 50, 64} do
      local program = ('tests/support/ranks_steps.lua %d'):format(columns)
      local alone = shell.gives(0, './tinykg ' .. program, 'columns')
      for _, n in ipairs(columns == 64 and {2, 4, 8} or {2, 4}) do
        assert.equal(alone, shell.gives(0, mpi.tinykg(n, program)))
      end
    end
  end)
end)
