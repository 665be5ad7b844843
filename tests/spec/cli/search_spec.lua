-- tinykg run --search: random points, successive halving, points that another program chooses.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local space = require 'tinykg.sweep.space'

local gives, read = shell.gives, runs.read

local function axes(...)
  local list = {}
  for i, item in ipairs{...} do list[i] = assert(space.axis(item)) end
  return list
end

describe('a space', function()
  it('draws numbers of its ranges, uniform or uniform in the logarithm', function()
    local points = space.draw(axes('lr=1e-4..1e-2:log', 'dropout=0..0.5', 'dim=4..64:int',
                                   'layers=1,2,3'), 2000, 1)
    local log, plain, whole, listed = 0, 0, {}, {}
    for _, point in ipairs(points) do
      local lr, dropout = tonumber(point.settings.lr), tonumber(point.settings.dropout)
      assert(lr >= 1e-4 and lr <= 1e-2 and dropout >= 0 and dropout <= 0.5)
      log, plain = log + (lr < 1e-3 and 1 or 0), plain + (dropout < 0.25 and 1 or 0)
      whole[tonumber(point.settings.dim)] = true
      listed[point.settings.layers] = (listed[point.settings.layers] or 0) + 1
    end
    -- Half of each: 1000 with a deviation of 22.4.
    assert(math.abs(log - 1000) < 90 and math.abs(plain - 1000) < 90, log .. ' ' .. plain)
    for dim = 4, 64 do assert.is_true(whole[dim]) end
    assert.is_nil(whole[3] or whole[65])
    for _, n in pairs(listed) do assert(math.abs(n - 667) < 85) end
  end)

  it('draws the same for a seed, whatever the count and the order of its axes', function()
    local few = space.draw(axes('lr=0..1', 'dim=4,8'), 3, 7)
    local many = space.draw(axes('dim=4,8', 'lr=0..1'), 30, 7)
    for i = 1, 3 do assert.same(few[i], many[i]) end
    assert.not_same(few, space.draw(axes('lr=0..1', 'dim=4,8'), 3, 8))
  end)

  it('repeats no point', function()
    assert.equal(6, #space.draw(axes('dim=4,8', 'layers=1..3:int'), 50, 1))
  end)
end)

-- Runs a command, interrupted once the first of its runs has logged an epoch.
describe('tinykg run --search', function()
  local dir, data
  setup(function() dir, data = shell.demo(60, 80) end)
  teardown(fixtures.clean)

  local function search(kind, more)
    return ('./tinykg run recipes/kgcn.lua --data %s --search %s --set patience=0 %s'):format(
      data, kind, more)
  end

  --- The best value of validation that a log has in its first epochs.
  local function valid_of(folder, epochs)
    local best = -1
    for _, record in ipairs(runs.log(folder)) do
      if record.epoch <= (epochs or 1e9) then best = math.max(best, record.valid.auc) end
    end
    return best
  end

  it('random says the best by validation and the command that trains it again', function()
    local out = dir .. '/random'
    local text = gives(0, search('random=5', '--set epochs=2 --seed 3,4 --jobs 2 --out ' .. out ..
      ' --grid lr=1e-3..1e-1:log --grid dim=4,8,16'))
    local best, label = -1, nil
    for _, point in ipairs(space.draw(axes('lr=1e-3..1e-1:log', 'dim=4,8,16'), 5, 3)) do
      local name = out .. '/KGCN' .. point.label
      local mean = (valid_of(name .. '-seed3') + valid_of(name .. '-seed4')) / 2
      if mean > best then best, label = mean, point.text end
    end
    assert(text:find(('\n%.4f +2  %s\n'):format(best, (label:gsub('%p', '%%%0')))), text)
    assert(text:find('best by validation: ' .. label .. ', test auc 0.', 1, true), text)
    local again = text:match('to train it again: tinykg (run [^\n]+)')
    gives(0, './tinykg ' .. again .. ' --quiet --out ' .. dir .. '/again')
    for _, seed in ipairs{3, 4} do
      local name = ('%s/KGCN-%s-seed%d'):format(out, label:gsub(' ', '-'), seed)
      assert.equal(fixtures.bytes(name .. '/best.safetensors'),
                   fixtures.bytes(('%s/again/KGCN-seed%d/best.safetensors'):format(dir, seed)))
    end
  end)

  local ASHA = '--set epochs=8 --grid lr=1e-3..1e-1:log --jobs 2 --out '

  it('asha trains a quarter of the points further, from where they were', function()
    local out = dir .. '/asha'
    local text = gives(0, search('asha=8', ASHA .. out))
    local points = space.draw(axes('lr=1e-3..1e-1:log'), 8, 1)
    local full = 0
    for _, point in ipairs(points) do
      local epochs = #runs.log(out .. '/KGCN' .. point.label .. '-seed1')
      assert(epochs == 2 or epochs == 8)
      full = full + (epochs == 8 and 1 or 0)
    end
    assert.equal(2, full)
    local settings = text:match('best by validation: (%S+),')
    gives(0, './tinykg ' .. text:match('to train it again: tinykg (run [^\n]+)') ..
      ' --quiet --out ' .. dir .. '/whole')
    local found = ('%s/KGCN-%s-seed1'):format(out, settings)
    local best = 0
    for _, point in ipairs(points) do
      best = math.max(best, valid_of(out .. '/KGCN' .. point.label .. '-seed1'))
    end
    assert.equal(best, valid_of(found))
    if #runs.log(found) == 8 then runs.same(found, dir .. '/whole') end
  end)

  it('asha decides the same when it begins anew and when it goes on', function()
    local function results(text) return text:match('(valid auc.*)to train it') end
    local first = results(gives(0, search('asha=8', ASHA .. dir .. '/anew')))
    assert.equal(first, results(gives(0, search('asha=8', ASHA .. dir .. '/anew2'))))
    assert.equal(first, results(gives(0, './tinykg run --resume --out ' .. dir .. '/anew')))
    local stopped = dir .. '/stopped'
    shell.interrupted(search('asha=8', ASHA .. stopped), stopped .. '/*/log.jsonl',
                      'to go on: tinykg run %-%-resume')
    local whole = results(gives(0, search('asha=8', ASHA .. dir .. '/at_once')))
    assert.equal(whole, results(gives(0, './tinykg run --resume --out ' .. stopped)))
  end)

  it('asha stops runs where they are validated anyway: it adds no validation', function()
    local out = dir .. '/every'
    for _, schedule in ipairs{'constant', 'plateau'} do
      os.execute('rm -rf ' .. out)
      local run = ('run kgcn --data %s --threads 1 --set lr=0.05 --set epochs=17 ' ..
        '--set eval_every=3 --set patience=3 --set schedule=%s --set plateau=1'):format(
        data, schedule)
      local text = gives(0, ('./tinykg %s --search asha=8 --grid l2=1e-6..1e-3:log --out %s')
        :format(run, out))
      local longest, epochs = nil, 0
      for _, point in ipairs(space.draw(axes('l2=1e-6..1e-3:log'), 8, 1)) do
        local folder = out .. '/KGCN' .. point.label .. '-seed1'
        local log = runs.log(folder)
        if #log > epochs then longest, epochs = folder, #log end
        for _, record in ipairs(log) do
          local in_turn = record.epoch % 3 == 0 or record.epoch == 17
          assert.equal(in_turn, record.valid ~= nil, record.epoch)
        end
      end
      assert(epochs > 6)
      local again, whole = text:match('to train it again: tinykg (run [^\n]+)'), out .. '/whole'
      local found = ('%s/KGCN-%s-seed1'):format(out, text:match('best by validation: ([^,]+),'))
      gives(0, ('./tinykg %s --threads 1 --quiet --out %s'):format(again, whole))
      runs.same(found, whole, false)
      local config = read(longest .. '/config.json')
      gives(0, ('./tinykg %s --quiet --set l2=%.17g --out %s'):format(run, config.options.l2,
        out .. '/longest'))
      runs.same(longest, out .. '/longest', false)
    end
  end)

  it('prints a command that trains the same, also where a small set changes defaults', function()
    local run = './tinykg run bpr-mf --data ' .. data .. ' --data-set task=ranking --threads 1 ' ..
      '--grid lr=0.0702,0.0201 --out ' .. dir
    --- Fails unless the command of a search has these options and trains what the search found.
    local function same(name, more, options)
      local text = gives(0, ('%s/%s %s'):format(run, name, more))
      local again = text:match('to train it again: tinykg (run [^\n]+)')
      assert.matches('^run bpr%-mf %-%-data %S+ ' .. options .. ' %-%-data%-set', again)
      local whole = dir .. '/' .. name .. '_whole'
      gives(0, ('./tinykg %s --threads 1 --quiet --out %s'):format(again, whole))
      local settings = text:match('best by validation: ([^,]+),'):gsub(' ', '-')
      runs.same(('%s/%s/BPR-MF-%s-seed1'):format(dir, name, settings), whole, false)
    end
    same('asha_small', '--search asha=2', '%-%-set epochs=100 %-%-set lr=0.0702')
    same('asha_given', '--search asha=4 --grid dim=4,8 --set epochs=8',
         '%-%-set dim=%d %-%-set epochs=8 %-%-set lr=0.0702')
    same('scaled', '--search random=2', '%-%-set lr=0.0%d+')
    same('longer', '--search random=2 --set epochs=2', '%-%-set epochs=2 %-%-set lr=0.0702')
    os.execute(('rm -r %s/longer_whole'):format(dir))
    same('longer', '--search random=2', '%-%-set epochs=100 %-%-set lr=0.0%d+')
  end)

  it('goes on when a point diverges', function()
    local text = gives(0, search('random=2', '--set epochs=2 --grid lr=0.01,1e30 --out ' .. dir ..
      '/diverged'))
    assert.matches('\ndiverged +%d+  lr=1e30\n', text)
    assert.matches('best by validation: lr=0.01,', text)
  end)

  --- A recipe whose parameters become infinite in epoch 3 of runs with a large lr and an odd seed.
  local DIVERGES = [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:loss(b)
  return tk.loss.bpr(tk.dot(self.u(b.users), self.i(b.items)),
                     tk.dot(self.u(b.users), self.i(b.negatives:reshape(-1))))
end
function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
function M:on_epoch(record)
  if self.bad and record.epoch == 3 then self.u.weight:copy(self.u.weight * 1e30 * 1e30) end
end
return tk.recipe{name = 'Late', build = function(d, o)
  return setmetatable({u = tk.nn.Embedding(d.users, 4), i = tk.nn.Embedding(d.items, 4),
                       bad = o.lr > 0.01 and tk.seed() % 2 == 1}, M)
end}
]]

  it('has no value for a point that diverged after some validations', function()
    fixtures.write(dir .. '/late.lua', DIVERGES)
    local out = dir .. '/late'
    local function late(more)
      return gives(0, ('./tinykg run %s/late.lua --data %s --data-set task=ranking %s --out %s ' ..
        '--set patience=0 --set batch_size=32'):format(dir, data, more, out))
    end
    local text = late('--search random=2 --grid lr=0.1,1e-7 --seed 2,3 --set epochs=5')
    for _, seed in ipairs{2, 3} do -- it would be the best
      local large, small = runs.log(out .. '/Late-lr=0.1-seed' .. seed),
        runs.log(out .. '/Late-lr=1e-7-seed' .. seed)
      assert(large[3].valid['recall@20'] > small[3].valid['recall@20'])
    end
    assert.matches('\ndiverged +5  lr=0.1\nbest by validation: lr=1e%-7, test', text)
    out = dir .. '/late_asha'
    text = late('--search asha=4 --grid lr=0.1,0.2,1e-7,2e-7 --seed 3 --set epochs=16')
    assert.equal(2, select(2, text:gsub('\ndiverged +3  lr=0.[12]', '')), text)
    assert(text:find('\n0.%d+ +16  lr=[12]e%-7\n'), text) -- one that did not was promoted
    assert.matches('best by validation: lr=[12]e%-7, test', text)
    out = dir .. '/all_late'
    text = late('--search random=2 --grid lr=0.1,0.2 --seed 3 --set epochs=5 --json')
    assert.same({best = json.null}, json.decode(text:match('([^\n]+)\n$')))
  end)

  it('has no value for a point whose run failed', function()
    local out = dir .. '/failed'
    local run = search('random=3', '--set epochs=1 --grid dim=4,8 --out ' .. out)
    local best = gives(0, run):match('best by validation: dim=(%d)')
    local folder = ('%s/KGCN-dim=%s-seed1'):format(out, best)
    local config = read(folder .. '/config.json')
    config.options.lr, config.checksum = 0.5, nil -- a run of other settings
    runs.write(folder .. '/config.json', config)
    local text = gives(1, run)
    assert.matches('\nfailed +0  dim=' .. best, text)
    assert.matches('best by validation: dim=' .. (best == '4' and 8 or 4), text)
  end)

  it('prints an object with --json', function()
    local out = dir .. '/json'
    local text = gives(0, search('random=2', '--set epochs=1 --grid dim=4,8 --json --out ' .. out))
    local last = assert(json.decode(text:match('([^\n]+)\n$')))
    assert.equal(valid_of(('%s/KGCN-dim=%s-seed1'):format(out, last.best.settings.dim)),
                 last.best.value)
    assert.equal('auc', last.best.metric)
  end)

  --- Sends lines to a search that asks. ---@return table[] answers ---@return string text
  local function ask(lines, more)
    fixtures.write(dir .. '/lines', table.concat(lines, '\n') .. '\n')
    local text = gives(0, search('ask', more) .. ' <' .. dir .. '/lines')
    local list = {}
    for line in text:gmatch('[^\n]+') do list[#list + 1] = assert(json.decode(line, line)) end
    return list, text
  end

  it('ask trains what it is sent and says each validation', function()
    local out = dir .. '/ask'
    local list = ask({'{"trial": 1, "settings": {"lr": 0.02, "dim": 8}}',
                      '{"trial": "b", "settings": {"bits": 2, "lr": 0.02}, "seed": 5}'},
                     '--set epochs=3 --jobs 2 --out ' .. out)
    local seen, ends = {}, {}
    for _, answer in ipairs(list) do
      if answer.epoch then
        seen[answer.trial] = (seen[answer.trial] or 0) + 1
        assert.equal(seen[answer.trial], answer.epoch)
        assert.equal('auc', answer.metric)
      else
        ends[answer.trial] = answer
      end
    end
    assert.same({[1] = 3, b = 3}, seen)
    for trial, folder in pairs{[1] = 'KGCN-dim=8-lr=0.02-seed1', b = 'KGCN-bits=2-lr=0.02-seed5'} do
      assert.equal(out .. '/' .. folder, ends[trial].folder)
      assert.equal(valid_of(out .. '/' .. folder), ends[trial].value)
      assert.equal('done', ends[trial].state)
    end
    assert.equal(2, read(out .. '/KGCN-bits=2-lr=0.02-seed5/config.json').bits)
  end)

  it('ask gives no value at the end of a trial that diverged', function()
    fixtures.write(dir .. '/late.lua', DIVERGES)
    local text = gives(0, ('echo \'{"trial": 1, "settings": {"lr": 0.1}}\' | ./tinykg run ' ..
      '%s/late.lua --data %s --data-set task=ranking --search ask --set epochs=5 --out %s/ask_late')
      :format(dir, data, dir))
    local first, last = text:match('^([^\n]+)\n.-([^\n]+)\n$')
    assert.is_true(json.decode(first).value > 0)
    last = json.decode(last)
    assert.equal('diverged', last.state)
    assert.equal(json.null, last.value)
  end)

  it('ask refuses what cannot be, and goes on', function()
    local list = ask({'nothing', '{"settings": {}}', '{"trial": 1, "settings": {"dims": 3}}',
                      '{"trial": 2, "settings": {"dim": "x"}}', '{"trial": 3, "settings": [3]}',
                      '{"trial": 4}', '{"trial": 5, "settings": {"bits": 3}}',
                      '{"trial": 6, "settings": {"dim": 4}}'},
                     '--set epochs=1 --out ' .. dir .. '/wrong')
    local why = {}
    for _, answer in ipairs(list) do
      if answer.state == 'failed' then why[#why + 1] = answer.message end
    end
    for i, text in ipairs{'line: not JSON', 'line: it needs a trial', 'KGCN has no option dims',
                          'dim: x is not a number', 'settings: 1: expected', 'settings: expected',
                          "bits: '3' is not valid"} do
      assert(why[i]:find(text, 1, true), why[i])
    end
    assert.equal('done', list[#list].state)
    assert.equal(6, list[#list].trial)
  end)

  it('ask takes null for what is not given', function()
    local list = ask({'{"trial": 1, "settings": {"dim":4, "lr":null}, "stop":null, "seed":null}',
                      '{"trial": null, "settings": {}}', '{"trial": 2, "settings": null}',
                      '{"trial": 3, "settings": {"dim": 4}, "stop": false, "seed": 7}',
                      '{"trial": 4, "settings": {}, "stop": "no"}',
                      '{"trial": 5, "settings": {}, "seed": false}',
                      '{"trial": 6, "settings": {"bits": 3}}',
                      '{"trial": 7, "settings": {"rounding": "up"}}'},
                     '--set epochs=1 --out ' .. dir .. '/null')
    local why, done = {}, {}
    for _, answer in ipairs(list) do
      if answer.state == 'failed' then why[#why + 1] = {answer.trial, answer.message} end
      if answer.state == 'done' then done[answer.trial] = answer.folder:match('[^/]+$') end
    end
    assert.same({[1] = 'KGCN-dim=4-seed1', [3] = 'KGCN-dim=4-seed7'}, done)
    for i, expected in ipairs{{json.null, 'line: it needs a trial'}, {2, 'settings: expected an'},
                              {4, 'stop: expected true or false'}, {5, "seed: 'false' is not"},
                              {6, "settings: bits: '3' is not"}, {7, 'settings: rounding: up'}} do
      assert.equal(expected[1], why[i][1])
      assert.equal(1, (why[i][2]:find(expected[2], 1, true)), why[i][2])
    end
  end)

  it('ask stops a trial that is not promising', function()
    -- The trial is stopped when its second validation is seen.
    local program = [[
import json, subprocess, sys
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def send(x):
    p.stdin.write(json.dumps(x) + '\n')
    p.stdin.flush()
send({'trial': 1, 'settings': {'lr': 0.01}})
for line in p.stdout:
    a = json.loads(line)
    if a.get('epoch') == 2:
        send({'trial': 1, 'stop': True})
        p.stdin.close()
    if 'state' in a:
        print(a['state'], a['epochs'] < 1000, a['value'] > 0)
print(p.wait())
]]
    local text, why = shell.python('json', program, './tinykg', 'run', 'recipes/kgcn.lua', '--data',
      data, '--search', 'ask', '--set', 'epochs=1000', '--set', 'patience=0', '--out',
      dir .. '/pruned')
    if not text then return pending(why) end
    assert.equal('stopped True True\n0\n', text)
  end)

  it('is led by Optuna', function()
    local text, why = shell.python('optuna', [[
import runpy, sys
sys.argv[0] = 'recipes/search_with_optuna.py'
runpy.run_path(sys.argv[0], run_name='__main__')
]], 'kgcn', data, '--trials', '7', '--jobs', '2', '--tinykg', './tinykg', '--set', 'epochs=2',
      '--out', dir .. '/optuna')
    if not text then return pending(why) end
    assert.matches('trial 6 done: 0%.', text)
    assert.matches('best by validation: trial %d, 0%.%d+\n' ..
      'to train it again: tinykg run kgcn %-%-data %S+ %-%-set lr=', text)
  end)

  it('refuses what cannot be, before anything runs', function()
    for _, case in ipairs{
      {'random', 'says among what'}, {'radom --grid dim=4,8', "'radom' is not random"},
      {'random=0 --grid dim=4,8', "'0' is not a whole number"},
      {'random --grid lr=1e-2..1e-4', 'lr: 1e-2..1e-4: the first number must be less'},
      {'random --grid lr=0..1:log', 'log needs numbers above 0'},
      {'random --grid lr=1..2:lin', ':lin is not :log or :int'},
      {'random --grid dim=4..8', 'is not a whole number'},
      {'asha --grid epochs=4,8', '--grid must not'},
      {'asha --grid lr=1..2 --set schedule=cosine', 'cannot have schedule=cosine'},
      {'asha=4 --grid lr=1..2 --set epochs=8 --set eval_every=8', 'every 8 epochs no point can'},
      {'asha=4 --grid eval_every=2,3 --grid lr=1..2 --set epochs=6', 'validations every 6 epochs'},
      {'ask --grid dim=4,8', 'come from standard input'},
    } do
      local out = dir .. '/never'
      local text = gives(2, search(case[1], '--out ' .. out))
      assert(text:find(case[2], 1, true), text)
      assert.equal(1, select(2, text:gsub('\n', '')), text)
      assert.not_equal(0, os.execute('test -e ' .. out))
    end
    gives(2, search('random', 'recipes/kgat.lua --grid dim=4,8'), 'one recipe at a time')
    gives(2, './tinykg run recipes/kgcn.lua --data ' .. data .. ' --grid lr=1e-4..1e-2',
      'a range is for %-%-search')
  end)
end)
