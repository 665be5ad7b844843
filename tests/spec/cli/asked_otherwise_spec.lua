-- What a folder has is shown as the answer to a command only if it is what the command asks for.
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local gives, read = shell.gives, runs.read

--- Removes a data set's first interaction.
local function lose_a_row(data)
  gives(0, ("sed -i '0,/1$/{/1$/d}' '%s/ratings_final.txt'"):format(data))
end

describe('a finished run', function()
  local dir, data, out
  local function resume(status, more, pattern)
    return gives(status, ('./tinykg run --resume --out %s %s'):format(out, more), pattern)
  end
  setup(function()
    dir = fixtures.dir()
    data, out = dir .. '/data', dir .. '/run'
    shell.prints('data demo ' .. data .. ' --users 60 --items 40')
    shell.prints(('run bpr-mf --quiet --data %s --data-set task=ranking --set dim=4 ' ..
                  '--set epochs=4 --set patience=0 --out %s'):format(data, out))
  end)
  teardown(fixtures.clean)

  it('of more epochs, or of more patience, is not that of fewer', function()
    resume(1, '--set epochs=2', 'has made 4 epochs, more than epochs=2: another %-%-out')
    resume(1, '--set patience=1', 'ended with patience=0, not with patience=1')
    resume(0, '--set epochs=4', '^finished before')
    assert.equal(4, read(out .. '/summary.json').epochs)
  end)

  it('does not take a budget, or a run to extend, that it did not begin with', function()
    resume(1, '--budget 1GiB', 'budget was not given and is 1073741824 now')
    resume(1, '--extend ' .. out, 'extend was not given and is ')
    resume(1, '--data-set kcore=2', 'option of the data kcore was not given and is 2 now')
  end)

  it('is not that of another data set, or of one that has changed since', function()
    local other = dir .. '/other'
    shell.prints('data demo ' .. other .. ' --users 61 --items 40')
    resume(1, '--data ' .. other, 'users 61, were 60')
    gives(0, ('cp -r %s %s/copy && cp -r %s %s/copied'):format(data, dir, out, dir))
    out = dir .. '/copied'
    resume(0, '--data ' .. dir .. '/copy', '^finished before')
    lose_a_row(dir .. '/copy')
    resume(1, '--data ' .. dir .. '/copy', 'its data set [^\n]* has changed since')
    out = dir .. '/run'
    gives(0, ('mv %s %s-away'):format(data, data)) -- its result can be looked at without
    resume(0, '', '^finished before')
    gives(0, ('mv %s-away %s'):format(data, data))
  end)

  it('writes per_user.tsv when it is asked for that later, and nothing else changes', function()
    local before = read(out .. '/summary.json')
    resume(0, '--set per_user=true', 'going on in epoch 5')
    assert.matches('\nuser %d+\t', fixtures.bytes(out .. '/per_user.tsv'))
    local after = read(out .. '/summary.json')
    for _, name in ipairs{'test', 'valid', 'popularity', 'epochs', 'best_epoch', 'memory'} do
      assert.same(before[name], after[name])
    end
    resume(0, '--set per_user=true', '^finished before')
  end)

  it('says that settings come from the folder where a recipe is named without data', function()
    gives(2, './tinykg run bpr-mf --resume --out ' .. out,
      'needed %(not with %-%-resume %-%-out DIR without a recipe')
  end)
end)

