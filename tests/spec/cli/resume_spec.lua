-- Runs that are killed at any moment and resumed end, bit for bit, as they would have without the
-- kills.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local gives, read, same_run, sh = shell.gives, runs.read, runs.same, shell.sh

describe('a run that goes on', function()
  local dir, data
  setup(function() dir, data = shell.demo(300, 150) end)
  teardown(fixtures.clean)

  --- Runs a command, killed each time after it has saved its state twice or, after many kills, more
  --- often, until it ends. A checkpoint is renamed into place: then it is another file than SEEN.
  local UNTIL_SAVED = [[
    n=0; ln -f LAST SEEN 2>/dev/null
    ./tinykg COMMAND >OUT.txt 2>&1 & pid=$!
    while kill -0 $pid 2>/dev/null; do
      if [ -e LAST ] && ! [ LAST -ef SEEN ]; then n=$((n + 1)); ln -f LAST SEEN; fi
      if [ $n = MOST ]; then kill -9 $pid; break; fi
      sleep 0.005
    done
    wait $pid 2>/dev/null; status=$?; if [ $status != 0 ]; then cat OUT.txt; fi; (exit $status)]]

  local function kill_until_done(command, out)
    for kills = 0, 30 do
      local code, text = sh((UNTIL_SAVED:gsub('%u%u%u+', {COMMAND = command, OUT = out,
        LAST = out .. '/last.safetensors', SEEN = out .. '.seen',
        MOST = math.floor(2 * 1.3 ^ kills)})))
      if code == 0 then return kills end
      assert(code == 137, text)
      command = 'run --resume --checkpoint 0 --out ' .. out
    end
    error('never came to its end')
  end

  for _, case in ipairs{
    {'kgat', '--bits 2 --set epochs=2 --set kg_batch_size=256 --set batch_size=256 --set dim=16'},
    {'kgat', '--bits 2 --set epochs=2 --set kg_batch_size=256 --set batch_size=256 --set dim=16 ' ..
             '--data-set task=ranking', 'kgat, users drawn'},
    {'kgcn', '--bits 4 --set epochs=4 --set batch_size=256 --set hops=2'},
    {'kgin', '--bits 2 --set epochs=5 --set eval_every=2 --set dim=16 --set schedule=cosine ' ..
             '--set optimizer_bits=8 --set batch_size=256 --data-set task=ranking'},
    -- the kernels of a GPU, run by the CPU
    {'lightgcn', '--device emu --bits 2 --set epochs=3 --set dim=8 --set batch_size=512'},
    {'kgat', '--bits 2 --set epochs=2 --set kg_batch_size=256 --set batch_size=256 --set dim=16 ' ..
             '--set optimizer_rowwise=true --set parameter_bits=16', 'kgat, tables of 16 bits'},
    {'kgcn', '--bits 2 --set epochs=12 --set batch_size=256 --set optimizer_lazy=true ' ..
             '--set optimizer_bits=8', 'kgcn, lazy'},
    {'bpr-mf', '--set epochs=6 --set dim=16 --set batch_size=256 --set schedule=plateau ' ..
               '--set plateau=1 --set decay=0.5 --set lr=0.3 --set optimizer=adamw ' ..
               '--set patience=0', 'bpr-mf, plateau'},
    {'kgat', '--bits 2 --set epochs=3 --set kg_batch_size=256 --set batch_size=256 --set dim=16 ' ..
             '--set warmup=1.5 --set clip=0.1 --set optimizer=adamw --set optimizer_bits=8 ' ..
             '--set ema=0.9',
     'kgat, warm-up'},
    {'ktup', '--set epochs=3 --set dim=16 --set batch_size=8 --set eval_every=1 ' ..
             '--data-set task=ranking', 'ktup, phases in turns'},
    {'mkr', '--set epochs=5 --set batch_size=64 --set kg_interval=2', 'mkr, a phase now and then'},
    {'diffkg', '--bits 2 --set epochs=5 --set dim=16 --set hidden=64 --set batch_size=64 ' ..
               '--set eval_every=1 --data-set task=ranking', 'diffkg, a phase that draws first'},
    {'diffkg', '--bits 2 --set epochs=3 --set dim=16 --set hidden=64 --set batch_size=64 ' ..
               '--set eval_every=1 --set accumulate=2 --set optimizer_bits=8 ' ..
               '--set parameter_bits=16 --data-set task=ranking',
     'diffkg, several batches per update', false},
    {'sgl', '--bits 2 --set epochs=6 --set dim=16 --set batch_size=256 --data-set task=ranking',
     'sgl, views of an epoch'},
    {'bpr-mf', '--set epochs=6 --set dim=16 --set batch_size=256 --set optimizer_bits=8 ' ..
               '--set optimizer_rowwise=true --set parameter_bits=16'},
    {'kgat', '--bits 2 --set epochs=3 --set kg_batch_size=256 --set batch_size=64 --set dim=16 ' ..
             '--set accumulate=3 --set frozen=relations --set lr_of=projections:0.5 ' ..
             '--set decay_of=nodes:0.01 --set ema=0.9',
     'kgat, several batches per update', false},
  } do
    local name = case[3] or case[1]
    it('ends as if it had not been killed: ' .. name, function()
      if case[2]:find 'emu' and not emulation.is_there() then return pending 'no emulated GPU' end
      local folder = dir .. '/' .. name:gsub('%W', '')
      local whole, killed = folder .. '-whole', folder .. '-killed'
      gives(0, ('./tinykg run recipes/%s.lua --data %s %s --out %s'):format(case[1], data, case[2],
        whole))
      local kills = kill_until_done(('run recipes/%s.lua --data %s %s --checkpoint 0 --out %s')
        :format(case[1], data, case[2], killed), killed)
      assert.is_true(kills >= 2, 'killed only ' .. kills .. ' times')
      same_run(whole, killed, case[4])
    end)
  end

  --- Runs a command and sends it a signal once it has logged two more epochs in `out`.
  local function stopped(signal, command, out)
    return (([[set -m; log=OUT/log.jsonl; lines() { cat $log 2>/dev/null | wc -l; }
      most=$(($(lines) + 2)); COMMAND >OUT.txt 2>&1 & pid=$!
      while [ $(lines) -lt $most ] && kill -0 $pid 2>/dev/null; do sleep 0.005; done
      kill -s SIGNAL $pid; wait $pid; status=$?; cat OUT.txt; (exit $status)]]):gsub('%u%u%u%u*',
        {OUT = out, COMMAND = command, SIGNAL = signal}))
  end

  it('is told how, and goes on, after Ctrl-C', function()
    local out, whole = dir .. '/stopped', dir .. '/not-stopped'
    local options = '--bits 2 --set epochs=80 --set batch_size=16 --set patience=0'
    gives(0, ('./tinykg run recipes/kgcn.lua --quiet --data %s %s --out %s'):format(data,
      options, whole))
    gives(130, stopped('INT', ('./tinykg run recipes/kgcn.lua --data %s %s --out %s'):format(data,
      options, out), out), 'to go on: tinykg run %-%-resume %-%-out ' .. out:gsub('%p', '%%%0'))
    -- as batch systems do it
    gives(143, stopped('TERM', './tinykg run --resume --out ' .. out, out))
    gives(0, './tinykg run --resume --out ' .. out, 'going on in epoch %d+')
    same_run(whole, out)
  end)

  it('ends where it was killed between its last epoch and its test', function()
    for _, recipe in ipairs{'mcclk', 'kgat'} do -- one has a graph of its last epoch, one a tensor
      local whole, killed = dir .. '/' .. recipe .. '-tested', dir .. '/' .. recipe .. '-untested'
      gives(0, ('./tinykg run %s --quiet --data %s --set dim=8 --set epochs=2 ' ..
                '--set eval_every=1 --set batch_size=256 --out %s'):format(recipe, data, whole))
      gives(0, ('cp -r %s %s; rm %s/summary.json'):format(whole, killed, killed))
      gives(0, './tinykg run --resume --quiet --out ' .. killed)
      same_run(whole, killed, false)
    end
  end)

  it('that is finished has nothing to do, unless it is given more epochs', function()
    local out, whole = dir .. '/more', dir .. '/all'
    local begin = './tinykg run recipes/lightgcn.lua --quiet --data ' .. data ..
      ' --bits 2 --set eval_every=1 '
    gives(0, begin .. '--set epochs=2 --out ' .. out)
    gives(0, begin .. '--set epochs=4 --out ' .. whole)
    gives(0, './tinykg run --resume --out ' .. out, '^finished before; nothing to do\n +test ')
    gives(0, './tinykg run --resume --set epochs=4 --out ' .. out)
    same_run(whole, out)
  end)

  it('goes on with the same random numbers after a validation that another run had not', function()
    local begin = ('./tinykg run sgl --quiet --data %s --set eval_every=3 --set dim=8 --steps 3 ' ..
                   '--data-set task=ranking '):format(data)
    local function losses(out)
      local list = {}
      for value in fixtures.bytes(out .. '/log.jsonl'):gmatch '"loss": ?([%d.]+)' do
        list[#list + 1] = value
      end
      return list
    end
    local out, whole = dir .. '/validated', dir .. '/not-validated'
    gives(0, begin .. '--set epochs=5 --out ' .. whole)
    gives(0, begin .. '--set epochs=4 --out ' .. out)
    gives(0, './tinykg run --resume --quiet --set epochs=5 --out ' .. out)
    assert.equal(5, #losses(whole))
    assert.same(losses(whole), losses(out))
  end)

  it('on a plateau has no validation more than a run that was not stopped', function()
    local out, whole = dir .. '/plateau', dir .. '/plateau-whole'
    local begin = './tinykg run bpr-mf --quiet --data ' .. data .. ' --set eval_every=3 ' ..
      '--set dim=8 --set lr=0.01 --set schedule=plateau --set plateau=1 --set patience=0 '
    gives(0, begin .. '--set epochs=4 --out ' .. out)
    gives(1, begin .. '--set epochs=9 --resume --out ' .. out, 'cannot go on: epochs was 4 and ' ..
          'is 9 now, and schedule=plateau counted the validation after epoch 4, which ' ..
          'eval_every=3 does not divide')
    gives(0, begin .. '--set epochs=6 --force --out ' .. out)
    gives(0, begin .. '--set epochs=9 --resume --out ' .. out)
    gives(0, begin .. '--set epochs=9 --out ' .. whole)
    same_run(whole, out)
  end)

  it('goes on where options have been added since it began', function()
    local out, whole = dir .. '/older', dir .. '/not-older'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data .. ' --set dim=8 '
    gives(0, begin .. '--set epochs=2 --out ' .. out)
    gives(0, begin .. '--set epochs=4 --out ' .. whole)
    local config = read(out .. '/config.json')
    config.options.draw, config.checksum = nil, nil
    runs.write(out .. '/config.json', config)
    gives(1, begin .. '--set epochs=4 --set draw=users --resume --out ' .. out, 'option draw')
    gives(0, begin .. '--set epochs=4 --resume --out ' .. out)
    same_run(whole, out)
  end)

  it('keeps the noise of the version that began it: a random number per element', function()
    local out, whole = dir .. '/old-codes', dir .. '/old-codes-whole'
    local begin = './tinykg run recipes/kgcn.lua --quiet --data ' .. data .. ' --set dim=8 --bits 2'
    local independent = begin .. ' --rounding dither-independent'
    gives(0, independent .. ' --set epochs=2 --out ' .. out)
    gives(0, independent .. ' --set epochs=4 --out ' .. whole)
    local config = read(out .. '/config.json')
    config.rounding, config.codes, config.checksum = 'dither', nil, nil
    runs.write(out .. '/config.json', config)
    gives(1, begin .. ' --set epochs=4 --resume --out ' .. out,
      'rounding was dither%-independent and is dither now')
    gives(0, './tinykg run --resume --set epochs=4 --out ' .. out)
    same_run(whole, out)
    -- 32 bits are not rounded, also where they were chosen
    local exact = begin:gsub('%-%-bits 2', '--bits auto') .. ' --out ' .. dir .. '/old-exact'
    gives(0, exact .. ' --set epochs=1')
    config = read(dir .. '/old-exact/config.json')
    assert.equal(32, config.bits)
    config.codes, config.checksum = nil, nil
    runs.write(dir .. '/old-exact/config.json', config)
    gives(0, exact .. ' --set epochs=2 --resume', '\nauc ')
  end)

  it('has what its model made, changed and gave up since it was built', function()
    fixtures.write(dir .. '/holds.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:begin_epoch(epoch)
  self.book.epochs = (self.book.epochs or 0) + 1
  self.cache['of.one'] = {tk.full(1 / self.book.epochs, 1)}
  self.book.most = 1 / 0
  if epoch > 1 then self.warm = nil end
  return self.cache['of.one'][1]
end
function M:loss(b)
  local times = self.warm and 2 or self.book.most > 9 and 1 or 3
  return tk.loss.bce(tk.dot(self.u(b.users), self.i(b.items)) * self.cache['of.one'][1] * times,
                     b.labels)
end
function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
return tk.recipe{name = 'Holds', build = function(d)
  return setmetatable({u = tk.nn.Embedding(d.users, 4), i = tk.nn.Embedding(d.items, 4),
                       book = {}, cache = {}, warm = true}, M)
end}
]])
    local out, whole = dir .. '/holds-more', dir .. '/holds'
    local begin = ('./tinykg run %s/holds.lua --quiet --data %s --set batch_size=128 '):format(dir,
      data)
    gives(0, begin .. '--set epochs=2 --out ' .. out)
    gives(0, begin .. '--set epochs=4 --out ' .. whole)
    gives(0, './tinykg run --resume --quiet --set epochs=4 --out ' .. out)
    same_run(whole, out)
    local command = ('run %s/holds.lua --data %s --set batch_size=128 --set epochs=4 ' ..
      '--checkpoint 0 --out %s/holds-killed'):format(dir, data, dir)
    assert(kill_until_done(command, dir .. '/holds-killed') >= 1)
    same_run(whole, dir .. '/holds-killed')
  end)

  it('has its seed, to the last digit, and its budget', function()
    local out, seed = dir .. '/seed', '1234567890123457'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data .. ' --out ' .. out
    gives(0, begin .. ' --set epochs=1 --budget 1GiB --seed ' .. seed)
    local half = out .. '/last.safetensors.tmp.77' -- as a kill leaves it
    fixtures.write(half, 'half')
    gives(0, './tinykg run --resume --quiet --set epochs=2 --out ' .. out)
    assert.is_nil((io.open(half)))
    assert.equal(tonumber(seed), read(out .. '/summary.json').seed)
    assert.equal(2 ^ 30, read(out .. '/config.json').budget)
    gives(1, begin .. ' --set epochs=3 --resume --seed 1234567890123458',
      'seed was ' .. seed .. ' and is 1234567890123458 now')
  end)

  it('has the budget that it chose by, and refuses one that this does not fit', function()
    local out = dir .. '/budget'
    gives(0, './tinykg run kgin --quiet --data-set task=ranking --set epochs=1 --threads 1 --data '
             .. data .. ' --budget 2.8MiB --out ' .. out)
    local before = read(out .. '/config.json')
    local peak = before.chosen.peak
    for _, words in ipairs{'', 'kgin --data-set task=ranking --threads 1 --data ' .. data} do
      local resume = ('./tinykg run %s --resume --quiet --set epochs=2 --out %s --budget '):format(
        words, out)
      gives(1, resume .. '1MiB', 'cannot go on: budget was 2.8 MiB and is 1.0 MiB now, and the ' ..
                                 'run chose to take 2%.%d MiB')
      gives(1, resume .. peak - 1 .. 'B', 'cannot go on: budget was')
      gives(0, resume .. peak .. 'B')
      gives(0, resume .. '1GiB')
      local now = read(out .. '/config.json')
      assert.same({before.budget, before.bits, before.chosen}, {now.budget, now.bits, now.chosen})
    end
  end)

  it('given fewer epochs than it has begun, ends with the best parameters', function()
    local out = dir .. '/fewer'
    sh(([[./tinykg run recipes/bpr-mf.lua --quiet --data %s --set epochs=9 --set batch_size=1 \
            --set lr=0.05 --out %s & pid=$!
          until [ -e %s/best.safetensors ]; do sleep 0.01; done
          sleep 0.1; kill -TERM $pid; wait $pid]]):format(data, out, out))
    gives(0, './tinykg run --resume --set epochs=1 --out ' .. out, 'going on in epoch 2, step %d')
    local measured = json.decode(shell.prints('eval --json ' .. out))
    assert.same(measured.metrics, read(out .. '/summary.json').test)
  end)

  it('has its folder for itself', function()
    local out = dir .. '/mine'
    gives(1, ([[
      timeout 300 ./tinykg run recipes/kgcn.lua --quiet --data %s --set batch_size=16 \
        --set patience=0 --set epochs=100000 --checkpoint 0 --out %s >/dev/null 2>&1 & pid=$!
      until test -e %s/last.safetensors; do sleep 0.01; done
      ./tinykg run --resume --out %s; status=$?; kill $pid; (exit $status)]]):format(data, out, out,
      out), '/mine: another process is writing there\n')
  end)

  it('refuses to go on as something else', function()
    local out = dir .. '/else'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data
    gives(0, begin .. ' --set epochs=1 --out ' .. out)
    for _, case in ipairs{
      {' --bits 8', 'bits was 32 and is 8 now'}, {' --seed 2', 'seed was 1 and is 2 now'},
      {' --set dim=8', 'option dim was 64 and is 8 now'},
      {' --data-set split=time', 'option of the data split was not given and is time now'},
    } do
      gives(1, begin .. case[1] .. ' --set epochs=2 --resume --out ' .. out,
        'cannot go on: ' .. case[2] .. ' %(another %-%-out begins anew%)')
    end
    gives(1, './tinykg run --resume --out ' .. dir .. '/nowhere', '/nowhere: no such run')
  end)

  it('from an older checkpoint says where there is nothing to go on from', function()
    local out = dir .. '/nothing'
    local begin = './tinykg run bpr-mf --quiet --set dim=4 --set epochs=1 --data ' .. data
    for _, from in ipairs{'last-1', 'last'} do
      gives(1, ('%s --resume --from %s --out %s'):format(begin, from, out),
            'nothing: no run is there that could go on from ' .. from:gsub('%-', '%%-') .. '\n$')
      assert.is_nil((io.open(out)))
    end
    gives(0, begin .. ' --out ' .. out)
    for _, more in ipairs{'', ' --set epochs=1'} do
      gives(1, './tinykg run --resume --from last-1 --out ' .. out .. more, '/nothing: finished ' ..
            'after 1 epoch: %-%-from last%-1 is for going on, with %-%-set epochs= more\n$')
    end
    gives(0, './tinykg run --resume --from last --out ' .. out, '^finished before; nothing to do')
  end)

  it('finds its folder without --out: the latest that was begun like that', function()
    local there = fixtures.dir{}
    local home = os.getenv('TINYKG_HOME') or require('lfs').currentdir()
    local function run(arguments, said, status)
      return gives(status or 0, home .. '/tinykg run ' .. arguments, said, there)
    end
    local common = 'bpr-mf --data ' .. data .. ' --set epochs=1 --set batch_size=4096'
    run(common .. ' --set dim=4')
    run(common .. ' --set dim=8')
    run(common .. ' --set dim=6 --seed 3,4 --quiet') -- a sweep
    for k, name in ipairs(fixtures.names(there .. '/runs')) do -- dim=4, dim=8, the sweep
      gives(0, ("touch -d '2020-01-0%d' '%s/runs/%s'"):format(k, there, name))
    end
    -- the run's own settings, given or not; epochs may be others
    run('bpr-mf --resume --set dim=4 --set epochs=2', 'going on in runs/[^\n]*dim=4[^\n]*\n.*' ..
                                                      'epoch   2 ')
    gives(0, "touch -d '2020-01-01' runs/*dim=4*", nil, there)
    run('bpr-mf --resume --seed 1 --data ' .. data .. '/',
        'going on in runs/bpr[^\n]*dim=8[^\n]*\nfinished before')
    run('bpr-mf --resume --seed 3,4', 'going on in runs/sweep%-[^\n]*\n.*seed4  before')
    run('--resume', 'going on in runs/sweep')
    for _, other in ipairs{'kgat', 'bpr-mf --bits 2', 'bpr-mf --set dim=5', '--data /elsewhere',
                           'bpr-mf --data-set task=ranking', '--seed 5', 'bpr-mf --set preset=x'} do
      run(other .. ' --resume', 'no run or sweep in runs/ was begun like that', 2)
    end
  end)

  it('finds what is not finished before what is, a run or a sweep', function()
    local there = fixtures.dir{}
    local home = os.getenv('TINYKG_HOME') or require('lfs').currentdir()
    local function run(arguments, said)
      return gives(0, home .. '/tinykg run ' .. arguments, said, there)
    end
    local function stop(path) os.remove(('%s/runs/%s/summary.json'):format(there, path)) end
    local function touch(day, path)
      gives(0, ("touch -d '2020-01-0%d' runs/%s"):format(day, path), nil, there)
    end
    local common = ' --quiet --set epochs=1 --set dim=4 --set batch_size=4096 --data ' .. data
    run('kgin --out runs/a-first' .. common)
    run('kgin --out runs/stopped --seed 2' .. common)
    run('bpr-mf --out runs/sweep --seed 3,4' .. common)
    run('bpr-mf --out runs/points --search random=2 --grid lr=0.01,0.02,0.03' .. common)
    run('bpr-mf --out runs/z-last' .. common)
    local names = {'a-first', 'stopped', 'sweep', 'points', 'z-last'}
    for day, name in ipairs(names) do touch(day, name) end
    run('--resume', 'going on in runs/z%-last\nfinished before') -- all are finished: the latest
    stop('a-first')
    touch(1, 'a-first')
    stop('stopped')
    run('--resume', 'going on in runs/stopped\n')
    assert.is_table(fixtures.json(there .. '/runs/stopped/summary.json'))
    stop('sweep/BPR-MF-seed3')
    touch(3, 'sweep')
    run('--resume', 'going on in runs/sweep\n.*seed3 .*seed4  before')
    gives(0, 'rm -r runs/points/*lr=0.0*', nil, there) -- a job that has not begun
    touch(2, 'points')
    run('--resume', 'going on in runs/points\n')
    run('--resume', 'going on in runs/a%-first\n')
    for day, name in ipairs(names) do touch(day, name) end
    run('--resume', 'going on in runs/z%-last\n')
  end)

  it('does not take a broken checkpoint for a good one', function()
    local out = dir .. '/broken'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data .. ' --out ' .. out
    gives(0, begin .. ' --set epochs=1')
    local bytes = fixtures.bytes(out .. '/last.safetensors')
    fixtures.write(out .. '/last.safetensors', bytes:sub(1, #bytes - 100))
    shell.refuses('run --resume --quiet --set epochs=2 --out ' .. out, 1, 'last%.safetensors: ')
  end)
end)
