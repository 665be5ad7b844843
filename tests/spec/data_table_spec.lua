-- The engine's text parser through lua/tinykg/columns.lua.
local fixtures = dofile 'tests/spec/fixtures.lua'
local columns = require 'tinykg.columns'

local list = fixtures.list

describe('columns.read', function()
  after_each(fixtures.clean)

  local function file(text) return fixtures.dir { ['t.txt'] = text } .. '/t.txt' end

  local function read(text, spec)
    local path = file(text)
    return assert(columns.read(path, spec))
  end

  -- The message for a file, with its folder taken off.
  local function fails(text, spec)
    local path = file(text)
    local table_read, message = columns.read(path, spec)
    assert.is_nil(table_read)
    return (message:gsub('^.*/t%.txt', 't.txt'))
  end

  it('reads ids, numbers and names, and skips', function()
    local t = read('h\th\th\th\n7\t1.5\tab\tx\n0\t-2e-3\tc\ty\n3\t4\tab\tz\n',
      { kinds = 'ifs-', separator = '\t', skip = 1, names = { [3] = columns.dictionary() } })
    assert.same({ 7, 0, 3 }, list(t:ids(1), t.n))
    assert.same({ 1.5, -2e-3, 4 }, list(t:numbers(2), t.n))
    assert.same({ 0, 1, 0 }, list(t:ids(3), t.n))
    assert.equal(8, t:extent(1))
    assert.equal(2, t:extent(3))
    assert.matches('t%.txt:3$', t:where(1))
  end)

  it('takes CRLF, blank lines, a missing last newline and a byte order mark', function()
    local t = read('\239\187\1911 2\r\n\r\n \t\n3\t 4  ', { kinds = 'ii' })
    assert.same({ 1, 3 }, list(t:ids(1), t.n))
    assert.same({ 2, 4 }, list(t:ids(2), t.n))
    assert.matches(':4$', t:where(1))
  end)

  it('reads numbers as tonumber does', function()
    local texts = { '0', '10', '0.1', '123456.789', '.5', '5.', '1e300', '-0.25', '+3',
      '881250949', '0.30000000000000004', '1234567890123', '12345678901234567' }
    local t = read(table.concat(texts, '\n'), { kinds = 'f' })
    local numbers = t:numbers(1)
    for i, text in ipairs(texts) do assert.equal(tonumber(text), numbers[i - 1]) end
  end)

  it('shares a dictionary between columns, in order of first appearance', function()
    local nodes = columns.dictionary()
    local t = read('b r a\na r c\nc q b\n', {
      kinds = 'sss', names = { nodes, columns.dictionary(), nodes },
    })
    assert.same({ 0, 1, 2 }, list(t:ids(1), 3))
    assert.same({ 1, 2, 0 }, list(t:ids(3), 3))
    assert.equal('c', nodes:at(2))
    assert.equal(1, nodes:find('a'))
    assert.is_nil(nodes:find('zz'))
    assert.is_nil(nodes:at(3))
    assert.equal(3, nodes:add('new'))
    assert.equal(3, nodes:add('new'))
  end)

  it('keeps many names apart', function()
    local lines, names = {}, columns.dictionary()
    for i = 1, 20000 do lines[i] = ('name %d'):format(i % 10000) end
    local t = read(table.concat(lines, '\n'), { kinds = 's', separator = '\t', names = { names } })
    local ids = t:ids(1)
    assert.equal(10000, names:count())
    for i = 1, 20000, 37 do assert.equal(lines[i], names:at(ids[i - 1])) end
  end)

  it('unquotes commas, quotes and ids', function()
    local names = columns.dictionary()
    local t = read('"a, b",1\n"say ""hi""","22"\nplain,3\n"",4\n',
      { kinds = 'Si', separator = ',', names = { names } })
    assert.equal('a, b', names:at(0))
    assert.equal('say "hi"', names:at(1))
    assert.equal('', names:at(3))
    assert.same({ 1, 22, 3, 4 }, list(t:ids(2), 4))
  end)

  it('gives a name of kind S what the other columns leave', function()
    local names = columns.dictionary()
    read('one 1 x\ntwo words 2 x\n 3 x\n', { kinds = 'Si-', names = { names } })
    assert.equal('one', names:at(0))
    assert.equal('two words', names:at(1))
    assert.equal('', names:at(2))
    read('1 a b\n2\n', { kinds = 'iS', names = { [2] = names } })
    assert.equal('a b', names:at(3))
    assert.equal(4, names:count())
  end)

  it('grows over many rows and a long line', function()
    local lines = {}
    for i = 0, 4999 do lines[i + 1] = i .. ' ' .. ('x'):rep(i == 2500 and 600000 or 3) end
    local t = read(table.concat(lines, '\n'), { kinds = 'i-' })
    assert.equal(5000, t.n)
    assert.equal(4999, t:ids(1)[4999])
  end)

  it('names the file, line and column of what is wrong', function()
    local ids = { kinds = 'ii' }
    assert.equal("t.txt:2: 'abc' is not an id (a non-negative integer), column 2",
      fails('1 2\n3 abc\n', ids))
    assert.equal("t.txt:1: '-1' is not an id (a non-negative integer), column 1",
      fails('-1 2\n', ids))
    assert.equal("t.txt:1: '1.0' is not an id (a non-negative integer), column 1",
      fails('1.0 2\n', ids))
    assert.equal("t.txt:1: '2147483647' is not an id below 2147483647, column 2",
      fails('1 2147483647\n', ids))
    assert.equal("t.txt:1: '99999999999999999999999' is not an id below 2147483647, column 1",
      fails('99999999999999999999999 1\n', ids))
    assert.equal('t.txt:3: 3 columns separated by spaces, expected 2', fails('1 2\n\n1 2 3\n', ids))
    assert.equal('t.txt:1: 1 column separated by tabs, expected 2',
      fails('1 2\n', { kinds = 'ii', separator = '\t' }))
    assert.equal("t.txt:1: '' is not an id (a non-negative integer), column 2",
      fails('1\t\n', { kinds = 'ii', separator = '\t' }))
    assert.equal("t.txt:1: 'nan' is not a finite number, column 1", fails('nan\n', { kinds = 'f' }))
    assert.equal("t.txt:1: '1e999' is not a finite number, column 1",
      fails('1e999\n', { kinds = 'f' }))
    assert.equal("t.txt:1: '1.2.3' is not a finite number, column 1",
      fails('1.2.3\n', { kinds = 'f' }))
    assert.equal("t.txt:1: '' is not a name (it is empty), column 1",
      fails('\t1\n', { kinds = 'si', separator = '\t', names = { columns.dictionary() } }))
    assert.matches('^t%.txt:1: .* is not closed by a quote, column 1',
      fails('"a,1\n', { kinds = 'si', separator = ',', names = { columns.dictionary() } }))
    assert.equal('t.txt:2: a NUL byte: this is not UTF-8 text', fails('1 2\n3\0 4\n', ids))
    assert.equal('t.txt:1: more than 66 columns separated by spaces, expected 2',
      fails(('1 '):rep(70), ids))
  end)

  it('refuses kinds it does not know', function()
    local path = file('1\n')
    for _, kinds in ipairs { '', 'x', 'SS', 's', ('i'):rep(2 ^ 20 + 1) } do
      local read_table, message = columns.read(path, { kinds = kinds })
      assert.is_nil(read_table)
      assert.matches('^table: column', message)
    end
  end)

  it('says that there is no such file', function()
    local _, message = columns.read('/nowhere/x.txt', { kinds = 'i' })
    assert.equal('/nowhere/x.txt: no such file (nor with .gz or .xz after it)', message)
    _, message = columns.read(fixtures.dir(), { kinds = 'i' })
    assert.matches('directory', message)
  end)

  it('reads the first lines', function()
    local path = file('one\r\ntwo\n')
    assert.equal('one', columns.line(path))
    assert.equal('two', columns.line(path, 2))
    assert.is_false(columns.line(path, 3))
  end)
end)

