-- tk.save and tk.load: .npy, .npz and .safetensors against bytes written by hand after the formats'
-- descriptions, against Python's libraries where they are, and against damage.
local ffi = require 'ffi'
local lfs = require 'lfs'
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local store = require 'tinykg.store'
local json = require 'tinykg.base.json'
local files = require 'tests.support.tensor_files'
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

local bits = require('tests.support.tensors').bytes
local content, names = fixtures.bytes, fixtures.names
local le, npy_dict, npy_text = files.le, files.npy_dict, files.npy_text
local safe_text = files.safetensors

--- A tensor of the shape whose elements all differ; for f32 also values that need every bit.
local function sample(shape, dtype)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  local numbers = {}
  for i = 1, n do
    numbers[i] = dtype == tensor.I32 and (i - 3) * 65537 or (i - 3) / 3
  end
  if n > 3 then numbers[4] = dtype == tensor.I32 and -2147483648 or 2 ^ -149 end
  return tensor.create(dtype, shape):write(numbers)
end

local function assert_same(expected, t, what)
  assert.equal(expected:dtype(), t:dtype(), what)
  assert.same(expected:size(), t:size(), what)
  assert.equal(bits(expected), bits(t), what)
end

local shapes = { {}, { 1 }, { 5 }, { 2, 3 }, { 3, 1, 2 }, { 2, 1, 3, 2 }, { 0 }, { 0, 3 },
  { 2, 0, 3 } }

local function samples()
  local all = {}
  for k, shape in ipairs(shapes) do
    all['f/' .. k] = sample(shape, tensor.F32)
    all['i/' .. k] = sample(shape, tensor.I32)
  end
  all['no bounds'] = tk.tensor { 1 / 0, -1 / 0, -0.0, 3.4028234663852886e38 }
  all['caf\195\169 "x"'] = tk.ones(2)
  return all
end

