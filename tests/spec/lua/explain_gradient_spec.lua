-- What explanations by gradient and by attention are worth: LightGCN again in float64, edges
-- removed from it and from KGAT.
local ffi = require 'ffi'
local evaluate = require 'tinykg.train.evaluate'
local fixtures = require 'tests.support.fixtures'
local recommender = require 'tinykg.query.recommender'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

--- LightGCN's score of a pair in float64: rows of all nodes, edges {a, b, weight, weight back}.
local function lightgcn(rows, edges, layers, a, b)
  local n, d = #rows, #rows[1]
  local x, sum = rows, {}
  for v = 1, n do sum[v] = {unpack(rows[v])} end
  for _ = 1, layers do
    local y = {}
    for v = 1, n do
      y[v] = {}
      for k = 1, d do y[v][k] = 0 end
    end
    for _, e in ipairs(edges) do
      for k = 1, d do
        y[e[1]][k] = y[e[1]][k] + e[3] * x[e[2]][k]
        y[e[2]][k] = y[e[2]][k] + e[4] * x[e[1]][k]
      end
    end
    for v = 1, n do
      for k = 1, d do sum[v][k] = sum[v][k] + y[v][k] end
    end
    x = y
  end
  local dot = 0
  for k = 1, d do dot = dot + sum[a][k] * sum[b][k] end
  return dot / (layers + 1) ^ 2
end

