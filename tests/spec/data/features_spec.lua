-- Features of items beside a data set: found by name, in every format, through cache and
-- renumbering; part of what a run compares; refused in one line.
local tk = require 'tinykg'
local data = require 'tinykg.data'
local fingerprint = require 'tinykg.data.fingerprint'
local restore = require 'tinykg.data.restore'
local store = require 'tinykg.store'
local fixtures = require 'tests.support.fixtures'
local posix = require 'tinykg.base.posix'
local shell = require 'tests.support.shell'

local FILES = { ['interactions.csv'] = { 'user,item', 'ann,a1', 'ann,a2', 'bob,a3', 'bob,a1',
  'cy,a2', 'cy,a4' }, ['kg.csv'] = { 'head,relation,tail', 'a1,is,x', 'a2,is,y' } }

local ROWS = { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } }
local NAMES = { 'a3', 'nobody', 'a1' }

--- A folder with the data set and what `add` writes beside it.
local function folder(add, files)
  local dir = fixtures.dir(files or FILES)
  add(dir)
  return dir
end

--- Rows of features by the items' names.
local function by_name(set)
  local rows, out = set.features:totable(), {}
  for id = 0, set.items - 1 do out[set.names.items:name(id)] = rows[id + 1] end
  return out
end

local WANT = { a1 = { 7, 8, 9 }, a2 = { 0, 0, 0 }, a3 = { 1, 2, 3 }, a4 = { 0, 0, 0 } }

local function with_texts(dir)
  tk.save(dir .. '/features.npy', tk.tensor(ROWS))
  fixtures.write(dir .. '/features.txt', NAMES)
end

