-- Each system call on the files of a command fails once: with an error of the disk, with a full
-- disk, or having written half. The command ends well, or says in one line which file it was, and
-- nothing is lost.
local complaint = require 'tests.faults.refusal'
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local shims = require 'tests.faults.shims'

local why_not = shims.untrapped()
local KINDS = {'EIO', 'ENOSPC', 'short'}

--- Fails unless the command ended with status 0, or with one clear line that names the folder.
local function check_ending(r, folder)
  local what = ('%s: exit %s: %s'):format(tostring(r.hit), tostring(r.code), r.err)
  if r.code == 0 then return end
  assert(r.code == 1, what)
  assert(select(2, r.err:gsub('\n', '')) == 1 and r.err:match('^tinykg: '), what)
  assert(r.err:find(folder, 1, true), 'no file is named: ' .. what)
  assert(not complaint(r.err), what)
end

--- Disturbs each call of a command, or some of them, in each way.
---@param few number how many of each kind in the short form
---@param command string ---@param folder string
---@param before fun() sets the scene ---@param after fun(r: table) looks at what is left
local function disturb_each(few, command, folder, before, after)
  for _, kind in ipairs(KINDS) do
    before()
    local undisturbed = shims.disturbed(command, folder, kind)
    assert(undisturbed.code == 0 and undisturbed.calls > 0, undisturbed.err)
    local calls = undisturbed.calls
    local tried, survived = 0, 0
    for n in full.sample(calls, few) do
      before()
      local r = shims.disturbed(command, folder, kind, n)
      assert(r.hit, ('call %d of %d was not made'):format(n, calls))
      check_ending(r, folder)
      if kind == 'short' then assert(r.code == 0, 'half a write is not the end: ' .. r.err) end
      after(r)
      tried, survived = tried + 1, survived + (r.code == 0 and 1 or 0)
    end
    full.say('%-6s %4d calls disturbed, %d without effect, the others said so: %s', kind, tried,
             survived, (command:gsub(' .*', '')))
  end
end

describe('a call that fails', function()
  local dir, data
  setup(function()
    if why_not then return end
    dir, data = shell.demo(40, 30)
  end)
  teardown(fixtures.clean)

  local function attack(name, fn)
    it(name, function()
      if why_not then return pending(why_not) end
      fn()
    end)
  end

  attack('in a run ends it with a line, and --resume ends as if nothing had been', function()
    local out, whole = dir .. '/run', dir .. '/whole'
    local command = ('run recipes/kgcn.lua --data %s --bits 2 --threads 1 --set epochs=2 ' ..
      '--set batch_size=64 --checkpoint 0 --quiet --out '):format(data)
    shell.prints(command .. whole)
    disturb_each(8, command .. out, out, function() fixtures.remove(out) end, function(r)
      if r.code ~= 0 then
        local begun = io.open(out .. '/config.json')
        if begun then begun:close() end
        local code, _, err = shell.tinykg(begun and 'run --resume --quiet --out ' .. out
                                          or command .. out)
        assert(code == 0, ('after %s: %s'):format(r.hit, err))
      end
      runs.same(whole, out)
    end)
  end)

  --- Disturbs a command that writes one file or folder; `read` returns its contents.
  local function writes(command, out, read)
    shell.prints(command)
    local whole = read()
    disturb_each(3, command, out, function() fixtures.remove(out) end, function(r)
      if r.code == 0 then assert.same(whole, read()) return end
      fixtures.remove(out)
      shell.prints(command)
      assert.same(whole, read())
    end)
  end

  attack('in what is made of a run or a data set', function()
    local run = dir .. '/source'
    shell.prints(('run recipes/bpr-mf.lua --data %s --threads 1 --set epochs=1 --quiet --out %s')
      :format(data, run))
    for _, name in ipairs{'rows.tsv', 'all.npz', 'all.safetensors'} do
      local path = dir .. '/' .. name
      writes(('export %s --to %s'):format(run, path), path, function()
        return fixtures.bytes(path)
      end)
    end
    local page = dir .. '/page.html'
    writes(('report %s -o %s'):format(run, page), page, function()
      return (fixtures.bytes(page):gsub('%d%d:%d%d', ''))
    end)
  end)

  attack('in a data set that is converted', function()
    for _, format in ipairs{'recbole', full.is and 'kgat' or nil, full.is and 'plain' or nil} do
      local path = dir .. '/' .. format
      writes(('data convert %s %s --to %s --force'):format(data, path, format), path, function()
        local list = {}
        for _, name in ipairs(fixtures.names(path)) do
          list[name] = fixtures.bytes(path .. '/' .. name)
        end
        return list
      end)
    end
  end)
end)
