-- Defaults on a small data set end above popularity; what is set stays.
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

describe('on a small data set', function()
  local dir, data
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/data'
    shell.prints('data demo ' .. data .. ' --users 300 --items 200')
  end)
  teardown(fixtures.clean)

  local function run(name, arguments)
    local text = shell.prints(('run %s --data %s --data-set task=ranking --out %s/%s'):format(
      arguments, data, dir, name))
    return text, fixtures.json(dir .. '/' .. name .. '/summary.json'),
      fixtures.json(dir .. '/' .. name .. '/config.json')
  end

  for _, recipe in ipairs{'bpr-mf', 'cfkg'} do
    it('the defaults of ' .. recipe .. ' end above popularity', function()
      local text, summary = run(recipe, recipe .. ' --set dim=16')
      assert.matches('note: a small set, %d+ steps per epoch: epochs=%d+ instead%s+of %d+', text)
      assert.is_true(summary.test['recall@20'] > 1.3 * summary.popularity['recall@20'])
      assert.is_nil(summary.advice)
    end)
  end

  it('what is set stays, and a preset, and the defaults of a recipe of one\'s own', function()
    local text, _, config = run('set', 'bpr-mf --set epochs=2')
    assert.equal(2, config.options.epochs)
    assert.equal(1, config.options.eval_every)
    assert.matches('patience=%d+ instead of%s+10%s+%(to keep the%s+defaults: ' ..
                   '%-%-set%s+patience=10%)', text)
    text = run('preset', 'kgcn --set preset=music --set epochs=1')
    assert.is_nil(text:find('a small set', 1, true))
    fixtures.write(dir .. '/own.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('Own', tk.nn.Ranker)
function M:loss(b) return self:interaction_loss(b, 0) end
function M:node_embeddings() return self.users.weight, self.items.weight end
return tk.recipe{name = 'Own', options = {{'epochs', 3}, {'patience', 2}}, build = function(d)
  return setmetatable({users = tk.nn.Embedding(d.users, 4),
                       items = tk.nn.Embedding(d.items, 4)}, M)
end}
]])
    text, _, config = run('own', dir .. '/own.lua')
    assert.is_nil(text:find('a small set', 1, true))
    assert.equal(3, config.options.epochs)
  end)

  it('a run goes on with the epochs that it had', function()
    local command = 'kgnn-ls --set dim=4 --set neighbors=2 --set batch_size=1024'
    local _, whole, config = run('whole', command)
    assert.is_true(config.options.epochs > 10)
    assert.equal(10, config.scaled.epochs)
    assert.equal(0, config.scaled.patience) -- more epochs than asked for may end early
    assert.is_true(config.options.patience > 0)
    assert.matches('^finished before; nothing to do\n', (run('whole', command .. ' --resume')))
    local _, _, again = run('whole', command .. ' --resume --set epochs=' .. whole.epochs + 1)
    assert.equal(whole.epochs + 1, again.options.epochs)
  end)

  --- Begins a run, presses Ctrl-C once it has a checkpoint, goes on as the run says.
  local function stopped_and_resumed(name, command)
    local out = dir .. '/' .. name
    local text = shell.interrupted(('./tinykg run %s --data %s --data-set task=ranking --out %s')
      :format(command, data, out), out .. '/last.safetensors')
    shell.prints(assert(text:match('to go on: tinykg (run [^\n]*)')) .. ' --quiet')
    return out
  end

  it('a run that was stopped goes on as it says, and when it is finished', function()
    for name, command in pairs{
      every = 'kgin --set dim=4 --set batch_size=4096', -- the interval of validations is another
      cosine = 'bpr-mf --set dim=4 --set schedule=cosine',
    } do
      local _, _, config = run(name, command .. ' --quiet')
      assert.is_true(config.options.epochs > config.scaled.epochs)
      local out = stopped_and_resumed(name .. '-stopped', command)
      runs.same(dir .. '/' .. name, out)
      local nothing = '^finished before; nothing to do\n'
      assert.matches(nothing, shell.prints('run --resume --out ' .. out))
      assert.matches(nothing, (run(name, command .. ' --resume')))
    end
  end)

  it('a run goes on with what it had, also where that is given', function()
    local command = 'kgin --set dim=4 --set batch_size=4096'
    local _, summary, config = run('given', command)
    local every = config.options.eval_every
    assert.is_true(every > config.scaled.eval_every)
    local more = ' --resume --set epochs=' .. summary.epochs + every
    run('given', ('%s%s --set eval_every=%d'):format(command, more, every))
    local code, text = shell.sh(('./tinykg run %s%s --set eval_every=%d --data %s --out %s/given')
      :format(command, more, config.scaled.eval_every, data, dir))
    assert.equal(1, code)
    assert.matches(('option eval_every was %d and is %d now'):format(every,
      config.scaled.eval_every), text)
  end)

  it('an extended run has the defaults of its own data set', function()
    local out = dir .. '/extended'
    local _, _, config = run('small', 'bpr-mf --set dim=4 --quiet')
    shell.prints(('data demo %s/larger --users 1500 --items 200'):format(dir))
    shell.prints(('run --extend %s/small --data %s/larger --quiet --out %s'):format(dir, dir, out))
    local of_larger = fixtures.json(out .. '/config.json')
    assert.equal(4, of_larger.options.dim)
    assert.is_true(of_larger.options.epochs < config.options.epochs)
  end)
end)
