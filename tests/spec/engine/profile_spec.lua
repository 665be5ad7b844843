-- Profiles: what each op moves and computes, by formulas written out here; times that add up; the
-- same bits as without; files that a trace viewer reads.
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local tensors = require 'tests.support.tensors'

local N, D, E = 3000, 16, 12000

local function graph_of()
  local h, r, t = {}, {}, {}
  for k = 1, E do h[k], r[k], t[k] = k * 7 % N, k % 3, k * k % N end
  return tk.graph{head = h, relation = r, tail = t, nodes = N, relations = 3}
end

--- The record of one op of a profile.
local function of(profile, op)
  for _, record in ipairs(profile.ops) do
    if record.op == op then return record end
  end
  error(op .. ' is not in the profile:\n' .. tostring(profile), 2)
end

--- The record of an op that fn records, run once forward.
local function once(op, fn)
  local record = of(tk.profile(function() return tk.no_grad(fn) end), op)
  assert.equal(1, record.calls)
  return record
end

local function moves(record, bytes, cached, flops)
  assert.same({bytes = bytes, cached = cached, flops = flops},
              {bytes = record.bytes, cached = record.cached, flops = record.flops})
end

describe('what an op moves and computes', function()
  local x, w = tk.randn(N, D):keep(), tk.randn(D, 8):keep()
  local row, whole = 4 * D, 4 * N * D

  it('is each input and the result, for rows', function()
    moves(once('add', function() return x + x end), 3 * whole, 3 * whole, N * D)
    moves(once('softmax', function() return x:softmax() end), 2 * whole, 2 * whole, 3 * N * D)
    local bytes = whole + 4 * D * 8 + 4 * N * 8
    moves(once('matmul', function() return x:matmul(w) end), bytes, bytes, 2 * N * D * 8)
    bytes = whole + 4 * D
    moves(once('sum', function() return x:sum(1) end), bytes, bytes, N * D)
  end)

  it('is what is written, for random numbers; each pair of matrices, for many products', function()
    moves(once('random', function() return tk.random('normal', N, D) end), whole, whole, 0)
    moves(once('greater', function() return x:gt(x) end), 3 * whole, 3 * whole, 0)
    local a, b = tk.randn(30, 5, 7):keep(), tk.randn(30, 5, 9):keep()
    local bytes = 4 * 30 * (5 * 7 + 5 * 9 + 7 * 9)
    moves(once('batched_matmul', function() return a:matmul(b, {transpose_a = true}) end),
          bytes, bytes, 2 * 30 * 7 * 9 * 5)
  end)

  it('is a row of the table for each id in the cache, and for each row in memory', function()
    local ids = {}
    for k = 1, 2 * N do ids[k] = k % 10 end
    local list = tk.ids(ids)
    -- 2 N ids of 4 bytes, 2 N rows of the result; of 2 N rows read, N at most are different
    moves(once('gather', function() return x:gather(list) end),
          8 * N + 2 * whole + whole, 8 * N + 2 * whole + 2 * whole, 0)
  end)

  it('is a row for each edge in the cache, and n + m rows in memory', function()
    local graph, weights = graph_of(), tk.randn(E):keep()
    local ids = 4 * (N + 1) + 4 * E
    moves(once('aggregate', function() return graph:aggregate(x) end),
          ids + 2 * whole, ids + E * row + whole, E * D)
    moves(once('aggregate', function() return graph:aggregate(x, {weight = weights}) end),
          ids + 4 * E + 2 * whole, ids + 4 * E + E * row + whole, 2 * E * D)
    local kinds = tk.randn(3, D):keep()
    moves(once('aggregate_mul', function() return graph:aggregate(x, {relation = kinds}) end),
          ids + E + 3 * row + 2 * whole, ids + E + 3 * row + E * row + whole, 2 * E * D)
  end)

  it('is the average number of edges for each head that is listed', function()
    local graph, list = graph_of(), tk.ids{1, 5, 9}
    local edges = 3 * E / N -- 12, whose rows are all different at the most
    moves(once('aggregate_rows', function() return graph:aggregate(x):gather(list) end),
          4 * 4 + 4 * edges + 4 * 3 + edges * row + 3 * row,
          4 * 4 + 4 * edges + 4 * 3 + edges * row + 3 * row, edges * D)
  end)

  it('is read and written where a parameter is updated', function()
    local p = tk.parameter(tk.randn(N, D))
    local step = tk.step(function() return p:square():sum() end, {optimizer = tk.optim.adam{}})
    local profile = tk.profile(step)
    moves(of(profile, 'adam'), 7 * whole, 7 * whole, 13 * N * D)
  end)

  it('is as many bytes as the codes have', function()
    local p, graph = tk.parameter(tk.randn(D, 8)), graph_of()
    local step = tk.step(function() return graph:aggregate(x):matmul(p):sum() end,
                         {bits = 2, tiles = false})
    local codes = N * (D / 4 + 4) -- two bits per element, a pair of halves per row
    moves(of(tk.profile(step), 'encode'), whole + codes, whole + codes, 4 * N * D)
  end)
end)

