--- Ops as tensor methods. Each records one node or a few.
local ffi = require 'ffi'
local arithmetic = require 'tinykg.engine.arithmetic'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local record, attribute, set_shape, fail = tensor.record, tensor.attribute, tensor.set_shape,
  runtime.fail
local types = require 'tinykg.base.arguments.types'
local Tensor, methods = tensor.Tensor, tensor.methods

local ops = {full = arithmetic.full}
local affine, operand = arithmetic.affine, arithmetic.operand

local function scalar(name, f0, f1, x)
  local a = attribute()
  a.f[0], a.f[1] = f0 or 0, f1 or 0
  return record(name, a, x)
end

-- ---- random numbers ----

local RANDOM = {uniform = 0, normal = 1, gumbel = 2}

--- Random numbers without a gradient: 'uniform' in [0, 1), standard 'normal', or 'gumbel',
--- -log(-log(u)), by Philox (Salmon et al. 2011) from an element's position. In a step each run
--- draws new ones, by the seed, the step's number and the place among its random ops: a resumed
--- run draws what it would have drawn. Outside of steps each call does, from tk.seed on. Uniform
--- numbers have the same bits on all devices.
---
---   print(table.concat(tk.random('gumbel', 2, 3):size(), ' x '))    --> 2 x 3
---@param kind string ---@param ... integer|integer[] the shape ---@return Tensor f32
function ops.random(kind, ...)
  if not RANDOM[kind] then fail("random: '%s' is not uniform, normal or gumbel", kind) end
  local a = attribute()
  set_shape(tensor.shape(...))
  a.i[0] = RANDOM[kind]
  if runtime.tape == runtime.ambient then a.i[1] = runtime.stream() end
  return record('random', a)
end

-- ---- elementwise ----

--- 1 / (1 + exp(-x)) ---@return Tensor of the same shape
function methods:sigmoid() return record('sigmoid', nil, self) end
--- Hyperbolic tangent. ---@return Tensor of the same shape
function methods:tanh() return record('tanh', nil, self) end
--- x where x > 0, else scale * (exp(x) - 1): Clevert et al., ELU, ICLR 2016.
---@param scale? number above 0; 1 by default ---@return Tensor of the same shape
function methods:elu(scale)
  if scale and (scale <= 0 or scale ~= scale) then fail('elu: scale %g is not above 0', scale) end
  return scalar('elu', scale or 1, 0, self)
end
--- log(1 + exp(x)), without overflow. ---@return Tensor of the same shape
function methods:softplus() return record('softplus', nil, self) end
--- e to the power of x. ---@return Tensor of the same shape
function methods:exp() return record('exp', nil, self) end
--- Natural logarithm; -inf or NaN outside of its domain. ---@return Tensor of the same shape
function methods:log() return record('log', nil, self) end
--- Square root. ---@return Tensor of the same shape
function methods:sqrt() return record('sqrt', nil, self) end
--- x * x ---@return Tensor of the same shape
function methods:square() return record('square', nil, self) end
--- max(x, 0). Backward reads the sign alone. ---@return Tensor of the same shape
function methods:relu() return scalar('leaky_relu', 0, 0, self) end
--- x where x > 0, else slope * x. Backward reads the sign alone.
---@param slope? number .01 by default ---@return Tensor of the same shape
function methods:leaky_relu(slope) return scalar('leaky_relu', slope or 0.01, 0, self) end
--- |x|; the derivative at 0 is -1. ---@return Tensor of the same shape
function methods:abs() return scalar('leaky_relu', -1, 0, self) end
--- min(max(x, low), high); the gradient is 0 outside.
---@param low? number ---@param high? number ---@return Tensor of the same shape
function methods:clamp(low, high)
  return scalar('clamp', low or -math.huge, high or math.huge, self)
end

--- Sine of x in radians; beyond 2^26 that of 2^26. ---@return Tensor of the same shape
function methods:sin() return record('sin', nil, self) end
--- Cosine of x in radians; beyond 2^26 that of 2^26. ---@return Tensor of the same shape
function methods:cos() return record('cos', nil, self) end
--- Arc sine, within pi / 2 of 0; NaN outside of [-1, 1]. ---@return Tensor of the same shape
function methods:asin() return record('asin', nil, self) end

local as_float = ffi.new 'float[1]'

