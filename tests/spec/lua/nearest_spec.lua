-- The best of a row and of a graph's edges, and graphs of nearest rows, against a search of every
-- pair; a model that makes its graph anew in begin_epoch.
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local train = require 'tinykg.train'
local emulation = require 'tests.support.emulation'
local tensors = require 'tests.support.tensors'
local fixtures = require 'tests.support.fixtures'

local nan, inf = 0 / 0, math.huge

describe('top_k', function()
  it('gives values and places, largest first, equal ones by place, NaN before all', function()
    local x = tk.tensor{{1, 5, 5, -inf}, {-0.0, 0, -1, inf}, {2, nan, 3, nan}}
    local values, at = x:top_k(3)
    assert.same({{1, 2, 0}, {3, 0, 1}, {1, 3, 2}}, at:totable())
    assert.same({5, 5, 1}, values:totable()[1])
    assert.same({inf, 0, 0}, values:totable()[2])
    local _, all = x:top_k(4)
    assert.same({1, 2, 0, 3}, all:totable()[1])
  end)

  it('takes the last dimension of any tensor', function()
    local values, at = tk.tensor{3, 1, 2}:top_k(2)
    assert.same({3, 2}, values:totable())
    assert.same({0, 2}, at:totable())
    assert.same({2, 1, 1}, (tk.tensor{{{1, 2}}, {{4, 3}}}:top_k(1)):size())
  end)

  it('passes the gradient to what was picked', function()
    local x = tk.parameter(tk.tensor{{1, 5, 5, 2}, {9, 8, 7, 6}})
    local loss = (x:top_k(2) * tk.tensor{{1, 10}, {100, 1000}}):sum()
    loss:backward()
    assert.same({{0, 1, 10, 0}, {100, 1000, 0, 0}}, x.grad:totable())
  end)

  it('of edges is a constant mask, equal scores by edge', function()
    local g = tk.graph{head = {0, 0, 1, 2}, tail = {1, 2, 2, 0}, nodes = 3}
    local scores = tk.parameter(tk.tensor{1, 3, 3, 3})
    assert.same({0, 1, 1, 0}, g:top_k(scores, 2):totable())
    assert.same({0, 0, 0, 0}, g:top_k(scores, 0):totable())
    assert.same({1, 1, 1, 1}, g:top_k(scores, 9):totable())
    local loss = (g:top_k(scores, 2) * scores):sum()
    loss:backward()
    assert.same({0, 1, 1, 0}, scores.grad:totable())
  end)

  it('is refused in one line', function()
    local x, g = tk.ones(2, 3), tk.graph{head = {0}, tail = {1}, nodes = 2}
    assert.error_matches(function() x:top_k(4) end, 'top_k: 4 of 3 asked for')
    assert.error_matches(function() x:top_k(0) end, 'top_k: 0 of 3 asked for')
    assert.error_matches(function() tk.full(1):top_k(1) end, 'has no rows')
    assert.error_matches(function() g:top_k(tk.ones(2), 1) end,
                         'top_k: scores %[2%] of a graph with 1 edges')
    assert.error_matches(function() g:top_k(tk.ones(1), 0.5) end, 'n is 0.5')
  end)
end)

