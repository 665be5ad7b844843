-- A run knows its data: where that has changed, nothing is answered under wrong names. A run is not
-- written over; runs started at once do not meet; any stop leaves what can go on.
-- luacheck: globals os.rename os.remove
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local home = os.getenv('TINYKG_HOME') or '.'
local prints, refuses = shell.prints, shell.refuses

local function read(path) return assert(json.read(path)) end
local function write(path, value) assert(json.write(path, value)) end

local KG = {'head,relation,tail', 'a1,is,x', 'a2,is,y', 'a3,is,x'}

--- Interactions of 6 users with 5 items each, in order or backwards.
local function rows(backwards)
  local list = {}
  for u = 1, 6 do
    for i = 1, 5 do list[#list + 1] = ('u%d,a%d'):format(u, (u * 3 + i * i) % 11) end
  end
  if backwards then table.sort(list, function(a, b) return a > b end) end
  table.insert(list, 1, 'user,item')
  return list
end

local function set(interactions, kg)
  return fixtures.dir{['interactions.csv'] = interactions, ['kg.csv'] = kg or KG}
end

local RUN = 'run recipes/bpr-mf.lua --quiet --data %s --set epochs=%d --set patience=0 --out %s %s'

local function trained(data, out, more)
  prints(RUN:format(data, 4, out, more or ''))
  return out
end

--- A safetensors file as older versions wrote it.
local function without_checksums(path)
  local text = fixtures.bytes(path)
  local length = text:byte(1) + 256 * text:byte(2) + 65536 * text:byte(3)
  local entries = json.decode(text:sub(9, 8 + length))
  entries.__metadata__['checksum.header'], entries.__metadata__['checksum.tensors'] = nil, nil
  for key, entry in pairs(entries) do
    if key ~= '__metadata__' then json.array(entry.shape) end
  end
  local head = json.encode(entries)
  head = head .. (' '):rep(-#head % 8)
  fixtures.write(path, string.char(#head % 256, math.floor(#head / 256) % 256,
    math.floor(#head / 65536), 0, 0, 0, 0, 0) .. head .. text:sub(9 + length))
end

--- Makes a run's folder one of an older version.
local function made_old(run)
  local config = read(run .. '/config.json')
  config.data_set, config.data_options, config.checksum = nil, nil, nil
  write(run .. '/config.json', config)
  for _, name in ipairs{'names.tsv', 'split.bin', 'last-1.safetensors'} do
    os.remove(run .. '/' .. name)
  end
  without_checksums(run .. '/best.safetensors')
  without_checksums(run .. '/last.safetensors')
end

describe('a run and its data set', function()
  local dir
  setup(function() dir = fixtures.dir() end)
  teardown(fixtures.clean)

  --- What a run says, in full.
  local function answers(run)
    prints(('export %s --to %s/all.tsv'):format(run, dir))
    local item = json.decode(prints('recommend ' .. run .. ' --user u1 -k 1 --json')).items[1].name
    local list = {fixtures.bytes(dir .. '/all.tsv'),
                  prints('recommend ' .. run .. ' --users all --all -k 20'),
                  prints(('explain %s --user u1 --item "%s" --json'):format(run,
                                                                            item:match('^%S+')))}
    for k, part in ipairs{'valid', 'test'} do
      list[3 + k] = prints(('eval %s --json --k 3 --part %s'):format(run, part))
    end
    return list
  end

  --- 8 users' labels of 12 items, with titles; rows of interactions by a rule of order.
  local function labelled(before)
    local list, titles = {}, {'item,title'}
    for u = 1, 8 do
      for i = 1, 12 do
        if (u * 5 + i * i) % 7 < 4 then
          list[#list + 1] = ('u%d,a%d,%d'):format(u, i, (u * 3 + i * 7) % 5 < 2 and 1 or 0)
        end
      end
    end
    for i = 1, 12 do titles[i + 1] = ('a%d,Book %d'):format(i, i) end
    if before then table.sort(list, before) end
    table.insert(list, 1, 'user,item,label')
    return list, titles
  end

  it('answer the same when the rows come in another order, but do not go on', function()
    local list, titles = labelled()
    local pairs_set = set(rows())
    local labels_set = fixtures.dir{['interactions.csv'] = list, ['items.csv'] = titles,
                                    ['kg.csv'] = KG}
    prints(('run recipes/kgcn.lua --quiet --data %s --out %s/labels --set epochs=3 --set dim=4 ' ..
      '--set neighbors=2 --set batch_size=8'):format(labels_set, dir))
    trained(pairs_set, dir .. '/pairs')
    for _, case in ipairs{
      {'pairs', pairs_set, rows(), rows(true)},
      {'labels', labels_set, list,
       (labelled(function(a, b) return a:reverse() < b:reverse() end))},
    } do
      local run, path = dir .. '/' .. case[1], case[2] .. '/interactions.csv'
      local before = answers(run)
      fixtures.write(path, case[4])
      assert.same(before, answers(run))
      local code, _, err = shell.tinykg('eval ' .. run)
      assert.equal(0, code)
      assert.matches('^note: [^\n]+ has changed since: the same rows in another order, [^\n]+: ' ..
                     'the numbers and the split that it had are used\n$', err)
      assert.matches('data set +ok: [^\n]* in another order', prints('check ' .. run))
      refuses('run --resume --set epochs=9 --out ' .. run, 1, '/' .. case[1] .. ': its data set ' ..
        case[2] .. ' has changed since: the same rows in another order, which numbers, split ' ..
        'and batches hang on')
      fixtures.write(case[2] .. '/kg.csv', {KG[1], KG[4], KG[2], KG[3]})
      refuses('eval ' .. run, 1, 'has changed since: the same rows in another order')
      fixtures.write(case[2] .. '/kg.csv', KG)
      fixtures.write(path, case[3])
      prints('run --resume --quiet --set epochs=9 --out ' .. run)
    end
    local text = fixtures.bytes(dir .. '/pairs/split.bin')
    fixtures.write(dir .. '/pairs/split.bin', string.char(bit.bxor(text:byte(1), 1)) .. text:sub(2))
    assert.equal(1, (shell.tinykg('check ' .. dir .. '/pairs')))
  end)

  it('part when anything of it changes, and it is said what', function()
    local data = set(rows())
    local run = trained(data, dir .. '/anything')
    local function changed(interactions, kg, why, more)
      fixtures.write(data .. '/interactions.csv', interactions)
      fixtures.write(data .. '/kg.csv', kg)
      refuses(('eval %s %s'):format(run, more or ''), 1, 'has changed since: ' .. why)
      refuses('run --resume --set epochs=9 --out ' .. run, 1, 'has changed since: ' .. why)
    end
    local more, other, renamed = rows(), rows(), rows()
    more[#more + 1] = 'u9,a1'
    changed(more, KG, 'users 7, were 6; train 19, were 18')
    other[2] = 'u1,a10' -- what u1 took first was a4
    changed(other, KG, 'other interactions, as many as were')
    for i, line in ipairs(renamed) do renamed[i] = line:gsub('^u2,', 'v2,') end
    changed(renamed, KG, 'other names among its 6 users')
    changed(rows(), {KG[1], KG[2], KG[3]}, 'triples 2, were 3')
    changed(rows(), {KG[1], 'a1,is,y', 'a2,is,x', 'a3,is,x'}, 'other triples, as many as were')
    changed(rows(), {KG[1], 'a1,was,x', 'a2,was,y', 'a3,was,x'}, 'other names among its 1 rel')
    fixtures.write(data .. '/kg.csv', KG)
    prints('check ' .. run)
  end)

  it('keep their split when its files change', function()
    local data = fixtures.dir{['train.txt'] = {'0 1 2 3', '1 2 3 4', '2 0 4'},
                              ['test.txt'] = {'0 0', '1 0'}, ['kg_final.txt'] = {'0 0 5'}}
    local run = trained(data, dir .. '/files')
    assert.equal('kind\tname\n', fixtures.bytes(run .. '/names.tsv')) -- they are numbers
    local before = prints('eval ' .. run)
    fixtures.write(data .. '/train.txt', {'0 0 2 3', '1 2 3 4', '2 0 4'})
    fixtures.write(data .. '/test.txt', {'0 1', '1 0'})
    local code, text, err = shell.tinykg('eval ' .. run)
    assert.equal(0, code)
    assert.equal(before, text)
    assert.matches('note: .*: the same interactions in another split: the numbers and the spl', err)
    refuses('run --resume --set epochs=9 --out ' .. run, 1,
      'the same interactions in another split')
    os.remove(run .. '/split.bin')
    refuses('eval ' .. run, 1, 'the same interactions in another split')
  end)

  it('names of all kinds come back as they were', function()
    local odd = {'user,item', '"u\\1",a1', '"u, ""2""",a2', '"\\n",a\\tx', 'u4,a1', 'u4,a2',
                 'u4,a3'}
    local run = trained(set(odd, {KG[1], 'a1,"in\\of",z', 'a2,is,y'}), dir .. '/odd')
    prints('check ' .. run)
    local data = require('tinykg.run.data_set').load(require('tinykg.run.folder').config(run))
    local names = require('tinykg.run.folder.names').read(run, read(run .. '/config.json'))
    for _, kind in ipairs{'users', 'items', 'entities', 'relations'} do
      assert.equal(data[kind], names[kind].count)
      for id = 0, data[kind] - 1 do
        assert.equal(data.names[kind]:name(id), names[kind]:name(id))
      end
    end
    local text = fixtures.bytes(run .. '/names.tsv')
    fixtures.write(run .. '/names.tsv', (text:gsub('u4', 'u5')))
    refuses('export ' .. run .. ' --to ' .. dir .. '/x.tsv', 1, 'names.tsv: damaged')
  end)

  it('of an older version still answer, with a note, and keep their split', function()
    local data = set(rows())
    local whole = trained(data, dir .. '/old-whole', '--data-set seed=3 --seed 3')
    local run = trained(data, dir .. '/old', '--data-set seed=3 --seed 3')
    local before = prints('eval ' .. run .. ' --json')
    made_old(run)
    for _, command in ipairs{'eval %s --json', 'recommend %s --user u1', 'export %s --to ' .. dir ..
                             '/old.tsv', 'explain %s --user u1 --item a5', 'check %s'} do
      local code, text, err = shell.tinykg(command:format(run))
      assert.equal(0, code, err)
      if command:find('eval', 1, true) then assert.equal(before, text) end
      local note = 'older version, which did not note what its data set was'
      if not command:find('check', 1, true) then assert.matches(note, err) end
    end
    prints('run --resume --quiet --set epochs=8 --out ' .. run)
    prints('run --resume --quiet --set epochs=8 --out ' .. whole)
    assert.same(read(whole .. '/summary.json').test, read(run .. '/summary.json').test)
    assert.same(read(whole .. '/config.json').data_set, read(run .. '/config.json').data_set)
  end)

  it('have one split by default, whatever the seed, and convert can write it', function()
    local list = {'user,item'}
    for u = 1, 20 do
      for i = 1, 10 do list[#list + 1] = ('u%d,a%d'):format(u, i) end
    end
    local data = set(list)
    --- The pairs of test, as a run lists them and as convert wrote them.
    local function same(run, folder)
      local found, expected = {}, {}
      for user, item in prints('recommend ' .. run .. ' --users all --all -k 10')
        :gmatch('(u%d+)\t%d+\t(a%d+)\t%S+\t%S+\ttest\n') do
        found[#found + 1] = user .. ',' .. item
      end
      for line in io.lines(folder .. '/interactions.csv') do
        expected[#expected + 1] = line:match('^(.*),test$')
      end
      table.sort(found)
      table.sort(expected)
      assert.equal(20, #expected)
      assert.same(expected, found)
    end
    prints(('data convert %s %s/c1 --to plain'):format(data, dir))
    for _, seed in ipairs{1, 2} do
      same(trained(data, dir .. '/seed' .. seed, '--seed ' .. seed), dir .. '/c1')
    end
    local run = trained(data, dir .. '/seed-of-split', '--data-set seed=7')
    prints(('data convert --of %s %s/c7 --to plain'):format(run, dir))
    same(run, dir .. '/c7')
    assert.not_equal(fixtures.bytes(dir .. '/c1/interactions.csv'),
                     fixtures.bytes(dir .. '/c7/interactions.csv'))
    refuses(('data convert --of %s a b --to plain'):format(run), 2, 'name TO alone')
    refuses(('data convert --of %s b --to plain --data-set seed=1'):format(run), 2, 'of the run')
    refuses('data convert b --to plain', 2, 'two folders')
    refuses(('data convert --of %s/nowhere b --to plain'):format(dir), 1, 'no such run')
  end)

  it('of another run: pretrained rows go by name', function()
    local mf = trained(set(rows()), dir .. '/mf', '--set dim=4')
    local users = tk.load(mf .. '/best.safetensors')['users.weight']:totable()
    local function began(data, more)
      local set_of = tk.data.load(data)
      local nodes = tk.nn.Embedding(set_of.users + 2, 4)
      nodes:load(mf .. '/best.safetensors', 'users.weight', 2, set_of, 'users')
      if more then more(set_of) end
      return nodes.weight:totable(), set_of.names.users
    end
    local found, names = began(set(rows(true)))
    for id = 0, 5 do
      local number = tonumber(names:name(id):match('%d'))
      assert.same(users[number], found[id + 3]) -- u1 is row 1 there
    end
    local fewer = {'user,item', 'u5,a1', 'u2,a3'}
    found = began(set(fewer))
    assert.same({users[5], users[2]}, {found[3], found[4]})
    fewer[4] = 'new,a1'
    assert.matches("best.safetensors: 1 of 3 users are not in the data set of its run, 'new' for",
      fixtures.message(began, set(fewer)))
    made_old(mf) -- by number, as before
    assert.same(users[1], began(set(rows()))[3])
    assert.matches('has no users.weight %[2, 4%] but one %[6, 4%]',
      fixtures.message(began, set{'user,item', 'u5,a1', 'u2,a3'}))
  end)
end)

describe('folders of runs', function()
  local dir, data
  setup(function()
    dir, data = fixtures.dir(), set(rows())
  end)
  teardown(fixtures.clean)

  it('are each run\'s own when runs start at once', function()
    if not fixtures.has_tool('cc') then return pending('no cc') end
    fixtures.write(dir .. '/slow.c', [[
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>
int mkdir(const char *path, mode_t mode) {
  usleep(300000);
  return ((int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}
]])
    local code, text = shell.sh(([[cc -shared -fPIC -o %s/slow.so %s/slow.c -ldl && cd %s &&
      for lr in 0.001 0.001 0.002; do LD_PRELOAD=%s/slow.so %s/tinykg run recipes/bpr-mf.lua \
        --data %s --threads 1 --set epochs=1 --set lr=$lr --quiet & done; wait]]):format(dir, dir,
      dir, dir, home == '.' and '$OLDPWD' or home, data))
    assert.equal(0, code, text)
    local base = 'bpr-mf-' .. data:match('[^/]*$') .. '-32bit-seed1-epochs=1-lr=0.00'
    assert.same({base .. '1', base .. '1-2', base .. '2'}, fixtures.names(dir .. '/runs'))
    for _, name in ipairs(fixtures.names(dir .. '/runs')) do
      local run = dir .. '/runs/' .. name
      assert.equal(tonumber(name:match('lr=(0%.00%d)')), read(run .. '/config.json').options.lr)
      assert.is_table(read(run .. '/summary.json'))
      assert.is_nil(io.open(run .. '/previous'))
    end
  end)

  it('have names that tell settings apart, of bounded length', function()
    local place = require 'tinykg.run.output_folder'
    assert.equal('-dim=8-layers=64,32', place.settings{layers = '64,32', dim = 8})
    assert.equal('-pretrain=runs_mf_best.safetensors',
                 place.settings{pretrain = 'runs/mf/best.safetensors'})
    local long, other = {}, {}
    for k = 1, 50 do long['option' .. k], other['option' .. k] = k, k == 50 and 0 or k end
    assert.is_true(#place.settings(long) <= 100)
    assert.not_equal(place.settings(long), place.settings(other))
    assert.equal('films', place.data_name('a/films//'))
    assert.not_equal('.', place.data_name('.'))
  end)

  it('can be begun anew or gone on with, wherever a start was stopped', function()
    local whole = trained(data, dir .. '/whole')
    for n, files in ipairs{{'recipe.lua'}, {'recipe.lua', 'names.tsv', 'split.bin'},
                           {'recipe.lua', 'names.tsv', 'split.bin', 'config.json'},
                           {'recipe.lua', 'names.tsv', 'split.bin', 'config.json', 'log.jsonl'},
                           {'config.json'}} do -- the last: of an older version
      local out = dir .. '/stop' .. n
      for _, name in ipairs(files) do
        local text = fixtures.bytes(whole .. '/' .. name)
        fixtures.write(out .. '/' .. name, name == 'log.jsonl' and '' or text)
      end
      local resumes = table.concat(files):find('config.json', 1, true)
      if resumes then prints('run --resume --quiet --out ' .. out) else trained(data, out) end
      assert.equal(fixtures.bytes(whole .. '/best.safetensors'),
                   fixtures.bytes(out .. '/best.safetensors'))
      prints('check ' .. out)
    end
    local out = dir .. '/stop3'
    os.remove(out .. '/summary.json')
    refuses(RUN:format(data, 4, out, ''), 1, 'holds this run, interrupted: %-%-resume goes on')
  end)
end)

describe('checkpoints', function()
  local dir, data, run
  setup(function()
    dir, data = fixtures.dir(), set(rows())
    run = trained(data, dir .. '/run')
    prints('run --resume --quiet --checkpoint 0 --set epochs=6 --out ' .. run)
  end)
  teardown(fixtures.clean)

  --- A copy of the run, to be spoilt.
  local function copy()
    local to = fixtures.dir()
    for _, name in ipairs(fixtures.names(run)) do
      fixtures.write(to .. '/' .. name, fixtures.bytes(run .. '/' .. name))
    end
    return to
  end

  local function flip(path, at, k)
    local text = fixtures.bytes(path)
    at = at < 0 and #text + 1 + at or at
    fixtures.write(path, text:sub(1, at - 1) .. string.char(bit.bxor(text:byte(at), 2 ^ k)) ..
      text:sub(at + 1))
  end

  it('that are damaged are refused, and the one before is offered', function()
    local to = copy()
    flip(to .. '/last.safetensors', -9, 3)
    refuses('run --resume --quiet --set epochs=8 --out ' .. to, 1,
      'last.safetensors: [%w.-]+: damaged: its bytes are not what its checksum is of %(the one ' ..
      'before it is whole: tinykg run %-%-resume %-%-from last%-1 %-%-out ' ..
      to:gsub('%p', '%%%0'))
    local code, text, err = shell.tinykg('check ' .. to)
    assert.equal(1, code)
    assert.matches('last%.safetensors +NOT ok: [%w.-]+: damaged', text)
    assert.matches('last%-1%.safetensors +ok: in epoch %d, checksums right', text)
    assert.matches('1 thing not ok\n$', err)
    prints('run --resume --from last-1 --quiet --set epochs=8 --out ' .. to)
    prints('check ' .. to)
    local whole = copy()
    prints('run --resume --quiet --set epochs=8 --out ' .. whole)
    assert.equal(fixtures.bytes(whole .. '/best.safetensors'),
                 fixtures.bytes(to .. '/best.safetensors'))
    assert.same(read(whole .. '/summary.json').test, read(to .. '/summary.json').test)
  end)

  it('are both refused where both are damaged', function()
    local to = copy()
    flip(to .. '/last.safetensors', 100, 1)
    flip(to .. '/last-1.safetensors', -1, 7)
    refuses('run --resume --quiet --set epochs=8 --out ' .. to, 1, 'no older one that is whole')
    refuses('run --resume --from last-1 --quiet --set epochs=8 --out ' .. to, 1,
      'last%-1.safetensors: [%w.-]+: damaged')
    os.remove(to .. '/last.safetensors')
    refuses('run --resume --quiet --set epochs=8 --out ' .. to, 1, 'last.safetensors: cannot be')
  end)

  it('of the best epoch that are damaged answer nothing', function()
    local to = copy()
    flip(to .. '/best.safetensors', -5, 0)
    for _, command in ipairs{'eval %s', 'recommend %s --user u1', 'export %s --to x.npz',
                             'run --resume --set epochs=8 --quiet --out %s'} do
      refuses(command:format(to), 1, 'best.safetensors: users.weight: damaged')
    end
  end)

  it('have a state of the right form, also without checksums', function()
    local function spoilt(from, into)
      local to = copy()
      local path = to .. '/last.safetensors'
      without_checksums(path)
      local text, n = fixtures.bytes(path):gsub(from, into, 1)
      assert(n == 1 and #text == #fixtures.bytes(path), from)
      fixtures.write(path, text)
      return 'run --resume --quiet --set epochs=8 --out ' .. to
    end
    for _, case in ipairs{
      {'\\"steps\\":', '\\"stepz\\":', 'state.steps is not there, expected a list'},
      {'\\"epoch_times\\":', '\\"epoch_timez\\":', 'state.epoch_times is not there, expected a'},
      {'\\"draws\\":', '\\"drawz\\":', 'state.at.draws is not there, expected a whole number'},
      {'\\"held\\": {}', '\\"held\\": 12', 'state.held is 12, expected an object'},
      {'\\"updates\\": %[', '\\"updates\\": 1', 'its state: not JSON'},
    } do
      refuses(spoilt(case[1], case[2]), 1, 'last.safetensors: [^\n]*' .. case[3]
        :gsub('%p', '%%%0'))
    end
    local right = spoilt('\\"held\\": {}', '\\"held\\": {}') -- as older versions wrote it
    prints(right)
  end)

  it('and the other files are as they were written, or refused', function()
    local to, folder = copy(), require 'tinykg.run.folder'
    local check, report = require 'tinykg.run.check', require 'tinykg.report.read_runs'
    local function look()
      local _, bad = check(to, {no_data = true})
      return {folder.config(to), folder.log(to), folder.read(to, 'summary.json'),
              folder.read(to, 'kept.json'), report{to}[1].config, report{to}[1].log,
              report{to}[1].notes, bad}
    end
    local before, refused, tried = look(), 0, 0
    assert.equal(0, before[8])
    for _, name in ipairs{'config.json', 'log.jsonl', 'summary.json', 'kept.json', 'names.tsv'} do
      local whole = fixtures.bytes(to .. '/' .. name)
      local file = assert(io.open(to .. '/' .. name, 'r+b'))
      local function put(at, byte)
        file:seek('set', at - 1)
        file:write(string.char(byte))
        file:flush()
      end
      for at = 1, #whole, math.ceil(#whole / 60) do
        local byte = bit.bxor(whole:byte(at), 2 ^ (at % 8))
        put(at, byte)
        tried = tried + 1
        local ok, found = pcall(look)
        if not ok then
          assert.matches('^[^\n]*damaged[^\n]*$', found)
          refused = refused + 1
        else
          assert(found[8] > 0, ('%s, byte %d: nothing is said'):format(name, at))
          found[8] = 0
          assert.same(before, found)
        end
        put(at, whole:byte(at))
      end
      file:close()
    end
    assert(refused > tried / 2, refused .. ' of ' .. tried)
    -- by hand, and said so
    local config = fixtures.bytes(to .. '/config.json'):gsub('"seed": 1', '"seed": 2')
    fixtures.write(to .. '/config.json', config)
    refuses('eval ' .. to, 1, 'config.json: damaged: [^\n]*after a change by hand, take out its')
    fixtures.write(to .. '/config.json', (config:gsub('  "checksum": [^\n]*\n', '')))
    prints('eval ' .. to)
  end)

  it('and other files of the wrong form are named', function()
    local to = copy()
    fixtures.write(to .. '/config.json', '1\n')
    for _, command in ipairs{'eval %s', 'recommend %s --user u1', 'run --resume --out %s',
                             'export %s --to x.npz', 'check %s'} do
      refuses(command:format(to), 1, 'config.json: not as a run writes it: it is 1, expected')
    end
    local config = read(run .. '/config.json')
    config.options, config.checksum = 3, nil
    write(to .. '/config.json', config)
    refuses('eval ' .. to, 1, 'config.json: not as a run writes it: options is 3, expected an')
    to = copy()
    fixtures.write(to .. '/summary.json', '{"recipe": "BPR-MF"}')
    refuses('eval ' .. to, 1, 'summary.json: not as a run writes it: best_epoch is not there')
  end)

  it('are whole wherever writing one stops, also without hard links', function()
    local checkpoint, lfs = require 'tinykg.run.folder.checkpoint', require 'lfs'
    local recipe = dofile('recipes/bpr-mf.lua')
    local one = require('tinykg.train').new(recipe, tk.data.load(data), recipe:complete{dim = 4},
                                            {bits = 32, quiet = true})
    local marks = checkpoint.baseline(one.model)
    local real = {rename = os.rename, remove = os.remove, link = lfs.link}
    finally(function() os.rename, os.remove, lfs.link = real.rename, real.remove, real.link end)
    local function epoch_of(file)
      local all, state = checkpoint.load(file)
      return all and state.at.epoch
    end
    for _, links in ipairs{true, false} do
      local left = 0
      for stop = 1, 8 do
        local to, calls = fixtures.dir(), 0
        local function counted(fn)
          return function(...)
            calls = calls + 1
            if calls == stop then error('stopped', 0) end
            return fn(...)
          end
        end
        for epoch = 1, 2 do
          one.at.epoch = epoch
          assert.is_true(checkpoint.write(to, one, marks))
        end
        os.rename, os.remove = counted(real.rename), counted(real.remove)
        lfs.link = counted(links and real.link or function() return nil, 'not supported' end)
        one.at.epoch = 3
        pcall(checkpoint.write, to, one, marks)
        os.rename, os.remove, lfs.link = real.rename, real.remove, real.link
        local last = epoch_of(to .. '/last.safetensors')
        local older = epoch_of(to .. '/last-1.safetensors')
        if links then assert.is_true(last == 2 or last == 3) end
        assert.is_true((last or older) >= 2, ('stop %d: %s, %s'):format(stop, tostring(last),
          tostring(older))) -- nothing older than what was there
        require('tinykg.run.folder').tidy(to)
        left = math.max(left, #fixtures.names(to))
        if calls < stop then assert.same({3, 2}, {last, older}) end
      end
      assert.equal(2, left)
    end
  end)

  it('are asked for rightly', function()
    refuses(RUN:format(data, 4, dir .. '/x', '--from last-1'), 2, '%-%-from: it is for %-%-resume')
    refuses('run --resume --from last-2 --out ' .. run, 2, 'last%-2 is not last or last%-1')
    refuses('run --resume --force --out ' .. run, 2, 'take one')
  end)

  it('that do not fit each other are found', function()
    local to = copy()
    local other = trained(data, dir .. '/other', '--set dim=3')
    fixtures.write(to .. '/last.safetensors', fixtures.bytes(other .. '/last.safetensors'))
    os.remove(to .. '/log.jsonl')
    local code, text = shell.tinykg('check ' .. to)
    assert.equal(1, code)
    assert.matches('last%.safetensors +NOT ok: %w+%.weight is f32 %[%d+, 3%], but f32 %[%d+, ' ..
                   '64%] ' ..
                   'in best%.safetensors\n', text)
    assert.matches('log%.jsonl +NOT ok: is not there', text)
    refuses('check ' .. dir .. '/nowhere', 1, 'no such run')
    local found = json.decode(prints('check --json --no-data ' .. run))
    assert.equal(0, found.wrong)
    assert.equal(#fixtures.names(run), #found.files)
  end)
end)