--- x to the power of p, also written x ^ p. NaN for a negative x unless p is whole.
---
---   print((tk.tensor{9} ^ 1.5):item())    --> 27
---@param p number within 2^24 of 0 ---@return Tensor of the same shape
function methods:pow(p)
  if not (p >= -2 ^ 24 and p <= 2 ^ 24) then fail('pow: %g is not within 2^24 of 0', p) end
  if p == 0 then return ops.full(1, unpack(self:size())) end
  if p == 1 then return self end
  if p == 2 or p == 0.5 then return p == 2 and self:square() or self:sqrt() end
  as_float[0] = p
  return scalar('pow', p, p - as_float[0], self)
end

function Tensor.__pow(x, p)
  if type(x) == 'number' then
    fail('%g ^ x of a tensor x: write (x * math.log(%g)):exp()', x, x)
  end
  if type(p) ~= 'number' then
    fail('x ^ p: p is %s, expected a number', tensor.is(p) and 'a tensor' or types.described(p))
  end
  return x:pow(p)
end

-- ---- comparisons, and what they choose ----

--- a number as a node
local function value(x) return operand(x) and ops.full(x) or x end
local function compare(op, a, b) return record(op, nil, value(a), value(b)) end

--- 1 where x > other, else 0. Comparisons pass no gradient; NaN is as IEEE 754 has it.
---
---   print(table.concat(tk.tensor{1, 2, 3}:gt(2):totable(), ' '))    --> 0 0 1
---@param other Tensor|number broadcast as + does ---@return Tensor f32
function methods:gt(other) return compare('greater', self, other) end
--- 1 where x >= other, else 0. ---@param other Tensor|number ---@return Tensor f32
function methods:ge(other) return compare('greater_equal', self, other) end
--- 1 where x < other, else 0. ---@param other Tensor|number ---@return Tensor f32
function methods:lt(other) return compare('greater', other, self) end
--- 1 where x <= other, else 0. ---@param other Tensor|number ---@return Tensor f32
function methods:le(other) return compare('greater_equal', other, self) end
--- 1 where x equals other, else 0. ---@param other Tensor|number ---@return Tensor f32
function methods:eq(other) return compare('equal', self, other) end
--- 1 where x differs from other, else 0. ---@param other Tensor|number ---@return Tensor f32
function methods:ne(other) return compare('not_equal', self, other) end

local BOOLEAN = 'a %s b or a %s b of tensors: write a:%s(b) or a:%s(b). Lua makes it a boolean'
function Tensor.__lt() fail(BOOLEAN, '<', '>', 'lt', 'gt') end
function Tensor.__le() fail(BOOLEAN, '<=', '>=', 'le', 'ge') end

--- a where condition is above 0, else b; all broadcast. What is not chosen may be NaN or infinite:
--- the result does not show it, and its gradient is 0. The ops that computed it multiply that 0 by
--- their derivative: where this is infinite or NaN, as log's at 0, the gradient of their input is
--- NaN. So choose their input, too. Backward keeps one bit per element of the condition.
---
---   local x = tk.parameter(tk.tensor{0, 4})
---   local positive = x:gt(0)
---   tk.where(positive, tk.where(positive, x, 1):log(), 3 * x):sum():backward()
---   print(table.concat(x.grad:totable(), ' '))    --> 3 0.25
---@param condition Tensor f32, as gt, eq and others give ---@param a Tensor|number
---@param b Tensor|number ---@return Tensor
function ops.where(condition, a, b)
  if b == 0 then return record('select', nil, value(a), condition) end
  if a == 0 then return record('reject', nil, value(b), condition) end
  return record('select', nil, value(a), condition) + record('reject', nil, value(b), condition)
end

-- ---- more of one input ----

--- x / (1 - p) with probability 1 - p, else 0. Saves nothing: backward draws the mask again.
---@param p number probability of a zero, 0 <= p < 1 ---@return Tensor of the same shape
function methods:dropout(p)
  if not (p >= 0 and p < 1) then fail('dropout: %s is not in [0, 1)', tostring(p)) end
  if p == 0 then return self end
  return scalar('dropout', p, 0, self)
end

--- The same value as a constant: no gradient goes through it.
function methods:detach()
  if self:dtype() == 'i32' then return self end
  local t = record('detach', nil, self)
  t.cut, t.derived = nil, nil -- a constant is meant, so it may have been read
  return t
end

-- ---- reductions ----

local function reduce(x, dim, what)
  local rank = x:rank()
  local a = attribute()
  if dim then
    if dim < 0 then dim = rank + 1 + dim end
    if dim < 1 or dim > rank then fail('%s: dimension %d of a tensor with %d', what, dim, rank) end
    a.i[0] = 2 ^ (dim - 1)
  else
    a.i[0] = 2 ^ rank - 1
  end
  return record('sum', a, x)
end

