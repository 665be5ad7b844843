-- What people write and what they mean by it: repeated ratings, headers, several files, attributes.
-- The expected values are counted by hand from the rows written here.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local data = require 'tinykg.data'
local sets = require 'tests.support.sets'

local load, plain, fails, said = sets.load, sets.plain, sets.fails, sets.said
local count, names_of, triples, KG = sets.count, sets.names_of, sets.triples, sets.kg

local function reversed(lines)
  local list = { lines[1] }
  for i = #lines, 2, -1 do list[#list + 1] = lines[i] end
  return list
end

describe('repeated interactions', function()
  after_each(fixtures.clean)

  -- 5 users rate a1 .. a8 with 2, then a1 .. a5 again with 5.
  local function rated_again(with_time)
    local lines = { 'user,item,rating' .. (with_time and ',timestamp' or '') }
    for u = 1, 5 do
      for i = 1, 13 do
        local low = i <= 8
        local time = with_time and (low and ',100' or ',200') or ''
        lines[#lines + 1] = ('u%d,a%d,%d%s'):format(u, low and i or i - 8, low and 2 or 5, time)
      end
    end
    return lines
  end

  it('lose those below the threshold first, in any order of the rows', function()
    for _, lines in ipairs { rated_again(), rated_again(true) } do
      for _, order in ipairs { lines, reversed(lines) } do
        local set = plain(order, nil, { rating_threshold = 4 })
        assert.equal(25, count(set))
        assert.equal(40, set.dropped.ratings)
        assert.equal(0, set.dropped.duplicates)
        said(set.notes, '^40 ratings below 4 dropped$')
      end
    end
  end)

  it('as high as the threshold stay, also where a threshold has decimals', function()
    local lines = { 'user,item,rating', 'u1,a1,0.7', 'u1,a2,0.6', 'u2,a1,0.7', 'u2,a3,0.8',
      'u3,a2,0.9', 'u3,a3,4.1' }
    for threshold, count_left in pairs { [0.6] = 6, [0.7] = 5, [0.8] = 3, [4.1] = 1 } do
      local set = plain(lines, nil, { rating_threshold = threshold })
      assert.equal(count_left, count(set))
      said(set.notes, ('^%d ratings? below %g dropped$'):format(6 - count_left, threshold))
    end
    local raw = load({ ['ratings.csv'] = { 'userId,movieId,rating,timestamp', '1,10,0.7,9',
      '2,10,0.6,9', '3,20,0.8,9' }, ['kg.txt'] = { 'e10\tgenre\tx' },
      ['item_index2entity_id.txt'] = { '10\te10', '20\te20' } },
      { rating_threshold = 0.7, task = 'ranking' })
    assert.same({ '1', '3' }, names_of(raw.names.users))
    assert.equal(2, count(raw))
  end)

  it('count where one pair of each user was rated twice', function()
    local lines = { 'user,item,rating' }
    for u = 1, 5 do
      lines[#lines + 1] = ('u%d,a5,1'):format(u)
      for i = 1, 5 do lines[#lines + 1] = ('u%d,a%d,5'):format(u, i) end
    end
    assert.equal(25, count(plain(lines, nil, { rating_threshold = 4 })))
  end)

  it('keep the latest rating: by time, else by place', function()
    local options = { ratios = { 1, 0, 0 } }
    local function ratings(lines)
      return fixtures.list(plain(lines, nil, options).train.ratings, 2)
    end
    local timed = { 'user,item,rating,timestamp', 'u,a1,3,50', 'u,a2,2,1', 'u,a1,4,70',
      'u,a1,5,60' }
    assert.same({ 4, 2 }, ratings(timed))
    assert.same({ 4, 2 }, ratings { timed[1], timed[4], timed[3], timed[5], timed[2] })
    assert.same({ 5, 2 }, ratings { 'user,item,rating', 'u,a1,3', 'u,a2,2', 'u,a1,4', 'u,a1,5' })
    local set = plain(timed, nil, options)
    assert.equal(2, set.dropped.duplicates)
    assert.same({ 70, 1 }, fixtures.list(set.train.times, 2))
    said(set.warnings, '^2 repeated interactions dropped$')
  end)

  it('say that labels contradict each other', function()
    local set = plain({ 'user,item,label', 'u,a1,1', 'u,a2,1', 'u,a1,0', 'u,a3,0', 'u,a2,1' }, nil,
      { ratios = { 1, 0, 0 } })
    assert.same({ '0 0 0', '0 1 1', '0 2 0' }, fixtures.pairs_of(set.train))
    said(set.warnings, '^1 interaction has label 1 and label 0: the latest counts$')
    said(set.warnings, '^2 repeated interactions dropped$')
  end)

  it('of a given split stay in their first part, with what that part says of them', function()
    local head = 'user_id:token\titem_id:token\tlabel:float\ttimestamp:float'
    local files = { ['x.train.inter'] = { head, '1\ta\t0\t5', '1\tb\t1\t6', '2\tb\t1\t7',
      '2\tc\t0\t8', '1\ta\t0\t4' }, ['x.valid.inter'] = { head, '2\tb\t0\t60', '2\ta\t1\t9' },
      ['x.test.inter'] = { head, '1\ta\t1\t50', '2\ta\t0\t70', '1\tc\t0\t3' } }
    local set = load(files)
    assert.same({ '0 0 0', '0 1 1', '1 1 1', '1 2 0' }, fixtures.pairs_of(set.train))
    assert.same({ 5, 6, 7, 8 }, fixtures.list(set.train.times, 4))
    assert.same({ '1 0 1' }, fixtures.pairs_of(set.valid))
    assert.same({ '0 2 0' }, fixtures.pairs_of(set.test))
    said(set.warnings, '^1 test interactions are in train too: dropped from test$')
    said(set.warnings, '^1 test interactions are in valid too: dropped from test$')
    said(set.warnings, '^1 valid interactions are in train too: dropped from valid$')
    said(set.warnings, '^1 repeated interaction dropped$')
    for _, text in ipairs(set.warnings) do assert.is_nil(text:find('label 1 and label 0')) end
    -- What validation says counts where it is train's; the latest of all with a split anew.
    assert.equal(0, load(files, { valid_ratio = 0 }).train.labels[2])
    set = load(files, { ratios = { 1, 0, 0 } })
    assert.same({ '0 0 1', '0 1 1', '0 2 0', '1 0 0', '1 1 0', '1 2 0' },
      fixtures.pairs_of(set.train))
    said(set.warnings, '^3 interactions have label 1 and label 0: the latest counts$')
    -- A column of plain tables: weights add up in the part alone.
    set = plain({ 'user,item,w,split', 'u,a1,1,test', 'u,a1,4,train', 'u,a2,1,train',
      'u,a1,2,test' }, nil, { columns = { weight = 'w' }, valid_ratio = 0 })
    assert.same({ 1, 1, 3 }, { set.train.n, set.test.n, set.test.weights[0] })
    said(set.warnings, '^1 train interactions are in test too: dropped from train$')
  end)

  it('of which none is left say what took them', function()
    assert.equal('no interactions are left to split: 65 have a rating below 6',
      fails({ ['interactions.csv'] = rated_again() }, { rating_threshold = 6 }))
    -- 40 pairs, 25 of them twice; no user has 50 of them.
    assert.equal('no interactions are left to split: 25 are repeated, kcore=50 drops 40',
      fails({ ['interactions.csv'] = rated_again() }, { kcore = 50 }))
    assert.equal('no interactions are left to split: kcore=50 drops 4', fails({
      ['train.txt'] = '0 1 2\n', ['test.txt'] = '0 3 0\n' }, { kcore = 50 }))
  end)
end)

describe('tables read otherwise than meant', function()
  after_each(fixtures.clean)

  local rows = { 'user,item', 'u1,a1', 'u1,a2', 'u2,a1', 'u2,a3' }

  it('two columns of one name', function()
    assert.equal("DIR/interactions.csv:1: 2 columns are called 'item': which of them is meant?",
      fails { ['interactions.csv'] = { 'user,item,item', 'u1,a4,1' } })
    assert.matches("2 columns are called 'item'",
      fails { ['interactions.csv'] = { 'user,Item,ITEM', 'u1,a4,1' } })
    assert.matches("2 columns are called 'item_id'", fails {
      ['x.inter'] = 'user_id:token\titem_id:token\titem_id:token\nu\ta\tb\n' })
    assert.equal(2, plain({ 'user,other,item,other', 'u1,x,a1,y', 'u1,x,a2,y' }).items)
  end)

  it('several files for one table', function()
    local set = plain(rows, { ['interactions.tsv'] = { 'user\titem', 'u1\ta1' } })
    assert.equal(1, set.users)
    said(set.warnings, '^interactions.tsv is read, not interactions.csv: remove what is not meant$')
    set = plain(rows, { ['kg.txt'] = { 'head relation tail', 'a1 is z' } })
    said(set.warnings, '^kg.csv is read, not kg.txt')
    local x = 'user_id:token\titem_id:token\nu\ta\n'
    set = load({ ['x.inter'] = x, ['x.train.inter'] = x, ['x.test.inter'] = x })
    said(set.warnings, '^x.inter is read, not x.train.inter')
  end)

  it('entities called as users are', function()
    local kg = { KG[1], KG[2], 'u1,lives in,Berlin', 'u2,lives in,Rome' }
    said(plain(rows, { ['kg.csv'] = kg }).warnings,
      "^2 entities are called as users are %('u1'%): not linked")
    -- Numbers are alike by chance.
    assert.same({}, plain({ 'user,item', '1,a1', '2,a2' },
      { ['kg.csv'] = { KG[1], KG[2], '1,of,2' } }).warnings)
  end)

  it('columns that are not read, of every file', function()
    local set = plain({ 'user,item,weight', 'u1,a1,3' }, {
      ['kg.csv'] = { 'head,relation,tail,since', 'a1,is,x,1900' },
      ['users.csv'] = { 'user,age', 'u1,30' },
      ['items.csv'] = { 'item,price,title', 'a1,5,One' } })
    assert.same({ 'interactions.csv: not read: weight (--data-set columns=weight:weight reads '
      .. 'weights)', 'items.csv: not read: price (--data-set '
      .. 'attributes=price makes relations of them)', 'kg.csv: not read: since',
      'users.csv: not read: age' }, (function()
        table.sort(set.notes)
        return set.notes
      end)())
    set = load { ['x.inter'] = 'user_id:token\titem_id:token\tdevice:token\nu\ta\tb\n',
      ['x.kg'] = 'head_id:token\trelation_id:token\ttail_id:token\tweight:float\na\tb\tc\t1\n' }
    said(set.notes, '^x.inter: not read: device$')
    said(set.notes, '^x.kg: not read: weight$')
    set = load { ['train.txt'] = '0 1\n', ['test.txt'] = '0 0\n',
      ['item_list.txt'] = 'org_id remap_id freebase_id\na 0 m.0\nb 1 m.1\n' }
    said(set.notes, '^item_list.txt: not read: freebase_id$')
  end)

  it('names that programs write where there is nothing', function()
    said(plain({ 'user,item', 'nan,a1', 'None,a2', 'NULL,a3', 'u1,a1' }).warnings,
      '^users are called nan, None, NULL: are they missing values%?$')
  end)

  it('blanks behind commas', function()
    local set = plain { 'user, item, rating', 'u1, a1, 4', 'u1, a2, 5' }
    assert.same({ 'a1', 'a2' }, names_of(set.names.items))
    assert.equal(2, count(set))
    assert.same({}, set.warnings)
  end)

  it('titles of two lines, and a header with a comma in quotes', function()
    local set = plain(rows, { ['items.csv'] = 'item,"a, b",title\na1,x,"Two\nlines"\n'
      .. 'a2,y,"ok, fine"\n' })
    assert.equal('Two\nlines', set.names.items.titles[0])
    assert.equal('ok, fine', set.names.items.titles[1])
    said(set.notes, '^items.csv: not read: a, b ')
  end)

  it("MovieLens's two colons, with a header and without", function()
    for _, header in ipairs { '', 'user::item::rating::timestamp\n' } do
      local set = load({ ['interactions.txt'] = header .. 'u1::a1::5::978300760\n'
        .. 'u1::a2::3::978300761\n' }, { ratios = { 1, 0, 0 } })
      assert.same({ 1, 2, 5, 978300761 }, { set.users, set.items, set.train.ratings[0],
        set.train.times[1] })
    end
  end)

  it("RecBole's files with commas", function()
    local set = load { ['x.inter'] = { 'user_id:token,item_id:token', 'u1,a1', 'u2,a2' } }
    assert.same({ 'u1', 'u2' }, names_of(set.names.users))
  end)

  it('semicolons with decimal commas', function()
    local rated = { 'user;item;rating', 'u1;a1;4,5', 'u1;a2;3' }
    assert.equal(1, count(plain(rated, nil, { rating_threshold = 3.5 })))
  end)

  it('dates', function()
    local lines = { 'user,item,timestamp', 'u1,a1,2024-01-03T10:00:00Z', 'u1,a2,2024-01-01',
      'u1,a3,2024-01-03T09:30:00+00:00' }
    local set = plain(lines, nil, { split = 'leave_one_out' })
    assert.equal('a1', set.names.items:name(set.test.items[0]))
    assert.equal('a3', set.names.items:name(set.valid.items[0]))
    assert.equal('a2', set.names.items:name(set.train.items[0]))
    assert.equal(1704067200, set.train.times[0]) -- 2024-01-01: 19,723 days
  end)

  it('a column that no split needs', function()
    local lines = { 'user,item,timestamp', 'u1,a1,soon', 'u1,a2,later' }
    local set = plain(lines)
    assert.is_nil(set.train.times)
    said(set.warnings, "^column timestamp not read: .*interactions.csv:2: 'soon' is not a time")
    assert.equal(2, count(plain(lines, nil, { columns = { user = 1, item = 2 } })))
    assert.matches("^DIR/interactions.csv:2: 'soon' is not a time",
      fails({ ['interactions.csv'] = lines }, { split = 'time' }))
    lines[1] = 'user,item,rating'
    assert.matches("'soon' is not a finite number", fails { ['interactions.csv'] = lines })
    assert.equal(2, count(plain(lines, nil, { columns = { user = 'user', item = 2 } })))
    assert.matches("'soon' is not a finite number", fails({ ['interactions.csv'] = lines },
      { columns = { user = 'user', item = 2 }, rating_threshold = 2 }))
  end)

  it('line ends of old Macs', function()
    assert.equal(2, plain('user,item\ru1,a1\ru2,a2\r').users)
  end)

  it('labels of one class', function()
    local lines = { 'user,item,label' }
    for i = 1, 6 do lines[i + 1] = ('u%d,a%d,1'):format(i % 2, i) end
    said(plain(lines).warnings, '^all labels are 1: should items be ranked')
    -- Both in train, one in the others.
    lines = { 'user,item,label,split', 'u,a1,1,train', 'u,a2,0,train', 'u,a3,1,valid',
      'u,a4,0,test' }
    local set = plain(lines)
    said(set.warnings, '^all labels of valid are 1: auc is not defined there$')
    said(set.warnings, '^all labels of test are 0: auc is not defined there$')
  end)
end)

describe('attributes', function()
  after_each(fixtures.clean)

  local rows = { 'user,item', 'u1,a1', 'u1,a2', 'u2,a4' }
  local items = 'item,author,genre,year\na1,Woolf,novel|essay,1925\n'
    .. 'a2,Mann,"novel; crime ",1925\na4,,,a1\n'

  it('become relations, several values each', function()
    local set = plain(rows, { ['items.csv'] = items },
      { attributes = { 'author', 'genre', 'year' } })
    assert.same({ 'a1 author author:Woolf', 'a1 genre genre:essay', 'a1 genre genre:novel',
      'a1 is x', 'a1 year year:1925', 'a2 author author:Mann', 'a2 genre genre:crime',
      'a2 genre genre:novel',
      'a2 is y', 'a2 year year:1925', 'a3 is x', 'a4 year year:a1' }, triples(set))
    assert.equal(3, set.items)
    assert.same({ 'a1', 'a2', 'a4' }, names_of(set.names.items))
  end)

  it('are the entities that the graph knows', function()
    local set = plain(rows, { ['items.csv'] = items,
      ['kg.csv'] = { KG[1], 'Woolf,born in,London' } }, { attributes = 'author' })
    assert.same({ 'Woolf born in London', 'a1 author Woolf', 'a2 author author:Mann' },
      triples(set))
    said(set.notes, '^items.csv: not read: genre, year')
  end)

  it('make a graph where there is none', function()
    local set = load({ ['interactions.csv'] = rows, ['items.csv'] = items },
      { attributes = 'author' })
    assert.equal(2, set.graph.n)
    assert.same({}, set.warnings)
  end)

  it('of RecBole are sequences', function()
    local set = load({ ['x.inter'] = 'user_id:token\titem_id:token\nu\ti1\n',
      ['x.item'] = { 'item_id:token\tname:token_seq\tclass:token_seq\tmaker:token',
        'i1\tAn Item\tAction Drama\tA B' } }, { attributes = { 'class', 'maker' } })
    assert.same({ 'i1 class class:Action', 'i1 class class:Drama', 'i1 maker maker:A B' },
      triples(set))
    assert.equal('An Item', set.names.items.titles[0])
  end)

  it('are not the columns of items and their entities; a title stays one', function()
    local contents = { ['interactions.csv'] = { 'user,item', 'u1,a', 'u1,b', 'u2,c' },
      ['kg.csv'] = { KG[1], 'Q1,is,g' },
      ['items.csv'] = { 'item,title,entity,genre', 'c,Gamma,,x|y', 'a,Alpha,Q1,x', 'b,Beta,,y' } }
    local set = load(contents, { attributes = { 'title', 'genre' } })
    assert.same({ 'Q1 genre genre:x', 'Q1 is g', 'Q1 title title:Alpha', 'b genre genre:y',
      'b title title:Beta', 'c genre genre:x', 'c genre genre:y', 'c title title:Gamma' },
      triples(set))
    assert.same({ [0] = 'Alpha', 'Beta', 'Gamma' }, set.names.items.titles)
    for _, name in ipairs { 'item', 'entity' } do
      assert.equal(('option attributes: column %s says which item a row is of: it is no attribute')
        :format(name), fails(contents, { attributes = { 'genre', name } }))
    end
    assert.matches('column item_id says which item', fails({
      ['x.inter'] = 'user_id:token\titem_id:token\nu\ti\n', ['x.item'] = 'item_id:token\ni\n' },
      { attributes = 'item_id' }))
  end)

  it('are kept by convert', function()
    local _, dir = plain(rows, { ['items.csv'] = items })
    for _, format in ipairs { 'plain', 'recbole', 'kgat' } do
      local to = fixtures.dir() .. '/new'
      shell.prints(('data convert %s %s --to %s --data-set attributes=author,genre'):format(dir, to,
        format))
      local set = data.load(to)
      assert.same(triples(data.load(dir, { attributes = { 'author', 'genre' } })), triples(set))
    end
  end)

  it('that are not there are named', function()
    assert.equal("option attributes: DIR/items.csv has no column 'auth'",
      fails({ ['interactions.csv'] = rows, ['items.csv'] = items }, { attributes = 'auth' }))
    assert.equal("option attributes: items.{tsv,csv,txt}: it has no column 'author'",
      fails({ ['interactions.csv'] = rows }, { attributes = 'author' }))
    assert.equal('option attributes: kgat has no table of items',
      fails({ ['train.txt'] = '0 1\n', ['test.txt'] = '0 0\n' }, { attributes = 'author' }))
    assert.equal("option attributes: x.item has no column 'author'",
      fails({ ['x.inter'] = 'user_id:token\titem_id:token\nu\ti\n' }, { attributes = 'author' }))
  end)
end)

describe('options that say nothing to a data set', function()
  after_each(fixtures.clean)

  local table_files = { ['interactions.csv'] = { 'user,item,timestamp', 'u,a,1', 'u,b,2',
    'u,c,3' } }
  local kgat = { ['train.txt'] = '0 1\n', ['test.txt'] = '0 0\n' }
  local kgcn = { ['ratings_final.txt'] = '0 1 1\n0 0 0\n' }
  local kgcn_raw = { ['item_index2entity_id.txt'] = 'a\te\n',
    ['ratings.dat'] = 'u::a::5::1\n', ['kg.txt'] = 'e\tr\tx\n' }
  local recbole = { ['x.inter'] = 'user_id:token\titem_id:token\nu\ti\n' }

  it('are refused', function()
    for name, contents in pairs { kgat = kgat, kgcn = kgcn, recbole = recbole } do
      assert.equal(('option columns: user: files of %s have no such column, or under a name of '
        .. 'their own'):format(name), fails(contents, { columns = { user = 'uid' } }))
    end
    for name, contents in pairs { plain = table_files, recbole = recbole } do
      assert.equal('option ids: files of ' .. name .. ' have names, no ids to keep or to renumber',
        fails(contents, { ids = 'compact' }))
    end
    assert.matches('^option ids: raw files of kgcn have names', fails(kgcn_raw, { ids = 'given' }))
    for _, contents in ipairs { table_files, recbole, kgcn, kgcn_raw } do
      assert.matches('^option valid_ratio: it is for sets with train and test of their own',
        fails(contents, { valid_ratio = 0.2 }))
    end
    local ratios = { 0.6, 0.2, 0.2 }
    assert.equal('data: option ratios: split=leave_one_out splits without shares',
      fails(table_files, { split = 'leave_one_out', ratios = ratios }))
    assert.equal('data: option ratios: at with two dates splits without shares',
      fails(table_files, { at = { 2, 3 }, ratios = ratios }))
    assert.equal('option columns: head: kg.nt has no columns', fails(fixtures.merged(table_files,
      { ['kg.nt'] = '<a> <r> <x> .\n' }), { columns = { head = 'h' } }))
    assert.equal(1, load(table_files, { at = 3, ratios = { 0.5, 0.5, 0 } }).test.n)
  end)
end)

describe('graphs of RDF', function()
  after_each(fixtures.clean)

  local triples_nt = '<http://x/1> <http://x/by> <http://x/Woolf> .\n'
    .. '<http://x/1> <http://x/title> "Orlando"@en .\n'
  local items = { 'item,entity', 'a1,http://x/1' }

  it('are read from N-Triples, compressed too', function()
    local dir = fixtures.dir { ['interactions.csv'] = { 'user,item', 'u,a1' },
      ['items.csv'] = items, ['kg.nt'] = triples_nt }
    for round = 1, 2 do
      local set = data.load(dir)
      assert.same({ 'http://x/1 http://x/by http://x/Woolf', 'http://x/1 http://x/title Orlando' },
        triples(set))
      assert.same({ 0, 0 }, fixtures.list(set.graph.heads, 2)) -- the item itself
      assert.same({}, set.warnings)
      if round == 2 or not fixtures.compress(dir .. '/kg.nt', 'xz') then return end
    end
  end)

  it('in other formats are named', function()
    local set = load { ['interactions.csv'] = { 'user,item', 'u,a1' },
      ['kg.ttl'] = '@prefix x: <y> .\n' }
    said(set.warnings, '^kg.ttl is not read: of RDF only N%-Triples are')
    assert.equal(1, #set.warnings)
  end)
end)
