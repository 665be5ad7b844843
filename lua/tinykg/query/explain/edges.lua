--- Weights of edges for the function explain of models (tinykg.query.explain).
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local parameter = require 'tinykg.engine.parameter'
local runtime = require 'tinykg.engine.runtime'
local source_line = require 'tinykg.base.source_line'
local tensor = require 'tinykg.engine.tensor'
local types = require 'tinykg.base.arguments.types'

local edges = {}

--- Edge x gradient: to first order, the part of the score that is lost without an edge. Scores the
--- pair with each graph's weights as parameters.
---@param model Module whose score reads graphs through aggregate
---@param fields string[] names of the model's fields that hold those graphs, made by tk.graph(data)
---@param users Tensor int32 [1] ---@param items Tensor int32 [1]
function edges.gradient(model, fields, users, items)
  if not model.score then runtime.fail('edges.gradient: the model has no function score') end
  local graphs, parts = {}, {rule = 'least', what = 'gradient'}
  for i, field in ipairs(fields) do
    local graph = model[field]
    if not types.of('Graph').is(graph) then
      runtime.fail("edges.gradient: the model's %s is no graph", tostring(field))
    end
    local w = tensor.create(tensor.F32, {graph.edges})
    if graph.base then w:copy(graph.base) else C.tkg_tensor_fill(w.kept, 1) end
    graphs[field] = graph
    model[field], parts[i] = graph:weighted(parameter(w)), {graph = graph, weights = w}
    model[field].is_weighted = graph.is_weighted -- weights of its triples go on to count
  end
  local ok, message = xpcall(function()
    model:score(users, items):sum():backward()
  end, source_line.handler)
  for field, graph in pairs(graphs) do model[field] = graph end
  if not ok then error(message, 0) end
  for _, part in ipairs(parts) do
    local w, n = part.weights:values()
    local by, product = part.weights.grad:values(), ffi.new('float[?]', n + 1)
    for p = 0, n - 1 do product[p] = w[p] * by[p] end
    part.weights:free()
    part.weights = product
  end
  return parts
end

local CHUNK = 65536 -- triples per call of distance

--- Plausibility: exp(-distance) of the triples of a graph, for models that embed it by distance.
---@param graph Graph of a data set ---@param relations integer larger relation ids are left out
---@param distance fun(heads: Tensor, relations: Tensor, tails: Tensor): Tensor [n], 0 or more
function edges.plausible(graph, relations, distance)
  local e, nodes = graph:triples(), {n = 0}
  local heads, tails = ffi.new('int32_t[?]', e.n + 1), ffi.new('int32_t[?]', e.n + 1)
  local by, place = ffi.new('int32_t[?]', e.n + 1), ffi.new('int32_t[?]', e.n + 1)
  for p = 0, e.n - 1 do
    if e.relations[p] < relations then
      local i = nodes.n
      heads[i], by[i], tails[i], place[i] = e.heads[p], e.relations[p], e.tails[p], p
      nodes.n = i + 1
    end
  end
  local weights = ffi.new('float[?]', e.n + 1)
  for p = 0, e.n - 1 do weights[p] = 0 / 0 end -- edges that are left out have no weight
  for first = 0, nodes.n - 1, CHUNK do
    local n = math.min(CHUNK, nodes.n - first)
    local ids = {tensor.ids(heads + first, n), tensor.ids(by + first, n),
                 tensor.ids(tails + first, n)}
    local d = distance(unpack(ids))
    if not tensor.is(d) or d:count() ~= n then
      runtime.fail('edges.plausible: distance did not return a number for each of %d triples', n)
    end
    local values = d:values()
    for i = 0, n - 1 do weights[place[first + i]] = math.exp(-values[i]) end
    d:free()
    for _, t in ipairs(ids) do t:free() end
  end
  return {rule = 'product', what = 'plausibility', {graph = graph, weights = weights}}
end

--- Attention of a user over the neighbours sampled for an item, hop by hop, of models with a
--- receptive_field(u, items) such as KGCN's: ids by hop, and weights that are 1 / neighbors of the
--- attention. A node that is met twice counts once, a neighbour sampled twice for a node twice.
---@param model Module with users, receptive_field and `field`, of graph:receptive_field
---@param users Tensor int32 [1] ---@param items Tensor int32 [1]
function edges.sampled(model, users, items)
  if not model.receptive_field then
    runtime.fail('edges.sampled: the model has no receptive_field')
  end
  local ids, weights = model:receptive_field(model.users(users), items)
  -- Recipes of the version before have both in the model itself.
  local k = (model.field or model).neighbors
  local by = model.field and model.field.relations or model.neighbor_relations
  local seen, found = {}, {heads = {}, relations = {}, tails = {}, weights = {}}
  for hop = 1, #weights do
    local heads, n = ids[hop]:values()
    local relations = by:gather(ids[hop]):values()
    local tails, shares = ids[hop + 1]:values(), weights[hop]:values()
    for i = 0, n - 1 do
      for j = i * k, seen[heads[i]] and -1 or i * k + k - 1 do
        table.insert(found.heads, heads[i])
        table.insert(found.relations, relations[j])
        table.insert(found.tails, tails[j])
        table.insert(found.weights, shares[j] * k)
      end
      seen[heads[i]] = true
    end
  end
  for name, list in pairs(found) do
    found[name] = name == 'weights' and tensor.from(list) or tensor.ids(list)
  end
  return {rule = 'product', what = 'attention', found}
end

return edges
