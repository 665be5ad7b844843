-- Groups of nodes that run in tiles: random layers give what they give node by node, whatever the
-- number of threads, and what lives in a tile is not in the arena. On the CPU results have the same
-- bits; on a GPU groups sum in an order of their own, the same in all, so there they are near.
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local random = reference.random(21)
local drawn = tensors.drawn_from(random)
local bytes, same = tensors.bytes, tensors.same
local ON_CPU = tk.device() == 'cpu'
local LESS = (os.getenv 'TINYKG_CHECK' or not ON_CPU) and 4 or 1

--- Compares results of a run in tiles with those node by node.
local function as_by_node(want, got, what)
  if ON_CPU then return same(bytes(want), bytes(got), what) end
  tensors.near_largest(tensors.flat(want), tensors.flat(got), 1e-4, what)
end

--- The same for losses.
local function loss_by_node(want, got)
  if ON_CPU then return assert.equal(want, got) end
  tensors.near({want}, {got}, 1e-5, 'loss', true)
end

local function on_cpu(what, fn)
  it(what, function()
    if not ON_CPU then return pending('not on ' .. tk.device()) end
    fn()
  end)
end

local SIZES = {{2049, 8}, {2304, 20}, {2500, 64}, {8200, 3}} -- a tile of odd widths has 1,024 rows

local function graph_of(n)
  local h, r, t = {}, {}, {}
  for k = 1, 3 * n do
    h[k] = k % 7 == 0 and 5 or math.floor(random() * n) -- 5 is a hub
    t[k], r[k] = math.floor(random() * n), k % 3
  end
  return tk.graph{head = h, relation = r, tail = t, nodes = n, relations = 3}
end

