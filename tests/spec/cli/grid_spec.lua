-- tinykg run --grid: one point, equal points, points with long names, sets without a test part.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local space = require 'tinykg.sweep.space'

local gives, read = shell.gives, runs.read

describe('a grid of one point', function()
  local dir, data = shell.demo(60, 40)
  local home = os.getenv('TINYKG_HOME') or lfs.currentdir()
  teardown(fixtures.clean)

  --- Runs bpr-mf for an epoch in `dir`, where its folder is in runs/.
  local function run(status, more, pattern)
    return gives(status, ('%s/tinykg run bpr-mf --data %s --data-set task=ranking %s'):format(home,
      data, more), pattern, dir)
  end

  it('is a run with its values', function()
    local out = dir .. '/one'
    run(0, '--quiet --set epochs=1 --grid dim=8 --grid bits=2 --grid lr=0.05 ' ..
      '--grid rounding=stochastic --out ' .. out)
    local config = read(out .. '/config.json')
    assert.equal(8, config.options.dim)
    assert.equal(0.05, config.options.lr)
    assert.equal(2, config.bits)
    assert.equal('stochastic', config.rounding)
    run(1, '--set epochs=1 --grid dim=16 --grid bits=2 --grid lr=0.05 --resume --out ' .. out,
        'cannot go on: option dim was 8 and is 16 now')
    gives(1, './tinykg run --resume --grid dim=16 --out ' .. out, 'option dim was 8 and is 16 now')
    gives(0, './tinykg run --resume --grid dim=8 --out ' .. out, 'finished before')
  end)

  it('is a part of the name of its folder, and is found again', function()
    run(0, '--quiet --grid epochs=1 --grid dim=4', 'seed1%-dim=4%-epochs=1%-task=ranking\n$')
    run(0, '--resume --grid dim=4', '^going on in runs/bpr%-mf%S+%-dim=4%S+\nfinished before')
    run(2, '--resume --grid dim=8', 'no run or sweep in runs/ was begun like that')
  end)

  it('is refused as a grid of several is', function()
    for _, case in ipairs{
      {'--grid nosuch=8', 'recipe BPR%-MF has no option nosuch'},
      {'--grid dim=x', 'option dim: x is not a number'},
      {'--grid bits=3', "bits .-: '3' is not valid"}, {'--grid rounding=up', 'rounding: up is not'},
      {'--set dim=4 --grid dim=8', '%-%-grid: dim is given by another option too'},
      {'--bits 8 --grid bits=2', '%-%-grid: bits is given by another option too'},
      {'--grid dim=4 --grid dim=8', '%-%-grid: dim is given twice'},
    } do
      run(2, case[1] .. ' --out never', case[2])
      assert.is_nil(lfs.attributes(dir .. '/never'))
    end
  end)

  it('stays one where several seeds make it a sweep', function()
    local out = dir .. '/seeds'
    run(0, '--quiet --set epochs=1 --grid dim=8 --seed 1,2 --out ' .. out)
    assert.equal(8, read(out .. '/BPR-MF-dim=8-seed2/config.json').options.dim)
    run(0, '--resume --set epochs=1 --grid dim=8 --seed 1,2 --out ' .. out, 'seed2 +before')
    gives(0, './tinykg run --resume --grid dim=8 --out ' .. out, 'seed2 +before')
  end)

  it('that a sweep has as well as others has a name that a folder can have', function()
    local out, long = dir .. '/long', '1.' .. ('0'):rep(230) .. 'e-4'
    local text = run(0, '--set epochs=1 --grid lr=0.01,' .. long .. ' --out ' .. out)
    assert.equal(2, select(2, text:gsub('%-seed1 +done ', '')), text)
    long = '1.' .. ('0'):rep(100) .. 'e-4' -- formats have no widths of three digits
    text = run(0, '--set epochs=1 --grid lr=0.01,' .. long .. ' --out ' .. dir .. '/wide')
    local name = 'BPR-MF-lr=' .. long .. '-seed1'
    assert.matches('\n' .. name:gsub('%p', '%%%0') .. '  done ', text)
    assert.matches('BPR%-MF%-lr=0%.01%-seed1 +  done ', text)
    assert.equal(1e-4, read(('%s/wide/%s/config.json'):format(dir, name)).options.lr)
    run(0, ('--set epochs=1 --search random=2 --grid lr=0.01,%s --out %s/search'):format(long, dir),
        'best by validation: lr=')
  end)
end)

