-- Runs that are killed at any moment and go on: what they end with is, bit for bit, what they would
-- have ended with.
local ffi = require 'ffi'
local fixtures = require 'tests.spec.fixtures'
local json = require 'tinykg.json'
local shell = require 'tests.spec.shell'
local tk = require 'tinykg'

local sh = shell.sh

local function read(path) return assert(json.read(path)) end

--- The log without what a clock says.
local function log_of(run)
  local list = {}
  for line in io.lines(run .. '/log.jsonl') do
    local record = json.decode(line)
    record.seconds, record.memory = nil, nil
    list[#list + 1] = record
  end
  return list
end

--- All tensors of a file as bytes by name.
local function tensors_of(path)
  local list = {}
  for name, t in pairs((tk.load(path))) do
    local values, n = t:values()
    list[name] = ffi.string(values, 4 * n)
  end
  return list
end

local function same_run(a, b)
  assert.same(log_of(a), log_of(b))
  for _, name in ipairs{'best', 'last'} do
    local one, other = tensors_of(a .. '/' .. name .. '.safetensors'),
      tensors_of(b .. '/' .. name .. '.safetensors')
    for key, bytes in pairs(one) do
      assert(bytes == other[key], name .. ': ' .. key .. ' differs')
      other[key] = nil
    end
    assert.is_nil((next(other)))
  end
  local one, other = read(a .. '/summary.json'), read(b .. '/summary.json')
  for _, key in ipairs{'valid', 'test', 'epochs', 'best_epoch', 'kept', 'bits', 'seed'} do
    assert.same(one[key], other[key], key)
  end
end

describe('a run that goes on', function()
  local dir, data
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/data'
    assert.equal(0, (sh('./tinykg data demo ' .. data .. ' --users 300 --items 150')))
  end)
  teardown(fixtures.clean)

  --- Runs, and kills it each time after it has saved its state twice, until it comes to its end.
  -- A checkpoint is renamed into place, so that its inode changes.
  local UNTIL_SAVED = [[
    n=0; old=$(stat -c %%i %s/last.safetensors 2>/dev/null)
    ./tinykg %s >%s.txt 2>&1 & pid=$!
    while kill -0 $pid 2>/dev/null; do
      new=$(stat -c %%i %s/last.safetensors 2>/dev/null)
      if [ "$new" != "$old" ]; then n=$((n + 1)); old=$new; fi
      if [ $n = 2 ]; then kill -9 $pid; break; fi
      sleep 0.005
    done
    wait $pid 2>/dev/null; status=$?; if [ $status != 0 ]; then cat %s.txt; fi; (exit $status)]]

  local function run_with_kills(recipe, options, out)
    local command = ('run recipes/%s.lua --data %s %s --checkpoint 0 --out %s'):format(recipe, data,
      options, out)
    for kills = 0, 60 do
      local code, text = sh(UNTIL_SAVED:format(out, command, out, out, out))
      if code == 0 then return kills end
      assert(code == 137, text)
      command = 'run --resume --checkpoint 0 --out ' .. out
    end
    error('never came to its end')
  end

  for _, case in ipairs{
    {'kgat', '--bits 2 --set epochs=2 --set kg_batch_size=256 --set batch_size=256 --set dim=16'},
    {'kgcn', '--bits 4 --set epochs=4 --set batch_size=256 --set hops=2'},
    {'kgin', '--bits 2 --set epochs=5 --set eval_every=2 --set dim=16 --set schedule=cosine ' ..
             '--set optimizer_bits=8 --set batch_size=256 --data-set task=ranking'},
  } do
    it('ends as if it had not been killed: ' .. case[1], function()
      local whole, killed = dir .. '/whole-' .. case[1], dir .. '/killed-' .. case[1]
      local code, text = sh(('./tinykg run recipes/%s.lua --data %s %s --out %s'):format(case[1],
        data, case[2], whole))
      assert.equal(0, code, text)
      local kills = run_with_kills(case[1], case[2], killed)
      assert.is_true(kills >= 2, 'killed only ' .. kills .. ' times')
      same_run(whole, killed)
    end)
  end

  it('ends as if it had not been killed on the kernels of a GPU, run by the CPU', function()
    local whole, killed = dir .. '/whole-emu', dir .. '/killed-emu'
    local begin = './tinykg run recipes/lightgcn.lua --quiet --device emu --bits 2 --data ' ..
      data .. ' --set epochs=3 --set dim=8 --set batch_size=512 --checkpoint 0 --out '
    assert.equal(0, (sh(begin .. whole)))
    assert.equal(137, (sh('timeout -s KILL 0.7 ' .. begin .. killed)))
    local code, text = sh(begin .. killed .. ' --resume')
    assert.equal(0, code, text)
    same_run(whole, killed)
  end)

  it('is told how, and goes on, after Ctrl-C', function()
    local out, whole = dir .. '/stopped', dir .. '/not-stopped'
    local options = '--bits 2 --set epochs=40 --set batch_size=16 --set patience=0'
    assert.equal(0, (sh(('./tinykg run recipes/kgcn.lua --quiet --data %s %s --out %s'):format(data,
      options, whole))))
    local code, text = sh(('timeout --preserve-status -s INT 0.6 ./tinykg run recipes/kgcn.lua ' ..
      '--data %s %s --out %s'):format(data, options, out))
    assert.equal(130, code, text)
    assert.matches('to go on: tinykg run %-%-resume %-%-out ' .. out:gsub('%p', '%%%0'), text)
    code, text = sh('timeout --preserve-status -s TERM 0.3 ./tinykg run --resume --out ' .. out)
    assert.equal(143, code, text) -- as batch systems do it
    code, text = sh('./tinykg run --resume --out ' .. out)
    assert.equal(0, code, text)
    assert.matches('going on in epoch %d+', text)
    same_run(whole, out)
  end)

  it('that is finished has nothing to do, unless it is given more epochs', function()
    local out, whole = dir .. '/more', dir .. '/all'
    local begin = './tinykg run recipes/lightgcn.lua --quiet --data ' .. data .. ' --bits 2 '
    assert.equal(0, (sh(begin .. '--set epochs=2 --out ' .. out)))
    assert.equal(0, (sh(begin .. '--set epochs=4 --out ' .. whole)))
    local code, text = sh('./tinykg run --resume --out ' .. out)
    assert.equal(0, code)
    assert.matches('^finished before; nothing to do\ntest: ', text)
    code, text = sh('./tinykg run --resume --set epochs=4 --out ' .. out)
    assert.equal(0, code, text)
    same_run(whole, out)
  end)

  it('refuses to go on as something else', function()
    local out = dir .. '/else'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data
    assert.equal(0, (sh(begin .. ' --set epochs=1 --out ' .. out)))
    for _, case in ipairs{
      {' --bits 8', 'bits was 32 and is 8 now'}, {' --seed 2', 'seed was 1 and is 2 now'},
      {' --set dim=8', 'option dim was 64 and is 8 now'},
      {' --data-set split=time', 'option of the data split was nil and is time now'},
    } do
      local code, text = sh(begin .. case[1] .. ' --set epochs=2 --resume --out ' .. out)
      assert.equal(1, code)
      assert.matches('cannot go on: ' .. case[2] .. ' %(another %-%-out begins anew%)', text)
    end
    local code, text = sh('./tinykg run --resume --out ' .. dir .. '/nowhere')
    assert.equal(1, code)
    assert.matches('/nowhere: no such run', text)
    code, text = sh('./tinykg run --resume')
    assert.equal(2, code)
    assert.matches('%-%-out says which run', text)
  end)

  it('does not take a broken checkpoint for a good one', function()
    local out = dir .. '/broken'
    local begin = './tinykg run recipes/bpr-mf.lua --quiet --data ' .. data .. ' --out ' .. out
    assert.equal(0, (sh(begin .. ' --set epochs=1')))
    local bytes = fixtures.bytes(out .. '/last.safetensors')
    fixtures.write(out .. '/last.safetensors', bytes:sub(1, #bytes - 100))
    local code, text = sh('./tinykg run --resume --quiet --set epochs=2 --out ' .. out)
    assert.equal(1, code)
    assert.matches('last%.safetensors: ', text)
    assert.equal(1, select(2, text:gsub('\n', '')), text)
  end)
end)