--- The k nearest of each row by a search of all, in the order of ids: lists of {id, similarity}.
local function expected(x, k, metric)
  local rows, out = x:totable(), {}
  local function product(a, b)
    local sum = 0
    for c = 1, #a do sum = sum + a[c] * b[c] end
    return sum
  end
  for i, a in ipairs(rows) do
    local list = {}
    for j, b in ipairs(rows) do
      local s = product(a, b)
      if metric == 'cosine' then s = s / math.sqrt(product(a, a) * product(b, b)) end
      if i ~= j then list[#list + 1] = {id = j - 1, s = s} end
    end
    table.sort(list, function(p, q) return p.s > q.s or p.s == q.s and p.id < q.id end)
    for j = #list, k + 1, -1 do list[j] = nil end
    table.sort(list, function(p, q) return p.id < q.id end)
    for _, e in ipairs(list) do out[#out + 1] = {head = i - 1, id = e.id, s = e.s} end
  end
  return out
end

describe('graph.nearest', function()
  teardown(fixtures.clean)

  it('leads to the nearest rows, whose similarities it gives', function()
    tk.seed(4)
    for _, size in ipairs{{2, 3, 1}, {50, 8, 7}, {401, 20, 10}} do
      local n, d, k = unpack(size)
      local x = tk.randn(n, d)
      for _, metric in ipairs{'cosine', 'dot'} do
        local want = expected(x, k, metric)
        local g, similarity = tk.graph.nearest(x, k, {metric = metric})
        assert.equal(n, g.nodes)
        assert.equal(n * k, g.edges)
        local heads, tails, s = g:heads():totable(), g:tails():totable(), similarity:totable()
        for e, edge in ipairs(want) do
          assert.equal(edge.head, heads[e])
          assert.equal(edge.id, tails[e])
          assert.near(edge.s, s[e], 1e-5 * (1 + math.abs(edge.s)))
        end
      end
    end
  end)

  it('takes the lower id of equally near rows', function()
    local g = tk.graph.nearest(tk.ones(6, 2), 2)
    assert.same({1, 2, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1}, g:tails():totable())
  end)

  it('gives the same edges with any number of threads', function()
    tk.seed(9)
    local x, seen = tk.randn(900, 16), nil
    for _, threads in ipairs{1, 2, 3} do
      tk.threads(threads)
      local g, s = tk.graph.nearest(x, 5)
      local bytes = tensors.bytes(g:tails():clone()) .. tensors.bytes(s)
      seen = seen or bytes
      assert(seen == bytes)
    end
    tk.threads(0)
  end)

  it('leaves later random numbers the same on each device', function()
    local before, drawn = tk.device(), {}
    if not emulation.open('emu') then return pending('no emulated GPU: make emu-tests') end
    for _, device in ipairs{'cpu', 'emu'} do
      tk.device(device)
      tk.seed(4)
      tk.no_grad(function() tk.graph.nearest(tk.tensor{{1, 0}, {2, 1}, {0, 1}}, 1) end)
      local numbers = tk.no_grad(function() return tk.random('uniform', 8) end)
      drawn[#drawn + 1] = numbers:totable()
    end
    tk.device(before)
    assert.same(drawn[1], drawn[2])
  end)

  it('is made anew in begin_epoch, and steps read the new one', function()
    local Model = tk.nn.class('Near')
    local seen, plans = {}, {}
    function Model:rows() return self.items.weight:tanh() end
    function Model:begin_epoch(epoch)
      if self.near then self.near:free() end
      self.near = tk.graph.nearest(function() return self:rows() end, 3)
      seen[epoch] = {graph = self.near, rows = self.items.weight:clone()}
    end
    function Model:loss(batch)
      local x = self:rows()
      return tk.dot(self.users(batch.users), (x + self.near:aggregate(x)):gather(batch.items))
        :softplus():mean()
    end
    function Model:score(users, items) return tk.dot(self.users(users), self.items(items)) end
    local rows = {'user,item'}
    for u = 1, 12 do
      for i = 0, 7 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 17) end
    end
    local data = tk.data.load(fixtures.dir{['interactions.csv'] = rows})
    local recipe = tk.recipe{name = 'Near', build = function(d)
      return setmetatable({users = tk.nn.Embedding(d.users, 4),
                           items = tk.nn.Embedding(d.items, 4)}, Model)
    end}
    local live
    train.run(recipe, data, recipe:complete{epochs = 3, batch_size = 16, lr = 0.5}, {
      quiet = true, on_step = function(run)
        runtime.collect(true) -- similarities of the graph before
        local graph = tk.memory().live.graph
        assert.equal(live or graph, graph) -- the one before was freed
        live, plans[run.at.epoch] = graph, run.phases[1].step:figure 'plans'
      end})
    assert.equal(3, #seen)
    for epoch, s in ipairs(seen) do
      local want = expected(s.rows:tanh(), 3, 'cosine')
      if epoch == #seen then
        for e, id in ipairs(s.graph:tails():totable()) do assert.equal(want[e].id, id) end
      end
    end
    assert.equal(plans[1], plans[3]) -- no plan was made again
  end)

  it('changes what a compiled step computes', function()
    local w = tk.parameter(tk.tensor{{1, 0}, {2, 0.5}, {0, 1}})
    local near = tk.graph.nearest(w, 1)
    local step = tk.step(function() return near:aggregate(w):square():sum() end)
    local before = step()
    near = tk.graph{head = {0, 1, 2}, tail = {2, 2, 0}, nodes = 3}
    assert.near(3, step(), 1e-5)
    assert.near(4.25 + 1 + 4.25, before, 1e-5)
    assert.equal(1, step:figure 'plans')
  end)

  it('is refused in one line', function()
    local x = tk.ones(3, 2)
    local nearest = tk.graph.nearest
    assert.error_matches(function() nearest(x, 3) end, 'k = 3 of 3 rows: expected 1 to 2')
    assert.error_matches(function() nearest(x, 1, {metric = 'l2'}) end,
                         "metric 'l2': expected cosine or dot")
    assert.error_matches(function() nearest(tk.ones(4), 1) end, 'a matrix of rows is needed')
    assert.error_matches(function() nearest(tk.tensor{{1, nan}, {1, 1}, {2, 3}}, 1) end,
                         'similarity of rows %d and %d is NaN')
    local w = tk.parameter(x)
    assert.error_matches(function()
      tk.step(function()
        nearest(w, 1)
        return w:sum()
      end)()
    end, 'cannot be done inside a step')
  end)
end)
