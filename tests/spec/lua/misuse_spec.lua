-- Scripts that use the documented API wrongly: an error in one line, never the end of the process,
-- and right numbers afterwards. tests/faults/misuse.lua calls everything with anything; here are
-- the cases that once went wrong, with what is right.
local ffi = require 'ffi'
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

local checked = os.getenv('TINYKG_CHECK')

-- Calls may ask for gigabytes: a limit refuses them. Checkers reserve address space themselves.
local IN_LITTLE_MEMORY = ({
  asan = 'export ASAN_OPTIONS="$ASAN_OPTIONS:max_allocation_size_mb=1000"; ', valgrind = '',
})[checked or ''] or 'ulimit -v 1500000; '

--- Lua in a process of its own, in little memory: status 0, and output with `expected` in it.
--- Garbage is collected at the end, so that a broken heap is met.
local function survives(code, expected)
  local text = shell.gives(0,
    ("%sOMP_NUM_THREADS=1 timeout 300 ./tinykg -e '%s for i = 1, 1e5 do local x = {i} end " ..
     "collectgarbage()'"):format(IN_LITTLE_MEMORY, code))
  assert.truthy(text:find(expected, 1, true), text)
end

local function refuses(expected, fn, ...)
  local message = fixtures.message(fn, ...)
  assert.truthy(message:find(expected, 1, true), message)
end

