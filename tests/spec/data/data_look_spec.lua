-- tinykg data head, user and entity: rows by name, as the files have them.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

local prints, refuses = shell.prints, shell.refuses

describe('looking into a data set', function()
  local dir
  setup(function()
    dir = fixtures.dir{
      ['interactions.csv'] = {'user,item,split', 'ann,x,train', 'ann,y,test', 'bob,y,train',
                              'cy,x,train', 'cy,z,valid'},
      ['items.csv'] = {'item,title', 'x,"Dune, 1"', 'y,Emma'},
      ['kg.csv'] = {'head,relation,tail', 'x,by,herbert', 'herbert,knows,y', 'herbert,lives,us'}}
  end)
  teardown(fixtures.clean)

  it('shows the first rows and how many there are', function()
    local text = prints('data head ' .. dir)
    assert.matches('interactions of train: 3\n', text)
    assert.matches('\n   ann  x %(Dune, 1%)\n', text)
    assert.matches('triples: 3\n', text)
    assert.matches('\n   herbert +knows +y %(Emma%)\n', text)
    text = prints('data head -n 2 ' .. dir)
    assert.matches('triples: 3\n.*\n%.%.%. and 1 more\n$', text)
    assert.is_nil(text:find 'lives')
    local found = json.decode(prints('data head -n 1 --json ' .. dir))
    assert.same({1, 1}, {#found.interactions, #found.triples})
    assert.same({'x', 'Dune, 1'}, {found.triples[1].head.name, found.triples[1].head.title})
  end)

  it('shows what a user took, with the part', function()
    assert.equal('cy took: 2\n   x (Dune, 1)  train\n   z            valid\n',
                 prints('data user ' .. dir .. ' cy'))
    assert.matches('^ann took: 2\n.*y %(Emma%) +test\n$', prints('data user ' .. dir .. ' ann'))
    local found = json.decode(prints('data user --json ' .. dir .. ' cy -n 1'))
    assert.equal(1, #found.history)
    assert.equal(prints('data user ' .. dir .. ' ann'), prints('data user --id ' .. dir .. ' 0'))
    refuses('data user ' .. dir .. ' bobb', 1, "no user 'bobb'.*close: bob")
    refuses('data user --id ' .. dir .. ' x', 2, "'x' is not a number")
    refuses('data user ' .. dir, 2, 'argument')
    refuses('data head ' .. dir .. ' -n -1', 2, '%-n')
  end)

  it('shows as many rows as are asked for', function()
    local rows, triples = {'user,item,split', 'ann,x1,valid'}, {'head,relation,tail'}
    for i = 1, 9000 do
      rows[i + 2], triples[i + 1] = ('ann,x%d,train'):format(i + 1), ('x%d,by,woolf'):format(i)
    end
    local many = fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = triples}
    for command, key in pairs{['user %s ann'] = 'history', ['entity %s woolf'] = 'triples'} do
      local text = prints('data ' .. command:format(many) .. ' -n 8500')
      assert.equal(8502, select(2, text:gsub('\n', '')))
      assert.matches('%.%.%. and 50[01] more\n$', text)
      local found = json.decode(prints('data ' .. command:format(many) .. ' --json -n 8999'))
      assert.equal(8999, #found[key])
    end
  end)

  it('aligns names of any script', function()
    local names = fixtures.dir{['interactions.csv'] = {'user,item,split', 'Jürgen,книга,train',
      'ann,本,train', 'e\204\129va,x,train'}}
    assert.matches('\n   Jürgen  книга\n   ann     本\n   e\204\129va     x\n',
                   prints('data head ' .. names))
    assert.equal(8, require('tinykg.base.utf8').columns('日本🎬x\255'))
  end)

  it('takes no longer for a long name than for many short ones', function()
    local long = ('x'):rep(80000)
    local set = require('tinykg.data').load(fixtures.dir{['interactions.csv'] = {
      'user,item,split', ('%s,a,train'):format(long), 'u,b,train'}})
    local began = os.clock()
    local text = tostring(set:head())
    assert.is_true(os.clock() - began < 3) -- 10 s where the blanks behind u are looked at in pairs
    assert.matches('\n   x+  a\n   u +b\n', text)
    local blanks, trimmed = (' '):rep(80000), require('tinykg.base.format').trimmed
    began = os.clock()
    assert.equal('a' .. blanks .. 'b', trimmed('\t a' .. blanks .. 'b '))
    assert.equal('', trimmed(blanks))
    assert.is_true(os.clock() - began < 1)
  end)

  it('leaves out what a user did not take', function()
    local labelled = fixtures.dir{['interactions.csv'] = {'user,item,label,split',
      'ann,x,1,train', 'ann,y,0,train', 'bob,y,1,test', 'bob,x,0,valid'}}
    assert.equal('ann took: 1\n   x  train\n', prints('data user ' .. labelled .. ' ann'))
    assert.matches('taken by: 1\n   bob  test\n$', prints('data entity ' .. labelled .. ' y'))
    assert.matches('\n   ann  y  0\n', prints('data head ' .. labelled))
  end)

  it('shows what is around an entity, in both directions, and who took an item', function()
    assert.equal('herbert (entity): triples: 3\n   <-  by     x (Dune, 1)\n' ..
                 '   ->  knows  y (Emma)\n   ->  lives  us\n',
                 prints('data entity ' .. dir .. ' herbert'))
    local text = prints("data entity " .. dir .. " 'Dune, 1'")
    assert.matches('^x %(Dune, 1%) %(item%): triples: 1\n   %->  by  herbert\ntaken by: 2\n', text)
    assert.matches('\n   ann  train\n   cy   train\n$', text)
    local found = json.decode(prints('data entity --json ' .. dir .. ' us'))
    assert.is_nil(found.takers)
    assert.same({'lives', true, 'herbert'}, {found.triples[1].relation, found.triples[1].inverse,
                                             found.triples[1].entity.name})
    refuses('data entity ' .. dir .. ' herbrt', 1, "no item or entity 'herbrt'.*close: herbert")
  end)
end)
