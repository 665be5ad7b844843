--- Ranking by a sample: of some users, or of sampled items among which each user's own are to be
--- found. Faster than ranking all, and other numbers: the metrics' names say so, so that they are
--- never compared with those of full ranking (Krichene and Rendle, On Sampled Metrics for Item
--- Recommendation, KDD 2020).
---
--- uni100 and pop100 are RecBole's: 100 items for each of a user's items in the part, drawn with
--- replacement, uniformly or as often as interactions of all parts have them, none that the user
--- has in this part or one before (recbole/sampler/sampler.py, Sampler); all of a user's items and
--- the sampled ones are one list, in which an item counts once (recbole/trainer/trainer.py,
--- _neg_sample_batch_eval).
local arrays = require 'tinykg.engine.arrays'
local random = require 'tinykg.base.random'
local rows = require 'tinykg.data.rows'
local runtime = require 'tinykg.engine.runtime'

local sample = {}

sample.CHOICES = {'full', 'uni100', 'pop100'}

local PER_ITEM = 100
local USERS, ITEMS = 0x4556414C, 0x4556414D -- streams of random numbers

--- The most users who have items in validation, test or another part.
local function most_users(data, part)
  local most = 0
  for _, name in ipairs{'valid', 'test', part} do
    if data[name].n > 0 then
      local _, n = arrays.filled_rows(data:positives(name).offsets, data.users)
      most = math.max(most, n)
    end
  end
  return most
end

--- What stands behind the names of metrics: '' for those of full ranking of all users. Validation
--- and test have the same mark: that of users says that fewer were drawn than one of them has.
---@param o {users: integer?, negatives: string?} ---@param data tinykg.Data
---@param part? string of which they are ---@return string such as ' (uni100, 500 users)'
function sample.mark(o, data, part)
  local parts = {}
  if o.negatives and o.negatives ~= 'full' then parts[1] = o.negatives end
  if o.users and o.users > 0 and o.users < most_users(data, part) then
    parts[#parts + 1] = ('%d users'):format(o.users)
  end
  return #parts > 0 and ' (' .. table.concat(parts, ', ') .. ')' or ''
end

--- N of the users ids[0 .. n - 1], ascending: the same for the same seed and users.
---@return ffi.cdata* ids ---@return integer n
function sample.users(ids, n, wanted, seed)
  if not wanted or wanted == 0 or wanted >= n then return ids, n end
  local order, chosen = arrays.permutation(n, seed, 0, USERS), {}
  for i = 0, wanted - 1 do chosen[order[i]] = true end
  local out, count = arrays.ints(wanted), 0
  for i = 0, n - 1 do
    if chosen[i] then
      out[count] = ids[i]
      count = count + 1
    end
  end
  return out, count
end

--- The most items among which a user's own are ranked. ---@param own integer of the part
---@param known integer items of the user that are not ranked ---@param negatives? string
function sample.offered(data, own, known, negatives)
  local all = data.items - known
  if not negatives or negatives == 'full' then return all end
  return math.min(all, (1 + PER_ITEM) * own)
end

--- A function that draws an item, and how many there are that it may draw.
local function drawing(data, negatives)
  if negatives == 'uni100' then
    return function(generator) return generator:below(data.items) end, data.items
  end
  local all = rows.concat{rows.positives(data.train), rows.positives(data.valid),
                          rows.positives(data.test)}
  local seen, distinct = arrays.ints(data.items), 0
  for i = 0, all.n - 1 do
    distinct = distinct + 1 - seen[all.items[i]]
    seen[all.items[i]] = 1
  end
  return function(generator) return all.items[generator:below(all.n)] end, distinct
end

--- Returns a function that gives some users' items to rank (scoring.sampled): their own in the part
--- and the sampled ones. Each user's depend on the seed alone.
---@param data tinykg.Data ---@param own tinykg.Csr items in the part ---@param known? tinykg.Csr
---@param negatives string 'uni100' or 'pop100' ---@param seed integer
function sample.candidates(data, own, known, negatives, seed)
  local draw, drawable = drawing(data, negatives)
  local function add(generator, user, row, out)
    for i = own.offsets[user], own.offsets[user + 1] - 1 do
      out.rows[out.n], out.items[out.n], out.n = row, own.items[i], out.n + 1
    end
    local had = own:count(user) + (known and known:count(user) or 0)
    local wanted = had < drawable and PER_ITEM * own:count(user) or 0
    while wanted > 0 do
      local item = draw(generator)
      if not own:contains(user, item) and not (known and known:contains(user, item)) then
        out.rows[out.n], out.items[out.n], out.n = row, item, out.n + 1
        wanted = wanted - 1
      end
    end
  end
  return function(users, count)
    local n = 0
    for row = 0, count - 1 do n = n + (1 + PER_ITEM) * own:count(users[row]) end
    local out = {n = 0, rows = arrays.ints(n), items = arrays.ints(n)}
    for row = 0, count - 1 do
      add(random.new(seed * 2 ^ 31 + users[row], ITEMS), users[row], row, out)
      if row % 256 == 0 then runtime.check_interrupt() end
    end
    return arrays.csr(out.n, out.rows, out.items, count):unique()
  end
end

return sample
