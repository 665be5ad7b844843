-- Files that are whole or not there, and the JSON that is written to them.
local lfs = require 'lfs'
local cjson = require 'cjson'
local atomic = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'
local read_file = require 'tinykg.base.read_file'
local fixtures = require 'tests.support.fixtures'
local sh = require('tests.support.shell').sh

local function content(path) return (read_file(path)) end

local names = fixtures.names

--- Runs Lua code in a process of its own after `before`, shell commands. Returns what it printed.
local function elsewhere(code, before)
  local script = fixtures.dir { ['x.lua'] = code } .. '/x.lua'
  local _, text = sh(("%s LUA_PATH='lua/?.lua;lua/?/init.lua;;' luajit %s"):format(
    before or '', script))
  return text
end

describe('atomic.write', function()
  after_each(fixtures.clean)

  it('writes strings, lists and what a function writes, and leaves nothing else', function()
    local dir = fixtures.dir()
    assert.is_true(atomic.write(dir .. '/a', 'one\0two'))
    assert.is_true(atomic.write(dir .. '/b', { 'x', 'y', '' }))
    assert.is_true(atomic.write(dir .. '/c', function(file) file:write('z') end))
    assert.is_true(atomic.write(dir .. '/d', ''))
    assert.same({ 'one\0two', 'xy', 'z', '' },
      { content(dir .. '/a'), content(dir .. '/b'), content(dir .. '/c'), content(dir .. '/d') })
    assert.same({ 'a', 'b', 'c', 'd' }, names(dir))
  end)

  it('replaces an old file, which is there until the end', function()
    local path = fixtures.dir { a = 'old' } .. '/a'
    local seen
    assert.is_true(atomic.write(path, function(file)
      file:write('new')
      file:flush()
      seen = content(path)
    end))
    assert.same({ 'old', 'new' }, { seen, content(path) })
  end)

  it('takes a path without a folder', function()
    local home, dir = lfs.currentdir(), fixtures.dir()
    lfs.chdir(dir)
    local ok, message = atomic.write('a', 'here')
    lfs.chdir(home)
    assert.same({ true, nil, 'here' }, { ok, message, content(dir .. '/a') })
  end)

  it('keeps the old file when the function raises an error or gives up', function()
    local dir = fixtures.dir { a = 'old' }
    assert.has_error(function()
      atomic.write(dir .. '/a', function(file)
        file:write('half')
        error('boom', 0)
      end)
    end, 'boom')
    local ok, message = atomic.write(dir .. '/a', function(file)
      file:write('half')
      return nil, 'no more'
    end)
    assert.is_nil(ok)
    assert.equal(dir .. '/a: cannot be written: no more', message)
    assert.equal('old', content(dir .. '/a'))
    assert.same({ 'a' }, names(dir))
  end)

  it('keeps the old file when the process is killed', function()
    local dir = fixtures.dir { a = 'old' }
    elsewhere(([[
      require('ffi').cdef 'int kill(int process, int signal); int getpid(void);'
      require('tinykg.base.atomic_file').write('%s/a', function(file)
        file:write(('x'):rep(100000))
        file:flush()
        local ffi = require 'ffi'
        ffi.C.kill(ffi.C.getpid(), 9)
      end)
    ]]):format(dir))
    assert.equal('old', content(dir .. '/a'))
    assert.equal(2, #names(dir)) -- it did get as far as the other file
  end)

  it('says that the disk is full, and keeps the old file', function()
    -- A limit on the size of files stands for the disk. Blocks have 512 or 1024 bytes.
    local dir = fixtures.dir { a = 'old' }
    for _, body in ipairs { "('x'):rep(100000)", "{('x'):rep(50000), ('y'):rep(50000)}" } do
      local said = elsewhere(([[local file = require 'tinykg.base.atomic_file'
        print(select(2, file.write('%s/a', %s)))]])
        :format(dir, body), "trap '' XFSZ; ulimit -f 8;")
      assert.equal(dir .. '/a: cannot be written: File too large\n', said)
    end
    local said = elsewhere(([[
      print(select(2, require('tinykg.base.atomic_file').write('%s/a', function(file)
        file:write(('x'):rep(100000)) -- looks at no result
      end)))
    ]]):format(dir), "trap '' XFSZ; ulimit -f 8;")
    assert.equal(dir .. '/a: cannot be written: a write failed\n', said)
    assert.equal('old', content(dir .. '/a'))
    assert.same({ 'a' }, names(dir))
  end)

  it('writes to a device directly', function()
    if lfs.attributes('/dev/full', 'mode') ~= 'char device' then
      pending('no /dev/full here')
      return
    end
    local ok, message = atomic.write('/dev/full', 'x')
    assert.is_nil(ok)
    assert.equal('/dev/full: cannot be written: No space left on device', message)
    assert.equal('char device', lfs.attributes('/dev/full', 'mode'))
    assert.is_true(atomic.write('/dev/null', 'x'))
    assert.equal('char device', lfs.attributes('/dev/null', 'mode'))
  end)

  it('replaces what a symbolic link leads to', function()
    local dir = fixtures.dir { a = 'old' }
    assert(lfs.link('a', dir .. '/link', true))
    assert.is_true(atomic.write(dir .. '/link', 'new'))
    assert.equal('new', content(dir .. '/a'))
    assert.equal('link', lfs.symlinkattributes(dir .. '/link', 'mode'))
  end)

  it('says why it cannot write', function()
    local dir = fixtures.dir()
    local _, message = atomic.write(dir .. '/no/a', 'x')
    assert.equal(dir .. '/no/a: cannot be written: No such file or directory', message)
    _, message = atomic.write(dir, 'x')
    assert.equal(dir .. ': cannot be written: it is a folder', message)
  end)

  it('says that a folder cannot be written', function()
    local dir = fixtures.dir()
    os.execute('chmod 555 ' .. dir)
    local probe = io.open(dir .. '/probe', 'w')
    if probe then probe:close() end
    -- Root writes anywhere but among the system's own files.
    local path = (probe and '/proc' or dir) .. '/a'
    local ok, message = atomic.write(path, 'x')
    os.execute('chmod 755 ' .. dir)
    assert.is_nil(ok)
    assert.truthy(message:find(path .. ': cannot be written: ', 1, true))
  end)

  it('blames the caller for a wrong call', function()
    local ok, message = pcall(atomic.write, 'x', 3)
    assert.is_false(ok)
    assert.truthy(message:find('expected a string, a list of strings or a function, got number'))
    assert.has_error(function() atomic.write(nil, 'x') end)
  end)
end)

describe('atomic.mkdirs', function()
  after_each(fixtures.clean)

  it('makes what is missing', function()
    local dir = fixtures.dir()
    assert.is_true(atomic.mkdirs(dir .. '/a/b//c/'))
    assert.is_true(atomic.mkdirs(dir .. '/a/b/c'))
    assert.is_true(atomic.mkdirs('/'))
    assert.equal('directory', lfs.attributes(dir .. '/a/b/c', 'mode'))
  end)

  it('says what is in the way', function()
    local dir = fixtures.dir { a = 'file' }
    local ok, message = atomic.mkdirs(dir .. '/a/b')
    assert.is_nil(ok)
    assert.equal(dir .. '/a: cannot be made: it is there and is not a folder', message)
  end)
end)

describe('json', function()
  after_each(fixtures.clean)

  it('writes keys in order, lists and objects', function()
    assert.equal('{"a": [1, 2], "b": {"c": true, "d": null}, "e": {}, "f": []}',
      json.encode { b = { d = json.null, c = true }, a = { 1, 2 }, e = {}, f = json.array {} })
    assert.equal('{"10": "x", "20": "y"}', json.encode { [20] = 'y', [10] = 'x' })
  end)

  it('indents', function()
    local value = { a = { 1, 2 }, b = { c = {} }, d = { { e = 1 } } }
    assert.equal('{\n  "a": [1, 2],\n  "b": {\n    "c": {}\n  },\n  "d": [\n    {\n' ..
      '      "e": 1\n    }\n  ]\n}', json.encode(value, { indent = 2 }))
  end)

  it('writes numbers that come back', function()
    local numbers = { 0, 1, -1, 0.1, 1 / 3, 1e15, 123456789012345, 2 ^ 53, 2 ^ 53 + 2, 1e22, 1e300,
      5e-324, 0.30000000000000004, 1.7976931348623157e308, 3.4028234663852886e38 }
    for _, x in ipairs(numbers) do assert.equal(x, tonumber(json.encode(x))) end
    assert.equal('[0.1, 1, 1000000000000000, 1e+22]', json.encode { 0.1, 1, 1e15, 1e22 })
    assert.equal('[null, null, null]', json.encode { 0 / 0, math.huge, -math.huge })
    assert.equal('[9007199254740993, 18446744073709551615]',
      json.encode { 9007199254740993LL, 18446744073709551615ULL })
  end)

  it('escapes strings; what is not UTF-8 becomes U+FFFD', function()
    assert.equal([["a\"\\\n\t\u0000\u001f\u007f/"]], json.encode('a"\\\n\t\0\31\127/'))
    assert.equal('"\195\169\226\130\172\240\159\152\128"',
      json.encode('\195\169\226\130\172\240\159\152\128'))
    local bad = '\239\191\189'
    assert.equal('"caf' .. bad .. ' ' .. bad .. bad .. '!"', json.encode('caf\233 \192\128!'))
  end)

  it('writes what cjson reads alike', function()
    local value = { name = 'x\r\n\1', list = { 1, 2.5, { deep = { true, false } } }, ['a b'] = '' }
    assert.same(value, cjson.decode(json.encode(value)))
    assert.same(value, cjson.decode(json.encode(value, { indent = 3 })))
  end)

  it('says where a value is that it cannot write', function()
    local endless = {}
    endless.self = endless
    for expected, value in pairs {
      ['json: cannot write a function at .a[2]'] = { a = { 1, print } },
      ['json: cannot write the key 1 as number and as string'] = { [1] = 'x', ['1'] = 'y' },
      ['json: cannot write a table that holds itself'] = endless,
    } do
      local ok, message = pcall(json.encode, value)
      assert.is_false(ok)
      assert.truthy(message:find(expected, 1, true), message)
    end
  end)

  it('reads, and names the file that is not JSON', function()
    local dir = fixtures.dir { good = '{"a": [1, null]}', bad = '{"a": [1,', empty = ' \n',
      nan = '[NaN]', two = '1 2' }
    assert.same({ a = { 1, json.null } }, fixtures.json(dir .. '/good'))
    for _, name in ipairs { 'bad', 'empty', 'nan', 'two' } do
      local value, message = fixtures.json(dir .. '/' .. name)
      assert.is_nil(value)
      assert.truthy(message:find(dir .. '/' .. name .. ': not JSON: ', 1, true), message)
    end
    assert.equal(dir .. '/no: No such file or directory', select(2, fixtures.json(dir .. '/no')))
    assert.equal(dir .. ': cannot be read: Is a directory', select(2, fixtures.json(dir)))
    assert.truthy(select(2, json.decode('{', 'log.jsonl:7')):find('^log.jsonl:7: not JSON: '))
    assert.equal('a: not JSON: byte 8 is NUL', select(2, json.decode('{"a":1}\0"b":2', 'a')))
  end)

  it('indents, with a list of plain values on one line', function()
    assert.equal('{\n  "a": [0.1]\n}', json.encode({ a = { 0.1 } }, { indent = 2 }))
  end)
end)
