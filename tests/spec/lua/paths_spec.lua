-- The graph that explanations walk on, its weights, and the search for paths, against walking
-- everywhere.
local arrays = require 'tinykg.engine.arrays'
local close_word = require 'tinykg.base.arguments.close_word'
local paths = require 'tinykg.query.explain.paths'
local union = require 'tinykg.query.explain.explanation_graph'
local fixtures = require 'tests.support.fixtures'
local tk = require 'tinykg'

--- A random data set: interactions, triples with some between items, repeated pairs and loops.
local function random_data(seed)
  math.randomseed(seed)
  local train, kg, test = {}, {}, {}
  for u = 0, 5 do
    local items = {u}
    for _ = 1, 3 do items[#items + 1] = math.random(0, 7) end
    train[u + 1] = table.concat(items, ' ')
    test[u + 1] = u .. ' ' .. u
  end
  for k = 1, 30 do
    kg[k] = ('%d %d %d'):format(math.random(0, 12), math.random(0, 2), math.random(0, 12))
  end
  kg[31] = '12 2 0'
  return tk.data.load(fixtures.dir{['train.txt'] = train, ['test.txt'] = test,
                                   ['kg_final.txt'] = kg}, {valid_ratio = 0})
end

--- Every path without a node twice, by walking everywhere: {weight, sum, nodes, places} each.
local function all_paths(u, from, to, length, rule, all)
  local found, nodes, places, on = {}, {from}, {}, {[from] = true}
  local function walk(node)
    if node == to then
      local weight, sum, read = rule == 'product' and 1 or math.huge, 0, all
      for _, p in ipairs(places) do
        local w = u.weight[p]
        weight = rule == 'product' and weight * w or math.min(weight, w)
        sum, read = sum + w, read or u.read[p]
      end
      if #places > 1 and read then
        found[#found + 1] = {weight = weight, sum = sum, key = table.concat(nodes, ' ')}
      end
      return
    end
    for p = u.offsets[node], #places < length and u.offsets[node + 1] - 1 or -1 do
      local next_node = u.tails[p]
      if not on[next_node] and u.weight[p] == u.weight[p] then
        nodes[#nodes + 1], places[#places + 1], on[next_node] = next_node, p, true
        walk(next_node)
        nodes[#nodes], places[#places], on[next_node] = nil, nil, nil
      end
    end
  end
  walk(from)
  table.sort(found, function(a, b)
    if math.abs(a.weight - b.weight) > 1e-12 then return a.weight > b.weight end
    return a.sum > b.sum
  end)
  return found
end

describe('paths', function()
  teardown(fixtures.clean)

  local function check(u, rule, all)
    local compared = 0
    for from = u.entities, u.nodes - 1 do
      for to = 0, 7 do
        for length = 2, 4 do
          local want = all_paths(u, from, to, length, rule, all)
          local got = paths(u, from, to, {length = length, count = 12, rule = rule, all = all})
          assert.equal(math.min(12, #want), #got)
          for i, path in ipairs(got) do
            assert.near(want[i].weight, path.weight, 1e-9)
            assert.equal(from, path.nodes[1])
            assert.equal(to, path.nodes[#path.nodes])
            assert.equal(#path.nodes, #path.places + 1)
            compared = compared + 1
          end
          local keys = {}
          for _, path in ipairs(want) do keys[path.key] = true end
          for _, path in ipairs(got) do assert.is_true(keys[table.concat(path.nodes, ' ')]) end
        end
      end
    end
    assert.is_true(compared > 300, compared)
  end

  it('are the heaviest there are, by product and by the weakest edge', function()
    for seed = 1, 3 do
      local data = random_data(seed)
      local u = union.new(data)
      check(u:weigh({}, 'product'), 'product', true)
      local kg = tk.graph(data, {inverse = true})
      local weights = arrays.floats(kg.edges)
      for p = 0, kg.edges - 1 do weights[p] = math.random() end
      check(u:weigh({{graph = kg, weights = weights}}, 'product'), 'product', false)
      local both = tk.graph(data, {of = 'both', inverse = true, self_loops = false})
      weights = arrays.floats(both.edges)
      for p = 0, both.edges - 1 do weights[p] = math.random() - 0.3 end
      check(u:weigh({{graph = both, weights = weights}}, 'least'), 'least', false)
    end
  end)

  it('are the same each time, and as many as asked for', function()
    local u = union.new(random_data(4)):weigh({}, 'product')
    local function keys(count)
      local list = {}
      local o = {length = 4, count = count, rule = 'product', all = true}
      for i, path in ipairs(paths(u, u.entities + 1, 0, o)) do
        list[i] = table.concat(path.nodes, ' ') .. ':' .. table.concat(path.places, ' ')
      end
      return list
    end
    local many = keys(20)
    assert.same(many, keys(20))
    local few = keys(5)
    for i = 1, 5 do assert.equal(many[i], few[i]) end
    assert.equal(5, #few)
  end)
end)

describe('weights of edges', function()
  local data, u
  setup(function()
    data = tk.data.load(fixtures.dir{
      ['train.txt'] = {'0 0 1', '1 1'}, ['test.txt'] = {'0 2'},
      ['kg_final.txt'] = {'0 0 3', '1 0 3', '1 1 3', '3 0 3', '2 1 4'}}, {valid_ratio = 0})
    u = union.new(data)
  end)
  teardown(fixtures.clean)

  --- The weight of an edge by its ends and the relation it is walked by, and whether it is read.
  local function weight(head, relation, tail)
    for p = u.offsets[head], u.offsets[head + 1] - 1 do
      if u.tails[p] == tail and u.relations[p] == relation then return u.weight[p], u.read[p] end
    end
    error('no such edge')
  end

  local USER = 5 -- entities 0 to 4, users 5 and 6; relations 0, 1, took = 2, inverses 3, 4, 5

  it('are by degree where nothing reads them', function()
    u:weigh({}, 'product')
    -- item 0: user 0 and entity 3; user 0: items 0 and 1
    assert.near(1 / math.sqrt(2 * 2), (weight(USER, 2, 0)), 1e-7)
    assert.near(1 / math.sqrt(2 * 2), (weight(0, 5, USER)), 1e-7)
    -- item 1: two users, entity 3 twice; entity 3: item 0, item 1 twice
    assert.near(1 / math.sqrt(4 * 3), (weight(1, 1, 3)), 1e-7)
    assert.is_false(select(2, weight(1, 1, 3)))
  end)

  it('of both ways are joined', function()
    local kg = tk.graph(data, {inverse = true})
    local e, w = kg:triples(), arrays.floats(kg.edges)
    for p = 0, kg.edges - 1 do w[p] = e.heads[p] + 1 + 10 * e.relations[p] end
    local part = {{graph = kg, weights = w}}
    u:weigh(part, 'product')
    assert.near(math.sqrt((1 + 1 + 10) * (3 + 1 + 30)), (weight(1, 1, 3)), 1e-5)
    assert.near(math.sqrt(2 * (3 + 1 + 20)), (weight(3, 3, 1)), 1e-5)
    assert.is_true(select(2, weight(1, 1, 3)))
    u:weigh(part, 'least')
    assert.near(12 + 34, (weight(1, 1, 3)), 1e-5)
    assert.is_true((weight(USER, 2, 0)) ~= (weight(USER, 2, 0))) -- NaN: not walked
  end)

  it('are taken from graphs of users and items, merged or not, and from lists', function()
    for _, merged in ipairs{true, false} do
      local taken = tk.graph(data, {of = 'interactions', merged = merged, undirected = merged})
      local e, w = taken:triples(), arrays.floats(taken.edges)
      for p = 0, taken.edges - 1 do
        local h, t = e.heads[p], e.tails[p]
        w[p] = merged and math.min(h, t) + 1 or t + 1
      end
      u:weigh({{graph = taken, weights = w}}, 'product')
      assert.near(1, (weight(USER, 2, 0)), 1e-7)
      assert.near(2, (weight(USER + 1, 2, 1)), 1e-7)
      assert.is_false(select(2, weight(1, 1, 3)))
    end
    u:weigh({{heads = tk.ids{1, 1, 3}, relations = tk.ids{1, 1, 0}, tails = tk.ids{3, 3, 3},
              weights = tk.tensor{0.25, 0.5, 1}}}, 'product')
    assert.near(0.75, (weight(1, 1, 3)), 1e-7)
    assert.is_false(select(2, weight(1, 0, 3)))
  end)

  it('blame the recipe where they are of another form', function()
    assert.matches('paths_spec%.lua:%d+: explain: part 1 is not',
                   fixtures.message(function() u:weigh({{weights = {1}}}, 'product') end))
  end)
end)

describe('names that are close', function()
  it('are counted in letters put in, left out, changed or exchanged', function()
    assert.equal(0, close_word.distance('emma', 'emma', 2))
    assert.equal(1, close_word.distance('emma', 'ema', 2))
    assert.equal(1, close_word.distance('emma', 'eemma', 2))
    assert.equal(1, close_word.distance('emma', 'emna', 2))
    assert.equal(1, close_word.distance('emma', 'mema', 2))
    assert.equal(2, close_word.distance('emma', 'gamma', 2))
    assert.is_nil(close_word.distance('emma', 'dune', 2))
    assert.is_nil(close_word.distance('', 'dune', 2))
    assert.equal(2, close_word.distance('', 'du', 2))
  end)
end)