--- The one message of a load that must fail; it begins with the recipe's place and the path.
local function refusal(path)
  local value, message = store.read(path)
  assert.is_nil(value, path)
  local found = message:sub(1, #path + 2) == path .. ': '
  assert.is_true(found, message)
  assert.is_nil(message:find('\n', 1, true))
  local ok, raised = pcall(tk.load, path)
  assert.is_false(ok)
  assert.truthy(raised:match('store_spec%.lua:%d+: (.*)$') == message, raised)
  return message:sub(#path + 3)
end

local function refused(expected, name, text)
  local path = fixtures.dir { [name] = text } .. '/' .. name
  local message = refusal(path)
  assert.truthy(message:find(expected, 1, true), message)
end

-- ---- files by hand ----

--- A ZIP archive with one deflated entry.
local function deflated_zip(name, text)
  local data, crc = files.deflated(text), files.crc(text)
  local common = le(20, 2) .. le(0, 2) .. le(8, 2) .. le(0, 4) .. le(crc, 4) .. le(#data, 4)
    .. le(#text, 4) .. le(#name, 2) .. le(3, 2)
  local first = 'PK\3\4' .. common .. name .. 'abc' .. data
  local directory = 'PK\1\2' .. le(20, 2) .. common .. ('\0'):rep(10) .. le(4, 4) .. name .. 'abc'
  return 'junk' .. first .. directory .. 'PK\5\6' .. le(0, 4) .. le(1, 2) .. le(1, 2)
    .. le(#directory, 4) .. le(4 + #first, 4) .. le(7, 2) .. 'comment'
end

local ONE, MINUS_TWO, HALF = '\0\0\128\63', '\0\0\0\192', '\0\0\0\63' -- 1.0, -2.0, 0.5 in IEEE 754

describe('round trips', function()
  after_each(fixtures.clean)

  it('npy keeps every shape and bit', function()
    local dir = fixtures.dir()
    for name, t in pairs(samples()) do
      local path = dir .. '/' .. name:gsub('%W', '_') .. '.npy'
      tk.save(path, t)
      assert_same(t, tk.load(path), name)
    end
  end)

  for _, ending in ipairs { 'npz', 'safetensors' } do
    it(ending .. ' keeps every name, shape and bit', function()
      local path, all = fixtures.dir() .. '/x.' .. ending, samples()
      tk.save(path, all)
      local back = tk.load(path)
      for name, t in pairs(all) do assert_same(t, assert(back[name], name), name) end
      for name in pairs(back) do assert.truthy(all[name], name) end
      tk.save(path, {})
      assert.same({}, tk.load(path))
    end)
  end

  it('tensors longer than a piece of the file', function()
    local dir = fixtures.dir()
    local big, ids = tk.randn(3, 200001), tensor.create(tensor.I32, { 262145 })
    local values = ffi.new('int32_t[262145]')
    for i = 0, 262144 do values[i] = i * 7 end
    ids:write(values)
    tk.save(dir .. '/x.npy', big)
    assert_same(big, tk.load(dir .. '/x.npy'))
    assert.equal(1, select('#', tk.load(dir .. '/x.npy'))) -- the prompt shows each result
    for _, ending in ipairs { 'npz', 'safetensors' } do
      tk.save(dir .. '/x.' .. ending, { big = big, ids = ids })
      local back = tk.load(dir .. '/x.' .. ending)
      assert_same(big, back.big)
      assert_same(ids, back.ids)
    end
  end)

  it('values that are not computed yet', function()
    local path = fixtures.dir() .. '/x.npy'
    tk.save(path, tk.tensor { 1, 2 } * 3)
    assert.same({ 3, 6 }, tk.load(path):totable())
  end)

  it('metadata of safetensors', function()
    local path = fixtures.dir() .. '/x.safetensors'
    local metadata = { epoch = '12', ['odd "key"\n'] = '\195\169 \\', empty = '' }
    tk.save(path, { w = tk.ones(2) }, metadata)
    local tensors, back = tk.load(path)
    assert.same(metadata, back)
    assert.is_nil(tensors.__metadata__)
    tk.save(path, { w = tk.ones(2) })
    assert.same({}, select(2, tk.load(path)))
  end)

  it('the same tensors make the same bytes; endings may be capitals', function()
    local dir = fixtures.dir()
    for _, ending in ipairs { 'npz', 'safetensors', 'NPZ' } do
      local a, b = dir .. '/a.' .. ending, dir .. '/b.' .. ending
      tk.save(a, samples())
      tk.save(b, samples())
      assert.equal(content(a), content(b))
      assert.truthy(tk.load(a)['f/1'])
    end
  end)
end)

describe('bytes', function()
  after_each(fixtures.clean)

  it('of an npy file', function()
    local path = fixtures.dir() .. '/x.npy'
    local dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"
    local head = '\147NUMPY\1\0' .. le(118, 2) .. dict .. (' '):rep(117 - #dict) .. '\n'
    assert.equal(128, #head)
    tk.save(path, tk.tensor { 1, -2, 0.5 })
    assert.equal(head .. ONE .. MINUS_TWO .. HALF, content(path))
    tk.save(path, tk.ids { { 1, -2 } })
    assert.truthy(content(path):find("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }",
      1, true))
    assert.equal('\1\0\0\0\254\255\255\255', content(path):sub(-8))
    tk.save(path, tensor.create(tensor.F32, {}))
    assert.truthy(content(path):find("'shape': (), }", 1, true))
  end)

  --- CRC-32 (ISO 3309), as hexadecimal digits.
  local function crc32(data) return bit.tohex(files.crc_by_bits(data, 0xEDB88320)) end

  it('of a safetensors file', function()
    assert.equal('cbf43926', crc32('123456789'))
    local path = fixtures.dir() .. '/x.safetensors'
    tk.save(path, { b = tk.tensor { { 1, -2 } }, a = tk.ids { 7 } }, { k = 'v' })
    local text = content(path)
    local length = text:byte(1) + 256 * text:byte(2)
    assert.equal('\0\0\0\0\0\0', text:sub(3, 8))
    assert.equal(0, length % 8)
    local entries = json.decode(text:sub(9, 8 + length))
    local about = entries.__metadata__
    assert.same({ a = crc32('\7\0\0\0'), b = crc32(ONE .. MINUS_TWO) },
      json.decode(about['checksum.tensors']))
    local zeroed = text:sub(9, 8 + length):gsub(about['checksum.header'], 'crc32:00000000')
    assert.equal('crc32:' .. crc32(zeroed), about['checksum.header'])
    assert.same({
      __metadata__ = { k = 'v', ['checksum.header'] = about['checksum.header'],
        ['checksum.tensors'] = about['checksum.tensors'] },
      a = { dtype = 'I32', shape = { 1 }, data_offsets = { 0, 4 } },
      b = { dtype = 'F32', shape = { 1, 2 }, data_offsets = { 4, 12 } },
    }, entries)
    assert.truthy(text:sub(9, 8 + length):find('^{.*} *$'))
    assert.equal('\7\0\0\0' .. ONE .. MINUS_TWO, text:sub(9 + length))
  end)

  it('written by hand are read: safetensors', function()
    local header = '{"w":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]},' ..
      '"n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' ..
      '"s":{"dtype":"I64","shape":[],"data_offsets":[9,17]},"__metadata__":{"by":"hand"}}  '
    local path = fixtures.dir { ['x.safetensors'] =
      safe_text(header, '\200' .. HALF .. ONE .. ('\255'):rep(8)) } .. '/x.safetensors'
    local tensors, metadata = tk.load(path)
    assert.same({ { { 0.5 }, { 1 } }, { 200 }, -1 },
      { tensors.w:totable(), tensors.n:totable(), tensors.s:totable() })
    assert.same({ by = 'hand' }, metadata)
    assert.equal('i32', tensors.s:dtype())
  end)

  local cases = {
    { 'f4', "'<f4'", '(2,)', ONE .. MINUS_TWO, { 1, -2 }, 'f32' },
    { 'i4', "'<i4'", '(1, 2)', '\1\0\0\0\255\255\255\255', { { 1, -1 } }, 'i32' },
    { 'f8', "'<f8'", '(2,)', '\0\0\0\0\0\0\224\63\0\0\0\0\0\0\240\255', { 0.5, -1 / 0 }, 'f32' },
    { 'i8', "'<i8'", '(2,)', '\0\0\0\128' .. ('\255'):rep(4) .. '\255\255\255\127\0\0\0\0',
      { -2147483648, 2147483647 }, 'i32' },
    { 'u1', "'|u1'", '(2,)', '\0\255', { 0, 255 }, 'i32' },
    { 'b1', "'|b1'", '(3,)', '\0\1\1', { 0, 1, 1 }, 'i32' },
    { 'a scalar', "'<f4'", '()', HALF, 0.5, 'f32' },
    { 'no elements', "'<f8'", '(0, 7)', '', {}, 'f32' },
  }
  for _, case in ipairs(cases) do
    it('written by hand are read: npy, ' .. case[1], function()
      for version = 1, 3 do
        local path = fixtures.dir { ['x.npy'] =
          npy_text(npy_dict(case[2], case[3]), case[4], version) } .. '/x.npy'
        local t = tk.load(path)
        assert.same(case[5], t:totable())
        assert.equal(case[6], t:dtype())
      end
    end)
  end

  it('written by hand are read: deflated npz', function()
    -- Random numbers do not shrink, so both sides are longer than a piece; zeros shrink the most.
    for _, t in ipairs { tk.randn(400, 1000), tk.zeros(600000), tk.ids { 3, 1 }, tk.zeros(0) } do
      local dict = npy_dict(t:dtype() == 'i32' and "'<i4'" or "'<f4'",
        '(' .. table.concat(t:size(), ', ') .. ',)')
      local text = deflated_zip('x.npy', npy_text(dict, bits(t)))
      assert_same(t, tk.load(fixtures.dir { ['x.npz'] = text } .. '/x.npz').x)
    end
  end)

  it('in Fortran order are read when that is no other order', function()
    local dict = npy_dict("'<f4'", '(1, 2)', 'True')
    local path = fixtures.dir { ['x.npy'] = npy_text(dict, ONE .. HALF) } .. '/x.npy'
    assert.same({ { 1, 0.5 } }, tk.load(path):totable())
  end)

  -- LuaJIT reads such doubles as nil, strings, tables or whatever else their bits name.
  it('that are odd NaNs become plain ones, in files and in memory', function()
    for descr, numbers in pairs{
      ["'<f4'"] = ('\255'):rep(4) .. '\0\0\210\255' .. '\255\255\251\255' .. '\1\0\128\127',
      ["'<f8'"] = 'AAAA\0\128\253\255' .. ('\255'):rep(8) .. '\1\0\0\0\0\0\240\127' ..
        '\0\0\0\0\0\0\249\255',
    } do
      local text = npy_text(npy_dict(descr, '(4,)'), numbers, 1)
      local t = tk.load(fixtures.dir { ['x.npy'] = text } .. '/x.npy')
      assert.equal(('\0\0\192'):rep(4), (bits(t):gsub('[\127\255]', ''))) -- the sign is free
      for _, x in ipairs(t:totable()) do assert.is_true(type(x) == 'number' and x ~= x) end
    end
    local words = ffi.new('uint32_t[3]', 0xffffffff, 0x3f800000, 0xffd20000)
    local t = tk.zeros(2000):write(ffi.cast('float *', words), 1997, 3)
    assert.equal('\0\0\192\127\0\0\128\63\0\0\192\127', bits(t):sub(-12))
  end)
end)

describe('Python', function()
  after_each(fixtures.clean)

  --- Runs a Python script with a folder as argument; its output, or nil when a module is missing.
  local function run(modules, dir, script)
    local text, why_not = shell.python(modules, script, dir)
    if not text then pending(why_not) end
    return text
  end

  local function save_all(dir)
    tk.save(dir .. '/x.npy', tk.tensor { { 1, 2.5 }, { -3, 4 } })
    local all = { w = tk.tensor { { 1, 2.5 } }, i = tk.ids { 1, -2, 3 }, e = tk.zeros(0, 3),
      s = tensor.create(tensor.F32, {}) }
    tk.save(dir .. '/x.npz', all)
    tk.save(dir .. '/x.safetensors', all, { made = 'here' })
  end

  local shown = '[] float32 (0, 3)\n[1, -2, 3] int32 (3,)\n0.0 float32 ()\n' ..
    '[[1.0, 2.5]] float32 (1, 2)\n'

  it('reads our npy and npz (NumPy)', function()
    local dir = fixtures.dir()
    save_all(dir)
    local text = run('numpy', dir, [[
import sys, zipfile, numpy as np
x = np.load(sys.argv[1] + '/x.npy')
print(x.tolist(), x.dtype, x.shape)
z = np.load(sys.argv[1] + '/x.npz')
for k in sorted(z.files): print(z[k].tolist(), z[k].dtype, z[k].shape)
print(zipfile.ZipFile(sys.argv[1] + '/x.npz').testzip())
]])
    if not text then return end
    assert.equal('[[1.0, 2.5], [-3.0, 4.0]] float32 (2, 2)\n' .. shown .. 'None\n', text)
  end)

  it('writes npy and npz that we read (NumPy)', function()
    local dir = fixtures.dir()
    local text = run('numpy', dir, [[
import sys, numpy as np
d = sys.argv[1]
a = np.arange(24, dtype='f4').reshape(2, 3, 4) / 7
np.save(d + '/a.npy', a)
arrays = dict(a=a, i=np.arange(5) - 2, b=np.array([True, False]), s=np.float64(0.5),
              z=np.zeros(300000, 'i4'), r=(np.arange(300000) * 2654435761 % 1000003).astype('i4'))
np.savez(d + '/stored.npz', **arrays)
np.savez_compressed(d + '/deflated.npz', **arrays)
np.save(d + '/f.npy', np.asfortranarray(a))
]])
    if not text then return end
    assert.equal('', text)
    local expected = {}
    for i = 0, 23 do expected[i + 1] = i / 7 end
    local a = tensor.create(tensor.F32, { 2, 3, 4 }):write(expected)
    assert_same(a, tk.load(dir .. '/a.npy'))
    for _, name in ipairs { 'stored', 'deflated' } do
      local all = tk.load(dir .. '/' .. name .. '.npz')
      assert_same(a, all.a)
      assert.same({ { -2, -1, 0, 1, 2 }, { 1, 0 }, 0.5 },
        { all.i:totable(), all.b:totable(), all.s:totable() })
      assert.equal(300000, all.z:count())
      local r = all.r:values()
      for i = 0, 299999, 997 do assert.equal(i * 2654435761 % 1000003, r[i]) end
    end
    assert.truthy(refusal(dir .. '/f.npy'):find('Fortran order', 1, true))
  end)

  it('reads our safetensors, and we read its (safetensors)', function()
    local dir = fixtures.dir()
    save_all(dir)
    local text = run('numpy, safetensors', dir, [=[
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1] + '/x.safetensors', 'numpy') as f:
    for k in sorted(f.keys()):
        t = f.get_tensor(k)
        print(t.tolist(), t.dtype, t.shape)
    print({k: v for k, v in f.metadata().items() if not k.startswith('checksum.')})
save_file(dict(d=np.array([0.5, 2.0]), w=np.array([[1, 2.5]], 'f4'), b=np.array([True]),
               e=np.zeros((2, 0), 'i4')), sys.argv[1] + '/y.safetensors', {'made': 'there'})
]=])
    if not text then return end
    assert.equal(shown .. "{'made': 'here'}\n", text)
    local t, metadata = tk.load(dir .. '/y.safetensors')
    assert.same({ { 0.5, 2 }, { { 1, 2.5 } }, { 1 }, { 2, 0 }, { made = 'there' } },
      { t.d:totable(), t.w:totable(), t.b:totable(), t.e:size(), metadata })
  end)
end)

describe('damaged files', function()
  after_each(fixtures.clean)

  it('safetensors: every bit of the file counts', function()
    local path = fixtures.dir() .. '/x.safetensors'
    tk.save(path, { w = tk.tensor { { 1, -2, 0.5 } }, ids = tk.ids { 7, 0 }, none = tk.zeros(0) },
      { state = '{"at": {"epoch": 3}}', empty = '' })
    local whole, file, in_tensor = content(path), assert(io.open(path, 'r+b')), 0
    local function put(at, byte)
      file:seek('set', at - 1)
      file:write(string.char(byte))
      file:flush()
    end
    for at = 1, #whole do
      for k = 0, 7 do
        put(at, bit.bxor(whole:byte(at), 2 ^ k))
        local value, message = store.read(path)
        assert(value == nil, ('bit %d of byte %d changes nothing'):format(k, at))
        if message:find(': w: damaged: its bytes', 1, true) then in_tensor = in_tensor + 1 end
      end
      put(at, whole:byte(at))
    end
    file:close()
    assert.equal(8 * 12, in_tensor) -- the bits of w, and no others
    assert.equal(-2, tk.load(path).w:totable()[1][2])
  end)

  it('safetensors: changed by a program that keeps the metadata', function()
    local path = fixtures.dir() .. '/x.safetensors'
    tk.save(path, { w = tk.tensor { 1 } }, { epoch = '12' })
    local text = content(path):gsub('"epoch": "12"', '"epoch": "13"')
    fixtures.write(path, text)
    assert.matches('the header is not what its checksum is of', refusal(path))
    text = text:gsub('checksum.header', 'checksum_header')
    fixtures.write(path, text)
    assert.matches('one of the two checksums', refusal(path))
    text = text:gsub('checksum_', 'checks---'):gsub('checksum', 'checks--')
    fixtures.write(path, text) -- no checksums: a file as any other program's
    assert.equal('13', select(2, tk.load(path)).epoch)
    assert.matches("metadata: checksum.header is made by save",
      fixtures.message(tk.save, path, { w = tk.ones(1) }, { ['checksum.header'] = 'x' }))
  end)

  it('npy: magic, version, header, order', function()
    local f4 = "'<f4'"
    refused('truncated: ', 'x.npy', '')
    refused('bad magic', 'x.npy', 'PK\3\4 not an array')
    refused('version 9.0 of the format', 'x.npy', npy_text(npy_dict(f4, '(1,)'), ONE, 9))
    refused('truncated: the header', 'x.npy', '\147NUMPY\1\0' .. le(500, 2) .. '{')
    refused('bad header', 'x.npy', npy_text('{}\n', ''))
    refused('bad shape', 'x.npy', npy_text(npy_dict(f4, '(1, -2)'), ONE))
    refused('Fortran order', 'x.npy', npy_text(npy_dict(f4, '(2, 2)', 'True'), ONE:rep(4)))
    refused('at most 4', 'x.npy', npy_text(npy_dict(f4, '(1, 1, 1, 1, 1)'), ONE))
  end)

  it('npy: dtype and length', function()
    for _, dtype in ipairs { "'<f2'", "'>f4'", "'|O'", "'>U3'", "[('a', '<f4')]" } do
      refused('is not supported: convert it', 'x.npy', npy_text(npy_dict(dtype, '(1,)'), ONE))
    end
    refused('truncated: array [3] of f32 needs 12 bytes, 8 are left', 'x.npy',
      npy_text(npy_dict("'<f4'", '(3,)'), ONE .. ONE))
    refused('truncated: array [99999999, 99999999] of f32', 'x.npy',
      npy_text(npy_dict("'<f4'", '(99999999, 99999999)'), ONE))
    refused('4 bytes after the array', 'x.npy', npy_text(npy_dict("'<f4'", '(1,)'), ONE .. ONE))
  end)

  it('npy: texts', function()
    local function texts(dtype, shape, ...)
      return npy_text(npy_dict(dtype, shape), table.concat { ... })
    end
    local path = fixtures.dir { ['x.npy'] = texts("'<U2'", '(3,)', le(0xe9, 4), le(0x1f600, 4),
      le(97, 4), le(0, 4), le(0, 4), le(0, 4)) } .. '/x.npy'
    assert.same({ '\195\169\240\159\152\128', 'a', '' }, tk.load(path))
    refused('array: text 1 is not Unicode', 'x.npy', texts("'<U1'", '(1,)', le(0x110000, 4)))
    refused('array: text 2 is not Unicode', 'x.npy',
      texts("'<U1'", '(2,)', le(97, 4), le(0xd800, 4)))
    refused('truncated: array needs 16 bytes, 4 are left', 'x.npy', texts("'<U2'", '(2,)', ONE))
    refused('truncated: array needs 3999999999999996 bytes', 'x.npy',
      texts("'<U0'", '(999999999999999,)', ONE))
    refused('texts in 2 dimensions', 'x.npy', texts("'<U1'", '(1, 1)', le(97, 4)))
  end)

  it('values beyond f32 and i32', function()
    refused('array: element 1 is 2147483648, which i32 cannot hold', 'x.npy',
      npy_text(npy_dict("'<i8'", '(2,)'), ('\0'):rep(8) .. '\0\0\0\128\0\0\0\0'))
    refused('array: element 0 is 1e+300, which f32 cannot hold', 'x.npy',
      npy_text(npy_dict("'<f8'", '(1,)'), '\156\117\0\136\60\228\55\126'))
  end)

  it('safetensors: header', function()
    local function safe(expected, text) refused(expected, 'x.safetensors', text) end
    local function entry(e, data) return safe_text('{"w":' .. e .. '}', data) end
    safe('truncated: 0 bytes', '')
    safe('truncated: 3 bytes', 'abc')
    safe('not a safetensors file: its first 8 bytes', ('x'):rep(100))
    safe('truncated: the header has 50 bytes, 2 are left', le(50, 8) .. '{}')
    safe('not a safetensors file: its header is not an object', safe_text('[1]'))
    safe('not a safetensors file: ', safe_text('{"w":'))
    safe('w: bad entry', entry('3'))
    safe('w: bad entry', entry('{"dtype":"F32","shape":[1]}', ONE))
    safe('w: dtype BF16 is not supported',
      entry('{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}', 'ab'))
    safe('w: dimension 1 is -1', entry('{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}', ONE))
    safe('w: dimension 2 is x', entry('{"dtype":"F32","shape":[1,"x"],"data_offsets":[0,4]}', ONE))
    safe('w: shape [1, 1, 1, 1, 1] has 5 dimensions',
      entry('{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[0,4]}', ONE))
    safe('w: data_offsets 0 to 4 do not fit [2] of F32',
      entry('{"dtype":"F32","shape":[2],"data_offsets":[0,4]}', ONE))
    safe('__metadata__: the value of a is not a string', safe_text('{"__metadata__":{"a":1}}'))
  end)

  it('safetensors: data', function()
    local function two(a, b, data)
      return safe_text(('{"a":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]},' ..
        '"b":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}}'):format(a, a + 4, b, b + 4), data)
    end
    local function safe(expected, text) refused(expected, 'x.safetensors', text) end
    safe('truncated: the tensors need 8 bytes of data, 4 are there', two(0, 4, ONE))
    safe('4 bytes after the last tensor', two(0, 4, ONE:rep(3)))
    safe('b: starts at byte 0 of the data, expected 4', two(0, 0, ONE))
    safe('a: starts at byte 8 of the data, expected 4', two(8, 0, ONE:rep(3)))
  end)

  it('every truncation of a good file is refused', function()
    local dir = fixtures.dir()
    tk.save(dir .. '/x.npy', tk.ones(2))
    tk.save(dir .. '/x.npz', { a = tk.ones(2), b = tk.ids { 3 } })
    tk.save(dir .. '/x.safetensors', { a = tk.ones(2), b = tk.ids { 3 } }, { k = 'v' })
    for _, ending in ipairs { 'npy', 'npz', 'safetensors' } do
      local whole, path = content(dir .. '/x.' .. ending), dir .. '/cut.' .. ending
      for n = 0, #whole - 1 do
        fixtures.write(path, whole:sub(1, n))
        local value, message = store.read(path)
        assert.is_nil(value, n)
        assert.truthy(message:find('truncated', 1, true), message)
      end
    end
  end)

  it('npz: any changed byte is refused or harmless', function()
    local dir = fixtures.dir()
    tk.save(dir .. '/x.npz', { a = tk.tensor { 1, 2 } })
    local whole, path = content(dir .. '/x.npz'), dir .. '/y.npz'
    local refusals = 0
    for n = 1, #whole do
      fixtures.write(path, whole:sub(1, n - 1) .. string.char((whole:byte(n) + 1) % 256) ..
        whole:sub(n + 1))
      local value, message = store.read(path)
      if not value then
        refusals = refusals + 1
        assert.truthy(message:find(path .. ': ', 1, true) == 1, message)
      else
        assert.same({ 1, 2 }, select(2, next(value)):totable())
      end
    end
    assert.is_true(refusals > 150, refusals) -- all of the array's 136 bytes are under a checksum
  end)

  it('npz: not one, or with what we cannot read', function()
    local dir = fixtures.dir()
    tk.save(dir .. '/x.npz', { a = tk.ones(2) })
    local whole = content(dir .. '/x.npz')
    refused('not an .npz file', 'x.npz', ('garbage '):rep(100))
    local data = whole:find(ONE, 1, true)
    refused('the checksum of a.npy is wrong', 'x.npz',
      whole:sub(1, data - 1) .. HALF .. whole:sub(data + 4))
    refused('a.txt: not an array', 'x.npz', (whole:gsub('a%.npy', 'a.txt')))
    local central = whole:find('PK\1\2', 1, true)
    local function patched(offset, byte)
      return whole:sub(1, central + offset - 1) .. byte .. whole:sub(central + offset + 1)
    end
    refused('a.npy: compressed with method 14', 'x.npz', patched(10, '\14'))
    refused('the local header of a.npy is not', 'x.npz', patched(10, '\8'))
    local both = patched(10, '\8')
    refused('a.npy does not inflate', 'x.npz', both:sub(1, 8) .. '\8' .. both:sub(10))
    local deflated = deflated_zip('a.npy', npy_text(npy_dict("'<f4'", '(2,)'), ONE .. HALF))
    local stop = deflated:find('PK\1\2', 1, true)
    refused('damaged: ', 'x.npz',
      deflated:sub(1, stop - 6) .. '\85\85\85' .. deflated:sub(stop - 2))
    refused('a.npy: encrypted', 'x.npz', patched(8, '\1'))
    refused('damaged: a.npy has impossible sizes', 'x.npz', patched(25, '\99'))
  end)

  it('missing files and folders', function()
    local dir = fixtures.dir { ['x.npz/y'] = '' }
    assert.equal('cannot be read: No such file or directory', refusal(dir .. '/no.npy'))
    assert.equal('cannot be read: it is not a plain file', refusal(dir .. '/x.npz'))
  end)
end)

describe('tk.save', function()
  after_each(fixtures.clean)

  local function fails(expected, fn, ...)
    local ok, message = pcall(fn, ...)
    assert.is_false(ok)
    assert.truthy(message:find('store_spec.lua:%d+: '), message)
    assert.truthy(message:find(expected, 1, true), message)
  end

  it('refuses wrong calls and blames their line', function()
    local one = tk.ones(2)
    local dir = fixtures.dir()
    local npz, safe = dir .. '/x.npz', dir .. '/x.safetensors'
    fails('save: path is 3, expected a string', tk.save, 3, one)
    fails('must end in .npy, .npz or .safetensors', tk.save, dir .. '/x.txt', one)
    fails('must end in .npy, .npz or .safetensors', tk.load, dir .. '/npy')
    fails('save: what is nil, expected a tensor', tk.save, dir .. '/x.npy')
    fails('holds one tensor', tk.save, dir .. '/x.npy', { w = one })
    fails('expected tensors by name', tk.save, npz, one)
    fails('w is a number, expected a tensor', tk.save, npz, { w = 3 })
    fails('the name 1 is a number', tk.save, npz, { one })
    fails('__metadata__ cannot be a name', tk.save, safe, { __metadata__ = one })
    fails('only .safetensors files keep metadata', tk.save, npz, { w = one }, { a = 'b' })
    fails('metadata: epoch is a number', tk.save, safe, { w = one }, { epoch = 3 })
    assert.same({}, names(dir))
  end)

  it('keeps the old file when it cannot write', function()
    local dir = fixtures.dir()
    local path = dir .. '/x.safetensors'
    tk.save(path, { w = tk.tensor { 7 } })
    local script = fixtures.dir { ['x.lua'] = ([[
      local tk, path = require 'tinykg', '%s'
      local store = require 'tinykg.store'
      print(select(2, store.write(path, {w = tk.ones(100000)})))
      print(select(2, pcall(tk.save, path, {w = tk.ones(100000)})))
    ]]):format(path) } .. '/x.lua'
    local _, said = shell.sh("trap '' XFSZ; ulimit -f 8; LUA_PATH='lua/?.lua;lua/?/init.lua;;' " ..
      'luajit ' .. script)
    local message = path .. ': cannot be written: File too large\n'
    assert.equal(message .. script .. ':4: ' .. message, said)
    assert.same({ 7 }, tk.load(path).w:totable())
    assert.same({ 'x.safetensors' }, names(dir))
  end)

  it('says that the folder is missing or the disk full', function()
    local dir = fixtures.dir()
    for _, ending in ipairs { 'npy', 'npz', 'safetensors' } do
      local what = ending == 'npy' and tk.ones(2) or { w = tk.ones(2) }
      local path = dir .. '/no/x.' .. ending
      fails(path .. ': cannot be written: No such file or directory', tk.save, path, what)
      assert.is_nil((store.write(path, what)))
      if lfs.attributes('/dev/full', 'mode') == 'char device' then
        path = dir .. '/full.' .. ending
        assert(lfs.link('/dev/full', path, true))
        fails(path .. ': cannot be written: No space left on device', tk.save, path, what)
      end
    end
  end)
end)