describe('every public function', function()
  after_each(fixtures.clean)

  it('survives whatever it is called with', function()
    if checked == 'valgrind' then return pending('memory cannot be limited there') end
    local last = fixtures.dir() .. '/last'
    local status, text = shell.sh(
      ('%sOMP_NUM_THREADS=1 timeout 300 ./tinykg tests/faults/misuse.lua "" %d 20261129 %s')
        :format(IN_LITTLE_MEMORY, checked and 5 or 60, last))
    local wrong = {}
    for line in text:gmatch('WRONG [^\n]*') do wrong[#wrong + 1] = line end
    if status ~= 0 and #wrong == 0 then
      wrong = {'status ' .. status .. ', in ' .. fixtures.bytes(last), text}
    end
    assert.equal('', table.concat(wrong, '\n'))
    assert.is_true(tonumber(text:match('(%d+) calls, 0 wrong\n$')) > (checked and 5000 or 10000))
  end)
end)

describe('a shape', function()
  it('of five dimensions is refused wherever one can be asked for', function()
    for _, rank in ipairs{5, 9, 24} do
      survives(('local s = {} for d = 1, %d do s[d] = 1 end ' ..
        'for _, f in ipairs{tk.zeros, tk.ones, tk.randn, tk.rand, tk.xavier, function(s) ' ..
        'return tk.zeros(1):reshape(s) end} do assert(not pcall(f, s)) end print("all")')
        :format(rank), 'all')
    end
    refuses('5 dimensions asked for, at most 4', function() tk.zeros(1):reshape(1, 1, 1, 1, 1) end)
  end)

  local HUGE = {2 ^ 31, 2 ^ 47, 2 ^ 48, 2 ^ 53, 2 ^ 62, 2 ^ 63 - 1024, 2 ^ 63}

  it('beyond 2^48 elements is refused, with or without a zero beside it', function()
    for _, n in ipairs(HUGE) do
      for _, shape in ipairs{{n, n}, {n, 0, n}, {0, n, n}, {n, n, 0, n}, {n, 2, 2 ^ 17, 0}} do
        local ok, message = pcall(tk.zeros, shape)
        assert.is_false(ok)
        assert.truthy(message:find('more than', 1, true), message)
        refuses('more than', function() tk.ones(3):reshape(shape) end)
      end
    end
    assert.same({2 ^ 47, 0}, tk.zeros(2 ^ 47, 0):size()) -- no elements, and no product overflows
  end)

  it('that an op makes is refused as well', function()
    local wide, ids = tk.zeros(2 ^ 31, 0), tk.ids{0, 1}
    refuses('more than', function() return tk.ones(2, 4):scatter_add(ids, 2 ^ 50) end)
    refuses('expected a whole number', tk.ones(2, 4).scatter_add, tk.ones(2, 4), ids, 2 ^ 62)
    refuses('2^48', function() return tk.ones(2, 4):scatter_add(ids, 2 ^ 47) end)
    refuses('2^48', function() return wide:matmul(tk.zeros(0, 2 ^ 31)) end)
    refuses('2^48', function()
      return tk.zeros(2 ^ 31, 1, 0) + tk.zeros(1, 2 ^ 31, 0)
    end)
  end)

  it('of a file is held to the same', function()
    local file = fixtures.dir() .. '/x.safetensors'
    local head = '{"a":{"dtype":"F32","shape":[9007199254740992,2048,0],"data_offsets":[0,0]}}'
    fixtures.write(file, ('%c'):format(#head) .. ('\0'):rep(7) .. head)
    refuses('too large', tk.load, file)
    fixtures.clean()
  end)

  it('may be narrowed from a place that does not overflow, and from no other', function()
    local x = tk.tensor{1, 2, 3}
    for _, case in ipairs{{2 ^ 63 - 1024, 1027}, {2 ^ 63, 1}, {2 ^ 53, 2}, {2 ^ 53, -2 ^ 53},
                          {4, 1}, {0, 1}, {1, 4}, {-2 ^ 62, 2}} do
      assert.is_false(pcall(x.narrow, x, 1, case[1], case[2]))
    end
    assert.same({2, 3}, x:narrow(1, 2, 2):totable())
    assert.same({}, x:narrow(1, 4, 0):totable())
  end)
end)

describe('write', function()
  it('takes no more than it is told, wherever it comes from', function()
    local t = tk.zeros(3)
    assert.same({7, 8, 0}, t:write({7, 8, 9}, 0, 2):totable())
    assert.same({7, 1, 2}, t:write({1, 2}, 1):totable())
    refuses('4 numbers asked of a list of 2', t.write, t, {1, 2}, 0, 4)
    refuses('outside a tensor of 3', t.write, t, {1, 2, 3, 4})
    refuses('number 2 is a string, expected a number', t.write, t, {1, 'x'})
    refuses('write: from is nil', t.write, t)
    refuses('write: from is a string', t.write, t, 'abc')
    assert.same({7, 1, 2}, t:totable())
    survives('local l = {} for i = 1, 1000 do l[i] = i end local t = tk.zeros(3) ' ..
             'for k = 1, 200 do t:write(l, 0, 2) end print(t:totable()[2])', '2\n')
  end)

  it('copies the numbers of a tensor', function()
    assert.equal(4, tk.zeros(4):write(tk.ones(4)):sum():item())
    assert.same({0, 1, 2}, tk.zeros(3):write(tk.tensor{1, 2, 3}, 1, 2):totable())
    refuses('a tensor of another type', function() tk.zeros(2):write(tk.ids{1, 2}) end)
    assert.same({5, 6}, tk.ids{0, 0}:write(tk.ids{5, 6}):totable())
  end)

  it('and ids take FFI arrays of their own type and length alone', function()
    local t = tk.ids{1, 2, 3}
    assert.same({4, 5, 3}, t:write(ffi.new('int32_t[2]', {4, 5}), 0, 2):totable())
    refuses('3 numbers asked of an FFI array of 2', t.write, t, ffi.new('int32_t[2]'))
    refuses('is no FFI array of int', t.write, t, ffi.new('float[3]'))
    refuses('is no FFI array of int', t.write, t, ffi.new('double[3]'))
    refuses('is no FFI array of float', function() tk.ones(3):write(ffi.new('int32_t[3]')) end)
    refuses('is no FFI array', t.write, t, 5LL)
    refuses('100000000 numbers asked of an FFI array of 2', tk.ids, ffi.new('int32_t[2]'), 1e8)
    refuses('behind a pointer', tk.ids, ffi.cast('int32_t *', ffi.new('int32_t[2]')))
    refuses('is NULL', tk.ids, ffi.cast('int32_t *', nil), 3)
    assert.same({8, 9}, tk.ids(ffi.new('int32_t[2]', {8, 9})):totable())
    refuses('not an int32', t.write, t, {0.5})
  end)
end)

describe('a field of a tensor', function()
  it('is not set by mistake: only grad can be', function()
    local t = tk.parameter(tk.ones(2))
    for _, key in ipairs{'requires_grad', 'data', 'sum', 'size', 'name', 'Grad'} do
      refuses(('a tensor has no field %s to set: grad is the only one'):format(key),
              function() t[key] = true end)
    end
    refuses('a tensor has no [1] to set: write(', function() t[1] = 2 end)
    refuses('a tensor has no field true to set', function() t[true] = 2 end)
    assert.equal(2, t:sum():item())
  end)

  it('grad takes a tensor of the shape, or nil, and nothing else', function()
    local t = tk.parameter(tk.ones(2))
    refuses('grad: 0, expected a tensor or nil', function() t.grad = 0 end)
    refuses('grad: f32 [3] is no gradient of f32 [2]', function() t.grad = tk.ones(3) end)
    refuses('grad: f32 [1, 2] is no gradient of f32 [2]', function() t.grad = tk.ones(1, 2) end)
    refuses('grad: i32 [2] is no gradient of f32 [2]', function() t.grad = tk.ids{1, 2} end)
    refuses('grad: f32 [2] is no parameter', function() tk.ones(2).grad = tk.ones(2) end)
    refuses('grad: f32 [2] is no parameter', function() (tk.ones(2) * 1).grad = tk.ones(2) end)
    assert.is_nil(t.grad)
    tk.optim.group({t}, {frozen = true})
    refuses('grad: f32 [2] is frozen', function() t.grad = tk.ones(2) end)
  end)
end)

describe('a handle that is gone', function()
  it('is an error where it is used', function()
    local t = tk.ones(3)
    t:free()
    t:free()
    for _, use in ipairs{'sum', 'totable', 'size', 'values', 'clone', 'rank', 'backward', 'keep'} do
      refuses('freed by free()', function() t[use](t) end)
    end
    refuses('freed by free()', function() return tk.optim.adam():state(t) end)
    refuses('freed by free()', function() return t + 1 end)
  end)

  it('of a lazy tensor is made where it is needed: state of what becomes a parameter', function()
    local state = tk.optim.adam():state(tk.zeros(3) + 1)
    assert.equal(2, #state)
    assert.same({3}, state[1]:size())
  end)

  it('of a step or optimizer is said, not followed', function()
    local step = tk.step(function() return tk.ones(1):sum() end)
    step.c = nil
    refuses('given NULL', step)
    local o = tk.optim.adam()
    rawset(o, 'c', nil)
    refuses('given NULL', function() return o.lr end)
    refuses('its optimizer has lost its state',
            tk.step(function() return tk.parameter(tk.ones(1)):sum() end, {optimizer = o}))
  end)

  it('of a graph goes with its counts', function()
    local g = tk.graph{head = {0, 0}, tail = {1, 2}, nodes = 3}
    for field, value in pairs{edges = 1e6, nodes = 1e6, tail_nodes = 0, relations = 7} do
      local before = g[field]
      g[field] = value
      refuses('they cannot be set', g.triples, g)
      g[field] = before
    end
    assert.equal(2, g:triples().n)
  end)
end)

describe('a coroutine that yields', function()
  local w = tk.parameter(tk.ones(3))

  local function dropped(body)
    local co = coroutine.create(body)
    local ok, message = coroutine.resume(co)
    return ok, message, coroutine.status(co)
  end

  it('inside a step is an error there, and nothing stays behind', function()
    for name, body in pairs{
      step = function() tk.step(function() coroutine.yield(1) return w:sum() end)() end,
      no_grad = function() tk.no_grad(function() coroutine.yield(1) end) end,
      bits = function() tk.bits(2, function() coroutine.yield(1) end) end,
    } do
      local ok, message, status = dropped(body)
      assert.is_false(ok)
      assert.matches('misuse_spec.lua:%d+: ' .. name .. ': its function cannot yield', message)
      assert.equal('dead', status)
      assert.equal(6, (tk.ones(3) * 2):sum():item()) -- outside of steps again
      assert.equal(3, (tk.step(function() return w:sum() end)()))
    end
  end)

  it('between steps does no harm', function()
    local co = coroutine.wrap(function()
      for i = 1, 3 do
        coroutine.yield((tk.step(function() return (w * i):sum() end)()))
        coroutine.yield(tk.no_grad(function() return tk.ones(i) * 2 end):sum():item())
      end
    end)
    for i = 1, 3 do
      assert.equal(3 * i, co())
      assert.equal(2 * i, co())
    end
  end)
end)
