--- Makes the edges of a graph from triples or from a data set, adds inverses and self loops, packs
--- them for the engine (engine/data/graph.h).
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arrays = require 'tinykg.engine.arrays'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local check, fail = runtime.check, runtime.fail

local build = {}

local RELATIONS, ONE_WAY = C.TKG_GRAPH_RELATIONS, C.TKG_GRAPH_ONE_WAY

--- Errors: more edges than kernels count (engine/data/graph.h).
local function check_number(n)
  local most = C.TKG_GRAPH_MOST_EDGES
  if n > most then
    fail('graph: %.0f edges, with their inverses and loops: at most %d', n, most)
  end
end

--- Growing FFI arrays of heads, relations, tails and weights, if `weighted`, with room for `most`
--- edges. `own`: the same, to be freed.
---@class Edges
---@field n integer ---@field most integer ---@field heads ffi.cdata*
---@field relations ffi.cdata* ---@field tails ffi.cdata* ---@field weights ffi.cdata*?
local function edges(most, weighted)
  check_number(most)
  local heads, relations, tails = arrays.ints(most), arrays.ints(most), arrays.ints(most)
  local weights = weighted and arrays.floats(most) or nil
  return {n = 0, most = most, heads = heads, relations = relations, tails = tails,
          weights = weights, own = {heads, relations, tails, weights}}
end

--- Frees edges that were made here; those of a caller stay.
function build.release(e)
  if e.own then arrays.free(unpack(e.own)) end
  e.own, e.heads, e.relations, e.tails, e.weights = nil, nil, nil, nil, nil
end

--- Adds an edge. Errors: there is no room for it, which whoever made `e` has miscounted.
local function add(e, head, relation, tail, weight)
  if e.n >= e.most then error(('graph: room for %d edges was made'):format(e.most)) end
  e.heads[e.n], e.relations[e.n], e.tails[e.n] = head, relation, tail
  if e.weights then e.weights[e.n] = weight or 1 end
  e.n = e.n + 1
end

-- ---- edges from triples ----

--- Ids as an FFI array and their count. Errors: none given, no ids.
local function ids_of(x, n, what)
  if x == nil then fail('graph: no %s given', what) end
  if tensor.is(x) then
    if x:dtype() ~= 'i32' then fail('graph: %s must be ids', what) end
    return x:values()
  end
  if type(x) == 'cdata' then
    if not n then fail('graph: n is needed with FFI arrays') end
    return x, n
  end
  return tensor.ids(x):values()
end

local function check_count(name, value)
  if type(value) ~= 'number' or value < 0 or value % 1 ~= 0 then
    fail('graph: %s is %s, expected how many there are', name, tostring(value))
  end
  return value
end

local function check_ids(e, heads, tails, relations)
  for i = 0, e.n - 1 do
    if e.heads[i] < 0 or e.heads[i] >= heads or e.tails[i] < 0 or e.tails[i] >= tails
       or relations and (e.relations[i] < 0 or e.relations[i] >= relations) then
      fail('graph: triple %d is (%d, %d, %d), outside %s nodes and %s relations', i, e.heads[i],
           relations and e.relations[i] or 0, e.tails[i],
           heads == tails and heads or heads .. ' x ' .. tails, relations or 'no')
    end
  end
end

--- The arguments of `tk.graph{...}`, checked: edges and counts.
function build.of_triples(o)
  local heads, n = ids_of(o.head, o.n, 'head')
  local tails, n_tails = ids_of(o.tail, o.n, 'tail')
  local relations, n_relations = nil, n
  if o.relation then relations, n_relations = ids_of(o.relation, o.n, 'relation') end
  if n ~= n_relations or n ~= n_tails then
    fail('graph: %d heads, %d relations, %d tails', n, n_relations, n_tails)
  end
  check_number(n)
  local two = type(o.nodes) == 'table'
  local g = {n = n, heads = heads, relations = relations, tails = tails}
  g.nodes = check_count('nodes', two and o.nodes[1] or o.nodes)
  g.tail_nodes = two and check_count('nodes', o.nodes[2]) or g.nodes
  g.relation_count = relations and check_count('relations', o.relations)
  check_ids(g, g.nodes, g.tail_nodes, g.relation_count)
  return g
