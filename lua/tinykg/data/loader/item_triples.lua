--- Triples whose head is an item: all of them, and the first of each item as rows of a table.
local arrays = require 'tinykg.engine.arrays'
local tensor = require 'tinykg.engine.tensor'

--- Makes a constant of an FFI array, which it frees.
local function constant(kind, shape, array)
  local t = tensor.constant(kind, shape, array)
  arrays.free(array)
  return t
end

--- The data set's triples whose head is an item, in its order: the first k of each item as tables,
--- and all as what tk.graph takes. Places left over in the tables have the item itself as tail,
--- relation 0, and 0 in `known`.
---@param data tinykg.Data ---@param k integer from 1
---@return {heads: Tensor, relations: Tensor, tails: Tensor, known: Tensor} first int32 [items, k];
---  known f32, 1 or 0
---@return table all {head =, relation =, tail =, n =, ...}, from items to entities
---@return integer count of the items that have triples
return function(data, k)
  local from, items, n, with = data.graph, data.items, data.items * k, 0
  local first = {heads = arrays.ints(n), relations = arrays.ints(n), tails = arrays.ints(n),
                 known = arrays.floats(n)}
  for at = 0, n - 1 do
    first.heads[at] = math.floor(at / k)
    first.tails[at] = first.heads[at]
  end
  local all = {n = 0, head = arrays.ints(from.n), relation = arrays.ints(from.n),
               tail = arrays.ints(from.n), nodes = {items, data.entities},
               relations = data.relations, one_way = true}
  local count = arrays.ints(items)
  for e = 0, from.n - 1 do
    local h, r, t = from.heads[e], from.relations[e], from.tails[e]
    if h < items then
      all.head[all.n], all.relation[all.n], all.tail[all.n] = h, r, t
      if count[h] < k then
        local at = h * k + count[h]
        first.relations[at], first.tails[at], first.known[at] = r, t, 1
      end
      if count[h] == 0 then with = with + 1 end
      all.n, count[h] = all.n + 1, count[h] + 1
    end
  end
  arrays.free(count)
  from.weights_due = from.weights ~= nil
  for name, array in pairs(first) do
    first[name] = constant(name == 'known' and tensor.F32 or tensor.I32, {items, k}, array)
  end
  return first, all, with
end
