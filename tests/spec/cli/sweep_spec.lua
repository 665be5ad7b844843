-- Sweeps: several recipes, seeds and grid points, each in a process of its own.
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local gives, read = shell.gives, runs.read
local function exists(path) return os.execute('test -e ' .. path) == 0 end

describe('a sweep', function()
  local dir, data
  setup(function() dir, data = shell.demo(60, 80) end)
  teardown(fixtures.clean)

  --- Returns the cells of a group's row in the summary, which two blanks or more separate.
  local function row_of(text, group)
    for line in text:gmatch('[^\n]+') do
      if line:sub(1, #group + 1) == group .. ' ' then
        local cells = {}
        for cell in (line:gsub('%s%s+', '\t') .. '\t'):gmatch('([^\t]*)\t') do
          cells[#cells + 1] = cell
        end
        return cells
      end
    end
    error('no row ' .. group .. ' in\n' .. text)
  end

  it('has a folder per job and says mean and deviation over seeds', function()
    local out = dir .. '/grid'
    local text = gives(0, './tinykg run recipes/bpr-mf.lua recipes/kgcn.lua --data ' .. data ..
      ' --seed 1,2,5 --set epochs=1 --grid dim=4,8 --grid bits=32,2 --jobs 3 --out ' .. out)
    for _, group in ipairs{'BPR-MF-dim=4-bits=32', 'BPR-MF-dim=8-bits=2', 'KGCN-dim=8-bits=32',
                           'KGCN-dim=4-bits=2'} do
      local aucs, mean, square = {}, 0, 0
      for i, seed in ipairs{1, 2, 5} do
        local folder = ('%s/%s-seed%d'):format(out, group, seed)
        local summary, config = read(folder .. '/summary.json'), read(folder .. '/config.json')
        aucs[i] = summary.test.auc
        assert.equal(seed, summary.seed)
        assert.equal(tonumber(group:match('dim=(%d+)')), config.options.dim)
        assert.equal(tonumber(group:match('bits=(%d+)')), summary.bits)
        assert.matches('\nauc +0%.%d+ +0%.%d+ +0%.%d+\n', fixtures.bytes(folder .. '/output.txt'))
      end
      for i = 1, 3 do mean = mean + aucs[i] / 3 end
      for i = 1, 3 do square = square + (aucs[i] - mean) ^ 2 end
      local cells = row_of(text, group)
      assert.equal('3', cells[2])
      assert.equal(('%.4f +- %.4f'):format(mean, math.sqrt(square / 2)), cells[4])
    end
    assert.equal(24, select(2, text:gsub('%-seed%d +done ', '')))
  end)

  it('gives each job what it has alone', function()
    local alone = dir .. '/alone'
    gives(0, './tinykg run recipes/kgcn.lua --quiet --data ' .. data ..
      ' --seed 2 --set epochs=1 --set dim=8 --bits 2 --out ' .. alone)
    assert.equal(fixtures.bytes(alone .. '/best.safetensors'),
                 fixtures.bytes(dir .. '/grid/KGCN-dim=8-bits=2-seed2/best.safetensors'))
  end)

  it('does nothing twice, and what is missing or has changed', function()
    local out = dir .. '/again'
    local begin = './tinykg run recipes/bpr-mf.lua --data ' .. data .. ' --seed 1,2 --out ' .. out
    gives(0, begin .. ' --set epochs=1')
    local path = out .. '/BPR-MF-seed1/log.jsonl'
    local before = fixtures.bytes(path)
    os.remove(out .. '/BPR-MF-seed2/summary.json')
    local text = gives(0, begin .. ' --set epochs=1', 'BPR%-MF%-seed1 +before ')
    assert.matches('BPR%-MF%-seed2 +done ', text)
    assert.equal(before, fixtures.bytes(path))
    assert.equal('2', row_of(text, 'BPR-MF')[2])
    text = gives(0, './tinykg run --resume --out ' .. out) -- knows the rest of the command
    assert.equal(2, select(2, text:gsub('before ', '')))
    gives(1, begin .. ' --set epochs=1 --set dim=8',
      '^tinykg: %S+/again: holds a sweep with other settings: option dim was not given ' ..
      'and is 8 now: [^\n]+\n$')
    assert.equal(before, fixtures.bytes(path))
    text = gives(0, begin .. ' --set epochs=1 --set dim=8 --force')
    assert.equal(2, select(2, text:gsub('done ', '')))
    assert.equal(64, read(out .. '/BPR-MF-seed1/previous/config.json').options.dim)
    assert.equal(8, read(out .. '/BPR-MF-seed1/config.json').options.dim)
  end)

  --- Fails unless a command is refused in one line and the files of a folder stay as they are.
  local function refused(command, out, pattern)
    local function sums()
      return gives(0, ('find %s -type f | sort | xargs cksum'):format(out))
    end
    local before = sums()
    local text = gives(1, command, pattern)
    assert.equal(1, select(2, text:gsub('\n', '')), text)
    assert.equal(before, sums())
  end

  it('does not go on with other settings, whose figures it does not have', function()
    local out = dir .. '/changed'
    gives(0, './tinykg run bpr-mf --data ' .. data .. ' --seed 1,2 --set epochs=1 --out ' .. out)
    local go_on = './tinykg run --resume --out ' .. out
    refused(go_on .. ' --set lr=0.1', out,
            '/changed: cannot go on: option lr was not given and is 0.1 now %(another %-%-out')
    refused(go_on .. ' --bits 2', out, ': bits was 32 and is 2 now %(')
    refused(go_on .. ' --data-set seed=3', out, ': option of the data seed was not given and is 3')
    gives(0, ('cp -r %s %s/moved'):format(data, dir))
    local text = gives(0, ('%s --data %s/moved --set epochs=2'):format(go_on, dir))
    assert.equal(2, select(2, text:gsub('done ', '')), text)
    gives(0, ('./tinykg data demo %s/other --users 61 --items 80'):format(dir))
    refused(('%s --data %s/other'):format(go_on, dir), out,
            ': cannot go on: its data set is not %S+/other: users 61, were 60; ')
    text = gives(0, go_on)
    assert.equal(2, select(2, text:gsub('before ', '')), text)
    assert.equal('2', row_of(text, 'BPR-MF')[2])
  end)

  it('does not show what was found with another budget or other sensitivities', function()
    local out = dir .. '/budget'
    local begin = './tinykg run kgin --data ' .. data .. ' --set epochs=1 --seed 1,2 --out ' .. out
    gives(0, begin .. ' --budget 100MiB')
    for budget, now in pairs{['--budget 1MiB'] = 'is 1048576', ['--bits auto'] = 'is not given'} do
      refused(('%s %s'):format(begin, budget), out,
              'other settings: budget was 104857600 and ' .. now .. ' now: name another')
    end
    refused('./tinykg run --resume --budget 1MiB --out ' .. out, out, 'cannot go on: budget was ')
    fixtures.write(dir .. '/one.json', '{"values": {"loss": {}}}')
    refused(('%s --budget 100MiB --sensitivity %s/one.json'):format(begin, dir), out,
            'sensitivity was not given and is %S+/one.json now')
    local text = gives(0, begin .. ' --budget 0.09765625GiB') -- as many bytes
    assert.equal(2, select(2, text:gsub('before ', '')), text)
  end)

  it('does not take longer runs for what the defaults ask for', function()
    local out = dir .. '/longer'
    local begin = './tinykg run bpr-mf --data ' .. data .. ' --seed 1,2 --out ' .. out
    local long = ' --set epochs=110 --set patience=0'
    gives(0, begin .. long)
    for _, more in ipairs{' --set patience=0', ' --set epochs=100 --set patience=0'} do
      refused(begin .. more, out,
              'seed1: has made 110 epochs, more than epochs=100: name another %-%-out')
    end
    refused(begin .. ' --set epochs=110', out, 'seed1: ended with patience=0, not with patience=%d')
    local text = gives(0, begin .. long)
    assert.equal(2, select(2, text:gsub('before ', '')), text)
  end)

  it('knows what it did when a small set has changed the defaults', function()
    local out = dir .. '/small'
    local begin = './tinykg run bpr-mf --data ' .. data .. ' --seed 1,2 --out ' .. out
    gives(0, begin)
    assert.is_true(read(out .. '/BPR-MF-seed1/config.json').options.epochs > 100)
    local text = gives(0, begin)
    assert.equal(2, select(2, text:gsub('before ', '')), text)
    refused(begin .. ' --set epochs=2', out, 'seed1: has made %d+ epochs, more than epochs=2: ')
  end)

  it('does not take the place of one that is not finished', function()
    local out = dir .. '/replaced'
    local begin = './tinykg run bpr-mf --data ' .. data .. ' --set epochs=1 --out ' .. out
    gives(0, begin .. ' --grid dim=4,8')
    os.remove(out .. '/BPR-MF-dim=8-seed1/summary.json')
    for _, more in ipairs{' --grid dim=4,16', ' --search random=2 --grid lr=1e-3..1e-2',
                          ' --resume --grid dim=4,16'} do
      refused(begin .. more, out, 'not finished, with the run BPR%-MF%-dim=8%-seed1, which is ' ..
        'not one of these: name another %-%-out, or finish it first: tinykg run %-%-resume ')
    end
    gives(0, begin .. ' --grid dim=4,8,16', 'dim=16%-seed1 +done ')
    gives(0, begin .. ' --grid dim=4,2', 'dim=2%-seed1 +done ') -- all are finished
  end)

  it('goes on when jobs crash, diverge or are killed', function()
    local out = dir .. '/crash'
    fixtures.write(dir .. '/crash.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:loss(b)
  if tk.seed() == 2 then error('no such luck') end
  if tk.seed() == 3 then require('ffi').cast('int *', 0)[0] = 1 end
  local far = tk.seed() == 4 and 1 / 0 or 1
  return tk.loss.bce(tk.dot(self.u(b.users), self.i(b.items)) * far, b.labels)
end
function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
return tk.recipe{name = 'Crash', build = function(d)
  return setmetatable({u = tk.nn.Embedding(d.users, 4), i = tk.nn.Embedding(d.items, 4)}, M)
end}
]])
    local text = gives(1, ('./tinykg run %s/crash.lua --data %s --seed 1,2,3,4,5 --set epochs=1 ' ..
      '--out %s'):format(dir, data, out), 'Crash%-seed1 +done ')
    assert.matches('Crash%-seed2 +failed .-crash%.lua:4: no such luck\n', text)
    assert.matches('Crash%-seed3 +failed .-killed by signal 11\n', text)
    assert.matches('Crash%-seed4 +diverged .-try a smaller lr', text)
    assert.matches('Crash%-seed5 +done ', text)
    assert.equal('2 of 5', row_of(text, 'Crash')[2])
    assert.matches('\ntinykg: 3 of 5 runs failed; each folder has its output.txt\n$', text)
    assert.matches('no such luck', fixtures.bytes(out .. '/Crash-seed2/output.txt'))
  end)

  it('has a folder that no other recipe or grid has, if none is named', function()
    local home, seen = os.getenv('TINYKG_HOME') or require('lfs').currentdir(), {}
    for _, what in ipairs{'bpr-mf --seed 1,2', 'lightgcn --seed 1,2', 'bpr-mf lightgcn',
                          'bpr-mf --grid dim=4,8', 'bpr-mf --grid dim=4,16',
                          'bpr-mf --search random=1 --grid dim=4..8:int', 'bpr-mf --seed 1,2,3'} do
      local text = gives(0, ('%s/tinykg run %s --data %s --data-set task=ranking ' ..
        '--set epochs=1'):format(home, what, data), '', dir)
      local folder = text:match('folder: (runs/[^\n]+)')
      assert.equal(what == 'bpr-mf --seed 1,2,3' and 'bpr-mf --seed 1,2' or nil, seen[folder])
      seen[folder] = what
      assert.equal('table', type(read(dir .. '/' .. folder .. '/batch.json')))
    end
  end)

  it('gives its jobs the sensitivities that choose bits, also when it goes on', function()
    fixtures.write(dir .. '/kept.json', '{"values": {"loss": {}}}')
    local run = ('./tinykg run bpr-mf --data %s --set epochs=1 --sensitivity %s/kept.json'):format(
      data, dir)
    local out = dir .. '/sensitive'
    gives(2, run, '%-%-sensitivity: it is for choosing bits: with %-%-bits auto, or a ' ..
          '%-%-budget\n$')
    gives(0, run .. ' --bits auto --seed 1,2 --out ' .. out)
    gives(0, './tinykg run --resume --seed 1,2,3 --out ' .. out, 'seed2 +before')
    for seed = 1, 3 do
      local config = read(('%s/BPR-MF-seed%d/config.json'):format(out, seed))
      assert.matches('%-%-sensitivity %S+/kept.json', config.origin.command)
    end
  end)

  it('says that a job ended without a word', function()
    fixtures.write(dir .. '/mute.lua', 'if table.concat(arg, " "):find("--of%-sweep") then ' ..
      'os.exit(3) end\n' .. fixtures.bytes('recipes/bpr-mf.lua'))
    gives(1, ('./tinykg run %s/mute.lua --data %s --seed 1,2 --out %s/mute'):format(dir, data, dir),
          'seed2 +failed +0:00 +status 3, and nothing in output.txt: is the disk full%?\n')
  end)

  it('does not mind how much a job prints', function()
    fixtures.write(dir .. '/wordy.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:loss()
  for _ = 1, 100 do io.write(('x'):rep(2e5), '\n') end
  error('enough')
end
M.score = M.loss
return tk.recipe{name = 'Wordy', build = function(d)
  return setmetatable({u = tk.nn.Embedding(d.users, 4)}, M)
end}
]])
    local text = gives(1, ('timeout -k 1 300 ./tinykg run %s/wordy.lua --data %s --seed 1,2 ' ..
      '--out %s/wordy'):format(dir, data, dir))
    assert.equal(2, select(2, text:gsub('%-seed%d +failed [^\n]-wordy%.lua:5: enough\n', '')), text)
  end)

  it('that is killed takes its jobs along', function()
    local text = gives(0, ([[
      ./tinykg run recipes/bpr-mf.lua --data %s --seed 1,2 --jobs 2 --threads 1 --out %s \
        --set epochs=100000 --set patience=0 --set batch_size=16 --set lr=1e-9 >/dev/null & pid=$!
      until [ -e %s/BPR-MF-seed1/best.safetensors ] && [ -e %s/BPR-MF-seed2/best.safetensors ]; do
        sleep 0.05
      done
      members=$(cat /proc/$pid/task/$pid/children); kill -9 $pid; wait $pid 2>/dev/null
      for m in $members; do
        n=0; while kill -0 $m 2>/dev/null && [ $n -lt 60 ]; do sleep 0.05; n=$((n + 1)); done
        kill -9 $m 2>/dev/null && echo $m still runs
      done
      true]]):format(data, dir .. '/taken', dir .. '/taken', dir .. '/taken'))
    assert.not_matches('still runs', text)
  end)

  it('stops as a whole on Ctrl-C and goes on later', function()
    local out = dir .. '/stopped'
    local text = shell.interrupted('./tinykg run recipes/kgcn.lua --data ' .. data ..
      ' --seed 1,2,3 --set epochs=100000 --set patience=0 --set batch_size=4 --jobs 2 --out ' ..
      out, ('%s/KGCN-seed1/log.jsonl %s/KGCN-seed2/log.jsonl'):format(out, out))
    assert.equal(2, select(2, text:gsub('stopped  ', '')), text)
    assert.matches('to go on: tinykg run %-%-resume %-%-out ', text)
    assert.is_true(exists(out .. '/KGCN-seed1/last.safetensors'))
    assert.is_false(exists(out .. '/KGCN-seed3/config.json'))
  end)

  it('and a run do not share a folder', function()
    local run = './tinykg run recipes/bpr-mf.lua --quiet --set epochs=1 --data ' .. data
    gives(1, run .. ' --out ' .. dir .. '/grid',
      '/grid: holds a sweep; a run needs a folder of its own\n$')
    gives(1, run .. ' --seed 1,2 --out ' .. dir .. '/alone',
      '/alone: holds a run; a sweep needs a folder of its own\n$')
  end)

  it('refuses what cannot be, before anything runs', function()
    for _, case in ipairs{
      {'--grid dims=1,2', 'KGCN has no option dims'}, {'--grid dim', "'dim' is not key=a,b,c"},
      {'--grid dim=4,8,4', 'dim: 4 is given twice'}, {'--set dim=4,8', '--grid dim=4,8 runs'},
      {'--grid bits=3,2', "bits: '3' is not valid"}, {'--grid dim=a,b', 'dim: a is not a number'},
      {'--seed 1,2 --jobs 0', "jobs: '0' is not a whole number from 1 on"},
    } do
      local out = dir .. '/never'
      local text = gives(2, ('./tinykg run recipes/kgcn.lua --data %s %s --out %s'):format(data,
        case[1], out))
      assert(text:find(case[2], 1, true), text)
      assert.equal(1, select(2, text:gsub('\n', '')), text)
      assert.is_false(exists(out))
    end
  end)
end)
