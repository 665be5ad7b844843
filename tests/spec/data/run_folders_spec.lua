-- A run is not written over; runs started at once have folders of their own; any stop leaves a run
-- that can go on; damaged files are refused.
-- luacheck: globals os.rename os.remove
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local runs = require 'tests.support.runs'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local home = os.getenv('TINYKG_HOME') or '.'
local prints, refuses = shell.prints, shell.refuses
local rows, set, trained = sets.rows, sets.folder, runs.trained

local read, write = runs.read, runs.write

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
    shell.gives(0, ([[cc -shared -fPIC -o %s/slow.so %s/slow.c -ldl && cd %s &&
      for lr in 0.001 0.001 0.002; do LD_PRELOAD=%s/slow.so %s/tinykg run recipes/bpr-mf.lua \
        --data %s --threads 1 --set epochs=1 --set lr=$lr --quiet & done; wait]]):format(dir, dir,
      dir, dir, home == '.' and '$OLDPWD' or home, data))
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
    local output_folder = require 'tinykg.run.output_folder'
    assert.equal('-dim=8-layers=64,32', output_folder.settings{layers = '64,32', dim = 8})
    assert.equal('-pretrain=runs_mf_best.safetensors',
                 output_folder.settings{pretrain = 'runs/mf/best.safetensors'})
    local long, other = {}, {}
    for k = 1, 50 do long['option' .. k], other['option' .. k] = k, k == 50 and 0 or k end
    assert.is_true(#output_folder.settings(long) <= 100)
    assert.not_equal(output_folder.settings(long), output_folder.settings(other))
    assert.equal('films', output_folder.data_name('a/films//'))
    assert.not_equal('.', output_folder.data_name('.'))
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
    refuses(runs.COMMAND:format(data, 4, out, ''), 1,
      'holds this run, interrupted: %-%-resume goes on')
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

  --- Copies the run's folder, to be damaged.
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

  --- Trains epoch by epoch until the best is no longer the one that the checkpoint before knew as
  --- the best. Returns the folder with that checkpoint in place of last-1, when it was made, the
  --- best epoch that it knows, and the best now.
  local function with_older_checkpoint(out, is_right)
    local demo = dir .. '/demo'
    prints(('data demo %s --users 60 --items 80'):format(demo))
    local begin = runs.COMMAND:format(demo, 30, out, '--set lr=0.1 --data-set task=ranking')
    prints(begin)
    local metric, best, value = read(out .. '/summary.json').metric, nil, -1
    local log = runs.log(out)
    for now, record in ipairs(log) do
      if record.valid[metric] > value then best, value = record.epoch, record.valid[metric] end
      local later
      for epoch = now + 1, #log do
        if not later and log[epoch].valid[metric] > value then later = epoch end
      end
      if later and is_right(best, now, later) then
        local from = (' --force --set epochs=%d'):format(now)
        prints((begin:gsub(' %-%-set epochs=30', from)))
        local older = fixtures.bytes(out .. '/last.safetensors')
        local test = read(out .. '/summary.json').test
        prints(('run --resume --quiet --set epochs=%d --out %s'):format(later, out))
        fixtures.write(out .. '/last-1.safetensors', older)
        return now, best, later, test
      end
    end
    error('no such epochs')
  end

  it('that are older than best.safetensors end with parameters of the epoch that they report',
     function()
    local out = dir .. '/older-best'
    local _, best, later, test = with_older_checkpoint(out, function(known, now, better)
      return known == now and better > now + 1
    end)
    prints('run --resume --from last-1 --quiet --set epochs=30 --set patience=1 --out ' .. out)
    local summary = read(out .. '/summary.json')
    assert.same({best, best + 1, test}, {summary.best_epoch, summary.epochs, summary.test})
    assert.is_true(later > best + 1)
    prints('check ' .. out)
  end)

  it('that are older, without the parameters of their best epoch, end so only '
     .. 'where a later one is better', function()
    local out = dir .. '/lost-best'
    local now, best, later = with_older_checkpoint(out, function(known, at, better)
      return known < at and better > at + 1
    end)
    local resume = 'run --resume --from last-1 --quiet --out ' .. out
    refuses(('%s --set epochs=30 --set patience=%d'):format(resume, now + 1 - best), 1,
      ('best.safetensors is of epoch %d, the best epoch is %d, whose'):format(later, best))
    prints(('run --resume --quiet --out %s --set epochs=%d --set patience=0'):format(out, later))
    assert.equal(later, read(out .. '/summary.json').best_epoch)
    assert.same(read(out .. '/summary.json').test,
                json.decode(prints('eval --json ' .. out)).metrics)
    prints('check ' .. out)
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
      runs.without_checksums(path)
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
    refuses(runs.COMMAND:format(data, 4, dir .. '/x', '--from last-1'), 2,
      '%-%-from: it is for %-%-resume')
    refuses('run --resume --from last-2 --out ' .. run, 2, 'last%-2 is not last or last%-1')
    refuses('run --resume --force --out ' .. run, 2, 'take one')
  end)

  it('that do not fit each other are found', function()
    local to = copy()
    local other = trained(data, dir .. '/other', '--set dim=3')
    fixtures.write(to .. '/last.safetensors', fixtures.bytes(other .. '/last.safetensors'))
    os.remove(to .. '/log.jsonl')
    local text = shell.gives(1, './tinykg check ' .. to, 'last%.safetensors +NOT ok: ' ..
      '%w+%.weight is f32 %[%d+, 3%], but f32 %[%d+, 64%] in best%.safetensors\n')
    assert.matches('log%.jsonl +NOT ok: is not there', text)
    refuses('check ' .. dir .. '/nowhere', 1, 'no such run')
    local found = json.decode(prints('check --json --no-data ' .. run))
    assert.equal(0, found.wrong)
    assert.equal(#fixtures.names(run), #found.files)
  end)

  it('are all checked, whatever the run was asked to write', function()
    local to = trained(data, dir .. '/all', '--profile --set per_user=true')
    local files = {}
    for _, found in ipairs(json.decode(prints('check --json --no-data ' .. to)).files) do
      files[found.name] = not found.wrong
    end
    for _, name in ipairs(require('tinykg.run.folder').FILES) do
      assert.is_true(files[name], name)
    end
    for name, change in pairs{['profile.json'] = {'"op": "', '"is": "'},
                                ['trace.json'] = {'"traceEvents"', '"events"'}} do
      local path = to .. '/' .. name
      local text, findings = fixtures.bytes(path), name:gsub('%.', '%%.') .. ' +NOT ok: '
      fixtures.write(path, text:sub(1, -20))
      shell.gives(1, './tinykg check ' .. to, findings)
      fixtures.write(path, (text:gsub(change[1], change[2])))
      shell.gives(1, './tinykg check ' .. to, findings .. 'not as a run writes it: %w+[%.%w]* is ')
      fixtures.write(path, text)
    end
    shell.gives(0, './tinykg check ' .. to, 'profile%.json +ok: %d+ ops on cpu\n' ..
      ' +trace%.json +ok: %d+ events\n')
  end)
end)
