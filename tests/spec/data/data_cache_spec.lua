-- The cache of loaded data sets: a set that comes from it is the set that parsing gives, and in
-- every other case the files are parsed.
local ffi = require 'ffi'
local lfs = require 'lfs'
local cache = require 'tinykg.data.cache'
local cache_file = require 'tinykg.data.cache.file'
local data = require 'tinykg.data'
local fixtures = require 'tests.support.fixtures'
local posix = require 'tinykg.base.posix'
local shell = require 'tests.support.shell'

local ARRAYS = { 'users', 'items', 'labels', 'ratings', 'times', 'heads', 'relations', 'tails' }

local KGAT = {
  ['train.txt'] = { '0 0 1 2', '1 1 2', '2 0' }, ['test.txt'] = { '0 3', '2 2' },
  ['kg_final.txt'] = { '0 0 4', '4 1 5', '2 0 5' },
  ['item_list.txt'] = { 'org_id remap_id', 'B0 0', 'B1 1', 'B2 2', 'B3 3' },
}
local PLAIN = {
  ['interactions.csv'] = { 'user,item,rating,timestamp', 'ann,a1,3,50.5', 'ann,a2,4,60',
    'bob,a3,5,1', 'bob,a1,1,2', 'cy,a2,2,9' },
  ['kg.csv'] = { 'head,relation,tail', 'a1,is,x', 'a2,is,"y, z"', 'a3,like,x' },
  ['items.csv'] = { 'item,title,genre', 'a1,One,new|old', 'a2,"Two, three",old', 'a4,,new' },
}
local KGCN = {
  ['ratings_final.txt'] = { '0 0 1', '0 1 0', '1 2 1', '1 0 0', '2 1 1', '2 2 0' },
  ['kg_final.txt'] = { '0 0 3', '1 1 4' },
}
local RECBOLE = {
  ['x.inter'] = { 'user_id:token\titem_id:token\trating:float', 'u\ta\t1', 'u\tb\t2', 'v\ta\t3' },
  ['x.kg'] = { 'head_id:token\trelation_id:token\ttail_id:token', 'm.1\tr\tm.2', 'm.2\tr\tm.3' },
  ['x.link'] = { 'item_id:token\tentity_id:token', 'a\tm.1' },
  ['x.item'] = { 'item_id:token\tname:token_seq', 'a\tThe A', 'b\tThe B' },
}

-- All that a user can see of a set, as tables and texts.
local function contents(set)
  local all = { info = tostring(set:info()):gsub('\ncache[^\n]*', ''), text = tostring(set),
    split = set.split, task = set.task, name = set.name, notes = set.notes, warnings = set.warnings,
    dropped = set.dropped, known = fixtures.list(set:known().items, set:known().n) }
  for _, part in ipairs { 'train', 'valid', 'test', 'graph' } do
    for _, column in ipairs(ARRAYS) do
      local array = set[part][column]
      all[part .. column] = array and { tostring(ffi.typeof(array)),
        fixtures.list(array, set[part].n) }
    end
  end
  for kind, names in pairs(set.names) do
    all[kind] = { titles = names.titles, count = names.count }
    for id = 0, names.count - 1 do
      all[kind][id] = names:name(id)
      assert.equal(id, names:id(names:name(id)))
    end
    assert.is_nil(names:id('nobody'))
  end
  return all
end

