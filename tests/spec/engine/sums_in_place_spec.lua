-- Sums over edges that are written over what they read, by slices of columns: only where that
-- lowers the arena and what they read is dead, with the bits of sums in memory of their own.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local NODES, KINDS, ROWS = 2500, 5, 40

local function graph_of(nodes)
  local h, r, t = {}, {}, {}
  for v = 0, nodes - 1 do
    for k = 1, 1 + v % 4 do
      h[#h + 1], r[#r + 1], t[#t + 1] = v, (v + k) % KINDS, (v * 7 + k * k * 31) % nodes
    end
    if v % 3 == 0 then h[#h + 1], r[#r + 1], t[#t + 1] = 0, v % KINDS, v end -- a hub
  end
  return tk.graph{head = h, relation = r, tail = t, nodes = nodes, relations = KINDS}
end

local graph = graph_of(NODES)

--- How many sums of a step lie over what they read; how many of these over some of its rows only.
local function in_place(step, cols)
  local at, count, partly = {}, 0, 0
  for line in step:program():gmatch '[^\n]+' do
    local node, op, inputs = line:match '^%a +(%d+)  (%S+) +([%d ]*)'
    at[node] = tonumber(line:match '  @(%d+)' or '')
    local x = at[op:find '^aggregate' and inputs:match '^%d+ (%d+)' or '']
    local apart = x and at[node] and math.abs(at[node] - x)
    if apart and apart < 4 * NODES * cols then
      count, partly = count + 1, partly + (apart > 0 and 1 or 0)
    end
  end
  return count, partly
end

--- Three runs of a step with parameters of so many columns: losses and parameters as bytes, and the
--- step. No relation vectors are trained on a GPU: scratch memory of sums by relation would be the
--- most of so small a step.
local function trained(loss, cols, options)
  local draw = tensors.drawn_from(reference.random(11))
  local vectors = tk.device() == 'cpu' and draw.parameter or draw.noise
  local p = {x = draw.parameter(NODES, cols), r = vectors(KINDS, cols), ids = draw.ids(ROWS, NODES)}
  tk.seed(5)
  options.optimizer = tk.optim.adam{lr = 0.01}
  local step = tk.step(function() return loss(p) end, options)
  local out = {}
  for k = 1, 3 do out[k] = ('%.9g'):format((step())) end
  return table.concat(out, ' ') .. tensors.bytes(p.x) .. tensors.bytes(p.r), step
end

local function hop(h, p)
  return graph:aggregate(h, {message = 'mul', relation = p.r, reduce = 'mean'})
end

--- Three layers; rows of each are gathered at the end, when all of them are recorded. `read_late`:
--- all are read at the end, so no sum may be written over one, in forward.
local function layers(p, read_late)
  local a = hop(p.x, p):normalize()
  local b = hop(a, p):normalize()
  local c = hop(b, p)
  local rows = a:gather(p.ids) + b:gather(p.ids) * 2 + c:gather(p.ids)
  local loss = rows:square():mean() + c:square():mean()
  if not read_late then return loss end
  return loss, (a:detach() * c:detach()):sum() + (b:detach() * c:detach()):sum()
end

describe('a sum over edges', function()
  for _, case in ipairs{{64, 2}, {64, 8}, {48, 2}, {96, 4}, {40, 4}, {33, 8}} do
    local cols, bits = unpack(case)
    it(('is written over what it reads, of %d columns at %d bits'):format(cols, bits), function()
      local want, apart = trained(function(p) return layers(p, true) end, cols, {bits = bits})
      local got, step = trained(layers, cols, {bits = bits})
      assert(got == want)
      assert.is_true(in_place(step, cols) > in_place(apart, cols), step:program())
    end)
  end

  it('takes a matrix and a half', function()
    local _, step = trained(layers, 64, {bits = 2})
    local matrix = 4 * NODES * 64
    local most = tk.device() == 'cpu' and 2.1 or 2.5 -- codes and rows beside it
    assert.is_true(step:figure 'arena_bytes' < most * matrix,
                   step:figure 'arena_bytes' / matrix)
  end)

  -- Rows of a wide value are gathered, so it exists as a whole: there the arena is fullest.
  it('lies over a part of it where there is room beside', function()
    local wide = tensors.drawn_from(reference.random(13)).noise(NODES, 112)
    local function loss(p, read_late)
      local y = graph:aggregate(wide)
      local sums = y:gather(p.ids):mean() + y:square():mean()
      local made, late = layers(p, read_late)
      return made + sums, late
    end
    local want = trained(function(p) return loss(p, true) end, 64, {bits = 2})
    for _, threads in ipairs{1, 2, 5} do
      tk.threads(threads)
      local got, step = trained(loss, 64, {bits = 2})
      local count, partly = in_place(step, 64)
      assert(got == want, threads)
      assert.is_true(count > 0 and (partly > 0 or tk.device() ~= 'cpu'), step:program())
    end
    tk.threads(0)
  end)

  -- `wide` is dead behind the first sum, where the arena is fullest: it would be smaller if that
  -- sum were written over `a`, which is read again at the end.
  it('is not written over what is read later, where that would take less', function()
    local draw = tensors.drawn_from(reference.random(17))
    local x, p = draw.parameter(NODES, 64), {r = draw.noise(KINDS, 64)}
    local function wide_of(a) return tk.cat({x, a}, 2):tanh() end
    local function product_of(wide) return wide:narrow(2, 1, 64) * wide:narrow(2, 65, 64) end
    local one = tk.no_grad
    local a = one(function() return x * 2 end)
    local wide = one(function() return wide_of(a) end)
    local sum, product = one(function() return hop(a, p) end), one(product_of, wide)
    local b = one(function() return sum + product end)
    local c = one(function() return hop(b, p) end)
    local want = one(function() return (c * a):sum(2) end)
    local got = one(function()
      local read_later = x * 2
      local made = hop(read_later, p) + product_of(wide_of(read_later))
      return (hop(made, p) * read_later):sum(2)
    end)
    local g, w = tensors.flat(got), tensors.flat(want)
    for i = 1, #w do assert.near(w[i], g[i], 1e-4 * (1 + math.abs(w[i]))) end
  end)

  it('is not written over a parameter, nor over what is returned', function()
    local x = tensors.drawn_from(reference.random(3)).parameter(NODES, 64)
    local before = tensors.bytes(x)
    local once, twice = tk.no_grad(function()
      local a = graph:aggregate(x)
      return a, graph:aggregate(a)
    end)
    assert(tensors.bytes(x) == before)
    assert(tensors.bytes(tk.no_grad(function() return graph:aggregate(x) end)) ==
           tensors.bytes(once))
    assert(tensors.bytes(tk.no_grad(function() return graph:aggregate(once) end)) ==
           tensors.bytes(twice))
  end)

  it('has the same bits in a forward pass, whatever the threads and the columns', function()
    for _, cols in ipairs{32, 33, 64, 100} do
      local draw = tensors.drawn_from(reference.random(cols))
      local x, r = draw.parameter(NODES, cols), draw.parameter(KINDS, cols)
      local way = {message = 'mul', relation = r}
      local want = x
      for _ = 1, 3 do
        local from = want
        want = tk.no_grad(function() return graph:aggregate(from, way) end)
      end
      tensors.with_threads(function()
        local got = tk.no_grad(function()
          local h = x
          for _ = 1, 3 do h = graph:aggregate(h, way) end
          return h
        end)
        assert(tensors.bytes(got) == tensors.bytes(want), cols)
        return got
      end)
    end
  end)

  it('in groups that are switched off is none in place', function()
    local _, step = trained(layers, 64, {bits = 2, tiles = false})
    assert.equal(0, (in_place(step, 64)))
  end)

  it('is none in place if the step says so: the same bits in more memory', function()
    local want, less = trained(layers, 64, {bits = 2})
    local got, step = trained(layers, 64, {bits = 2, sums_in_place = false})
    assert(got == want)
    assert.equal(0, (in_place(step, 64)))
    assert.is_true(step:figure 'arena_bytes' > less:figure 'arena_bytes')
  end)
end)