describe('explanations', function()
  local dir, data
  setup(function()
    dir, data = shell.demo(60, 80)
  end)
  teardown(fixtures.clean)

  local function trained(recipe, more)
    local path = dir .. '/' .. recipe
    shell.prints(('run recipes/%s.lua --quiet --force --data %s --data-set task=ranking ' ..
      '--out %s --data-set seed=1 --set epochs=15 --set lr=0.02 --set dim=8 --set batch_size=64 %s')
      :format(recipe, data, path, more))
    return tk.open(path)
  end

  --- The interactions of train as edges between nodes from 1, users behind items, with weights
  --- 1 / sqrt(degrees).
  local function interactions(set)
    local known, degree, edges = set:known(), {}, {}
    for u = 0, set.users - 1 do
      for p = known.offsets[u], known.offsets[u + 1] - 1 do
        edges[#edges + 1] = {set.items + u + 1, known.items[p] + 1}
      end
    end
    for _, e in ipairs(edges) do
      for k = 1, 2 do degree[e[k]] = (degree[e[k]] or 0) + 1 end
    end
    for _, e in ipairs(edges) do
      e[3] = 1 / math.sqrt(degree[e[1]] * degree[e[2]])
      e[4] = e[3]
    end
    return edges
  end

  --- Places among edges of a path's, which is of users and items.
  local function places(edges, path, items)
    local found = {}
    for k = 1, #path.edges do
      local a, b = path.nodes[k], path.nodes[k + 1]
      if a.kind ~= 'user' then a, b = b, a end
      for i, e in ipairs(edges) do
        if e[1] == items + a.id + 1 and e[2] == b.id + 1 then found[k] = i end
      end
    end
    return found
  end

  it('of LightGCN weigh an edge by what the score changes with it, to first order', function()
    local run = trained('lightgcn', '--set layers=2')
    local edges, rows = interactions(run.data), run.model.nodes.weight:totable()
    local user, item = 5, tk.recommend(run, 5, {k = 1}).items[1].id
    local a, b = run.data.items + user + 1, item + 1
    local e = tk.explain(run, user, item, {paths = 5})
    assert.near(e.score, lightgcn(rows, edges, 2, a, b), 1e-5)
    local checked = 0
    for _, path in ipairs(e.paths) do
      local least = math.huge
      for k, i in ipairs(places(edges, path, run.data.items)) do
        local w, h, slope = edges[i][3], 1e-5, 0
        for side = 3, 4 do -- either way of the edge is a weight of its own
          edges[i][side] = w + h
          local above = lightgcn(rows, edges, 2, a, b)
          edges[i][side] = w - h
          slope = slope + (above - lightgcn(rows, edges, 2, a, b)) / (2 * h)
          edges[i][side] = w
        end
        assert.near(slope * w, path.edges[k].weight, 1e-4 * math.abs(slope * w) + 1e-7)
        least, checked = math.min(least, path.edges[k].weight), checked + 1
      end
      assert.equal(least, path.weight)
    end
    assert.is_true(checked >= 9, checked)
  end)

  --- Mean loss of the best items' scores by taking away the edges of their first path, by the edges
  --- of their second half of paths on average, and by as many edges drawn at random.
  local function losses(run, count, without)
    math.randomseed(7)
    local first, rest, random = 0, 0, 0
    for user = 0, count - 1 do
      local item = tk.recommend(run, user, {k = 1}).items[1].id
      local found = tk.explain(run, user, item, {paths = 20}).paths
      local whole = without(user, item, {})
      first = first + whole - without(user, item, found[1])
      random = random + whole - without(user, item, #found[1].edges)
      for k = 11, #found do
        rest = rest + (whole - without(user, item, found[k])) / (#found - 10)
      end
    end
    return first / count, rest / count, random / count
  end

  it('of LightGCN name edges without which the score falls more than without others', function()
    local run = trained('lightgcn', '--set layers=2')
    local edges, rows = interactions(run.data), run.model.nodes.weight:totable()
    local items = run.data.items
    local first, rest, random = losses(run, 8, function(user, item, what)
      local gone = type(what) == 'table' and what.edges and places(edges, what, items) or {}
      for k = 1, type(what) == 'number' and what or 0 do gone[k] = math.random(#edges) end
      local kept = {}
      for i, e in ipairs(edges) do
        kept[i] = e
        for _, g in ipairs(gone) do
          if g == i then kept[i] = {e[1], e[2], 0, 0} end
        end
      end
      return lightgcn(rows, kept, 2, items + user + 1, item + 1)
    end)
    assert.is_true(first > rest and rest > random,
                   ('%g by the first path, %g by later ones, %g by chance')
                     :format(first, rest, random))
  end)

  it('of KGAT do so too, on average', function()
    local run = trained('kgat', '--set layers=8 --set relation_dim=8 --set kg_batch_size=64')
    local model, graph = run.model, run.model.graph
    local triples = graph:triples()
    local function removed(user, item, gone)
      local whole, w = model.attention.weights, (model.attention.weights:values())
      for p = 0, graph.edges - 1 do
        if gone(triples.heads[p], triples.tails[p], p) then w[p] = 0 end
      end
      model.attention.weights = tk.zeros(graph.edges):write(w, 0, graph.edges)
      local score = tk.no_grad(model.score, model, tk.ids{user}, tk.ids{item}):item()
      model.attention.weights = whole
      return score
    end
    local first, rest, random = losses(run, 40, function(user, item, what)
      if type(what) == 'number' then
        local drawn = {}
        for _ = 1, what do drawn[math.random(graph.edges) - 1] = true end
        return removed(user, item, function(_, _, p) return drawn[p] end)
      end
      local pairs_of = {}
      for k = 1, #(what.edges or {}) do
        local ends = {}
        for s = 0, 1 do
          local node = what.nodes[k + s]
          ends[s + 1] = node.kind == 'user' and graph.first_user + node.id or node.id
        end
        pairs_of[ends[1] .. ' ' .. ends[2]], pairs_of[ends[2] .. ' ' .. ends[1]] = true, true
      end
      return removed(user, item, function(h, t) return pairs_of[h .. ' ' .. t] end)
    end)
    assert.is_true(first > rest and first > random,
                   ('%g by the first path, %g by later ones, %g by chance')
                     :format(first, rest, random))
  end)

  it('rank by the very scores that evaluation ranks by', function()
    for _, recipe in ipairs{'lightgcn', 'kgat'} do
      local run = tk.open(dir .. '/' .. recipe)
      local ranker = recommender.new(run)
      local ids, n = evaluate.order(run.data, run.data:positives('test'))
      local score, release = evaluate.scorer(run.model, run.data)
      local block = score(ids, n)
      for row = 0, n - 1 do
        local own = ffi.string(ranker:row(ids[row]), 4 * run.data.items)
        assert.is_true(own == ffi.string(block + row * run.data.items, 4 * run.data.items))
      end
      release()
      ranker:release()
    end
  end)
end)
