-- The plan of a step: where values lie, in which order nodes run, what is found again.
local tk = require 'tinykg'
local tensor = require 'tinykg.engine.tensor'
local reference = require 'tests.support.reference_ops'

local random = reference.random(31)
local LESS = os.getenv 'TINYKG_CHECK' and 10 or 1 -- under a checker

local tensors = require 'tests.support.tensors'
local drawn = tensors.drawn_from(random)
local noise, parameter, ids = drawn.noise, drawn.parameter, drawn.ids
local bytes, same = tensors.bytes, tensors.same

local memory_plan = require 'tests.support.check_memory_plan'
local packed, read, check_memory_plan = memory_plan.packed, memory_plan.read,
  memory_plan.check

-- ---- networks ----

local function deep(layers, width, batch)
  local w, x = {}, noise(batch, width)
  for i = 1, layers do w[i] = parameter(width, width) end
  return function()
    local h = x
    for i = 1, layers do h = h:matmul(w[i]):relu() end
    return h:square():mean()
  end, w
end

local E, R, U = parameter(40, 12), parameter(5, 12), parameter(9, 12)
local W, b = parameter(12, 12), parameter(1, 12)
local BATCH, K = 16, 4

local function batch_of(n)
  return {users = ids(n, 9), items = ids(n, 40), near = ids(n * K, 40), n = n,
          by = ids(n * K, 5):reshape(n, K):keep(),
          labels = tk.tensor((function()
            local list = {}
            for i = 1, n do list[i] = i % 2 end
            return list
          end)())}
end

local function kgcn(batch)
  local u = U:gather(batch.users)
  local weights = tk.relation_score(u, R, batch.by):softmax()
  local sum = E:gather(batch.items) + tk.neighbor_sum(weights, E:gather(batch.near))
  local out = (sum:dropout(0.1):matmul(W) + b):relu():matmul(W):tanh()
  return tk.loss.bce(tk.dot(u, out), batch.labels) + 1e-3 * W:square():sum()
end

local BATCHES = {batch_of(BATCH), batch_of(BATCH), batch_of(BATCH), batch_of(5)}

-- ---- random programs ----

