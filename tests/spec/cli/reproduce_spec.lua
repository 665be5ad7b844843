-- recipes/reproduce: a study says what it will take, trains what is missing and no more, and prints
-- its figures beside the published ones.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local STUDY = [[
package.path = HOME .. '/recipes/reproduce/?.lua;' .. package.path
local study = require 'study'
study{
  title = 'small', data = 'none', metrics = {'recall@20'}, seeds = '1,2', bits = '32,2',
  entries = {
    {name = 'a', recipe = 'bpr-mf', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 600, published = {['recall@20'] = 0.9}, source = 'nobody'},
    {name = 'b', recipe = 'lightgcn', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 60, published = {['recall@20'] = 0.0001}, source = 'somebody'},
  },
}
]]

local WITH_CONTROLS = [[
package.path = HOME .. '/recipes/reproduce/?.lua;' .. package.path
require 'study'{
  title = 'controls', data = 'none', metrics = {'recall@20'}, seeds = '1,2', bits = '32,2',
  controls = 'shuffled', baseline = 'a', search = 'random=2',
  entries = {
    {name = 'a', recipe = 'bpr-mf', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     bits = '32', graph = false, seconds = 60, ranges = 'lr=1e-3..1e-2:log', found = 'lr=5e-3'},
    {name = 'g', recipe = 'kgin', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 60},
    {name = 's', recipe = 'bpr-mf', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 60, ranges = 'l2=1e-6..1e-4:log'},
    {name = 'p', recipe = 'kgat', data_set = 'task=ranking', bits = '32', graph = false,
     settings = 'dim=8 epochs=1 pretrain={a-32}/best.safetensors', seconds = 60},
  },
}
]]

