-- A graph gone through from tails to heads: everything that is said of heads is said of what were
-- tails, by hand on a graph between four nodes and two.
local tk = require 'tinykg'
local fixtures = require 'tests.spec.fixtures'

-- By head: 0-1 and 2-1 by relation 0, 3-0 and 3-1 by relation 1.
local EDGES = {head = {0, 3, 3, 2}, relation = {0, 1, 1, 0}, tail = {1, 1, 0, 1}, nodes = {4, 2},
               relations = 2}
local g = tk.graph(EDGES)
local t = g:transpose()
local x, r = tk.tensor{{1}, {2}, {3}, {4}}, tk.tensor{{10}, {20}}

local function near(expected, tensor)
  local flat = tensor:reshape(-1):totable()
  assert.equal(#expected, #flat)
  for i, value in ipairs(expected) do assert.near(value, flat[i], 1e-5) end
end

describe('a transposed graph', function()
  it('has heads and tails exchanged, edges in the order of the other', function()
    assert.same({1, 1, 0, 1}, t:heads():totable())
    assert.same({0, 2, 3, 3}, t:tails():totable())
    assert.same({0, 2, 3, 3}, g:heads():totable())
    local e = t:triples()
    assert.same({1, 1, 0, 1}, fixtures.list(e.heads, 4))
    assert.same({0, 2, 3, 3}, fixtures.list(e.tails, 4))
    assert.equal('graph: 2 x 4 nodes, 2 relations, 4 edges; degree mean 2.0 max 3, 0 isolated',
                 tostring(t))
  end)

  it('sums and averages over the edges of what were tails', function()
    near({4, 8}, t:aggregate(x))
    near({4, 8 / 3}, t:aggregate(x, {reduce = 'mean'}))
    near({4 + 20, 8 + 10 + 10 + 20}, t:aggregate(x, {message = 'add', relation = r}))
    near({4 - 20, 8 - 40}, t:aggregate(x, {message = 'sub', relation = r}))
    near({80, 10 + 30 + 80}, t:aggregate(x, {message = 'mul', relation = r}))
    -- and the other way it is as it was, whichever is asked first
    local two = tk.tensor{{1}, {2}}
    near({2 + 10, 0, 2 + 10, 3 + 40}, g:aggregate(two, {message = 'add', relation = r}))
  end)

  it('normalises by them', function()
    near({1 / 3, 1 / 3, 1, 1 / 3}, t:normalized('row').weights)
    near({4, 8 / 3}, t:normalized('row'):aggregate(x))
    local s = g:normalized('symmetric').weights:totable()
    near(s, t:normalized('symmetric').weights)
    near({1 / 2, 1 / 2, 1, 1}, t:normalized('relation').weights)
    near({1, 1, 1 / 2, 1 / 2}, g:normalized('relation').weights)
    local e = {math.exp(1), math.exp(2), math.exp(4)}
    local sum = e[1] + e[2] + e[3]
    near({e[1] / sum, e[2] / sum, 1, e[3] / sum}, t:softmax(tk.tensor{1, 2, 3, 4}))
  end)

  it('with edges dropped has means over those that are left, on either side', function()
    local ones = tk.ones(4, 1)
    local function means_of_ones(tensor, n) -- 1, or 0 where nothing is left
      assert.same({n, 1}, tensor:size())
      for _, row in ipairs(tensor:totable()) do assert.is_true(row[1] == 0 or row[1] == 1) end
    end
    local both, back = tk.no_grad(function()
      local dropped = g:dropout(0.5)
      return dropped:aggregate(tk.ones(2, 1), {reduce = 'mean'}),
        dropped:transpose():aggregate(ones, {reduce = 'mean'})
    end)
    means_of_ones(both, 4)
    means_of_ones(back, 2)
    assert.same({2, 1}, t:dropout(0):aggregate(ones):size())
  end)

  it('drops nodes that are its tails', function()
    assert.same({2, 1}, t:node_dropout(0.5):aggregate(x):size())
  end)

  it('says where it cannot be read by head', function()
    for _, name in ipairs{'offsets', 'dot', 'sample', 'negatives', 'lookup', 'neighborhood'} do
      local arguments = name == 'dot' and {x, x} or name == 'sample' and {tk.ids{0}, 1}
        or name == 'neighborhood' and {1} or {tk.ids{0}, tk.ids{{0}}}
      assert.matches('of the graph itself, not transposed',
                     fixtures.message(t[name], t, unpack(arguments)))
    end
  end)
end)