--- A small layer with a graph, and its parameters.
local function layer()
  tk.seed(3)
  local graph = graph_of()
  local p = {x = tk.parameter(tk.randn(N, D)), w = tk.parameter(tk.randn(D, D))}
  return tk.step(function()
    local h = graph:aggregate(p.x):matmul(p.w):leaky_relu(0.1):dropout(0.2):normalize()
    return (h * h:sigmoid()):mean()
  end, {optimizer = tk.optim.adam{}, bits = 2}), p
end

local function trained(profiled)
  local step, p = layer()
  local function some() for _ = 1, 3 do step() end end
  if profiled then tk.profile(some) else some() end
  return tensors.bytes(p.x), tensors.bytes(p.w)
end

describe('a profile', function()
  after_each(fixtures.clean)

  it('leaves results the same bits, on a device that queues too', function()
    local x, w = trained(false)
    local x2, w2 = trained(true)
    assert.is_true(x == x2 and w == w2)
    local was = tk.device()
    if not emulation.open('emu') then return end
    finally(function() tk.device(was) end)
    x, w = trained(false)
    x2, w2 = trained(true)
    assert.is_true(x == x2 and w == w2)
  end)

  it('has each op that runs as often as it ran, within tiles too, and times that add up', function()
    local step = layer()
    step()
    local calls, tiled = {}, false
    for line in step:program():gmatch('[^\n]+') do
      local op, view = line:match('^%l +%d+  ([%l_]+)'), line:find('  in %d+')
      tiled = tiled or line:find('group %d+') ~= nil
      if not view or line:find('^u') then calls[op] = (calls[op] or 0) + 3 end
    end
    assert.is_true(tiled or tk.device() ~= 'cpu')
    local profile = tk.profile(function() for _ = 1, 3 do step() end end)
    local found, sum = {}, 0
    for _, record in ipairs(profile.ops) do
      found[record.op], sum = record.calls, sum + record.seconds
      assert.is_true(record.seconds > 0 and record.share <= 1)
    end
    assert.same(calls, found)
    assert.equal(3, profile.runs)
    assert.is_true(math.abs(sum - profile.in_ops) < 1e-9)
    assert.is_true(profile.in_ops <= profile.in_runs and profile.in_runs <= profile.seconds)
  end)

  it('does not count what lives in a tile as memory', function()
    if tk.device() ~= 'cpu' then return pending('tiles are the CPU backend\'s') end
    local function bytes_of(tiles)
      local p = tk.parameter(tk.randn(N, D))
      local step = tk.step(function() return ((p * 2):tanh() * 3):sum() end, {tiles = tiles})
      return of(tk.profile(step), 'tanh').bytes
    end
    assert.equal(2 * 4 * N * D, bytes_of(false))
    assert.is_true(bytes_of(true) < 4 * N * D + 1)
  end)

  it('compares with copying and multiply-adds of this machine', function()
    local x = tk.randn(N, D):keep()
    local profile = tk.profile(function() tk.no_grad(function() return x + x end) end)
    local add = of(profile, 'add')
    assert.is_true(profile.copy > 1e8 and profile.copy < 1e13)
    assert.truthy(tostring(profile):find('copying %d+'))
    assert.is_true(math.abs(add.of_copy - add.bytes / add.seconds / profile.copy) < 1e-9)
    if not profile.flops then return assert.not_equal('cpu', tk.device()) end
    assert.is_true(profile.flops > 1e9 and profile.flops < 1e14)
    assert.is_true(math.abs(add.of_flops - add.flops / add.seconds / profile.flops) < 1e-9)
    assert.truthy(tostring(profile):find('add +1 '))
  end)

  it('numbers the steps of a trace by step object', function()
    local path = fixtures.dir() .. '/trace.json'
    local first, w = layer(), tk.parameter(tk.ones(2))
    local second = tk.step(function() return w:square():sum() end)
    tk.profile(function() first() second() first() end):trace(path)
    local names = {}
    for _, e in ipairs(json.decode(fixtures.bytes(path)).traceEvents) do
      if e.name:find('^step ') then names[#names + 1] = e.name end
    end
    table.sort(names)
    assert.same({'step 1', 'step 1 of object 2', 'step 2'}, names)
  end)

  it('writes a trace of steps with their ops, and their recipe lines', function()
    local step, path = layer(), fixtures.dir() .. '/trace.json'
    local profile = tk.profile(function() step() step() end)
    profile:trace(path)
    local events = assert(json.decode(fixtures.bytes(path))).traceEvents
    local steps, ops, lines = {}, 0, 0
    for _, e in ipairs(events) do
      assert.equal('X', e.ph)
      if e.name:find('^step ') then steps[#steps + 1] = e end
    end
    assert.equal(2, #steps)
    for _, e in ipairs(events) do
      local within = false
      for _, s in ipairs(steps) do
        within = within or (e.ts >= s.ts - 0.01 and e.ts + e.dur <= s.ts + s.dur + 0.01)
      end
      assert.is_true(within, e.name)
      if e.args and e.args.shape then ops = ops + 1 end
      if e.args and e.args.where then
        lines = lines + 1
        assert.truthy(e.args.where:find('profile_spec.lua:%d+$'))
      end
    end
    local calls = 0
    for _, record in ipairs(profile.ops) do calls = calls + record.calls end
    assert.equal(calls, ops)
    assert.is_true(lines > 10)
  end)

  it('is not within another, and ends where its function fails', function()
    local ok, message = pcall(tk.profile, function() tk.profile(function() end) end)
    assert.is_false(ok)
    assert.truthy(tostring(message):find('profile: one is going on already', 1, true))
    assert.equal(0, tk.profile(function() end).runs)
  end)
end)

describe('run --profile', function()
  teardown(fixtures.clean)

  it('prints the table and writes both files; results are those of a plain run', function()
    local dir, set = shell.demo(40, 40)
    local function run(more)
      return shell.prints(('run recipes/bpr-mf.lua --data %s --out %s --set epochs=2 %s')
        :format(set, dir .. '/run' .. #more, more))
    end
    local plain, out = run(''), run('--profile')
    assert.equal(plain:match('\nauc [^\n]+'), out:match('\nauc [^\n]+'))
    assert.truthy(out:find('\nop +calls +ms +share'))
    assert.truthy(out:find('\noutside of steps'))
    local profile = assert(json.decode(fixtures.bytes(dir .. '/run9/profile.json')))
    assert.truthy(out:find('\n' .. profile.ops[1].op .. ' '))
    assert.truthy(json.decode(fixtures.bytes(dir .. '/run9/trace.json')).traceEvents[1])
    shell.gives(2, ('./tinykg run recipes/bpr-mf.lua --data %s --seed 1,2 --profile'):format(set),
                'profile: it is for one run')
  end)
end)