--- A network of random row-by-row ops over [n, d] with sums over a graph in between.
local function random_network(n, d)
  local p = {x = drawn.parameter(n, d), r = drawn.parameter(3, d)}
  local graph, plan = graph_of(n), {}
  for k = 1, 12 do plan[k] = math.floor(random() * 11) end
  for k = 1, 12 do
    p[k] = drawn.parameter(d, d)
    p[k + 20] = tk.parameter(drawn.noise(1, d):reshape(d))
  end
  local apply = {
    [0] = function(h, k) return h:matmul(p[k]) * 0.5 + p[k + 20] end,
    function(h) return h:leaky_relu(0.1) end,
    function(h, _, before) return h * 0.5 + before end,
    function(h, _, before) return h * before end,
    function(h) return h:dropout(0.2) end,
    function(h) return h:normalize() end,
    function(h) return h:tanh() end,
    function(h) return h:softmax() end,
    function(h) return graph:aggregate(h) * 0.3 end,
    function(h) return graph:aggregate(h, {relation = p.r, reduce = 'mean'}) end,
    function(h, k) return tk.cat({h, h:relu()}, 2):narrow(2, 1 + k % d, d) end,
  }
  local parameters = {p.x, p.r}
  for k = 1, 12 do parameters[#parameters + 1], parameters[#parameters + 2] = p[k], p[k + 20] end
  return function()
    local h, before = p.x, p.x
    for k, choice in ipairs(plan) do h, before = apply[choice](h, k, before), h end
    return (h * h:sigmoid()):mean()
  end, parameters
end

local function run(fn, parameters, options, threads)
  tk.seed(2)
  tk.threads(threads or 1)
  local step = tk.step(fn, options)
  local loss = step()
  tk.threads(1)
  local list = {}
  for i, p in ipairs(parameters) do list[i] = p.grad and p.grad:clone() or false end
  return loss, list, step
end

describe('tiles', function()
  it('give the bits of one node after the other', function()
    local grouped = 0
    for round = 1, 8 / LESS do
      local fn, parameters = random_network(unpack(SIZES[round % 4 + 1]))
      for _, bits in ipairs{32, 2} do
        local options = {bits = bits, tiles = false, small = 0}
        local loss, want = run(fn, parameters, options)
        options.tiles = nil
        local tiled, got, step = run(fn, parameters, options)
        loss_by_node(loss, tiled)
        for i = 1, #want do
          assert.equal(not want[i], not got[i])
          if want[i] then as_by_node(want[i], got[i], 'parameter ' .. i) end
        end
        if step:program():find('group', 1, true) then grouped = grouped + 1 end
      end
    end
    assert.is_true(grouped > 0)
  end)

  -- Encoding joins the sum's group at few bits; the sum must not show it.
  it('give the forward pass the same bits at every width', function()
    for _, n in ipairs{2048, 4096, 8191, 70000} do
      local x, w = drawn.parameter(n, 8), tk.parameter(drawn.noise(24, 8):reshape(3, 8, 8))
      local v, b = drawn.parameter(n, 8), drawn.parameter(n, 1)
      local ids, at = {}, 0
      for i = 1, n do ids[i], at = at, (at + 1) % 3 end
      ids = tk.ids(ids)
      local function fn()
        local y = tk.grouped_matmul(x, w, ids)
        local sums = {y:sum(1), (y * v):sum(1), x:tanh():matmul(v * b, {transpose_a = true}):sum(1),
                      (b * b:sigmoid()):sum(1)}
        local all = tk.cat(sums, 1)
        return all:square():sum(), all
      end
      local want
      local ways = {{bits = 32}, {bits = 8}, {bits = 2}}
      if ON_CPU then ways[4] = {bits = 2, tiles = false} end
      for _, options in ipairs(ways) do
        options.small = 0
        local _, all = tk.step(fn, options)()
        want = want or bytes(all)
        same(want, bytes(all), n .. ' rows, ' .. options.bits .. ' bits')
      end
    end
  end)

  it('give the same bits for any number of threads', function()
    local fn, parameters = random_network(2500, 20)
    local loss, want = run(fn, parameters, {bits = 2}, 1)
    for _, threads in ipairs{2, 3, 4} do
      local again, got = run(fn, parameters, {bits = 2}, threads)
      assert.equal(loss, again)
      for i = 1, #want do
        if want[i] then same(bytes(want[i]), bytes(got[i]), 'parameter ' .. i) end
      end
    end
  end)

  it('give the same bits where each value is kept whole, to be looked at', function()
    for round = 1, 8 / LESS do
      local fn, parameters = random_network(unpack(SIZES[round % 4 + 1]))
      for _, bits in ipairs{32, 2} do
        local loss, want = run(fn, parameters, {bits = bits, small = 0}, 2)
        local again, got = run(fn, parameters, {bits = bits, small = 0, check = true}, 2)
        loss_by_node(loss, again)
        for i = 1, #want do
          if want[i] then as_by_node(want[i], got[i], 'parameter ' .. i) end
        end
      end
    end
  end)

  it('hold what only their group reads: it takes no room in the arena', function()
    local n = 16384
    local x, w, v = drawn.noise(n, 64), drawn.parameter(64, 64), drawn.parameter(64, 8)
    local function layer() return ((x:matmul(w)):tanh() * x):matmul(v):square():mean() end
    local options = {tiles = false}
    local step = tk.step(layer, options)
    step()
    options.tiles = nil
    local tiled = tk.step(layer, options)
    tiled()
    local matrix = 4 * n * 64
    assert.is_true(step:figure 'arena_bytes' - tiled:figure 'arena_bytes' > 0.5 * matrix)
    assert.is_truthy(tiled:program():find('tile+', 1, true))
  end)

  -- In backward the sum is computed again from rows that are dropped once more and needed as a
  -- whole. Only these are computed before it; the gradient of relu waits for its readers.
  it('split before a node that needs a value as a whole', function()
    local n = 4096
    local x, w, v = drawn.parameter(n, 16), drawn.parameter(16, 16), drawn.parameter(16, 8)
    local graph = graph_of(n)
    local step = tk.step(function()
      local h = x:matmul(w):tanh():dropout(0.1)
      local y = graph:aggregate(h, {recompute = true})
      return graph:aggregate((h * y):matmul(v):relu()):square():mean()
    end, {bits = 2, small = 0})
    step()
    local places = {}
    for op, place in step:program():gmatch 'b +%d+  (%S+) +[%d ]-  f32 %b[]  (%S+)' do
      places[op] = places[op] or place
    end
    assert.matches('^@', places.dropout)
    assert.matches('^tile%+', places.leaky_relu_grad)
  end)

  on_cpu('take the memory of as many as run at a time, always with the same bits', function()
    local C, runtime = require 'tinykg.engine.lib', require 'tinykg.engine.runtime'
    local x, w = drawn.parameter(20000, 32), drawn.parameter(32, 32)
    local function layers()
      local h = x
      for _ = 1, 3 do h = h:matmul(w):tanh() * 0.5 + h end
      return h:square():mean()
    end
    local function at_once(tiles)
      assert.equal(0, C.tkg_engine_set_tiles(runtime.engine, tiles))
      local loss, gradients, step = run(layers, {x, w}, {}, 16)
      C.tkg_engine_set_tiles(runtime.engine, 0)
      return loss, bytes(gradients[2]), step:figure 'arena_bytes'
    end
    local loss, gradient, most = at_once(0)
    local arenas = {}
    for _, tiles in ipairs{1, 4, 16, 99} do
      local other, same_gradient, arena = at_once(tiles)
      assert.equal(loss, other)
      assert.equal(gradient, same_gradient)
      arenas[tiles] = arena
    end
    assert.equal(most, arenas[16])
    assert.equal(most, arenas[99]) -- there are 16 threads
    local tile = (arenas[4] - arenas[1]) / 3 -- at least one value of 256 rows
    assert.is_true(tile >= 4 * 256 * 32 and most - arenas[4] == 12 * tile)
    assert.not_equal(0, C.tkg_engine_set_tiles(runtime.engine, -1))
  end)
end)
