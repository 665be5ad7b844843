-- recipes/reproduce: a study says what it will take, trains what is missing and no more, and prints
-- its figures beside the published ones.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local STUDY = [[
package.path = HOME .. '/recipes/reproduce/?.lua;' .. package.path
local study = require 'study'
study{
  title = 'small', data = 'none', metrics = {'recall@20'}, seeds = '1,2', bits = '32,2',
  entries = {
    {name = 'a', recipe = 'bpr-mf', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 600, published = {['recall@20'] = 0.9}, source = 'nobody'},
    {name = 'b', recipe = 'lightgcn', settings = 'dim=8 epochs=1', data_set = 'task=ranking',
     seconds = 60, published = {['recall@20'] = 0.0001}, source = 'somebody'},
  },
}
]]

describe('a study', function()
  local dir, data, file, out
  setup(function()
    dir, data = shell.demo(60, 40)
    file, out = dir .. '/small.lua', dir .. '/out'
    fixtures.write(file, 'local HOME = ' .. ('%q'):format(lfs.currentdir()) .. '\n' .. STUDY)
  end)
  teardown(fixtures.clean)

  local function command(words)
    return ('./tinykg %s --data %s --out %s %s'):format(file, data, out, words)
  end

  it('says how long it will take', function()
    shell.gives(0, command '--plan --jobs 1',
                '^small: 8 runs, 8 missing, 1 at a time in [^;]+; about 44 minutes')
    assert.is_nil(lfs.attributes(out, 'mode'))
  end)

  it('prints means of what its runs found, and what is not reached', function()
    local text = shell.gives(0, command '')
    local first = runs.read(out .. '/a-2-1/summary.json').test['recall@20']
    local second = runs.read(out .. '/a-2-2/summary.json').test['recall@20']
    local mean = (first + second) / 2
    local deviation = math.sqrt((first - mean) ^ 2 + (second - mean) ^ 2)
    local row = text:match '\n(| a |[^\n]+)\n'
    assert.equal(('| %.4f +- %.4f |'):format(mean, deviation), row:match '|[^|]+|$')
    assert.matches('| recall@20 | published | 32 bits | 2 bits |', text, 1, true)
    assert.matches('a, recall@20 at 32 bits: [^\n]+ published 0.9000 %(nobody%); not reached', text)
    assert.matches('b, recall@20 at 32 bits: [^\n]+ of the published 0.0001 %(somebody%)\n', text)
  end)

  it('makes no run again', function()
    local before = lfs.attributes(out .. '/b-32-1/summary.json', 'modification')
    shell.gives(0, command '--only b', '^small: 4 runs, 0 missing')
    assert.equal(before, lfs.attributes(out .. '/b-32-1/summary.json', 'modification'))
  end)

  it('refuses what it does not know', function()
    shell.gives(2, command '--only c', 'there is no such entry')
    shell.gives(2, command '--epochs 3', 'no option %-%-epochs')
    shell.gives(1, './tinykg ' .. file .. ' --data ' .. dir .. '/nowhere', 'no such folder')
  end)

  it('is what each file of recipes/reproduce describes', function()
    for name in lfs.dir 'recipes/reproduce' do
      if name:match '%.lua$' and name ~= 'study.lua' then
        shell.gives(0, ('./tinykg recipes/reproduce/%s --plan --data %s'):format(name, data),
                    'runs, %d+ missing')
      end
    end
  end)
end)
