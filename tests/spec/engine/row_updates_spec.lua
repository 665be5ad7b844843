-- Updates by gradients of some rows (engine/passes/row_gradient.c), in double precision. By the
-- rule of Adam the other rows have a gradient of zero; lazily, as by SparseAdam, they are left
-- alone, with their moments.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local flat, bytes = tensors.flat, tensors.bytes
local BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

local function drawn(n, seed)
  local random, list = reference.random(seed), {}
  for i = 1, n do list[i] = reference.f32(random() * 2 - 1) end
  return list
end

local function to_tensor(list, shape) return tk.zeros(unpack(shape)):write(list) end

--- Batches of ids below n, few of them twice.
local function batches(n, size, count)
  local random, list = reference.random(11), {}
  for b = 1, count do
    list[b] = {}
    for k = 1, size do list[b][k] = math.floor(random() * n) end
    list[b][2] = list[b][1]
  end
  return list
end

--- Updates rows that have a gradient: g[row] is a list of d numbers.
local function update(s, g, o)
  s.t = s.t + 1
  for row, gradient in pairs(g) do
    local square = 0
    for j = 1, s.d do
      gradient[j] = gradient[j] + o.weight_decay * s.p[row * s.d + j]
      square = square + gradient[j] ^ 2 / s.d
    end
    for j = 1, s.d do
      local i = row * s.d + j
      s.m[i] = BETA1 * s.m[i] + (1 - BETA1) * gradient[j]
      s.v[i] = BETA2 * s.v[i] + (1 - BETA2) * (o.rowwise and square or gradient[j] ^ 2)
      s.p[i] = s.p[i] - o.lr * (s.m[i] / (1 - BETA1 ^ s.t)) /
        (math.sqrt(s.v[i] / (1 - BETA2 ^ s.t)) + EPS)
    end
  end
end

--- The gradient of sum over k of |w[ids[k]] - c|^2 + 2 sum over the first half of w[ids[k]]: of
--- the rows that are read, or of all.
local function gradient_of(s, ids, c, all)
  local g = {}
  for row = 0, all and #s.p / s.d - 1 or -1 do
    g[row] = {}
    for j = 1, s.d do g[row][j] = 0 end
  end
  for k, row in ipairs(ids) do
    g[row] = g[row] or {}
    for j = 1, s.d do
      local more = k <= #ids / 2 and 2 or 0
      g[row][j] = (g[row][j] or 0) + 2 * (s.p[row * s.d + j] - c[j]) + more
    end
  end
  return g
end

local function near(want, got, tolerance, what) tensors.near(want, got, tolerance, what, true) end

--- A table n x d trained for some batches, and what it should be by the formulas.
local function train(n, d, size, o, bits)
  local s = {p = drawn(n * d, 1), m = {}, v = {}, t = 0, d = d}
  for i = 1, n * d do s.m[i], s.v[i] = 0, 0 end
  local c, w = drawn(d, 2), tk.parameter(to_tensor(s.p, {n, d}), {bits = bits})
  local opt = tk.optim.adam(o)
  local ct = to_tensor(c, {1, d})
  local step = tk.step(function(ids, first)
    return (w:gather(ids) - ct):square():sum() + w:gather(first):sum() * 2
  end, {optimizer = opt})
  for _, ids in ipairs(batches(n, size, 6)) do
    local first = {}
    for k = 1, #ids / 2 do first[k] = ids[k] end
    step(tk.ids(ids), tk.ids(first))
    update(s, gradient_of(s, ids, c, not o.lazy), o)
  end
  return w, opt, s, step
end