describe('the cache of data sets', function()
  local folder, young
  local function load(dir, options)
    return data.load(dir, fixtures.merged({ cache = 'on' }, options))
  end
  local function parsed(dir, options)
    local set = data.load(dir, fixtures.merged({ cache = 'off' }, options))
    assert.equal('not kept: cache=off', set.cached)
    return set
  end
  local function begins(set, words)
    assert.equal(words .. folder, set.cached:sub(1, #words + #folder))
  end
  local function is_read(set) begins(set, 'read from ') end
  local function is_kept(set) begins(set, 'kept in ') end
  local function stored() return folder .. '/' .. fixtures.names(folder)[1] end

  before_each(function()
    folder, young = fixtures.dir {} .. '/cache', cache.YOUNG
    cache.YOUNG = 0
    posix.setenv('TINYKG_CACHE', folder, true)
  end)
  after_each(function()
    cache.YOUNG = young
    posix.setenv('TINYKG_CACHE', 'off', true)
    fixtures.clean()
  end)

  for name, case in pairs {
    KGAT = { KGAT }, KGCN = { KGCN }, RecBole = { RECBOLE }, plain = { PLAIN },
    ['plain with attributes, k-core and order'] =
      { PLAIN, { attributes = 'genre', kcore = { user = 1, item = 1 }, order = 'degree' } },
    ['KGAT with negatives'] = { KGAT, { task = 'ctr' } },
    ['ids with gaps'] = { fixtures.merged(KGAT, { ['train.txt'] = '0 0 5\n7 70000\n',
      ['test.txt'] = '0 9\n' }), { ids = 'compact' } },
  } do
    it('gives the same set: ' .. name, function()
      local dir = fixtures.dir(case[1])
      is_kept(load(dir, case[2]))
      local set = load(dir, case[2])
      is_read(set)
      assert.same(contents(parsed(dir, case[2])), contents(set))
    end)
  end

  it('is not used when a file has changed, even one of the same size and time', function()
    local dir = fixtures.dir(KGAT)
    local path = dir .. '/kg_final.txt'
    load(dir)
    local was = lfs.attributes(path)
    fixtures.write(path, { '0 0 4', '4 1 5', '2 0 4' })
    lfs.touch(path, was.access, was.modification)
    assert.same({ was.size, was.modification },
                { lfs.attributes(path, 'size'), lfs.attributes(path, 'modification') })
    local set = load(dir)
    is_kept(set)
    assert.same({ '0 0 4', '4 1 5', '2 0 4' }, fixtures.triples_of(set.graph))
    is_read(load(dir))
    assert.equal(1, #fixtures.names(folder))
  end)

  it('is not used when a file has come or gone', function()
    local dir = fixtures.dir(KGAT)
    load(dir)
    fixtures.write(dir .. '/valid.txt', '1 1\n')
    local set = load(dir)
    is_kept(set)
    assert.same({ '1 1' }, fixtures.pairs_of(set.valid))
    os.remove(dir .. '/valid.txt')
    is_kept(load(dir))
    lfs.mkdir(dir .. '/derived')
    fixtures.write(dir .. '/derived/train.txt', '0 0\n')
    fixtures.write(dir .. '/derived/test.txt', '0 1\n')
    assert.equal(1, load(dir).train.n)
  end)

  it('is kept for each set of options', function()
    local dir = fixtures.dir(KGCN)
    is_kept(load(dir, { seed = 1, task = 'ctr' }))
    is_kept(load(dir, { seed = 2, task = 'ctr' }))
    is_kept(load(dir, { seed = 1, ratios = { 0.5, 0.25, 0.25 } }))
    is_kept(load(dir, { seed = 1, ratios = { 0.5, 0.25, 0.25 }, kcore = { user = 1 } }))
    local set = load(dir, { task = 'ctr', seed = 1 })
    is_read(set)
    assert.same(contents(parsed(dir, { seed = 1, task = 'ctr' })), contents(set))
    assert.equal(4, #fixtures.names(folder))
  end)

  it('tells folders of the same files apart, and finds one by any path', function()
    local one, other = fixtures.dir(KGAT), fixtures.dir(KGAT)
    load(one)
    is_kept(load(other))
    is_read(load(one .. '/'))
    is_read(load(one .. '/../' .. one:match('[^/]+$')))
  end)

  it('is not used when it is damaged anywhere, or cut short', function()
    local dir = fixtures.dir(PLAIN)
    load(dir)
    local path, want = stored(), contents(parsed(dir))
    local whole = fixtures.bytes(path)
    local function try(bytes, what)
      fixtures.write(path, bytes)
      local set = load(dir)
      assert.equal(path .. ': it is damaged; kept in ' .. path, set.cached, what)
      assert.same(want, contents(set))
      is_read(load(dir))
    end
    local places = { 1, 20, 40, #whole - 1, #whole }
    for at = 65536 + 1, #whole, 65536 do places[#places + 1] = at end
    for _, at in ipairs(places) do
      local byte = string.char(bit.bxor(whole:byte(at), 1))
      try(whole:sub(1, at - 1) .. byte .. whole:sub(at + 1), 'byte ' .. at)
    end
    for _, length in ipairs { 0, 1, 50, 65536, 65540, #whole - 1 } do
      try(whole:sub(1, length), 'length ' .. length)
    end
    try(whole .. 'x', 'longer')
  end)

  it('of another program or version is not used', function()
    local dir = fixtures.dir(KGAT)
    local other = parsed(fixtures.dir(KGCN))
    load(dir)
    other.cached = nil
    assert(cache_file.write(stored(), 'another key', setmetatable(other, nil)))
    local set = load(dir)
    is_kept(set)
    assert.equal('kgat', set.format)
  end)

  it('is not used by a program of the same version that reads otherwise', function()
    local program, set = fixtures.dir{}, fixtures.dir(PLAIN)
    shell.gives(0, ('cp -a lua tinykg %s/ && cp --parents engine/*.h engine/*/*.h %s')
      :format(program, program))
    local function cached()
      local code = ("local cache = require 'tinykg.data.cache' cache.YOUNG = 0 " ..
        "print(tk.data.load('%s', {cache = 'on'}).cached)"):format(set)
      return shell.gives(0, ('./tinykg -e "%s"'):format(code), '', program):match('^%w+')
    end
    assert.same({'kept', 'read'}, {cached(), cached()})
    for _, file in ipairs{'init', 'split', 'formats/plain', 'options/init', 'cache/file'} do
      shell.gives(0, ('echo "-- other" >> %s/lua/tinykg/data/%s.lua'):format(program, file))
      assert.same({'kept', 'read'}, {cached(), cached()})
    end
  end)

  it('is not kept nor used where it is turned off', function()
    local dir = fixtures.dir(KGAT)
    load(dir)
    assert.equal('not kept: cache=off', data.load(dir, { cache = 'off' }).cached)
    posix.setenv('TINYKG_CACHE', 'off', true)
    assert.equal('not kept: TINYKG_CACHE=off', load(dir).cached)
    assert.equal('data: option cache: no is not auto, on or off',
                 fixtures.message(data.load, dir, { cache = 'no' }))
  end)

  it('does not keep what is quick to load, or has just changed', function()
    local dir = fixtures.dir(KGAT)
    assert.equal('not kept: it is quick to load', data.load(dir, { cache = 'auto' }).cached)
    cache.YOUNG = young
    assert.equal('not kept: its files have just been changed', load(dir).cached)
    assert.is_nil(lfs.attributes(folder))
  end)

  it('that cannot be written fails nothing', function()
    local dir = fixtures.dir(KGAT)
    fixtures.write(folder, 'a file')
    local set = load(dir)
    assert.matches('^not kept: .*is not a folder', set.cached)
    assert.same(contents(parsed(dir)), contents(set))
    posix.setenv('TINYKG_CACHE', '/dev/null/x', true)
    assert.matches('^not kept: /dev/null: cannot be made', load(dir).cached)
  end)

  -- A limit of 512 * 64 bytes stands for a full disk: the write fails in the same place.
  it('leaves nothing behind when the disk is full', function()
    local dir = fixtures.dir(KGAT)
    local code, text = shell.sh(('trap "" XFSZ; ulimit -f 64; TINYKG_CACHE=%s luajit -e "local c = '
      .. "require 'tinykg.data.cache'; c.YOUNG = 0; local s = require('tinykg.data').load('%s', "
      .. "{cache = 'on'}); print(s.train.n, s.cached)\""):format(folder, dir))
    assert.equal(0, code, text)
    assert.matches('^%d+%s+not kept: .*cannot be written: File too large', text)
    assert.same({}, fixtures.names(folder))
  end)

  it('may be written by several processes at once', function()
    local dir = fixtures.dir(PLAIN)
    local one = ('TINYKG_CACHE=%s luajit -e "local c = require \'tinykg.data.cache\'; c.YOUNG = 0; '
      .. "for k = 1, 20 do local s = require('tinykg.data').load('%s', {cache = 'on'}); "
      .. "print(require('tinykg.data.fingerprint').of(s).order, (s.cached:match('^%%a+')));"
      .. 'if k %% 2 == 0 then os.remove(s.cached:match(\'/.*\')) end end"'):format(folder, dir)
    local code, text = shell.sh(('(%s & %s & %s & wait)'):format(one, one, one))
    assert.equal(0, code)
    local want, lines, seen = require('tinykg.data.fingerprint').of(parsed(dir)).order, 0, {}
    for order, how in text:gmatch('(%x+)%s+(%a+)') do
      assert.equal(want, order, text)
      lines, seen[how] = lines + 1, true
    end
    assert.equal(60, lines, text)
    assert.is_true(seen.kept and seen.read, text)
    for _, name in ipairs(fixtures.names(folder)) do assert.matches('^%x+%.set$', name) end
  end)

  it('gives arrays that may be written to and that outlive the set', function()
    local dir = fixtures.dir(KGAT)
    load(dir)
    local set = load(dir)
    is_read(set)
    set.train.users[0] = 77
    assert.equal(0, load(dir).train.users[0])
    local users, n, name = set.train.users, set.train.n, set.names.items
    set = nil -- luacheck: ignore
    for _ = 1, 3 do collectgarbage() end
    assert.equal(77, users[0])
    assert.equal(parsed(dir).train.users[n - 1], users[n - 1])
    assert.equal('B3', name:name(3))
    assert.equal(3, name:id('B3'))
    assert.equal('a stored dictionary takes no more names',
                 fixtures.message(name.dictionary.add, name.dictionary, 'new'))
    assert.equal(0, name.dictionary:add('B0'))
  end)

  it('deletes what nobody has read for a month, and its own unfinished files', function()
    local dir = fixtures.dir(KGAT)
    load(dir, { seed = 1 })
    local old, now = stored(), os.time()
    local others = { folder .. '/0.set.tmp.0123456789abcdef', folder .. '/mine.txt' }
    for _, path in ipairs(others) do fixtures.write(path, 'x') end
    for _, path in ipairs { old, unpack(others) } do
      lfs.touch(path, now - 31 * 86400, now - 31 * 86400)
    end
    load(dir, { seed = 2 })
    assert.is_nil(lfs.attributes(old))
    assert.is_nil(lfs.attributes(others[1]))
    assert.is_not_nil(lfs.attributes(others[2]))
  end)

  it('is told by doctor and data info', function()
    local line = '\n  cache +' .. folder:gsub('%p', '%%%0')
    assert.matches(line .. ': 0 data sets, 0 B\n', shell.prints('doctor'))
    load(fixtures.dir(KGAT))
    assert.matches(line .. ': 1 data set, [%d.]+ KiB\n', shell.prints('doctor'))
    local dir = fixtures.dir(KGAT)
    assert.matches('\ncache +not kept: it is quick to load\n', shell.prints('data info ' .. dir))
    assert.matches('\ncache +not kept: cache=off\n',
                   shell.prints('data info --data-set cache=off ' .. dir))
  end)
end)
