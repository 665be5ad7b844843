-- tinykg.run and tinykg.train for scripts of one's own: what they may leave out, what they refuse,
-- that an error leaves the folder free; and what a model's on_epoch may do to its record.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local recipe_file = require 'tinykg.train.recipe_file'
local run = require 'tinykg.run'
local runs = require 'tests.support.runs'
local train = require 'tinykg.train'

local message = fixtures.message

local RECIPE = [[
local tk = require 'tinykg'
local Model = tk.nn.class('Mine')
function Model:score(users, items) return tk.dot(self.users(users), self.items(items)) end
function Model:loss(batch)
  local u, i = self.users(batch.users), self.items(batch.items)
  return tk.loss.interactions(u, i, self.items(batch.negatives:reshape(-1)))
end
function Model:on_epoch(record) if hook then hook(record) end end
return tk.recipe{name = 'Mine', build = function(data)
  return setmetatable({users = tk.nn.Embedding(data.users, 4),
                       items = tk.nn.Embedding(data.items, 4)}, Model)
end}
]]

describe('a script', function()
  local dir, data, file
  setup(function()
    local rows = {'user,item'}
    for u = 1, 12 do
      for i = 0, 7 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 17) end
    end
    dir = fixtures.dir{['interactions.csv'] = rows,
                       ['kg.csv'] = {'head,relation,tail', 'book 1,by,Woolf', 'book 2,by,Woolf'}}
    file = dir .. '/mine.lua'
    fixtures.write(file, RECIPE)
    data = tk.data.load(dir)
  end)
  teardown(fixtures.clean)
  before_each(function() _G.hook = nil end)

  --- Options of a run in a folder of this name.
  local function options(name, more)
    local o = {recipe = file, data = dir, options = {epochs = 2, batch_size = 16},
               settings = {silent = true}, out = dir .. '/' .. name}
    for key, value in pairs(more or {}) do o[key] = value end
    return o
  end

  it('trains a recipe by its path, with options that are not complete', function()
    local summary, path = run(options 'path')
    assert.same({2, dir .. '/path'}, {summary.epochs, path})
    local recipe, text = recipe_file.load(file)
    local other = run(options('table', {recipe = recipe, text = text, path = file, seed = 1,
                                        options = recipe:complete{epochs = 2, batch_size = 16}}))
    assert.same(summary.test, other.test)
    assert.equal(summary.bits, 32)
  end)

  it('may use its table of options again', function()
    local o = options('again', {force = true})
    local before = {o.options, o.settings, o.recipe, o.text, o.data_options}
    local first = run(o)
    assert.same(before, {o.options, o.settings, o.recipe, o.text, o.data_options})
    assert.same(first.test, run(o).test)
  end)

  it('is told in one line what is missing or wrong', function()
    local recipe = recipe_file.load(file)
    local function given(name, value) return options('wrong', {[name] = value}) end
    for text, o in pairs{
      ['run: recipe is a table, expected a recipe, or'] = given('recipe', {}),
      ['run: path is nil: the recipe\'s file is kept'] = given('recipe', recipe),
      ['run: o.data is nil, expected a string'] = {recipe = file},
      ['run: o.data is 3, expected a string'] = given('data', 3),
      ['run: unknown option setings: did you mean settings?'] = given('setings', {}),
      ['run: settings: unknown option bitz: did you mean bits?'] = given('settings', {bitz = 4}),
      ["run: o.settings.bits is a string, expected a whole number or 'auto'"] =
        given('settings', {bits = 'x'}),
      ['recipe Mine has no option epohs: did you mean epochs?'] = given('options', {epohs = 1}),
    } do
      local found = message(run, o)
      assert.truthy(found:find('scripts_spec.lua:%d+: ') or found:find('support/fixtures'), found)
      assert.truthy(found:find(text, 1, true), found)
    end
    assert.is_nil(io.open(dir .. '/wrong'))
  end)

  it('builds a model that keeps its options, and sets its mode', function()
    local Keeping = tk.nn.class('Keeping')
    local recipe = tk.recipe{name = 'Keeping', build = function(d, o)
      return setmetatable({o = o, list = {tk.nn.Dropout(0.5)}, users = tk.nn.Embedding(d.users, 4)},
                          Keeping)
    end}
    local model = recipe.build(data, recipe:for_build(recipe:complete{}))
    assert.is_true(model:train().list[1].training)
    assert.is_false(model:eval().list[1].training)
    assert.is_nil(rawget(model.o, 'training'))
    assert.equal(1, #model:parameters())
    assert.matches('recipe Keeping has no option layer; it has',
                   message(function() return model.o.layer end))
  end)

  it('trains without a folder, with options that are not complete', function()
    local recipe = recipe_file.load(file)
    local result = train.run(recipe, data, {epochs = 2, batch_size = 16}, {quiet = true})
    assert.equal(2, result.epochs)
    assert.truthy(message(train.run, recipe, {}):find('train.run: data is a table, expected a data',
                                                      1, true))
    assert.truthy(message(train.run, recipe, data, {epohs = 1}):find(
      'recipe Mine has no option epohs: did you mean epochs?', 1, true))
    assert.truthy(message(train.run, recipe, data, {}, {bitz = 1}):find(
      'train.run: settings: unknown option bitz: did you mean bits?', 1, true))
  end)

  it('finds the folder free after an error, whichever', function()
    function _G.hook() error('broken', 0) end
    local o = options('free', {settings = {silent = true, checkpoint = 0}})
    assert.equal('broken', message(run, o))
    _G.hook = nil
    assert.truthy(message(run, options('free', {seed = 2})):find('with other settings: seed'))
    assert.truthy(message(run, options('free', {seed = 2, resume = true})):find(
      'cannot go on: seed was 1'))
    o.resume = true
    assert.equal(2, run(o).epochs)
  end)

  it('is told of what on_epoch put under a name of the record, before it is written', function()
    local function refused(fn, text)
      _G.hook = fn
      local found = message(run, options('record', {force = true}))
      assert.truthy(found:find('on_epoch: ' .. text, 1, true), found)
      assert.same({}, runs.log(dir .. '/record'))
    end
    refused(function(r) r.loss = 'low' end, 'record.loss is a string, expected a number, as the')
    refused(function(r) r.loss = nil end, 'record.loss is nil, expected a number, as')
    refused(function(r) r.losses = {} end, 'record.losses is a table, expected nil, as')
    refused(function(r) r.valid['recall@20'] = 'high' end,
            'record.valid.recall@20 is a string, expected a number, as')
    refused(function(r) r.epoch = 7 end, 'record.epoch was 1 and is 7 now')
    refused(function(r) r.mine = {a = {tk.ones(1)}} end, 'record.mine.a.1 is a tensor, expected')
    function _G.hook(r) r.mine, r.loss = {words = {'a', true}}, r.loss + 1 end
    run(options('record', {force = true}))
    assert.same({words = {'a', true}}, runs.log(dir .. '/record')[2].mine)
  end)

  it('goes on with a run whose log has such lines', function()
    run(options 'log')
    local log = dir .. '/log/log.jsonl'
    fixtures.write(log, '{"epoch": 1, "loss": "low", "valid": 3}\n{"epoch": "2", "loss": {}}\n')
    local o = options('log', {options = {epochs = 3, batch_size = 16}, resume = true})
    assert.equal(3, run(o).epochs)
    assert.equal(2, #runs.log(dir .. '/log'))
  end)
end)