describe('updates of tables', function()
  before_each(function() tk.seed(5) end)

  it('follow the rule, where a batch reads few rows and where it reads many', function()
    for _, size in ipairs{20, 400} do
      for _, shape in ipairs{{200, 32}, {129, 33}, {900, 5}, {70, 64}} do
        local o = {lr = 0.01, weight_decay = 0.1}
        local w, opt, s, step = train(shape[1], shape[2], size, o)
        local few = 2 * 1.5 * size <= shape[1] -- ids of both gathers
        assert.is_true(step:program():find(few and ' adam_blocks ' or ' adam ', 1, true) ~= nil)
        near(s.p, flat(w), 5e-6, 'parameter')
        near(s.m, flat(opt:state(w)[1]), 5e-6, 'm')
        near(s.v, flat(opt:state(w)[2]), 5e-6, 'v')
      end
    end
  end)

  it('make no gradient of the whole table if a batch reads few rows', function()
    for _, bits in ipairs{32, 8} do
      local w = tk.parameter(tk.randn(50000, 64))
      local step = tk.step(function(ids) return w:gather(ids):square():sum() end,
                           {optimizer = tk.optim.adam{bits = bits}})
      step(tk.ids{5, 49999})
      assert.is_true(step:figure 'arena_bytes' < 50000 * 4 + 10000) -- a number per row
    end
  end)

  -- Reading other rows for nothing adds zeros to gradients, and makes them those of the table.
  it('have the same bits with a gradient of some rows and one of all, in every format', function()
    for _, o in ipairs{{}, {bits = 8}, {rowwise = true}, {bits = 8, rowwise = true}} do
      for _, bits in ipairs{32, 16} do
        local results = {}
        o.weight_decay = 0.1
        for k, others in ipairs{1, 500} do
          tk.seed(5)
          local w = tk.parameter(to_tensor(drawn(1000 * 40, 1), {1000, 40}), {bits = bits})
          local opt, all = tk.optim.adam(o), {}
          for i = 1, others do all[i] = i end
          local step = tk.step(function(ids, unread)
            return w:gather(ids):square():sum() + w:gather(unread):sum() * 0
          end, {optimizer = opt})
          for _, ids in ipairs(batches(1000, 80, 5)) do step(tk.ids(ids), tk.ids(all)) end
          assert.equal(k == 1, step:program():find('inverse_index', 1, true) ~= nil)
          results[k] = bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2])
        end
        assert.is_true(results[1] == results[2])
      end
    end
  end)
end)

describe('moments of rows without a gradient', function()
  -- Else they would be subnormal numbers from some step on, and those slow each update down.
  it('become zero once they move no parameter', function()
    for _, o in ipairs{{}, {rowwise = true}} do
      tk.seed(5)
      local w, opt = tk.parameter(to_tensor(drawn(1000 * 16, 1), {1000, 16})), tk.optim.adam(o)
      local step = tk.step(function(ids) return w:gather(ids):square():sum() end,
                           {optimizer = opt})
      step(tk.ids{7})
      local m = flat(opt:state(w)[1])[7 * 16 + 1]
      assert.is_true(math.abs(m) > 1e-3)
      for _ = 1, 500 do step(tk.ids{8}) end
      local later = flat(opt:state(w)[1])[7 * 16 + 1]
      assert.near(m * BETA1 ^ 500, later, math.abs(m) * BETA1 ^ 500 * 1e-3)
      for _ = 1, 400 do step(tk.ids{8}) end
      assert.equal(0, flat(opt:state(w)[1])[7 * 16 + 1])
    end
  end)
end)

