-- Scores of edges by one matrix per relation, and sampled triples, against plain loops.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local generator = require 'tinykg.base.random'
local runtime = require 'tinykg.engine.runtime'

--- A graph with parallel edges, repeated edges, self loops, isolated nodes and an empty relation.
local function odd_graph(random, nodes, edges, relations)
  local o = {head = {}, relation = {}, tail = {}, nodes = nodes, relations = relations}
  local function add(h, r, t)
    local k = #o.head + 1
    o.head[k], o.relation[k], o.tail[k] = h, r, t
  end
  for _ = 1, edges do
    local r = random:below(relations)
    if r == 1 then r = 2 end -- relation 1 has no edge
    add(random:below(nodes - 2), r, random:below(nodes - 2))
  end
  add(0, 0, 0)
  add(0, 2, 0)
  add(3, 0, 4)
  add(3, 0, 4)
  return o
end

local function numbers(random, ...)
  local sizes, list = {...}, {}
  local n = 1
  for _, s in ipairs(sizes) do n = n * s end
  for i = 1, n do list[i] = random:uniform() * 2 - 1 end
  return tk.parameter(tk.zeros(...):write(list)), list
end

--- (e_t W_r) . tanh(e_h W_r + e_r) in double precision, lists being flat.
local function score(x, w, r, d, k, h, rel, t)
  local sum = 0
  for c = 1, k do
    local head, tail = r[rel * k + c], 0
    for i = 1, d do
      local m = w[(rel * d + i - 1) * k + c]
      head, tail = head + x[h * d + i] * m, tail + x[t * d + i] * m
    end
    local e = math.exp(2 * head)
    sum = sum + tail * (e - 1) / (e + 1)
  end
  return sum
end

