-- tinykg data convert: what stands in the files, that every pair of formats keeps what both can
-- hold, and what is said about the rest.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local data = require 'tinykg.data'

local FORMATS = { 'kgat', 'kgcn', 'plain', 'recbole' }

-- ---- small sets by hand ----

local sets = {}

-- Item 3 and user 3 have no interaction, entity 5 and relation 2 no triple.
sets.kgat = {
  ['train.txt'] = '0 0 1\n1 1 2\n2 0\n',
  ['valid.txt'] = '0 1\n',
  ['test.txt'] = '0 2\n2 1\n',
  ['kg_final.txt'] = { '0 0 4', '1 0 4', '3 1 0' },
  ['user_list.txt'] = { 'org_id remap_id', 'ann 0', 'bob 1', 'cy 2', 'di 3' },
  ['item_list.txt'] = { 'org_id remap_id freebase_id', 'A 0 m.0', 'B 1 m.1', 'C 2 m.2',
    'D 3 m.3' },
  ['entity_list.txt'] = { 'org_id remap_id', 'm.0 0', 'm.1 1', 'm.2 2', 'm.3 3', 'jazz 4', 'x 5' },
  ['relation_list.txt'] = { 'org_id remap_id', 'genre 0', 'by 1', 'none 2' },
}

-- No names at all.
sets.kgcn = {
  ['ratings_final.txt'] = { '0 0 1', '0 1 0', '0 2 1', '1 1 1', '1 0 0', '1 2 1', '1 3 0', '2 3 1',
    '2 0 0', '2 1 1' },
  ['kg_final.txt'] = { '0 0 4', '4 1 2' },
}

-- Names with commas, quotes and blanks; item c is called like no entity.
sets.plain = {
  ['interactions.csv'] = { 'user,item,rating,timestamp,split', 'ann,"a, or ""b""",4.5,10,train',
    'ann,b,0.1,11.25,test', '"bob, jr",b,3,12,train', '"bob, jr",c,5,13,valid',
    'cy,"a, or ""b""",1,14,train' },
  ['kg.csv'] = { 'head,relation,tail', '"a, or ""b""",in genre,jazz  band', 'b,in genre,"x,y"' },
}

-- Item 40 is not linked, item 50 has no interaction; entity and item share the name 20.
sets.recbole = {
  ['set.inter'] = { 'user_id:token\titem_id:token\tlabel:float', 'u1\t10\t1', 'u1\t20\t0',
    'u1\t40\t1', 'u2\t20\t1', 'u2\t10\t0', 'u2\t40\t0', 'u2\t50\t1', 'u3\t10\t1', 'u3\t40\t0' },
  ['set.kg'] = { 'head_id:token\trelation_id:token\ttail_id:token', 'e1\tgenre\t20',
    'e2\tgenre\tjazz' },
  ['set.link'] = { 'item_id:token\tentity_id:token', '10\te1', '20\te2' },
  ['set.item'] = { 'item_id:token\ttitle:token_seq', '10\tTen, the first', '20\tTwenty "2"', '40\t',
    '50\tFifty', '60\tSixty' },
}

-- ---- what a set says, by names ----

local function sorted(list)
  table.sort(list)
  return list
end

-- Rows of a part as texts; `keep` says which columns count.
local function rows_of(d, part, keep)
  local list, rows = {}, d[part]
  for i = 0, rows.n - 1 do
    local label = rows.labels and rows.labels[i] or 1
    if keep.labels or label == 1 then
      list[#list + 1] = table.concat({ d.names.users:name(rows.users[i]),
        d.names.items:name(rows.items[i]), keep.labels and ('%g'):format(label) or '',
        keep.columns and rows.ratings and ('%.9g'):format(rows.ratings[i]) or '',
        keep.columns and rows.times and ('%.17g'):format(rows.times[i]) or '' }, '|')
    end
  end
  return sorted(list)
end