describe('lazy updates', function()
  before_each(function() tk.seed(5) end)

  it('follow the rule, with fewer rows in a batch than in the table and with more', function()
    for _, size in ipairs{10, 64, 400} do
      for _, shape in ipairs{{200, 16}, {129, 33}, {300, 5}, {70, 256}, {250, 1}} do
        local o = {lr = 0.01, weight_decay = 0.1, lazy = true}
        local w, opt, s = train(shape[1], shape[2], size, o)
        near(s.p, flat(w), 5e-6, 'parameter')
        near(s.m, flat(opt:state(w)[1]), 5e-6, 'm')
        near(s.v, flat(opt:state(w)[2]), 5e-6, 'v')
      end
    end
  end)

  it('follow it row-wise', function()
    local o = {lr = 0.01, weight_decay = 0, lazy = true, rowwise = true}
    local w, opt, s = train(300, 32, 20, o)
    local v = {}
    for row = 1, 300 do v[row] = s.v[row * 32] end
    near(s.p, flat(w), 5e-6, 'parameter')
    near(v, flat(opt:state(w)[2]), 5e-6, 'v')
  end)

  it('leave other rows alone bit by bit, in every format', function()
    for _, o in ipairs{{}, {bits = 8}, {rowwise = true}, {bits = 8, rowwise = true}} do
      for _, bits in ipairs{32, 16} do
        o.lazy, o.weight_decay = true, 0.1
        local w = tk.parameter(to_tensor(drawn(300 * 32, 1), {300, 32}), {bits = bits})
        local opt = tk.optim.adam(o)
        local step = tk.step(function(ids) return w:gather(ids):square():sum() end,
                             {optimizer = opt})
        local function rows(from, to) -- of the parameter, without those rows
          local list = flat(w)
          local kept = {}
          for i, x in ipairs(list) do
            if i <= from * 32 or i > to * 32 then kept[#kept + 1] = x end
          end
          return table.concat(kept, ' ')
        end
        step(tk.ids{7, 8, 9})
        local before, codes = rows(7, 10), flat(opt:state(w)[1])
        step(tk.ids{7, 9, 7})
        assert.equal(before, rows(7, 10))
        local now, changed = flat(opt:state(w)[1]), {}
        local per_row = #codes / 300
        for i = 1, #codes do
          if codes[i] ~= now[i] then changed[math.ceil(i / per_row) - 1] = true end
        end
        assert.same({[7] = true, [9] = true}, changed)
      end
    end
  end)

  it('make no gradient of the whole table', function()
    local w = tk.parameter(tk.randn(50000, 64))
    local step = tk.step(function(ids) return w:gather(ids):square():sum() end,
                         {optimizer = tk.optim.adam{lazy = true}})
    step(tk.ids{5, 49999})
    assert.is_true(step:figure 'arena_bytes' < 50000 * 4 + 10000) -- a number per row
  end)

  -- A row without a gradient in any step keeps moments of zero, by which Adam moves nothing.
  it('are those of the whole table, bit by bit, where each batch reads the same rows', function()
    local few = {}
    for i = 1, 400 do few[i] = i * 37 % 100 end
    for _, n in ipairs{100, 1000} do
      local results = {}
      for k, lazy in ipairs{true, false} do
        local w = tk.parameter(to_tensor(drawn(n * 32, 1), {n, 32}))
        local attention, ids = to_tensor(drawn(400, 3), {100, 4}), tk.ids(few)
        local opt = tk.optim.adam{lazy = lazy}
        local step = tk.step(function()
          local around = tk.neighbor_sum(attention, w:gather(ids))
          return (around + w:gather(ids):rows(1, 100)):square():sum()
        end, {optimizer = opt})
        for _ = 1, 3 do step() end
        assert.is_true(step:program():find('neighbor_scatter', 1, true) ~= nil)
        results[k] = bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2])
      end
      assert.is_true(results[1] == results[2])
    end
  end)

  it('give the same bits with any number of threads', function()
    local first
    for _, threads in ipairs{1, 2, 4} do
      tk.threads(threads)
      local w, opt = train(3000, 64, 600, {lr = 0.01, weight_decay = 0.1, lazy = true, bits = 8})
      local now = bytes(w) .. bytes(opt:state(w)[1]) .. bytes(opt:state(w)[2])
      first = first or now
      assert.is_true(now == first)
    end
    tk.threads(0)
  end)

  it('update weights as a whole, and refuse a table that is read both ways', function()
    local table_, weight = tk.parameter(tk.randn(500, 16)), tk.parameter(tk.randn(16, 4))
    local before = flat(weight)
    local step = tk.step(function(ids) return table_:gather(ids):matmul(weight):sum() end,
                         {optimizer = tk.optim.adam{lazy = true, lr = 0.1}})
    step(tk.ids{1, 2})
    for i, x in ipairs(flat(weight)) do assert.is_true(math.abs(x - before[i]) > 0.09) end
    local mixed = tk.step(function(ids)
      return table_:gather(ids):sum() + table_:square():sum()
    end, {optimizer = tk.optim.adam{lazy = true}})
    assert.error_matches(function() mixed(tk.ids{1, 2}) end,
                         'lazy: the gradient of the parameter f32 %[500, 16%] has rows of a ' ..
                         'batch and, by %l+, a whole matrix')
    local long = tk.parameter(tk.randn(500, 300))
    local step_of_long = tk.step(function(ids) return long:gather(ids):sum() end,
                                 {optimizer = tk.optim.adam{lazy = true}})
    assert.error_matches(function() step_of_long(tk.ids{1}) end,
                         'lazy: rows of the parameter f32 %[500, 300%] have more than 256 elements')
  end)

  it('are refused outside of steps, and of other optimizers', function()
    local w, opt = tk.parameter(tk.randn(50, 4)), tk.optim.adam{lazy = true}
    w:gather(tk.ids{1}):sum():backward()
    assert.error_matches(function() opt:update() end, 'lazy updates are made within steps alone')
    assert.error_matches(function() tk.optim.adagrad{lazy = true} end, 'unknown option lazy')
  end)
end)
