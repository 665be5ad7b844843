-- Labels of one class: AUC is not defined, and training goes on without it.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local json = require 'tinykg.base.json'

local RUN = 'run recipes/kgcn.lua --threads 1 --set epochs=2 --data '

describe('labels of one class', function()
  teardown(fixtures.clean)

  local function set_dir()
    local lines = {'user,item,label'}
    for u = 1, 4 do
      for i = 1, 6 do lines[#lines + 1] = ('u%d,a%d,1'):format(u, i) end
    end
    return fixtures.dir{['interactions.csv'] = lines,
                        ['kg.csv'] = {'head,relation,tail', 'a1,is,x', 'a2,is,y'}}
  end

  it('leave AUC undefined: null, or a dash', function()
    local dir = set_dir()
    local run = dir .. '/run'
    assert.matches('warning +all labels are 1: should items be ranked',
                   shell.prints('data info ' .. dir))
    assert.matches('auc +%- +%- +%-\n', shell.prints(RUN .. dir .. ' --out ' .. run))
    local summary = assert(fixtures.json(run .. '/summary.json'))
    assert.equal(json.null, summary.test.auc)
    assert.equal(json.null, summary.valid.auc)
    assert.equal('number', type(summary.test.f1))
    assert.matches('\nauc +%-\nf1 +%d%.%d+\n', shell.prints('eval ' .. run))
    local measured = json.decode(shell.prints('eval --json ' .. run))
    assert.equal(json.null, measured.metrics.auc)
    assert.equal(summary.test.f1, measured.metrics.f1)
    -- What was read back of it is shown again.
    assert.matches('auc +%- +%- +%-\n', shell.prints('run --resume --out ' .. run))
    assert.matches('^%S+: 1 run', shell.prints(('report %s -o %s/r.html'):format(run, dir)))
  end)

  it('in a sweep are a dash too', function()
    local dir = set_dir()
    local text = shell.prints(RUN .. dir .. ' --seed 1,2 --out ' .. dir .. '/runs')
    assert.matches(' test auc\n', text)
    assert.matches('\nKGCN +2 +%d%.%d+ %+%- %d%.%d+ +%d%.%d+ %+%- %d%.%d+ +%S+ %S+ +%-\n', text)
  end)

  it('refuse to stop by AUC, before training', function()
    local dir = set_dir()
    local text = shell.gives(1, './tinykg ' .. RUN .. dir .. ' --set metric=auc --out ' .. dir ..
      '/run', 'option metric: auc is not defined on the validation part, all 4 labels are 1: ' ..
      'f1 is\n$')
    assert.is_nil(text:find 'epoch')
  end)
end)
