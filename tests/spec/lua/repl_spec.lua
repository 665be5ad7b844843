-- The prompt as a user meets it, in a pseudo-terminal.
local fixtures = require 'tests.support.fixtures'
local terminal = require 'tests.support.terminal'

local UP, CTRL_C, CTRL_D = '\27[A', '\3', '\4'

describe('the prompt', function()
  local state, open, opened
  setup(function() state = fixtures.dir() end)
  before_each(function() opened = nil end)
  after_each(function() if opened then opened:close() end end)
  teardown(fixtures.clean)

  function open(environment, ...)
    environment = environment or {}
    environment.XDG_STATE_HOME = environment.XDG_STATE_HOME or state
    opened = terminal.open(environment, ...)
    return opened
  end

  --- A session at its first prompt.
  local function begun(...)
    local t = open(...)
    t:see('tk> ')
    return t
  end

  it('says what it is in two lines', function()
    local t = open()
    local banner = t:see('tk> ')
    assert.matches('^tinykg %S+ on cpu, %d+ threads?.*\n.*%? for help.*\n$', banner)
    assert.equal(2, select(2, banner:gsub('\n', '')))
  end)

  it('shows what an expression gives, each value of several', function()
    local t = begun()
    assert.equal('3', t:ask('1 + 2'))
    assert.equal('a\nb\nnil\ntrue', t:ask([['a\nb', nil, true]]))
    assert.equal('{1, 2, b = "c"}', t:ask("{1, 2, b = 'c'}"))
    assert.equal('', t:ask('1 + 2;'))
    assert.equal('', t:ask('x = tk.tensor{{1, 2}, {3, 4}}'))
    assert.matches('^f32 %[2, 2%] cpu  mean 2%.5 .*\n +1 +2\n +3 +4$', t:ask('x'))
    assert.equal('10', t:ask('x:sum():item()'))
    assert.matches('^graph: 3 nodes, 1 relation, 2 edges; degree mean 0%.7 max 2, 2 isolated$',
      t:ask('tk.graph{head = {0, 0}, relation = {0, 0}, tail = {1, 2}, nodes = 3, relations = 1}'))
  end)

  it('goes on where something is missing, and only there', function()
    local t = begun()
    t:type('for i = 1, 2 do\n'):see('  > ')
    t:type('print(10 * i)\n'):see('  > ')
    t:type('end\n'):see('end\n')
    assert.equal('10\n20\n', t:see('tk> '))
    t:type('math.max(1,\n'):see('  > ')
    t:type('5)\n'):see('5)\n')
    assert.equal('5\n', t:see('tk> '))
    assert.equal("stdin:1: '=' expected near 'b'", t:ask('a b'))
    assert.equal("stdin:1: unexpected symbol near '*'", t:ask('1 + * 2'))
    t:type('f(\n'):see('  > ')
    t:type(CTRL_C):see('tk> ')
    assert.equal('1', t:ask('1'))
  end)

  it('takes several lines at once, as from a paste', function()
    local t = begun()
    t:type('\27[200~function twice(v)\n  return 2 * v\nend\ntwice(21)\n\27[201~\n'):see('\n42\n')
    t:see('tk> ')
    assert.equal('8', t:ask('twice(4)'))
  end)

  it('says what went wrong and goes on', function()
    local t = begun()
    assert.equal("stdin:1: attempt to index global 'nothing' (a nil value)", t:ask('nothing.x'))
    assert.matches('^stdin:1: matmul: f32 %[2, 3%] and f32 %[2, 3%] do not fit',
                   t:ask('tk.ones(2, 3):matmul(tk.ones(2, 3))'))
    t:ask('function f() error("no luck") end')
    local trace = t:ask('f()')
    assert.matches('^stdin:1: no luck\n  stdin:1: in f\n  stdin:1$', trace)
    assert.equal('{code = 7}', t:ask('error{code = 7}'))
    t:ask('bad = setmetatable({}, {__tostring = function() error("bad") end})')
    assert.matches('^an error that cannot be shown: .*bad$', t:ask('error(bad)'))
    t:ask('function g(a, b) return g(a, b) + 1 end')
    local lines = select(2, t:ask('g()'):gsub('\n', ''))
    assert(lines <= 21, lines .. ' lines of a recursion without end')
    assert.equal('2', t:ask('1 + 1'))
  end)

  it('keeps locals, but not in the place of Lua\'s own', function()
    local t = begun()
    t:ask('local a, b = 1, 2; local c = a + b')
    assert.equal('1\n2\n3', t:ask('a, b, c'))
    t:ask('local function inc(v) return v + 1 end')
    assert.equal('8', t:ask('inc(7)'))
    assert.matches('local string: .* only', t:ask('local string = 1'))
    assert.equal('"A"', t:ask("string.upper('a')"))
  end)

  it('completes names, fields, methods, commands and files', function()
    local dir = fixtures.dir{['sample.lua'] = {'return 5'}}
    local t = begun()
    t:ask('x = tk.ones(2)')
    t:type('tk.opt\t'):see('tk.optim')
    t:type('.ad\t\t\t'):see('adagrad  adam')
    t:type('m{}\n'):see('adam(lr = 0.001)\n')
    t:see('tk> ')
    t:type('x:leaky\t'):see('x:leaky_relu')
    t:type('(0):sum():item()\n'):see('\n2\n')
    t:see('tk> ')
    t:type("dofile('" .. dir .. "/sam\t"):see('sample.lua')
    t:type("')\n"):see('\n5\n')
    t:see('tk> ')
    t:type(':ti\t'):see(':time')
    t:type(' 1 + 1\n'):see('\n2\n')
    t:see('ms\n')
  end)

  it('ends on Ctrl-D and on what people type to leave', function()
    local t = begun()
    t:type('f(1,\n'):see('  > ')
    t:type(CTRL_D):see('tk> ') -- gives up what was begun
    t:type(CTRL_D)
    assert.equal(0, t:ended())
    t = begun()
    t:type('quit()\n')
    assert.equal(0, t:ended())
    t = begun()
    t:ask('exit = 5')
    assert.equal('5', t:ask('exit'))
    t:close()
  end)

  it('keeps its history from one session to the next', function()
    local own = fixtures.dir()
    local t = begun{XDG_STATE_HOME = own}
    t:ask('answer = 41 + 1')
    t:type(CTRL_D)
    assert.equal(0, t:ended())
    t = begun{XDG_STATE_HOME = own}
    t:type(UP):see('answer = 41 + 1')
    t:type('\n'):see('tk> ')
    assert.equal('42', t:ask('answer'))
    t:type(CTRL_D)
    assert.equal(0, t:ended())
    assert.equal('answer = 41 + 1\nanswer\n', fixtures.bytes(own .. '/tinykg/history'))
  end)

  it('does without a history where none can be written', function()
    local t = open{XDG_STATE_HOME = '/proc/nowhere'}
    assert.matches('the history is not kept: /proc/nowhere', t:see('tk> '))
    assert.equal('2', t:ask('1 + 1'))
  end)

  it('helps from the comments', function()
    local file = fixtures.dir{['own.lua'] = {'--- Mine: half of v.', '---@param v number',
                                             'function half(v) return v / 2 end'}} .. '/own.lua'
    local t = begun()
    local text = t:ask('? tk.optim.adam')
    assert.matches('^tk%.optim%.adam%(options%)\n', text)
    assert.matches('Kingma & Ba 2015', text)
    assert.matches('lua/tinykg/engine/optim%.lua:%d+$', text)
    t:ask('x = tk.ones(2, 3)')
    assert.matches('^x:relu%(%)\n  max%(x, 0%)%. Backward reads .-\n', t:ask('?x:relu'))
    text = t:ask('? x')
    assert.matches('^x = f32 %[2, 3%]\n', text)
    assert.matches('\n  :relu%(%) +max%(x, 0%)%.', text)
    assert.matches('\n  tk%.optim +Optimizers: SGD, Adam, AdamW, Adagrad%.\n', t:ask('? tk'))
    t:ask(':load ' .. file)
    assert.matches('^half%(v%)\n  Mine: half of v%.\n  v: number\n', t:ask('? half'))
    assert.matches('^nothing here is called nosuch', t:ask('? nosuch'))
    for _, word in ipairs{'?', 'help', ':help'} do assert.matches(':time CODE', t:ask(word)) end
    assert.matches('^adam%(options%)\n', t:ask('help(tk.optim.adam)'))
  end)

  local drawn = fixtures.has_tool('gnuplot') and it or pending
  drawn('draws at the size of the terminal', function()
    local t = begun()
    local drawing = t:ask('tk.plot{1, 4, 9}')
    assert.matches('%*%*%*', drawing)
    for line in drawing:gmatch('[^\n]+') do assert.is_true(#line < 80, line) end
  end)

  it('keeps the last value, shows names, counts rows', function()
    local t = begun()
    t:ask('6 * 7')
    assert.equal('43', t:ask('_ + 1'))
    assert.matches('^function tk%.optim%.adam%(options%)', t:ask('tk.optim.adam'))
    t:ask('a = tk.tensor{{1, 2}, {3, 4}}')
    assert.matches('\n +3 +4$', t:ask('a[2]'))
    assert.equal('4', t:ask('a[-1][2]:item()'))
    assert.matches('a:size%(1%) is 2', t:ask('#a'))
    assert.is_nil(t:ask(':who'):find('\n_ '))
  end)

  it('has colours where they are wanted', function()
    local t = begun()
    t:ask('nothing.x')
    assert.matches('\27%[31mstdin:1: attempt', t.seen)
    t:close()
    t = begun{NO_COLOR = '1'}
    t:ask('nothing.x')
    assert.is_nil(t.seen:find('\27%[%d*m'))
  end)

  it('loads an edited file and its modules again', function()
    local dir = fixtures.dir{['part.lua'] = {'return 1'},
                             ['whole.lua'] = {"value = require 'part' + 1"}}
    local t = begun()
    t:ask(':load ' .. dir .. '/whole.lua')
    assert.equal('2', t:ask('value'))
    fixtures.write(dir .. '/part.lua', 'return 10')
    t:ask(':reload')
    assert.equal('11', t:ask('value'))
    t:close()
    t = begun()
    assert.matches('nothing yet', t:ask(':reload'))
  end)

  it('has commands', function()
    local file = fixtures.dir{['some.lua'] = {'#!/usr/bin/env tinykg', 'local hidden = 5',
                                              'shown = hidden * 2'}} .. '/some.lua'
    local t = begun()
    assert.matches('^no names yet', t:ask(':who'))
    assert.equal('', t:ask(':load ' .. file))
    assert.equal('5\n10', t:ask('hidden, shown'))
    t:ask('w = tk.parameter(tk.ones(3, 4))')
    local who = t:ask(':who')
    assert.matches('hidden +5\n', who)
    assert.matches('w +48 B  f32 %[3, 4%]$', who)
    assert.matches('^3\n%S+ ms$', t:ask(':time 1 + 2'))
    assert.matches('parameter +48 +48\n', t:ask(':mem'))
    assert.matches('^no command :dance; there are :help :load :mem :quit :reload :search :time ' ..
                     ':who$',
                   t:ask(':dance'))
    assert.matches('nosuch%.lua: No such file', t:ask(':load nosuch.lua'))
    assert.equal('', t:ask((':load "%s"'):format(file)))
    assert.matches('^/%S*/nosuch%.lua: No such file', t:ask(':load ~/nosuch.lua'))
    assert.matches('^  :time CODE +runs it and says', t:ask('? :time'))
    assert.matches('^tk%.ones%(', t:ask('help tk.ones'))
    assert.matches('^w = f32 %[3, 4%]', t:ask('? w:'))
    t:type(':quit\n')
    assert.equal(0, t:ended())
  end)
end)

describe('Ctrl-C at the prompt', function()
  local state, t
  setup(function() state = fixtures.dir() end)
  before_each(function()
    t = terminal.open{XDG_STATE_HOME = state}
    t:see('tk> ')
  end)
  after_each(function() t:close() end)
  teardown(fixtures.clean)

  --- Types what prints `begun` and then takes forever; stops it.
  local function stops(line)
    t:type(line .. '\n'):see('\nbegun\n')
    t:type(CTRL_C):see('interrupted\n')
    t:see('tk> ')
    assert.equal('2', t:ask('1 + 1'))
  end

  it('clears the line', function()
    t:type('garbage that is not'):see('not')
    t:type(CTRL_C):see('tk> ')
    t:type(CTRL_C):see('tk> ')
    assert.equal('2', t:ask('1 + 1'))
  end)

  it('stops a run of the engine', function()
    t:ask('x = tk.randn(400, 400) * 0.05; y = x')
    t:ask('for i = 1, 4000 do y = y:matmul(x) end')
    stops('print("begun") print(y)')
    assert.matches('^f32 %[400, 400%]', t:ask('x + 0'))
  end)

  it('stops loops in Lua, typed or loaded, whatever they call', function()
    local file = fixtures.dir{['spin.lua'] = {'function spin() while true do end end'}}
    stops('print("begun") while true do end')
    stops('print("begun") while true do pcall(error) end')
    stops('print("begun") while true do local z = tk.ones(2):relu() z:sum():item() end')
    t:ask(':load ' .. file .. '/spin.lua')
    stops('print("begun") spin()')
    stops('print("begun") while true do pcall(spin) end')
    stops('print("begun") while true do coroutine.wrap(function() pcall(spin) end)() end')
  end)

  it('stops a step, which goes on afterwards', function()
    t:ask('w = tk.parameter(tk.ones(300, 300))')
    t:ask('s = tk.step(function(v) return (v:matmul(w)):square():mean() end)')
    stops('print("begun") while true do s(tk.randn(300, 300)) end')
    assert.matches('^0$', t:ask('s(tk.zeros(300, 300))'))
  end)
end)

describe('-i', function()
  local state, t
  setup(function() state = fixtures.dir() end)
  after_each(function() t:close() end)
  teardown(fixtures.clean)

  it('runs a file, then asks', function()
    local file = fixtures.dir{['a.lua'] = {'local n = #arg', 'first = ...', 'print("ran")'}}
    t = terminal.open({XDG_STATE_HOME = state}, '-i', file .. '/a.lua', 'one', 'two')
    t:see('\nran\n')
    t:see('tk> ')
    assert.equal('2\n"one"', t:ask('n, first'))
  end)

  it('asks after an error, too', function()
    local file = fixtures.dir{['a.lua'] = {'x = 3', '', 'error("stop")'}}
    t = terminal.open({XDG_STATE_HOME = state}, '-i', file .. '/a.lua')
    t:see('a.lua:3: stop\n')
    t:see('tk> ')
    assert.equal('3', t:ask('x'))
  end)

  it('runs a line, on either side of it', function()
    t = terminal.open({XDG_STATE_HOME = state}, '-i', '-e', 'local x = tk.ones(2)')
    t:see('tk> ')
    assert.equal('2', t:ask('x:sum():item()'))
    t:close()
    t = terminal.open({XDG_STATE_HOME = state}, '-e', 'x = 4', '-i')
    t:see('tk> ')
    assert.equal('4', t:ask('x'))
  end)
end)

describe('the prompt without lua-readline', function()
  it('still reads lines, and says how to get more', function()
    local none = fixtures.dir{['readline.lua'] = {'error("not here")'}}
    local t = terminal.open{LUA_PATH = none .. '/?.lua;;'}
    assert.matches('apt%-get install lua%-readline', t:see('tk> '))
    assert.equal('3', t:ask('1 + 2'))
    t:type('half a l'):see('half a l')
    t:type(CTRL_C):see('tk> ')
    assert.equal('4', t:ask('2 + 2'))
    t:type(CTRL_D)
    assert.equal(0, t:ended())
    fixtures.clean()
  end)
end)
