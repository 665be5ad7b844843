-- Every recipe trains the same bits on 1, 2 and 4 ranks of a launcher. Its tables are so large that
-- two ranks divide them; four leave tables of 16 columns whole.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local mpi = require 'tests.support.mpi'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local function recipes()
  local names = {}
  for entry in lfs.dir('recipes') do names[#names + 1] = entry:match('^([^.].*)%.lua$') end
  table.sort(names)
  return names
end

describe('ranks', function()
  local data
  setup(function() data = select(2, shell.demo(2100, 2100)) end)
  teardown(fixtures.clean)

  local SHORT = '--set epochs=2 --set eval_every=1 --set eval_users=40 --steps 4 ' ..
    '--data-set task=ranking --bits '

  for _, name in ipairs(recipes()) do
    it('give the same bits, whatever their number: ' .. name, function()
      if not mpi.first then return pending(mpi.MISSING) end
      for _, bits in ipairs{32, 2} do
        local more = mpi.small(name) .. ' ' .. SHORT .. bits
        local alone = mpi.train(name, 1, data, more)
        for _, n in ipairs(bits == 2 and {2, 4} or {2}) do
          local out = mpi.train(name, n, data, more)
          runs.same(alone, out, false)
          assert.equal(n, runs.read(out .. '/config.json').ranks)
          assert.is_nil(lfs.attributes(out .. '/previous'))
        end
      end
    end)
  end

  it('give the same bits with each kind of moments', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for _, option in ipairs{'optimizer_bits=8', 'optimizer_rowwise=true', 'optimizer_lazy=true',
                            'parameter_bits=16'} do
      local more = mpi.small('bpr-mf') .. ' ' .. SHORT .. '2 --set ' .. option
      local alone = mpi.train('bpr-mf', 1, data, more)
      runs.same(alone, mpi.train('bpr-mf', 2, data, more), false)
      local begun = mpi.train('bpr-mf', 2, data, (more:gsub('epochs=2', 'epochs=1')))
      shell.gives(0, mpi.tinykg(2, 'run --resume --set epochs=2 --quiet --out ' .. begun))
      runs.same(alone, begun, false)
    end
  end)
end)
