-- The engine's text parser through lua/tinykg/engine/arrays.lua.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local arrays = require 'tinykg.engine.arrays'
local random_from = require('tests.support.reference_ops').random

local list = fixtures.list

local function file(text) return fixtures.dir { ['t.txt'] = text } .. '/t.txt' end

local function read(text, spec) return assert(arrays.read(file(text), spec)) end

-- Returns the message for a file that must be refused, without the file's folder.
local function fails(text, spec)
  local table_read, message = arrays.read(file(text), spec)
  assert.is_nil(table_read)
  return (message:gsub('^.*/t%.txt', 't.txt'))
end

describe('arrays.read', function()
  after_each(fixtures.clean)

  it('reads ids, numbers and names, and skips', function()
    local t = read('h\th\th\th\n7\t1.5\tab\tx\n0\t-2e-3\tc\ty\n3\t4\tab\tz\n',
      { kinds = 'ifs-', separator = '\t', skip = 1, names = { [3] = arrays.dictionary() } })
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
    local nodes = arrays.dictionary()
    local t = read('b r a\na r c\nc q b\n', {
      kinds = 'sss', names = { nodes, arrays.dictionary(), nodes },
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
    local lines, names = {}, arrays.dictionary()
    for i = 1, 20000 do lines[i] = ('name %d'):format(i % 10000) end
    local t = read(table.concat(lines, '\n'), { kinds = 's', separator = '\t', names = { names } })
    local ids = t:ids(1)
    assert.equal(10000, names:count())
    for i = 1, 20000, 37 do assert.equal(lines[i], names:at(ids[i - 1])) end
  end)

  it('unquotes commas, quotes and ids', function()
    local names = arrays.dictionary()
    local t = read('"a, b",1\n"say ""hi""","22"\nplain,3\n"",4\n',
      { kinds = 'Si', separator = ',', names = { names } })
    assert.equal('a, b', names:at(0))
    assert.equal('say "hi"', names:at(1))
    assert.equal('', names:at(3))
    assert.same({ 1, 22, 3, 4 }, list(t:ids(2), 4))
  end)

  it('gives a name of kind S what the other columns leave', function()
    local names = arrays.dictionary()
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
      fails('\t1\n', { kinds = 'si', separator = '\t', names = { arrays.dictionary() } }))
    assert.matches('^t%.txt:1: .* is not closed by a quote, column 1',
      fails('"a,1\n', { kinds = 'si', separator = ',', names = { arrays.dictionary() } }))
    assert.equal('t.txt:2: a NUL byte: this is not UTF-8 text', fails('1 2\n3\0 4\n', ids))
    assert.equal('t.txt:1: more than 66 columns separated by spaces, expected 2',
      fails(('1 '):rep(70), ids))
  end)

  it('refuses kinds it does not know', function()
    local path = file('1\n')
    for _, kinds in ipairs { '', 'x', 'SS', 's', ('i'):rep(2 ^ 20 + 1) } do
      local read_table, message = arrays.read(path, { kinds = kinds })
      assert.is_nil(read_table)
      assert.matches('^table: column', message)
    end
  end)

  it('says that there is no such file', function()
    local _, message = arrays.read('/nowhere/x.txt', { kinds = 'i' })
    assert.equal('/nowhere/x.txt: no such file (nor with .gz or .xz after it)', message)
    _, message = arrays.read(fixtures.dir(), { kinds = 'i' })
    assert.matches('directory', message)
  end)

  it('reads the first lines', function()
    local path = file('one\r\ntwo\n')
    assert.equal('one', arrays.line(path))
    assert.equal('two', arrays.line(path, 2))
    assert.is_false(arrays.line(path, 3))
  end)
end)

describe('arrays.ragged', function()
  after_each(fixtures.clean)

  it('reads users with any number of items', function()
    local t = assert(arrays.ragged(fixtures.dir { t = '0 5 6 5\n\n7\n2\t1 \n9 \r\n3 4' } .. '/t'))
    assert.same({ 0, 0, 0, 2, 3 }, list(t:ids(1), t.n))
    assert.same({ 5, 6, 5, 1, 4 }, list(t:ids(2), t.n))
    assert.equal(10, t:extent(1))
    assert.equal(7, t:extent(2))
  end)

  it('names what is wrong', function()
    local function message(text)
      local _, said = arrays.ragged(fixtures.dir { t = text } .. '/t')
      return (said:gsub('^.*/', ''))
    end
    assert.equal("t:2: 'x' is not an id (a non-negative integer), column 3",
      message('0 1\n1 2 x\n'))
    assert.equal("t:1: '1,2' is not an id (a non-negative integer), column 2", message('0 1,2\n'))
    assert.equal("t:1: '4294967296' is not an id below 2147483647, column 1",
      message('4294967296 1\n'))
  end)
end)

describe('arrays.read: as people write', function()
  after_each(fixtures.clean)

  -- Reads a text; returns the names in one of its columns, and the table.
  local function texts(text, kinds, separator, column)
    local names, found = {}, {}
    for i = 1, #kinds do
      if kinds:sub(i, i):find('[seS]') then names[i] = arrays.dictionary() end
    end
    local t = read(text, { kinds = kinds, separator = separator, names = names })
    local ids = t:ids(column)
    for i = 0, t.n - 1 do found[i + 1] = names[column]:at(ids[i]) end
    return found, t
  end

  local function numbers(text, kinds, separator)
    local t = read(text, { kinds = kinds, separator = separator })
    return fixtures.list(t:numbers(1), t.n)
  end

  it('line breaks in quotes, and counts lines by where a row begins', function()
    local found, t = texts('"two\nlines",1\n"a\r\n""b""\n\nc" , 2\nplain,3\n', 'si', ',', 1)
    assert.same({ 'two\nlines', 'a\r\n"b"\n\nc', 'plain' }, found)
    assert.same({ 1, 2, 3 }, fixtures.list(t:ids(2), 3))
    assert.matches('t%.txt:1$', t:where(0))
    assert.matches('t%.txt:3$', t:where(1))
    assert.matches('t%.txt:7$', t:where(2))
    -- Across what the reader holds at once (256 KiB).
    local long = ('x'):rep(300000) .. '\n' .. ('y'):rep(300000)
    assert.equal(long, texts('"' .. long .. '",1\n', 'si', ',', 1)[1])
  end)

  it('says where a quote is open, and does not swallow the rows behind a careless one', function()
    local spec = { kinds = 'si', separator = ',', names = { arrays.dictionary() } }
    assert.matches('^t%.txt:2: .* is not closed by a quote, column 1',
      fails('a,1\n"b,2\nc,3\n', spec))
    assert.matches('^t%.txt:1: .* is not closed by a quote, column 1', fails('"b,2\n"c",3\n', spec))
    assert.matches('^t%.txt:1: .* is not closed by a quote, column 1',
      fails('"b\n' .. ('line\n'):rep(300000), spec))
  end)

  it('blanks around fields between commas and semicolons, not between tabs', function()
    assert.same({ 'a b', 'c', ' d' }, (texts(' a b , 1\nc ,2\n" d" ,3\n', 'si', ',', 1)))
    assert.same({ 'x y', 'z' }, (texts('1; x y\n2 ;\tz \n', 'is', ';', 2)))
    assert.same({ ' a ' }, (texts(' a \t1\n', 'si', '\t', 1)))
  end)

  it('joins the rest of a line as it stands, quotes taken off, blanks kept', function()
    -- Unquoting `"a ""x"""` leaves three bytes over, which are no part of the title.
    assert.same({ 'a "x",b' }, (texts('w,"a ""x""",b\n', 'sS', ',', 2)))
    assert.same({ 'ok, fine' }, (texts('w,ok, fine \n', 'sS', ',', 2)))
    assert.same({ 'a::b' }, (texts('w::a::b\n', 'sS', '::', 2)))
  end)

  it("two colons, as MovieLens's files", function()
    local found, t = texts('1::Toy: Story::5\n2::x:y::4\n', 'isi', '::', 2)
    assert.same({ 'Toy: Story', 'x:y' }, found)
    assert.equal(1, t:ids(1)[0])
    assert.equal("t.txt:1: 2 columns separated by '::', expected 3",
      fails('1::2\n', { kinds = 'iii', separator = '::' }))
  end)

  it('any number of columns', function()
    local kinds, line = ('-'):rep(998) .. 'i', ('x,'):rep(998) .. '7\n'
    assert.equal(7, read(line, { kinds = kinds, separator = ',' }):ids(999)[0])
  end)

  it('line ends of old Macs, and a mark of byte order before them', function()
    local t = read('\239\187\1911 2\r3 4\r\r5 6', { kinds = 'ii' })
    assert.same({ 1, 3, 5 }, fixtures.list(t:ids(1), t.n))
    assert.matches('t%.txt:4$', t:where(2))
  end)

  it('decimal commas between semicolons only', function()
    assert.same({ 4.5, -0.25, 3 }, numbers('4,5\n-0,25\n3\n', 'f', ';'))
    assert.equal("t.txt:1: '1.234,5' is not a finite number, column 1",
      fails('1.234,5\n', { kinds = 'f', separator = ';' }))
    assert.equal("t.txt:1: '4,5' is not a finite number, column 1",
      fails('4,5\n', { kinds = 'f', separator = '\t' }))
  end)

  it('dates as seconds since 1970', function()
    -- By hand: 2024-01-31 is day 365 * 54 + 13 leap days (1972 .. 2020) + 30 = 19,753.
    local day = 19753 * 86400
    local cases = {
      ['1970-01-01'] = 0, ['1970-01-02'] = 86400, ['1969-12-31T23:59:59Z'] = -1,
      ['2024-01-31'] = day, ['2024-01-31T10:00:00Z'] = day + 36000, ['2024/01/31'] = day,
      ['2024-01-31 10:00'] = day + 36000, ['2024-01-31T10:00:00.5Z'] = day + 36000.5,
      ['2024-01-31T10:00:00+01:00'] = day + 32400, ['2024-01-31T10:00:00-0530'] = day + 55800,
      ['2024-01-31 10:00:00 UTC'] = day + 36000, ['2024-02-29'] = day + 29 * 86400,
      ['2000-03-01'] = 951868800, ['978300760'] = 978300760, ['1.5'] = 1.5,
    }
    for text, seconds in pairs(cases) do
      assert.same({ seconds }, numbers(text .. '\n', 't', '\t'), text)
    end
    for _, text in ipairs { '2023-02-29', '2024-13-01', '2024-01-32', '24-01-01', '2024-01-31T',
      '2024-01-31T25:00', '2024-01-31T10:60', '2024-01-31T10:00:00+1', 'yesterday', '2024-01-31x',
      '2024-1-31', '' } do
      assert.equal(("t.txt:1: '%s' is not a time (a number, or a date such as "
        .. '2024-01-31T10:00:00Z), column 1'):format(text),
        fails(text .. '\t1\n', { kinds = 'ti', separator = '\t' }))
    end
  end)

  it('gives up a column that nobody may need', function()
    local t = read('1\t2024-01-01\n2\tsoon\n3\tlater\n', { kinds = 'FT', separator = '\t' })
    assert.same({ 1, 2, 3 }, fixtures.list(t:numbers(1), t.n))
    assert.is_nil(t:numbers(2))
    assert.is_nil(t:unread(1))
    assert.matches("t%.txt:2: 'soon' is not a time", t:unread(2))
  end)

  it('numbers whatever LC_NUMERIC says', function()
    local dir = fixtures.dir { ['t.txt'] = '3.55555555555555\n', ['read.lua'] = [[
      local dir = arg[1]
      assert(os.setlocale('xx', 'numeric'))
      local t = assert(require('tinykg.engine.arrays').read(dir .. '/t.txt', {kinds = 'f'}))
      print(('%.14f'):format(t:numbers(1)[0]))]] }
    local made = shell.sh(('localedef -i de_DE -f UTF-8 %s/xx'):format(dir)) == 0
    if not made then return pending 'no locale with a decimal comma can be made' end
    assert.equal('3.55555555555555\n',
      shell.prints(('%s/read.lua %s'):format(dir, dir), 'LOCPATH=' .. dir))
  end)

  it('N-Triples', function()
    local names = arrays.dictionary()
    local t = read(table.concat({
      '# a comment', '<http://x/a> <http://x/p> <http://x/b> .', '',
      '_:b1 <http://x/p> "two \\"words\\"\\n"@en . # why',
      '<http://x/a> <http://x/p> "1984"^^<http://x/year>.',
      '<http://x/\\u00e9> <p> "\\U0001F600" .', '_:b1\t<p>\t"" .' }, '\n'),
      { kinds = 'sss', separator = '<', names = { names, arrays.dictionary(), names } })
    local heads, tails, found = t:ids(1), t:ids(3), {}
    for i = 0, t.n - 1 do found[i + 1] = names:at(heads[i]) .. ' ' .. names:at(tails[i]) end
    assert.same({ 'http://x/a http://x/b', '_:b1 two "words"\n', 'http://x/a 1984',
      'http://x/\195\169 \240\159\152\128', '_:b1 ""' }, found)
    assert.matches('t%.txt:4$', t:where(1))
  end)

  it('what is wrong in N-Triples', function()
    local function says(line)
      local names = arrays.dictionary()
      return fails(line .. '\n',
        { kinds = 'sss', separator = '<', names = { names, names, names } })
    end
    assert.equal("t.txt:1: 'a> <p> <b> .' is not an IRI, a literal or a blank node of N-Triples, "
      .. 'column 1', says 'a> <p> <b> .')
    assert.matches('not an IRI.*column 3', says '<a> <p> "open .')
    assert.matches('not an IRI.*column 3', says '<a> <p> .')
    assert.matches('not an IRI.*column 3', says '<a> <p> "\\u00g0" .')
    assert.matches('not an IRI.*column 3', says '<a> <p> "\\ud800" .')
    assert.matches('^t.txt:1: 4 columns separated by blanks in N%-Triples, expected 3$',
                   says '<a> <p> <b> <graph> .')
  end)
end)

for _, tool in ipairs { 'gzip', 'xz' } do
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
      local lines, random = {}, random_from(0)
      for i = 1, 60000 do lines[i] = ('%d %d'):format(i - 1, random(2 ^ 31 - 1) - 1) end
      return lines
    end

    it('is found by its plain name and read whole', function()
      local lines = many()
      local path, packed = compressed(lines)
      if not packed then return end
      local t = assert(arrays.read(path, { kinds = 'ii' }))
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
      assert.equal(1, assert(arrays.read(odd, { kinds = 'ii' })).n)
    end)

    it('may be several streams in one file', function()
      local _, packed = compressed('1 2\n3 ')
      if not packed then return end
      local _, other = compressed('4\n5 6\n')
      local both = fixtures.write(packed .. '2', fixtures.bytes(packed) .. fixtures.bytes(other))
      local t = assert(arrays.read(both, { kinds = 'ii' }))
      assert.same({ 2, 4, 6 }, list(t:ids(2), t.n))
      local _, long = compressed(many())
      both = fixtures.write(packed .. '3', fixtures.bytes(long) .. fixtures.bytes(long))
      assert.equal(120000, assert(arrays.read(both, { kinds = 'ii' })).n)
    end)

    it('is an error where it is truncated', function()
      local _, packed = compressed(many())
      if not packed then return end
      local whole = fixtures.bytes(packed)
      for _, size in ipairs { #whole - 1, #whole - 9, math.floor(#whole / 2), 100, 12 } do
        fixtures.write(packed, whole:sub(1, size))
        local t, message = arrays.read(packed, { kinds = 'ii' })
        assert.is_nil(t)
        assert.equal(packed .. ': ends in the middle of its ' .. tool .. ' data (truncated?)',
          message)
      end
    end)

    it('is an error where it is damaged', function()
      local _, packed = compressed(many())
      if not packed then return end
      local whole, middle = fixtures.bytes(packed), 5000
      fixtures.write(packed, whole:sub(1, middle) .. ('\255'):rep(64) .. whole:sub(middle + 65))
      local t, message = arrays.read(packed, { kinds = 'ii' })
      assert.is_nil(t)
      assert.is_truthy(message:find('damaged', 1, true) or message:find('t%.%a+:%d+:')
        or message:find('NUL', 1, true))
    end)
  end)
end
