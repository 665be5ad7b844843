-- The command line as a user meets it: exit codes, one-line messages, files written.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local runs = require 'tests.support.runs'
local tensors = require 'tests.support.tensors'
local tk = require 'tinykg'

local prints, refuses, tinykg = shell.prints, shell.refuses, shell.tinykg

describe('the command line', function()
  local dir, data
  setup(function() dir, data = shell.demo(60, 80) end)
  teardown(fixtures.clean)

  it('shows help, its own and each command\'s', function()
    local out = prints('help')
    for _, command in ipairs{'run', 'data', 'demo', 'doctor'} do
      assert.matches('tinykg ' .. command, out)
      assert.matches('Example: tinykg ' .. command, prints(command .. ' --help'))
    end
    local text = prints('run recipes/kgcn.lua --help')
    assert.matches('neighbors +8', text)
    assert.matches('movie .*batch_size=65536', text)
    assert.equal(prints('data convert --help'), prints('help data convert'))
    assert.equal(text, prints('help run recipes/kgcn.lua'))
    assert.matches('\n  tinykg %-%-version +the version\n', out)
  end)

  it('runs its own recipes by name, from any folder; a file of that name comes first', function()
    local there = fixtures.dir{['bpr-mf/notes.txt'] = 'a folder, not a recipe'}
    local home = os.getenv('TINYKG_HOME') or lfs.currentdir()
    local run = (' run %%s --quiet --data %s --set epochs=1 --set dim=4 --out %%s'):format(data)
    local text = shell.gives(0, home .. '/tinykg' .. run:format('bpr-mf', 'out'), 'auc', there)
    assert.matches('BPR%-MF', fixtures.bytes(there .. '/out/config.json'))
    assert.is_nil(text:find('no such recipe'))
    fixtures.write(there .. '/kgat', 'return tk.recipe{name = "Mine", build = 1}')
    shell.gives(1, home .. '/tinykg' .. run:format('kgat', 'out2'), 'kgat:1: ', there)
    assert.matches('^KGIN: ', shell.gives(0, home .. '/tinykg run KGIN --help', nil, there))
    shell.gives(0, home .. '/tinykg memory kgcn --bits 2 --data ' .. data, 'KGCN on', there)
  end)

  it('refuses what is given twice, but for lists', function()
    local trained = 'run recipes/bpr-mf.lua --data ' .. data
    for arguments, said in pairs{
      [trained .. ' --data ' .. data] = '%-%-data is given twice',
      [trained .. ' --set lr=1 --set dim=4 --set lr=2'] = '%-%-set: lr is given twice',
      [trained .. ' --seed 1 --seed 1'] = '%-%-seed: 1 is given twice',
      [trained .. ' --bits 2 --bits 4'] = '%-%-bits is given twice',
      [trained .. ' --grid lr=1,2 --grid lr=3'] = '%-%-grid: lr is given twice',
      [trained .. ' --set lr=1 --grid lr=1,2'] = '%-%-grid: lr is given by another option too',
      [trained .. ' --bits 2 --grid bits=8,4'] = '%-%-grid: bits is given by another option too',
      ['data info ' .. data .. ' --data-set split=time --data-set split=given'] =
        '%-%-data%-set: split is given twice',
      ['data info x --data-set columns=user:1 --data-set columns=user:2'] = 'columns of user is',
      ['data convert a b --to kgat --to plain'] = '%-%-to is given twice',
      ['data demo x --seed 1 --seed 2'] = '%-%-seed is given twice',
      ['report x -o a --output b'] = 'output is given twice',
      ['export x --to a.npz --to b.npz'] = '%-%-to is given twice',
      ['explain x --user a --user b --item c'] = '%-%-user is given twice',
      ['memory recipes/bpr-mf.lua --data x --bits 2 --bits 4'] = '%-%-bits is given twice',
      ['bench ops --threads 1 --threads 2'] = '%-%-threads is given twice',
      [trained .. ' --seed -1'] = '%-%-seed: .* is written %-%-seed=%-1\n$',
      [trained .. ' --quiet -1'] = "unknown option '%-1'",
    } do
      refuses(arguments, 2, said)
    end
    local other = fixtures.dir{['interactions.csv'] = {'reader,book,stars', 'a,x,1', 'b,y,2'}}
    local text = prints('data info ' .. other .. ' --data-set columns=user:reader ' ..
                              '--data-set columns=item:2')
    assert.matches('users +2\nitems +2', text)
    assert.matches('BPR%-MF +5 ', prints(trained .. ' --set epochs=1 --steps 1 --seed 1,2 ' ..
      '--seed 3 --seed 4,5 --out ' .. dir .. '/seeds'))
  end)

  it('draws no line of progress after --quiet, not while a data set is loaded either', function()
    local seen = dir .. '/seen'
    local function lines(first)
      fixtures.write(seen, '')
      local code = shell.tinykg(("-e \"local p = require 'tinykg.base.progress'; %s " ..
        "p.during(function(update) update(function() return 'loading' end) end)\""):format(first),
        'TINYKG_PROGRESS=' .. seen)
      assert.equal(0, code)
      return fixtures.bytes(seen)
    end
    assert.matches('loading\n$', lines '')
    assert.equal('', lines 'p.silence()')
  end)

  it('ends with one word after Ctrl-C, however early', function()
    local words = {[''] = true, ['tinykg: interrupted\n'] = true} -- '': before Lua runs
    local long = 'run recipes/kgcn.lua --quiet --set epochs=1000 --data ' .. data
    for _, command in ipairs{long .. ' --out ' .. dir .. '/stopped', 'bench ops'} do
      for ms = 10, 310, 60 do
        os.execute('rm -rf ' .. dir .. '/stopped')
        local after = ('timeout -k 20 --preserve-status -s INT %g'):format(ms / 1000)
        local code, _, err = tinykg(command, after)
        err = err:gsub('stopped; to go on: [^\n]*\n', '')
        assert.equal(130, code, ('%s after %d ms: %s'):format(command, ms, err))
        assert(words[err], err)
      end
    end
  end)

  --- tinykg with `code` run in place of a library, whenever that is loaded.
  local function with_library(name, code, arguments)
    fixtures.write(dir .. '/first.lua', ('package.preload[%q] = function() %s end'):format(name,
      code))
    return tinykg(arguments, 'LUA_INIT=@' .. dir .. '/first.lua')
  end

  it('ends on Ctrl-C inside a library that handles errors itself', function()
    local code, out, err = with_library('argparse', [[
      xpcall(function()
        require("posix.signal").raise(2)
        for i = 1, 1000 do tostring(i) end
      end, function(message) error("handled: " .. message) end)
      error "the library went on"]], 'data info ' .. data)
    assert.equal(130, code)
    assert.equal('', out .. err)
  end)

  it('names the package to install where a library is missing', function()
    for name, package in pairs{argparse = 'lua-argparse', cjson = 'lua-cjson',
                               lfs = 'lua-filesystem', ['posix.errno'] = 'lua-posix'} do
      local code, _, err = with_library(name,
        ('error("module \'%s\' not found", 0)'):format(name), 'data info ' .. data)
      assert.equal(1, code)
      assert.matches("^tinykg: the Lua module '%w+' is missing %([%w ,]+%): make deps, or " ..
                     'apt%-get install ' .. package:gsub('%-', '%%-') .. '\n$', err)
    end
  end)

  it('says what a data set is', function()
    local out = prints('data info ' .. data)
    assert.matches('users +60', out)
    assert.matches('items +80', out)
  end)

  it('trains and leaves a run folder', function()
    local run = dir .. '/run'
    local out = prints('run recipes/kgcn.lua --data ' .. data ..
      ' --bits 2 --seed 3 --set epochs=2 --threads 1 --out ' .. run)
    assert.matches('\nauc +0%.%d+', out)
    local config, summary = runs.read(run .. '/config.json'), runs.read(run .. '/summary.json')
    assert.equal(2, config.options.epochs)
    assert.equal(3, summary.seed)
    assert.equal(2, summary.bits)
    assert.equal('cpu', summary.device)
    assert.equal(2, summary.epochs)
    for _, key in ipairs{'peak', 'parameter', 'gradient', 'optimizer', 'kept_exact',
                         'kept_quantized', 'transient', 'graph'} do
      assert.is_number(summary.memory[key], key)
    end
    assert.is_true(summary.memory.peak >= summary.memory.parameter + summary.memory.optimizer)
    assert.is_true(summary.kept.stored_bytes * 5 < summary.kept.reference_bytes)
    for _, key in ipairs{'step_ms', 'epoch_s', 'eval_s', 'load_s'} do
      assert.is_number(summary.time[key], key)
    end
    local log = runs.log(run)
    assert.equal(2, #log)
    assert.equal(2, log[2].epoch)
    local best, metadata = tk.load(run .. '/best.safetensors')
    assert.same({60, 16}, best['users.weight']:size())
    assert.equal('KGCN', metadata.recipe)
  end)

  it('gives the same numbers for the same seed, whatever the thread count', function()
    local results = {}
    for _, threads in ipairs{1, 2, 4} do
      local run = dir .. '/threads' .. threads
      prints('run recipes/kgcn.lua --quiet --data ' .. data ..
        ' --bits 2 --set epochs=2 --set dim=33 --threads ' .. threads .. ' --out ' .. run)
      results[#results + 1] = fixtures.bytes(run .. '/best.safetensors')
    end
    assert.is_true(results[1] == results[2], '1 and 2 threads differ')
    assert.is_true(results[1] == results[3], '1 and 4 threads differ')
  end)

  it('keeps the state of optimizers in 8 bits, of every recipe that is asked to', function()
    for _, recipe in ipairs{'bpr-mf', 'kgat'} do -- the default optimizer, and one of its own
      local bytes = {}
      for _, bits in ipairs{32, 8} do
        local run = ('%s/optimizer-%s-%d'):format(dir, recipe, bits)
        prints(('run recipes/%s.lua --quiet --data %s --steps 2 --out %s ' ..
          '--set epochs=1 --set dim=96 --set optimizer_bits=%d'):format(recipe, data, run, bits))
        bytes[bits] = runs.read(run .. '/summary.json').memory.optimizer
      end
      assert.is_true(bytes[8] < 0.3 * bytes[32], recipe)
    end
  end)

  it('answers from a run whose tables have 16 bits as the run did', function()
    local run = dir .. '/halves'
    prints(('run recipes/bpr-mf.lua --quiet --data %s --data-set task=ranking --out %s ' ..
            '--set epochs=2 --set dim=48 --set parameter_bits=16'):format(data, run))
    local test, best = runs.read(run .. '/summary.json').test, run .. '/best.safetensors'
    assert.matches(('%.4f'):format(test['recall@20']), prints('eval ' .. run), 1, true)
    assert.matches('\n   1 ', prints(('recommend %s --user \'user 0\' -k 3'):format(run)))
    prints(('export %s --to %s/halves.safetensors'):format(run, dir))
    local exported = tk.load(dir .. '/halves.safetensors')
    for name, t in pairs(tk.load(best)) do
      assert.is_true(tensors.bytes(t) == tensors.bytes(exported[name]), name)
    end
  end)

  it('ranks data without labels', function()
    assert.matches('KGCN%-seed1 +done [^\n]+recall@20: test 0%.%d+, valid 0%.%d+', prints(
      'run recipes/kgcn.lua recipes/bpr-mf.lua --data ' .. data ..
      ' --data-set task=ranking --set epochs=1 --out ' .. dir .. '/ranking'))
  end)

  it('refuses wrong usage with one line and status 2', function()
    refuses('dance', 2, "no command 'dance'; tinykg help")
    refuses('evla runs', 2, "no command 'evla': did you mean 'eval'%?")
    refuses('data inf x', 2, "unknown command 'inf': did you mean 'info'%? See %-%-help")
    refuses('help rnu', 2, "no command 'rnu': did you mean 'run'%?")
    refuses('--verison', 2, "no option '%-%-verison': did you mean '%-%-version'%?")
    refuses('kgcn', 2, "no command 'kgcn' %(a recipe is run: tinykg run kgcn ")
    refuses('recipes/kgcn.lua', 2, 'recipes/kgcn.lua is a recipe: tinykg run recipes/kgcn.lua')
    refuses('run', 2, 'recipe')
    refuses('run recipes/kgcn.lua', 2, '%-%-data DIR is needed')
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --bits 3', 2, "bits .*'3'")
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --rounding up', 2, 'up is not dither')
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --device tpu', 2, 'tpu is not')
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --colour red', 2, 'colour')
    refuses('run kgcn --data ' .. data .. ' --set dims=3', 2,
            'no option dims: did you mean dim%? It has')
    refuses('run kgcn --data ' .. data .. ' --set zzz=3', 2, 'no option zzz; it has: dim')
    refuses('run kgcn --data ' .. data .. ' --set preset=bok', 2, 'bok: did you mean book%?')
    refuses('data info ' .. data .. ' --data-set splt=time', 1, "'splt': did you mean split%?")
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --set dim=big', 2,
            'dim: big is not a number')
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --set dim=2.5', 2,
            'dim: 2.5 is not a whole')
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --set optimizer_bits=16', 2,
            'optimizer_bits: 16 is not 32 or 8')
    local max = dir .. '/max'
    refuses('run recipes/kgcn.lua --quiet --data ' .. data .. ' --set aggregator=max --out ' .. max,
            2, 'max is not sum')
    assert.is_nil(io.open(max)) -- nothing was begun
    refuses('run recipes/kgcn.lua --data ' .. data .. ' --seed one', 2, "'one' is not a number")
  end)

  it('refuses what cannot be done with one line and status 1', function()
    refuses('run recipes/kgcn.lua --data /no/such/folder', 1, '/no/such/folder: no such folder')
    refuses('run no-such.lua --data ' .. data, 1, 'no%-such%.lua')
    refuses('run kcgn --data ' .. data, 1, 'kcgn: no such recipe: did you mean kgcn%?')
    refuses('run mine --data ' .. data, 1, 'mine: no such recipe; tinykg has bpr%-mf .* kgat')
    refuses(('run recipes/kgcn.lua --data %s --out %s/unread'):format(dir, dir), 1, 'no data set')
    assert.is_nil(lfs.attributes(dir .. '/unread', 'mode'))
    refuses('data info ' .. dir, 1, 'no data set found')
    refuses('run recipes/kgcn.lua --quiet --data ' .. data .. ' --out /proc/nowhere/run', 1,
            '/proc/nowhere')
  end)

  it('names file and line of bad data', function()
    local bad = fixtures.dir{['ratings_final.txt'] = {'0 1 1', '0 x 1'},
                             ['kg_final.txt'] = {'0 0 1'}}
    refuses('data info ' .. bad, 1, 'ratings_final%.txt:2: .*x')
    local short = fixtures.dir{['ratings_final.txt'] = {'0 1 1', '0'}, ['kg_final.txt'] = {'0 0 1'}}
    refuses('data info ' .. short, 1, 'ratings_final%.txt:2: ')
  end)

  it('stops a diverging run with one line', function()
    refuses('run recipes/bpr-mf.lua --quiet --data ' .. data ..
      ' --set lr=1e30 --set epochs=3 --out ' .. dir .. '/diverged', 1, 'try a smaller lr')
  end)

  it('writes event files for TensorBoard', function()
    local run = dir .. '/board'
    prints('run recipes/bpr-mf.lua --quiet --tensorboard --data ' .. data ..
      ' --set epochs=2 --out ' .. run)
    local name = fixtures.names(run)[3]
    assert.matches('^events%.out%.tfevents%.%d+%.', name)
    for _, tag in ipairs{'train/loss', 'valid/auc', 'test/auc', 'memory/kept'} do
      assert.is_truthy(fixtures.bytes(run .. '/' .. name):find(tag, 1, true), tag)
    end
    local function boards(folder)
      return select(2, table.concat(fixtures.names(folder), ' '):gsub('tfevents', ''))
    end
    prints('run --resume --quiet --set epochs=3 --out ' .. run) -- known there
    assert.equal(2, boards(run))
    prints('run recipes/bpr-mf.lua --quiet --tensorboard --data ' .. data ..
      ' --set epochs=1 --force --out ' .. run) -- another run: another curve
    assert.equal(1, boards(run))
    assert.equal(2, boards(run .. '/previous'))
  end)

  it('runs Lua files and lines, with the recipe\'s line in errors', function()
    assert.equal('4\n', prints("-e 'print(tk.ones(2, 2):sum():item())'"))
    local script = fixtures.dir{['wrong.lua'] = {"local tk = require 'tinykg'", '',
      'print(tk.ones(2, 3):matmul(tk.ones(2, 3)))'}} .. '/wrong.lua'
    local failed, _, err = tinykg(script)
    assert.equal(1, failed)
    assert.matches('wrong%.lua:3: matmul: f32 %[2, 3%] and f32 %[2, 3%] do not fit', err)
  end)

  it('ends cleanly on Ctrl-C', function()
    local run = dir .. '/stopped'
    shell.interrupted('./tinykg run recipes/kgcn.lua --set epochs=100000 --set patience=0 ' ..
      '--data ' .. data .. ' --out ' .. run, run .. '/best.safetensors', 'interrupted')
    assert.is_table(require('tinykg').load(run .. '/best.safetensors'))
  end)

  it('prints data info and doctor as JSON', function()
    local found = json.decode(prints('data info ' .. data .. ' --json'))
    local text = prints('data info ' .. data)
    assert.equal(text:match('users +(%d+)'), tostring(found.users))
    assert.equal(text:match('triples +([%d,]+)'):gsub(',', ''), tostring(found.triples))
    assert.equal(tonumber(text:match('per user +median ([%d.]+)')), found.per_user.median)
    assert.equal('table', type(found.warnings))
    found = json.decode(prints('doctor --json'))
    assert.equal(tk.version, found.version)
    assert.same({true, true}, {found.modules.lfs, found.modules.cjson})
    assert.same({}, found.missing)
  end)

  it('prints results of runs as JSON, a line each, alone on standard output', function()
    local common = 'run bpr-mf --json --data ' .. data .. ' --set epochs=1 --set dim=4 '
    local out = prints(common .. '--out ' .. dir .. '/json-one')
    assert.equal(1, select(2, out:gsub('\n', '')))
    local one, summary = json.decode(out), fixtures.json(dir .. '/json-one/summary.json')
    assert.same({dir .. '/json-one', 'done'}, {one.folder, one.state})
    assert.same(summary.test, one.test)
    assert.equal(summary.memory.peak, one.memory.peak)
    assert.equal(out, prints(common .. '--resume --out ' .. dir .. '/json-one'))
    out = prints(common .. '--seed 1,2 --quiet --out ' .. dir .. '/json-two')
    local seeds = {}
    for line in out:gmatch('[^\n]+') do seeds[#seeds + 1] = json.decode(line).seed end
    table.sort(seeds)
    assert.same({1, 2}, seeds)
    local code, failed = tinykg('run bpr-mf --json --data ' .. data .. ' --set lr=1e30 ' ..
                                '--set epochs=3 --seed 1,2 --out ' .. dir .. '/json-bad')
    assert.equal(1, code)
    assert.equal('diverged', json.decode(failed:match('[^\n]+')).state)
    shell.gives(0, 'mkdir ' .. dir .. '/json-oem') -- closer, but no run
    refuses('eval ' .. dir .. '/json-oen', 1, 'no such run: did you mean ' .. dir .. '/json.one%?')
    refuses('eval ' .. dir .. '/nothing', 1, '/nothing: no such run\n$')
    refuses(common .. '--report', 2, 'without %-%-report')
  end)

  it('says that LuaJIT is missing', function()
    shell.gives(1, 'LUAJIT=nosuch ./tinykg doctor', '^tinykg: there is no nosuch here, which ' ..
                'runs it: apt%-get install luajit[^\n]*\n$')
  end)

  it('says why the engine cannot be opened', function()
    shell.gives(1, "TINYKG_DEVICE=nosuch ./tinykg -e 'print(1)'",
                "^tinykg: device 'nosuch' is not one of auto")
  end)

  it('answers the doctor', function()
    assert.matches('vector code +%w+', prints('doctor'))
    local zlib = pcall(require, 'zlib') and 'found\n'
      or 'not found; only data convert %-%-gzip needs it'
    assert.matches('\n  zlib +' .. zlib, prints('doctor'))
    refuses('doctor --opps', 2, "did you mean '%-%-ops'")
    shell.gives(0, 'env -u TINYKG_CACHE -u XDG_CACHE_HOME HOME=/dev/null ./tinykg doctor',
                '\n  cache +/dev/null/.cache/tinykg: 0 data sets, 0 B; no more can be written: ' ..
                '/dev/null is not a folder\n')
  end)
end)
