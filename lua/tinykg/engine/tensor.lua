--- Tensors: lazy values on a tape, or kept ones with memory of their own.
-- Recording checks shapes at once; errors name the recipe's line. Numbers are computed when they
-- are read, or when a step runs. What every op calls has no loops: LuaJIT does not compile a
-- function that has one inside of another's, and interpreted it takes several times longer.
local ffi = require 'ffi'
local renamed = require 'tinykg.base.arguments.renamed'
local C = require 'tinykg.engine.lib'
local flatten = require 'tinykg.engine.numbers.nested_list'
local number_array = require 'tinykg.engine.numbers.number_array'
local runtime = require 'tinykg.engine.runtime'
local tensor_text = require 'tinykg.engine.numbers.tensor_text'
local types = require 'tinykg.base.arguments.types'
local check, fail = runtime.check, runtime.fail

local F32, I32 = 0, 1
local KIND = {}
for k = 0, C.tkg_memory_kinds() - 1 do KIND[ffi.string(C.tkg_memory_kind(k))] = k end

---@class Tensor
local methods = renamed.add({}, 'tensor:')
local Tensor = {__methods = methods, __fields = {'grad'}} -- for the prompt's completion

local op_code = {}
for op = 0, C.tkg_op_count() - 1 do op_code[ffi.string(C.tkg_op_name(op))] = op end
local tensor = {methods = methods, op_code = op_code, kinds = KIND}
--- Whether x is a tensor. ---@return boolean
local function is_tensor(x) return getmetatable(x) == Tensor end
tensor.is = is_tensor
types.declare_class('Tensor', Tensor, 'a tensor')

-- ---- handles ----

--- Wraps an engine tensor and takes over the reference.
local function wrap(pointer)
  return setmetatable({kept = ffi.gc(pointer, C.tkg_tensor_release)}, Tensor)
end
tensor.wrap = wrap

local function lazy(tape, node)
  local t = setmetatable({tape = tape, node = node, generation = tape.generation}, Tensor)
  if tape.live then tape.live[t] = true end
  return t
end

local out_tensor = ffi.new('tkg_tensor *[1]')
local output_node = ffi.new('int32_t[1]')
local function get_ambient_step()
  local cache = runtime.cache
  if not cache.ambient_step then
    cache.ambient_step = runtime.create('step')
    check(C.tkg_step_set(cache.ambient_step, 'check', runtime.checked and 1 or 0))
  end
  return cache.ambient_step
end

local FREED = {generation = -1} -- the tape of freed tensors

--- Errors: a freed tensor, or a value of a step that is over.
local function check_generation(t)
  if t.tape == FREED then fail('this tensor was freed by free()') end
  if not t.tape then fail('this tensor has lost what it is: was a field of it set?') end
  if t.generation ~= t.tape.generation then
    fail('this value belongs to a step that is over: call :keep() on it inside the step, ' ..
         'or return it from the step function')
  end
end

tensor.check_generation = check_generation

--- Computes a lazy value outside of steps, which makes it a kept one. Returns the engine's tensor.
--- Errors: a value of a step.
---@param t Tensor ---@param recording? boolean an op is being recorded, whose inputs have numbers
local function realize(t, recording)
  if t.kept then return t.kept end
  check_generation(t)
  if t.tape.step then
    fail('a value of a step has no numbers before the step has run: ' ..
         'return it from the step function, or call :keep() and look at it afterwards')
  end
  output_node[0] = t.node
  check(C.tkg_step_run(get_ambient_step(), t.tape.c, -1, nil, output_node, 1, out_tensor))
  t.kept = ffi.gc(out_tensor[0], C.tkg_tensor_release)
  t.tape.live[t] = nil
  t.tape, t.node = nil, nil
  t.cut, t.derived = t.derived, nil
  runtime.allocated(4 * C.tkg_tensor_size(t.kept, -1), recording)
  return t.kept
end
tensor.realize = realize