describe('a sweep on a set without a test part', function()
  local dir, out, text = fixtures.dir(), nil, nil
  setup(function()
    local lines = {'user,item,split'}
    for user = 1, 20 do
      for k = 1, 7 do
        lines[#lines + 1] = ('u%d,i%d,%s'):format(user, (user * 5 + k * k) % 53,
                                                  k == 7 and 'valid' or 'train')
      end
    end
    fixtures.write(dir .. '/interactions.csv', table.concat(lines, '\n') .. '\n')
    out = dir .. '/out'
    text = gives(0, ('./tinykg run bpr-mf --data %s --set epochs=2 --set per_user=true ' ..
      '--grid dim=4,8 --out %s'):format(dir, out))
  end)
  teardown(fixtures.clean)

  it('shows validation, and says so', function()
    local valid = read(out .. '/BPR-MF-dim=4-seed1/summary.json').valid
    local recall, ndcg = ('%.4f'):format(valid['recall@20']), ('%.4f'):format(valid['ndcg@20'])
    assert.matches('BPR%-MF%-dim=4%-seed1 +done +%S+ +recall@20: valid ' .. recall ..
      ', no rows in test\n', text)
    assert.matches('\n +seeds +valid recall@20 +peak +valid ndcg@20', text)
    assert.matches('\nBPR%-MF%-dim=4 %*? +1 +' .. recall .. ' +[%d.]+ %S+ +' .. ndcg, text)
    assert.matches('\nno rows in test: metrics are those of validation', text)
    assert.not_matches('popularity', text)
  end)

  it('writes no per_user.tsv, and lacks none', function()
    assert.is_nil(lfs.attributes(out .. '/BPR-MF-dim=4-seed1/per_user.tsv'))
    gives(0, './tinykg run --resume --set per_user=true --out ' .. out .. '/BPR-MF-dim=4-seed1',
          '^finished before')
  end)

  it('is reported by validation', function()
    local valid = read(out .. '/BPR-MF-dim=8-seed1/summary.json').valid
    local recall = ('%.4f'):format(valid['recall@20'])
    for ending, pattern in pairs{md = '| dim | runs | valid recall@20 |', csv = ',valid recall@20,',
                                 html = 'No run has rows in test'} do
      local file = dir .. '/report.' .. ending
      gives(0, ('./tinykg report %s -o %s'):format(out, file))
      assert.matches(pattern, fixtures.bytes(file), 1, true)
    end
    local rows = fixtures.bytes(dir .. '/report.md'):gsub('%*', '')
    assert.matches('\n| BPR-MF | 8 | 1 | ' .. recall .. ' |', rows, 1, true)
    assert.matches('>' .. recall .. '<', fixtures.bytes(dir .. '/report.html'), 1, true)
  end)
end)

describe('an axis', function()
  it('has no two values that are the same number', function()
    for _, case in ipairs{{'dim=8,8.0', '8 is given twice, once as 8.0'},
                          {'dim=8,4,08', '8 is given twice, once as 08'},
                          {'lr=1e-3,2,0.001', '1e-3 is given twice, once as 0.001'},
                          {'dim=4,4', '4 is given twice'}, {'lr=nan,nan', 'nan is given twice'}} do
      local axis, why = space.axis(case[1])
      assert.is_nil(axis)
      assert.equal(case[1]:match('^[^=]+') .. ': ' .. case[2], why)
    end
    assert.same({'8', '80', 'auto', 'x'}, space.axis('bits=8,80,auto,x').values)
  end)
end)
