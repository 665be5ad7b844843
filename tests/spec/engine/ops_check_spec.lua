-- The step option `check` and tk.check: the first NaN or infinity, where it is made.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local reference = require 'tests.support.reference_ops'
local shell = require 'tests.support.shell'
local tensors = require 'tests.support.tensors'

local random = reference.random(41)
local drawn = tensors.drawn_from(random)
local noise, bytes, same = drawn.noise, tensors.bytes, tensors.same
local inf, nan = math.huge, 0 / 0

--- The message of an error. Not fixtures.message: a tail call blames the line of the pcall, which
--- must be in this file.
local function message(fn, ...)
  local ok, text = pcall(fn, ...)
  assert.is_false(ok, 'nothing was found')
  return tostring(text)
end

--- One message: this file's line, then `text` as it stands.
local function finds(text, fn, ...)
  local found = message(fn, ...)
  assert.matches('^[^\n]*ops_check_spec%.lua:%d+: [^\n]*$', found)
  assert.equal(text, (found:gsub('^.-ops_check_spec%.lua:%d+: ', '')))
end

local function checked(fn, options)
  options = options or {}
  options.check = true
  return tk.step(fn, options)
end

describe('a checked step', function()
  after_each(function() tk.check(false) end)

  it('names op, place and shape of the first NaN, and the line', function()
    local w = tk.parameter(tk.tensor{{1, 2, 3}, {4, 5, 6}})
    local step = checked(function(x)
      local y = w * x
      return y:log():sum()
    end)
    assert.near(math.log(720), step(tk.ones(2, 3)), 1e-5)
    local text = message(step, tk.tensor{{1, 1, 1}, {1, 1, -1}})
    local line = debug.getinfo(1, 'l').currentline - 4
    assert.matches('ops_check_spec%.lua:' .. line .. ': log: NaN at %[2, 3%] of f32 %[2, 3%] ' ..
                   '%(forward%); its inputs are finite$', text)
    finds('log: -infinity at [1, 2] of f32 [2, 3] (forward); its inputs are finite', step,
          tk.tensor{{1, 0, 1}, {1, 1, -1}})
    finds('mul: NaN at [2, 1] of f32 [2, 3] (forward); its input 2 has NaN at [2, 1] of f32 [2, 3]',
          step, tk.tensor{{1, 1, 1}, {nan, 1, 1}})
    finds('mul: infinity at [1, 3] of f32 [2, 3] (forward); its input 2 has infinity at [1, 3] ' ..
          'of f32 [2, 3]', step, tk.tensor{{1, 1, inf}, {1, 1, 1}})
    w:write{1, 2, 3, 4, nan, 6}
    finds('mul: NaN at [2, 2] of f32 [2, 3] (forward); its input 1 has NaN at [2, 2] of ' ..
          'parameter f32 [2, 3]', step, tk.ones(2, 3))
  end)

  it('says so of a single number, and of a view\'s input', function()
    local w = tk.parameter(tk.tensor{3e38, 3e38})
    finds('sum: infinity of f32 [] (forward); its inputs are finite',
          checked(function() return w:sum() end))
    w:write{1, nan}
    finds('affine: NaN at [2, 1] of f32 [2, 1] (forward); its input 1 has NaN at [2, 1] of f32 ' ..
          '[2, 1]', checked(function() return (w:reshape(2, 1) * 2):sum() end))
  end)

  it('looks at backward too', function()
    local w = tk.parameter(tk.tensor{{1, 4}, {0, 9}})
    for _, bits in ipairs{32, 2} do
      finds('div: infinity at [2, 1] of f32 [2, 2] (backward); its inputs are finite',
            checked(function() return w:sqrt():sum() end, {bits = bits, small = 0}))
    end
  end)

  it('looks at what a custom op\'s backward makes', function()
    local w = tk.parameter(tk.ones(2))
    local op = tk.custom{name = 'op', forward = function(_, x) return x end,
                         backward = function(_, dy) return (dy * -1):log() end}
    finds('log: NaN at [1] of f32 [2] (backward); its inputs are finite',
          checked(function() return op(w):sum() end))
  end)

  it('finds nothing of a custom op\'s backward where no gradient is asked for', function()
    local w = tk.parameter(tk.ones(2))
    local op = tk.custom{name = 'op', forward = function(ctx, x)
      ctx.x = x
      return x * 2
    end, backward = function(ctx, dy) return (ctx.x - 2):log() * dy end}
    tk.check(true)
    assert.same({2, 2}, op(w):totable())
    assert.same({2, 2}, tk.no_grad(function() return (op(w)) end):totable())
    tk.check(false)
    finds('log: NaN at [1] of f32 [2] (backward); its inputs are finite',
          checked(function() return op(w):sum() end))
  end)

  it('finds nothing in rows of a custom op that nobody asks for', function()
    local x = tk.ones(50, 2)
    x:write({-1}, 98)
    local op = tk.custom{name = 'op', forward = function(ctx, h)
      ctx.y = h:log()
      return ctx.y
    end, backward = function(ctx, dy) return dy * ctx.y:sum() end} -- needs all of it
    tk.check(true)
    local ids = tk.ids{1, 3}
    local function rows() return op(x * 2):gather(ids) end
    assert.near(math.log(2), tk.no_grad(rows):totable()[2][1], 1e-6)
    finds('log: NaN at [50, 1] of f32 [50, 2] (forward); its inputs are finite', function()
      return tk.no_grad(function() return (op(x * 2)) end)
    end)
  end)

  it('updates no parameter when it fails: the next one goes on as if it had not been', function()
    local function trained(with_failure)
      tk.seed(3)
      local a, b = tk.parameter(tk.ones(4, 4)), tk.parameter(tk.full(0.5, 4, 4))
      local opt = tk.optim.adam{lr = 0.1}
      -- b's gradient is there, and would be used up, before a's turns out to be bad
      local step = checked(function(x) return ((x * a):sqrt() * b):sum() end, {optimizer = opt})
      step(tk.ones(4, 4))
      if with_failure then
        local before = bytes(a) .. bytes(b)
        local x = tk.ones(4, 4)
        x:write({0}, 5)
        finds('div: infinity at [2, 2] of f32 [4, 4] (backward); its inputs are finite', step, x)
        same(before, bytes(a) .. bytes(b))
      end
      step(tk.ones(4, 4))
      return bytes(a) .. bytes(b)
    end
    same(trained(false), trained(true))
  end)

  it('gives the same bits as one that is not, in tiles and in few bits', function()
    local n, d = 2600, 16
    local x, targets = noise(n, d), noise(n, 4)
    local first, second = noise(d, d), noise(d, 4)
    local bias = noise(1, d):reshape(d):keep()
    for _, options in ipairs{{bits = 32}, {bits = 2}, {bits = 2, tiles = false}, {bits = 8}} do
      local results = {}
      for _, check in ipairs{false, true} do
        tk.seed(5)
        local w, v = tk.parameter(first:clone()), tk.parameter(second:clone())
        local b = tk.parameter(bias:clone())
        options.optimizer, options.check = tk.optim.adam{lr = 0.01}, check
        local step = tk.step(function()
          local h = (x:matmul(w) + b):leaky_relu(0.1):dropout(0.2)
          return (h:normalize():matmul(v):tanh() - targets):square():mean()
        end, options)
        local text = ''
        for _ = 1, 3 do text = text .. ('%.17g '):format((step())) end
        results[#results + 1] = text .. bytes(w) .. bytes(v) .. bytes(b)
        if tk.device() == 'cpu' and options.tiles == nil then
          assert.is_truthy(step:program():find 'group 0')
          assert.equal(not check, step:program():find('tile+', 1, true) ~= nil)
        end
      end
      same(results[1], results[2])
    end
  end)

  it('finds it in a group of tiles', function()
    local w = tk.parameter(noise(8, 8))
    local step = checked(function(x) return (x:matmul(w):exp():log() * 2):mean() end)
    local x = tk.zeros(2600, 8)
    step(x)
    x:write({3e38, 3e38}, 1700 * 8)
    local text = message(step, x)
    assert.matches('spec%.lua:%d+: matmul: %-?infinity at %[1701, %d%] of f32 %[2600, 8%]', text)
  end)

  it('is never played back, and another plan than an unchecked one', function()
    local w = tk.parameter(tk.ones(3))
    local step = checked(function(x) return (w * x):sum() end)
    for _ = 1, 4 do step(tk.ones(3)) end
    assert.equal(0, step:figure 'replayed')
  end)

  it('knows the lines of plans that are made later', function()
    local w = tk.parameter(tk.ones(1))
    local step = checked(function(x) return (w * x):log():sum() end)
    step(tk.ones(3))
    finds('log: NaN at [4] of f32 [4] (forward); its inputs are finite', step,
          tk.tensor{1, 1, 1, -1})
  end)

  it('takes true or false', function()
    assert.matches('step: check is a number, expected a boolean',
                   message(tk.step, print, {check = 1}))
  end)
end)

describe('tk.check', function()
  after_each(function() tk.check(false) end)

  it('is for values outside of steps, for backward(), for no_grad, for steps to come', function()
    local w = tk.parameter(tk.tensor{0, 1})
    local before = tk.step(function() return w:log():sum() end)
    assert.equal(-inf, w:log():totable()[1])
    assert.is_false(tk.check())
    assert.is_true(tk.check(true))
    local log = 'log: -infinity at [1] of f32 [2] (forward); its inputs are finite'
    finds(log, function() return w:log():totable() end)
    finds(log, function() return tk.no_grad(function() return (w:log()) end) end)
    finds(log, tk.step(function() return w:log():sum() end))
    finds('div: infinity at [1] of f32 [2] (backward); its inputs are finite', function()
      local loss = w:sqrt():sum()
      loss:backward()
    end)
    assert.equal(-inf, before())
    assert.equal(-inf, tk.step(function() return w:log():sum() end, {check = false})())
    tk.check(false)
    assert.equal(-inf, w:log():totable()[1])
    assert.equal(-inf, tk.no_grad(function() return (w:log()) end):totable()[1])
    assert.matches('check: on is a string, expected true or false', message(tk.check, 'yes'))
  end)

  it('names the line of the function that no_grad runs, whichever ran before', function()
    local bad, good, here = tk.tensor{0, 1}, tk.ones(2), debug.getinfo(1, 'l').currentline
    local function first(x) return (x:log()) end
    local function second(x) return (x:log()) end
    local function by(model, x)
      if model.way then return (x:log()) end
      return (x:log())
    end
    local function at(line, fn, ...)
      assert.matches('ops_check_spec%.lua:' .. here + line .. ': log: ',
                     message(tk.no_grad, fn, ...))
    end
    local one, other = {way = true}, {}
    tk.check(true)
    for _ = 1, 2 do
      at(1, first, bad)
      tk.no_grad(first, good)
      at(1, first, bad)
      at(2, second, bad)
      tk.no_grad(by, one, good)
      at(5, by, other, bad)
      at(4, by, one, bad)
    end
  end)

  it('leaves what no_grad draws as it is', function()
    local x = tk.ones(50)
    local function draw() return bytes(tk.no_grad(function() return (x:dropout(0.5)) end)) end
    tk.seed(1)
    local first, second = draw(), draw()
    tk.seed(1)
    same(first, draw())
    tk.check(true)
    same(second, draw())
  end)
end)

describe('a run that is checked', function()
  teardown(fixtures.clean)

  local RECIPE = [[
local tk = require 'tinykg'
local Model = tk.nn.class('Broken')
function Model:loss(batch)
  local u = self.users(batch.users)
  return (u - u):sqrt():mean()
end
function Model:score(users, items) return tk.dot(self.users(users), self.users(items)) end
return tk.recipe{
  name = 'Broken', options = {{'dim', 4, 'columns'}},
  build = function(data, o)
    local rows = math.max(data.users, data.items)
    return setmetatable({users = tk.nn.Embedding(rows, o.dim)}, Model)
  end,
}
]]

  it('ends with the recipe\'s line', function()
    local dir = fixtures.dir{['broken.lua'] = RECIPE}
    local _, data = shell.demo(30, 40)
    shell.refuses(('run %s/broken.lua --data %s --check --quiet --out %s/run'):format(dir, data,
      dir), 1, 'broken%.lua:5: div: infinity at %[1, 1%] of f32 %[%d+, 4%] %(backward%)')
  end)

  it('is one whose settings say so', function()
    local dir = fixtures.dir{['broken.lua'] = RECIPE, ['interactions.csv'] = {
      'user,item', 'a,b', 'a,c', 'b,c', 'b,d', 'c,a', 'c,b', 'd,a', 'd,b', 'd,c', 'e,a', 'e,b'}}
    local recipe = dofile(dir .. '/broken.lua')
    local data = tk.data.load(dir)
    local text = message(require('tinykg.train').run, recipe, data,
                         recipe:complete{epochs = 1, batch_size = 4}, {check = true, quiet = true})
    assert.matches('broken%.lua:5: div: [^\n]* %(backward%)', text)
  end)
end)