--- The node of a kept tensor on a tape. Errors: a tensor of another device.
local function leaf_of(tape, kept)
  local node = C.tkg_tape_leaf(tape.c, kept)
  if node < 0 then fail('%s', ffi.string(C.tkg_error())) end
  return node
end

--- The node of a value on the tape that records now. A value of the ambient tape is computed first.
local function node_of(t)
  local tape = runtime.tape
  if t.kept then return leaf_of(tape, t.kept) end
  check_generation(t)
  if t.tape == tape then return t.node end
  if t.tape.step then fail('a value of another step cannot be used here') end
  realize(t, true)
  return leaf_of(tape, t.kept)
end
tensor.node_of = node_of

--- Whether t is a value of the step that records now. ---@param t? Tensor ---@return boolean
function tensor.is_of_step(t)
  local tape = runtime.tape
  return tape.step and t ~= nil and t.tape == tape and t.generation == tape.generation
end

local inputs = ffi.new('int32_t[8]')
local attributes = ffi.new('tkg_attributes')

--- Clears and returns the attributes of the op to be recorded next.
local function attribute()
  ffi.fill(attributes, ffi.sizeof(attributes))
  return attributes
end
tensor.attribute = attribute

local MOST_DIMENSIONS, MOST_ELEMENTS = 4, 2 ^ 48

local function check_dimension(d, x)
  if type(x) ~= 'number' or x % 1 ~= 0 then
    fail('dimension %d is %s, expected a whole number', d, types.described(x))
  end
  if math.abs(x) > MOST_ELEMENTS then
    fail('dimension %d is %g, more than any tensor has elements', d, x)
  end
end

--- Errors: dimensions that the engine does not accept.
local function check_shape(shape, n)
  if n > MOST_DIMENSIONS then fail('%d dimensions asked for, at most 4 are possible', n) end
  if n > 0 then check_dimension(1, shape[1]) end
  if n > 1 then check_dimension(2, shape[2]) end
  if n > 2 then check_dimension(3, shape[3]) end
  if n > 3 then check_dimension(4, shape[4]) end
  return shape
end

