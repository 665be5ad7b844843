-- Parts of a graph, by masks and dropouts that follow each other: sums, means and softmax are those
-- of a graph that is made of the edges left alone. What samples from all edges refuses a part.
local ffi = require 'ffi'
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local flat = require('tests.support.tensors').flat

-- By head, then by tail, as a graph has them; 0 -> 2 is there twice.
local HEADS, TAILS = {0, 0, 0, 0, 1, 1, 2, 3}, {1, 2, 2, 3, 0, 3, 3, 0}
local RELATIONS = {0, 0, 1, 1, 1, 1, 0, 0}
local A, B = {1, 1, 0, 1, 1, 0, 1, 0}, {1, 0, 1, 1, 1, 1, 1, 1}
local BOTH = {1, 0, 0, 1, 1, 0, 1, 0}
local X, SCORES = {{1, 2}, {3, -1}, {0.5, 4}, {-2, 1}}, {0.3, -1, 2, 0.8, 0.1, 4, 2, -3}
local W = {0.5, 2, 3, -1, 0.25, 4, 1.5, 7}

--- The graph, or the one of the edges where `left` is not 0.
local function graph(left)
  local e = {head = {}, relation = {}, tail = {}, nodes = 4, relations = 2}
  for k = 1, #HEADS do
    if not left or left[k] ~= 0 then
      table.insert(e.head, HEADS[k])
      table.insert(e.relation, RELATIONS[k])
      table.insert(e.tail, TAILS[k])
    end
  end
  return tk.graph(e)
end

