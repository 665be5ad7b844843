-- nn.Ranker: rows of a batch, logits and scores are those of loops, for two tables and for one.
local fixtures = require 'tests.support.fixtures'
local tk = require 'tinykg'

local USERS, ITEMS = 3, 4
local Two, One = tk.nn.class('Two', tk.nn.Ranker), tk.nn.class('One', tk.nn.Ranker)
local Parts = tk.nn.class('Parts', tk.nn.Ranker)

function Two:node_embeddings() return self.users.weight, self.others.weight end

function One:node_embeddings() return self.nodes.weight end

function Parts:node_embeddings() return {self.nodes.weight, self.nodes.weight * 2} end

--- Nodes: items, others, users.
local function graph_model(others, class)
  local first_user = ITEMS + others
  return setmetatable({nodes = tk.nn.Embedding(first_user + USERS, 2), item_count = ITEMS,
                       user_nodes = tk.loader.user_nodes(USERS, first_user)}, class)
end

--- Each row beside itself, doubled.
local function with_double(rows)
  local out = {}
  for k, row in ipairs(rows) do out[k] = {row[1], row[2], 2 * row[1], 2 * row[2]} end
  return out
end

--- Two tables, with a row of another node behind the items'; or one, with few or many nodes that
--- are neither users nor items, its columns in one or two parts: {model, rows of users, of items}.
local function models()
  local two = setmetatable({users = tk.nn.Embedding(USERS, 2), item_count = ITEMS,
                            others = tk.nn.Embedding(ITEMS + 1, 2)}, Two)
  local list = {{two, two.users.weight:totable(), two.others.weight:totable()}}
  for _, others in ipairs{2, 20} do
    for _, class in ipairs{One, Parts} do
      local model = graph_model(others, class)
      local nodes = model.nodes.weight:totable()
      if class == Parts then nodes = with_double(nodes) end
      list[#list + 1] = {model, {unpack(nodes, ITEMS + others + 1)}, nodes}
    end
  end
  return list
end

local function dot(a, b)
  local sum = 0
  for k, value in ipairs(a) do sum = sum + value * b[k] end
  return sum
end

describe('a ranker', function()
  it('gathers the rows of a batch, scores pairs and ranks all items', function()
    for _, case in ipairs(models()) do
      local model, u, i = unpack(case)
      local users, items, sampled = {2, 0}, {3, 3}, {{0, 1}, {2, 3}}
      local a, b, c = model:batch_embeddings{users = tk.ids(users), items = tk.ids(items),
                                             negatives = tk.ids(sampled)}
      assert.same({u[3], u[1]}, a:totable())
      assert.same({i[4], i[4]}, b:totable())
      assert.same({i[1], i[2], i[3], i[4]}, c:totable())
      local prepared = model:prepare()
      for _, given in ipairs{prepared, false} do
        local scores = model:score(tk.ids(users), tk.ids(items), given or nil):totable()
        local all = model:rank(tk.ids(users), given or nil)
        assert.same({2, ITEMS}, all:size())
        for k, user in ipairs(users) do
          for item = 0, ITEMS - 1 do
            local want = dot(u[user + 1], i[item + 1])
            assert.near(want, all:totable()[k][item + 1], 1e-6)
            if item == items[k] then assert.near(want, scores[k], 1e-6) end
          end
        end
      end
    end
  end)

  it('prepares all rows, part by part, and copies no parameter', function()
    for _, others in ipairs{2, 20} do
      local model = graph_model(others, Parts)
      local nodes, prepared = model.nodes.weight:totable(), model:prepare()
      assert.equal(2, #prepared)
      assert.equal(model.nodes.weight, prepared[1])
      for k, row in ipairs(prepared[2]:totable()) do
        assert.same({2 * nodes[k][1], 2 * nodes[k][2]}, row)
      end
    end
  end)

  it('has the loss of a batch, with L2 of its rows per interaction', function()
    for _, case in ipairs(models()) do
      local model = case[1]
      local batch = {users = tk.ids{2, 0}, items = tk.ids{3, 1}, negatives = tk.ids{{0}, {2}}}
      local u, i, j = model:batch_embeddings(batch)
      local want = tk.loss.interactions(u, i, j) + tk.loss.l2(u, i, j) * (0.5 / 2)
      assert.near(want:item(), model:interaction_loss(batch, 0.5):item(), 1e-6)
      batch.negatives, batch.labels = nil, tk.tensor{1, 0}
      want = tk.loss.interactions(u, i, nil, batch.labels) + tk.loss.l2(u, i) * (0.5 / 2)
      assert.near(want:item(), model:interaction_loss(batch, 0.5):item(), 1e-6)
    end
  end)

  it('says what it lacks', function()
    local users = tk.ids{0}
    local nothing = setmetatable({}, tk.nn.class('Nothing', tk.nn.Ranker))
    assert.matches('Nothing: it has no function node_embeddings',
                   fixtures.message(nothing.prepare, nothing))
    local model = setmetatable({nodes = tk.nn.Embedding(4, 2)}, One)
    assert.matches('One: .*user_nodes, which it does not have',
                   fixtures.message(model.rank, model, users))
    assert.matches('Two: its tables of rows are not tensors or lists of tensors',
                   fixtures.message(Two.rank, models()[1][1], users, {1, 2}))
    local table = tk.nn.Embedding(2, 2).weight
    local uneven = setmetatable({}, tk.nn.class('Uneven', tk.nn.Ranker))
    function uneven.node_embeddings() return table, {table, table} end
    assert.matches('Uneven: rows of users are in 1 tensors, those of items in 2',
                   fixtures.message(uneven.rank, uneven, users))
  end)
end)