--- Sum over one dimension (from 1; negative from the last), or over all.
---@param dim? integer ---@return Tensor without that dimension, or without any
function methods:sum(dim) return reduce(self, dim, 'sum') end

--- Mean over one dimension (from 1; negative from the last), or over all: the sum times the float
--- nearest to 1 / n, so that the mean of 41 ones is 1 but for the last bit.
---@param dim? integer ---@return Tensor without that dimension, or without any
function methods:mean(dim)
  local sum = reduce(self, dim, 'mean')
  return affine(sum, 1 / (dim and self:size(dim) or self:count()), 0)
end

--- The largest element of all, or along the last dimension, or along the first of a matrix. The
--- first of equal ones; the gradient goes to it alone.
---@param dim? integer ---@return Tensor values, Tensor positions 0-based int32
function methods:max(dim)
  local rank = self:rank()
  if not dim then
    local values, at = self:reshape(1, self:count()):max(2)
    return values:reshape(), at:reshape()
  end
  if rank == 2 and dim == 1 then return self:transpose():max(2) end
  if dim ~= rank and dim ~= -1 then fail('max: the last dimension, or the first of a matrix') end
  local cols = self:size(rank)
  if cols == 0 then fail('max: f32 [%s] has no elements', table.concat(self:size(), ', ')) end
  local x = self:reshape(-1, cols)
  local at = record('argmax', nil, x)
  local shape = self:size()
  shape[rank] = nil
  return record('take', nil, x, at:reshape(-1, 1)):reshape(shape), at:reshape(shape)
end

--- The smallest element of all, or along the last dimension, or along the first of a matrix. The
--- first of equal ones; the gradient goes to it alone.
---
---   local values, at = tk.tensor{{3, 1, 2}, {-1, 5, -1}}:min(2)
---   print(table.concat(values:totable(), ' '))    --> 1 -1
---   print(table.concat(at:totable(), ' '))        --> 1 0
---@param dim? integer ---@return Tensor values, Tensor positions 0-based int32
function methods:min(dim)
  local rank = self:rank()
  local along = not dim or dim == rank or dim == -1 or rank == 2 and dim == 1
  if not along then fail('min: the last dimension, or the first of a matrix') end
  if self:count() == 0 then
    fail('min: f32 [%s] has no elements', table.concat(self:size(), ', '))
  end
  local values, at = (-self):max(dim)
  return -values, at
end

--- Row by row: the sum over the last dimension of a * b.
---@param a Tensor [..., d] ---@param b Tensor of the same shape ---@return Tensor [...]
function ops.dot(a, b) return record('dot', nil, a, b) end

-- ---- matrices and layout ----

--- Matrix product [n, k] x [k, m]. Without transpose_a the first factor may have more dimensions;
--- its last one is the columns. If both have more, matrices in their last two dimensions are
--- multiplied one by one: [.., n, k] x [.., k, m], with equal dimensions before.
---
---   print(table.concat(tk.ones(5, 2, 3):matmul(tk.ones(5, 3, 4)):size(), ' x '))    --> 5 x 2 x 4
---@param b Tensor ---@param options? {transpose_a: boolean, transpose_b: boolean} of each matrix
---@return Tensor [n, m]
function methods:matmul(b, options)
  local a = attribute()
  if options then
    runtime.options('matmul', options, 'transpose_a transpose_b')
    a.i[0], a.i[1] = options.transpose_a and 1 or 0, options.transpose_b and 1 or 0
  end
  local many = tensor.is(b) and b:rank() > 2 and self:rank() > 2
  return record(many and 'batched_matmul' or 'matmul', a, self, b)
end

--- The same elements in another shape; one dimension may be -1. Without arguments: a tensor without
--- dimensions. ---@param ... integer|integer[] the shape ---@return Tensor sharing the memory
function methods:reshape(...)
  attribute()
  return record('reshape', set_shape(tensor.shape(...)), self)
end

--- Rows and columns of a matrix exchanged. ---@return Tensor
function methods:transpose() return record('transpose', nil, self) end

