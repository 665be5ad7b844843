-- Random parts of a graph of interactions (graph:subgraph_weights): how much is left out, both
-- directions of an edge, the degrees that normalise, what is refused.
local tk = require 'tinykg'
local datasets = require 'tests.support.odd_datasets'
local fixtures = require 'tests.support.fixtures'

local function graph_of(data, o)
  local options = {of = 'interactions', merged = true, undirected = true}
  return tk.graph(data, fixtures.merged(options, o or {}))
end

--- Weights by 'head tail', and edges of each head that stay.
local function read(graph, weights)
  local e, w, by, degree = graph:triples(), weights:totable(), {}, {}
  for k = 0, e.n - 1 do
    if w[k + 1] ~= 0 then
      by[e.heads[k] .. ' ' .. e.tails[k]] = w[k + 1]
      degree[e.heads[k]] = (degree[e.heads[k]] or 0) + 1
    end
  end
  return by, degree
end

local function size(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

describe('subgraph_weights', function()
  local data, graph
  setup(function()
    data = datasets.demo_ranking()
    graph = graph_of(data)
  end)
  teardown(fixtures.clean)

  for _, what in ipairs{'edges', 'nodes'} do
    it('weighs both edges of an interaction by the degrees that are left: ' .. what, function()
      local by, degree = read(graph, graph:subgraph_weights(0.3, what))
      for pair, weight in pairs(by) do
        local head, tail = pair:match('(%d+) (%d+)')
        assert.equal(weight, by[tail .. ' ' .. head])
        assert.near(1 / math.sqrt(degree[tonumber(head)] * degree[tonumber(tail)]), weight, 1e-6)
      end
    end)
  end

  it('keeps floor(n (1 - p)) interactions', function()
    local n = graph.edges / 2
    for _, p in ipairs{0, 0.1, 0.25, 0.99} do
      local by = read(graph, graph:subgraph_weights(p, 'edges'))
      assert.equal(2 * math.floor(n * (1 - p)), size(by))
    end
  end)

  it('leaves out floor(n p) users and items, with all their edges and no others', function()
    local gone, e = {0, 0}, graph:triples()
    local by, degree = read(graph, graph:subgraph_weights(0.25, 'nodes'))
    local had = {}
    for k = 0, e.n - 1 do had[e.heads[k]] = true end
    for node in pairs(had) do
      local kind = node < data.items and 1 or 2
      if not degree[node] then gone[kind] = gone[kind] + 1 end
    end
    -- a node may also lose all its neighbours, or have had none: at least those, at most all
    assert.is_true(gone[1] >= math.floor(data.items * 0.25) - (data.items + data.users - size(had)))
    assert.is_true(gone[2] >= math.floor(data.users * 0.25) - (data.items + data.users - size(had)))
    -- of two nodes that stay, no edge is missing
    for k = 0, e.n - 1 do
      if degree[e.heads[k]] and degree[e.tails[k]] then
        assert.truthy(by[e.heads[k] .. ' ' .. e.tails[k]])
      end
    end
  end)

  it('draws each interaction equally often, anew each time, by the seed', function()
    local counts, draws, n = {}, 300, graph.edges / 2
    tk.seed(5)
    local first = graph:subgraph_weights(0.5, 'edges'):totable()
    for _ = 1, draws do
      for pair in pairs((read(graph, graph:subgraph_weights(0.5, 'edges')))) do
        counts[pair] = (counts[pair] or 0) + 1
      end
    end
    local chi, expected = 0, draws * math.floor(n / 2) / n
    for _, count in pairs(counts) do chi = chi + (count - expected) ^ 2 / expected end
    assert.equal(graph.edges, size(counts))
    -- each interaction counts twice; without replacement the spread is about half of Poisson's
    assert.is_true(chi < 1.3 * graph.edges, chi / graph.edges)
    assert.not_same(first, graph:subgraph_weights(0.5, 'edges'):totable())
    tk.seed(5)
    assert.same(first, graph:subgraph_weights(0.5, 'edges'):totable())
  end)

  it('refuses other graphs, shares and words', function()
    local plain = graph_of(data, {undirected = false})
    assert.matches("subgraph_weights: of tk.graph(data, {of = 'interactions'",
                   fixtures.message(plain.subgraph_weights, plain, 0.1, 'edges'), 1, true)
    assert.matches("subgraph_weights: 'walks' is not edges or nodes",
                   fixtures.message(graph.subgraph_weights, graph, 0.1, 'walks'), 1, true)
    assert.matches('subgraph_weights: a share of 1, expected 0 up to 1',
                   fixtures.message(graph.subgraph_weights, graph, 1, 'edges'), 1, true)
  end)
end)

describe('a graph', function()
  local graph = tk.graph{head = {0, 0, 1, 0, 2, 2}, relation = {1, 0, 1, 0, 0, 1},
                         tail = {1, 1, 0, 2, 2, 1}, nodes = 3, relations = 2, inverse = true,
                         single = true}

  it('with single edges has the lowest relation from each head to each tail', function()
    local e, found = graph:triples(), {}
    for k = 0, e.n - 1 do
      found[k + 1] = ('%d %d %d'):format(e.heads[k], e.relations[k], e.tails[k])
    end
    assert.same({'0 0 1', '0 0 2', '1 1 0', '1 3 2', '2 2 0', '2 1 1', '2 0 2'}, found)
  end)

  it('draws at most n edges of each head, each as often', function()
    assert.equal(7, graph:at_most(3):sum():item())
    local drawn, times = {}, 600
    for _ = 1, times do
      local mask = graph:at_most(1):totable()
      for k, x in ipairs(mask) do drawn[k] = (drawn[k] or 0) + x end
      assert.same({1, 1, 1}, {mask[1] + mask[2], mask[3] + mask[4], mask[5] + mask[6] + mask[7]})
    end
    for k, share in ipairs{1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3} do
      assert.near(share, drawn[k] / times, 4 * math.sqrt(share * (1 - share) / times))
    end
  end)

  it('gives rows of its matrix, edges that are given twice counted twice', function()
    assert.same({{1, 1, 1}, {0, 1, 1}}, graph:dense_rows(tk.ids{2, 0}):totable())
    local twice = tk.graph{head = {0, 0, 0}, tail = {3, 3, 1}, nodes = {2, 4}}
    assert.same({{0, 0, 0, 0}, {0, 1, 0, 2}}, twice:dense_rows(tk.ids{1, 0}):totable())
  end)
end)
