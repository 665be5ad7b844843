-- tinykg export: a run's parameters as other programs read them.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local json = require 'tinykg.base.json'
local store = require 'tinykg.store'

-- Reads a table; returns its lines as lists of cells.
local function table_of(path)
  local lines = {}
  for line in io.lines(path) do
    local cells = {}
    for cell in (line .. '\t'):gmatch('([^\t]*)\t') do cells[#cells + 1] = cell end
    lines[#lines + 1] = cells
  end
  return lines
end

describe('export', function()
  local dir, run, set

  -- A small data set with names, and a run on it; parameters of known values take the place of what
  -- was trained: row r of `users.weight` is r, r + 1/8, ...
  setup(function()
    set = fixtures.dir { ['interactions.csv'] = { 'user,item', 'ann,a', 'ann,b', 'bob,"b, too"',
        'bob,a', 'cy,b', 'cy,a', 'ann,"b, too"' },
      ['kg.csv'] = { 'head,relation,tail', 'a,genre,"""jazz"" club"',
        'b,genre,rock', 'rock,by,a' } }
    dir = fixtures.dir {}
    run = dir .. '/run'
    shell.prints(('run recipes/kgcn.lua --quiet --data %s --out %s --set epochs=1 --set dim=3 ' ..
      '--set batch_size=2 --set neighbors=2'):format(set, run))
    local best, about = store.load(run .. '/best.safetensors')
    for name, t in pairs(best) do
      local list = {}
      for i = 1, t:count() do list[i] = (i - 1) / 8 end
      best[name] = t:write(require('ffi').new('float[?]', #list, list))
    end
    store.save(run .. '/best.safetensors', best, about)
  end)
  teardown(fixtures.clean)

  it('writes a table with the data set\'s names', function()
    local to = dir .. '/all.tsv'
    assert.matches('written: .*all.tsv %(%d+ parameters of KGCN%)\nnote: .* rank otherwise than',
      shell.prints(('export %s --to %s'):format(run, to)))
    local seen, width = {}, nil
    for k, cells in ipairs(table_of(to)) do
      width = width or #cells
      assert.equal(width, #cells)
      if k > 1 then seen[cells[1] .. ' ' .. cells[3]] = cells end
    end
    local function row(key, n) return fixtures.list(seen[key], n, 1) end
    assert.same({ 'users.weight', 'user', '1', 'bob', '0.375', '0.5', '0.625' },
      row('users.weight 1', 7))
    assert.same({ 'entities.weight', 'item', '2', 'b, too', '0.75', '0.875', '1' },
      row('entities.weight 2', 7))
    assert.same({ 'entities.weight', 'entity', '3', '"""jazz"" club"', '1.125' },
      row('entities.weight 3', 5))
    assert.same({ 'relations.weight', 'relation', '1', 'by', '0.375' },
      row('relations.weight 1', 5))
    -- the row of entities without an edge has no name
    assert.same({ 'relations.weight', 'relation', '2', '', '0.75' }, row('relations.weight 2', 5))
    local bias
    for key, cells in pairs(seen) do bias = key:match('bias') and cells or bias end
    assert.same({ '', '0', '' }, { bias[2], bias[3], bias[4] })
  end)

  it('takes what --only says', function()
    local to = dir .. '/users.tsv'
    shell.prints(("export %s --to %s --only 'users.*'"):format(run, to))
    local lines = table_of(to)
    assert.same({ 'tensor', 'kind', 'row', 'name', 'v1', 'v2', 'v3' }, lines[1])
    assert.equal(4, #lines)
    assert.same({ 'users.weight', 'user', '0', 'ann', '0', '0.125', '0.25' }, lines[2])
    to = dir .. '/two.npz'
    shell.prints(("export %s --to %s --only 'users.w?ight' --only 'relations*'"):format(run, to))
    local names = {}
    for name in pairs(store.load(to)) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ 'relations.weight', 'users.weight' }, names)
  end)

  it('takes the parameters alone out of the last checkpoint', function()
    local to = dir .. '/last.safetensors'
    shell.prints(('export %s --to %s --which last'):format(run, to))
    local exported, about = store.load(to)
    local last = store.load(run .. '/last.safetensors')
    local best = store.load(run .. '/best.safetensors')
    local names = {}
    for name, t in pairs(exported) do
      names[name] = true
      assert.same(last['model.' .. name]:totable(), t:totable())
    end
    for name in pairs(best) do assert.is_true(names[name], name) end
    assert.equal('KGCN', about.recipe)
  end)

  it('writes files that NumPy and safetensors read', function()
    local npz, tensors = dir .. '/all.npz', dir .. '/all.safetensors'
    shell.prints(('export %s --to %s'):format(run, npz))
    shell.prints(('export %s --to %s'):format(run, tensors))
    local text, why_not = shell.python('numpy', [[
import json, sys, numpy
a = numpy.load(sys.argv[1])
print(json.dumps({n: [list(a[n].shape), a[n].dtype.str, a[n].ravel().tolist()] for n in a.files}))
]], npz)
    if not text then return pending(why_not) end
    local read = json.decode(text:match('[^\n]*\n$'), 'python')
    assert.same({ { 3, 3 }, '<f4' }, { read['users.weight'][1], read['users.weight'][2] })
    assert.same({ 0, .125, .25, .375, .5, .625, .75, .875, 1 }, read['users.weight'][3])
    text, why_not = shell.python('safetensors', [[
import json, sys
from safetensors.numpy import load_file
a = load_file(sys.argv[1])
print(json.dumps({n: [list(x.shape), x.dtype.str, x.ravel().tolist()] for n, x in a.items()}))
]], tensors)
    if not text then return pending(why_not) end
    assert.same(read, json.decode(text:match('[^\n]*\n$'), 'python'))
  end)

  it('names users behind entities, and nothing where that is not certain', function()
    local rows = require 'tinykg.run.folder.row_names'
    local function names(prefix) return { name = function(_, i) return prefix .. i end } end
    local data = { users = 2, items = 2, entities = 3, relations = 1, names = { users = names 'u',
      items = names 'i', entities = names 'e', relations = names 'r' } }
    local function all(parameter, n)
      local namer, list = rows.namer(parameter, n, data), {}
      for row = 0, namer and n - 1 or -1 do
        local kind, name = namer(row)
        list[#list + 1] = kind .. ' ' .. name
      end
      return table.concat(list, ', ')
    end
    assert.equal('item i0, item i1, entity e2, user u0, user u1', all('nodes.weight', 5))
    assert.equal('item i0, item i1, user u0, user u1', all('node_table', 4))
    assert.equal('item i0, item i1, entity e2', all('nodes.weight', 3))
    assert.equal('', all('nodes.weight', 6))
    data.entities = 4 -- as many as items and users
    assert.equal('', all('nodes.weight', 4))
    assert.equal('user u0, user u1', all('userEmbedding.weight', 2))
    assert.equal('', all('user_item', 2)) -- there are as many of both
    assert.equal('', all('users.weight', 3))
    assert.equal('', all('layers.1.weight', 2))
  end)

  it('needs no data set: the run has its names, unless it is of an older version', function()
    local moved = fixtures.dir {} .. '/run'
    assert.equal(0, os.execute(('cp -r %s %s'):format(run, moved)))
    local config = fixtures.json(moved .. '/config.json')
    config.data, config.checksum = '/nowhere/set', nil
    fixtures.write(moved .. '/config.json', json.encode(config))
    shell.prints(('export %s --to %s/x.tsv'):format(moved, dir))
    assert.equal('ann', table_of(dir .. '/x.tsv')[#table_of(dir .. '/x.tsv') - 2][4])
    local _, err = shell.works(('export %s --to %s/x.tsv --data /elsewhere'):format(moved, dir))
    assert.equal(('note: --data is not read: %s has the names of its data set\n'):format(moved),
                 err)
    config.data_set = nil
    fixtures.write(moved .. '/config.json', json.encode(config))
    shell.refuses(('export %s --to %s/x.tsv'):format(moved, dir), 1,
      '/nowhere/set: no such folder %(%-%-data DIR')
    shell.prints(('export %s --to %s/x.npz'):format(moved, dir))
    shell.prints(('export %s --to %s/x.tsv --data %s'):format(moved, dir, set))
    assert.equal('ann', table_of(dir .. '/x.tsv')[#table_of(dir .. '/x.tsv') - 2][4])
    shell.prints(('export %s --to %s/x.tsv --no-names'):format(moved, dir))
    assert.equal('', table_of(dir .. '/x.tsv')[#table_of(dir .. '/x.tsv')][4])
  end)

  it('refuses with one line', function()
    shell.refuses('export ' .. run, 2, '%-%-to')
    shell.refuses(('export %s --to x.csv'):format(run), 2, 'must end in .safetensors, .npz or .tsv')
    shell.refuses(('export %s --to x.tsv --which first'):format(run), 2, 'best')
    shell.refuses(('export %s --to x.tsv --only nope'):format(run), 1,
      "no parameter is called 'nope': there are entities.weight, .*users.weight")
    shell.refuses(('export %s --to x.npz --no-names'):format(run), 2, 'only a .tsv has names')
    shell.refuses(('export %s --to x.npz --data %s'):format(run, set), 2, '%-%-data: of parameters')
    shell.refuses(('export %s --to x.tsv --data %s --no-names'):format(run, set), 2, 'take one')
    shell.refuses(('export %s --to x.tsv --device tpu'):format(run), 2, 'tpu is not')
    shell.refuses(('check %s --data %s --no-data'):format(run, set), 2, 'take one')
    shell.refuses('export /nowhere --to x.tsv', 1, '/nowhere: no such run')
    shell.refuses(('export %s --to x.tsv'):format(set), 1, 'not the folder of a run')
    shell.refuses(('export %s --to /proc/none/x.npz'):format(run), 1, '/proc/none/x.npz')
    shell.refuses(('export %s --to /proc/none/x.tsv'):format(run), 1, '/proc/none/x.tsv')
    os.remove(run .. '/last.safetensors')
    shell.refuses(('export %s --to x.npz --which last'):format(run), 1, 'has no last.safetensors')
  end)
end)
