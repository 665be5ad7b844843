-- A file sees its own layer and those below, never one above: includes of the engine and the
-- kernels, requires of the Lua modules.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local home = lfs.currentdir()

-- From the lowest up; layers of one line may see each other.
local C_LAYERS = {'base shared collective', 'data', 'tape cpu cuda emu', 'autodiff', 'passes',
                  'run'}
local LUA_LAYERS = {'base', 'engine', 'store nn', 'graph', 'data', 'train', 'run', 'query', 'sweep',
                    'report', 'repl', 'bench', 'cli'}

-- Arrows up that are still there: a pretrained table is found by the names of another run's folder;
-- a sweep reads KEY=VALUE as the command line does.
local KNOWN = {['nn run'] = true, ['sweep cli'] = true}

local function heights(layers)
  local at = {}
  for height, names in ipairs(layers) do
    for name in names:gmatch('%S+') do at[name] = height end
  end
  return at
end

local function files(dir, list)
  list = list or {}
  for entry in lfs.dir(dir) do
    local path = dir .. '/' .. entry
    if lfs.attributes(path, 'mode') == 'directory' then
      if entry:sub(1, 1) ~= '.' then files(path, list) end
    else
      list[#list + 1] = path
    end
  end
  return list
end

--- Lines 'FILE sees NAME' where a file of `tops` sees a layer above its own. Patterns: the layer in
--- a file's path, and what it sees in its text.
local function upward(tops, layers, of_path, seen)
  local at, found, edges = heights(layers), {}, 0
  for _, top in ipairs(tops) do
    for _, path in ipairs(files(home .. '/' .. top)) do
      local own = path:sub(#home + 2):match(of_path)
      for name in (at[own] and fixtures.bytes(path) or ''):gmatch(seen) do
        edges = edges + (at[name] and 1 or 0)
        if at[name] and at[name] > at[own] and not KNOWN[own .. ' ' .. name] then
          found[#found + 1] = ('%s sees %s'):format(path:sub(#home + 2), name)
        end
      end
    end
  end
  return found, edges
end

describe('layers', function()
  it('of C: no file includes a header from above', function()
    local found, edges = upward({'engine', 'kernels'}, C_LAYERS, '^%l+/(%l+)/',
                                '#include "(%l+)/')
    assert.same({}, found)
    assert.is_true(edges > 100)
  end)

  it('of Lua: no module requires one from above', function()
    local found, edges = upward({'lua'}, LUA_LAYERS, '^lua/tinykg/(%l+)/',
                                "require *%(?['\"]tinykg%.(%l+)")
    assert.same({}, found)
    assert.is_true(edges > 300)
  end)

  it('have no loose files but the public header and init.lua', function()
    local loose = {}
    for _, dir in ipairs{'engine', 'kernels', 'lua/tinykg'} do
      for entry in lfs.dir(home .. '/' .. dir) do
        if entry:find('%.[chl]u?a?$') or entry:find('%.cu') then
          loose[#loose + 1] = dir .. '/' .. entry
        end
      end
    end
    table.sort(loose)
    assert.same({'engine/tinykg.h', 'lua/tinykg/init.lua'}, loose)
  end)

  it('of Lua have at most 15 files in a folder', function()
    local count = {}
    for _, path in ipairs(files(home .. '/lua/tinykg')) do
      local dir = path:match('^(.*)/')
      count[dir] = (count[dir] or 0) + 1
      assert.is_true(count[dir] <= 15, dir .. ' has more than 15 files')
    end
  end)
end)
