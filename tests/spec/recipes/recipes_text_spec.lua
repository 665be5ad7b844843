-- CoLaKG on frozen vectors: which items are alike, and that a text places an item nobody has taken.
local tk = require 'tinykg'
local datasets = require 'tests.support.odd_datasets'
local fixtures = require 'tests.support.fixtures'
local train = require 'tinykg.train'

local USERS, ITEMS = 24, 16 -- of two kinds each; the last item of a kind has no interactions

--- A folder in which users take items of their kind, whose vectors point one way.
local function folder()
  local taken, vectors, names = {'user,item'}, {}, {}
  for u = 0, USERS - 1 do
    for i = 0, ITEMS - 3 do
      if i % 2 == u % 2 and (i + 3 * u) % 5 < 3 then
        taken[#taken + 1] = ('u%d,i%d'):format(u, i)
      end
    end
  end
  local listed = {'item'}
  for i = 0, ITEMS - 1 do
    names[i + 1], listed[i + 2] = 'i' .. i, 'i' .. i
    vectors[i + 1] = {i % 2 == 0 and 1 or -1, 0.1 * math.sin(i), 0.1 * math.cos(i)}
  end
  local dir = fixtures.dir{['interactions.csv'] = taken, ['items.csv'] = listed,
                           ['kg.csv'] = {'head,relation,tail', 'i0,is,thing'},
                           ['features.txt'] = names}
  tk.save(dir .. '/features.npy', tk.tensor(vectors))
  return dir
end

describe('CoLaKG', function()
  local data, recipe
  setup(function()
    data = tk.data.load(folder(), {seed = 1})
    recipe = datasets.recipe('text-features')
  end)
  teardown(fixtures.clean)

  local function id(name) return data.names.items:id(name) end

  it('takes from items whose vectors are alike', function()
    local model = recipe.build(data, recipe:complete{dim = 4, neighbors = 4})
    local e = model.near:triples()
    for k = 0, e.n - 1 do
      local head, tail = (data.names.items:name(e.heads[k])), (data.names.items:name(e.tails[k]))
      assert.equal(tonumber(head:sub(2)) % 2, tonumber(tail:sub(2)) % 2)
    end
  end)

  it('recommends an item that nobody took by its vector, which stays', function()
    tk.seed(1)
    local result = train.run(recipe, data, recipe:complete{
      dim = 8, lr = 0.01, batch_size = 64, epochs = 40, patience = 0, neighbors = 4,
      item_dropout = 0.2, user_dropout = 0.2}, {quiet = true})
    local model, even, odd = result.model:eval(), id('i14'), id('i15')
    local right = 0
    for u = 0, USERS - 1 do
      local user = data.names.users:id('u' .. u)
      local s = model:score(tk.ids{user, user}, tk.ids{even, odd}):totable()
      right = right + ((s[1] > s[2]) == (u % 2 == 0) and 1 or 0)
    end
    assert(right >= USERS - 1, right)
    for _, p in ipairs(model:named_parameters()) do assert.is_nil(p.name:find('texts')) end
    assert.near(-1, model.texts:totable()[odd + 1][1], 0)
  end)

  it('projects triples where there are no vectors: the same are alike', function()
    local dir = fixtures.dir{
      ['interactions.csv'] = {'user,item', 'a,x', 'a,y', 'b,y', 'b,z'},
      ['kg.csv'] = {'head,relation,tail', 'x,is,red', 'x,by,ann', 'y,is,red', 'y,by,ann',
                    'z,is,blue'}}
    local set = tk.data.load(dir, {seed = 0})
    local model = recipe.build(set, recipe:complete{projection = 5})
    recipe.build(set, recipe:complete{projection = 5})
    local _, said = table.concat(set.warnings, '\n'):gsub('no features.npy', '')
    assert.equal(1, said)
    assert.is_nil(table.concat(data.warnings):find 'features.npy')
    local rows = model.texts:totable()
    local x, y, z = set.names.items:id('x'), set.names.items:id('y'), set.names.items:id('z')
    assert.same(rows[x + 1], rows[y + 1])
    assert.are_not.same(rows[x + 1], rows[z + 1])
    assert.equal(5, #rows[z + 1])
  end)
end)
