-- A sweep on a terminal: one table, redrawn in place.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local terminal = require 'tests.support.terminal'

describe('a sweep on a terminal', function()
  it('shows one table, redrawn in place, then what came out', function()
    local dir = fixtures.dir()
    shell.prints('data demo ' .. dir .. '/data --users 60 --items 80')
    local t = terminal.open({}, 'run', 'recipes/kgcn.lua', '--data', dir .. '/data', '--seed',
      '1,2,3', '--set', 'epochs=30', '--set', 'patience=0', '--set', 'batch_size=4', '--out',
      dir .. '/live')
    t:see('3 runs: 1 done, 1 running, 1 waiting')
    t:see('KGCN-seed1  done')
    t:see('KGCN-seed2  running')
    t:see('loss 0.')
    t:see('KGCN-seed3  waiting')
    t:see('test auc')
    assert.matches('^ +3 +0%.%d+ %+%- 0%.%d+ +0%.%d+ %+%- 0%.%d+',
                   t:see('sweep folder'):match('\nKGCN([^\n]*)'))
    assert.equal(0, t:ended())
    assert.matches('\27%[4A\27%[J3 runs: ', t.seen) -- four lines up, and drawn anew
    t:close()
    fixtures.clean()
  end)
end)