--- A shape, given as numbers or as one table, checked.
function tensor.shape(...)
  local one = select('#', ...) == 1 and type((...)) == 'table'
  local shape = one and (...) or {...}
  return check_shape(shape, one and #shape or select('#', ...))
end

--- Adds the shape that is asked for to the attributes.
local function set_shape(shape)
  local dims = attributes.shape
  check_shape(shape, #shape)
  attributes.rank = #shape
  dims[0], dims[1], dims[2], dims[3] = shape[1] or 0, shape[2] or 0, shape[3] or 0, shape[4] or 0
  return attributes
end
tensor.set_shape = set_shape

--- Notes what a value outside of steps is made of. Reading a value that was made of parameters
--- makes it a constant, where a gradient would stop unnoticed. So `derived` says that a value
--- depends on parameters, and `cut` that it does so through a value that was read.
local function note_origin(t, from)
  if from.kept and C.tkg_tensor_is_parameter(from.kept) ~= 0 then
    t.derived = true
  elseif from.cut then
    t.cut, t.derived = true, true
  elseif from.derived then
    t.derived = true
  end
end

local function set_input(name, k, t)
  if not is_tensor(t) then
    fail('%s: argument %d is %s, expected a tensor', name, k, types.described(t))
  end
  inputs[k - 1] = node_of(t)
end

--- Sets the inputs of an op. Returns their number.
local function set_inputs(name, a, b, c, d, e, f)
  local n = f ~= nil and 6 or e ~= nil and 5 or d ~= nil and 4 or c ~= nil and 3 or b ~= nil and 2
    or a ~= nil and 1 or 0
  if n > 0 then set_input(name, 1, a) end
  if n > 1 then set_input(name, 2, b) end
  if n > 2 then set_input(name, 3, c) end
  if n > 3 then set_input(name, 4, d) end
  if n > 4 then set_input(name, 5, e) end
  if n > 5 then set_input(name, 6, f) end
  return n
end

--- Notes what an op outside of steps was made of, the tensors a to f.
local function note_origins(t, n, a, b, c, d, e, f)
  local from = {a, b, c, d, e, f}
  for k = 1, n do note_origin(t, from[k]) end
  runtime.compact()
end

--- Records an op of up to six tensors. `with`: attributes from attribute(), or nil. Errors: shapes
--- and types that do not fit.
local function record(name, with, a, b, c, d, e, f)
  local tape, n = runtime.tape, set_inputs(name, a, b, c, d, e, f)
  local where = '' -- that of the last recording
  if runtime.capture then where = runtime.where() end
  local node = C.tkg_tape_record(tape.c, op_code[name], inputs, n, with, where)
  if node == C.TKG_NO_LINE then -- the function has gone another way
    runtime.capture = true
    node = C.tkg_tape_record(tape.c, op_code[name], inputs, n, with, runtime.where())
  end
  if node < 0 then fail('%s', ffi.string(C.tkg_error())) end
  local t = lazy(tape, node)
  if tape.live then note_origins(t, n, a, b, c, d, e, f) end
  return t
end
tensor.record = record

-- ---- reading ----

local function rank_of(t)
  if t.kept then return C.tkg_tensor_rank(t.kept) end
  check_generation(t)
  return C.tkg_tape_rank(t.tape.c, t.node)
end

local function size_of(t, d)
  if t.kept then return C.tkg_tensor_size(t.kept, d) end
  check_generation(t)
  return C.tkg_tape_size(t.tape.c, t.node, d)
end

local function dtype_of(t)
  if t.kept then return C.tkg_tensor_dtype(t.kept) end
  check_generation(t)
  return C.tkg_tape_dtype(t.tape.c, t.node)
end

--- Shape as a list, or the length of dimension `dim`, from 1; negative ones count from the last.
---@param dim? integer ---@return integer[]|integer
function methods:size(dim)
  local rank = rank_of(self)
  if dim then
    local d = dim < 0 and rank + 1 + dim or dim
    if d < 1 or d > rank then fail('size: dimension %d of a tensor with %d', dim, rank) end
    return size_of(self, d - 1)
  end
  return {rank > 0 and size_of(self, 0) or nil, rank > 1 and size_of(self, 1) or nil,
          rank > 2 and size_of(self, 2) or nil, rank > 3 and size_of(self, 3) or nil}
end

--- Number of dimensions. ---@return integer
function methods:rank() return rank_of(self) end
--- Number of elements. ---@return integer
function methods:count() return size_of(self, -1) end
--- Type of the numbers. ---@return string 'f32' or 'i32'
function methods:dtype() return dtype_of(self) == I32 and 'i32' or 'f32' end

--- The numbers as an FFI array (a copy, row-major) and how many there are. Computes a lazy value.
--- Errors: a value of a step that has not run. FFI arrays are as in C: reading or writing beyond
--- their ends is not checked.
---@return ffi.cdata* values, integer count
function methods:values()
  local kept = realize(self)
  local n = C.tkg_tensor_size(kept, -1)
  local out = ffi.new(dtype_of(self) == I32 and 'int32_t[?]' or 'float[?]', math.max(n, 1))
  check(C.tkg_tensor_read(kept, out, 0, n))
  return out, n
end

--- The numbers as nested Lua tables; a number for a tensor without dimensions.
---@return table|number
function methods:totable()
  local values = self:values()
  local shape, at = self:size(), -1
  local function build(d)
    if d > #shape then
      at = at + 1
      return values[at]
    end
    local list = {}
    for i = 1, shape[d] do list[i] = build(d + 1) end
    return list
  end
  return build(1)
end

--- The number of a tensor with one element. Errors: other tensors. ---@return number
function methods:item()
  if self:count() ~= 1 then
    fail('item: a tensor of %d elements is not one number', self:count())
  end
  return (self:values())[0]
end

--- The argument of write as an FFI array, and how many of its numbers are to be written.
local function source(dtype, all, from, count)
  if is_tensor(from) then
    if dtype_of(from) ~= dtype then fail('write: a tensor of another type') end
    count = count or size_of(from, -1)
    from = from:values()
  end
  local element = dtype == I32 and 'int32' or 'float'
  if type(from) == 'cdata' then return from, number_array.check(element, from, count or all) end
  if count and count > #from then fail('write: %d numbers asked of a list of %d', count, #from) end
  count = count or #from
  return number_array.of(element, from, count), count
end

--- Copies numbers, row-major, into this kept tensor.
---@param from number[]|Tensor|ffi.cdata* a flat list, or a tensor or an FFI array of the same type;
---  an FFI pointer must point to as many numbers as `count` says
---@param first? integer the first element written, from 0
---@param count? integer by default all of a list or tensor; of an FFI array this tensor's count
---@return Tensor self
function methods:write(from, first, count)
  local kept = realize(self)
  local array, n = source(dtype_of(self), C.tkg_tensor_size(kept, -1), from, count)
  check(C.tkg_tensor_write(kept, array, first or 0, n))
  return self
end

--- Copies the numbers of another tensor, of the same type and count, into this kept one.
---@param from Tensor ---@return Tensor self
function methods:copy(from)
  check(C.tkg_tensor_copy(realize(self), realize(from)))
  return self
end

--- A copy with memory of its own, and no parameter. ---@return Tensor
function methods:clone()
  local copy = tensor.zeros_like(self)
  local values, n = self:values()
  check(C.tkg_tensor_write(copy.kept, values, 0, n))
  return copy
end

--- Makes a value of a step an output, which can be read when the step has run. Outside of steps:
--- computes the value now. ---@return Tensor self
function methods:keep()
  if self.kept then return self end
  check_generation(self)
  if self.tape.step then
    self.tape.wanted[#self.tape.wanted + 1] = self
    return self
  end
  realize(self)
  return self
end

--- Frees the memory now, instead of when Lua's garbage collector does. Using the tensor afterwards
--- is an error.
function methods:free()
  if self.kept then
    ffi.gc(self.kept, nil)
    C.tkg_tensor_release(self.kept)
    self.kept = nil
    self.tape, self.generation = FREED, 0
    runtime.ambient.live[self] = nil
    runtime.compact(true) -- the tape may be holding it too
  end
end

--- Sets how this value of a step is saved for backward: 'default' (the engine chooses), 'recompute'
--- (computed again if possible), 'mask' (one bit per element, if only the sign is read), 'exact',
--- 'quantize' (codes, unless they would bias gradients). Errors: an unknown rule; a kept tensor.
---@param rule string ---@return Tensor self
function methods:saved_as(rule)
  if self.kept then
    fail('saved_as: a parameter or input is resident; there is nothing to choose')
  end
  check_generation(self)
  check(C.tkg_tape_set_rule(self.tape.c, self.node, rule))
  return self
end

-- ---- printing ----

function Tensor.__tostring(t)
  if not t.kept and t.tape.step and t.generation == t.tape.generation then
    return string.format('%s [%s] of a step not run yet', t:dtype(), table.concat(t:size(), ', '))
  end
  return tensor_text(t.kept and t or (realize(t) and t))
end

function Tensor.__index(t, key)
  local method = methods[key]
  if method then return method end
  if key == 'grad' and rawget(t, 'kept') then
    local gradient = C.tkg_tensor_gradient(t.kept)
    if gradient == nil then return nil end
    gradient = wrap(gradient) -- which the next one replaces, but not before Lua collects this
    runtime.allocated(4 * C.tkg_tensor_size(t.kept, -1))
    return gradient
  end
  if type(key) == 'number' then return methods.row(t, key) end
end

--- Sets the gradient of a parameter to a copy of a tensor, or drops it.
local function set_gradient(t, gradient)
  if gradient ~= nil and not is_tensor(gradient) then
    fail('grad: %s, expected a tensor or nil', types.described(gradient))
  end
  if gradient then
    check(C.tkg_tensor_set_gradient(realize(t), realize(gradient)))
    runtime.allocated(4 * C.tkg_tensor_size(t.kept, -1))
  elseif rawget(t, 'kept') then
    C.tkg_tensor_drop_gradient(t.kept)
  end
end

-- What this module and step.lua set.
local OWN = {kept = true, tape = true, node = true, generation = true, cut = true, derived = true}

--- Errors: a field other than `grad`. t[i] = x would not reach the tensor's numbers, t.sum = x
--- would hide a method, and others nobody reads.
function Tensor.__newindex(t, key, value)
  if OWN[key] then return rawset(t, key, value) end
  if key == 'grad' then return set_gradient(t, value) end
  fail(type(key) == 'number' and
         'a tensor has no [%s] to set: write(list, first, count) puts numbers into it' or
         'a tensor has no field %s to set: grad is the only one', tostring(key))
end

tensor.Tensor = Tensor

-- ---- making ----

local dims = ffi.new('int64_t[4]')

--- A kept tensor of zeros. ---@param kind? string of memory; 'data' by default
local function create(dtype, shape, kind)
  check_shape(shape, #shape)
  for d = 1, #shape do dims[d - 1] = shape[d] end
  check(C.tkg_tensor_create(runtime.engine, dtype, #shape, dims, KIND[kind or 'data'], out_tensor))
  local t = wrap(out_tensor[0])
  runtime.allocated(4 * C.tkg_tensor_size(t.kept, -1))
  return t
end
tensor.create = create
tensor.F32, tensor.I32 = F32, I32

--- A kept tensor of kind 'graph' with the numbers of an FFI array or a list, row-major.
function tensor.constant(dtype, shape, values)
  local t = create(dtype, shape, 'graph')
  return t:write(values, 0, size_of(t, -1))
end

function tensor.zeros_like(t) return create(dtype_of(t), t:size()) end

--- A kept f32 tensor of a number, of nested tables with rows of equal length, or a copy of a
--- tensor.
---
---   local a = tk.tensor{{1, 2}, {3, 4}}
---   print((a * a + 1):sum(2):totable()[1])       --> 7
---@param list number|table|Tensor ---@return Tensor
function tensor.from(list)
  if type(list) == 'number' then list = {list} end
  if is_tensor(list) then return list:clone() end
  local shape, flat = flatten(list)
  local t = create(F32, shape)
  check(C.tkg_tensor_write(t.kept, number_array.of('float', flat, #flat), 0, #flat))
  return t
end

--- A kept int32 tensor of ids from a table, nested for more dimensions, or from an FFI int32 array
--- and its length. Ids count from 0.
---
---   local rows = tk.tensor{{1, 2}, {3, 4}, {5, 6}}
---   print(rows:gather(tk.ids{2, 0}):totable()[1][1])    --> 5
---@param list table|Tensor|ffi.cdata* ---@param n? integer of an FFI array; all of it by default
---@return Tensor int32; a tensor is returned itself
function tensor.ids(list, n)
  if is_tensor(list) then return list end
  if type(list) == 'cdata' then
    n = number_array.check('int32', list, n)
    local t = create(I32, {n})
    check(C.tkg_tensor_write(t.kept, list, 0, n))
    return t
  end
  local shape, flat = flatten(list)
  for i = 1, #flat do
    if not number_array.is_int32(flat[i]) then
      fail('ids: %s at position %d is not an int32', tostring(flat[i]), i)
    end
  end
  local t = create(I32, shape)
  check(C.tkg_tensor_write(t.kept, number_array.of('int32', flat, #flat), 0, #flat))
  return t
end

return tensor
