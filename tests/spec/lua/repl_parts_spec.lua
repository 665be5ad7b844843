-- Parts of the prompt that need no terminal: what is read from a pipe, completion, values as text.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

describe('a pipe into tinykg', function()
  teardown(fixtures.clean)

  --- Runs it; returns exit status, standard output, standard error.
  local function piped(lines, arguments)
    local dir = fixtures.dir{['in.txt'] = lines}
    return shell.tinykg(('%s <%s/in.txt'):format(arguments or '', dir))
  end

  it('shows values and nothing else', function()
    local status, out, err = piped{'1 + 1', 'local x = 5', 'x;', '', '-- a remark', 'x',
                                   'for i = 1, 2 do', '  print(i)', 'end', '= x * 2'}
    assert.equal('', err)
    assert.equal('2\n5\n1\n2\n10\n', out)
    assert.equal(0, status)
  end)

  it('may begin with a byte order mark', function()
    local status, out = piped{'\239\187\1911 + 1', '2'}
    assert.equal('2\n2\n', out)
    assert.equal(0, status)
  end)

  it('shows what statements return, each value', function()
    local status, out, err = piped{'return 3, 4', 'return 3', '_', 'local a = 5 return a, a + 1',
                                   'return nil, true', 'return', 'local b = 7', 'b',
                                   'for i = 8, 9 do return i end', ':time return 3, 4'}
    assert.equal('', err)
    local values = out:gsub('[^\n]* m?s\n$', '') -- but not the time that it took
    assert.equal('3\n4\n3\n3\n5\n6\nnil\ntrue\n7\n8\n3\n4\n', values)
    assert.equal(0, status)
  end)

  it('ends at the first error, with its line', function()
    local status, out, err = piped{'print(1)', '', 'do', '  local y = nil', '  y.z = 1', 'end',
                                   'print(2)'}
    assert.equal(1, status)
    assert.equal('1\n', out)
    assert.matches("stdin:5: attempt to index local 'y' %(a nil value%)", err)
    status, out, err = piped{'print(1)', 'x y'}
    assert.equal(1, status)
    assert.equal('1\n', out)
    assert.equal("tinykg: stdin:2: '=' expected near 'y'\n", err)
  end)

  it('says where something was begun and not ended', function()
    local status, _, err = piped{'x = 1', 'print(', 'x'}
    assert.equal(1, status)
    assert.matches("stdin:3: .* near '<eof>'", err)
  end)

  it('knows commands', function()
    local status, out = piped{'? tk.optim.adam', ':quit', 'print(1)'}
    assert.equal(0, status)
    assert.matches('^tk%.optim%.adam%(options%)\n.*lua/tinykg/engine/optim%.lua:%d+\n$', out)
    local failed, _, err = piped{':dance'}
    assert.equal(1, failed)
    assert.matches('no command :dance', err)
  end)

  it('comes after what -i runs', function()
    local status, out = piped({'x + 1'}, "-i -e 'x = 2'")
    assert.equal(0, status)
    assert.equal('3\n', out)
    local wrong, _, err = piped({'1'}, '-i dance')
    assert.equal(2, wrong)
    assert.matches('^tinykg: %-i: dance is neither', err)
  end)
end)

describe('completion', function()
  local complete = require 'tinykg.repl.complete'
  after_each(function() _G.thing = nil end)
  teardown(fixtures.clean)

  --- Returns the completions of a line, as whole lines.
  local function of(text)
    local list, at = complete(text)
    for i, word in ipairs(list) do list[i] = text:sub(1, at - 1) .. word end
    return list
  end

  it('finds globals, keywords and fields', function()
    _G.thing = {first = 1, second = {inner = function() end}, _hidden = 1, {named = 2}}
    assert.same({'thing'}, of('thin'))
    assert.same({'print(thing.first', 'print(thing.second'}, of('print(thing.'))
    assert.same({'thing._hidden'}, of('thing._'))
    assert.same({'1+thing.second.inner'}, of('1+thing.second.i'))
    assert.same({'thing[1].named'}, of('thing[1].n'))
    assert.same({'x = function'}, of('x = func'))
    assert.same({}, of('thing.nosuch.x'))
    assert.same({}, of('f(x).'))
    assert.same({}, of('a..'))
  end)

  it('finds only methods behind a colon', function()
    _G.thing = {call = function() end, value = 1}
    assert.same({'thing:call'}, of('thing:'))
    _G.thing = 'text'
    assert.same({'thing:rep', 'thing:reverse'}, of('thing:re'))
  end)

  it('finds what objects of the engine can do', function()
    local function has(text, ...)
      local list = ' ' .. table.concat(of(text), ' ') .. ' '
      for _, one in ipairs{...} do assert.truthy(list:find(' ' .. one .. ' ', 1, true), one) end
    end
    _G.thing = tk.ones(2)
    assert.same({'thing:leaky_relu'}, of('thing:lea'))
    assert.same({'thing.grad'}, of('thing.gr'))
    assert.same({}, of('thing.kept'), 'its own fields are hidden')
    _G.thing = tk.optim.adam{}
    has('thing:', 'thing:update', 'thing:state')
    assert.same({'thing.lr'}, of('thing.l'))
    _G.thing = tk.graph{head = {0}, tail = {1}, nodes = 2}
    has('thing:', 'thing:aggregate', 'thing:sample', 'thing:info')
    _G.thing = tk.nn.Linear(2, 2)
    has('thing:', 'thing:parameters', 'thing:train', 'thing:forward')
    has('thing.', 'thing.weight', 'thing.bias')
    _G.thing = tk.step(function() end)
    has('thing:', 'thing:report', 'thing:plan')
  end)

  it('finds parts of tk that are not loaded yet', function()
    local t = setmetatable({}, getmetatable(tk))
    _G.thing = t
    assert.same({'thing.metrics'}, of('thing.met'))
  end)

  it('finds commands and files', function()
    assert.same({':time'}, of(':ti'))
    local dir = fixtures.dir{['a one.lua'] = 'x', ['deep/b.lua'] = 'x', ['.secret'] = 'x'}
    assert.same({"f('" .. dir .. '/a one.lua'}, of("f('" .. dir .. '/a'))
    assert.same({'f("' .. dir .. '/a one.lua', 'f("' .. dir .. '/deep/'}, of('f("' .. dir .. '/'))
    assert.same({':load ' .. dir .. '/deep/b.lua'}, of(':load ' .. dir .. '/deep/'))
    assert.same({}, of("f('/no/such/folder/"))
  end)
end)

