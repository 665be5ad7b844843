--- Filters: rating threshold and k-core, and the renumbering after a k-core.

local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'
local rows = require 'tinykg.data.rows'

local filter = {}

local single = ffi.new('float[1]')

--- A test of ratings, which are float32: whether number i is at least the threshold. A threshold
--- such as 0.7 is rounded as ratings are, so that a rating of 0.7 is not below it.
---@param ratings ffi.cdata* float
---@param threshold number
---@return fun(i: number): boolean
function filter.at_least(ratings, threshold)
  single[0] = threshold
  local least = single[0]
  return function(i) return ratings[i] >= least end
end

--- Removes ratings below a threshold.
---@param all table
---@param threshold number
---@return table kept
---@return number dropped
function filter.threshold(all, threshold)
  local ratings = all.ratings
  if not ratings then error('rating_threshold: the interactions have no ratings', 0) end
  return rows.filter(all, filter.at_least(ratings, threshold))
end

--- Marks what is in fewer than `least` interactions as dead. Returns whether there was such.
local function drop_below(alive, count, n, least)
  local changed = false
  for i = 0, n - 1 do
    if alive[i] == 1 and count[i] < least then alive[i], changed = 0, true end
  end
  return changed
end

-- Removes users and items below their limit until none is. alive arrays: 0 or 1.
local function peel(parts, alive_users, alive_items, users, items, user_core, item_core)
  local user_count, item_count = arrays.ints(users), arrays.ints(items)
  repeat
    ffi.fill(user_count, 4 * users)
    ffi.fill(item_count, 4 * items)
    for _, part in ipairs(parts) do
      for i = 0, part.n - 1 do
        local user, item = part.users[i], part.items[i]
        if alive_users[user] == 1 and alive_items[item] == 1
          and not (part.labels and part.labels[i] == 0) then
          user_count[user], item_count[item] = user_count[user] + 1, item_count[item] + 1
        end
      end
    end
    local users_went = drop_below(alive_users, user_count, users, user_core)
    local items_went = drop_below(alive_items, item_count, items, item_core)
  until not users_went and not items_went
end

-- New ids of those alive: new_of[old] (-1: removed), old_of[new], how many.
local function renumber(alive, n)
  local new_of, old_of, count = arrays.ints(n), arrays.ints(n), 0
  for old = 0, n - 1 do
    new_of[old] = -1
    if alive[old] == 1 then
      new_of[old], old_of[count] = count, old
      count = count + 1
    end
  end
  return new_of, old_of, count
end

-- Entities after items were removed: the items left, then all other entities. A removed item with a
-- triple stays in the graph as an entity.
local function renumber_entities(raw, new_item, item_count)
  local graph, used = raw.graph, arrays.ints(raw.entities)
  for i = 0, graph.n - 1 do
    used[graph.heads[i]], used[graph.tails[i]] = 1, 1
  end
  local new_of, old_of, count = arrays.ints(raw.entities), arrays.ints(raw.entities), item_count
  for old = 0, raw.entities - 1 do
    local item = old < raw.items and new_item[old] or -1
    if item >= 0 then
      new_of[old], old_of[item] = item, old
    elseif old >= raw.items or used[old] == 1 then
      new_of[old], old_of[count] = count, old
      count = count + 1
    end
  end
  for i = 0, graph.n - 1 do
    graph.heads[i], graph.tails[i] = new_of[graph.heads[i]], new_of[graph.tails[i]]
  end
  return old_of, count
end

--- Keeps users and items with at least so many positives among those kept, over all parts, and
-- renumbers them. Changes raw's counts, names and graph.
---@param raw table
---@param parts table[]
---@param user_core number
---@param item_core number
---@return table[] kept
---@return {users: number, items: number, interactions: number} dropped
function filter.kcore(raw, parts, user_core, item_core)
  local alive_users, alive_items = arrays.ints(raw.users, 1), arrays.ints(raw.items, 1)
  peel(parts, alive_users, alive_items, raw.users, raw.items, user_core, item_core)
  local new_user, old_user, users = renumber(alive_users, raw.users)
  local new_item, old_item, items = renumber(alive_items, raw.items)
  local kept, dropped = {}, 0
  for k, part in ipairs(parts) do
    local left, gone = rows.filter(part, function(i)
      return new_user[part.users[i]] >= 0 and new_item[part.items[i]] >= 0
    end)
    for i = 0, left.n - 1 do
      left.users[i], left.items[i] = new_user[left.users[i]], new_item[left.items[i]]
    end
    kept[k], dropped = left, dropped + gone
  end
  local old_entity, entities = renumber_entities(raw, new_item, items)
  local gone = { users = raw.users - users, items = raw.items - items, interactions = dropped }
  raw.names.users = raw.names.users:renumbered(users, old_user)
  raw.names.items = raw.names.items:renumbered(items, old_item)
  raw.names.entities = raw.names.entities:renumbered(entities, old_entity)
  raw.users, raw.items, raw.entities = users, items, entities
  return kept, gone
end

return filter