describe('attention', function()
  local NODES, EDGES, RELATIONS, D, K = 13, 60, 5, 4, 3
  local random, graph, x, w, r, xs, ws, rs, e
  before_each(function()
    random = generator.new(5, 1)
    graph = tk.graph(odd_graph(random, NODES, EDGES, RELATIONS))
    x, xs = numbers(random, NODES, D)
    w, ws = numbers(random, RELATIONS, D, K)
    r, rs = numbers(random, RELATIONS, K)
    e = graph:triples()
  end)

  --- Weights of a softmax over pairs of head and tail, whose score is the sum of their edges',
  --- shared equally by these; in double precision, and their sum with coefficients c.
  local function merged_softmax(s, c)
    local added, count, whole, out, sum = {}, {}, {}, {}, 0
    local function pair(p) return e.heads[p] .. ' ' .. e.tails[p] end
    for p = 0, e.n - 1 do
      added[pair(p)] = (added[pair(p)] or 0) + s[p + 1]
      count[pair(p)] = (count[pair(p)] or 0) + 1
    end
    for key, value in pairs(added) do
      local head = key:match('%d+')
      whole[head] = (whole[head] or 0) + math.exp(value)
    end
    for p = 0, e.n - 1 do
      out[p + 1] = math.exp(added[pair(p)]) / whole[tostring(e.heads[p])] / count[pair(p)]
      sum = sum + out[p + 1] * c[p + 1]
    end
    return out, sum
  end

  it('takes parallel edges as one, with their gradients', function()
    local scores, s = numbers(random, e.n)
    local coefficients, c = numbers(random, e.n)
    local got, want = graph:softmax(scores, {merged = true}), merged_softmax(s, c)
    for p, value in ipairs(got:totable()) do assert.near(want[p], value, 1e-6) end
    local loss = (graph:softmax(scores, {merged = true}) * coefficients:detach()):sum()
    loss:backward()
    for p, gradient in ipairs(scores.grad:totable()) do
      local kept, step = s[p], 1e-4
      s[p] = kept + step
      local _, above = merged_softmax(s, c)
      s[p] = kept - step
      local _, below = merged_softmax(s, c)
      s[p] = kept
      assert.near((above - below) / (2 * step), gradient, 1e-5)
    end
    local alone = tk.graph{head = {0, 0, 1}, tail = {1, 2, 0}, nodes = 3}
    local few = tk.tensor{1, 2, 3}
    assert.same(alone:softmax(few):totable(), alone:softmax(few, {merged = true}):totable())
    assert.matches("softmax: unknown option parallel; it has: merged",
                   fixtures.message(graph.softmax, graph, scores, {parallel = true}))
  end)

  it('says that relations have no matrix or no row', function()
    local few = tk.attention.new(tk.graph{head = {0, 1}, relation = {0, 1}, tail = {1, 2},
                                          nodes = 3, relations = 2})
    for _, sizes in ipairs{{{1, 4, 4}, {2, 4}}, {{2, 4, 4}, {1, 4}}, {{2, 4}, {2, 4}}} do
      local found = fixtures.message(few.scores, few, tk.ones(3, 4), tk.ones(unpack(sizes[1])),
                                     tk.ones(unpack(sizes[2])))
      assert.truthy(found:find(('attention: w [%s] and r [%s], expected [2, d, k] and [2, k] for '
        .. 'the 2 relations'):format(table.concat(sizes[1], ', '), table.concat(sizes[2], ', ')),
        1, true), found)
    end
  end)

  it('scores each edge as the equation does, in the graph\'s order', function()
    for _, one_way in ipairs{false, true} do
      local attention = tk.attention.new(graph, {one_way = one_way})
      assert.equal(RELATIONS - 1, #attention.parts)
      local got = attention:scores(x, w, r):totable()
      assert.equal(EDGES + 4, #got)
      for p = 0, e.n - 1 do
        assert.near(score(xs, ws, rs, D, K, e.heads[p], e.relations[p], e.tails[p]), got[p + 1],
                    1e-5)
      end
    end
  end)

  it('finds the heads of each relation, be they few, 64 or more', function()
    for _, relations in ipairs{3, 63, 64, 65, 300} do
      local many = tk.graph(odd_graph(random, NODES, 500, relations))
      local triples, distinct, expected = many:triples(), {}, 0
      for p = 0, triples.n - 1 do
        local key = triples.relations[p] * NODES + triples.heads[p]
        if not distinct[key] then distinct[key], expected = true, expected + 1 end
      end
      local got = tk.attention.new(many)
      assert.equal(expected, got.heads)
      local list = got.list:totable()
      for _, part in ipairs(got.parts) do
        for k = part.first + 1, part.first + part.count do
          assert.is_true(distinct[part.relation * NODES + list[k]])
          assert.is_true(k == part.first + 1 or list[k] > list[k - 1])
        end
      end
    end
  end)

  it('is a softmax over the edges of a head', function()
    local pi = graph:softmax(tk.attention.new(graph):scores(x, w, r)):totable()
    local sums, exps = {}, {}
    for p = 0, e.n - 1 do
      exps[p] = math.exp(score(xs, ws, rs, D, K, e.heads[p], e.relations[p], e.tails[p]))
      sums[e.heads[p]] = (sums[e.heads[p]] or 0) + exps[p]
    end
    for p = 0, e.n - 1 do assert.near(exps[p] / sums[e.heads[p]], pi[p + 1], 1e-5) end
  end)

  it('has gradients: those of finite differences', function()
    local attention = tk.attention.new(graph)
    local weights = {}
    for p = 1, e.n do weights[p] = random:uniform() - 0.5 end
    local by = tk.tensor(weights)
    for _, bits in ipairs{32, 8} do
      local step = tk.step(function() return (attention:scores(x, w, r) * by):sum() end,
                           {bits = bits})
      step()
      local function loss()
        local sum = 0
        for p = 0, e.n - 1 do
          sum = sum + weights[p + 1] * score(xs, ws, rs, D, K, e.heads[p], e.relations[p],
                                             e.tails[p])
        end
        return sum
      end
      for t, list in pairs{[x] = xs, [w] = ws, [r] = rs} do
        local grad, n = t.grad:values()
        for i = 1, n do
          local was = list[i]
          list[i] = was + 1e-5
          local up = loss()
          list[i] = was - 1e-5
          local down = loss()
          list[i] = was
          assert.near((up - down) / 2e-5, grad[i - 1], bits == 32 and 1e-4 or 0.1)
        end
      end
    end
  end)

  it('needs relations, and takes a graph without edges', function()
    local plain = tk.graph{head = {0}, tail = {1}, nodes = 2}
    assert.matches('attention: this graph has no relations',
                   fixtures.message(tk.attention.new, plain))
    assert.matches('not transposed', fixtures.message(tk.attention.new, graph:transpose()))
    local none = tk.graph{head = {}, relation = {}, tail = {}, nodes = 3, relations = 2}
    assert.same({0}, tk.attention.new(none):scores(x, w, r):size())
  end)

  it('updates constant weights, unless they are fixed', function()
    local function first() return tk.ones(e.n) end
    local attention = tk.attention.new(graph, {weights = first(), merged = true, one_way = true})
    assert.same(first():totable(), attention.weights:totable())
    local want = graph:softmax(tk.attention.new(graph):scores(x, w, r), {merged = true}):totable()
    for _ = 1, 2 do
      local before = attention.weights
      attention:update(x, w, r)
      assert.same(want, attention.weights:totable())
      assert.error_matches(function() return before:totable() end, 'free')
    end
    local fixed = tk.attention.new(graph, {weights = first(), fixed = true})
    assert.same(first():totable(), fixed:update(x, w, r).weights:totable())
    assert.matches('it is fixed and has no scores', fixtures.message(fixed.scores, fixed, x, w, r))
  end)

  it('and all else of a graph with inverses takes 13 bytes per edge and 4 per node', function()
    local function live()
      runtime.collect(true)
      local memory = tk.memory().live
      return memory.graph + memory.data -- weights are values that were kept
    end
    for relations, id in pairs{[100] = 1, [20000] = 2} do -- bytes of an id, inverses included
      local before = live()
      local o = odd_graph(random, 300, 2000, relations)
      o.inverse = true
      local g = tk.graph(o)
      local attention = tk.attention.new(g, {weights = g:normalized('relation').weights,
                                             merged = true, one_way = true})
      local nodes, matrices = numbers(random, 300, D), numbers(random, g.relations, D, K)
      local vectors = numbers(random, g.relations, K)
      for _ = 1, 2 do
        attention:update(nodes, matrices, vectors)
        tk.no_grad(function() return g:sample_triples(50).tails end)
        local sampled = 4 * 300 + 4 * 50 -- the nodes that have edges, as some have none; the batch
        assert.is_true(live() - before <= (12 + id) * g.edges + 4 * 301 + 3 + sampled)
      end
    end
  end)

  it('starts with edges that share the weight of their relation', function()
    local got, count = graph:normalized('relation').weights:totable(), {}
    local function key(p) return e.heads[p] * RELATIONS + e.relations[p] end
    for p = 0, e.n - 1 do count[key(p)] = (count[key(p)] or 0) + 1 end
    for p = 0, e.n - 1 do assert.near(1 / count[key(p)], got[p + 1], 1e-6) end
  end)
end)

describe('self loops of a graph', function()
  it('are added, left as given, or left out', function()
    local triples = {head = {0, 1, 1}, relation = {0, 0, 0}, tail = {1, 1, 0}, nodes = 2,
                     relations = 1}
    local function edges_with(loops)
      triples.self_loops = loops
      return tk.graph(triples).edges
    end
    assert.equal(3, edges_with(nil))
    assert.equal(3, edges_with('given'))
    assert.equal(5, edges_with(true))
    assert.equal(2, edges_with(false))
    assert.matches("self_loops is none, expected true, false or 'given'",
                   fixtures.message(edges_with, 'none'))
  end)
end)

describe('sampled triples', function()
  local random, graph, edges, heads
  setup(function()
    random = generator.new(7, 1)
    graph = tk.graph(odd_graph(random, 40, 200, 4))
    edges, heads = {}, {}
    local e, seen = graph:triples(), {}
    for p = 0, e.n - 1 do
      edges[('%d %d %d'):format(e.heads[p], e.relations[p], e.tails[p])] = true
      if not seen[e.heads[p]] then heads[#heads + 1] = e.heads[p] end
      seen[e.heads[p]] = true
    end
  end)

  local function draw(n)
    local keys = {'heads', 'relations', 'tails', 'negatives'}
    local out = {tk.no_grad(function()
      local b, list = graph:sample_triples(n), {}
      for i, key in ipairs(keys) do list[i] = b[key] end
      return unpack(list)
    end)}
    for i, key in ipairs(keys) do out[key] = out[i]:totable() end
    return out
  end

  it('are edges of distinct heads; the others are none', function()
    local n = math.floor(#heads / 2)
    local b, seen = draw(n), {}
    for i = 1, n do
      local h, r = b.heads[i], b.relations[i]
      assert.is_nil(seen[h])
      seen[h] = true
      assert.is_true(edges[('%d %d %d'):format(h, r, b.tails[i])])
      assert.is_nil(edges[('%d %d %d'):format(h, r, b.negatives[i])])
      assert.is_true(b.negatives[i] >= 0 and b.negatives[i] < graph.nodes)
    end
  end)

  it('have no head twice, be they nearly all of thousands', function()
    local o = {head = {}, relation = {}, tail = {}, nodes = 2100, relations = 1}
    for h = 0, 2099 do
      o.head[h + 1], o.relation[h + 1], o.tail[h + 1] = h, 0, (h + 1) % 2100
    end
    local ring = tk.graph(o)
    local seen, found = {}, 0
    local sampled = tk.no_grad(function() return ring:sample_triples(2000).heads end)
    for _, h in ipairs(sampled:totable()) do
      assert.is_true(h >= 0 and h < 2100)
      found, seen[h] = found + (seen[h] and 0 or 1), true
    end
    assert.equal(2000, found)
  end)

  it('take each head equally often if more are asked for', function()
    local b, count = draw(3 * #heads + 2), {}
    for _, h in ipairs(b.heads) do count[h] = (count[h] or 0) + 1 end
    for _, h in ipairs(heads) do assert.is_true(count[h] == 3 or count[h] == 4) end
  end)

  it('differ each time, with equally likely heads', function()
    local count, rounds = {}, 400
    for _ = 1, rounds do
      for _, h in ipairs(draw(5).heads) do count[h] = (count[h] or 0) + 1 end
    end
    local mean = 5 * rounds / #heads
    for _, h in ipairs(heads) do
      assert.is_true(math.abs(count[h] - mean) < 5 * math.sqrt(mean), h .. ': ' .. count[h])
    end
  end)

  it('need edges and a number', function()
    local none = tk.graph{head = {}, relation = {}, tail = {}, nodes = 3, relations = 2}
    assert.matches('sample_triples: this graph has no edges',
                   fixtures.message(none.sample_triples, none, 2))
    assert.matches('sample_triples: 0 triples', fixtures.message(graph.sample_triples, graph, 0))
  end)
end)
