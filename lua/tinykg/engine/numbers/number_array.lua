--- FFI arrays of the numbers that tensors are written from.
local ffi = require 'ffi'
local pointers = require 'tinykg.base.pointers'
local runtime = require 'tinykg.engine.runtime'
local types = require 'tinykg.base.arguments.types'
local fail = runtime.fail

local number_array = {}

local ARRAY = {float = ffi.typeof('float[?]'), int32 = ffi.typeof('int32_t[?]')}
local ELEMENT = {float = 'float', int32 = 'int'} -- as pointers.type names them

--- Whether a number is an int32. ---@param x number ---@return boolean
function number_array.is_int32(x) return x % 1 == 0 and x >= -2147483648 and x <= 2147483647 end
local is_int32 = number_array.is_int32

--- An FFI array of the first `n` numbers of a list. Errors: no number, or no int32.
---@param element 'float'|'int32' ---@param list number[] ---@param n integer
function number_array.of(element, list, n)
  local out = ARRAY[element](math.max(n, 1))
  for i = 1, n do
    local x = list[i]
    if type(x) ~= 'number' then
      fail('number %d is %s, expected a number', i, types.described(x))
    end
    if element == 'int32' and not is_int32(x) then
      fail('number %d is %s: not an int32', i, x)
    end
    out[i - 1] = x
  end
  return out
end

--- Checks that an FFI array has `count` elements of a type; nil: all of them. A pointer must come
--- with a count, which the caller answers for.
---@param element 'float'|'int32' ---@param array ffi.cdata* ---@param count? integer
---@return integer count
function number_array.check(element, array, count)
  local found, length = pointers.type(array)
  if found ~= ELEMENT[element] then
    fail('%s is no FFI array of %s', tostring(ffi.typeof(array)), ELEMENT[element])
  end
  if array == nil then fail('the pointer is NULL') end
  count = count or length
  if not count then fail('how many numbers there are behind a pointer must be said') end
  if length and count > length then
    fail('%d numbers asked of an FFI array of %d', count, length)
  end
  return count
end

return number_array
