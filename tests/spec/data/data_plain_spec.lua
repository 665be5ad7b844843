-- Plain tables as people have them: semicolons, commas in names, other words for the columns.
local fixtures = require 'tests.support.fixtures'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local GERMAN = {user = 'Nutzer', item = 'Rezept', rating = 'Wertung', head = 'Kopf',
                relation = 'Beziehung', tail = 'Ziel'}
local INTERACTIONS = {'Nutzer;Rezept;Wertung', 'Jürgen;"Soße; grün";5', 'Jürgen;Klöße, roh;4',
                      'Änne;Klöße, roh;2'}

describe('plain tables', function()
  teardown(fixtures.clean)

  it('may be separated by semicolons, each file in its own way', function()
    local data = tk.data.load(fixtures.dir{
      ['interactions.csv'] = INTERACTIONS,
      ['kg.csv'] = {'Kopf,Beziehung,Ziel', '"Klöße, roh",enthält,Kartoffel'}},
      {columns = GERMAN, ratios = {1, 0, 0}})
    assert.same({2, 2, 3, 1}, {data.users, data.items, data.entities, data.graph.n})
    assert.equal('Soße; grün', data.names.items:name(0))
    assert.equal('Klöße, roh', data.names.items:name(1))
    assert.equal('Kartoffel', data.names.entities:name(2))
    assert.same({1, 2}, {data.graph.heads[0], data.graph.tails[0]})
    assert.same({5, 4, 2}, {data.train.ratings[0], data.train.ratings[1], data.train.ratings[2]})
  end)

  it('may leave the entity of an item empty: it is the one of its name, or has none', function()
    local data = tk.data.load(fixtures.dir{
      ['interactions.csv'] = {'user,item', 'u,a', 'u,b', 'u,c'},
      ['kg.csv'] = {'head,relation,tail', 'A,r,x', 'b,r,x'},
      ['items.csv'] = {'item,entity,title', 'a,A,One', 'b,,Two', 'c,"",Three'}},
      {ratios = {1, 0, 0}})
    assert.same({3, 4, 2}, {data.items, data.entities, data.graph.n})
    assert.same({0, 1}, {data.graph.heads[0], data.graph.heads[1]})
    assert.same('x', data.names.entities:name(3))
  end)

  it('are separated as the name of the file says, whatever that of a folder', function()
    for folder, file in pairs{['exp.tsv'] = 'interactions.csv', ['v1.csv'] = 'interactions.tsv',
                              ['a.csv.d'] = 'interactions.txt'} do
      local gap = file:find('csv') and ',' or '\t'
      local dir = fixtures.dir{[folder .. '/' .. file] = {
        'user' .. gap .. 'item', 'u' .. gap .. 'a', 'u' .. gap .. 'b;c'}}
      local data = tk.data.load(dir .. '/' .. folder)
      assert.same({1, 2, 'b;c'}, {data.users, data.items, data.names.items:name(1)})
    end
  end)

  it('name the line of what is wrong', function()
    assert.equal('DIR/interactions.csv:3: 1 column separated by semicolons, expected 2',
                 sets.fails{['interactions.csv'] = {'user;item', 'a;b', 'c'}})
  end)

  it('given by number have a header if the first line has the names of fields', function()
    for first, users in pairs{['user,item'] = 2, ['User_ID,item_id'] = 2, ['who,what'] = 3} do
      local data = tk.data.load(fixtures.dir{['interactions.csv'] = {first, 'u,a', 'v,b'}},
        {columns = {user = 1, item = 2}, ratios = {1, 0, 0}})
      assert.equal(users, data.users)
    end
  end)

  it('may have a column without a name, as the index of a data frame: no note names it', function()
    local data = tk.data.load(fixtures.dir{['interactions.csv'] = {',user,item,price', '0,u,a,3'},
      ['items.csv'] = {',item,genre,', '0,a,x,'}}, {ratios = {1, 0, 0}})
    assert.same({'interactions.csv: not read: price', 'items.csv: not read: genre (--data-set ' ..
                 'attributes=genre makes relations of them)'}, data.notes)
  end)

  it('have no column that is two fields, but for the same numbers', function()
    local files = {['interactions.csv'] = {'user,item,plays', 'u,a,3', 'u,b,5'}}
    assert.equal('DIR/interactions.csv:1: column item cannot be both item and user ' ..
                 '(option columns)', sets.fails(files, {columns = {user = 'item', item = 'item'}}))
    assert.equal('DIR/interactions.csv:1: column plays cannot be both timestamp and weight ' ..
                 '(option columns)',
                 sets.fails(files, {columns = {weight = 'plays', timestamp = 'plays'}}))
    local data = tk.data.load(fixtures.dir(files), {columns = {weight = 'plays', rating = 'plays'},
      rating_threshold = 4, ratios = {1, 0, 0}})
    assert.equal(1, data.train.n)
  end)

  it('have no other columns than those that are read', function()
    assert.matches('^data: option columns: ratng:stars is not field:column with a field of ' ..
                   'head, item, label, rating, ',
                   sets.fails({}, {columns = {user = 'who', ratng = 'stars'}}))
    shell.refuses('data info ' .. fixtures.dir() .. ' --data-set columns=who', 1,
                  'option columns: who is not field:column')
    shell.refuses('data info ' .. fixtures.dir() .. ' --data-set ratios=0.7,0.1', 1,
                  'option ratios: 0.7,0.1 is not three shares')
    local dir = fixtures.dir{['interactions.csv'] = {'user,item', 'a,b', 'a,c', 'a,d', 'a,e'}}
    for _, ratios in ipairs{'0.5,0.25,0.25', '0.5:0.25:0.25'} do -- as info shows them, too
      assert.matches('train 2, valid 1, test 1 %(ratio 0.5:0.25:0.25%)',
                     shell.prints(('data info %s --data-set ratios=%s'):format(dir, ratios)))
    end
  end)

  it('are filtered by a kcore of users and items, and by nothing that is neither', function()
    local files = {['interactions.csv'] = {'user,item', 'u,a', 'u,b', 'v,a', 'w,c'}}
    assert.equal(2, sets.load(files, {kcore = {user = 1, item = 2}, ratios = {1, 0, 0}}).users)
    for text, kcore in pairs{['users:5'] = {users = 5}, ['item:2,itm:9'] = {item = 2, itm = 9},
                             ['5,3'] = {5, 3}, ['2,user:1'] = {2, user = 1}, [''] = {}} do
      assert.equal(('data: option kcore: %s is not an integer from 0, or { user = n, item = n }')
                   :format(text), sets.fails(files, {kcore = kcore}))
    end
    local info = 'data info ' .. fixtures.dir(files) .. ' --data-set '
    for _, kcore in ipairs{'users:9', '5,3', 'user:9,itm:9', ':9,user:2', 'user:x'} do
      shell.refuses(info .. 'kcore=' .. kcore, kcore:find('^:') and 2 or 1, 'kcore')
    end
    shell.refuses(info .. 'kcore=user:1,9', 2, "%-%-data%-set: kcore: '9' is not NAME:VALUE")
    shell.refuses(info .. 'columns=user:uid,item:isbn,rating', 2,
                  "%-%-data%-set: columns: 'rating' is not NAME:VALUE")
    shell.refuses(info .. 'columns=user:uid,user:id', 2, 'columns of user is given twice')
    for _, options in ipairs{{ratios = {.8, .1, .1, x = 1}}, {attributes = {'a', x = 'b'}},
                             {at = {'2024-01-01', x = 1}}} do
      assert.matches('^data: option %l+: .*x:', sets.fails(files, options))
    end
  end)

  it('may have other names for user and item in users.csv and items.csv too', function()
    local files = {['interactions.csv'] = {'uid,isbn', 'u,a', 'u,b'},
      ['items.csv'] = {'ISBN,entity,title', 'a,Q1,Alpha', 'd,,Delta'},
      ['users.csv'] = {'uid,age', 'v,30'}, ['kg.csv'] = {'head,relation,tail', 'Q1,r,x'}}
    local options = {columns = {user = 'uid', item = 'isbn'}, ratios = {1, 0, 0}}
    local data = sets.load(files, options)
    assert.same({2, 3, 0}, {data.users, data.items, data.graph.heads[0]})
    assert.equal('Delta', data.names.items.titles[2])
    -- As they are called by default, whatever those of the interactions are.
    files['items.csv'] = {'item,title', 'a,Alpha'}
    assert.equal('Alpha', sets.load(files, options).names.items.titles[0])
    files['items.csv'], files['users.csv'] = {'book,genre', 'a,x'}, {'name', 'v'}
    data = sets.load(files, options)
    assert.same({1, 2}, {data.users, data.items})
    sets.said(data.notes, '^items.csv: not read: it has no column item$')
    sets.said(data.notes, '^users.csv: not read: it has no column user$')
    assert.equal('option attributes: DIR/items.csv is not read: it has no column item',
      sets.fails(files, {columns = options.columns, attributes = 'genre'}))
    files['interactions.csv'] = {'uid,isbn,genre', 'u,a,1'}
    options.columns.item = 2 -- a number is of the interactions alone
    sets.said(sets.load(files, options).notes, '^items.csv: not read: it has no column item$')
  end)

  it('say when names are not UTF-8', function()
    local function warnings(name)
      return tk.data.load(fixtures.dir{
        ['interactions.csv'] = {'user,item', 'a,' .. name, 'b,' .. name},
        ['kg.csv'] = {'head,relation,tail', name .. ',r,e'}}).warnings
    end
    assert.same({}, warnings 'Soße')
    local said = warnings 'So\223e' -- as Latin 1 has it
    assert.matches("'So\239\191\189e' and perhaps other names of items are not UTF%-8", said[1])
    assert.equal(1, #said)
  end)

  it('say when the graph knows none of the items', function()
    local interactions = {'user,item', 'a,x', 'a,y', 'b,x'}
    local function info(triple)
      return shell.prints('data info ' .. fixtures.dir{
        ['interactions.csv'] = interactions, ['kg.csv'] = {'head,relation,tail', triple}})
    end
    assert.matches('warning +no item is in any of the 1 triples', info 'film/x,by,z')
    assert.is_nil(info('x,by,z'):find('warning', 1, true))
    assert.is_nil(info('z,made,y'):find('warning', 1, true))
  end)
end)