--- The entries of a list where `left` is not 0.
local function of(list, left)
  local out = {}
  for k, x in ipairs(list) do if left[k] ~= 0 then out[#out + 1] = x end end
  return out
end

local function near(want, got, what)
  want, got = flat(want), flat(got)
  assert.equal(#want, #got, what)
  for k, x in ipairs(want) do
    assert(math.abs(x - got[k]) < 1e-5, ('%s: %g, expected %g'):format(what or k, got[k], x))
  end
end

local HOW = {{}, {reduce = 'mean'}, {reduce = 'mean', relation = tk.tensor{{2, 1}, {-1, 3}}}}

--- Fails unless sums and means over two graphs are equal, both ways.
local function alike(want, got, what)
  for _, how in ipairs(HOW) do
    near(want:aggregate(tk.tensor(X), how), got:aggregate(tk.tensor(X), how), what)
    near(want:transpose():aggregate(tk.tensor(X), how),
         got:transpose():aggregate(tk.tensor(X), how), what .. ' transposed')
  end
end

local a, b = tk.tensor(A), tk.tensor(B)

describe('a graph after two masks', function()
  it('is that of the edges that both leave', function()
    alike(graph(BOTH), graph():masked(a):masked(b), 'two masks')
    alike(graph(BOTH), graph():transpose():masked(a):transpose():masked(b), 'turned between')
    near(of(flat(graph():masked(a):masked(b):softmax(tk.tensor(SCORES))), BOTH),
         graph(BOTH):softmax(tk.tensor(of(SCORES, BOTH))))
    assert.same(BOTH, graph():masked(a):masked(b).left:totable())
  end)

  it('gives no share to edges that are left out, parallel ones either', function()
    for _, left in ipairs{A, B, BOTH} do
      for _, merged in ipairs{false, true} do
        local o = {merged = merged}
        local got = graph():masked(tk.tensor(left)):softmax(tk.tensor(SCORES), o):totable()
        near(graph(left):softmax(tk.tensor(of(SCORES, left)), o), of(got, left))
        for k, x in ipairs(left) do if x == 0 then assert.equal(0, got[k]) end end
      end
    end
  end)

  it('is weighted and normalized without the others', function()
    local part = graph(A)
    for _, g in ipairs{graph():masked(a), graph():weighted(b):masked(a)} do
      alike(part:weighted(tk.tensor(of(W, A))), g:weighted(tk.tensor(W)), 'weighted')
    end
    for _, kind in ipairs{'row', 'symmetric', 'relation'} do
      alike(part:normalized(kind), graph():masked(a):normalized(kind), kind)
      alike(part:transpose():normalized(kind), graph():masked(a):transpose():normalized(kind), kind)
      near(of(flat(graph():normalized(kind).weights), A),
           of(flat(graph():normalized(kind):masked(a).weights), A), kind)
    end
  end)

  it('is looked up and ranked without the others', function()
    local g = graph():masked(a)
    near({1, 7, 1, 7, 1, 7}, g:lookup(tk.ids{0, 1}, tk.ids{{1, 0, 3}, {3, 0, 1}}, 7))
    near({1, 0, 1, 0, 1, 0}, g:lookup(tk.ids{0, 1}, tk.ids{{1, 0, 3}, {3, 0, 1}}))
    near({1, 0, 0, 1, 0, 0, 1, 0}, g:top_k(tk.tensor(SCORES), 3))
    near(A, g:top_k(tk.tensor(SCORES), 7))
    near(A, g:top_k(tk.tensor(SCORES), 8))
  end)
end)

describe('dropouts and masks in a step', function()
  local ones = tk.ones(4, 1)

  it('leave means that are means, in any order', function()
    local g, x = graph(), tk.parameter(tk.ones(4, 1))
    local chains = {
      function() return g:masked(a):dropout(.5) end,
      function() return g:dropout(.5):masked(a) end,
      function() return g:dropout(.5):dropout(.25) end,
      function() return g:node_dropout(.5):dropout(.5) end,
      function() return g:dropout(.5):masked(a):node_dropout(.25):masked(b) end,
      function() return g:dropout(.5):transpose():dropout(.25) end,
      function()
        local part = g:masked(a)
        part:aggregate(ones, {reduce = 'mean'})
        return part:dropout(.5)
      end,
    }
    local step = tk.step(function()
      local out = {}
      for k, chain in ipairs(chains) do
        local part = chain()
        out[2 * k - 1] = part:aggregate(ones, {reduce = 'mean'}):keep()
        out[2 * k] = part:normalized('row'):aggregate(ones):keep()
      end
      return x:sum(), unpack(out)
    end)
    local seen = {}
    for _ = 1, 20 do
      for k, mean in ipairs{select(2, step())} do
        for _, value in ipairs(flat(mean)) do
          value = math.floor(value * 1e5 + 0.5) / 1e5
          assert(value == 0 or value == 1, ('chain %d: %g'):format(math.ceil(k / 2), value))
          seen[k .. ' ' .. value] = true
        end
      end
    end
    for k = 1, 2 * #chains do assert.is_true(seen[k .. ' 0'] and seen[k .. ' 1']) end
  end)

  it('drop no edge that a mask has left out, and multiply weights', function()
    local g = graph():weighted(tk.tensor(W))
    local step = tk.step(function()
      local part = g:dropout(.5):masked(a):dropout(.5)
      return tk.parameter(ones):sum(), part.weights:keep(), part:softmax(tk.tensor(SCORES)):keep()
    end)
    local shares = flat(graph():masked(a):softmax(tk.tensor(SCORES)))
    for _ = 1, 10 do
      local _, weights, softmax = step()
      for k, w in ipairs(weights:totable()) do
        assert(w == 0 or A[k] == 1 and math.abs(w - 4 * W[k]) < 1e-5, w)
      end
      near(shares, softmax) -- those of the masked graph, so that sums have its expectation
    end
  end)
end)

it('a part that is kept serves step after step, and outside of steps', function()
  local part, x = graph():masked(a), tk.parameter(tk.tensor(X))
  local want = flat(graph(A):aggregate(tk.tensor(X), {reduce = 'mean'}))
  local step = tk.step(function()
    local mean = part:aggregate(x, {reduce = 'mean'})
    return mean:sum(), mean:keep()
  end)
  for _ = 1, 3 do
    near(want, (select(2, step())))
    near(want, tk.no_grad(function() return part:aggregate(x, {reduce = 'mean'}) end))
    near(want, part:aggregate(tk.tensor(X), {reduce = 'mean'}))
  end
  local mask = tk.tensor(A)
  part = graph():masked(mask)
  near(want, part:aggregate(tk.tensor(X), {reduce = 'mean'}))
  mask:write(B)
  near(graph(B):aggregate(tk.tensor(X), {reduce = 'mean'}),
       part:aggregate(tk.tensor(X), {reduce = 'mean'}))
end)

it('sampling from a part is refused', function()
  local ids, seeds = tk.ids{0}, ffi.new('int32_t[2]', 0, 1)
  for _, part in ipairs{graph():masked(a), graph():dropout(.5), graph():node_dropout(.5)} do
    for name, call in pairs{
      sample = function() part:sample(ids, 2) end,
      sample_triples = function() part:sample_triples(2) end,
      negatives = function() part:negatives(ids, ids) end,
      neighborhood = function() part:neighborhood(2) end,
      at_most = function() part:at_most(1) end,
      ripples = function() part:ripples({rows = 1, offsets = seeds, items = seeds}, 1, 1) end,
      subgraph_weights = function() part:subgraph_weights(.5, 'edges') end,
    } do
      assert.matches(name .. ': masks or dropouts left edges out of this graph: call it on',
                     fixtures.message(call), 1, true)
    end
    assert.matches('neighborhood: masks or dropouts left edges out',
                   fixtures.message(part.receptive_field, part, 2), 1, true)
  end
end)

it('edge x gradient of a masked graph counts what the mask multiplies with once', function()
  local left = tk.tensor{2, 1, 0, 1, 1, 0, 1, 1}
  local Model = tk.nn.class 'Masked'
  local model = setmetatable({graph = graph():weighted(tk.tensor(W)):masked(left)}, Model)
  function Model:score() return self.graph:aggregate(tk.tensor(X)):rows(1, 1):sum() end
  local parts = tk.edges.gradient(model, {'graph'}, tk.ids{0}, tk.ids{0})
  near({2 * 0.5 * 2, 2 * 4.5, 0, 1, 0, 0, 0, 0}, fixtures.list(parts[1].weights, 8))
end)
