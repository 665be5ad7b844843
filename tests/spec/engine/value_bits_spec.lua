-- Bits of single values: their names, what they change, and what asks first.
local saved = require 'tests.support.saved'
local tk = require 'tinykg'

local parameter, data = saved.parameter, saved.data
local W, V, U = parameter(64, 64), parameter(64, 64), parameter(64, 1)

--- Three layers; the first two are saved, each the value of a relu of one line.
local function layers(x)
  for _, weight in ipairs{W, V} do x = x:matmul(weight):relu() end
  return x:matmul(U):square():mean()
end

--- The kept values whose rule is quantize, by name.
local function packed_of(step)
  local list = {}
  for _, row in ipairs(step:kept()) do
    if row.rule == 'quantize' then list[#list + 1], list[row.value] = row, row end
  end
  return list
end

local function planned(rows, options) return tk.step(layers, options):plan(data(rows, 64)) end

describe('bits of single values', function()
  local names = {}
  setup(function()
    for i, row in ipairs(packed_of(planned(128, {bits = 8}))) do names[i] = row.value end
  end)

  it('have names of the line and the number of the op there, for batches of all sizes', function()
    assert.equal(2, #names)
    local line = names[1]:match('^(value_bits_spec%.lua:%d+) #2$') -- matmul is the first, then relu
    assert.equal(line .. ' #4', names[2])
    for i, row in ipairs(packed_of(planned(300, {bits = 4}))) do
      assert.equal(names[i], row.value)
    end
  end)

  it('are those of their values alone', function()
    local at_8, at_2 = packed_of(planned(128, {bits = 8})), packed_of(planned(128, {bits = 2}))
    local mixed = packed_of(planned(128, {bits = 8, value_bits = {[names[2]] = 2}}))
    assert.same(at_8[1], mixed[1])
    assert.same(at_2[2], mixed[2])
    local exact = planned(128, {bits = 2, value_bits = {[names[1]] = 32}})
    assert.equal(1, #packed_of(exact))
    assert.equal(names[2], packed_of(exact)[1].value)
  end)

  it('give what tk.bits gives, bit for bit', function()
    local x = data(128, 64)
    local function by_scope(a)
      a = a:matmul(W):relu()
      a = tk.bits(2, function() return a:matmul(V):relu() end)
      return a:matmul(U):square():mean()
    end
    local function gradient(fn, options)
      tk.seed(3)
      tk.step(fn, options)(x)
      return U.grad:totable() -- made from the second value
    end
    local found = gradient(layers, {bits = 8, value_bits = {[names[2]] = 2}})
    assert.same(gradient(by_scope, {bits = 8}), found)
    assert.not_same(gradient(layers, {bits = 8}), found)
  end)

  it('come after those that the recipe asks for', function()
    local function asked(x) return tk.bits(8, function() return layers(x) end) end
    local function at(value_bits)
      return packed_of(tk.step(asked, {bits = 4, value_bits = value_bits}):plan(data(128, 64)))
    end
    assert.equal(8, at{}[1].bits)
    assert.equal(8, at{[at{}[1].value] = 2}[1].bits)
  end)

  it('stay where rows of a value are computed alone', function()
    local table_of, few = parameter(4096, 64), tk.ids((require 'ffi').new('int32_t[600]'), 600)
    local function ranked()
      local all = table_of:matmul(W):relu()
      return all:gather(few):matmul(V):square():mean()
    end
    local row = packed_of(tk.step(ranked, {bits = 8}):plan())[1]
    assert.same({600, 64}, row.shape) -- it is pruned
    local other = packed_of(tk.step(ranked, {bits = 8, value_bits = {[row.value] = 4}}):plan())[1]
    assert.equal(4, other.bits)
  end)

  it('say how often backward reads a copy; codes that are read as they are count twice', function()
    local function rows_of(fn) return packed_of(tk.step(fn, {bits = 8}):plan(data(128, 64))) end
    local function by_one(x) return x:matmul(W):relu():matmul(V):sum() end
    local function by_two(x)
      local a = x:matmul(W):relu()
      return (a:matmul(V) + a:matmul(W)):sum()
    end
    local function by_codes(x) return (x:matmul(W):normalize() * x):sum() end
    assert.equal(1, rows_of(by_one)[1].readers) -- the gradient of V
    assert.equal(2, rows_of(by_two)[1].readers)
    assert.equal('normalize', rows_of(by_codes)[1].op)
    assert.equal(2, rows_of(by_codes)[1].readers) -- its own gradient
  end)

  it('are those of the ways that the function takes after its first run, too', function()
    local function branches(x, warm)
      if warm then return x:matmul(U):square():mean() end
      x = (x * 2):matmul(W):relu():matmul(V):relu() -- the last relu is the fifth op here
      return x:matmul(U):sum()
    end
    local line = debug.getinfo(branches, 'S').linedefined + 2
    local options = {bits = 8, value_bits = {['value_bits_spec.lua:' .. line .. ' #5'] = 2}}
    local x = data(128, 64)
    local alone, later = tk.step(branches, options), tk.step(branches, options)
    alone:plan(x, false)
    later:plan(x, true)
    later(x, true)
    later:plan(x, false)
    local expected = packed_of(alone)
    assert.equal(2, expected[#expected].bits)
    assert.same(expected, packed_of(later))
  end)

  it('are refused where they are wrong', function()
    for pattern, value_bits in pairs{
      ["value_bits: %['model'%] = 4 is not"] = {model = 4},
      ['bits of a.lua:3 #1: 3 is not one of'] = {['a.lua:3 #1'] = 3},
      ['bits of a.lua:3 #0: a number of 1 to 255'] = {['a.lua:3 #0'] = 4},
    } do
      assert.error_matches(function() tk.step(layers, {value_bits = value_bits}) end, pattern)
    end
    assert.error_matches(function() tk.step(layers, {value_bits = 3}) end, 'value_bits is a number')
  end)
end)
