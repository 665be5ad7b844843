--- Explains why a user is offered an item: paths from one to the other in the graph of interactions
--- and knowledge, weighted by the model.
--
-- A model may have a function explain(users, items, graph), which weighs edges for the score of one
-- pair: users and items are int32 [1]; `graph` is the whole graph, as tk.graph(data, {of = 'both',
-- inverse = true}): entities, then users; relations of the data, "took", then the inverses. It is
-- called in eval mode, after begin_evaluation and prepare (if the model has them), outside of
-- steps, and returns
--
--     {rule = 'product' or 'least', note = text?,
--      what = 'attention', 'gradient', 'plausibility' or 'nothing',
--      intents = {weights = Tensor [1, k], relations = Tensor [k, relations]}?,
--      {graph = g, weights = w}, {heads =, relations =, tails =, weights =}, ...}
--
-- where each part is a graph made by tk.graph(data, ...) with a weight per edge, or a list of
-- triples of entities: int32 tensors and a float tensor, any shape. Weights of an edge that is
-- given more than once add up. With the rule 'product' weights are shares (0 to 1), and a path
-- weighs their product; with 'least' they are parts of the score, and a path weighs its weakest
-- edge, not counting the user's interactions if the model does not read them. explanation_graph.lua
-- combines the two directions of an edge and weighs edges that the model does not read. tk.edges
-- has functions for recipes.
local tables = require 'tinykg.base.tables'
local explanation_graph = require 'tinykg.query.explain.explanation_graph'
local must = require 'tinykg.base.must'
local paths = require 'tinykg.query.explain.paths'
local recommender = require 'tinykg.query.recommender'
local runtime = require 'tinykg.engine.runtime'
local source_line = require 'tinykg.base.source_line'
local tensor = require 'tinykg.engine.tensor'

local MEANING = {
  attention = 'attention, the share of a node that comes over an edge (known for both ends: the '
    .. 'geometric mean); a path weighs the product. It says where the model looks, not what would '
    .. 'happen without.',
  gradient = 'gradient x edge, what the score would lose without an edge, to first order (below '
    .. '0: gain); a path weighs as its weakest edge.',
  plausibility = 'plausibility, exp(-distance) of a triple; a path weighs the product. It says '
    .. 'what the vectors learned of the graph; the score does not walk along it.',
  nothing = 'none of the model: an edge weighs 1 / sqrt(neighbours of one end x of the other). The '
    .. 'paths say what links the item to what the user took, not why it was scored so.',
}

--- Calls the model's explain, with defaults for what it may leave out.
local function explain(model, recipe, user, item, graph)
  if not model.explain then
    return {rule = 'product', what = 'nothing',
            note = 'recipe ' .. recipe.name .. ' has no function explain'}
  end
  local outer = source_line.enter(model.explain)
  local users, items = tensor.ids{user}, tensor.ids{item}
  local _, why = must(xpcall(model.explain, source_line.handler, model, users, items, graph))
  if type(why) ~= 'table' or not MEANING[why.what] then
    runtime.fail("explain: what it returns must say what = 'attention', 'gradient', " ..
                 "'plausibility' or 'nothing'")
  end
  source_line.leave(outer)
  why.rule = why.rule or 'product'
  return why
end

--- The score of an item, its rank among the items that can be offered to the user, and their
--- number.
local function place_of(ranker, user, item)
  local scores = ranker:row(user)
  local own, rank, of = scores[item], 1, 1
  for other = 0, ranker.data.items - 1 do
    if other ~= item and not ranker:has(user, other) then
      of = of + 1
      if scores[other] > own or scores[other] == own and other < item then rank = rank + 1 end
    end
  end
  return own, rank, of
end

--- Describes a node: {kind, id, name}.
local function node_of(data, node)
  local names = data.names
  if node >= data.entities then
    local user = node - data.entities
    return {kind = 'user', id = user, name = names.users:name(user)}
  elseif node < data.items then
    return {kind = 'item', id = node, name = names.items:label(node)}
  end
  return {kind = 'entity', id = node, name = names.entities:label(node)}
end

--- A relation's name, and whether it is an inverse.
local function relation_of(data, relation)
  local base = data.relations + 1
  local id, inverse = relation % base, relation >= base
  if id == data.relations then return 'took', inverse end
  local name = data.names.relations:name(id)
  return name == tostring(id) and 'relation ' .. name or name, inverse
end

local function described(data, u, path, rule)
  local nodes = tables.map(path.nodes, function(node) return node_of(data, node) end)
  local edges = tables.map(path.places, function(p, i)
    local name, inverse = relation_of(data, u.relations[p])
    return {relation = name, inverse = inverse ~= path.reversed[i], read = u.read[p],
            weight = (rule == 'product' or u.read[p]) and u.weight[p] or nil}
  end)
  return {weight = path.weight, nodes = nodes, edges = edges}
end

--- Intents (KGIN), the strongest first: {weight, relations = {{name, inverse, weight}, ...}} each.
local function intents_of(data, intents)
  if not intents then return nil end
  local weights, k = intents.weights:values()
  local shares, n = intents.relations:values()
  local list, relations = {}, n / k
  for i = 0, k - 1 do
    local named = {}
    for r = 0, relations - 1 do
      local inverse = r >= data.relations
      named[r + 1] = {name = relation_of(data, r % math.max(data.relations, 1)), inverse = inverse,
                      weight = shares[i * relations + r], id = r}
    end
    tables.sort_largest(named, 'weight', 'id')
    list[i + 1] = {intent = i + 1, weight = weights[i], relations = tables.first(named, 3)}
  end
  return tables.sort_largest(list, 'weight', 'intent')
end

--- Explains the score of a pair.
---@param run OpenRun from tinykg.run.open ---@param user string|number a name, or a number (from 0)
---@param item string|number ---@param o? {paths: integer, length: integer} 10 paths of at most 4
---  edges (2 to 4)
---@return table {user, item: {kind, id, name}; score; rank, of: its rank among `of` items that the
---  user does not have; taken: 'train', 'valid', 'test' or nil; what, rule, meaning, note, intents;
---  paths: {weight, nodes: {kind, id, name}[], edges: {relation, inverse, read, weight}[]}[]}
return function(run, user, item, o)
  runtime.options('explain', o, 'paths length')
  o = o or {}
  local length, count = o.length or 4, o.paths or 10
  if length ~= 2 and length ~= 3 and length ~= 4 then
    runtime.fail('explain: length %s is not 2, 3 or 4', tostring(length))
  elseif type(count) ~= 'number' or count < 1 or count % 1 ~= 0 then
    runtime.fail('explain: paths %s is not a whole number from 1', tostring(count))
  end
  local data = run.data
  local u = recommender.id_of(data.names.users, 'user', user)
  local i = recommender.id_of(data.names.items, 'item', item)
  local ranker = recommender.new(run)
  local score, rank, of = place_of(ranker, u, i)
  local whole = explanation_graph.new(data)
  local why = explain(run.model, run.recipe, u, i, whole.graph)
  whole:weigh(why, why.rule, data.entities + u)
  local found = paths(whole, data.entities + u, i, {
    length = length, count = count, rule = why.rule, all = #why == 0})
  for k, path in ipairs(found) do found[k] = described(data, whole, path, why.rule) end
  found.least, found.add = nil, nil
  local result = {user = node_of(data, data.entities + u), item = node_of(data, i), score = score,
                  rank = rank, of = of, taken = ranker:taken(u, i), what = why.what,
                  rule = why.rule, meaning = MEANING[why.what], note = why.note,
                  intents = intents_of(data, why.intents), paths = found}
  ranker:release()
  return result
end
