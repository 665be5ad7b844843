-- Defaults on a small data set end above popularity; what is set stays.
local fixtures = require 'tests.support.fixtures'
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
end)
