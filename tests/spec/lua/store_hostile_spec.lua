-- Files of tensors made to do harm: to ask for any amount of memory, or to mean different things to
-- different readers.
local files = require 'tests.support.tensor_files'
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'
local store = require 'tinykg.store'
local random = require('tests.support.reference_ops').random
local tensors = require 'tests.support.tensors'

local deflated, le, with = files.deflated, files.le, fixtures.merged

--- Returns the message for a file that must be refused, without its path.
local function refusal(name, text)
  local path = fixtures.dir{[name] = text} .. '/' .. name
  local value, message = store.read(path)
  assert.is_nil(value, 'it was read')
  assert.equal(path .. ': ', message:sub(1, #path + 2))
  return message:sub(#path + 3)
end

local function read(name, text)
  local value, message = store.read(fixtures.dir{[name] = text} .. '/' .. name)
  return assert(value, message)
end

-- ---- ZIP (PKWARE's APPNOTE.TXT, 4.3) ----

local function npy(count, data)
  return files.npy_text(files.npy_dict("'<f4'", '(' .. count .. ')'), data)
end

local function common(e)
  return le(20, 2) .. le(e.flags or 0, 2) .. le(e.method or 0, 2) .. le(0, 4) .. le(e.crc, 4)
    .. le(e.stored or #e.data, 4) .. le(e.size, 4) .. le(#e.name, 2) .. le(0, 2)
end

local function entry(name, text, more)
  return with({name = name .. '.npy', data = text, size = #text, crc = files.crc(text)}, more)
end

--- An archive of these entries. `here` is what an entry's local header says instead; one with `at`
--- has no bytes of its own.
local function zip(list, between)
  local out, directory = '', ''
  for _, e in ipairs(list) do
    local at = e.at or #out
    if not e.at then
      local h = with(e, e.here)
      out = out .. 'PK\3\4' .. common(h) .. h.name .. e.data .. (e.behind or '')
    end
    directory = directory .. 'PK\1\2' .. le(20, 2) .. common(e) .. ('\0'):rep(10) .. le(at, 4)
      .. e.name
  end
  return out .. directory .. (between or '') .. 'PK\5\6' .. le(0, 4) .. le(#list, 2) .. le(#list, 2)
    .. le(#directory, 4) .. le(#out, 4) .. le(0, 2)
end

local ONE = '\0\0\128\63' -- 1.0

describe('an .npz', function()
  teardown(fixtures.clean)

  local a = entry('a', npy('1,', ONE))
  local b = entry('b', npy('1,', ONE))

  it('that is well formed is read, in whichever order its entries lie', function()
    assert.equal(1, read('x.npz', zip{a, b}).b:item())
    local second = #('PK\3\4' .. common(a) .. a.name .. a.data)
    local text = zip{a, b}
    -- The directory names the second entry first.
    local from = #text - 22 - 2 * (46 + 5)
    local one, two = text:sub(from + 1, from + 51), text:sub(from + 52, from + 102)
    assert.equal(second, two:byte(43) + 256 * two:byte(44))
    local turned = text:sub(1, from) .. two .. one .. text:sub(-22)
    assert.equal(1, read('x.npz', turned).a:item())
    assert.equal(1, read('x.npz', turned).b:item())
  end)

  it('whose entries share bytes is refused', function()
    assert.equal('damaged: the local header of b.npy is not what the directory says',
                 refusal('x.npz', zip{a, with(b, {at = 0})}))
    local many = {entry('a', npy('1,', ONE))}
    for k = 2, 20 do many[k] = with(many[1], {at = 0}) end
    assert.matches('^damaged: a.npy and a.npy overlap$', refusal('x.npz', zip(many)))
    -- One entry that lies within the other's bytes.
    local inner = 'PK\3\4' .. common(b) .. b.name .. b.data
    local outer = entry('o', npy('1,', ONE) .. inner)
    local at = #('PK\3\4' .. common(outer) .. outer.name .. npy('1,', ONE))
    assert.matches('^damaged: o.npy and b.npy overlap$',
                   refusal('x.npz', zip{outer, with(b, {at = at})}))
    -- One whose bytes are the directory's.
    local long = entry('l', npy('1,', ONE), {stored = 200, size = 200})
    assert.matches('^damaged: l.npy and the directory overlap$', refusal('x.npz', zip{long}))
  end)

  it('that says one thing in front of an entry and another in the directory is refused', function()
    for _, here in ipairs{{name = 'c.npy'}, {method = 8}, {size = 5}, {stored = 5}, {crc = 7}} do
      assert.equal('damaged: the local header of a.npy is not what the directory says',
                   refusal('x.npz', zip{with(a, {here = here}), b}))
    end
    -- With bit 3 of the flags, sizes and checksum come behind the bytes (4.4.4).
    local later = with(a, {flags = 8, here = {crc = 0, size = 0, stored = 0},
                           behind = le(a.crc, 4) .. le(a.size, 4) .. le(a.size, 4)})
    assert.equal(1, read('x.npz', zip{later, b}).a:item())
  end)

  it('with other things in its directory is refused', function()
    local text = zip{a, b}
    assert.matches('^damaged: bad central directory',
                   refusal('x.npz', text:sub(1, -15) .. le(1, 2) .. le(1, 2) .. text:sub(-10)))
  end)

  it('that inflates to more than it says, or has bytes behind, is refused', function()
    local whole = npy('1000,', ONE:rep(1000))
    local function packed(text, size, behind)
      local data = deflated(text) .. (behind or '')
      local first = text:sub(1, size)
      return zip{entry('a', first, {data = data, method = 8})}
    end
    assert.equal(1000, read('x.npz', packed(whole, #whole)).a:sum():item())
    local fewer = npy('500,', ONE:rep(500)) .. ONE:rep(500)
    assert.equal('damaged: a.npy has more in it than the directory says',
                 refusal('x.npz', packed(fewer, #fewer - 2000)))
    assert.equal('damaged: a.npy has more in it than the directory says',
                 refusal('x.npz', packed(whole, #whole, 'behind')))
  end)

  it('that inflates in many pieces is read', function()
    local t = tensors.drawn_from(random(0)).noise(1, 700000) -- 2.8 MB that hardly become fewer
    local text = npy('1, 700000', tensors.bytes(t))
    local found = read('x.npz', zip{entry('a', text, {data = deflated(text), method = 8})})
    assert.equal(0, (found.a - t):abs():max():item())
  end)
end)

-- ---- safetensors ----

local function safe(header, bytes) return files.safetensors(header, ('\0'):rep(bytes or 0)) end

local function item(from, to, shape)
  return ('{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}'):format(
    shape or (to - from) / 4, from, to)
end

-- {what, file, whether the format's own reader takes it}
local CASES = {
  {'plain', safe('{"a":' .. item(0, 4) .. ',"b":' .. item(4, 8) .. '}', 8), true},
  {'blanks behind the header', safe('{"a":' .. item(0, 4) .. '}   ', 4), true},
  {'nothing', safe('{}'), true},
  {'two empty ones', safe('{"a":' .. item(0, 0, '0') .. ',"b":' .. item(0, 0, '0') .. '}'), true},
  {'one twice', safe('{"a":' .. item(0, 4) .. ',"a":' .. item(4, 8) .. '}', 8)},
  {'one twice, as an escape', safe('{"a":' .. item(0, 4) .. ',"\\u0061":' .. item(4, 8) .. '}', 8)},
  {'a field twice',
   safe('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4)},
  {'metadata twice', safe('{"__metadata__":{"x":"1"},"__metadata__":{"y":"2"},"a":' .. item(0, 4)
                          .. '}', 4)},
  {'a gap', safe('{"a":' .. item(0, 4) .. ',"b":' .. item(8, 12) .. '}', 12)},
  {'a gap in front', safe('{"b":' .. item(4, 8) .. '}', 8)},
  {'an overlap', safe('{"a":' .. item(0, 8) .. ',"b":' .. item(4, 8) .. '}', 8)},
  {'one place for two', safe('{"a":' .. item(0, 4) .. ',"b":' .. item(0, 4) .. '}', 4)},
  {'an empty one within another',
   safe('{"a":' .. item(0, 8) .. ',"b":' .. item(4, 4, '0') .. '}', 8)},
  {'bytes behind', safe('{"a":' .. item(0, 4) .. '}', 8)},
  {'bytes missing', safe('{"a":' .. item(0, 4) .. '}', 2)},
  {'another size', safe('{"a":' .. item(0, 4, '2') .. '}', 4)},
  {'a size below 0', safe('{"a":' .. item(0, 4, '-1') .. '}', 4)},
  {'a size that overflows', safe('{"a":' .. item(0, 0, '9007199254740992,2048,0') .. '}')},
  {'words behind the header', safe('{"a":' .. item(0, 4) .. '} x', 4)},
  {'a name that is not UTF-8', safe('{"\255":' .. item(0, 4) .. '}', 4)},
  {'no offsets', safe('{"a":{"dtype":"F32","shape":[1]}}', 4)},
}

describe('a safetensors file', function()
  teardown(fixtures.clean)

  it('is refused wherever the format is not kept to', function()
    for _, case in ipairs(CASES) do
      if case[3] then read('x.safetensors', case[2])
      else assert.is_string(refusal('x.safetensors', case[2])) end
    end
    assert.equal("damaged: 'a' is in the header twice", refusal('x.safetensors', CASES[6][2]))
    assert.equal("damaged: 'dtype' is in the header twice", refusal('x.safetensors', CASES[7][2]))
  end)

  it('that we read is one to the format\'s own reader, and the other way round', function()
    local dir = fixtures.dir()
    for k, case in ipairs(CASES) do
      fixtures.write(('%s/%d.safetensors'):format(dir, k), case[2])
    end
    local text, why_not = shell.python('safetensors.numpy', [[
import sys
from safetensors.numpy import load_file
for k in range(1, int(sys.argv[2]) + 1):
    try:
        load_file('%s/%d.safetensors' % (sys.argv[1], k))
        print('read')
    except Exception as e:
        print('refused')
]], dir, #CASES)
    if not text then return pending(why_not) end
    local said = text:gmatch('[^\n]+')
    for _, case in ipairs(CASES) do
      assert.equal(case[3] and 'read' or 'refused', said(), case[1])
    end
  end)

  it('with two values for a key of the metadata is refused, though not by that', function()
    assert.equal("damaged: 'x' is in the header twice", refusal('x.safetensors',
      safe('{"__metadata__":{"x":"1","x":"2"},"a":' .. item(0, 4) .. '}', 4)))
    local _, metadata = store.read(fixtures.dir{['x.safetensors'] =
      safe('{"__metadata__":{"x":"1","a":"{\\"a\\": \\\\"},"a":' .. item(0, 4) .. '}', 4)} ..
      '/x.safetensors')
    assert.equal('{"a": \\', metadata.a)
  end)

  it('with any number of dimensions gets a short message', function()
    local ones = ('1,'):rep(29999) .. '1'
    local message = refusal('x.safetensors', safe('{"a":' .. item(0, 4, ones) .. '}', 4))
    assert.equal('a: shape [1, 1, 1, 1, 1, 1, 1, 1, ...] has 30000 dimensions, at most 4 can be ' ..
                 'used: reshape it first', message)
    assert.is_true(#refusal('x.npy', npy(ones, ONE)) < 200)
  end)

  it('with many tensors takes time in proportion', function()
    local function seconds(count)
      local entries = {}
      for k = 1, count do entries[k] = ('"t%d":%s'):format(k, item(4 * k - 4, 4 * k)) end
      local text = safe('{' .. table.concat(entries, ',') .. '}', 4 * count)
      local path = fixtures.dir{['x.safetensors'] = text} .. '/x.safetensors'
      collectgarbage()
      local before = os.clock()
      local all = store.read(path)
      local took = os.clock() - before
      assert.equal(0, all.t7:item())
      for _, t in pairs(all) do t:free() end
      return took
    end
    local few, many = seconds(5000), seconds(40000)
    assert.is_true(many < 24 * few + 1, ('%g s for 5,000, %g s for 40,000'):format(few, many))
  end)
end)

describe('tk.save', function()
  teardown(fixtures.clean)

  it('refuses names that tk.load would refuse', function()
    local one, dir = tk.ones(1), fixtures.dir()
    for _, ending in ipairs{'npz', 'safetensors'} do
      local path = dir .. '/x.' .. ending
      for _, names in ipairs{{'a\255', 'a\254'}, {'caf\233'}, {('n'):rep(70000)}} do
        local all = {}
        for _, name in ipairs(names) do all[name] = one end
        local message = fixtures.message(function() tk.save(path, all) end)
        assert.matches('store_hostile_spec.lua:%d+: save: ', message)
        assert.matches(#names[1] > 100 and 'a name has 70000 bytes' or 'is not UTF%-8', message)
      end
      tk.save(path, {['caf\195\169 \n"x"'] = one, ['\1\0\127'] = one})
      assert.equal(1, tk.load(path)['caf\195\169 \n"x"']:item())
      assert.equal(1, tk.load(path)['\1\0\127']:item())
    end
    local path = dir .. '/y.safetensors'
    assert.matches('metadata: .* is not UTF%-8', fixtures.message(tk.save, path, {a = one},
                                                                 {k = '\255'}))
    assert.matches('metadata: .* is not UTF%-8', fixtures.message(tk.save, path, {a = one},
                                                                 {['\255'] = 'v'}))
    assert.same({'x.npz', 'x.safetensors'}, fixtures.names(dir))
  end)
end)