--- A program over matrices of 6 x 6, as a list of {op, inputs}: 1..3 are the parameters.
local function random_program(length)
  local ops = {'add', 'mul', 'matmul', 'relu', 'tanh', 'sigmoid', 'affine', 'transpose', 'gather',
               'rows', 'softmax', 'reshape', 'normalize', 'square', 'cat'}
  local program = {}
  for i = 1, length do
    local function any() return math.floor(random() * (i + 2)) + 1 end
    program[i] = {ops[math.floor(random() * #ops) + 1], any(), any()}
  end
  return program
end

local SIX = tk.ids{5, 3, 3, 0, 1, 2}
local apply = {
  add = function(x, y) return x + y end,
  mul = function(x, y) return x * y end,
  matmul = function(x, y) return x:matmul(y) * 0.3 end,
  affine = function(x) return x * 0.7 - 0.1 end,
  gather = function(x) return x:gather(SIX) end,
  rows = function(x, y) return tk.cat({x:rows(3, 6), y:rows(1, 2)}, 1) end,
  reshape = function(x) return x:reshape(4, 9):leaky_relu(0.2):reshape(6, 6) end,
  cat = function(x, y) return tk.cat({x, y}, 2):narrow(2, 4, 6) end,
  square = function(x) return x:square():clamp(-3, 3) end,
}
for _, name in ipairs {'relu', 'tanh', 'sigmoid', 'transpose', 'softmax', 'normalize'} do
  apply[name] = function(x) return x[name](x) end
end

local function record(program, parameters, look)
  local values = {unpack(parameters)}
  for _, line in ipairs(program) do
    local value = apply[line[1]](values[line[2]], values[line[3]])
    if look then value = value:clone() end
    values[#values + 1] = value
  end
  return values
end

describe('memory', function()
  local three = {parameter(6, 6), parameter(6, 6), parameter(6, 6)}

  it('of random programs: values are those of one op at a time', function()
    for round = 1, 60 / LESS do
      local program = random_program(25)
      local wanted = {}
      for i = 1, 28 do if random() < 0.15 then wanted[#wanted + 1] = i end end
      local by_hand = record(program, three, true)
      local function returned(values)
        local list = {}
        for k, i in ipairs(wanted) do list[k] = values[i] end
        return list
      end
      local function planned()
        local values = record(program, three)
        return values[28]:square():mean(), unpack(returned(values))
      end
      for _, bits in ipairs {32, 2} do
        local step = tk.step(planned, {bits = bits, small = 0})
        local got = {select(2, pcall(step))}
        if type(got[1]) ~= 'number' then error(got[1], 0) end
        assert.equal(by_hand[28]:square():mean():item(), got[1])
        for k, want in ipairs(returned(by_hand)) do
          same(bytes(want), bytes(got[k + 1]), 'round ' .. round .. ' value ' .. wanted[k])
        end
        check_memory_plan(step, bits)
      end
    end
  end)

  it('of random programs: gradients are those of a plan that keeps everything', function()
    for _ = 1, 40 / LESS do
      local program = random_program(20)
      local found = {}
      local function loss()
        local values = record(program, three)
        local sum = values[23]:square():mean()
        for _, p in ipairs(three) do sum = sum + p:square():mean() end
        return sum
      end
      for _, save in ipairs {false, true} do
        tk.step(loss, {save = save})()
        local all = {}
        for i, p in ipairs(three) do all[i] = bytes(p.grad) end
        found[#found + 1] = table.concat(all)
      end
      same(found[1], found[2])
    end
  end)

  it('of networks: no two live values overlap', function()
    for _, bits in ipairs {32, 8, 2, 1} do
      for _, kind in ipairs {'sgd', 'adam', 'adagrad'} do
        local step = tk.step(kgcn, {bits = bits, small = 0, optimizer = tk.optim[kind]()})
        step:plan(BATCHES[1])
        check_memory_plan(step, bits)
      end
      local step = tk.step(deep(6, 33, 21), {bits = bits, small = 0})
      step:plan()
      check_memory_plan(step, bits)
    end
  end)

  it('is hardly more than what is live at once', function()
    local step = tk.step(deep(8, 64, 128), {bits = 32, optimizer = tk.optim.sgd()}):plan()
    local most = check_memory_plan(step, 32)
    local arena = step:figure 'arena_bytes'
    assert.is_true(arena <= 1.1 * most, arena .. ' ' .. most)
  end)

  it('of a forward pass is two layers, however deep the network', function()
    local fn = deep(20, 32, 64)
    local before = tk.memory()
    tk.no_grad(fn)
    local step = tk.step(fn):plan()
    assert.is_true(step:figure 'arena_bytes' > 20 * 4 * 64 * 32) -- what backward keeps
    local grown = tk.memory().live.total - before.live.total
    assert.is_true(grown <= 3 * 4 * 64 * 32, 'forward took ' .. grown)
  end)

  it('is counted by kind: the sums are the arena and the total', function()
    local fn = deep(6, 96, 256)
    local before = tk.memory().live
    local step = tk.step(fn, {bits = 2, optimizer = tk.optim.sgd()}):plan()
    step()
    local after, sum, arena = tk.memory().live, 0, 0
    for name, value in pairs(after) do if name ~= 'total' then sum = sum + value end end
    assert.equal(after.total, sum)
    for _, kind in ipairs {'kept_exact', 'kept_quantized', 'gradient', 'transient'} do
      assert.is_true(step:figure(kind) >= 0)
      arena = arena + step:figure(kind)
    end
    assert.is_true(arena <= step:figure 'arena_bytes' and arena >= 0.9 * step:figure 'arena_bytes')
    local arena_before = before.kept_exact + before.kept_quantized + before.transient
    local arena_after = after.kept_exact + after.kept_quantized + after.transient + after.gradient
      - before.gradient
    assert.is_true(arena_after >= step:figure 'arena_bytes' and arena_before < arena_after)
    local stored = 6 * (packed(256, 96, 2) + 256 * 96 / 8)
    assert.equal(stored, step:figure 'stored_bytes')
    assert.is_true(step:figure 'kept_quantized' > stored / 2)
    assert.is_true(step:figure 'kept_quantized' <= stored)
  end)

  it('is at its peak what the plan said', function()
    local C, session = require 'tinykg.engine.lib', require 'tinykg.engine.runtime'
    local fn = deep(5, 64, 700)
    local step = tk.step(fn, {bits = 2, optimizer = tk.optim.adam()})
    step() -- states of the optimizer are made
    collectgarbage()
    collectgarbage 'stop'
    C.tkg_memory_reset_peak(session.engine)
    local live = tk.memory().live.total
    for _ = 1, 3 do step() end
    collectgarbage 'restart'
    assert.equal(live + 4, tk.memory().peak.total) -- a loss, freed when it has been read
  end)

  it('is less with fewer bits', function()
    local fn, last = deep(12, 64, 512), math.huge
    for _, bits in ipairs {32, 8, 4, 2, 1} do
      local step = tk.step(fn, {bits = bits, optimizer = tk.optim.sgd()}):plan()
      local arena = step:figure 'arena_bytes'
      assert.is_true(arena < last, bits .. ' bits')
      last = arena
    end
  end)
end)

describe('order', function()
  it('puts each update behind the last reader of its parameter, and no later', function()
    local programs = {{kgcn, BATCHES[1], updates = 5}, {(deep(7, 24, 30)), updates = 7}}
    for _, program in ipairs(programs) do
      for _, bits in ipairs {32, 2} do
        local step = tk.step(program[1], {bits = bits, small = 0, optimizer = tk.optim.adam()})
        local list, by_id = read(step:plan(program[2]), bits)
        local updates = 0
        for at, update in ipairs(list) do
          if update.phase == 'u' then
            updates = updates + 1
            local p, behind = update.inputs[1], 0
            for other, node in ipairs(list) do
              for _, k in ipairs(node.inputs) do
                local home = by_id[k] and by_id[k].within or k
                if home == p and node ~= update then behind = math.max(behind, other) end
              end
              if node.id == update.inputs[2] then behind = math.max(behind, other) end
            end
            assert.is_true(behind < at, step:program())
            -- on a GPU small ones run together, at the end
            local last = tk.device() == 'cpu' and at - 1 or behind
            for i = behind + 1, last do assert.equal('u', list[i].phase) end
          end
        end
        assert.equal(program.updates, updates)
      end
    end
  end)

  it('lets gradients die at their update', function()
    local fn, w = deep(10, 128, 32)
    local one = 4 * 128 * 128
    local step = tk.step(fn, {optimizer = tk.optim.sgd()}):plan()
    assert.is_true(step:figure 'gradient' <= 2 * one, 'gradients: ' .. step:figure 'gradient')
    assert.is_true(tk.step(fn):plan():figure 'gradient' >= #w * one) -- asked for, they stay
    local list = read(step, 32)
    local first_update, last_backward = math.huge, 0
    for at, node in ipairs(list) do
      if node.phase == 'u' then first_update = math.min(first_update, at) end
      if node.phase == 'b' then last_backward = at end
    end
    assert.is_true(first_update < last_backward)
  end)

  it('hands out values of parameters as they were when the step began', function()
    local w = tk.parameter(tk.tensor{{1, 2}, {3, 4}})
    local step = tk.step(function() return w:sum(), w:reshape(4), w:rows(2, 2), w * 1 end,
                         {optimizer = tk.optim.sgd{lr = 1}})
    local loss, view, row, copy = step()
    assert.equal(10, loss)
    assert.same({1, 2, 3, 4}, view:totable())
    assert.same({{3, 4}}, row:totable())
    assert.same({{1, 2}, {3, 4}}, copy:totable())
    assert.same({{0, 1}, {2, 3}}, w:totable())
  end)

  it('hands out a loss that is a parameter as it was', function()
    local w = tk.parameter(tk.tensor{3})
    local step = tk.step(function() return w end, {optimizer = tk.optim.sgd{lr = 1}})
    assert.equal(3, step())
    assert.equal(2, step())
    assert.equal(1, w:item())
  end)
end)

describe('a plan', function()
  it('is found again, whatever was recorded in between', function()
    local x = tk.parameter(tk.ones(2, 2))
    local step = tk.step(function() return x:reshape(4):sum() end)
    step()
    assert.equal(20, (x * 5):sum():item()) -- attributes that a reshape does not set
    step()
    assert.equal(1, step:figure 'plans')
  end)

  it('is made once for equal steps, and once more for a ragged last batch', function()
    local step = tk.step(kgcn, {bits = 2, optimizer = tk.optim.adam()})
    for _ = 1, 100 do step(BATCHES[1]) end
    assert.equal(1, step:figure 'plans')
    for _ = 1, 5 do
      for _, batch in ipairs(BATCHES) do step(batch) end
    end
    assert.equal(2, step:figure 'plans')
  end)

  it('is found again after others took its place, and right before and after', function()
    local w = tk.parameter(tk.tensor{{1, 2, 3}})
    local step = tk.step(function(n, x) return (w * x):sum() * n, w + n end)
    for _ = 1, 2 do
      for n = 1, 40 do -- more than are kept
        local x = tk.tensor{{n, 0, 1}}
        local loss, shifted = step(n, x)
        assert.equal((n + 3) * n, loss)
        assert.same({{1 + n, 2 + n, 3 + n}}, shifted:totable())
        assert.same({{n * n, 0, n}}, w.grad:totable())
      end
    end
  end)

  it('belongs to its parameters: others of the same shapes have their own state', function()
    local function train(alternate)
      local p, q = tk.parameter(tk.tensor{{1, 2}}), tk.parameter(tk.tensor{{-3, 5}})
      local optimizer = tk.optim.adam{lr = 0.1}
      local step = tk.step(function(w) return w:square():sum() end, {optimizer = optimizer})
      local other = alternate and step
        or tk.step(function(w) return (w:square():sum() + 0) end, {optimizer = optimizer})
      for _ = 1, 4 do
        step(p)
        other(q)
      end
      local mine = optimizer:state(q)
      return bytes(p) .. bytes(q) .. bytes(mine[1]) .. bytes(mine[2])
    end
    same(train(false), train(true))
  end)

  it('reads the data of its own run', function()
    local w = tk.parameter(tk.ones(1, 2))
    local step = tk.step(function(x) return (w * x):sum() end)
    for i = 1, 10 do
      assert.equal(3 * i, step(tk.tensor{{i, 2 * i}}))
      assert.same({{i, 2 * i}}, w.grad:totable())
    end
    assert.equal(1, step:figure 'plans')
  end)

  it('does not hold on to the data of a run', function()
    local w = tk.parameter(tk.ones(1, 1000))
    local function live()
      collectgarbage()
      collectgarbage()
      return tk.memory().live.data
    end
    local step = tk.step(function(x) return (w * x):sum() end)
    local before = live()
    do step(tk.ones(500, 1000)) end
    step(tk.ones(1, 1000))
    assert.is_true(live() - before < 100000, live() - before)
  end)
end)

describe('twenty steps of Adam', function()
  local names = {'E', 'R', 'U', 'W', 'b'}
  local all = {E, R, U, W, b}
  local start = {}
  for i, p in ipairs(all) do start[i] = p:clone() end

  local function train(threads, bits, rounding)
    tk.threads(threads)
    tk.seed(9)
    for i, p in ipairs(all) do p:write((start[i]:values()), 0, p:count()) end
    local step = tk.step(kgcn, {bits = bits, rounding = rounding, small = 0,
                                optimizer = tk.optim.adam{lr = 0.02}})
    local out = {}
    for i = 1, 20 do out[i] = ('%.9g'):format(step(BATCHES[i % 4 + 1])) end
    for i, p in ipairs(all) do out[#out + 1] = names[i] .. bytes(p) end
    tk.threads(0)
    return table.concat(out, ' ')
  end

  it('repeat bit for bit with 1, 2 and 4 threads', function()
    for _, bits in ipairs {32, 2} do
      local want = train(1, bits)
      same(want, train(1, bits))
      same(want, train(2, bits))
      same(want, train(4, bits))
    end
    assert.not_equal(train(1, 2), train(1, 2, 'stochastic'))
    assert.not_equal(train(1, 2), train(1, 32))
  end)

  it('repeat bit for bit where rows are split among threads', function()
    local fn, w = deep(3, 40, 3000)
    local first = {}
    for i, p in ipairs(w) do first[i] = p:clone() end
    local want
    for _, threads in ipairs {1, 2, 4} do
      tk.threads(threads)
      tk.seed(4)
      for i, p in ipairs(w) do p:write((first[i]:values()), 0, p:count()) end
      local step, out = tk.step(fn, {bits = 2, optimizer = tk.optim.adam()}), {}
      for i = 1, 5 do out[i] = ('%.9g'):format(step()) end
      for _, p in ipairs(w) do out[#out + 1] = bytes(p) end
      out = table.concat(out, ' ')
      want = want or out
      same(want, out)
    end
    tk.threads(0)
  end)
end)

describe('a program with nothing to do', function()
  it('runs: no rows, no elements', function()
    local w = tk.parameter(noise(4, 3))
    local x = tensor.create(tensor.F32, {0, 4})
    local step = tk.step(function() return x:matmul(w):relu():sum() + w:sum() end,
                         {small = 0, bits = 1})
    local sum = 0
    for _, row in ipairs(w:totable()) do for _, v in ipairs(row) do sum = sum + v end end
    assert.near(sum, step(), 1e-5)
    assert.same({{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, w.grad:totable())
  end)
end)
