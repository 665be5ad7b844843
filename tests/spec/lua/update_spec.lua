-- Groups of parameters, gradients of several batches, vectors to begin with.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local tables = require 'tinykg.base.tables'
local tk = require 'tinykg'

local W, G = {1, -2, 0.5}, {0.3, -0.1, 2} -- parameter and gradient

--- A step whose gradient of each parameter is G.
local function step_of(optimizer, ...)
  local list, g = {...}, tk.tensor(G)
  return tk.step(function()
    local loss
    for _, w in ipairs(list) do
      local part = (w * g):sum()
      loss = loss and loss + part or part
    end
    return loss
  end, {optimizer = optimizer})
end

local function assert_near(expected, found)
  for i, x in ipairs(expected) do assert.near(x, found[i], 1e-6) end
end

local function each(fn)
  local list = {}
  for i = 1, #W do list[i] = fn(W[i], G[i]) end
  return list
end

describe('the gradient of a parameter', function()
  it('can be set, and is what update() and the next backward() see', function()
    local w = tk.parameter(tk.tensor{1, 1});
    (w * 10):sum():backward()
    local before = w.grad
    w.grad = before * 0.5
    assert.same({5, 5}, w.grad:totable())
    assert.same({10, 10}, before:totable())
    tk.optim.sgd{lr = 1}:update()
    assert.same({-4, -4}, w:totable())
    assert.is_nil(w.grad);
    (w * 3):sum():backward()
    assert.same({3, 3}, w.grad:totable())
  end)

  it('can be set where there is none, to a copy', function()
    local w, g = tk.parameter(tk.tensor{{1, 2}}), tk.tensor{{4, 5}}
    w.grad = g
    g:write{0, 0}
    tk.optim.sgd{lr = 1}:update()
    assert.same({{-3, -3}}, w:totable())
  end)

  it('of a parameter in 16 bits is f32', function()
    local w = tk.parameter(tk.ones(2), {bits = 16})
    w.grad = tk.tensor{0.1, 0.2}
    assert_near({0.1, 0.2}, w.grad:totable())
    tk.optim.adam{lr = 1}:update()
    assert_near({0, 0}, w:totable())
  end)

  it('can be dropped', function()
    local w = tk.parameter(tk.tensor{1, 1});
    (w * 10):sum():backward()
    w.grad = nil
    assert.is_nil(w.grad)
    assert.matches('update: no parameter has a gradient',
                   fixtures.message(function() tk.optim.sgd{lr = 1}:update() end))
    assert.same({1, 1}, w:totable())
  end)
end)

describe('an optimizer that takes the place of another', function()
  it('gets plans of its own, wherever it lies', function()
    for _ = 1, 20 do
      local w = tk.parameter(tk.zeros(2))
      local step = tk.step(function() return w:sum() end, {optimizer = tk.optim.adam{lr = 1}})
      for _ = 1, 3 do step() end
      w:write{0, 0}
      step.optimizer = nil
      collectgarbage()
      step.optimizer = tk.optim.adam{lr = 1}
      step()
      assert_near({-1, -1}, w:totable()) -- as the first step of Adam
      assert.equal(2, step:figure 'plans')
    end
  end)
end)

