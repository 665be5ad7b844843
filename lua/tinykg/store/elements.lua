--- Elements of tensors in files: types, conversion, streaming.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local bytes = require 'tinykg.store.bytes'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local refuse = bytes.refuse

local elements = {}

-- Doubles below this round to a finite f32: half a step beyond the largest.
local F32_END = 2 ^ 128 - 2 ^ 103

local function fits_f32(x)
  return (x > -F32_END and x < F32_END) or x ~= x or x == 1 / 0 or x == -1 / 0
end

local function fits_i32(x) return x >= -2147483648 and x <= 2147483647 end

--- Types of elements that can be read: size in bytes, C type, dtype of the tensor, and, where that
--- holds fewer values, which of them fit.
local types = {
  f32 = {size = 4, memory = ffi.typeof 'float[?]', dtype = tensor.F32},
  i32 = {size = 4, memory = ffi.typeof 'int32_t[?]', dtype = tensor.I32},
  f64 = {size = 8, memory = ffi.typeof 'double[?]', dtype = tensor.F32, fits = fits_f32},
  i64 = {size = 8, memory = ffi.typeof 'int64_t[?]', dtype = tensor.I32, fits = fits_i32},
  u8 = {size = 1, memory = ffi.typeof 'uint8_t[?]', dtype = tensor.I32},
  bool = {size = 1, memory = ffi.typeof 'uint8_t[?]', dtype = tensor.I32},
}
elements.types = types

local LARGEST = 2 ^ 48 -- elements of a tensor
local SHOWN = 8 -- dimensions in messages; a file may claim any number

--- A shape as people write it: [2, 3].
function elements.shape_text(shape)
  local cut = #shape > SHOWN and ', ...' or ''
  return '[' .. table.concat(shape, ', ', 1, math.min(#shape, SHOWN)) .. cut .. ']'
end

--- Number of elements of a shape from a file; refuses shapes that no tensor can have.
---@param what string the tensor's name, for messages
function elements.count(shape, what)
  local n, of_others = 1, 1 -- of_others: the product without zeros, which must not overflow either
  for d = 1, #shape do
    local size = shape[d]
    if type(size) ~= 'number' or size < 0 or size % 1 ~= 0
      or size > 2 ^ 53 then
      refuse('%s: dimension %d is %s, expected a whole number', what, d, tostring(size))
    end
    n, of_others = n * size, of_others * math.max(size, 1)
  end
  if #shape > 4 then
    refuse('%s: shape %s has %d dimensions, at most 4 can be used: reshape it first', what,
           elements.shape_text(shape), #shape)
  end
  if n == 0 and of_others > LARGEST then
    refuse('%s: shape %s is too large', what, elements.shape_text(shape))
  end
  return n
end

local words_of = ffi.typeof 'uint32_t *'

-- LuaJIT encodes its other values, pointers included, as NaNs with certain bits. So the bits of
-- doubles from a file are checked before they are read as numbers.
local function replace_nans(doubles, n)
  local words = ffi.cast(words_of, doubles)
  for i = 0, n - 1 do
    local high = bit.band(words[2 * i + 1], 0x7fffffff)
    if high >= 0x7ff00000 and (high > 0x7ff00000 or words[2 * i] ~= 0) then doubles[i] = 0 / 0 end
  end
end

local function convert(from, to, n, first, kind, what)
  local fits = kind.fits
  if kind == types.f64 then replace_nans(from, n) end
  for i = 0, n - 1 do
    local x = from[i]
    if fits and not fits(x) then
      refuse('%s: element %.0f is %s, which %s cannot hold', what, first + i,
             (tostring(x):gsub('U?LL$', '')), kind.dtype == tensor.F32 and 'f32' or 'i32')
    end
    to[i] = x
  end
end

local out_memory = {[tensor.F32] = types.f32.memory, [tensor.I32] = types.i32.memory}

--- Reads the elements of a tensor from a source, in row-major order.
---@param name string a key of elements.types
---@param shape integer[]
---@param what string
---@param take? fun(memory: ffi.cdata*, n: integer) gets the bytes of the file, piece by piece
---@param place? fun(what: string, dtype: integer, shape: integer[]): Tensor? of this type and
---  shape, into which the elements are read; without one they get a tensor of their own
---@return Tensor
function elements.read(source, name, shape, what, take, place)
  local kind = types[name]
  local count = elements.count(shape, what)
  if count * kind.size > source.left then
    refuse('truncated: %s %s of %s needs %.0f bytes, %.0f are left', what,
           elements.shape_text(shape), name, count * kind.size, source.left)
  end
  local t = place and place(what, kind.dtype, shape) or tensor.create(kind.dtype, shape)
  local step = math.min(math.max(count, 1), bytes.CHUNK / kind.size)
  local from = kind.memory(step)
  local same = kind == types.f32 or kind == types.i32
  local to = same and from or out_memory[kind.dtype](step)
  for first = 0, count - 1, step do
    local n = math.min(step, count - first)
    source:read(from, n * kind.size)
    if take then take(from, n * kind.size) end
    if not same then convert(from, to, n, first, kind, what) end
    runtime.check(C.tkg_tensor_write(t.kept, to, first, n))
  end
  return t
end

--- Calls put(memory, bytes) with chunks of a tensor's elements, in row-major order.
---@param t Tensor
---@param put fun(memory: ffi.cdata*, n: integer)
function elements.each_chunk(t, put)
  local kept, count = tensor.realize(t), t:count()
  local step = math.min(math.max(count, 1), bytes.CHUNK / 4)
  local memory = types[t:dtype()].memory(step)
  for first = 0, count - 1, step do
    local n = math.min(step, count - first)
    runtime.check(C.tkg_tensor_read(kept, memory, first, n))
    put(memory, n * 4)
  end
end

return elements
