-- Runs that are killed, at calls on their files and at random moments, and resumed until they end.
-- They leave, bit for bit, the files of an undisturbed run.
local clock = require 'tinykg.base.clock'
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local shims = require 'tests.faults.shims'

local why_not = shims.untrapped()
local KILLED = 137

-- Widths, optimizers, schedules and devices that a checkpoint has to hold.
local CASES = {
  {'kgcn', '--bits 2 --set epochs=3 --set batch_size=64'},
  {'kgat', '--bits 4 --set epochs=2 --set kg_batch_size=256 --set batch_size=128 --set dim=16'},
  {'bpr-mf', '--set epochs=4 --set batch_size=128 --data-set task=ranking'},
  {'kgin', '--bits 8 --set epochs=2 --set dim=16 --set schedule=cosine --set optimizer_bits=8 ' ..
           '--set batch_size=256 --data-set task=ranking'},
}

describe('a run that is killed', function()
  local dir, data
  setup(function()
    if why_not then return end
    math.randomseed(full.seed)
    dir, data = shell.demo(60, 40)
  end)
  teardown(fixtures.clean)

  --- Makes the undisturbed run of a case. Returns its folder, the command without --out, seconds.
  local function whole_of(case)
    local whole = dir .. '/whole-' .. case[1]
    local command = ('run recipes/%s.lua --data %s --threads 1 --checkpoint 0 --quiet %s --out ')
      :format(case[1], data, case[2])
    fixtures.remove(whole)
    local started = clock.now()
    shell.prints(command .. whole)
    return whole, command, clock.now() - started
  end

  --- Returns the command that resumes the run, or the first one if a kill left no run.
  local function next_command(command, out)
    local config = io.open(out .. '/config.json')
    if not config then return command .. out end
    config:close()
    return 'run --resume --quiet --checkpoint 0 --out ' .. out
  end

  --- Returns the number of calls on its files that the undisturbed command makes.
  local function calls_of(command, out)
    fixtures.remove(out)
    local r = shims.disturbed(command .. out, out, 'kill')
    assert(r.code == 0, r.err)
    return r.calls
  end

  local function kill_at_call(command, out, n)
    local r = shims.disturbed(next_command(command, out), out, 'kill', n)
    assert(r.code == 0 or r.code == KILLED and r.hit, ('exit %s: %s'):format(r.code, r.err))
    return r.code == KILLED
  end

  local function kill_at_moment(command, out, seconds)
    local code, text = shell.sh(('timeout -s KILL %.3f ./tinykg %s'):format(seconds,
      next_command(command, out)))
    assert(code == 0 or code == KILLED, ('exit %s: %s'):format(code, text))
    return code == KILLED
  end

  for k = 1, full.is and #CASES or 1 do
    local case = CASES[k]
    it('at any call goes on: ' .. case[1], function()
      if why_not then return pending(why_not) end
      local whole, command = whole_of(case)
      local out = dir .. '/at-call'
      local calls = calls_of(command, out)
      local kills = 0
      for n in full.sample(calls, 12) do
        fixtures.remove(out)
        if kill_at_call(command, out, n) then kills = kills + 1 end
        shell.prints(next_command(command, out))
        runs.same(whole, out)
      end
      full.say('%s: %d kills, one at each of %d calls', case[1], kills, calls)
      fixtures.remove(whole)
    end)

    it('again and again goes on: ' .. case[1], function()
      if why_not then return pending(why_not) end
      local whole, command, seconds = whole_of(case)
      local out = dir .. '/again'
      local calls = calls_of(command, out)
      local wanted, kills, ends = full.is and 50 or 6, 0, 0
      while kills < wanted do
        fixtures.remove(out)
        repeat
          local killed
          if kills % 2 == 0 then killed = kill_at_call(command, out, math.random(calls))
          else killed = kill_at_moment(command, out, seconds * (0.2 + math.random())) end
          if killed then kills = kills + 1 end
        until not killed
        runs.same(whole, out)
        ends = ends + 1
      end
      full.say('%s: %d kills, %d times to the end, seed %d', case[1], kills, ends, full.seed)
      fixtures.remove(whole)
    end)
  end
end)
