-- Each allocation of the engine fails, alone or with all that follow: a clear line, no crash, no
-- hang, and the same computation is right afterwards. allocations.lua holds what is computed.
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local shell = require 'tests.support.shell'
local shims = require 'tests.faults.shims'

local why_not = shims.unusable()

describe('an allocation that fails', function()
  teardown(fixtures.clean)

  it('ends in one line about memory, and nothing is lost', function()
    if why_not then return pending(why_not) end
    local dir = fixtures.dir()
    shell.prints('data demo ' .. dir .. '/data --users 20 --items 15')
    fixtures.write(dir .. '/plain/interactions.csv', {'user,item,rating,timestamp',
      'a,"x, ""1""",5,1', 'a,y,3.5,2', 'b,y,1,3', '"b",x,4,4', 'c,"x, ""1""",2e0,5'})
    fixtures.write(dir .. '/plain/items.csv', {'item,title', 'y,The "Y", or not', 'x,X'})
    fixtures.compress(dir .. '/plain/interactions.csv', 'gzip')
    local code, out, err = shims.luajit('allocations', {LUA_PATH = './?.lua;lua/?.lua;' ..
      'lua/?/init.lua;' .. os.getenv('LUA_PATH')}, ('tests/faults/allocations.lua %d %s'):format(
      full.is and 0 or 25, dir), full.is and 1800 or 120)
    if full.is then io.write(out) end
    assert(code == 0, ('exit %s in %s\n%s%s'):format(code, fixtures.bytes(dir .. '/now'), out, err))
  end)
end)
