--- Samples negatives for click-through data that has only positives: per user as many items not
-- watched as watched, once, without replacement, as the preprocessing of KGCN and RippleNet does.

local arrays = require 'tinykg.engine.arrays'
local random = require 'tinykg.base.random'
local rows = require 'tinykg.data.rows'

local negatives = {}

local STREAM = 0x4E454731

-- A random item of 0 .. items - 1 that is not marked for the user; marks it.
local function draw(generator, marks, user, items)
  local item
  repeat item = generator:below(items) until marks[item] ~= user + 1
  marks[item] = user + 1
  return item
end

-- How many rows of a part each user has.
local function counts(part, users)
  local count = arrays.ints(users)
  for i = 0, part.n - 1 do count[part.users[i]] = count[part.users[i]] + 1 end
  return count
end

-- The mean weight of the rows of a part, n times.
local function mean_weights(part, n)
  local sum, weights = 0, arrays.floats(n)
  for i = 0, part.n - 1 do sum = sum + part.weights[i] end
  for i = 0, n - 1 do weights[i] = sum / part.n end
  return weights
end

--- Adds negatives to each part (rows that are all positive), with labels 1 and 0. An item is not
-- sampled for a user who has it in `watched`, nor twice for one user in any part. A user who
-- watched more than half of the items gets all others, first parts first.
---@param parts table[]
---@param watched tinykg.Csr every pair that is no negative
---@param items number
---@param seed number
---@return table[] labelled
---@return number missing negatives that could not be had
function negatives.add(parts, watched, items, seed)
  local generator, users = random.new(seed, STREAM), watched.rows
  local marks, wanted, made, total, missing = arrays.ints(items), {}, {}, 0, 0
  for k, part in ipairs(parts) do
    wanted[k] = counts(part, users)
    made[k] = { n = 0, users = arrays.ints(part.n), items = arrays.ints(part.n) }
  end
  for user = 0, users - 1 do
    for i = watched.offsets[user], watched.offsets[user + 1] - 1 do
      marks[watched.items[i]] = user + 1
    end
    local free = items - watched:count(user)
    for k = 1, #parts do
      local count = math.min(wanted[k][user], free)
      missing = missing + wanted[k][user] - count
      free = free - count
      for _ = 1, count do
        local to = made[k]
        to.users[to.n], to.items[to.n] = user, draw(generator, marks, user, items)
        to.n, total = to.n + 1, total + 1
      end
    end
  end
  local labelled = {}
  for k, part in ipairs(parts) do
    made[k].weights = part.weights and mean_weights(part, made[k].n)
    local both = rows.concat { { n = part.n, users = part.users, items = part.items,
      weights = part.weights }, made[k] }
    both.labels = arrays.floats(both.n)
    for i = 0, part.n - 1 do both.labels[i] = 1 end
    labelled[k] = both
  end
  return labelled, missing
end

return negatives
