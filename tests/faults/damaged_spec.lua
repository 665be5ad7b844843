-- The files of a run with a flipped bit, or with other JSON in them: each command that reads them
-- refuses in one line, or does what it did before. Nothing crashes, hangs or answers otherwise.
local complaint = require 'tests.faults.refusal'
local damage = require 'tests.faults.damage'
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local json = require 'tinykg.base.json'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local READERS = {
  'eval --json %s', "recommend --json --user 'user 1' -k 3 %s", 'report --json %s',
  'export --to OUT.tsv %s', 'check --json %s',
}

-- Of each file, in the full form.
local MOST_BITS, MOST_VALUES = 400, 400

describe('a damaged run', function()
  local dir, data, begun, whole, broken
  setup(function()
    math.randomseed(full.seed)
    dir = fixtures.dir()
    data, begun, whole = dir .. '/data', dir .. '/begun', dir .. '/whole'
    broken = dir .. '/broken'
    shell.prints('data demo ' .. data .. ' --users 24 --items 20')
    local command = 'run recipes/bpr-mf.lua --quiet --threads 1 --checkpoint 0 --data ' .. data ..
      ' --set batch_size=64 --set dim=4 --set epochs=%d --out %s'
    shell.prints(command:format(2, begun))
    shell.prints(command:format(2, whole))
    shell.prints('run --resume --quiet --checkpoint 0 --set epochs=4 --out ' .. whole)
  end)
  teardown(fixtures.clean)

  --- A copy of a run with another text in one of its files.
  local function break_file(run, name, text)
    fixtures.remove(broken)
    for _, each in ipairs(fixtures.names(run)) do
      fixtures.write(broken .. '/' .. each, each == name and text
                     or fixtures.bytes(run .. '/' .. each))
    end
  end

  local violations
  before_each(function() violations = {} end)
  local function violated(...) violations[#violations + 1] = string.format(...) end

  local MOST_SHOWN = 30
  local function check_violations()
    local n = #violations
    assert(n == 0, ('%d times:\n%s'):format(n, table.concat(violations, '\n', 1,
                                                            math.min(n, MOST_SHOWN))))
  end

  --- What is wrong with how a command ended, or nil.
  local function bad_ending(command, code, err)
    if code > 2 then return 'neither done nor refused' end
    if code == 0 or command:find('^check') then return complaint(err ~= '' and err or 'none') end
    local changed = err:find('recipe.lua has changed since', 1, true) -- its errors are its own
    err = err:gsub('note: [^\n]*\n', '')
    if select(2, err:gsub('\n', '')) ~= 1 then return 'not one line' end
    if err:find('[%z\1-\9\11-\31\127]') then return 'control bytes' end
    return not changed and complaint(err) or nil
  end

  --- Runs a command on what is broken. Returns whether it was refused, or said what has changed,
  --- and what it printed.
  local function try(command, what)
    command = command:gsub('OUT', dir .. '/out'):format(broken)
    local code, out, err = shell.tinykg(command, 'timeout -s KILL 300')
    local bad = bad_ending(command, code, err)
    if bad then violated('%s: %s: exit %s, %s: %s', what, command, code, bad, err) end
    return code ~= 0 or err:find('has changed since') ~= nil, out
  end

  local RESUME = 'run --resume --quiet --checkpoint 0 --set epochs=4 --out %s'

  --- What a command gives for a run that is whole, without what a clock says and the folder's name.
  local function plain(text)
    return (text:gsub('%d+%.%d+ ms', ''):gsub('"[%w_]*_s": [%d.e-]+', ''):gsub('/%w+"', '"'))
  end

  local function expected()
    local list = {}
    fixtures.remove(broken)
    break_file(whole)
    for _, command in ipairs(READERS) do
      local refused, out = try(command, 'nothing')
      assert(not refused, command .. ' refuses what is whole')
      list[command] = plain(out)
    end
    return list
  end

  it('by one flipped bit is refused, or is as it was', function()
    local want, tried, refused = expected(), 0, 0
    local function count(r)
      tried, refused = tried + 1, refused + (r and 1 or 0)
    end
    for _, name in ipairs(fixtures.names(whole)) do
      local bytes = fixtures.bytes(whole .. '/' .. name)
      for at in full.sample(#bytes, 2, MOST_BITS) do
        local what = ('%s, byte %d'):format(name, at)
        break_file(whole, name, damage.flipped(bytes, at, math.random(0, 7)))
        for _, command in ipairs(READERS) do
          local was_refused, out = try(command, what)
          count(was_refused)
          if not was_refused and plain(out) ~= want[command] then
            violated('%s: %s answers otherwise', what, command)
          end
        end
      end
    end
    check_violations()
    full.say('flipped bits of a finished run: %d commands, %d refused', tried, refused)
  end)

  it('by one flipped bit goes on as it would have, or not at all', function()
    local tried, refused = 0, 0
    for _, name in ipairs(fixtures.names(begun)) do
      local bytes = fixtures.bytes(begun .. '/' .. name)
      for at in full.sample(#bytes, 3, MOST_BITS) do
        local what = ('%s, byte %d'):format(name, at)
        break_file(begun, name, damage.flipped(bytes, at, math.random(0, 7)))
        tried = tried + 1
        if try(RESUME, what) then refused = refused + 1
        else
          if not pcall(runs.same, whole, broken) then violated('%s: it ends otherwise', what) end
        end
      end
    end
    check_violations()
    full.say('flipped bits of a run that goes on: %d tried, %d refused', tried, refused)
  end)

  --- Tries every command on each change of a JSON text, or on some changes.
  local function change(run, name, value, few, write)
    local list = {}
    damage.each(value, json.null, function(changed, what)
      list[#list + 1] = {changed, name .. ': ' .. what}
    end)
    local tried, refused = 0, 0
    for k in full.sample(#list, few, MOST_VALUES) do
      break_file(run, name, write(list[k][1]))
      for _, command in ipairs{RESUME, unpack(READERS)} do
        tried, refused = tried + 1, refused + (try(command, list[k][2]) and 1 or 0)
      end
    end
    check_violations()
    full.say('%s changed: %d commands, %d refused', name, tried, refused)
  end

  it('by other JSON is refused in one line, or answers', function()
    for _, name in ipairs{'config.json', 'summary.json', 'kept.json', 'log.jsonl'} do
      local text = fixtures.bytes(whole .. '/' .. name)
      local first, rest = text:match(name == 'log.jsonl' and '^(.-\n)(.*)$' or '^(.*)()$')
      change(whole, name, assert(json.decode(first)), 3, function(value)
        return json.encode(value) .. '\n' .. (type(rest) == 'string' and rest or '')
      end)
    end
  end)

  it('by another state in its checkpoint is refused in one line, or goes on', function()
    local path = begun .. '/last.safetensors'
    local tensors, metadata = tk.load(path)
    local scratch = dir .. '/state.safetensors'
    change(begun, 'last.safetensors', assert(json.decode(metadata.state)), 5, function(state)
      local changed = {}
      for key, value in pairs(metadata) do changed[key] = value end
      changed.state = json.encode(state)
      tk.save(scratch, tensors, changed)
      return fixtures.bytes(scratch)
    end)
  end)
end)
