-- tinykg runs: a line per run, also of those that failed or are damaged.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

describe('tinykg runs', function()
  local there, home
  local function gives(status, arguments, pattern)
    return shell.gives(status, home .. '/tinykg ' .. arguments, pattern, there)
  end
  setup(function()
    home = os.getenv('TINYKG_HOME') or require('lfs').currentdir()
    there = fixtures.dir{}
    gives(0, 'data demo films --users 40 --items 30')
    gives(0, 'run bpr-mf --quiet --data films --set epochs=2 --set dim=4 --bits 8 --out runs/one')
    gives(0, 'run bpr-mf --quiet --data films --set epochs=1 --data-set task=ranking --seed 2,3 ' ..
             '--set metric=ndcg@10 --out runs/sweep')
    -- a sweep's jobs begin within a second of each other
    for k, path in ipairs{'one', 'sweep/BPR-MF-seed2', 'sweep/BPR-MF-seed3'} do
      shell.gives(0, ("touch -d '2020-01-0%d 10:0%d' runs/%s/config.json"):format(k, k, path), nil,
                  there)
    end
  end)
  teardown(fixtures.clean)

  --- The lines behind the head, split at two blanks or more.
  local function rows(arguments)
    local list = {}
    for line in gives(0, 'runs ' .. arguments):gmatch('[^\n]+') do
      local cells = {}
      for cell in (line .. '  '):gmatch('(%S.-)%s%s+') do cells[#cells + 1] = cell end
      list[#list + 1] = cells
    end
    assert.equal('folder', table.remove(list, 1)[1])
    return list
  end

  it('lists them by date, with the metric of early stopping', function()
    local list = rows('')
    assert.equal(3, #list)
    local auc = fixtures.json(there .. '/runs/one/summary.json').test.auc
    local ndcg = fixtures.json(there .. '/runs/sweep/BPR-MF-seed3/summary.json').test['ndcg@10']
    assert.same({'runs/one', 'BPR-MF', 'films', '8', '1', ('auc %.4f'):format(auc),
                 '2020-01-01 10:01'}, {unpack(list[1], 1, 7)})
    assert.same({'runs/sweep/BPR-MF-seed3', 'BPR-MF', 'films', '32', '3',
                 ('ndcg@10 %.4f'):format(ndcg), '2020-01-03 10:03'}, {unpack(list[3], 1, 7)})
    assert.equal(1, #rows('runs/one'))
    assert.equal(2, #rows('runs/sweep'))
  end)

  it('shows the metric that a run goes by, whichever that is', function()
    for _, case in ipairs{{'eval_k=5,15', 'recall@15'},
                          {'eval_negatives=uni100', 'recall@20 (uni100)'},
                          {'eval_negatives=uni100 --set metric=ndcg@10', 'ndcg@10 (uni100)'}} do
      local more, metric = unpack(case)
      gives(0, 'run bpr-mf --quiet --force --data films --data-set task=ranking --set epochs=2 ' ..
               '--set dim=4 --out other/run --set ' .. more)
      local value = fixtures.json(there .. '/other/run/summary.json').test[metric]
      assert.equal(('%s %.4f'):format(metric, value), rows('other/run')[1][6])
      gives(0, 'run --resume --out other/run', 'by valid ' .. metric:gsub('%p', '%%%0'))
    end
    local summary = fixtures.json(there .. '/other/run/summary.json')
    summary.test['ndcg@10 (uni100)'], summary.checksum = nil, nil
    fixtures.write(there .. '/other/run/summary.json', json.encode(summary))
    assert.equal('ndcg@10 (uni100) -', rows('other/run')[1][6])
  end)

  it('prints JSON, with the size of the folder', function()
    local lines = {}
    for line in gives(0, 'runs --json'):gmatch('[^\n]+') do
      lines[#lines + 1] = json.decode(line)
    end
    assert.equal(3, #lines)
    local bytes = 0
    for _, name in ipairs(fixtures.names(there .. '/runs/one')) do
      bytes = bytes + #fixtures.bytes(there .. '/runs/one/' .. name)
    end
    assert.equal(bytes, lines[1].bytes)
    assert.same({'finished', 2, 8}, {lines[1].state, lines[1].epochs, lines[1].bits})
  end)

  it('shows what is not finished, and a damaged run beside the others', function()
    shell.gives(0, 'mkdir -p more && cp -r runs/one more/cut && cp -r runs/one more/bad && ' ..
                'cp -r runs/one more/good && rm more/cut/summary.json && ' ..
                'echo "{" >more/bad/config.json', nil, there)
    local text = gives(0, 'runs more')
    assert.matches('more/cut +BPR%-MF .*unfinished, 2 epochs', text)
    assert.matches('more/good +BPR%-MF .*auc 0', text)
    assert.matches('more/bad +%- .*damaged: more/bad/config%.json', text)
    shell.gives(0, 'cp -r runs/sweep more/deep && mkdir more/far && ' ..
                'cp -r runs/sweep more/far && ' ..
                'for s in deep far/sweep; do echo "{" >more/$s/BPR-MF-seed2/config.json; done',
                nil, there)
    text = gives(0, 'runs more')
    for _, sweep in ipairs{'deep', 'far/sweep'} do
      assert.matches(sweep .. '/BPR%-MF%-seed2 +%- .*damaged: more/' .. sweep, text)
      assert.matches(sweep .. '/BPR%-MF%-seed3 +BPR%-MF .*ndcg@10 0', text)
    end
    assert.equal(1 + 3 + 4, select(2, text:gsub('\n', '')))
    gives(1, 'runs films', 'films: no runs there')
    gives(1, 'runs nowhere', 'nowhere: no such folder')
    shell.gives(0, 'mv runs away', nil, there)
    gives(1, 'runs', 'runs: no such folder: tinykg runs DIR lists the runs of another\n$')
    shell.gives(0, 'mv away runs', nil, there)
  end)
end)
