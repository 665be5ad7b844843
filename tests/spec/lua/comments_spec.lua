-- What is known of functions from the comments above them.
local comments = require 'tinykg.base.arguments.comments'
local fixtures = require 'tests.support.fixtures'
local tk = require 'tinykg'

local function functions_of(lines)
  return dofile(fixtures.write(fixtures.dir() .. '/sample.lua', lines))
end

describe('docs', function()
  teardown(fixtures.clean)

  it('has text, arguments, results and place', function()
    local m = functions_of{
      '--- About the file.', '', 'local m = {}', '',
      '--- Adds. Says so',
      '--- in two lines.',
      '---@param a number|string the first,',
      '---  and more about it',
      '---@param b? {x: number, y: number} the other ---@return number sum, string why',
      'function m.add(a, b, ...) return a, b, ... end', '', 'return m'}
    local d = comments.of(m.add)
    assert.equal('add', d.name)
    assert.equal('add(a, b, ...)', d.signature)
    assert.equal('Adds. Says so\nin two lines.', d.text)
    assert.same({name = 'a', optional = false, type = 'number|string',
                 text = 'the first, and more about it'}, d.params[1])
    assert.same({name = 'b', optional = true, type = '{x: number, y: number}', text = 'the other'},
                d.params[2])
    assert.same({{type = 'number', text = 'sum, string why'}}, d.returns)
    assert.matches('/sample%.lua:10$', d.source)
    assert.equal('plus(a, b, ...)', comments.of(m.add, 'plus').signature)
  end)

  it('has types that go on in the next line', function()
    local m = functions_of{
      'local m = {}', '--- Adds.', '---@param a number 0 < a', '---  and more',
      '---@param b? {x: number,', '---  y: {z: string,', '---   u: number}} the other',
      '---  one', '---@return {sum: number,', '---  why: string} both',
      'function m.add(a, b) return a, b end', '', 'return m'}
    local d = comments.of(m.add)
    assert.equal('Adds.', d.text)
    assert.same({name = 'a', optional = false, type = 'number', text = '0 < a and more'},
                d.params[1])
    assert.same({name = 'b', optional = true, type = '{x: number, y: {z: string, u: number}}',
                 text = 'the other one'}, d.params[2])
    assert.same({{type = '{sum: number, why: string}', text = 'both'}}, d.returns)
  end)

  it('has types whose brackets are closed, in the reference', function()
    for line in io.lines 'lua/REFERENCE.md' do
      for name in line:gmatch('^%- .-`([{(].-)`') do
        local _, open = name:gsub('[{(]', '')
        local _, closed = name:gsub('[})]', '')
        assert(open == closed, line)
      end
    end
  end)

  it('takes the comment right above, nothing farther away', function()
    local m = functions_of{'local m = {}', '--- Of nobody.', '', 'function m.bare(x) return x end',
      '-- ---- a ruler ----', 'm.other = function(y) return y end',
      '--- A method.', 'function m:go(z) return z end', 'return m'}
    assert.is_nil(comments.of(m.bare).text)
    assert.is_nil(comments.of(m.other).text)
    assert.equal('other(y)', comments.of(m.other).signature)
    assert.equal('A method.', comments.of(m.go).text)
    assert.is_true(comments.of(m.go).method)
    assert.equal('go(z)', comments.of(m.go).signature)
  end)

  it('knows a file that returns a function by its first comment', function()
    local f = functions_of{'--- Does it all.', '', 'return function(what) return what end'}
    local d = comments.of(f)
    assert.equal('sample(what)', d.signature)
    assert.equal('Does it all.', d.text)
  end)

  it('knows nothing of functions of C, and where others are', function()
    assert.is_nil(comments.of(print))
    assert.is_nil(comments.of(nil))
    local d = comments.of(loadstring('return function(x) end', '=typed')())
    assert.is_nil(d.text)
    assert.equal('typed:1', d.source)
  end)

  it('finds something on everything public', function()
    local bare = {}
    local function look(name, t, seen)
      seen[t] = true
      for key, value in pairs(t) do
        local path = name .. '.' .. tostring(key)
        if type(value) == 'function' and not path:find('__') then
          local d = comments.of(value)
          if d and not d.text then bare[#bare + 1] = path .. ' ' .. d.source end
        elseif type(value) == 'table' and type(key) == 'string' and not seen[value] then
          look(path, value, seen)
        end
      end
    end
    local graph = tk.graph{head = {0}, tail = {1}, nodes = 2}
    local step = tk.step(function() end)
    look('tk', tk, {})
    look('tensor', require('tinykg.engine.tensor').methods, {})
    look('graph', getmetatable(graph), {})
    look('step', getmetatable(step).__index, {})
    assert.same({}, bare)
    assert.equal('lua/tinykg/engine/optim.lua',
                 comments.of(tk.optim.adam).source:match('^(.*):%d+$'))
  end)
end)
