-- Options of tk.graph: each is honoured or refused.
local tk = require 'tinykg'
local datasets = require 'tests.support.odd_datasets'
local fixtures = require 'tests.support.fixtures'

local function refuses(text, ...)
  assert.matches(text, fixtures.message(...), 1, true)
end

local TRIPLES = {head = {0, 0, 1}, relation = {0, 1, 0}, tail = {1, 2, 2}, nodes = 3, relations = 2}

describe('options of tk.graph', function()
  teardown(fixtures.clean)

  it('give each edge back once', function()
    local text = 'graph: undirected and inverse each add every edge the other way: give one of them'
    refuses(text, tk.graph, fixtures.merged(TRIPLES, {undirected = true, inverse = true}))
    refuses(text, tk.graph, datasets.demo(), {undirected = true, inverse = true})
    for _, name in ipairs{'undirected', 'inverse'} do
      for _, loops in ipairs{false, true} do
        local g = tk.graph(fixtures.merged(TRIPLES, {[name] = true, self_loops = loops}))
        assert.equal(loops and 9 or 6, g.edges)
      end
    end
  end)

  it('of triples stand with them', function()
    for _, more in ipairs{{undirected = true}, {nonsense = 1}, 7} do
      refuses('graph: options of triples are in the table with them', tk.graph, TRIPLES, more)
    end
  end)

  it('hold for the rows of labelled data', function()
    local data = datasets.demo()
    local plain = tk.graph(data, {of = 'rows'})
    assert.same({data.train.n, data.users, data.items},
                {plain.edges, plain.nodes, plain.tail_nodes})
    local both = tk.graph(data, {of = 'rows', merged = true, undirected = true})
    assert.same({2 * data.train.n, data.users + data.items, data.items},
                {both.edges, both.nodes, both.first_user})
    local got = both:aggregate(tk.ones(both.nodes, 1))
    local degrees = got:rows(data.items + 1, both.nodes):totable()
    assert.same(plain:aggregate(tk.ones(data.items, 1)):totable(), degrees)
    assert.same(plain:transpose():aggregate(tk.ones(data.users, 1)):totable(),
                got:rows(1, data.items):totable())
    local single = tk.graph(data, {of = 'rows', single = true})
    assert.is_true(single.edges <= plain.edges)
    refuses('graph: heads and tails are not the same nodes', tk.graph, data,
            {of = 'rows', undirected = true})
    refuses('subgraph_weights: of tk.graph(data', both.subgraph_weights, both, .5, 'edges')
  end)

  it('are refused where they say nothing', function()
    local data = datasets.demo()
    refuses("graph: of = 'labels' takes no other option, not single", tk.graph, data,
            {of = 'labels', single = true})
    refuses("graph: merged is for of = 'interactions' or 'rows'", tk.graph, data, {merged = true})
    refuses("graph: of = 'both' has users and items in one graph", tk.graph, data,
            {of = 'both', merged = false})
    assert.equal(data.users, tk.graph(data, {of = 'labels'}).nodes)
    tk.graph(data, {of = 'both', merged = true})
  end)
end)

it('negatives are refused for a relation that the graph has not', function()
  local g = tk.graph(TRIPLES)
  for _, id in ipairs{2, -1} do
    local drawn = g:negatives(tk.ids{0, 1}, tk.ids{1, id})
    refuses(('sample_tails: relations: id %d at position 1 is outside 0..1'):format(id),
            drawn.values, drawn)
  end
  assert.equal(1, g:negatives(tk.ids{2}, tk.ids{1}):count())
  local all = tk.graph{head = {0, 0}, relation = {0, 0}, tail = {0, 1}, nodes = 2, relations = 1}
  assert.is_true(all:negatives(tk.ids{0}, tk.ids{0}):totable()[1][1] < 2)
end)
