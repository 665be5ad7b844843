-- A transposed graph is the graph of the same edges with heads and tails exchanged: in every
-- method, or the method says that it is not for transposed ones.
local tk = require 'tinykg'
local tensors = require 'tests.spec.tensors'
local reference = require 'tests.spec.reference'

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

local function near(a, b, what)
  a, b = flat(a), flat(b)
  assert.equal(#a, #b)
  for i = 1, #a do assert(math.abs(a[i] - b[i]) < 1e-5, ('%s: %g, %g'):format(what, a[i], b[i])) end
end

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
      draw = function() back:draw(1) end,
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