describe('columns.ragged', function()
  after_each(fixtures.clean)

  it('reads users with any number of items', function()
    local t = assert(columns.ragged(fixtures.dir { t = '0 5 6 5\n\n7\n2\t1 \n9 \r\n3 4' } .. '/t'))
    assert.same({ 0, 0, 0, 2, 3 }, list(t:ids(1), t.n))
    assert.same({ 5, 6, 5, 1, 4 }, list(t:ids(2), t.n))
    assert.equal(10, t:extent(1))
    assert.equal(7, t:extent(2))
  end)

  it('names what is wrong', function()
    local function message(text)
      local _, said = columns.ragged(fixtures.dir { t = text } .. '/t')
      return (said:gsub('^.*/', ''))
    end
    assert.equal("t:2: 'x' is not an id (a non-negative integer), column 3",
      message('0 1\n1 2 x\n'))
    assert.equal("t:1: '1,2' is not an id (a non-negative integer), column 2", message('0 1,2\n'))
    assert.equal("t:1: '4294967296' is not an id below 2147483647, column 1",
      message('4294967296 1\n'))
  end)
end)

for tool, damaged in pairs { gzip = 'gzip', xz = 'xz' } do
  describe('a file compressed by ' .. tool, function()
    after_each(fixtures.clean)

    local function compressed(text)
      local path = fixtures.dir { t = text } .. '/t'
      local packed = fixtures.compress(path, tool)
      if not packed then pending(tool .. ' is not installed') end
      return path, packed
    end

    -- Incompressible enough that a stream has several blocks of input.
    local function many()
      local lines, x = {}, 1
      for i = 1, 60000 do
        x = (x * 16807) % 2147483647
        lines[i] = ('%d %d'):format(i - 1, x - 1)
      end
      return lines
    end

    it('is found by its plain name and read whole', function()
      local lines = many()
      local path, packed = compressed(lines)
      if not packed then return end
      local t = assert(columns.read(path, { kinds = 'ii' }))
      assert.equal(60000, t.n)
      assert.equal(packed, t.path)
      local ids = t:ids(2)
      for i = 1, 60000, 999 do
        assert.equal(tonumber(lines[i]:match('%d+$')), ids[i - 1])
      end
    end)

    it('is recognised whatever its name', function()
      local _, packed = compressed('1 2\n')
      if not packed then return end
      local odd = fixtures.write(packed .. '.data', fixtures.bytes(packed))
      assert.equal(1, assert(columns.read(odd, { kinds = 'ii' })).n)
    end)

    it('may be several streams in one file', function()
      local _, packed = compressed('1 2\n3 ')
      if not packed then return end
      local _, other = compressed('4\n5 6\n')
      local both = fixtures.write(packed .. '2', fixtures.bytes(packed) .. fixtures.bytes(other))
      local t = assert(columns.read(both, { kinds = 'ii' }))
      assert.same({ 2, 4, 6 }, list(t:ids(2), t.n))
      local _, long = compressed(many())
      both = fixtures.write(packed .. '3', fixtures.bytes(long) .. fixtures.bytes(long))
      assert.equal(120000, assert(columns.read(both, { kinds = 'ii' })).n)
    end)

    it('is an error where it is truncated', function()
      local _, packed = compressed(many())
      if not packed then return end
      local whole = fixtures.bytes(packed)
      for _, size in ipairs { #whole - 1, #whole - 9, math.floor(#whole / 2), 100, 12 } do
        fixtures.write(packed, whole:sub(1, size))
        local t, message = columns.read(packed, { kinds = 'ii' })
        assert.is_nil(t)
        assert.equal(packed .. ': ends in the middle of its ' .. damaged .. ' data (truncated?)',
          message)
      end
    end)

    it('is an error where it is damaged', function()
      local _, packed = compressed(many())
      if not packed then return end
      local whole, middle = fixtures.bytes(packed), 5000
      fixtures.write(packed, whole:sub(1, middle) .. ('\255'):rep(64) .. whole:sub(middle + 65))
      local t, message = columns.read(packed, { kinds = 'ii' })
      assert.is_nil(t)
      assert.is_truthy(message:find('damaged', 1, true) or message:find('t%.%a+:%d+:')
        or message:find('NUL', 1, true))
    end)
  end)
end
