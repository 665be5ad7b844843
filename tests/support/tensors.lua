--- Random tensors, and their numbers and bytes, for specs.
local ffi = require 'ffi'
local assert = require 'luassert'
local C = require 'tinykg.engine.lib'
local fixtures = require 'tests.support.fixtures'
local reference = require 'tests.support.reference_ops'
local tensor = require 'tinykg.engine.tensor'
local tk = require 'tinykg'

ffi.cdef 'int tkg_set_isa(const char *name);' -- for tests: not in tinykg.h

local tensors = {}

--- n numbers uniform in (-scale, scale), 1 by default, as floats hold them.
function tensors.numbers(n, seed, scale)
  local random, list = reference.random(seed), {}
  for i = 1, n do list[i] = reference.f32((random() * 2 - 1) * (scale or 1)) end
  return list
end

--- noise(rows, cols, scale), parameter(rows, cols) and ids(n, below), drawn from `random`.
function tensors.drawn_from(random)
  local drawn = {}

  --- Uniform in (-scale, scale), 1 by default.
  function drawn.noise(rows, cols, scale)
    local list = {}
    for i = 1, rows * cols do list[i] = (random() * 2 - 1) * (scale or 1) end
    return tk.zeros(rows, cols):write(list)
  end

  function drawn.parameter(rows, cols) return tk.parameter(drawn.noise(rows, cols)) end

  function drawn.ids(n, below)
    local list = {}
    for i = 1, n do list[i] = math.floor(random() * below) end
    return tk.ids(list)
  end

  return drawn
end

function tensors.bytes(t)
  local values, n = t:values()
  return ffi.string(values, 4 * n)
end

local function flatten(x, list)
  if type(x) == 'number' then list[#list + 1] = x return list end
  for _, inner in ipairs(x) do flatten(inner, list) end
  return list
end

--- Returns the numbers of a tensor, or of lists of lists, as one list.
function tensors.flat(x)
  return tensor.is(x) and fixtures.list(x:values()) or flatten(x, {})
end

--- Returns a tensor of an array of reference_ops.lua; ids become int32.
function tensors.of(x)
  return tensor.create(x.ids and tensor.I32 or tensor.F32, x.shape):write(x)
end

--- Records an op by name; attributes f, i and shape are as in reference_ops.lua.
function tensors.record(name, given, inputs)
  local a = tensor.attribute()
  for k, v in ipairs(given.f or {}) do a.f[k - 1] = v end
  for k, v in ipairs(given.i or {}) do a.i[k - 1] = v end
  if given.shape then tensor.set_shape(given.shape) end
  return tensor.record(name, a, unpack(inputs))
end

--- Returns the values of fn(). Fails unless 1, 2 and 4 threads give the same bits.
function tensors.with_threads(fn)
  local first
  for _, threads in ipairs {1, 2, 4} do
    tk.threads(threads)
    local out = fn()
    first = first or out
    assert(tensors.bytes(first) == tensors.bytes(out), 'other bits with ' .. threads .. ' threads')
  end
  tk.threads(0)
  return tensors.flat(first)
end

--- Calls fn(isa) with each instruction set that the CPU has.
function tensors.on_every_isa(fn)
  for _, isa in ipairs {'sse2', 'avx2', 'avx512', 'neon'} do
    if C.tkg_set_isa(isa) == 0 then fn(isa) end
  end
  C.tkg_set_isa(nil)
end

--- Fails unless fn() returns the same bytes with 1, 2 and 4 threads and each instruction set.
function tensors.same_everywhere(fn)
  local first
  local function run()
    local now = fn()
    first = first or now
    assert.is_true(now == first)
  end
  for _, threads in ipairs {1, 2, 4} do
    tk.threads(threads)
    run()
  end
  tk.threads(0)
  tensors.on_every_isa(run)
end

--- Fails unless each number is within `tolerance`, times 1 + its size if `relative` is true.
function tensors.near(want, got, tolerance, what, relative)
  assert.equal(#want, #got, what)
  for i = 1, #want do
    local off, most = math.abs(want[i] - got[i]), tolerance
    if relative then most = tolerance * (1 + math.abs(want[i])) end
    if off > most or off ~= off then
      error(('%s: element %d is %.9g, expected %.9g'):format(what, i, got[i], want[i]), 0)
    end
  end
end

--- Fails unless each number is within `share` of the largest that is expected.
function tensors.near_largest(want, got, share, what)
  local largest = 0
  for _, x in ipairs(want) do largest = math.max(largest, math.abs(x)) end
  tensors.near(want, got, share * largest + 1e-12, what)
end

--- Compares n samples of noisy numbers with the exact ones, number by number.
---@param exact number[] ---@param sample fun(): number[]
---@return number[] off the mean of each less the exact one ---@return number[] error of that mean
function tensors.deviations(exact, sample, n)
  local off, error_of_mean = {}, {}
  for i = 1, #exact do off[i], error_of_mean[i] = 0, 0 end
  for _ = 1, n do
    for i, x in ipairs(sample()) do
      local d = x - exact[i]
      off[i], error_of_mean[i] = off[i] + d / n, error_of_mean[i] + d * d / n
    end
  end
  for i = 1, #exact do
    error_of_mean[i] = math.sqrt(math.max(error_of_mean[i] - off[i] ^ 2, 0) / (n - 1))
  end
  return off, error_of_mean
end

--- Fails unless two texts of bytes are equal. The message does not show them.
function tensors.same(want, got, what) assert.is_true(want == got, what or 'bits differ') end

return tensors