describe('values as text', function()
  local show = require 'tinykg.repl.show'

  it('are short and in a fixed order', function()
    assert.equal('{1, 2, a = true, b = "x"}', show.value{1, 2, b = 'x', a = true})
    assert.equal('{[0] = 1, ["a b"] = 2}', show.value{[0] = 1, ['a b'] = 2})
    assert.equal('{a = {b = {...}}}', show.value{a = {b = {c = 1}}})
    assert.equal('{}', show.value{})
    assert.equal('{0.1, inf, -inf, nan}', show.value{0.1, 1 / 0, -1 / 0, 0 / 0})
    assert.equal('"a\\9b\\0\\27"', show.value('a\tb\0\27'))
    assert.equal('{"a\\nb"}', show.value{'a\nb'})
    assert.equal('table  1\n  row? 2', show.value('table  1\n  row\27 2\n'), 'as a report is')
    assert.equal('"a line\\n"', show.value('a line\n'))
    local ring = {}
    ring.self = ring
    assert.equal('{self = {as above}}', show.value(ring))
  end)

  it('are cut where they are long', function()
    local long = {}
    for i = 1, 1000 do long[i] = i end
    local text = show.value(long)
    assert.matches('\n  1, 2, 3, ', text)
    assert.matches('\n  %.%.%. 960 more,\n}$', text)
    for line in text:gmatch('[^\n]+') do assert.is_true(#line <= 80) end
    assert.equal('{"' .. ('x'):rep(57) .. '..."}', show.value{('x'):rep(100)})
  end)

  it('say what tensors and objects are', function()
    assert.equal('{f32 [2, 3], i32 [2]}', show.value{tk.ones(2, 3), tk.ids{1, 2}})
    assert.equal('nn.Linear(3 -> 4)', show.value(tk.nn.Linear(3, 4)))
    assert.equal('{layer = nn.Linear(3 -> 4)}', show.value{layer = tk.nn.Linear(3, 4)})
    assert.matches('^function adam%(options%)  lua/tinykg/engine/optim%.lua:%d+$',
                   show.value(tk.optim.adam))
    assert.equal(tostring(tk.ones(2)), show.value(tk.ones(2)))
    assert.matches('^function tk%.graph%(', show.value(tk.graph, 'tk.graph'))
    assert.matches('^function tk%.randn%(', show.value(tk.randn, 'tk.randn'))
    local class = {make = function() end}
    class.__index = class
    assert.equal('{x = 1}', show.value(setmetatable({x = 1}, class)))
    assert.equal('{{1}}', show.value{setmetatable({1}, {__metatable = true})})
  end)

  it('have all parts of a module, those too that are loaded when they are used', function()
    local text = show.value(tk)
    assert.matches('\n  data = {', text)
    assert.matches('\n  load = function load%(path%),', text)
    assert.matches('\n  graph = function make%(', text)
  end)
end)

describe('help', function()
  local reflow = require 'tinykg.repl.reflow'
  local help = require 'tinykg.repl.help'

  it('is laid out for the width of the terminal', function()
    local text = 'One two three\nfour five.\n\n  name   what it means\n' ..
      '         and more\n  other  x\n\n   local code = 1\n   print(code)'
    assert.equal('One two three four five.\n\n  name   what it means and more\n  other  x\n\n' ..
                 '   local code = 1\n   print(code)', reflow(text, 60))
    assert.equal('One two three four\nfive.\n\n  name   what it\n         means and\n' ..
                 '         more\n  other  x\n\n   local code = 1\n   print(code)',
                 reflow(text, 20))
    for width = 8, 60 do -- no word is lost
      assert.equal((text:gsub('%s+', ' ')), (reflow(text, width):gsub('%s+', ' ')))
    end
  end)

  it('is found by words', function()
    local text = help.search('Softmax')
    assert.matches('^  graph:softmax%(', text)
    assert.matches('\n  tensor:log_softmax%(%) +Logarithm of the softmax', text)
    assert.matches('\n  tk%.loss%.softmax%(', text)
    assert.is_nil(text:find('leaky_relu', 1, true))
    assert.equal('no help has the word qwert', help.search('qwert'))
  end)

  it('of a call is that of its function', function()
    local before = rawget(_G, 'tk')
    rawset(_G, 'tk', tk) -- as at the prompt
    finally(function() rawset(_G, 'tk', before) end)
    local of = help.on 'tk.zeros'
    assert.matches('^tk%.zeros%(', of)
    for _, call in ipairs{'tk.zeros(3)', 'tk.zeros (3, f(4));', 'tk.zeros()', 'tk.zeros('} do
      assert.equal(of, (help.on(call)))
    end
    assert.equal(help.on 'tk.zeros(1):sum', (help.on 'tk.zeros(1):sum(2)'))
  end)

  it('knows what was meant', function()
    assert.equal('nothing here is called data; there is tk.data', select(2, help.on 'data'))
    assert.equal('nothing here is called tk.optm: did you mean tk.optim?',
                 select(2, help.on 'tk.optm'))
    assert.equal('nothing here is called qwert; :search finds words in help',
                 select(2, help.on 'qwert'))
  end)
end)

describe('an error at the prompt', function()
  local hints = require 'tinykg.repl.hints'
  local tensor = require 'tinykg.engine.tensor'

  it('says what tk has in the place of a misspelt name', function()
    local function message(text) return hints.explain(select(2, pcall(loadstring(text)))) end
    _G.tk = tk
    assert.matches(': did you mean tk%.optim%?$', message('return tk.optm.adam'))
    assert.matches(': did you mean tk%.randn%?$', message('return tk.rnadn(3)'))
    assert.is_nil(message('local t = {} return t.qwert.x'):find('did you'))
    _G.tk = nil
  end)

  it('points to the comparisons that tensors have', function()
    local _, message = pcall(function() return tk.ones(2) > 0 end)
    tensor.methods.gt = tensor.methods.gt or tensor.methods.relu -- whatever: it is named only
    assert.matches('attempt to compare .*: tensors are compared by a:gt%(b%)',
                   hints.explain(message))
  end)
end)

describe('rows of a data set as text', function()
  local data
  setup(function()
    data = tk.data.load(fixtures.dir{
      ['interactions.csv'] = {'user,item,split', 'ann,x,train', 'ann,y,test', 'bob,y,train'},
      ['items.csv'] = {'item,title', 'x,Dune', 'y,Emma'},
      ['kg.csv'] = {'head,relation,tail', 'x,by,herbert'}})
  end)
  teardown(fixtures.clean)

  it('are by name', function()
    assert.equal('train: 2 rows\nuser  item\nann   x (Dune)\nbob   y (Emma)',
                 tostring(data.train))
    assert.equal('1 triple\nhead      relation  tail\nx (Dune)  by        herbert',
                 tostring(data.graph))
    assert.matches('^interactions of train: 2\n.*\n%.%.%. and 1 more\ntriples: 1\n',
                   tostring(data:head(1)))
    assert.equal('ann took: 2\n   x (Dune)  train\n   y (Emma)  test', tostring(data:user 'ann'))
    assert.matches('^herbert %(entity%): triples: 1\n   <%-  by  x %(Dune%)$',
                   tostring(data:entity 'herbert'))
    assert.has_error(function() data:user 'bobb' end)
  end)

  it('are of a batch, too', function()
    for batch in data:batches{size = 8, shuffle = false, negatives = 1} do
      assert.equal('batch 1: 2 rows\nuser  item      not taken\nann   x (Dune)  y (Emma)\n' ..
                   'bob   y (Emma)  x (Dune)', tostring(batch))
    end
  end)
end)

describe('what watches Ctrl-C', function()
  --- Sends a program two signals 0.6 s apart; it does not react to the first. Returns its output.
  local function after_two(survive)
    local dir = fixtures.dir{['two.lua'] = {
      "local C, clock = require 'tinykg.engine.lib', require 'tinykg.base.clock'",
      "local kill, pid = require('posix.signal').kill, require('posix.unistd').getpid()",
      'C.tkg_interrupt_watch(1)',
      'C.tkg_interrupt_survive(' .. survive .. ')',
      'kill(pid, 2)',
      'local start = clock.now()',
      'while clock.now() < start + 0.6 do end',
      'kill(pid, 2)',
      "print('alive', C.tkg_interrupted(1) ~= 0)"}}
    return (select(2, shell.tinykg(dir .. '/two.lua')))
  end
  teardown(fixtures.clean)

  it('lets a second one end a run, but never a prompt', function()
    assert.equal('', after_two(0))
    assert.equal('alive\ttrue\n', after_two(1))
  end)
end)
