-- The example at the end of each command's --help, run as it stands: DIR is a data set, RUN a run
-- of it, NEW a folder that is not there. In an empty folder that has ./tinykg.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local shell = require 'tests.support.shell'

local home = os.getenv('TINYKG_HOME') or lfs.currentdir()

--- All commands of `tinykg help`, and those of `tinykg data`.
local function commands()
  local list = {}
  for name in shell.prints('help'):gmatch('\n  tinykg (%l+)') do
    if name ~= 'help' then list[#list + 1] = name end
  end
  for name in shell.prints('data --help'):match('\nCommands:(\n.*)'):gmatch('\n   (%l+) ') do
    list[#list + 1] = 'data ' .. name
  end
  return list
end

describe('the example of', function()
  local dir
  setup(function()
    dir = fixtures.dir()
    assert(lfs.link(home .. '/tinykg', dir .. '/tinykg', true))
    shell.gives(0, './tinykg data demo films --users 60 --items 80', nil, dir)
    shell.gives(0, './tinykg run kgcn --data films --quiet --set epochs=2 --out runs/kgcn', nil,
                dir)
  end)
  teardown(fixtures.clean)

  local count = 0
  for _, name in ipairs(commands()) do
    count = count + 1
    it(name .. ' works', function()
      local example = shell.prints(name .. ' --help'):match('\nExample: tinykg ([^\n]+)')
      assert(example and example:find(name, 1, true) == 1, name .. ' has no example of its own')
      local command = example:gsub('%f[%w]DIR%f[%W]', name == 'data demo' and 'made' or 'films')
        :gsub('%f[%w]RUN%f[%W]', 'runs/kgcn'):gsub('%f[%w]NEW%f[%W]', 'new')
      shell.gives(0, './tinykg ' .. command, nil, dir)
    end)
  end

  it('each command is run', function() assert(count >= 21, count) end)
end)