local function parts_of(d, keep)
  if keep.split then
    return { rows_of(d, 'train', keep), rows_of(d, 'valid', keep), rows_of(d, 'test', keep) }
  end
  local all = {}
  for _, part in ipairs { 'train', 'valid', 'test' } do
    for _, row in ipairs(rows_of(d, part, keep)) do all[#all + 1] = row end
  end
  return sorted(all)
end

local function names_of(names, n)
  local list = {}
  for id = 0, n - 1 do list[id + 1] = names:name(id) end
  return sorted(list)
end

local function described(d, keep)
  local triples, links, g, e = {}, {}, d.graph, d.names.entities
  for i = 0, g.n - 1 do
    triples[i + 1] = ('%s|%s|%s'):format(e:name(g.heads[i]), d.names.relations:name(g.relations[i]),
      e:name(g.tails[i]))
  end
  for i = 0, d.items - 1 do
    local title = keep.titles and d.names.items.titles and d.names.items.titles[i]
    links[i + 1] = ('%s|%s|%s'):format(d.names.items:name(i), e:name(i), title or '')
  end
  return { parts = parts_of(d, keep), triples = sorted(triples), items = sorted(links),
    users = names_of(d.names.users, d.users),
    entities = keep.unused and names_of(e, d.entities),
    relations = keep.unused and names_of(d.names.relations, d.relations) }
end

-- What a format can hold.
local KEEPS = {
  kgat = { split = true, unused = true },
  kgcn = { labels = true, unused = true },
  plain = { split = true, labels = true, columns = true, titles = true },
  recbole = { split = true, labels = true, columns = true, titles = true },
}

local function set_dir(name)
  local dir = fixtures.dir {} .. '/' .. name
  for file, text in pairs(sets[name]) do fixtures.write(dir .. '/' .. file, text) end
  return dir
end

local function convert(from, format, more)
  local to = fixtures.dir {} .. '/new'
  local out = shell.prints(('data convert %s %s --to %s %s'):format(from, to, format, more or ''))
  return to, out
end

local function text(dir, file) return fixtures.bytes(dir .. '/' .. file) end

describe('data convert', function()
  after_each(fixtures.clean)

  it('keeps, from each format to each, what both can hold', function()
    for _, from in ipairs(FORMATS) do
      local dir = set_dir(from)
      for _, format in ipairs(FORMATS) do
        local options = format == 'kgcn' and { task = 'ctr' } or {}
        local to = convert(dir, format)
        local before, after = data.load(dir, options), data.load(to)
        assert.equal(format, after.format)
        local keep = KEEPS[format]
        assert.same(described(before, keep), described(after, keep), from .. ' to ' .. format)
      end
    end
  end)

  it('refuses folders without a name', function()
    local dir = set_dir 'plain'
    shell.refuses("data convert " .. dir .. " '' --force --to plain", 1,
      'data convert: the folder to write has no name')
    shell.refuses("data info ''", 1, 'the name of the data set is empty')
  end)

  it('writes KGAT files as that family reads them', function()
    local to, out = convert(set_dir 'plain', 'kgat')
    assert.same({ 'entity_list.txt', 'item_list.txt', 'kg_final.txt', 'relation_list.txt',
      'test.txt', 'train.txt', 'user_list.txt', 'valid.txt' }, fixtures.names(to))
    assert.equal('0 0\n1 1 2\n2 0\n', text(to, 'train.txt')) -- with what is valid
    assert.equal('1 2\n', text(to, 'valid.txt'))
    assert.equal('0 1\n', text(to, 'test.txt'))
    assert.equal('0 0 3\n1 0 4\n', text(to, 'kg_final.txt'))
    assert.equal('org_id\tremap_id\nann\t0\nbob, jr\t1\ncy\t2\n', text(to, 'user_list.txt'))
    assert.equal('org_id\tremap_id\tfreebase_id\na, or "b"\t0\ta, or "b"\nb\t1\tb\nc\t2\tc\n',
      text(to, 'item_list.txt'))
    for _, said in ipairs { 'ratings are left out', 'times are left out', 'valid.txt is a part of',
      'user_list.txt: some names have blanks' } do
      assert.matches('note: ' .. said, out)
    end
  end)

  it('writes KGCN files, with negatives drawn where there are none', function()
    local to = convert(set_dir 'kgcn', 'kgcn')
    assert.equal('0\t0\t1\n0\t1\t0\n0\t2\t1\n1\t0\t0\n1\t1\t1\n1\t2\t1\n1\t3\t0\n2\t0\t0\n' ..
      '2\t1\t1\n2\t3\t1\n',
      text(to, 'ratings_final.txt'))
    assert.equal('0\t0\t4\n4\t1\t2\n', text(to, 'kg_final.txt'))
    local drawn, out = convert(set_dir 'kgat', 'kgcn')
    assert.matches('note: negatives drawn', out)
    assert.matches('note: the split is left out', out)
    local _, zeros = text(drawn, 'ratings_final.txt'):gsub('\t0\n', '')
    local _, ones = text(drawn, 'ratings_final.txt'):gsub('\t1\n', '')
    -- 7 interactions; user 0 watched three of four items, so two negatives are missing
    assert.same({ 7, 5 }, { ones, zeros })
    local bare, says = convert(set_dir 'kgat', 'kgcn', '--data-set task=ranking')
    assert.matches('every interaction has label 1', says)
    assert.equal('0\t0\t1\n0\t1\t1\n0\t2\t1\n1\t1\t1\n1\t2\t1\n2\t0\t1\n2\t1\t1\n',
      text(bare, 'ratings_final.txt'))
  end)

  it('writes RecBole files', function()
    local to, out = convert(set_dir 'kgat', 'recbole')
    assert.same({ 'new.item', 'new.kg', 'new.link', 'new.test.inter', 'new.train.inter', 'new.user',
      'new.valid.inter' }, fixtures.names(to))
    assert.equal('user_id:token\titem_id:token\nann\tA\nbob\tB\nbob\tC\ncy\tA\n',
      text(to, 'new.train.inter'))
    assert.equal('head_id:token\trelation_id:token\ttail_id:token\nm.0\tgenre\tjazz\n' ..
      'm.1\tgenre\tjazz\nm.3\tby\tm.0\n', text(to, 'new.kg'))
    assert.equal('item_id:token\tentity_id:token\nA\tm.0\nB\tm.1\nC\tm.2\nD\tm.3\n',
      text(to, 'new.link'))
    assert.equal('user_id:token\nann\nbob\ncy\ndi\n', text(to, 'new.user'))
    assert.matches('benchmark_filename: %[train, valid, test%]', out)
    assert.matches('1 entities without a triple are left out', out)
    assert.matches('1 relations without a triple are left out', out)
    to = convert(set_dir 'plain', 'recbole', '--whole')
    assert.equal('user_id:token\titem_id:token\trating:float\ttimestamp:float\n' ..
      'ann\ta, or "b"\t4.5\t10\nann\tb\t0.1\t11.25\nbob, jr\tb\t3\t12\nbob, jr\tc\t5\t13\n' ..
      'cy\ta, or "b"\t1\t14\n', text(to, 'new.inter'))
  end)

  it('reads a whole RecBole set in a folder that is called as a part', function()
    local to = fixtures.dir {} .. '/new.train'
    shell.prints(('data convert %s %s --to recbole --whole'):format(set_dir 'plain', to))
    local whole = data.load(to)
    assert.equal('new.train', whole.name)
    assert.equal(5, whole.train.n + whole.valid.n + whole.test.n)
  end)

  it('writes plain files, and items and users where they say more', function()
    local to = convert(set_dir 'plain', 'plain')
    assert.same({ 'interactions.csv', 'kg.csv' }, fixtures.names(to))
    assert.equal('user,item,rating,timestamp,split\nann,"a, or ""b""",4.5,10,train\n' ..
      '"bob, jr",b,3,12,train\ncy,"a, or ""b""",1,14,train\n"bob, jr",c,5,13,valid\n' ..
      'ann,b,0.1,11.25,test\n', text(to, 'interactions.csv'))
    to = convert(set_dir 'recbole', 'plain', '--data-set task=ranking')
    assert.equal('item,entity,title\n10,e1,"Ten, the first"\n20,e2,"Twenty ""2"""\n40,40,\n' ..
      '50,50,Fifty\n60,60,Sixty\n', text(to, 'items.csv'))
    to = convert(set_dir 'kgat', 'plain')
    assert.equal('user\nann\nbob\ncy\ndi\n', text(to, 'users.csv'))
  end)

  it('keeps line breaks and blanks at the ends of names, or says that it cannot', function()
    local dir = fixtures.dir { ['interactions.csv'] = 'user,item\n"u\n1"," a "\nu2,"b,\r\nc"\n' }
    local to = convert(dir, 'plain')
    for _, kind in ipairs { 'users', 'items' } do
      local before, after = data.load(dir).names[kind], data.load(to).names[kind]
      for id = 0, before.count - 1 do assert.truthy(after:id(before:name(id))) end
    end
    for _, format in ipairs { 'kgat', 'recbole' } do
      local out = shell.prints(('data convert %s %s --to %s'):format(dir, fixtures.dir() .. '/new',
        format))
      assert.matches('line breaks: blanks stand for them', out)
    end
  end)

  it('writes names with tabs so that they are read again', function()
    local dir = fixtures.dir { ['interactions.csv'] = 'user,item\n"u\t1","a\tb"\nu2,"a b"\n',
      ['kg.csv'] = 'head,relation,tail\n"a\tb","is\ta",e\n' }
    for _, format in ipairs { 'kgat', 'kgcn', 'recbole' } do
      local to, out = convert(dir, format)
      assert.matches('tabs or line breaks: blanks stand for them', out)
      local again = data.load(to).names
      assert.equal(2, again.items.count)
      assert.truthy(again.users:id 'u 1')
      assert.truthy(again.relations:id 'is a')
    end
  end)

  it('tells names apart that are alike', function()
    local set = fixtures.dir { ['train.txt'] = '0 0 1\n1 1\n', ['test.txt'] = '1 0\n',
      ['kg_final.txt'] = { '0 0 2', '1 0 3' },
      ['entity_list.txt'] = { 'org_id\tremap_id', 'm\t0', 'm\t1', 'm\t2', 'm#2\t3' } }
    local to, out = convert(set, 'recbole')
    assert.equal('head_id:token\trelation_id:token\ttail_id:token\nm\t0\tm#2#2\nm#1\t0\tm#2\n',
      text(to, 'new.kg'))
    assert.matches('2 entities have the name of an earlier one', out)
  end)

  it('compresses', function()
    if not fixtures.has_tool('gzip') then return pending('gzip is not installed') end
    if not pcall(require, 'zlib') then return pending('lua-zlib is not installed') end
    local from = set_dir 'recbole'
    local to = convert(from, 'recbole', '--gzip')
    for _, name in ipairs(fixtures.names(to)) do assert.matches('%.gz$', name) end
    assert.equal(0, os.execute(('gzip -t %s/*.gz'):format(to)))
    local keep = KEEPS.recbole
    assert.same(described(data.load(from), keep), described(data.load(to), keep))
  end)

  it('takes the options of a data set', function()
    local to = convert(set_dir 'plain', 'kgat', '--data-set split=leave_one_out')
    assert.equal('0 1\n1 2\n', text(to, 'test.txt')) -- the latest of ann and bob; cy has one only
  end)
end)

describe('data convert refuses', function()
  after_each(fixtures.clean)

  it('a folder with files in it, unless forced', function()
    local from, to = set_dir 'kgat', fixtures.dir { ['train.txt.gz'] = 'old', notes = 'mine' }
    shell.refuses(('data convert %s %s --to kgat'):format(from, to), 1, 'there are files in this')
    assert.equal('old', text(to, 'train.txt.gz'))
    local out = shell.prints(('data convert %s %s --to kgat --force'):format(from, to))
    assert.not_matches('another format', out)
    assert.equal('mine', text(to, 'notes'))
    assert.is_nil(io.open(to .. '/train.txt.gz'))
    assert.equal(5, data.load(to).train.n + data.load(to).valid.n)
    out = shell.prints(('data convert %s %s --to kgcn --force'):format(from, to))
    assert.not_matches('another format', out)
    out = shell.prints(('data convert %s %s --to plain --force'):format(from, to))
    assert.matches('files of another format too: .*format=plain', out)
  end)

  it('wrong usage with status 2, and what cannot be with 1', function()
    local from = set_dir 'kgat'
    local to = fixtures.dir {} .. '/new'
    shell.refuses(('data convert %s %s'):format(from, to), 2, '%-%-to')
    shell.refuses(('data convert %s %s --to csv'):format(from, to), 2, "%-%-to.*kgat.*recbole")
    shell.refuses(('data convert %s %s --to kgat --whole'):format(from, to), 2, 'a split')
    shell.refuses(('data convert %s.none %s --to kgat'):format(from, to), 1, 'no such folder')
    shell.refuses(('data convert %s /proc/none/new --to kgat'):format(from), 1, '/proc/none')
    shell.refuses(('data convert %s %s/train.txt --to kgat'):format(from, from), 1, 'not a folder')
    local derived = fixtures.dir { ['derived/train.txt'] = '0 0\n' }
    shell.refuses(('data convert %s %s --to kgat --force'):format(from, derived), 1, 'derived/')
    assert.same({}, fixtures.names(to:match('^(.*)/'))) -- nothing is left behind
  end)

  it('a split column with other words, by file and line', function()
    local dir = fixtures.dir {
      ['interactions.csv'] = { 'user,item,split', 'a,x,train', 'a,y,dev' },
    }
    local message = fixtures.message(data.load, dir)
    assert.equal(dir .. "/interactions.csv:3: 'dev' is not train, valid or test, column split",
      message:match('^(.-) %(option'))
    assert.equal(2, data.load(dir, { split = 'ratio_global', ratios = { 1, 0, 0 } }).train.n)
  end)
end)

describe('a split in the files', function()
  after_each(fixtures.clean)

  it('is used, unless another is asked for', function()
    local dir = set_dir 'plain'
    local d = data.load(dir)
    assert.same({ 3, 1, 1, 'given' }, { d.train.n, d.valid.n, d.test.n, d.split })
    d = data.load(dir, { split = 'ratio_global', ratios = { 0.4, 0.4, 0.2 } })
    assert.same({ 2, 2, 1 }, { d.train.n, d.valid.n, d.test.n })
    d = data.load(dir, { valid_ratio = 0 })
    assert.same({ 4, 0, 1 }, { d.train.n, d.valid.n, d.test.n })
    d = data.load(dir, { rating_threshold = 3 })
    assert.same({ 2, 1, 0 }, { d.train.n, d.valid.n, d.test.n })
  end)
end)