describe('a study', function()
  local dir, data, file, out
  setup(function()
    dir, data = shell.demo(60, 40)
    file, out = dir .. '/small.lua', dir .. '/out'
    fixtures.write(file, 'local HOME = ' .. ('%q'):format(lfs.currentdir()) .. '\n' .. STUDY)
  end)
  teardown(fixtures.clean)

  local function command(words)
    return ('./tinykg %s --data %s --out %s %s'):format(file, data, out, words)
  end

  local function gives(words, pattern) return shell.gives(0, words, pattern) end

  it('says how long it will take', function()
    shell.gives(0, command '--plan --jobs 1',
                '^small: 8 runs, 8 missing, 1 at a time in [^;]+; about 44 minutes')
    assert.is_nil(lfs.attributes(out, 'mode'))
  end)

  it('prints means of what its runs found, and what is not reached', function()
    local text = shell.gives(0, command '')
    local first = runs.read(out .. '/a-2-1/summary.json').test['recall@20']
    local second = runs.read(out .. '/a-2-2/summary.json').test['recall@20']
    local mean = (first + second) / 2
    local deviation = math.sqrt((first - mean) ^ 2 + (second - mean) ^ 2)
    local row = text:match '\n(| a |[^\n]+)\n'
    assert.equal(('| %.4f +- %.4f |'):format(mean, deviation), row:match '|[^|]+|$')
    assert.matches('| recall@20 | published | 32 bits | 2 bits |', text, 1, true)
    assert.matches('a, recall@20 at 32 bits: [^\n]+ published 0.9000 %(nobody%); not reached', text)
    assert.matches('b, recall@20 at 32 bits: [^\n]+ of the published 0.0001 %(somebody%)\n', text)
  end)

  it('makes no run again', function()
    local before = lfs.attributes(out .. '/b-32-1/summary.json', 'modification')
    shell.gives(0, command '--only b', '^small: 4 runs, 0 missing')
    assert.equal(before, lfs.attributes(out .. '/b-32-1/summary.json', 'modification'))
  end)

  it('has what its runs found in a file, without their folders', function()
    local records, elsewhere = dir .. '/records.jsonl', command('--out ' .. dir .. '/other')
    local tables = shell.gives(0, command('--records ' .. records)):match '\n(|.*)$'
    local _, lines = fixtures.bytes(records):gsub('\n', '')
    assert.equal(8, lines)
    elsewhere = elsewhere .. ' --records ' .. records
    assert.equal(tables, shell.gives(0, elsewhere, '^small: 8 runs, 0 missing'):match '\n(|.*)$')
    assert.is_nil(lfs.attributes(dir .. '/other/a-2-1', 'mode'))
    fixtures.write(records, (fixtures.bytes(records):gsub('lightgcn dim=8', 'lightgcn dim=9', 1)))
    shell.gives(0, elsewhere .. ' --plan', '^small: 8 runs, 1 missing') -- of other settings
    fixtures.write(records, 'no record\n')
    shell.gives(1, elsewhere .. ' --plan', 'records.jsonl:1: not JSON')
    fixtures.write(records, '{"run": "a"}\n')
    shell.gives(1, elsewhere .. ' --plan', 'records.jsonl:1: not the record of a run')
    shell.gives(1, command('--plan --records ' .. dir .. '/missing/x'),
                '^[^\n]*missing: no such folder\n$')
    shell.gives(1, command('--plan --records ' .. dir), ': cannot be read: ')
  end)

  it('shows no run of other settings as its own, nor of another data set', function()
    local before, log = gives(command ''), out .. '/a-32-1.log'
    local other, records = dir .. '/other.lua', dir .. '/other.jsonl'
    local function changed(from, to)
      fixtures.write(other, (fixtures.bytes(file):gsub(from, to)))
    end
    local function study(words, path)
      return ('./tinykg %s --data %s --out %s %s'):format(other, path or data, out, words)
    end
    for from, to in pairs{["recipe = 'bpr%-mf', settings = 'dim=8"] =
                          "recipe = 'bpr-mf', settings = 'dim=4",
                          ["bpr%-mf', settings = 'dim=8 epochs=1'"] =
                          "bpr-mf', settings = 'dim=8 epochs=1', found = 'lr=0.5'"} do
      changed(from, to)
      local text = gives(study '--only a', '^small: 4 runs, 4 missing[^\n]*\n4 of them in folders')
      assert.matches('\n%S+/a%-32%-1 failed: tinykg: %S+/a%-32%-1: cannot go on: option %w+ was ',
                     text)
      assert.matches('cannot go on: option ', fixtures.bytes(log))
      assert.not_matches('| a |', text, 1, true)
    end
    changed("bpr%-mf', settings = 'dim=8 epochs=1'", "bpr-mf', settings = 'dim=8 epochs=2'")
    gives(study '--only a --plan', '4 of them in folders [^\n]*: has made 1 epochs, fewer than ')
    changed("task=ranking'", "task=ranking kcore=2'")
    gives(study '--only a --plan', ': option of the data kcore was not given and is 2 now')
    changed('', '')
    shell.prints(('data demo %s/cold --users 61 --items 40'):format(dir))
    local text = gives(study('--records ' .. records, dir .. '/cold'),
                       '^small: 8 runs, 8 missing.-: its data set is not %S+/cold: users 61, we')
    assert.matches('/b%-2%-2 failed: tinykg: [^\n]*users 61, were 60', text)
    assert.equal('', fixtures.bytes(records))
    gives(('cp -r %s %s/moved'):format(data, dir))
    gives(study('--plan', dir .. '/moved'), '^small: 8 runs, 0 missing')
    assert.equal(before, gives(command ''))
  end)

  it('shows no run of a recipe that computes something else now', function()
    gives(command '')
    local path = out .. '/a-32-1/recipe.lua'
    local text = fixtures.bytes(path)
    fixtures.write(path, '-- a remark\n' .. text)
    gives(command '--plan', '^small: 8 runs, 0 missing')
    fixtures.write(path, (text:gsub('\nreturn ', '\nlocal more = 1\nreturn ', 1)))
    gives(command '--plan', '^small: 8 runs, 1 missing[^\n]*\n1 of them in folders of other runs'
            .. '[^\n]*: its recipe.lua is not bpr%-mf as it is now\n')
    fixtures.write(path, text)
  end)

  it('has a folder of its own for another data set', function()
    local home = lfs.currentdir()
    local run = ('%s/tinykg %s --only a --bits 32 --seeds 1 --plan --data '):format(home, file)
    shell.prints(('data demo %s/none --users 20 --items 20'):format(dir))
    shell.gives(0, run .. dir .. '/none', ' in runs/reproduce/none;', dir)
    shell.gives(0, run .. data .. '/', ' in runs/reproduce/data;', dir)
    local named = dir .. '/named.lua'
    fixtures.write(named, (fixtures.bytes(file):gsub("data = 'none'", "%0, folder = 'mine'")))
    run = run:gsub('small%.lua', 'named.lua')
    shell.gives(0, run .. dir .. '/none', ' in runs/reproduce/mine;', dir)
    shell.gives(0, run .. data, ' in runs/reproduce/mine%-data;', dir)
  end)

  it('refuses what it does not know', function()
    shell.gives(2, command '--only c', 'there is no such entry')
    shell.gives(2, command '--epochs 3', 'no option %-%-epochs')
    shell.gives(1, './tinykg ' .. file .. ' --data ' .. dir .. '/nowhere', 'no such folder')
  end)

  it('is what each file of recipes/reproduce describes', function()
    for name in lfs.dir 'recipes/reproduce' do
      if name:match '%.lua$' and not name:match '^study' and name ~= 'all.lua' then
        shell.gives(0, ('./tinykg recipes/reproduce/%s --plan --data %s'):format(name, data),
                    'runs, %d+ missing')
      end
    end
  end)
end)