end

-- ---- edges from a data set ----

--- What the weights of triples are multiplied with, so that their mean is 1.
local function share_of_mean(kg)
  local sum = 0
  for i = 0, kg.n - 1 do sum = sum + kg.weights[i] end
  return sum > 0 and kg.n / sum or 0
end

--- The knowledge graph, the interactions of train, or both, as edges between entities (item i is
--- entity i) and users, which follow the entities if they are nodes of the same graph.
---@param data table a data set ---@param of string 'kg', 'interactions' or 'both'
---@param merged boolean users and items are nodes of one graph
function build.of_data(data, of, merged)
  local kg, train = data.graph, data:known()
  local first = of == 'interactions' and data.items or data.entities
  local weights = of ~= 'interactions' and kg.n > 0 and kg.weights or nil
  local e = edges((of ~= 'interactions' and kg.n or 0) + (of ~= 'kg' and train.n or 0), weights)
  local share = weights and share_of_mean(kg)
  for i = 0, of ~= 'interactions' and kg.n - 1 or -1 do
    add(e, kg.heads[i], kg.relations[i], kg.tails[i], weights and weights[i] * share)
  end
  local relation = of == 'both' and data.relations or 0
  for u = 0, of ~= 'kg' and data.users - 1 or -1 do
    for at = train.offsets[u], train.offsets[u + 1] - 1 do
      add(e, merged and first + u or u, relation, train.items[at])
    end
  end
  if of == 'kg' then e.nodes = data.entities
  elseif merged then e.nodes = first + data.users
  else e.nodes = data.users end
  e.tail_nodes = (of == 'kg' or merged) and e.nodes or data.items
  e.relation_count = of == 'kg' and data.relations or of == 'both' and data.relations + 1 or nil
  if not e.relation_count then e.relations = nil end
  e.first_user = merged and of ~= 'kg' and first or nil
  return e
end

--- The rows of labelled data, as edges from users to items.
---@param data table a data set ---@param merged boolean as of of_data
function build.of_rows(data, merged)
  local rows, first = data.train, merged and data.items or 0
  local e = edges(rows.n)
  for i = 0, rows.n - 1 do add(e, first + rows.users[i], 0, rows.items[i]) end
  e.nodes, e.tail_nodes = first + data.users, merged and first + data.users or data.items
  e.relations, e.first_user = nil, merged and first or nil
  return e
end

-- ---- both directions, loops ----

--- Edges e, as many relations and between the same nodes as g's.
local function between(g, e)
  if not g.relation_count then e.relations = nil end
  e.nodes, e.tail_nodes, e.first_user = g.nodes, g.tail_nodes, g.first_user
  e.relation_count = g.relation_count
  return e
end

--- The edges without those from a node to itself.
local function loopless(g)
  local e = edges(g.n, g.weights)
  for i = 0, g.n - 1 do
    if g.heads[i] ~= g.tails[i] then
      add(e, g.heads[i], g.relations and g.relations[i] or 0, g.tails[i],
          g.weights and g.weights[i])
    end
  end
  return between(g, e)
end

--- The numbers of the edges in the order of their heads. ---@return ffi.cdata* int32 [g.n]
local function by_head(g)
  local place, order = arrays.ints(g.nodes + 1), arrays.ints(g.n)
  for i = 0, g.n - 1 do place[g.heads[i] + 1] = place[g.heads[i] + 1] + 1 end
  for h = 1, g.nodes do place[h] = place[h] + place[h - 1] end
  for i = 0, g.n - 1 do
    local h = g.heads[i]
    order[place[h]], place[h] = i, place[h] + 1
  end
  arrays.free(place)
  return order
end

--- Of the edges from one head to one tail only that of the lowest relation id, with the weights of
--- all of them added up. Releases g.
local function singled(g)
  local e, order, last = edges(g.n, g.weights), by_head(g), arrays.ints(g.tail_nodes, -1)
  for k = 0, g.n - 1 do
    local i = order[k]
    local h, t, r = g.heads[i], g.tails[i], g.relation_count and g.relations[i] or 0
    local same = last[t]
    if same >= 0 and e.heads[same] == h then
      e.relations[same] = math.min(e.relations[same], r)
      if g.weights then e.weights[same] = e.weights[same] + g.weights[i] end
    else
      last[t] = e.n
      add(e, h, r, t, g.weights and g.weights[i])
    end
  end
  arrays.free(order, last)
  build.release(g)
  return between(g, e)
