-- Names that changed: the old ones work, and a process prints one warning.
local fixtures = require 'tests.support.fixtures'
local renamed = require 'tinykg.base.arguments.renamed'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

--- Runs a program. Returns its standard output and its standard error.
local function run(program)
  return shell.works(fixtures.dir{['program.lua'] = {program}} .. '/program.lua')
end

local OLD = [[
local tk = require 'tinykg'
local x, w = tk.tensor{{1, 2}, {3, 4}}, tk.tensor{{1, 1}}
print(tk.mix(w, x):totable()[1][1])
print(tk.mix_dot(w, x, 2):totable()[1][2])
print(tk.edge_dot(w, x, tk.ids{{1}}):item())
print(tk.loss.independence(tk.tensor{{1, 0}, {0, 1}}, 'cosine'):item())
print(tk.feed == tk.loader)
local g = tk.graph{head = {0}, relation = {0}, tail = {1}, nodes = 2, relations = 1}
print(g:draw(3).tails:totable()[3])
local p = tk.parameter(tk.ones(1, 2))
local step = tk.step(function() return (x * p):kept_as('exact'):sum() end)
print(step())
]]

describe('names that changed', function()
  teardown(fixtures.clean)

  it('work as before, and one warning names the new name', function()
    local out, err = run(OLD)
    assert.equal('4\n7\n7\n0\ntrue\n1\n10\n', out)
    assert.equal('tinykg: tk.mix is now tk.neighbor_sum; the old name goes in the next version ' ..
                 '(lua/REFERENCE.md lists all)\n', err)
  end)

  it('do not warn under their new names', function()
    local program = OLD
    for old, new in pairs{['tk.mix_dot'] = 'tk.neighbor_dot', ['tk.mix'] = 'tk.neighbor_sum',
                          ['tk.edge_dot'] = 'tk.relation_score', ['tk.feed'] = 'tk.loader',
                          ['loss.independence'] = 'loss.intent_regularizer',
                          ['g:draw'] = 'g:sample_triples', kept_as = 'saved_as'} do
      program = program:gsub(old:gsub('%p', '%%%0') .. '%f[^%w_]', new)
    end
    local out, err = run(program)
    assert.equal('4\n7\n7\n0\ntrue\n1\n10\n', out)
    assert.equal('', err)
  end)

  it('lead to names that exist', function()
    local graph = tk.graph{head = {0}, relation = {0}, tail = {0}, nodes = 1, relations = 1}
    local owners = {tk = tk, graph = graph, tensor = tk.ones(1), phase = {sample = true}}
    for _, pair in ipairs(renamed.names) do
      local value
      for key in pair[2]:gmatch('[%w_]+') do value = value and value[key] or owners[key] end
      assert.truthy(value, pair[2])
    end
  end)
end)
