--- The items that the users of an item know: where CKAN's sets of triples of an item begin (Wang et
--- al., SIGIR 2020, section 3.1).
local arrays = require 'tinykg.engine.arrays'

--- The users of each item, of the items of each user.
local function users_of_items(known, items)
  local users, n = arrays.ints(known.n), 0
  for u = 0, known.rows - 1 do
    for at = known.offsets[u], known.offsets[u + 1] - 1 do
      users[at], n = u, n + 1
    end
  end
  local csr = arrays.csr(n, known.items, users, items)
  arrays.free(users)
  return csr
end

--- Calls visit(item, other) for each distinct item that a user of `item` knows; for an item that
--- nobody knows, for itself.
local function each_pair(known, users, items, visit)
  local seen = arrays.ints(items, -1)
  for item = 0, items - 1 do
    for k = users.offsets[item], users.offsets[item + 1] - 1 do
      local u = users.items[k]
      for at = known.offsets[u], known.offsets[u + 1] - 1 do
        local other = known.items[at]
        if seen[other] ~= item then
          seen[other] = item
          visit(item, other)
        end
      end
    end
    if seen[item] ~= item then visit(item, item) end
  end
  arrays.free(seen)
end

---@param data tinykg.Data
---@return tinykg.Csr
return function(data)
  local known = data:known()
  local users, offsets = users_of_items(known, data.items), arrays.ints(data.items + 1)
  each_pair(known, users, data.items, function(item) offsets[item + 1] = offsets[item + 1] + 1 end)
  for item = 1, data.items do offsets[item] = offsets[item] + offsets[item - 1] end
  local items, n = arrays.ints(offsets[data.items]), 0
  each_pair(known, users, data.items, function(_, other)
    items[n] = other
    n = n + 1
  end)
  users:free()
  return {n = n, rows = data.items, offsets = offsets, items = items}
end