--- `count` entries of dimension `dim`, from entry `first` on, both counted from 1.
---@param dim integer ---@param first integer ---@param count integer ---@return Tensor
function methods:narrow(dim, first, count)
  local shape = self:size()
  if not shape[dim] then fail('narrow: dimension %s of a tensor with %d', tostring(dim), #shape) end
  shape[dim] = count
  local a = attribute()
  set_shape(shape)
  a.i[0], a.i[1] = dim - 1, first - 1
  return record('narrow', a, self)
end

--- Entries first..last of the first dimension (from 1, both included).
---@param first integer ---@param last integer ---@return Tensor
function methods:rows(first, last) return self:narrow(1, first, last - first + 1) end

--- Entry i of the first dimension, from 1; negative ones count from the last. `a[i]` is the same.
---@param i integer ---@return Tensor with one dimension fewer
function methods:row(i)
  local shape = self:size()
  local n = table.remove(shape, 1)
  if not n or type(i) ~= 'number' or i % 1 ~= 0 or i == 0 or math.abs(i) > n then
    fail('[%s] of a tensor [%s]: %s', tostring(i), table.concat(self:size(), ', '),
         n and ('1 to %d, or -1 to -%d from the last'):format(n, n) or 'it has no dimension')
  end
  return self:narrow(1, i < 0 and n + 1 + i or i, 1):reshape(shape)
end

local MOST = 6 -- inputs of one op

--- Joins tensors along a dimension; their other dimensions must be equal.
---
---   print(table.concat(tk.cat({tk.ones(2, 3), tk.zeros(2, 1)}, 2):size(), ' x '))    --> 2 x 4
---@param list Tensor[] ---@param dim? integer 1 by default ---@return Tensor
function ops.cat(list, dim)
  if #list == 0 then fail('cat: expected a list of tensors') end
  for i = 1, #list do
    if not tensor.is(list[i]) then
      fail('cat: %d of the list is %s, expected a tensor', i, types.described(list[i]))
    end
  end
  if #list == 1 then return list[1] end
  if #list > MOST then -- a tree of nodes
    local size, parts = math.ceil(#list / MOST), {}
    for first = 1, #list, size do
      parts[#parts + 1] = ops.cat({unpack(list, first, math.min(first + size - 1, #list))}, dim)
    end
    return ops.cat(parts, dim)
  end
  local a = attribute()
  a.i[0] = (dim or 1) - 1
  return record('concat', a, unpack(list))
end

--- Joins tensors of one shape along a new dimension.
---
---   print(table.concat(tk.stack({tk.ones(3), tk.zeros(3)}, 2):size(), ' x '))    --> 3 x 2
---@param list Tensor[] ---@param dim? integer the new dimension, 1 by default ---@return Tensor
function ops.stack(list, dim)
  local parts = {}
  for i = 1, #list do
    if not tensor.is(list[i]) then
      fail('stack: %d of the list is %s, expected a tensor', i, types.described(list[i]))
    end
    local shape = list[i]:size()
    if dim and not (dim >= 1 and dim <= #shape + 1) then
      fail('stack: %d is no new dimension of a tensor with %d', dim, #shape)
    end
    table.insert(shape, dim or 1, 1)
    parts[i] = list[i]:reshape(shape)
  end
  if #parts == 0 then fail('stack: expected a list of tensors') end
  return ops.cat(parts, dim)
end

-- ---- rows by id ----

--- Rows of a matrix, or elements of a vector, by 0-based ids. Errors, when the step runs: an id
--- that is no row.
---@param ids Tensor int32 [...] ---@return Tensor [..., d] of a matrix [n, d]
function methods:gather(ids) return record('gather', nil, self, ids) end

--- x[b, ids[b, j]]: elements of each row of a matrix by position, 0-based.
---@param ids Tensor int32 [b, j] ---@return Tensor [b, j]
function methods:take(ids) return record('take', nil, self, ids) end

--- Adds row i of this to row ids[i] of a matrix with `n` rows of zeros.
---@param ids Tensor int32, one per row ---@param n integer ---@return Tensor [n, d]
function methods:scatter_add(ids, n)
  local cols = self:size(-1)
  attribute()
  return record('scatter_add', set_shape{n, cols}, self, ids)
end

--- 0, 1, ... n as ids: a part of the longest such list that was asked for, which alone is kept.
local function counting(n)
  local longest = runtime.cache.counting
  if not longest or longest:count() <= n then
    local list = {}
    for i = 0, n do list[i + 1] = i end
    longest = tensor.ids(list)
    runtime.cache.counting = longest
  end
  return longest:count() == n + 1 and longest or longest:narrow(1, 1, n + 1)
end

--- 1 where ids[b, j] is column[b], else 0.
---@param ids Tensor int32 [b, j] ---@param column Tensor int32 [b]
---@return Tensor f32 [b, j]
function ops.equal(ids, column)
  local n = column:count()
  local offsets = counting(n)
  local rows, ones = offsets:narrow(1, 1, n), ops.full(1, n)
  return record('lookup', attribute(), offsets, column, rows, ids, ones)
end

-- ---- rows ----

--- Divides each row (the last dimension) by its Euclidean norm, or by eps if that is larger.
---@param eps? number below 1; 1e-12, as PyTorch's normalize ---@return Tensor of the same shape
function methods:normalize(eps)
  if eps and (eps >= 1 or eps ~= eps) then fail('normalize: eps %g is not below 1', eps) end
  local a = attribute()
  a.f[0] = eps or 1e-12
  return record('normalize', a, self, record('row_norm', a, self))
end
--- exp(x) / sum of exp(x) over the last dimension, without overflow.
---@return Tensor of the same shape
function methods:softmax() return record('softmax', nil, self) end
--- Logarithm of the softmax over the last dimension. ---@return Tensor of the same shape
function methods:log_softmax() return record('log_softmax', nil, self) end

-- ---- the largest of a row ----

--- A tensor's last dimension as that of a matrix, for ops on its rows.
local function as_rows(x, what)
  if x:rank() == 0 then fail('%s: a tensor without dimensions has no rows', what) end
  return x:rank() == 2 and x or x:reshape(-1, x:size(-1))
end

--- The k largest elements of each row (the last dimension), largest first, and their positions;
--- equal ones by position, NaN before all. The gradient goes to the elements picked.
---
---   local values, at = tk.tensor{{3, 1, 3}, {0, 5, 7}}:top_k(2)
---   print(table.concat(at:totable()[1], ' '))    --> 0 2
---@param k integer 1 or more, at most the columns
---@return Tensor values [..., k], Tensor positions 0-based int32 [..., k]
function methods:top_k(k)
  local x, a, shape = as_rows(self, 'top_k'), attribute(), self:size()
  a.i[0] = k
  local at = record('top_k', a, x)
  shape[#shape] = k
  return record('take', nil, x, at):reshape(shape), at:reshape(shape)
end

--- 1 for each of the k largest elements of a row (the last dimension), equal ones by position, 0
--- for the others; a constant. ---@param x Tensor ---@param k integer
---@return Tensor of the same shape
function ops.top_k_mask(x, k)
  local a = attribute()
  a.i[0] = k
  return record('top_k_mask', a, x:detach())
end

-- ---- rows against all rows of another matrix ----

--- Row by row: the logarithm of the sum of exp(scale * x . y) over all rows y of another matrix.
--- The products are computed in tiles, forward and backward, and never exist as a whole; one number
--- per row of x is saved beside x and y (Dao et al., FlashAttention, NeurIPS 2022).
---@param x Tensor [n, d] ---@param y Tensor [m, d] ---@param scale number ---@return Tensor [n]
function ops.product_logsumexp(x, y, scale)
  local a = attribute()
  a.f[0] = scale
  return record('product_logsumexp', a, x, y):reshape(-1)
end

-- ---- neighbourhoods ----

--- u[b] . r[ids[b, j]]: scores of each row's edges by their relation vectors, as in KGCN (Wang et
--- al., WWW 2019, eq. 1).
---@param u Tensor [b, d] ---@param r Tensor [m, d] ---@param ids Tensor int32 [b, j]
---@return Tensor [b, j]
function ops.relation_score(u, r, ids) return record('relation_score', nil, u, r, ids) end

--- Weighted sum over neighbours: out[i] = sum_j w[i, j] x[i k + j]. If x was gathered, the gathered
--- rows take no memory.
---
---   print(tk.neighbor_sum(tk.tensor{{1, 2}}, tk.tensor{{1, 0}, {0, 1}}):totable()[1][2])  --> 2
---@param w Tensor [n, k] ---@param x Tensor [n k, d] ---@return Tensor [n, d]
function ops.neighbor_sum(w, x) return record('neighbor_sum', nil, w, x) end

--- Row i of x times matrix ids[i]: relations with their own matrices (TransR, RippleNet). Rows are
--- grouped by matrix; there is no copy of a matrix per row.
---@param x Tensor [n, d] ---@param w Tensor [kinds, d, k], or [kinds, k, d] to be transposed
---@param ids Tensor int32 [n] ---@param options? {transpose: boolean} of the matrices
---@return Tensor [n, k]
function ops.grouped_matmul(x, w, ids, options)
  local a = attribute()
  if options then
    runtime.options('grouped_matmul', options, 'transpose')
    a.i[0] = options.transpose and 1 or 0
  end
  return record('grouped_matmul', a, x, w, ids)
end

--- g[i] . x[i k + j]: dot products of each row of g with the k rows of x that belong to it.
---@param g Tensor [n, d] ---@param x Tensor [n k, d] ---@param k integer ---@return Tensor [n, k]
function ops.neighbor_dot(g, x, k)
  local a = attribute()
  a.i[0] = k
  return record('neighbor_dot', a, g, x)
end

return ops
