-- Mistakes that users make, in Lua and in recipes: each gives one message, which names their line.
local tk = require 'tinykg'
local source_line = require 'tinykg.base.source_line'
local fixtures = require 'tests.support.fixtures'
local gives = require('tests.support.shell').gives
local library = require 'tinykg.engine.tensor' -- what is not public is not checked

local x23, x32 = tk.ones(2, 3), tk.ones(3, 2)
local w = tk.parameter(tk.ones(3, 1))
local g = tk.graph{head = {0}, relation = {0}, tail = {1}, nodes = 2, relations = 1}

-- {what is typed, what is said}; `return` of a call would drop this file's line, hence the brackets
local MISTAKES = {
  {function() return (tk.zeros(nil)) end, 'zeros: argument 1 is nil, expected a whole number'},
  {function() return (tk.ones(2, 'a')) end,
   'ones: argument 2 is a string, expected a whole number'},
  {function() return (tk.full()) end, 'full: value is nil, expected a number'},
  {function() return (x23:reshape('a')) end,
   'reshape: argument 1 is a string, expected a whole number'},
  {function() return (x23:size('a')) end, 'size: dim is a string, expected a whole number'},
  {function() return (tk.tensor{{{{{1}}}}}) end, 'a tensor has at most 4 dimensions'},
  {function() return (x23:matmul(x32, {transposea = true})) end,
   'matmul: unknown option transposea: did you mean transpose_a? It has: transpose_a transpose_b'},
  {function() return (tk.threads(1.5)) end, 'threads: n is 1.5, expected a whole number'},
  {function() return (tk.loss.bce(tk.ones(2))) end, 'loss.bce: labels is nil, expected a tensor'},
  {function() return (tk.loss.bce(tk.ones(2), tk.ones(2, 1))) end,
   'loss.bce: logits [2] and labels [2, 1]: they must be equal'},
  {function() return (tk.loss.bpr(tk.ones(2), tk.ones(2, 1))) end,
   'loss.bpr: scores [2] and [2, 1] would not be compared row by row'},
  {function() return (tk.loss.softmax(x23)) end, 'loss.softmax: ids is nil, expected a tensor'},
  {function() return (tk.optim.adam(0.1)) end, 'optim.adam: options is 0.1, expected a table'},
  {function() return (tk.optim.adam{lrr = 1}) end,
   'optim.adam: unknown option lrr: did you mean lr? It has: lr'},
  {function() return (tk.optim.adam{lr = 'a'}) end,
   'optim.adam: options.lr is a string, expected a number'},
  {function() return (tk.optim.adam{betas = 0.9}) end,
   'optim.adam: options.betas is 0.9, expected a list'},
  {function() return (tk.optim.adam{betas = {0.9, 2}}) end, 'beta2: 2 is not below 1'},
  {function() tk.optim.adam().lr = 'x' end, 'optim.adam: lr is a string, expected a number'},
  {function() return (tk.step(function() end, {bits = '2'})) end, 'step: bits is a string'},
  {function() return (tk.step(function() end, 2)) end, 'step: options is 2, expected a table'},
  {function() return (tk.step(function() end, {optimizer = {}})) end, 'step: optimizer is not one'},
  {function() return (tk.no_grad(3)) end, 'no_grad: fn is 3, expected a function'},
  {function() return (tk.no_grad(function() return 3 end)) end,
   'no_grad: the function must return tensors, not a number'},
  {function() return (tk.bits(8)) end, 'bits: fn is nil, expected a function'},
  {function() return (tk.nn.Linear()) end, 'nn.Linear: inputs is nil, expected a whole number'},
  {function() return (tk.nn.Linear(2, 3)(nil)) end,
   'nn.Linear:forward: x is nil, expected a tensor'},
  {function() return (tk.nn.Embedding(2)) end, 'nn.Embedding: d is nil, expected a whole number'},
  {function() return (tk.nn.Dropout()) end, 'nn.Dropout: p is nil, expected a number'},
  {function() return (tk.nn.Sequential(1)(x23)) end,
   'nn.Sequential: argument 1 is 1, expected a module or a function'},
  {function() return (setmetatable({}, tk.nn.class('X'))(1)) end, 'X has no function forward'},
  {function() return (tk.graph()) end, 'graph: expected {head = ids'},
  {function() return (tk.graph{heads = {}}) end, 'graph: unknown option heads'},
  {function() return (tk.graph{head = {}, relation = {}, tail = {}, nodes = 'a'}) end,
   'graph: nodes is a, expected how many there are'},
  {function() return (tk.graph{head = {5}, relation = {0}, tail = {0}, nodes = 1,
                               relations = 1}) end, 'graph: triple 0 is (5, 0, 0)'},
  {function() return (g:sample({0}, 2)) end, 'sample: ids is a table, expected a tensor'},
  {function() return (g:sample(tk.ids{0})) end, 'sample: k is nil, expected a whole number'},
  {function() return (tk.metrics.ranking()) end,
   'metrics.ranking: options is nil, expected a table or a module'},
  {function() return (tk.metrics.ranking({}, 3)) end, 'ranking: expected a data set'},
  {function() return (tk.metrics.auc({1, 2}, {1})) end, 'auc: 2 scores but 1 labels'},
  {function() return (tk.data.load()) end, 'data.load: dir is nil, expected a string'},
}

