-- Affine dither, where noise meets noise of the same copy: gradients are right on average and
-- scatter no more than with a random number per element (METHOD sections 3 to 5). Were the number
-- of an element a sum of one per row and one per column, a bias and more variance would be seen.
local tk = require 'tinykg'
local saved = require 'tests.support.saved'
local tensors = require 'tests.support.tensors'

local data, parameter, planned = saved.data, saved.parameter, saved.planned
local gradients, only, rows_of = saved.gradients, saved.only, saved.rows_of

local ROWS, COLS = 40, 37

--- Each node's neighbours are the next one and `hub`, or the one before it.
local function ring(nodes, hub)
  local heads, tails = {}, {}
  for i = 0, nodes - 1 do
    local other = hub and i ~= hub and hub or (i - 1) % nodes
    heads[2 * i + 1], tails[2 * i + 1] = i, (i + 1) % nodes
    heads[2 * i + 2], tails[2 * i + 2] = i, other
  end
  return tk.graph{head = heads, tail = tails, nodes = nodes}
end

--- How many standard errors the mean of n gradients is off, where that is most, and their variance
--- in all.
local function measured(fn, parameters, options, n)
  local exact, scale = gradients(tk.step(fn, {save = false}), parameters), 0
  for _, g in ipairs(exact) do scale = math.max(scale, math.abs(g)) end
  local step = tk.step(fn, options)
  local off, errors = tensors.deviations(exact, function()
    return gradients(step, parameters)
  end, n)
  local most, variance = 0, 0
  for i = 1, #exact do
    most = math.max(most, math.abs(off[i]) / (errors[i] + 1e-6 * scale))
    variance = variance + errors[i] ^ 2 * n
  end
  return most, variance
end

-- ---- how far they are off ----

describe('affine dither', function()
  local graph = ring(ROWS)
  local X, W, V = data(ROWS, 17), parameter(17, COLS), parameter(COLS, 24)
  local Z, U = parameter(ROWS, 24), parameter(ROWS, 1)

  --- A value and the sum of its neighbours, which backward makes again from the codes of the value.
  local function own_and_neighbours()
    local x = X:matmul(W)
    return x, graph:aggregate(x, {recompute = true})
  end

  local function rounding_of(fn, asked)
    local step = planned(fn, {bits = 2, small = 0, rounding = asked})
    return rows_of(step, 'matmul', 'quantize')[1].rounding
  end

  local cases = {
    {'read linearly', {W, V}, function()
      return X:matmul(W):matmul(V):sum()
    end},
    {'own times neighbours\' in a column, summed over rows', {W, V}, function()
      local x, y = own_and_neighbours()
      return (x * y):matmul(V):sum()
    end},
    {'own times neighbours\', added up over columns', {W, U}, function()
      local x, y = own_and_neighbours()
      return (tk.dot(x, y):saved_as('recompute'):reshape(ROWS, 1) * U):sum()
    end},
    {'own times neighbours\', through a matrix', {W, V, Z}, function()
      local x, y = own_and_neighbours()
      return ((x * y):matmul(V):saved_as('recompute') * Z):sum()
    end},
  }
  for _, case in ipairs(cases) do
    local name, parameters, fn = unpack(case)
    it('biases no gradient: noise that is ' .. name, function()
      assert.equal('dither', rounding_of(fn))
      assert.equal('dither-independent', rounding_of(fn, 'dither-independent'))
      assert.equal('stochastic', rounding_of(fn, 'stochastic'))
      local most = measured(fn, parameters, {bits = 1, small = 0}, 400)
      assert.is_true(most < 5, most .. ' standard errors off')
    end)
  end

  it('is that of codes which are read twice, where stochastic rounding is asked for', function()
    local function rows() return X:matmul(W):normalize():matmul(V):sum() end
    for asked, is in pairs{dither = 'dither', ['dither-independent'] = 'dither-independent',
                           stochastic = 'dither'} do
      local step = planned(rows, {bits = 2, small = 0, rounding = asked})
      assert.equal(is, only(step, 'normalize').rounding)
    end
  end)

  it('does not bias the gradient of a norm times its neighbours\'', function()
    -- dh_i = N(g)_i * sum over j of N(g)_j, all of whose rows are equal so that no phase hides it
    local LEAST = {f = {1e-12}}
    local met = tk.custom{
      name = 'met',
      forward = function(ctx, h)
        ctx.n = tensors.record('row_norm', LEAST, {h})
        ctx.y = tensors.record('normalize', LEAST, {h, ctx.n})
        return ctx.y
      end,
      backward = function(ctx, dy)
        local own = tensors.record('normalize_grad', LEAST, {dy, ctx.y, ctx.n}) * ctx.n - dy
        return own * graph:aggregate(own)
      end,
    }
    local w, g, one = {1}, {0}, {}
    for j = 2, COLS do w[j], g[j] = 0.05 * math.sin(j), 1 + 0.3 * math.cos(j) end
    for i = 1, ROWS do one[i] = {1} end
    one = tk.tensor(one)
    local row, G = tk.parameter(tk.tensor{w}), one:matmul(tk.tensor{g}):clone()
    local function fn() return (met(one:matmul(row)) * G):sum() end
    local step = planned(fn, {bits = 1, small = 0})
    local y = only(step, 'normalize')
    assert.same({'quantize', 2, 'dither'}, {y.rule, y.bits, y.rounding})
    local most = measured(fn, {row}, {bits = 1, small = 0}, 400)
    assert.is_true(most < 5, most .. ' standard errors off')
  end)
end)

-- ---- how much gradients scatter ----

local NODES, FEW, WIDE = 400, 4, 32

--- A row of numbers that is repeated.
local function equal_rows(cols)
  local row, list = tensors.flat(data(1, cols)), {}
  for i = 0, NODES * cols - 1 do list[i + 1] = row[i % cols + 1] end
  return tk.zeros(NODES, cols):write(list)
end

local function other_rows(cols) return data(NODES, cols) end

-- Where rows agree, so do the phases of four elements at the corners of a rectangle, and what ties
-- them adds up over the rows.
describe('the variance of gradients with affine dither', function()
  local P, W, Q = parameter(FEW, FEW), parameter(FEW, WIDE), parameter(FEW, WIDE)
  local graph = ring(NODES, 0)
  for _, rows in ipairs{'agree', 'do not agree'} do
    local of = rows == 'agree' and equal_rows or other_rows
    local X, E, G = of(FEW), tk.parameter(of(FEW)), of(WIDE)
    local cases = {
      {'X^T N(G)', W, function() return (X:matmul(W):normalize() * G):sum() end},
      {'X^T N(G), X in codes', W, function()
        return ((X:matmul(P) + 1):matmul(W):normalize() * G):sum()
      end},
      {'A^T N(G)', E, function()
        return (graph:aggregate(E):matmul(Q):normalize() * G):sum()
      end},
      {'(X . A X)^T G', W, function()
        local x = X:matmul(P)
        return ((x * graph:aggregate(x, {recompute = true})):matmul(W) * G):sum()
      end},
    }
    for _, case in ipairs(cases) do
      local name, parameter_, fn = unpack(case)
      it(('is that of independent noise: %s, rows that %s'):format(name, rows), function()
        for _, bits in ipairs{4, 2, 1} do
          local function variance(rounding)
            tk.seed(5)
            local options = {bits = bits, small = 0, rounding = rounding}
            local _, sum = measured(fn, {parameter_}, options, 500)
            return sum
          end
          local ratio = variance 'dither' / variance 'dither-independent'
          assert.is_true(ratio < 1.1, bits .. ' bits: ' .. ratio)
        end
      end)
    end
  end
end)
