--- Weights of the edges that lead back: gradients read them in place of looking weights up.
local tk = require 'tinykg'

local NODES, D = 40, 5

--- Edges both ways, some of them twice, one to itself; a node without any.
local function some_graph()
  local heads, relations, tails, at = {}, {}, {}, 7
  local function draw(n)
    at = (at * 1103515245 + 12345) % 2147483648
    return math.floor(at / 65536) % n
  end
  for i = 1, 90 do heads[i], relations[i], tails[i] = draw(NODES - 1), draw(3), draw(NODES - 1) end
  heads[91], relations[91], tails[91] = heads[90], relations[90], tails[90]
  heads[92], relations[92], tails[92] = 3, 1, 3
  return tk.graph({head = heads, relation = relations, tail = tails, nodes = NODES, relations = 3,
                   inverse = true})
end

--- The weight of the edge that leads back along each edge: edges from a head to a tail have the
--- order of those from that tail to that head.
local function lead_back(graph, weights)
  local e, places, taken, back = graph:triples(), {}, {}, {}
  for p = 0, e.n - 1 do
    local key = e.heads[p] .. ' ' .. e.tails[p]
    places[key] = places[key] or {}
    table.insert(places[key], p)
  end
  for p = 0, e.n - 1 do
    local key = e.tails[p] .. ' ' .. e.heads[p]
    taken[key] = (taken[key] or 0) + 1
    back[p + 1] = weights[places[key][taken[key]] + 1]
  end
  return tk.tensor(back)
end

--- The gradient of x of two layers, all rows of the second or some of them.
local function gradient(graph, some)
  tk.seed(5)
  local x, g = tk.parameter(tk.randn(NODES, D)), tk.randn(NODES, D):keep()
  tk.step(function()
    local y = graph:aggregate(graph:aggregate(x):tanh())
    if some then y = y:gather(tk.ids{3, 0, 17, 3, 39}) end
    return (y * (some and g:rows(1, 5) or g)):sum()
  end)()
  return x.grad:totable()
end

describe('weights of edges that lead back', function()
  local graph = some_graph()
  local random = (tk.rand(graph.edges) + 0.5):keep()
  local back = lead_back(graph, random:totable()):keep()

  for _, some in ipairs{false, true} do
    local rows = some and 'some rows' or 'all rows'

    it('give the gradient of weights that are looked up, ' .. rows, function()
      assert.are.same(gradient(graph:weighted(random), some),
                      gradient(graph:weighted(random, back), some))
    end)

    it('are what gradients read, ' .. rows, function()
      local zeros = tk.zeros(graph.edges):keep()
      for _, row in ipairs(gradient(graph:weighted(random, zeros), some)) do
        for _, g in ipairs(row) do assert.are.equal(0, g) end
      end
    end)

    it('are those of the edges where weights are normalized on both sides, ' .. rows, function()
      local both = graph:normalized('symmetric')
      assert.are.same(gradient(graph:weighted(both.weights), some), gradient(both, some))
    end)
  end

  it('are not used for other weights', function()
    local given = graph:weighted(random, tk.zeros(graph.edges):keep())
    assert.are.same(gradient(graph:weighted(back)), gradient(given:weighted(back)))
    tk.seed(9)
    local dropped = gradient(given:dropout(0.5))
    tk.seed(9)
    assert.are.same(dropped, gradient(graph:weighted(random):dropout(0.5)))
  end)

  it('are not used once numbers were written to the weights', function()
    local both = graph:normalized('symmetric')
    both.weights:write(random:totable())
    assert.are.same(gradient(graph:weighted(random)), gradient(both))
  end)

  it('are not used by the transposed graph, which reads weights the other way', function()
    assert.are.same(gradient(graph:weighted(random):transpose()),
                    gradient(graph:weighted(random, back):transpose()))
  end)

  it('are kept by attention, also after an update', function()
    local first = graph:normalized('relation').weights
    local kept = lead_back(graph, first:totable()):totable()
    local attention = tk.attention.new(graph, {weights = first, back = true})
    assert.are.same(kept, attention:back():totable())
    attention:update(tk.randn(NODES, D), tk.randn(graph.relations, D, D),
                     tk.randn(graph.relations, D))
    assert.are.same(lead_back(graph, attention.weights:totable()):totable(),
                    attention:back():totable())
    attention.weights = random -- as a checkpoint does
    assert.is_nil(attention:back())
  end)

  it('are refused where not each edge has one', function()
    local one = tk.graph{head = {0, 0}, tail = {1, 2}, nodes = 3}
    local w = tk.rand(2):keep()
    assert.error_matches(function() one:weighted(w, w) end, 'weighted: .*not each edge has one')
  end)
end)
