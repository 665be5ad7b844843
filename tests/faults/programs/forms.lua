--- Forms of ops: each adds one or a few nodes to a program. A list of {name, weight, make}.
local arrays = require 'tests.support.arrays'
local reference = require 'tests.support.reference'
local sorted_keys = require('tinykg.base.tables').sorted_keys

local forms = {}

local function form(name, weight, make)
  forms[#forms + 1] = {name = name, weight = weight, make = make}
end
forms.add = form

-- ---- elementwise, one input ----

for _, name in ipairs(sorted_keys(reference)) do
  local call = type(reference[name]) == 'table' and reference[name].call
  if call then
    form(name, 1, function(g) return g:add(name, {g:any()}, call[1], call[2]) end)
  end
end

local AFFINE = {{'$1 * 1.5 - 0.25', 1.5, -0.25}, {'-$1', -1, 0}, {'1 - $1', -1, 1},
                {'$1 / 4', 0.25, 0}, {'$1 + 0.75', 1, 0.75}, {'2 * $1', 2, 0}, {'$1 * 1', 1, 0}}
form('affine', 2, function(g)
  local kind = g.r:of(AFFINE)
  return g:add('affine', {g:any()}, kind[1], {scale = kind[2], shift = kind[3]})
end)

local SLOPES = {{'relu()', 0}, {'leaky_relu()', 0.01}, {'leaky_relu(0.25)', 0.25}, {'abs()', -1},
                {'leaky_relu(-0.5)', -0.5}}
form('leaky_relu', 3, function(g)
  local kind = g.r:of(SLOPES)
  return g:add('leaky_relu', {g:any()}, '$1:' .. kind[1], {slope = kind[2]})
end)

form('clamp', 1, function(g)
  local kind = g.r:below(3)
  local low, high = kind == 1 and -math.huge or -0.375, kind == 2 and math.huge or 0.625
  local text = ({'-0.375, 0.625', 'nil, 0.625', '-0.375'})[kind + 1]
  return g:add('clamp', {g:any()}, ('$1:clamp(%s)'):format(text), {low = low, high = high})
end)

--- A value whose numbers lie in the domain of what comes next.
local function positive(g)
  local i = g:any()
  local v = g.values[i]
  for k = 0, v.n - 1 do
    if v.v[k] < 0.1 then
      local square = g:add('square', {i}, '$1:square()')
      return square and g:add('affine', {square}, '$1 + 0.5', {scale = 1, shift = 0.5})
    end
  end
  return i
end

for _, name in ipairs{'log', 'sqrt'} do
  form(name, 1, function(g)
    local i = positive(g)
    return i and g:add(name, {i}, ('$1:%s()'):format(name))
  end)
end

form('over', 0.7, function(g)
  local i = positive(g)
  return i and g:add('over', {i}, '1.5 / $1', {number = 1.5})
end)

form('exp', 1, function(g)
  local i = g:any()
  if arrays.largest(g.values[i]) > 3 then i = g:add('tanh', {i}, '$1:tanh()') end
  return i and g:add('exp', {i}, '$1:exp()')
end)

form('asin', 0.7, function(g)
  local i = g:add('tanh', {g:any()}, '$1:tanh()')
  i = i and g:add('affine', {i}, '$1 * 0.75', {scale = 0.75, shift = 0})
  return i and g:add('asin', {i}, '$1:asin()')
end)

form('pow', 1, function(g)
  local p = g.r:of{3, -1, 1.5, -0.5, 0.75, 2.5}
  local i = p == 3 and g:any() or positive(g)
  local text = g.r:one_in(2) and '$1 ^ %g' or '$1:pow(%g)'
  return i and g:add('pow', {i}, text:format(p), {power = p})
end)

form('detach', 0.5, function(g) return g:add('detach', {g:any()}, '$1:detach()') end)

form('dropout', 1, function(g)
  local p = g.r:of{0.25, 0.5, 0.1, 0.3}
  return g:add('dropout', {g:any()}, ('$1:dropout(%g)'):format(p), {p = p})
end)

form('random', 1, function(g)
  local kind, shape = g.r:of{'uniform', 'normal', 'gumbel'}, g:shape(g:any())
  local at = g:add('random', {}, ("tk.random('%s', {%s})"):format(kind, table.concat(shape, ', ')),
                   {kind = kind, shape = shape})
  return at and g:add('mul', {g:like(shape), at}, '$1 * $2')
end)

-- ---- elementwise, two inputs ----

--- Some value that broadcasts with i: a part of i itself, another that fits, or a new one with
--- dimensions of 1 or fewer dimensions.
local function partner(g, i)
  local shape, r = g:shape(i), g.r
  if #shape == 2 and r:one_in(4) then -- the memory of i, read through a view
    local part = g:add('narrow', {i}, '$1:narrow(1, 1, 1)', {dim = 1, first = 0, count = 1})
    if part then return part end
  end
  if not r:one_in(4) then
    local found = g:find(function(other)
      local both = arrays.broadcast(shape, other)
      return both and arrays.count(both) <= g.most
    end)
    if found then return found end
  end
  local other = {}
  for d = 1, #shape do other[d] = r:one_in(3) and 1 or shape[d] end
  if #other > 0 and r:one_in(4) then table.remove(other, 1) end
  if #other > 0 and #other < 3 and other[1] == 1 and r:one_in(6) then
    table.insert(other, 1, r:from(1, 3))
  end
  return arrays.broadcast(shape, other) and g:leaf(other) or nil
end

local function pair(g)
  local i = g:any()
  local j = partner(g, i)
  if g.r:one_in(2) then return j, i end
  return i, j
end

for _, op in ipairs{{'add', '+', 3}, {'sub', '-', 2}, {'mul', '*', 3}} do
  form(op[1], op[3], function(g)
    local i, j = pair(g)
    return g:add(op[1], {i, j}, ('$1 %s $2'):format(op[2]))
  end)
end

--- A part of a value that nothing else reads, met with a value as large as the whole or with
--- another part: the result could take over the memory of the whole, were it not still being read.
form('part', 2.5, function(g)
  local r = g.r
  local whole = g:add('affine', {g:matrix()}, '$1 * 1.5 - 0.25', {scale = 1.5, shift = -0.25})
  local shape = g:shape(whole)
  local count = r:one_in(3) and r:from(1, shape[1]) or 1
  local function rows_from(first)
    return g:add('narrow', {whole}, ('$1:narrow(1, %d, %d)'):format(first + 1, count),
                 {dim = 1, first = first, count = count})
  end
  local part = rows_from(r:one_in(3) and r:below(shape[1] - count + 1) or 0)
  if part and r:one_in(4) and shape[1] == shape[2] and count == 1 then
    part = g:add('transpose', {part}, '$1:transpose()')
  end
  if not part then return nil end
  local other = r:one_in(4) and rows_from(r:below(shape[1] - count + 1))
    or g:like(count == 1 and shape or {count, shape[2]})
  local op = r:of{{'add', '+'}, {'sub', '-'}, {'mul', '*'}}
  local inputs = r:one_in(4) and {other, part} or {part, other}
  return g:add(op[1], inputs, ('$1 %s $2'):format(op[2]))
end)

form('div', 1.5, function(g)
  local i = positive(g)
  local j = i and partner(g, i)
  return j and g:add('div', {j, i}, '$1 / $2')
end)

form('mixed', 0.7, function(g) -- its gradients have the shapes of its arguments, so no broadcast
  local i = g:any()
  return g:add('mixed', {i, g:like(g:shape(i))}, 'H.mixed($1, $2, 1.25)', {number = 1.25})
end)

local COMPARISONS = {{'greater', 'gt'}, {'greater_equal', 'ge'}, {'equal', 'eq'},
                     {'not_equal', 'ne'}, {'greater', 'lt', true}, {'greater_equal', 'le', true}}

--- 1 or 0: of two values, or of one and a number.
local function comparison(g)
  local kind = g.r:of(COMPARISONS)
  local i, j = pair(g)
  if kind[3] then i, j = j, i end
  return g:add(kind[1], {i, j}, (kind[3] and '$2:%s($1)' or '$1:%s($2)'):format(kind[2]))
end
form('comparison', 1, comparison)

--- By a comparison, or by the sign of any value away from 0.
form('where', 2, function(g)
  local c = g.r:one_in(4) and g:add('leaky_relu', {g:any()}, '$1:relu()', {slope = 0})
    or comparison(g)
  local i = c and partner(g, c)
  if not i then return nil end
  local chosen = g:add('select', {i, c}, 'tk.where($2, $1, 0)')
  if g.r:one_in(3) then return chosen end
  local j = partner(g, c)
  return j and g:add('reject', {j, c}, 'tk.where($2, 0, $1)')
end)

-- ---- reductions ----

for _, name in ipairs{'sum', 'mean', 'max', 'min'} do
  form(name, 1.5, function(g)
    local i = g:any()
    local rank, chooses = #g:shape(i), name == 'max' or name == 'min'
    if chooses and arrays.count(g:shape(i)) == 0 then return nil end
    local dim = not g.r:one_in(4) and rank > 0 and g.r:from(1, rank) or nil
    if chooses and dim and dim ~= rank and not (dim == 1 and rank == 2) then dim = rank end
    local said = dim and g.r:one_in(3) and not chooses and dim - rank - 1 or dim
    local at = g:add(chooses and name or 'sum', {i}, ('$1:%s(%s)'):format(name, said or ''),
                     {dim = dim, mean = name == 'mean'})
    if at and dim and g.r:one_in(2) then -- as a column or a row, to be broadcast
      local shape = {unpack(g:shape(i))}
      shape[dim] = 1
      return g:add('reshape', {at}, ('$1:reshape(%s)'):format(table.concat(shape, ', ')),
                   {shape = shape}) or at
    end
    return at
  end)
end

form('dot', 1.5, function(g)
  local i = g:any()
  if #g:shape(i) == 0 then return nil end
  return g:add('dot', {i, g:like(g:shape(i))}, 'tk.dot($1, $2)')
end)

-- ---- layout ----

form('view', 3, function(g) return g:view(g:matrix()) end)

form('reshape', 1, function(g)
  local i = g:any()
  local n, shape = g.values[i].n, nil
  local kind = g.r:below(4)
  if kind == 0 then shape = {n}
  elseif kind == 1 then shape = {1, n}
  elseif kind == 2 and n % 2 == 0 then shape = {n / 2, 2}
  elseif kind == 3 and n % 2 == 0 then shape = {2, n / 2, 1} end
  if not shape then return nil end
  return g:add('reshape', {i}, ('$1:reshape(%s)'):format(table.concat(shape, ', ')),
               {shape = shape})
end)

form('cat', 2, function(g)
  local first = g:any()
  local shape = g:shape(first)
  if #shape == 0 then return nil end
  local dim, list, names = g.r:from(1, #shape), {first}, {'$1'}
  for k = 2, g.r:one_in(8) and 7 or g.r:from(2, 3) do
    list[k] = g:find(function(other)
      if #other ~= #shape then return false end
      for d = 1, #shape do if d ~= dim and other[d] ~= shape[d] then return false end end
      return true
    end)
    names[k] = '$' .. k
  end
  return g:add('cat', list, ('tk.cat({%s}, %d)'):format(table.concat(names, ', '), dim),
               {dim = dim})
end)

-- ---- matrices ----

form('matmul', 3, function(g)
  local r = g.r
  local i = r:one_in(8) and g:find(function(s) return #s == 3 end) or g:matrix()
  local shape = g:shape(i)
  local ta, tb = #shape == 2 and r:one_in(3), r:one_in(2)
  local inner = ta and shape[1] or shape[#shape]
  if inner > 2300 then return nil end
  local j = g:find(function(s) return #s == 2 and s[tb and 2 or 1] == inner end)
  if not j or r:one_in(3) then
    local cols = r:of{1, 2, 3, 5, 8, 17}
    j = g:leaf(tb and {cols, inner} or {inner, cols})
  end
  if not j or g:shape(j)[tb and 1 or 2] * g.values[i].n > 400000 then return nil end
  local options = (ta or tb) and (', {transpose_a = %s, transpose_b = %s}'):format(ta, tb) or ''
  local at = g:add('matmul', {i, j}, ('$1:matmul($2%s)'):format(options), {ta = ta, tb = tb})
  if at and arrays.largest(g.values[at]) > 8 then
    return g:add('affine', {at}, '$1 * 0.125', {scale = 0.125, shift = 0})
  end
  return at
end)

form('batched_matmul', 1.5, function(g)
  local r = g.r
  local i = g:find(function(s) return #s == 3 end) or g:leaf{r:from(1, 4), r:from(1, 6), g.cols}
  local shape = g:shape(i)
  local ta, tb, m = r:one_in(3), r:one_in(2), r:of{1, 2, 3, 5, 8}
  local inner = shape[ta and 2 or 3]
  local j = g:like(tb and {shape[1], m, inner} or {shape[1], inner, m})
  if not j or m * g.values[i].n > 100000 then return nil end
  local at = g:add('batched_matmul', {i, j}, ('$1:matmul($2, {transpose_a = %s, ' ..
                   'transpose_b = %s})'):format(ta, tb), {ta = ta, tb = tb})
  return at and g:add('affine', {at}, '$1 * 0.25', {scale = 0.25, shift = 0})
end)

-- ---- rows ----

for _, name in ipairs{'softmax', 'log_softmax'} do
  form(name, 1.2, function(g)
    local i = g:any()
    return #g:shape(i) > 0 and g:add(name, {i}, ('$1:%s()'):format(name)) or nil
  end)
end

form('normalize', 2, function(g)
  local i = g:any()
  if #g:shape(i) == 0 then return nil end
  local eps = g.r:of{1e-12, 0.75, 1e-12}
  return g:add('normalize', {i}, ('$1:normalize(%g)'):format(eps), {eps = eps})
end)

form('layer_norm', 1, function(g)
  local i = g:any()
  local shape = g:shape(i)
  if #shape == 0 or shape[#shape] < 2 then return nil end
  local layer = g:constant('H.layer_norm(%d, 0.25)', shape[#shape])
  return g:add('layer_norm', {i}, layer .. '($1)', {eps = 0.25})
end)

-- ---- rows by id ----

form('gather', 4, function(g)
  local r = g.r
  local i = r:one_in(8) and g:find(function(s) return #s == 1 and s[1] > 0 end) or g:matrix()
  local n = g:shape(i)[1]
  local count = r:one_in(2) and r:from(1, math.max(1, math.floor(n / 2))) or g:new_rows()
  local shape = r:one_in(4) and {count, r:from(1, 3)} or {count}
  local ids, text = g:ids(shape, n)
  return g:add('gather', {i}, ('$1:gather(%s)'):format(text), {ids = ids, shape = shape})
end)

form('scatter_add', 1.5, function(g)
  local i = g:matrix()
  local n, rows = g:shape(i)[1], g:new_rows()
  local ids, text = g:ids({n}, rows)
  return g:add('scatter_add', {i}, ('$1:scatter_add(%s, %d)'):format(text, rows),
               {ids = ids, shape = {rows, g:shape(i)[2]}})
end)

form('take', 1.5, function(g)
  local i = g:matrix()
  local shape = g:shape(i)
  local by = {shape[1], g.r:from(1, 4)}
  local ids, text = g:ids(by, shape[2])
  return g:add('take', {i}, ('$1:take(%s)'):format(text), {ids = ids, shape = by})
end)

--- A constant of zeros and ones, or of a sparse matrix's values: no gradient goes through either.
form('equal', 0.7, function(g)
  local rows, cols = g:new_rows(), g.r:from(1, 5)
  local column, column_text = g:ids({rows}, 4)
  local ids, text = g:ids({rows, cols}, 4)
  local value = {}
  for i = 0, rows * cols - 1 do
    value[i] = ids[i] == column[math.floor(i / cols)] and 1 or 0
  end
  return g:add('given', {}, ('tk.equal(%s, %s)'):format(text, column_text),
               {shape = {rows, cols}, value = value})
end)

-- ---- neighbourhoods, kinds ----

form('relation_score', 1.5, function(g)
  local i = g:matrix()
  local shape = g:shape(i)
  local j = g:of_cols(shape[2])
  if not j then return nil end
  local by = {shape[1], g.r:from(1, 4)}
  local ids, text = g:ids(by, g:shape(j)[1])
  return g:add('relation_score', {i, j}, ('tk.relation_score($1, $2, %s)'):format(text),
               {ids = ids, shape = by})
end)

form('neighbor_sum', 2, function(g) -- of gathered rows, mostly: the gather is then made part of it
  local w = g:matrix(function(s) return s[1] * s[2] <= g.most / 2 end)
  if not w then return nil end
  local n = g:shape(w)[1] * g:shape(w)[2]
  local i = g.r:one_in(3) and g:find(function(s) return #s == 2 and s[1] == n end)
  if not i then
    local of = g:matrix()
    local ids, text = g:ids({n}, g:shape(of)[1])
    i = g:add('gather', {of}, ('$1:gather(%s)'):format(text), {ids = ids, shape = {n}})
  end
  return i and g:add('neighbor_sum', {w, i}, 'tk.neighbor_sum($1, $2)')
end)

form('neighbor_dot', 1, function(g)
  local i = g:matrix()
  local shape, k = g:shape(i), g.r:from(1, 3)
  local j = g:like{shape[1] * k, shape[2]}
  return j and g:add('neighbor_dot', {i, j}, ('tk.neighbor_dot($1, $2, %d)'):format(k), {k = k})
end)

form('grouped_matmul', 2, function(g)
  local i = g:matrix(function(s) return s[2] <= 17 end)
  if not i or g:shape(i)[2] > 17 then return nil end
  local shape, kinds, k = g:shape(i), g.r:from(1, 4), g.r:of{1, 2, 3, 5, 8}
  local transposed = g.r:one_in(2)
  local w = g:like(transposed and {kinds, k, shape[2]} or {kinds, shape[2], k})
  if not w then return nil end
  local ids, text = g:ids({shape[1]}, kinds)
  return g:add('grouped_matmul', {i, w}, ('tk.grouped_matmul($1, $2, %s%s)'):format(
    text, transposed and ', {transpose = true}' or ''), {ids = ids, transposed = transposed})
end)

form('top_k', 1, function(g)
  local i = g:any()
  local shape = g:shape(i)
  if #shape == 0 or arrays.count(shape) == 0 then return nil end
  local k = g.r:from(1, math.min(shape[#shape], 6))
  return g:add('top_k', {i}, ('$1:top_k(%d)'):format(k), {k = k})
end)

-- ---- rows against all rows of another matrix ----

form('contrast', 2, function(g)
  local x = g:matrix(function(s) return s[1] * s[2] <= 2000 end)
  if not x then return nil end
  local shape, t = g:shape(x), g.r:of{1, 0.5, 2}
  local y = g.r:one_in(3) and x or g:of_cols(shape[2])
  if not y or g:shape(y)[1] * shape[1] * shape[2] > 200000 then return nil end
  local reach = arrays.largest(g.values[x]) * arrays.largest(g.values[y]) * shape[2] / t
  if reach > 80 then return nil end -- logits so far apart leave nothing but rounding
  local ids, text = g:ids({shape[1]}, g:shape(y)[1])
  return g:add('contrast', {x, y}, ("tk.loss.contrast($1, $2, %g, {positives = %s, reduce = '%s'})")
    :format(t, text, 'none'), {ids = ids, temperature = t})
end)

-- ---- losses ----

form('bpr', 0.8, function(g)
  local i = g:any()
  local j = g:like(g:shape(i))
  return j and g:add('bpr', {i, j}, 'tk.loss.bpr($1, $2)')
end)

form('bce', 0.8, function(g)
  local i = g:any()
  local j = g:like(g:shape(i), 0)
  return j and g:add('bce', {i, j}, 'tk.loss.bce($1, $2)')
end)

form('l2', 0.6, function(g)
  return g:add('l2', {g:any(), g:any()}, 'tk.loss.l2($1, nil, $2)')
end)

form('cross_entropy', 0.8, function(g)
  local i = g:matrix()
  local ids, text = g:ids({g:shape(i)[1]}, g:shape(i)[2])
  return g:add('cross_entropy', {i}, ('tk.loss.softmax($1, %s)'):format(text), {ids = ids})
end)

form('interactions', 0.8, function(g)
  local u = g:matrix()
  local shape, k = g:shape(u), g.r:from(1, 3)
  local i, j = g:like(shape), g:like{shape[1] * k, shape[2]}
  return i and j and g:add('interactions', {u, i, j}, 'tk.loss.interactions($1, $2, $3)')
end)

--- Faults for the tests of this harness, in no program unless asked for.
forms.planted = {
  gradient = {name = 'wrong', make = function(g)
    return g:add('wrong', {g:any()}, 'H.wrong($1)')
  end},
}

return forms