end

--- Errors: options that exclude each other or that do not fit the graph.
local function check_ways(g, o)
  local loops = o.self_loops
  if loops ~= nil and type(loops) ~= 'boolean' and loops ~= 'given' then
    fail("graph: self_loops is %s, expected true, false or 'given'", tostring(loops))
  end
  if o.undirected and o.inverse then
    fail('graph: undirected and inverse each add every edge the other way: give one of them')
  end
  if (o.undirected or o.inverse or loops == true) and g.nodes ~= g.tail_nodes then
    fail('graph: heads and tails are not the same nodes, so edges cannot go both ways')
  end
end

local function both_ways(g, o)
  check_ways(g, o)
  local back, relations = o.undirected or o.inverse, g.relation_count
  local loops, add_loops = o.self_loops, o.self_loops == true
  local given = g
  if loops == false and g.nodes == g.tail_nodes then
    g = loopless(given)
    build.release(given)
  end
  if not back and not add_loops then return g end
  local e = edges((back and 2 or 1) * g.n + (add_loops and g.nodes or 0), g.weights)
  local shift = o.inverse and relations or 0
  for i = 0, g.n - 1 do
    local r = relations and g.relations[i] or 0
    local w = g.weights and g.weights[i]
    add(e, g.heads[i], r, g.tails[i], w)
    if o.undirected then add(e, g.tails[i], r, g.heads[i], w) end
  end
  for i = 0, o.inverse and g.n - 1 or -1 do
    add(e, g.tails[i], (relations and g.relations[i] or 0) + shift, g.heads[i],
        g.weights and g.weights[i])
  end
  local total = relations and relations + shift or nil
  if add_loops then
    for v = 0, g.nodes - 1 do add(e, v, total or 0, v) end
    total = total and total + 1
  end
  e.nodes, e.tail_nodes, e.first_user = g.nodes, g.tail_nodes, g.first_user
  e.relation_count = total
  build.release(g)
  return e
end

--- Adds edges, and releases those given: `undirected` each edge back under the same relation,
--- right behind it; `inverse` each edge back under relation id + relations; `self_loops` each node
--- to itself under an id of its own, the last; `self_loops = false` leaves out the given ones;
--- `single` then makes parallel edges one. Errors: `undirected` with `inverse`; edges back, or
--- loops, where heads and tails are other nodes.
function build.extended(g, o)
  g = both_ways(g, o)
  return o.single and singled(g) or g
end

-- ---- packing ----

--- The weights of edges in the order of a packed graph. ---@return Tensor [edges]
local function ordered(weights, n, place)
  local to = arrays.floats(n)
  for i = 0, n - 1 do to[place[i]] = weights[i] end
  local t = tensor.constant(tensor.F32, {n}, to)
  arrays.free(to, place)
  return t
end

--- Packs a graph. Returns a kept tensor, its layout and, of edges with weights, these.
---@param one_way? boolean
---@return Tensor array, integer layout, Tensor? weights
function build.pack(g, one_way)
  local layout = (g.relation_count and RELATIONS or 0) + (one_way and ONE_WAY or 0)
  local room = tonumber(C.tkg_graph_length(g.nodes, g.tail_nodes, g.n, layout))
  local array, found = arrays.ints(room + 1), ffi.new('int64_t[1]')
  local relations = g.relation_count and g.relations or nil
  local place = g.weights and arrays.ints(g.n) or nil
  check(C.tkg_graph_pack(g.nodes, g.tail_nodes, g.n, g.heads, relations, g.tails, layout, array,
                         found, place))
  layout = tonumber(found[0])
  local length = tonumber(C.tkg_graph_length(g.nodes, g.tail_nodes, g.n, layout))
  local packed = tensor.constant(tensor.I32, {length}, array)
  arrays.free(array)
  return packed, layout, place and ordered(g.weights, g.n, place)
end

return build
