-- A transposed graph is the graph of the same edges with heads and tails exchanged: in every
-- method, or the method says that it is not for transposed ones.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local tensors = require 'tests.support.tensors'
local reference = require 'tests.support.reference_ops'

local flat = tensors.flat
local HEADS, RELATIONS, TAILS = {0, 0, 2, 2, 2, 1, 3}, {0, 1, 2, 0, 0, 1, 2}, {1, 4, 0, 1, 1, 3, 4}
local noise = tensors.drawn_from(reference.random(5)).noise

local function graph(nodes, back)
  return tk.graph{head = back and TAILS or HEADS, tail = back and HEADS or TAILS,
                  relation = RELATIONS, nodes = nodes, relations = 3}
end

--- The transposed graph and the one of exchanged triples: of one kind of nodes, and of two.
local function pairs_of_graphs()
  return {{graph(5):transpose(), graph(5, true)},
          {graph({4, 5}):transpose(), graph({5, 4}, true)}}
end

local function near(a, b, what) tensors.near(flat(a), flat(b), 1e-5, what) end

describe('a transposed graph', function()
  local forms = {}
  for _, reduce in ipairs{'sum', 'mean'} do
    for _, message in ipairs{'copy', 'mul', 'add', 'sub'} do
      forms[#forms + 1] = {reduce = reduce, message = message}
    end
  end
  forms[#forms + 1] = {reduce = 'max'}

  it('aggregates as the graph of exchanged triples, with gradients', function()
    for _, two in ipairs(pairs_of_graphs()) do
      for _, form in ipairs(forms) do
        local x = tk.parameter(noise(two[1].tail_nodes, 3))
        local r = form.message and form.message ~= 'copy' and tk.parameter(noise(3, 3)) or nil
        local by, results = noise(two[1].nodes, 3), {}
        for k, g in ipairs(two) do
          local y = g:aggregate(x, {reduce = form.reduce, message = form.message, relation = r})
          local loss = (y * by):sum()
          loss:backward()
          results[k] = {y, x.grad:clone(), r and r.grad:clone()}
        end
        local what = form.reduce .. ' of ' .. (form.message or 'copy')
        for part = 1, r and 3 or 2 do near(results[1][part], results[2][part], what) end
      end
    end
  end)

  it('leaves the graph as it was', function()
    local g, x, r = graph(5), noise(5, 2), noise(3, 2)
    local before = g:aggregate(x, {message = 'add', relation = r})
    local values = flat(before)
    g:transpose():aggregate(x, {message = 'add', relation = r}):keep()
    near(g:aggregate(x, {message = 'add', relation = r}), before, 'add')
    assert.equal(5 * 2, #values)
  end)

  it('has the weights of normalized', function()
    for _, two in ipairs(pairs_of_graphs()) do
      for _, kind in ipairs{'row', 'symmetric', 'relation'} do
        local x = noise(two[1].tail_nodes, 2)
        near(two[1]:normalized(kind):aggregate(x), two[2]:normalized(kind):aggregate(x), kind)
      end
    end
  end)

  it('has the ends exchanged, the degrees too', function()
    local g = graph({4, 5})
    local back, e = g:transpose(), g:triples()
    assert.same(flat(g:heads()), flat(back:tails()))
    assert.same(flat(g:tails()), flat(back:heads()))
    local f = back:triples()
    for p = 0, e.n - 1 do
      assert.same({e.heads[p], e.relations[p], e.tails[p]},
                  {f.tails[p], f.relations[p], f.heads[p]})
    end
    assert.equal(tostring(graph({5, 4}, true)), tostring(back))
  end)

  it('drops nodes that its edges lead to', function()
    local back = graph({4, 5}):transpose()
    local y = tk.no_grad(function() return back:node_dropout(0.5):aggregate(tk.ones(4, 1)) end)
    for _, sum in ipairs(flat(y)) do assert.equal(0, sum % 2) end -- each weighs 0 or 2
  end)

  it('does not sample, look up, draw', function()
    local back, ids, none = graph(5):transpose(), tk.ids{0}, require('ffi').new('int32_t[1]')
    for name, fn in pairs{
      sample = function() back:sample(ids, 1) end,
      negatives = function() back:negatives(ids, ids) end,
      lookup = function() back:lookup(ids, tk.ids{{0}}) end,
      sample_triples = function() back:sample_triples(1) end,
      ripples = function() back:ripples({rows = 0, offsets = none, items = none}, 1, 1) end,
      neighborhood = function() back:neighborhood(1, {replacement = true}) end,
      offsets = function() back:offsets() end,
      dot = function() back:dot(noise(5, 2), noise(5, 2)) end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.matches(name .. ': of the graph itself, not transposed', message)
    end
  end)
end)

-- ---- values by hand ----

-- By head: 0-1 and 2-1 by relation 0, 3-0 and 3-1 by relation 1.
local EDGES = {head = {0, 3, 3, 2}, relation = {0, 1, 1, 0}, tail = {1, 1, 0, 1}, nodes = {4, 2},
               relations = 2}
local g = tk.graph(EDGES)
local t = g:transpose()
local x, r = tk.tensor{{1}, {2}, {3}, {4}}, tk.tensor{{10}, {20}}

local function holds(expected, tensor)
  local got = flat(tensor)
  assert.equal(#expected, #got)
  for i, value in ipairs(expected) do assert.near(value, got[i], 1e-5) end
end

describe('a transposed graph of four nodes and two', function()
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
    holds({4, 8}, t:aggregate(x))
    holds({4, 8 / 3}, t:aggregate(x, {reduce = 'mean'}))
    holds({4 + 20, 8 + 10 + 10 + 20}, t:aggregate(x, {message = 'add', relation = r}))
    holds({4 - 20, 8 - 40}, t:aggregate(x, {message = 'sub', relation = r}))
    holds({80, 10 + 30 + 80}, t:aggregate(x, {message = 'mul', relation = r}))
    -- and the other way it is as it was, whichever is asked first
    local two = tk.tensor{{1}, {2}}
    holds({2 + 10, 0, 2 + 10, 3 + 40}, g:aggregate(two, {message = 'add', relation = r}))
  end)

  it('normalises by them', function()
    holds({1 / 3, 1 / 3, 1, 1 / 3}, t:normalized('row').weights)
    holds({4, 8 / 3}, t:normalized('row'):aggregate(x))
    local s = g:normalized('symmetric').weights:totable()
    holds(s, t:normalized('symmetric').weights)
    holds({1 / 2, 1 / 2, 1, 1}, t:normalized('relation').weights)
    holds({1, 1, 1 / 2, 1 / 2}, g:normalized('relation').weights)
    local e = {math.exp(1), math.exp(2), math.exp(4)}
    local sum = e[1] + e[2] + e[3]
    holds({e[1] / sum, e[2] / sum, 1, e[3] / sum}, t:softmax(tk.tensor{1, 2, 3, 4}))
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
end)