describe('a recipe that reads modules beside it', function()
  local dir
  setup(function()
    dir = fixtures.dir()
    shell.prints('data demo ' .. dir .. '/data --users 60 --items 40')
    gives(0, ([[(echo "local scale = require 'parts.scale'"; cat recipes/bpr-mf.lua) > %s/mine.lua
      mkdir %s/parts; echo 'return 1' > %s/parts/scale.lua]]):format(dir, dir, dir))
  end)
  teardown(fixtures.clean)

  local function run(status, seed, more, pattern)
    return gives(status, ('./tinykg run %s/mine.lua --quiet --data %s/data --set dim=4 --set ' ..
      'epochs=1 --seed %d --out %s/%d %s'):format(dir, dir, seed, dir, seed, more or ''), pattern)
  end

  it('is not what it was when one of them is not', function()
    run(0, 1)
    gives(0, './tinykg eval ' .. dir .. '/1', '^[^\n]+MF on data, test')
    gives(0, ('echo "return -1" > %s/parts/scale.lua'):format(dir))
    gives(0, './tinykg eval ' .. dir .. '/1',
          '^note: %S+/parts/scale.lua, which its recipe reads, has changed since the run began\n')
    gives(1, './tinykg run --resume --set epochs=2 --out ' .. dir .. '/1',
          'cannot go on: %S+/parts/scale.lua, which the recipe reads, has changed since')
    gives(1, './tinykg check ' .. dir .. '/1', 'recipe.lua +NOT ok: %S+/parts/scale.lua, which')
  end)

  it('is another one in reports: its runs are no seeds of the same', function()
    run(0, 2)
    local csv = dir .. '/table.csv'
    shell.prints(('report %s/1 %s/2 -o %s'):format(dir, dir, csv))
    local text = fixtures.bytes(csv)
    assert.matches('^data,recipe,program,runs,', text)
    assert.equal(2, select(2, text:gsub('\ndata,[^,]+,%x+ %x+,1,', '')))
    gives(0, ("sed -i '1i --' %s/mine.lua; echo 'return 1' > %s/parts/scale.lua"):format(dir, dir))
    run(0, 3)
    shell.prints(('report %s/1 %s/3 -o %s'):format(dir, dir, csv)) -- another recipe of that name
    assert.equal(2, select(2, fixtures.bytes(csv):gsub('\ndata,[^,]+,%x+ %x+,1,', '')))
  end)
end)

describe('a finished sweep', function()
  local dir, data
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/da ta'
    shell.prints(("data demo '%s' --users 60 --items 40"):format(data))
  end)
  teardown(fixtures.clean)

  local function sweep(status, epochs, more, pattern)
    return gives(status, ("./tinykg run bpr-mf --data '%s' --data-set task=ranking --set dim=4 " ..
      '--set patience=0 --seed=1,2 --set epochs=%d --out %s/sweep %s'):format(data, epochs, dir,
      more or ''), pattern)
  end

  it('of more epochs is not that of fewer, nor that of a data set that has changed', function()
    sweep(0, 3)
    sweep(1, 2, nil, 'seed1: has made 3 epochs, more than epochs=2: name another %-%-out')
    sweep(0, 3, nil, 'seed2  before') -- its settings are those that it began with
    gives(0, './tinykg run --resume --out ' .. dir .. '/sweep', 'seed2  before')
    gives(1, './tinykg run --resume --set patience=1 --out ' .. dir .. '/sweep', 'patience=1')
    lose_a_row(data)
    sweep(1, 3, nil, 'seed1  failed[^\n]+has changed since')
    sweep(0, 2, '--force', 'seed1  done')
  end)

  it('is no run, which is told with the name of one', function()
    gives(1, './tinykg eval ' .. dir .. '/sweep/',
      'sweep: a sweep, not a run: name one of its runs, as %S+/sweep/BPR%-MF%-seed1\n')
  end)

  it('has commands that can be typed, whatever is in them', function()
    local text = shell.prints(("data convert '%s' '%s/a b' --to plain"):format(data, dir))
    assert.matches("next: tinykg data info '%S+/a b'\n", text)
    for i = 1, 2 do
      shell.prints(("run bpr-mf --quiet '--data=%s' --data-set=task=ranking --seed=1 " ..
                    '--set=epochs=%d --out=%s/single%d --bits=32'):format(data, i, dir, i))
    end
    shell.prints(('report %s/single1 %s/single2 -o %s/page.html'):format(dir, dir, dir))
    local page = fixtures.bytes(dir .. '/page.html'):gsub('&#39;', "'")
    local command = page:match('tinykg run [^<]+')
    assert.matches("^tinykg run bpr%-mf '%-%-data=[^']+' %-%-data%-set=task=ranking " ..
                   '%-%-set=epochs=%d %-%-seed 1$', command)
    shell.prints(command:match('^tinykg (.*)') .. ' --quiet --out ' .. dir .. '/again')
  end)
end)
