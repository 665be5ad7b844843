-- Files of many blocks, which several threads parse: the same rows, ids, lines and messages as if
-- they were read line by line. Expected values are those the files were written from.
local fixtures = require 'tests.support.fixtures'
local arrays = require 'tinykg.engine.arrays'
local random_from = require('tests.support.reference_ops').random
local tk = require 'tinykg'

local ROWS = 60000 -- lines of about 40 bytes: some 20 blocks of 128 KiB

local function path_of(text) return fixtures.dir { ['t.csv'] = text } .. '/t.csv' end

-- Ids by first appearance over several columns, row by row.
local function numbered(rows, columns)
  local known, count, ids = {}, 0, {}
  for r, row in ipairs(rows) do
    ids[r] = {}
    for k, column in ipairs(columns) do
      local name = row[column]
      if not known[name] then known[name], count = count, count + 1 end
      ids[r][k] = known[name]
    end
  end
  return ids, count, known
end

describe('text in blocks', function()
  local threads = tk.threads()
  after_each(function()
    tk.threads(threads)
    fixtures.clean()
  end)

  for _, n in ipairs { 1, 2, 4 } do
    it(('names, quotes over lines, numbers and blank lines, on %d threads'):format(n), function()
      tk.threads(n)
      local draw, rows, text, line = random_from(5), {}, { 'user,text,item,value\n' }, 2
      for r = 1, ROWS do
        local row = { 'u' .. draw(20000), ('t"%d'):format(draw(300)), 'u' .. draw(20000),
          draw(1000) / 8, line = line }
        if draw(10) == 0 then row[2] = row[2] .. ('\nnext, line'):rep(1 + draw(3)) end
        rows[r] = row
        local quoted = row[2]:gsub('"', '""')
        text[#text + 1] = ('%s,"%s",%s,%s\n%s'):format(row[1], quoted, row[3], row[4],
          draw(50) == 0 and ' \n' or '')
        line = line + select(2, text[#text]:gsub('\n', ''))
      end
      local nodes, texts = arrays.dictionary(), arrays.dictionary()
      local t = assert(arrays.read(path_of(table.concat(text)), { kinds = 'sssf', separator = ',',
        skip = 1, names = { nodes, texts, nodes } }))
      local ids, count, known = numbered(rows, { 1, 3 })
      assert.equal(ROWS, t.n)
      assert.equal(count, nodes:count())
      local users, items, words, values = t:ids(1), t:ids(3), t:ids(2), t:numbers(4)
      for r, row in ipairs(rows) do
        assert(users[r - 1] == ids[r][1] and items[r - 1] == ids[r][2] and values[r - 1] == row[4]
               and texts:at(words[r - 1]) == row[2], 'row ' .. r)
        assert(t:where(r - 1):match('%d+$') == tostring(row.line), 'line of row ' .. r)
      end
      for name, id in pairs(known) do assert(nodes:find(name) == id and nodes:at(id) == name) end
      assert.equal(count, math.max(t:extent(1), t:extent(3)))
    end)

    it(('ids and lists, on %d threads'):format(n), function()
      tk.threads(n)
      local draw, text, lists, want = random_from(6), {}, {}, {}
      for r = 1, ROWS do
        want[r] = { draw(1e6), draw(40), draw(2147483646) }
        text[r] = ('%d %d\t%d\n'):format(unpack(want[r]))
      end
      local t = assert(arrays.read(path_of(table.concat(text)), { kinds = 'iii' }))
      local columns = { t:ids(1), t:ids(2), t:ids(3) }
      for r = 1, ROWS do
        for k = 1, 3 do assert(columns[k][r - 1] == want[r][k]) end
      end
      local at, most = 0, 0
      for u = 0, ROWS do lists[u] = ('%d %d  %d\r\n'):format(u, u * 3, u * 5) end
      lists[7] = '7 \r\n'
      t = assert(arrays.ragged(path_of(lists[0] .. table.concat(lists))))
      assert.equal(2 * ROWS, t.n)
      local users, items = t:ids(1), t:ids(2)
      for u = 0, ROWS do
        for k = 3, u == 7 and 2 or 5, 2 do
          assert(users[at] == u and items[at] == u * k)
          assert(t:where(at):match('%d+$') == tostring(u + 1))
          at, most = at + 1, math.max(most, u * k)
        end
      end
      assert.equal(most + 1, t:extent(2))
    end)

    it(('names the first of several bad lines, on %d threads'):format(n), function()
      tk.threads(n)
      local lines = {}
      for r = 1, ROWS do lines[r] = ('%d,name %d,%d'):format(r, r, r) end
      local function says(changes, o)
        local changed = fixtures.merged(lines, changes)
        local read, message = arrays.read(path_of(table.concat(changed, '\n') .. (o.tail or '')),
          { kinds = o.kinds or 'isf', separator = ',', names = { [2] = arrays.dictionary() } })
        if not o.good then return message:match('t%.csv:.*') end
        return read
      end
      for _, first in ipairs { 1, 9000, 33333, ROWS - 1 } do
        assert.equal(('t.csv:%d: '):format(first)
          .. "'x' is not an id (a non-negative integer), column 1",
          says({ [first] = 'x,n,1', [first + 1] = '1,n', [ROWS] = 'y,n,1' }, {}))
        assert.equal(('t.csv:%d: 2 columns separated by commas, expected 3'):format(first),
          says({ [first] = '1,n', [ROWS] = '1,n\0,1' }, {}))
        assert.equal(('t.csv:%d: a NUL byte: this is not UTF-8 text'):format(first)
          .. (first == 1 and ' (UTF-16? iconv -f UTF-16 -t UTF-8 FILE makes it so)' or ''),
          says({ [first] = '1,n\0,1', [ROWS] = 'y,n,1' }, {}))
        assert.matches(('^t.csv:%d: .* is not closed by a quote, column 2'):format(first),
          says({ [first] = '1,"n,1' }, {}))
        local given_up = says({ [first] = '1,n,x', [ROWS] = '1,n,y' },
          { kinds = 'isF', good = true })
        assert.equal(ROWS, given_up.n)
        assert.matches((":%d: 'x' is not a finite number, column 3$"):format(first),
          given_up:unread(3))
      end
    end)

    it(('records and lines longer than blocks, on %d threads'):format(n), function()
      tk.threads(n)
      local texts = arrays.dictionary()
      local long, broken = ('long '):rep(700000), ('a line\n'):rep(140000)
      local t = assert(arrays.read(path_of('1,a\n2,' .. long .. '\n3,"' .. broken .. '"\n4,b'),
        { kinds = 'is', separator = ',', names = { [2] = texts } }))
      assert.equal(4, t.n)
      assert.equal(long:match('^(.-) *$'), texts:at(1))
      assert.equal(broken, texts:at(2))
      assert.matches(':140004$', t:where(3))
    end)

    it(('sorts and drops repeats, on %d threads'):format(n), function()
      tk.threads(n)
      local draw, count, seen, kept, size = random_from(7), 300000, {}, {}, { 700, 3, 900 }
      local columns = { arrays.ints(count), arrays.ints(count), arrays.ints(count) }
      for i = 0, count - 1 do
        local key = 0
        for k = 1, 3 do
          columns[k][i] = i % 4 == 0 and i % 8 or draw(size[k])
          key = key * 1000 + columns[k][i]
        end
        if not seen[key] then
          seen[key] = true
          kept[#kept + 1] = key
        end
      end
      local csr, at = arrays.csr(count, columns[1], columns[3], 700), 0
      for row = 0, 699 do
        for i = csr.offsets[row], csr.offsets[row + 1] - 1 do
          local place = csr.order[i]
          assert(columns[1][place] == row and columns[3][place] == csr.items[i])
          local before = i > csr.offsets[row] and csr.items[i - 1] or -1
          assert(before < csr.items[i] or before == csr.items[i] and csr.order[i - 1] < place)
          at = at + 1
        end
      end
      assert.equal(count, at)
      assert.equal(#kept, arrays.unique_triples(count, unpack(columns)))
      for i, key in ipairs(kept) do
        assert(key == (columns[1][i - 1] * 1000 + columns[2][i - 1]) * 1000 + columns[3][i - 1])
      end
    end)
  end

  it('that is damaged behind a bad line names the line', function()
    local lines = {}
    for r = 1, ROWS do lines[r] = ('%d %d'):format(r * 7919 % 100003, r) end
    lines[40000] = 'x 1'
    local path = fixtures.compress(path_of(table.concat(lines, '\n')), 'gzip')
    if not path then return pending('no gzip') end
    local bytes = fixtures.bytes(path)
    fixtures.write(path, bytes:sub(1, #bytes - 20000))
    local _, message = arrays.read(path, { kinds = 'ii' })
    assert.matches("gz:40000: 'x' is not an id", message)
    fixtures.write(path, bytes:sub(1, 20000))
    _, message = arrays.read(path, { kinds = 'ii' })
    assert.matches('gz: ends in the middle of its gzip data %(truncated%?%)$', message)
  end)

  for first, what in pairs{
    ['PK\3\4'] = 'a zip archive or a workbook, not text: unzip it, or export the sheet as .csv',
    ['BZh91AY&SY'] = 'compressed by bzip2, which is not read: bunzip2 it',
    ['\x28\xB5\x2F\xFD'] = 'compressed by zstd, which is not read: unzstd it',
    ['PAR1\x15'] = 'a Parquet file, not text: export it as .csv'} do
    it('that is ' .. what, function()
      local path = path_of(first .. '\0\0 1\n')
      local _, message = arrays.read(path, { kinds = 'ii' })
      assert.equal(path .. ': ' .. what, message)
    end)
  end
end)