describe('a mistake', function()
  it('is said in words, with the line where it was made', function()
    for _, case in ipairs(MISTAKES) do
      local line = debug.getinfo(case[1], 'S').linedefined
      local ok, message = pcall(case[1])
      assert(not ok, 'no error from line ' .. line)
      local file, at, said = tostring(message):match('^(%S+):(%d+): (.*)$')
      assert(file and file:match('error_messages_spec%.lua$') and tonumber(at) >= line
             and tonumber(at) <= line + 1, message)
      assert.equal(case[2], said:sub(1, #case[2]))
      assert.is_nil(said:find('\n'))
    end
  end)

  it('that Lua notices inside the library is the line of the caller', function()
    local handler, line = source_line.handler, debug.getinfo(1, 'l').currentline + 1
    local ok, message = xpcall(function() local y = library.create(2) return y end, handler)
    assert.is_false(ok)
    assert.matches('error_messages_spec.lua:' .. line .. ": attempt to get length .* " ..
                   '%(tinykg/engine/tensor.lua:%d+%)$', message)
  end)

  it('inside a step is the line inside', function()
    local line = debug.getinfo(1, 'l').currentline + 2
    local step = tk.step(function(x)
      local y = library.create(x)
      return y
    end)
    local ok, message = pcall(step, x23)
    assert.is_false(ok)
    assert.matches('error_messages_spec.lua:' .. line .. ': attempt to get length', message)
  end)

  it('in a call that Lua dropped is the function of the step', function()
    local line = debug.getinfo(1, 'l').currentline + 1
    local fn = function() return tk.loss.bce(w) end
    local ok, message = xpcall(coroutine.wrap(function() return (tk.step(fn)()) end), tostring)
    assert.is_false(ok)
    assert.matches('error_messages_spec.lua:%d+: loss.bce: labels is nil', message)
    assert.is_true(tonumber(message:match('spec.lua:(%d+)')) <= line + 1)
  end)
end)

describe('looking', function()
  it('gives words, not addresses', function()
    assert.matches('bytes +live +peak\n.*\ntotal +%d+ +%d+$', tostring(tk.memory()))
    assert.matches('^graph: 2 nodes, 1 relation, 1 edge; degree mean 0.5', tostring(g:info()))
    assert.equal(tostring(g), tostring(g:info()))
  end)

  it('makes scalars of no dimensions', function()
    assert.same({}, tk.zeros():size())
    assert.equal(3, tk.full(3):item())
    assert.same({2, 3}, tk.ones{2, 3}:size())
  end)

  it('lets no_grad return nothing', function()
    assert.equal(0, select('#', tk.no_grad(function() end)))
  end)
end)

-- ---- recipes ----

local MODEL = [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:loss(b) return tk.loss.bpr(tk.dot(self.u(b.users), self.i(b.items)):reshape(-1, 1),
  (self.u(b.users):reshape(-1, 1, 4) * self.i(b.negatives)):sum(3)) end
function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
local function build(d)
  return setmetatable({u = tk.nn.Embedding(d.users, 4), i = tk.nn.Embedding(d.items, 4)}, M)
end
]]

-- {the recipe's line 9, what is said}
local RECIPES = {
  {"return tk.recipe{name = 'X'}", 'bad.lua: recipe X: it needs a function build'},
  {"return tk.recipe{name = 'X', biuld = build}",
   'bad.lua: recipe X: no field biuld: did you mean build? It has:'},
  {"return tk.recipe{name = '../x', build = build}", "bad.lua: recipe: the name '../x' is not"},
  {"return tk.recipe{name = 'X', build = build, options = 3}", 'recipe X: options is a number'},
  {"return {name = 'X'}", 'bad.lua: a recipe returns tk.recipe{...}'},
  {"return tk.recipe{name = 'X', build = function() end}",
   'bad.lua:9: recipe X: build must return a module'},
  {"return tk.recipe{name = 'X', build = function() return tk.nn.Linear() end}",
   'bad.lua:9: nn.Linear: inputs is nil, expected a whole number'},
  {"function M:loss(b) return tk.loss.bce(self:score(b.users, b.items), b.labels) end " ..
   "return tk.recipe{name = 'X', build = build}", 'bad.lua:9: loss.bce: labels is nil'},
  {"function M:loss(b) return self.u(b.users) end return tk.recipe{name = 'X', build = build}",
   'bad.lua:9: backward: a loss is one number'},
  {"function M:loss() end return tk.recipe{name = 'X', build = build}",
   'bad.lua:9: step: the function must return the loss'},
  {"function M:loss() return self.u(tk.ids{99}):sum() end " ..
   "return tk.recipe{name = 'X', build = build}", 'bad.lua:9: gather: id 99 at position 0'},
  {"function M:score(u) return self.u(u) end return tk.recipe{name = 'X', build = build}",
   'bad.lua:9: score: returned ['},
  {"function M:rank(u) return self.u(u) end return tk.recipe{name = 'X', build = build}",
   'bad.lua:9: rank: returned ['},
}

local function tinykg(status, arguments, pattern)
  return gives(status, './tinykg ' .. arguments, pattern)
end

describe('a user\'s own', function()
  local dir, rows
  setup(function()
    rows = {'user,item,rating'}
    for u = 1, 12 do
      for i = 0, 7 do rows[#rows + 1] = ('reader %d,book %d,%d'):format(u, (u * 5 + i) % 17, 3) end
    end
    dir = fixtures.dir{['interactions.csv'] = rows,
                       ['kg.csv'] = {'head,relation,tail', 'book 1,by,Woolf', 'book 2,by,Woolf'}}
  end)
  teardown(fixtures.clean)

  local function run(status, arguments, pattern)
    return tinykg(status, 'run ' .. arguments .. ' --quiet --data ' .. dir, pattern)
  end

  it('tables train, ranked', function()
    fixtures.write(dir .. '/good.lua', MODEL .. "return tk.recipe{name = 'X', build = build}")
    run(0, dir .. '/good.lua --set epochs=2 --out ' .. dir .. '/run', 'recall@20 +%d')
  end)

  it('recipe is blamed for its mistakes', function()
    for _, case in ipairs(RECIPES) do
      fixtures.write(dir .. '/bad.lua', MODEL .. case[1])
      local text = run(1, dir .. '/bad.lua --set epochs=1 --out ' .. dir .. '/bad')
      assert(text:find(case[2], 1, true), text .. 'expected ' .. case[2])
      assert.equal(1, select(2, text:gsub('\n', '')), text)
    end
  end)

  it('script is blamed, with the calls that led there', function()
    fixtures.write(dir .. '/script.lua', "local tk = require 'tinykg'\n" ..
      "local function inner() local y = require('tinykg.engine.tensor').create(2) return y end\n" ..
      "local function outer() local y = inner() return y end\nouter()\n")
    tinykg(1, dir .. '/script.lua',
      '^tinykg: %S+/script.lua:2: attempt to get length [^\n]*\n' ..
      '  %S+script.lua:2: in inner\n  %S+script.lua:3: in outer\n' ..
      '  %S+script.lua:4\n$')
  end)

  it('earlier run stays when its folder is used again', function()
    local out = dir .. '/again'
    local begin = 'recipes/bpr-mf.lua --set epochs=1 --out ' .. out .. ' --seed '
    run(0, begin .. 1)
    local kept = fixtures.bytes(out .. '/summary.json')
    run(1, begin .. 2,
      '/again: holds a finished run with other settings: seed was 1 and is 2 now: ' ..
      'name another %-%-out, or %-%-force moves it to previous/\n$')
    run(1, begin .. 1, '/again: holds this run, finished: %-%-resume shows its result.*%-%-force')
    assert.equal(kept, fixtures.bytes(out .. '/summary.json'))
    for n, seed in ipairs{2, 3} do -- what --force moves away is never overwritten either
      run(0, begin .. seed .. ' --force')
      assert.matches('"seed": ' .. seed, fixtures.bytes(out .. '/summary.json'))
      local aside = out .. '/previous' .. (n == 1 and '' or '-' .. n)
      assert.matches('"seed": ' .. seed - 1, fixtures.bytes(aside .. '/summary.json'))
      assert.is_truthy(io.open(aside .. '/best.safetensors'))
    end
    run(2, 'recipes/bpr-mf.lua --out ' .. out .. ' --force --resume', 'take one')
  end)

  it('folder that is no run\'s is not written over', function()
    local mine = fixtures.dir{['recipe.lua'] = 'return 1', ['notes.txt'] = 'x'}
    run(1, 'recipes/bpr-mf.lua --set epochs=1 --out ' .. mine,
      'there is a recipe.lua, but no config.json')
    fixtures.write(mine .. '/config.json', '{"hidden_size": 768}') -- another program's
    run(1, 'recipes/bpr-mf.lua --set epochs=1 --out ' .. mine,
      '/config.json: not as a run writes it: %w+ is not there, expected')
    assert.equal('return 1', fixtures.bytes(mine .. '/recipe.lua'))
  end)

  it('data is not overwritten by the generated set', function()
    tinykg(1, 'data demo ' .. dir, 'there are other files in this folder')
  end)

  it('parameters are saved without validation too', function()
    local out = dir .. '/unvalidated'
    run(0, 'recipes/bpr-mf.lua --set epochs=1 --data-set ratios=0.8,0,0.2 --out ' ..
                           out)
    assert.is_truthy(io.open(out .. '/best.safetensors'))
  end)

  it('columns can be named on the command line', function()
    local other = fixtures.dir{['interactions.csv'] = {'reader,book', 'a,x', 'b,y'}}
    tinykg(0, 'data info ' .. other .. ' --data-set columns=user:reader,item:2', 'users +2')
  end)

  it('metric is checked before training', function()
    run(1, 'recipes/bpr-mf.lua --set metric=recall@50 --out ' .. dir .. '/metric',
      'option metric: recall@50 is not measured here; there are: recall@10')
    assert.is_nil(io.open(dir .. '/metric/log.jsonl'))
  end)

  it('full disk is noticed on standard output', function()
    if not io.open('/dev/full') then pending('no /dev/full') end
    tinykg(1, 'help >/dev/full', '^tinykg: standard output: ')
  end)

  it('ranking through Lua: a model, its scores and the data set agree', function()
    local data = tk.data.load(dir)
    local M = tk.nn.class('M')
    function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
    local model = setmetatable({u = tk.nn.Embedding(data.users, 4),
                                i = tk.nn.Embedding(data.items, 4)}, M)
    local by_pairs = tk.metrics.ranking(model, data, {k = {3, 5}})
    local scores = model.u.weight:matmul(model.i.weight, {transpose_b = true})
    assert.same(by_pairs, tk.metrics.ranking(scores, data, {k = {3, 5}}))
    assert.is_number(by_pairs['recall@5'])
    assert.is_true(by_pairs['recall@3'] <= by_pairs['recall@5'])
    -- perfect scores find what is to be found
    local perfect = tk.zeros(data.users, data.items):totable()
    for i = 0, data.test.n - 1 do
      perfect[data.test.users[i] + 1][data.test.items[i] + 1] = 1
    end
    assert.equal(1, tk.metrics.ranking(tk.tensor(perfect), data, {k = 5})['recall@5'])
    assert.equal(1, tk.metrics.auc(tk.tensor{-1, 2, 0.5}, tk.tensor{0, 1, 1}))
    assert.has_error(function() tk.metrics.ranking(tk.ones(2, 2), data) end)
  end)
end)
