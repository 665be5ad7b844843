-- The reference page equals the comments of the sources; lua/README.md names every module.
local comments = require 'tinykg.base.arguments.comments'
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local gives = require('tests.support.shell').gives
local tk = require 'tinykg'

local home = os.getenv('TINYKG_HOME') or lfs.currentdir()

--- Runs the generator on a copy of its sources. Fails unless it ends with this status and text.
local function check(dir, status, pattern)
  gives(status, ('LUA_PATH="lua/?.lua;lua/?/init.lua;;" TINYKG_LIB=%s luajit manual.lua --check')
    :format(os.getenv('TINYKG_LIB') or home .. '/build/libtinykg.so'), pattern, dir)
end

local function edit(path, from, to)
  local text = fixtures.bytes(path)
  local first, last = text:find(from, 1, true)
  assert(first, path .. ': no ' .. from)
  fixtures.write(path, text:sub(1, first - 1) .. to .. text:sub(last + 1))
end

describe('lua/REFERENCE.md', function()
  local dir
  setup(function()
    dir = fixtures.dir{}
    assert(os.execute(('cp -r %s/lua %s && cp -r %s/engine %s && cp %s %s'):format(
      home, dir, home, dir, home .. '/tests/tools/manual.lua', dir)) == 0)
  end)
  teardown(fixtures.clean)

  it('is what the comments in the sources say: make docs writes it', function()
    check(dir, 0)
  end)

  it('is found to be stale, and what has no comment is named', function()
    edit(dir .. '/lua/tinykg/nn/loss.lua', 'Half the sum of squares', 'Half the sum of the squares')
    check(dir, 1, 'lua/REFERENCE.md is not what the sources say: make docs')
    edit(dir .. '/lua/tinykg/engine/ops.lua', '--- Square root.', 'local _ -- Square root.')
    check(dir, 1, 't:sqrt: no comment above it: lua/tinykg/engine/ops.lua:%d+')
  end)

  it('has examples that print what stands behind them', function()
    local examples = 0
    local page = fixtures.bytes(home .. '/lua/README.md')
      .. fixtures.bytes(home .. '/lua/REFERENCE.md')
    local outside = tk.seed()
    for block in page:gmatch('\n\n(    .-)\n\n') do
      local chunk = loadstring(block)
      if chunk then
        local printed, wanted = {}, {}
        local function note(...)
          local words = {...}
          for i = 1, select('#', ...) do words[i] = tostring(words[i]) end
          printed[#printed + 1] = table.concat(words, '\t')
        end
        setfenv(chunk, setmetatable({tk = tk, print = note}, {__index = _G}))()
        for text in block:gmatch('%-%-> ([^\n]*)') do wanted[#wanted + 1] = text end
        if #wanted > 0 then
          assert.same(wanted, printed, block)
          examples = examples + 1
        end
      end
    end
    tk.seed(outside)
    assert.is_true(examples >= 10)
  end)

  it('names every module in its map', function()
    local map, missing = fixtures.bytes(home .. '/lua/README.md'):match('(| folder.-)\n\n'), {}
    for _, entry in ipairs(fixtures.names(home .. '/lua/tinykg')) do
      local name = entry:gsub('%.lua$', '')
      if not map:find('[`%s]' .. name .. '[`%s/]') then missing[#missing + 1] = name end
    end
    assert.same({}, missing)
  end)
end)

describe('comments.fields', function()
  teardown(fixtures.clean)

  it('lists the fields of a class, one or several a line', function()
    local path = fixtures.write(fixtures.dir() .. '/x.lua', {
      '---@class A about it', '---@field x number the first,', '---  and more',
      '---@field y? {a: number} ---@field z string?', 'local A = {}', '',
      '---@class A.B', '---@field other number'})
    assert.same({{name = 'x', optional = false, type = 'number', text = 'the first, and more'},
                 {name = 'y', optional = true, type = '{a: number}'},
                 {name = 'z', optional = true, type = 'string'}}, comments.fields(path, 'A'))
    assert.equal('other', comments.fields(path, 'A.B')[1].name)
    assert.same({}, comments.fields(path, 'C'))
  end)
end)
