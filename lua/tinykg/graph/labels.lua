--- The labels of train as a graph from users to items, whose edges weigh 1 (liked) or 0.
local ffi = require 'ffi'
local tensor = require 'tinykg.engine.tensor'

local function ints(n) return ffi.new('int32_t[?]', n + 1) end

--- The rows of labelled data.
local function labelled(train)
  local e = {n = train.n, head = train.users, tail = train.items, relation = ints(train.n)}
  for i = 0, train.n - 1 do e.relation[i] = train.labels[i] > 0.5 and 1 or 0 end
  return e
end

--- The rows of data without labels as 1 and, for each, a sampled item that the user does not know
--- as 0. Users who know every item have none.
local function sampled(graph, train, nodes)
  local known = graph{n = train.n, head = train.users, tail = train.items, relation = ints(train.n),
                      relations = 1, nodes = nodes, one_way = true}
  local heads = known:heads()
  local tails = known:negatives(heads, known:edge_relations()):keep()
  local taken, items = known:lookup(heads, tails):values(), tails:values()
  local users, n = heads:values(), known.edges
  local e = {n = n, head = ints(2 * n), tail = ints(2 * n), relation = ints(2 * n)}
  for i = 0, n - 1 do
    e.head[i], e.tail[i], e.relation[i] = train.users[i], train.items[i], 1
    if taken[i] == 0 then
      e.head[e.n], e.tail[e.n] = users[i], items[i]
      e.n = e.n + 1
    end
  end
  return e
end

---@param graph function tk.graph ---@param data tinykg.Data
---@return Graph users x items, weighted
return function(graph, data)
  local nodes = {data.users, data.items}
  local e = data.train.labels and labelled(data.train) or sampled(graph, data.train, nodes)
  e.nodes, e.relations, e.one_way = nodes, 2, true
  local g = graph(e)
  local of_edge, labels = g:triples().relations, ffi.new('float[?]', g.edges + 1)
  for p = 0, g.edges - 1 do labels[p] = of_edge[p] end
  return g:weighted(tensor.constant(tensor.F32, {g.edges}, labels))
end