describe('data.features', function()
  teardown(fixtures.clean)

  it('are the rows of the items by name, zeros without, with one warning', function()
    local ways = {
      npy = with_texts,
      ['npy, names from an editor'] = function(dir)
        tk.save(dir .. '/features.npy', tk.tensor(ROWS))
        fixtures.write(dir .. '/features.txt', '\239\187\191a3\r\nnobody \r\n\ta1\r\n\r\n')
      end,
      npz = function(dir)
        assert(store.write(dir .. '/features.npz', { features = tk.tensor(ROWS) }, nil,
          { texts = { items = NAMES } }))
      end,
      safetensors = function(dir)
        tk.save(dir .. '/features.safetensors', { features = tk.tensor(ROWS) })
        fixtures.write(dir .. '/features.txt', NAMES)
      end,
    }
    for way, add in pairs(ways) do
      local set = data.load(folder(add))
      assert.same({ 4, 3 }, set.features:size(), way)
      assert.equal('f32', set.features:dtype())
      assert.same(WANT, by_name(set), way)
      assert.same({ ('features.%s: 2 of 4 items have no row and are zero; 1 rows are of no item')
        :format(way:match('^%w+')) }, set.warnings)
      assert.equal(3, set:info().features)
      assert.matches('features +3 per item', tostring(set:info()))
    end
    assert.is_nil(data.load(fixtures.dir(FILES)).features)
  end)

  it('of items that are called by numbers need no names, and may be whole numbers', function()
    local set = data.load(folder(function(dir)
      tk.save(dir .. '/features.npy', tk.ids { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } })
    end, { ['train.txt'] = { '0 0 1 2', '1 1 2', '2 0' }, ['test.txt'] = { '0 3', '2 2' },
      ['kg_final.txt'] = { '0 0 4', '4 1 5', '2 0 5' } }))
    for id = 0, 3 do
      local name = tonumber(set.names.items:name(id))
      assert.same({ 2 * name + 1, 2 * name + 2 }, set.features:totable()[id + 1])
    end
    assert.same({}, set.warnings)
    local named = data.load(folder(function(dir)
      tk.save(dir .. '/features.npz', { features = tk.tensor { { 9 }, { 8 } },
        items = tk.ids { 30, 20 } })
    end, { ['interactions.csv'] = { 'user,item', '1,20', '1,30', '2,20', '2,30' } }))
    assert.same({ ['20'] = { 8 }, ['30'] = { 9 } }, by_name(named))
    named = data.load(folder(function(dir)
      tk.save(dir .. '/features.npz', { features = tk.tensor { { 9 }, { 8 } },
        items = tk.tensor { 16777215, 20 } })
    end, { ['interactions.csv'] = { 'user,item', '1,20', '1,16777215', '2,20', '2,16777215' } }))
    assert.same({ ['20'] = { 8 }, ['16777215'] = { 9 } }, by_name(named))
  end)

  it('follow their items through order, k-core, the cache and old numbers', function()
    local dir = folder(with_texts)
    assert.same(WANT, by_name(data.load(dir, { order = 'degree' })))
    local core = by_name(data.load(dir, { kcore = { item = 2 }, split = 'ratio' }))
    assert.same({ a1 = WANT.a1, a2 = WANT.a2 }, core)
    posix.setenv('TINYKG_CACHE', fixtures.dir())
    for _ = 1, 2 do assert.same(WANT, by_name(data.load(dir, { cache = 'on' }))) end
    posix.setenv('TINYKG_CACHE', 'off')
    local set, other = data.load(dir), data.load(dir, { order = 'degree' })
    local again = restore.of(other, set.names, restore.split_of(set))
    assert.same(WANT, by_name(again))
    assert.equal(fingerprint.of(set).features, fingerprint.of(other).features)
  end)

  it('are kept by convert, in every format, and take the place of those there', function()
    local dir = folder(with_texts, fixtures.merged(FILES, { ['interactions.csv'] = { 'user,item',
      'ann,a1', 'ann,"a, ""2"""', 'bob,a3', 'bob,a1', 'cy,"a, ""2"""', 'cy,a4' } }))
    fixtures.write(dir .. '/features.txt', { 'a3', 'a, "2"', 'a1' })
    for _, format in ipairs { 'plain', 'recbole', 'kgat', 'kgcn' } do
      local to = fixtures.dir { ['features.npy'] = 'old', ['features.txt'] = 'a1' }
      shell.prints(('data convert %s %s --force --to %s'):format(dir, to, format))
      assert.same(by_name(data.load(dir)), by_name(data.load(to)), format)
      local left = table.concat(fixtures.names(to), ' ')
      assert.is_nil(left:find('features.npy', 1, true) or left:find('features.txt', 1, true))
    end
  end)

  it('are part of the fingerprint', function()
    local was = fingerprint.of(data.load(fixtures.dir(FILES)))
    local is = fingerprint.of(data.load(folder(with_texts)))
    assert.is_nil(was.features)
    assert.equal('features of items, which it did not have', fingerprint.difference(was, is))
    assert.equal('no features of items', fingerprint.difference(is, was))
    assert.is_false(fingerprint.same_numbers(was, is))
    local other = fingerprint.of(data.load(folder(function(dir)
      tk.save(dir .. '/features.npy', tk.tensor { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 8 } })
      fixtures.write(dir .. '/features.txt', NAMES)
    end)))
    assert.equal('other features of items', fingerprint.difference(is, other))
  end)

  it('take memory when they are asked for, and again for another engine', function()
    local set = data.load(folder(with_texts))
    local before = tk.memory().live.data
    assert.equal(4 * 4 * 3, set.features:count() * 4)
    assert.equal(before + 48, tk.memory().live.data)
    assert.equal(set.features, set.features)
    set.features:free()
    assert.same(WANT, by_name(set))
  end)

  it('are refused in one line', function()
    local function message(add)
      local dir = folder(add)
      local text = fixtures.message(data.load, dir)
      assert.is_nil(text:find('\n'))
      return (text:gsub(dir:gsub('%p', '%%%0'), 'DIR'))
    end
    local function npy(t, names)
      return function(dir)
        tk.save(dir .. '/features.npy', t)
        if names then fixtures.write(dir .. '/features.txt', names) end
      end
    end
    assert.equal('DIR/features.npy: features are [3], expected [rows, columns]',
                 message(npy(tk.ones(3))))
    assert.equal('DIR/features.txt: 2 names of 3 rows',
                 message(npy(tk.ones(3, 2), { 'a1', 'a2' })))
    assert.equal("DIR/features.txt: 'a1' is there twice, the second time as number 3",
                 message(npy(tk.ones(3, 2), { 'a1', 'a2', 'a1' })))
    assert.equal('DIR/features.npy: none of its 3 rows is of an item: features.txt has the name of '
                   .. 'each row, one per line', message(npy(tk.ones(3, 2))))
    assert.equal('DIR/features.npy: row 1 has nan at column 2',
                 (message(npy(tk.tensor { { 1, 0 / 0 } }, { 'a1' })):gsub('%-nan', 'nan')))
    assert.equal("DIR/features.npz: no tensor 'features' (it has w)", message(function(dir)
      tk.save(dir .. '/features.npz', { w = tk.ones(2) })
    end))
    assert.equal('DIR/features.npy: there is also DIR/features.npz: one of them is read',
                 message(function(dir)
                   tk.save(dir .. '/features.npy', tk.ones(1, 1))
                   tk.save(dir .. '/features.npz', { features = tk.ones(1, 1) })
                 end))
    for _, name in ipairs { 16777216, -16777216, 1.5, math.huge } do
      for _, ending in ipairs { 'npz', 'safetensors' } do
        assert.equal(('DIR/features.%s: items: number 2 is %.9g, as a float that is no exact name: '
          .. 'save items as integers or as texts'):format(ending, name), message(function(dir)
            tk.save(dir .. '/features.' .. ending, { features = tk.ones(2, 1),
              items = tk.tensor { 1, name } })
          end))
      end
    end
    assert.matches('features.npy: .*bad magic', message(function(dir)
      fixtures.write(dir .. '/features.npy', 'no array')
    end))
  end)
end)
