--- Arrays in double precision: {shape, n, v = double[n]}, row-major; g is the gradient's double[n].
local ffi = require 'ffi'

local arrays = {}

arrays.doubles, arrays.ints = ffi.typeof 'double[?]', ffi.typeof 'int32_t[?]'

--- Returns an FFI array of the numbers of a list; it is never empty.
---@param kind string of an element: 'float', 'double', 'int32_t'
function arrays.of(kind, list) return ffi.new(kind .. '[?]', math.max(#list, 1), list) end

--- Returns {offsets, items}: rows of items in compressed form, as Lua tables.
function arrays.csr_lists(lists)
  local offsets, items = {0}, {}
  for row, list in ipairs(lists) do
    for _, item in ipairs(list) do items[#items + 1] = item end
    offsets[row + 1] = #items
  end
  return {offsets = offsets, items = items}
end

--- Returns the same as FFI arrays: {rows, n, offsets, items}.
function arrays.csr(lists)
  local csr = arrays.csr_lists(lists)
  return {rows = #lists, n = #csr.items, offsets = arrays.of('int32_t', csr.offsets),
          items = arrays.of('int32_t', csr.items)}
end

--- The product of the first `rank` dimensions, of all without a rank.
local function count(shape, rank)
  local n = 1
  for d = 1, rank or #shape do n = n * shape[d] end
  return n
end
arrays.count = count

--- Zeros. The FFI array has one element more than n, so that it is never empty.
function arrays.new(shape)
  local n = count(shape)
  return {shape = shape, n = n, v = arrays.doubles(n + 1)}
end

--- Elements before dimension dim, of it, behind it; without dim: 1, all elements, 1.
function arrays.around(shape, dim)
  if not dim then return 1, count(shape), 1 end
  local outer, inner = 1, 1
  for d = 1, dim - 1 do outer = outer * shape[d] end
  for d = dim + 1, #shape do inner = inner * shape[d] end
  return outer, shape[dim], inner
end

--- Rows and columns of the matrix view: the last dimension are columns.
function arrays.matrix(shape)
  return count(shape, #shape - 1), shape[#shape] or 1
end

function arrays.same_shape(a, b)
  if #a ~= #b then return false end
  for d = 1, #a do if a[d] ~= b[d] then return false end end
  return true
end

--- The shape that NumPy's rules broadcast two to, or nil.
function arrays.broadcast(a, b)
  local rank, shape = math.max(#a, #b), {}
  for d = 1, rank do
    local na, nb = a[d - rank + #a] or 1, b[d - rank + #b] or 1
    if na ~= nb and na ~= 1 and nb ~= 1 then return nil end
    shape[d] = na == 1 and nb or na
  end
  return shape
end

--- Where each element of `shape` lies in an array of shape `from` that broadcasts to it: int32[n].
function arrays.positions(shape, from)
  local n, rank = count(shape), #shape
  local map, strides, index, stride = arrays.ints(n + 1), {}, {}, 1
  for d = #from, 1, -1 do
    strides[d + rank - #from] = from[d] == 1 and 0 or stride
    stride = stride * from[d]
  end
  for d = 1, rank do index[d], strides[d] = 0, strides[d] or 0 end
  local at = 0
  for i = 0, n - 1 do
    map[i] = at
    for d = rank, 1, -1 do
      index[d], at = index[d] + 1, at + strides[d]
      if index[d] < shape[d] then break end
      at, index[d] = at - index[d] * strides[d], 0
    end
  end
  return map
end

--- A copy of a shape with dimension d changed to n, or left out.
function arrays.with(shape, d, n)
  local out = {}
  for k = 1, #shape do
    if k ~= d then out[#out + 1] = shape[k] elseif n then out[#out + 1] = n end
  end
  return out
end

function arrays.largest(a)
  local most, v = 0, a.v
  for i = 0, a.n - 1 do
    local x = math.abs(v[i])
    if x > most or x ~= x then most = x end
  end
  return most
end

return arrays