describe('all tables', function()
  local dir, data, root, file, out
  setup(function()
    dir, data = shell.demo(60, 40)
    root, file, out = dir .. '/data', dir .. '/page.md', dir .. '/out'
    lfs.mkdir(root)
    for _, name in ipairs{'kgcn-music', 'kgat-last-fm', 'cikgrec-dbbook2014', 'recbole-ml-100k',
                          'kgat-amazon-book'} do
      assert(lfs.link(data:match '^/' and data or lfs.currentdir() .. '/' .. data,
                      root .. '/' .. name, true))
    end
    fixtures.write(file, 'before\n<!-- study music -->\nold\n<!-- end of study -->\nafter\n')
  end)
  teardown(fixtures.clean)

  local function command(words)
    return ('./tinykg recipes/reproduce/all.lua --data %s --out %s --file %s --jobs 1 %s'):format(
      root, out, file, words)
  end

  --- Writes what is read of a finished run of the music study.
  local function write_run(folder, entry, bits, seed)
    local recipe, set = recipe_file.load(entry.recipe), {}
    for pair in entry.settings:gmatch '%S+' do set[#set + 1] = pair end
    local asked = recipe:complete(options.pairs(set, '--set'))
    lfs.mkdir(folder)
    runs.write(folder .. '/config.json', {recipe = recipe.name, data = root .. '/kgcn-music',
      data_options = {seed = seed}, options = asked, seed = seed, bits = bits, codes = 2,
      rounding = 'dither'})
    runs.write(folder .. '/summary.json', {recipe = recipe.name, seed = seed, bits = bits,
      epochs = asked.epochs, best_epoch = 1, test = {auc = .8 + seed / 1000, f1 = 0.7},
      kept = {stored_bytes = 1000, reference_bytes = 20000}, memory = {peak = 1},
      time = {step_ms = 1}})
  end

  --- Writes each run of the music study, the AUC of which is .8 and a thousandth per seed.
  local function write_runs()
    package.path = lfs.currentdir() .. '/recipes/reproduce/?.lua;' .. package.path
    local music = require('study').described('recipes/reproduce/music.lua')
    lfs.mkdir(out)
    lfs.mkdir(out .. '/kgcn-music')
    for _, entry in ipairs(music.entries) do
      for bits in music.bits:gmatch '%d+' do
        for seed in music.seeds:gmatch '%d+' do
          local folder = ('%s/kgcn-music/%s-%s-%s'):format(out, entry.name, bits, seed)
          write_run(folder, entry, tonumber(bits), tonumber(seed))
        end
      end
    end
  end

  it('say how long each takes, and all, before they make a run', function()
    local text = shell.gives(0, command '--plan')
    assert.matches('dbbook2014 +%d+ runs missing, about [%d.]+ hours', text)
    assert.matches('all: about [%d.]+ hours on 1 quiet cores', text)
    assert.is_nil(lfs.attributes(out, 'mode'))
  end)

  it('are written between their markers, the same again', function()
    write_runs()
    assert.matches('music +0 runs missing', shell.gives(0, command '--only music'))
    local text = fixtures.bytes(file)
    assert.matches('| kgcn | 0.7960 | 0.8020 +- 0.0016 | 0.8020 +- 0.0016 |', text, 1, true)
    assert.matches('^before\n<!%-%- study music %-%->\n', text)
    assert.matches('\n<!%-%- end of study %-%->\nafter\n$', text)
    assert.is_nil(text:find('old', 1, true))
    shell.gives(0, command '--only music')
    assert.equal(text, fixtures.bytes(file))
  end)

  it('say over how many seeds a mean is', function()
    os.remove(out .. '/kgcn-music/kgcn-32-4/summary.json')
    assert.matches('music +1 run missing', shell.gives(0, command '--only music --write'))
    assert.is_nil(lfs.attributes(out .. '/kgcn-music/kgcn-32-4/summary.json', 'mode'))
    assert.matches('| kgcn | 0.7960 | 0.8015 +- 0.0013 (4) | 0.8020 +- 0.0016 |',
                   fixtures.bytes(file), 1, true)
  end)

  it('have a place each in ACCURACY.md', function()
    local page = fixtures.bytes 'recipes/ACCURACY.md'
    for name in fixtures.bytes('recipes/reproduce/all.lua'):gmatch "{name = '([^']+)'" do
      local _, first = page:find(('<!-- study %s -->'):format(name), 1, true)
      assert.truthy(first and page:find('<!-- end of study -->', first, true), name)
    end
  end)

  it('refuse a file without their markers', function()
    fixtures.write(file, 'nothing\n')
    shell.gives(2, command '--only music', 'there is no <!%-%- study music %-%-> with')
    shell.gives(2, command '--only nothing', 'there is no such table')
  end)
end)

describe('a study with controls and a baseline', function()
  local dir, data = shell.demo(60, 40)
  local out, command, text = dir .. '/out', nil, nil
  local function folder(name) return out .. '/' .. name end
  local function of(name, part)
    return runs.read(folder(name) .. '/summary.json')[part or 'test']['recall@20']
  end
  local function row(title) return text:match('\n| ' .. title .. ' (|[^\n]*)') end
  setup(function()
    local path = dir .. '/controls.lua'
    fixtures.write(path, ('local HOME = %q\n'):format(lfs.currentdir()) .. WITH_CONTROLS)
    command = ('./tinykg %s --data %s --out %s'):format(path, data, out)
    text = shell.gives(0, command, '^controls: 10 runs, 10 missing')
    shell.gives(0, command .. ' --bits 2 --seeds 3 --only g', '^controls: 2 runs, 2 missing')
    text = text .. shell.gives(0, command .. ' --search')
  end)
  teardown(fixtures.clean)

  it('trains each at its widths alone, and with another graph where it reads one', function()
    assert.matches('| recall@20 | 32 bits | 2 bits | graph: shuffled |', text, 1, true)
    for _, name in ipairs{'a-2-1', 'a-shuffled-1', 's-32-1'} do -- s: not searched
      assert.is_nil(lfs.attributes(folder(name), 'mode'), name)
    end
    local control = runs.read(folder 'g-shuffled-2/config.json')
    assert.equal('shuffled', control.data_options.kg)
    assert.equal(32, control.bits)
    assert.equal(2, runs.read(folder 'g-2-3/config.json').bits)
    assert.equal(32, runs.read(folder 'g-shuffled-3/config.json').bits)
    assert.equal(0.005, runs.read(folder 'a-32-1/config.json').options.lr)
    assert.equal(folder 'a-32-2/best.safetensors',
                 runs.read(folder 'p-32-2/config.json').options.pretrain)
    assert.matches('^| [%d.]+ %+%- [%d.]+ |  |  |$', row 'a')
  end)

  it('has a row of popularity, and how far each is above the baseline', function()
    local mean = (of('a-32-1', 'popularity') + of('a-32-2', 'popularity')) / 2
    assert.matches(('| %.4f +- '):format(mean), row 'popularity', 1, true)
    local base = of 'a-32-1' + of 'a-32-2'
    local share = 100 * ((of 'g-shuffled-1' + of 'g-shuffled-2') / base - 1)
    local above = text:match 'recall@20 above that of a .-\n| g (|[^\n]*)'
    assert.equal(('| %+.1f %% |'):format(share), above:match '|[^|]*|$')
  end)

  it('says which means fewer bits lower by more than the deviation', function()
    local exact = {of 'g-32-1', of 'g-32-2'}
    local mean = (exact[1] + exact[2]) / 2
    local deviation = math.sqrt((exact[1] - mean) ^ 2 + (exact[2] - mean) ^ 2)
    local lost = (of 'g-2-1' + of 'g-2-2') / 2 < mean - deviation
    assert.equal(lost and 'recall@20 of g at 2 bits' or 'none',
                 text:match 'deviation over seeds: ([^\n]*)%.\n')
  end)

  it('knows its runs in a folder that has moved, also those that begin with a file of another',
     function()
    shell.gives(0, ('cp -r %s %s/moved'):format(out, dir))
    shell.gives(0, ('%s --plan --out %s/moved'):format(command, dir), '^controls: 10 runs, 0 miss')
  end)

  it('makes a run whose file another begins with, though it has its record', function()
    local records = dir .. '/records.jsonl'
    shell.gives(0, command .. ' --records ' .. records, '^controls: 10 runs, 0 missing')
    fixtures.write(records, (fixtures.bytes(records):gsub('[^\n]*/p%-32[^\n]*\n', '')))
    shell.gives(0, ('%s --out %s/other --records %s --plan'):format(command, dir, records),
                '^controls: 10 runs, 4 missing')
  end)

  it('searches settings by validation', function()
    assert.matches('\na: best by validation: lr=[%d.e-]+, test recall@20 [%d.]+', text)
    assert.matches('\ns: best by validation: l2=[%d.e-]+, test recall@20 [%d.]+', text)
  end)
end)