describe('an update', function()
  it('leaves frozen parameters as they are, whatever they had before', function()
    local w, v = tk.parameter(tk.tensor{1}), tk.parameter(tk.tensor{2})
    local optimizer = tk.optim.sgd{lr = 1, clip = 1e9};
    (w * v):sum():backward()
    tk.optim.group({w}, {frozen = true})
    assert.is_nil(w.grad)
    local loss = (w * v):sum()
    loss:backward()
    optimizer:update()
    assert.same({1}, w:totable())
    assert.same({1}, v:totable())
    tk.optim.group({w}, {frozen = false});
    (w * v):sum():backward()
    optimizer:update()
    assert.same({0}, w:totable())
    assert.same({0}, v:totable())
  end)

  it('is of all parameters that have a gradient, from the last backward() that gave one', function()
    local w, v = tk.parameter(tk.tensor{1}), tk.parameter(tk.tensor{2})
    local optimizer = tk.optim.sgd{lr = 1};
    (w * 4):sum():backward();
    (w * 3):sum():backward();
    (v * 5):sum():backward()
    assert.same({3}, w.grad:totable())
    optimizer:update()
    assert.same({-2}, w:totable())
    assert.same({-3}, v:totable())
    assert.is_nil(w.grad)
    assert.is_nil(v.grad)
  end)

  it('takes parameters in the order in which they were made, wherever they lie', function()
    local list, optimizer = {}, tk.optim.adam()
    for i = 1, 40 do
      list[i] = tk.parameter(tk.ones(1))
    end
    for i = 40, 1, -1 do list[i].grad = tk.ones(1) end
    optimizer:update()
    tk.parameter(list[1]) -- once more: its place stays
    assert.equal(40, #optimizer:parameters())
    for i, t in ipairs(optimizer:parameters()) do assert.equal(list[i], t) end
  end)

  it('that clips has the same bits in each process', function()
    local script = fixtures.dir{['x.lua'] = [[
      local tk = require 'tinykg'
      local held = {}
      for i = 1, tonumber(arg[1]) do held[i] = {} end
      local list = {}
      for i = 1, 40 do
        list[i] = tk.parameter(tk.zeros(7))
        list[i].grad = tk.randn(7) * i
      end
      tk.optim.sgd{lr = 1, clip = 1}:update()
      for i = 1, 40 do io.write(('%a '):format(list[i]:totable()[3])) end
    ]]} .. '/x.lua'
    local first
    for i = 0, 9 do
      local luajit = os.getenv 'LUAJIT' or 'luajit'
      local text = shell.gives(0, ('%s %s %d'):format(luajit, script, i * 3))
      first = first or text
      assert.equal(first, text)
    end
  end)
end)

describe('a group of parameters', function()
  it('has a learning rate and a weight decay of its own', function()
    local sgd = {tk.optim.sgd{lr = 0.1, weight_decay = 0.2}, function(lr, decay)
      return each(function(w, g) return w - lr * (g + decay * w) end)
    end}
    local momentum = {tk.optim.sgd{lr = 0.1, momentum = 0.9, weight_decay = 0.2}, sgd[2]}
    local adagrad = {tk.optim.adagrad{lr = 0.1, weight_decay = 0.2}, function(lr, decay)
      return each(function(w, g)
        local d = g + decay * w
        return w - lr * d / math.abs(d)
      end)
    end}
    local adam = {tk.optim.adam{lr = 0.1, weight_decay = 0.2}, adagrad[2]} -- its first step
    local adamw = {tk.optim.adamw{lr = 0.1, weight_decay = 0.2}, function(lr, decay)
      return each(function(w, g) return w * (1 - lr * decay) - lr * g / math.abs(g) end)
    end}
    for _, case in ipairs{sgd, momentum, adagrad, adam, adamw} do
      local plain, slow = tk.parameter(tk.tensor(W)), tk.parameter(tk.tensor(W))
      local bare = tk.parameter(tk.tensor(W))
      tk.optim.group({slow}, {lr = 0.25})
      tk.optim.group({bare}, {weight_decay = 0})
      step_of(case[1], plain, slow, bare)()
      assert_near(case[2](0.1, 0.2), plain:totable())
      assert_near(case[2](0.025, 0.2), slow:totable())
      assert_near(case[2](0.1, 0), bare:totable())
    end
  end)

  it('can be changed between steps, and holds for batches of each size', function()
    local rows = tk.parameter(tk.zeros(10, 2))
    local step = tk.step(function(ids) return rows:gather(ids):sum() end,
                         {optimizer = tk.optim.sgd{lr = 1}})
    step(tk.ids{0, 1, 2})
    tk.optim.group({rows}, {lr = 0.25})
    step(tk.ids{3, 4, 5})
    step(tk.ids{6, 7})
    tk.optim.group({rows}, {lr = 0.25})
    step(tk.ids{6, 7})
    tk.optim.group({rows}, {lr = 1})
    step(tk.ids{8, 8, 9})
    assert.equal(2, step:figure 'plans') -- one for each size, whatever the rate
    local first = tables.map(rows:totable(), function(row) return row[1] end)
    assert.same({-1, -1, -1, -0.25, -0.25, -0.25, -0.5, -0.5, -2, -1}, first)
    tk.optim.group({rows}, {weight_decay = 1})
    step(tk.ids{0, 1, 2})
    assert.same({-1, -1}, rows:totable()[1]) -- less the gradient, and less itself
    assert.equal(3, step:figure 'plans')
  end)

  it('can be changed at every step, for which one plan is enough', function()
    local w, sum = tk.parameter(tk.zeros(2)), 0
    local step = tk.step(function() return w:sum() end, {optimizer = tk.optim.sgd{lr = 1}})
    for k = 1, 40 do
      tk.optim.group({w}, {lr = 1 / k})
      step()
      sum = sum + 1 / k
    end
    assert_near({-sum, -sum}, w:totable())
    assert.equal(1, step:figure 'plans')
  end)

  it('holds for tables in few bytes too', function()
    local n, d = 256, 16
    local function moved(options, factor)
      tk.seed(3)
      local w, g = tk.parameter(tk.ones(n, d)), tk.ones(n, d)
      if factor then tk.optim.group({w}, {lr = factor}) end
      tk.step(function() return (w * g):sum() end,
              {optimizer = tk.optim.adam(options)})()
      return 1 - w:totable()[7][3]
    end
    for _, options in ipairs{{lr = 0.01, bits = 8}, {lr = 0.01, rowwise = true}} do
      assert.near(0.01, moved(options), 1e-6)
      assert.near(0.005, moved(options, 0.5), 1e-6)
    end
  end)

  it('stays as it is if it is frozen, without gradient and state', function()
    local w, frozen = tk.parameter(tk.tensor(W)), tk.parameter(tk.tensor(W))
    tk.optim.group({frozen}, {frozen = true})
    local optimizer = tk.optim.adam{lr = 0.1, weight_decay = 1}
    local step = step_of(optimizer, w, frozen)
    step()
    step()
    assert.same(tk.tensor(W):totable(), frozen:totable())
    assert.are_not.same(tk.tensor(W):totable(), w:totable())
    assert.is_true(optimizer:knows(w))
    assert.is_false(optimizer:knows(frozen))
    step_of(nil, w, frozen)()
    assert.is_nil(frozen.grad)
    assert.is_not_nil(w.grad)
  end)

  it('refuses what it cannot do', function()
    local w = tk.parameter(tk.tensor(W))
    local function says(...) return fixtures.message(tk.optim.group, ...) end
    assert.matches('lr: 0 is not above 0: freeze it instead', says({w}, {lr = 0}))
    assert.matches('weight_decay: %-1 is not a number >= 0', says({w}, {weight_decay = -1}))
    assert.matches('no field momentum', says({w}, {momentum = 1}))
    assert.matches('lr: f32 %[3%] is no parameter', says({tk.tensor(W)}, {lr = 2}))
  end)
end)

describe('a run', function()
  local dir, data
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/data'
    shell.prints('data demo ' .. data .. ' --users 128 --items 60')
  end)
  teardown(fixtures.clean)

  local function run(name, options, recipe)
    shell.prints(('run %s --data %s %s --quiet --out %s/%s'):format(recipe or 'bpr-mf', data,
                                                                    options, dir, name))
    return tk.load(dir .. '/' .. name .. '/last.safetensors')
  end

  it('takes groups by name', function()
    local none = run('none', '--set epochs=1 --set dim=8')
    local some = run('groups', '--set epochs=1 --set dim=8 --set frozen=items ' ..
                               '--set lr_of=users:0.5')
    assert.is_nil(some['optimizer.1.items.weight.1'])
    assert.is_not_nil(none['optimizer.1.items.weight.1'])
    local again = './tinykg run bpr-mf --data ' .. data .. ' --out ' .. dir .. '/x --set '
    shell.gives(1, again .. 'frozen=itms', 'option frozen: the model has no parameter itms; ' ..
                'it has items.weight, users.weight\n$')
    shell.gives(1, again .. 'lr_of=items', "option lr_of: 'items' is not name:number\n$")
    shell.gives(1, again .. 'lr_of=items:-1', '^tinykg: option lr_of: items: lr: %-1 is not')
    shell.gives(1, again .. 'decay_of=items:-1',
                '^tinykg: option decay_of: items: weight_decay: %-1 is not')
  end)

  it('averages gradients of batches as one batch as large', function()
    local base = '--set dim=8 --set epochs=2 --set patience=0 --set drop_last=true '
      .. '--set lr=0.01 --set l2=0 ' -- the loss is a mean, L2 a sum
    local n = tk.data.load(data, {seed = 0}).train.n
    local size = math.floor(n / 4) -- four batches; some rows more stay for none
    local one = run('large', base .. '--set batch_size=' .. 4 * size)
    local four = run('four', base .. '--set accumulate=4 --set batch_size=' .. size)
    for _, name in ipairs{'model.users.weight', 'model.items.weight'} do
      local a, b = one[name]:values(), four[name]:values()
      for i = 0, one[name]:count() - 1 do assert.near(a[i], b[i], 1e-5) end
    end
    shell.gives(1, './tinykg run bpr-mf --data ' .. data .. ' --set accumulate=2 ' ..
                '--set optimizer_lazy=true --out ' .. dir .. '/x',
                'option accumulate: .* leave optimizer_lazy at false\n$')
  end)

  --- Row of a name in a file of parameters.
  local function row(tensors, name, at) return tensors[name]:totable()[at + 1] end

  it('begins with vectors by name: users, items, entities, of each kind of file', function()
    local set = tk.data.load(data, {seed = 0})
    local names = set.names
    local entity = set.items + 3
    local function word(user) return (names.users:name(user):gsub(' ', '_')) end
    fixtures.write(dir .. '/v.txt', {'\239\187\1913 4', word(5) .. ' 1 2 3 4', 'nobody 9 9 9 9',
                                     word(0) .. ' 5 6 7 8'})
    fixtures.write(dir .. '/e.tsv', {
      '\239\187\191' .. names.entities:name(entity) .. '\t.1\t.2\t.3\t.4',
      names.items:name(2) .. '\t4\t3\t2\t1'})
    local frozen = ' --set dim=4 --set epochs=1 --set frozen='
    local kgin = run('kgin', '--set pretrained=users:' .. dir .. '/v.txt,entities:' .. dir ..
      '/e.tsv' .. frozen .. 'users,entities', 'kgin')
    assert_near({1, 2, 3, 4}, row(kgin, 'model.users.weight', 5))
    assert_near({5, 6, 7, 8}, row(kgin, 'model.users.weight', 0))
    assert_near({.1, .2, .3, .4}, row(kgin, 'model.entities.weight', entity))
    assert_near({4, 3, 2, 1}, row(kgin, 'model.entities.weight', 2))
    -- users and entities as nodes of one graph
    local kgat = run('kgat', '--set pretrained=users:' .. dir .. '/v.txt,entities:' .. dir ..
      '/e.tsv' .. frozen .. 'nodes', 'kgat')
    assert_near({1, 2, 3, 4}, row(kgat, 'model.nodes.weight', set.entities + 5))
    assert_near({.1, .2, .3, .4}, row(kgat, 'model.nodes.weight', entity))
  end)

  it('begins with the vectors that another run scored by', function()
    run('first', '--set dim=8 --set epochs=1')
    for _, ending in ipairs{'npz', 'safetensors', 'tsv'} do
      local file = dir .. '/vectors.' .. ending
      shell.prints(('export %s/first --vectors both --to %s'):format(dir, file))
      local next_one = run('after-' .. ending, ('--set epochs=1 --set frozen=users,items '
        .. '--set pretrained=users:%s,items:%s'):format(file, file), dir .. '/kept.lua')
      local best = tk.load(dir .. '/first/best.safetensors')
      for _, name in ipairs{'users.weight', 'items.weight'} do
        assert.same(best[name]:totable(), next_one['model.' .. name]:totable())
      end
    end
  end)

  setup(function() -- BPR-MF with a bias, which may be trained when all else is frozen
    fixtures.write(dir .. '/kept.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('Kept')
function M:score(u, i) return tk.dot(self.users(u), self.items(i)) + self.bias end
function M:loss(b) return tk.loss.bce(self:score(b.users, b.items), b.labels) end
return tk.recipe{name = 'Kept', options = {{'dim', 8, 'size'}}, build = function(d, o)
  return setmetatable({users = tk.nn.Embedding(d.users, o.dim), items = tk.nn.Embedding(d.items,
    o.dim), bias = tk.parameter(tk.zeros(1))}, M)
end}
]])
  end)

  it('says what is wrong with a file', function()
    local function says(text, pattern)
      shell.gives(1, './tinykg run bpr-mf --set dim=4 --data ' .. data .. ' --out ' .. dir ..
        '/x --set pretrained=' .. text, pattern)
    end
    fixtures.write(dir .. '/short.txt', {'0 1 2 3', '1 1 2'})
    fixtures.write(dir .. '/wide.txt', {'0 1 2 3 4 5'})
    fixtures.write(dir .. '/nobody.txt', {'x 1 2 3 4'})
    fixtures.write(dir .. '/nan.txt', {'user_0 1 2 3 nan'})
    says('users:' .. dir .. '/short.txt', 'short.txt:2: 2 numbers, those before have 3\n$')
    says('users:' .. dir .. '/wide.txt', 'has vectors of 5 numbers, the model\'s users have 4\n$')
    says('users:' .. dir .. '/nobody.txt', "none of the 1 names .* 'x' for one\n$")
    says('users:' .. dir .. '/nan.txt', "the vector of 'user_0' has %-?nan\n$")
    says('users:' .. dir .. '/none.txt', 'none.txt: ')
    says('entities:' .. dir .. '/nobody.txt', 'the model has no table of entities\n$')
    says('people:x', "'people:x' is not users:FILE, items:FILE or entities:FILE\n$")
  end)
end)
