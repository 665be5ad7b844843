--- Interactions as parallel columns: { n, users, items [, labels, ratings, times, weights]
--- [, parts] }, parts being 0, 1, 2 for train, validation, test while a set that has a split is
--- being loaded.

local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'

local rows = {}

local makers = {
  users = arrays.ints, items = arrays.ints, labels = arrays.floats, ratings = arrays.floats,
  times = arrays.doubles, weights = arrays.floats, parts = arrays.ints,
}

--- The rows at n positions, in that order.
---@param from table
---@param positions ffi.cdata* int32
---@param n number
---@param only table<string, boolean>? the columns that are taken; nil: all
---@return table
function rows.take(from, positions, n, only)
  local to = { n = n }
  for name, make in pairs(makers) do
    local source = (not only or only[name]) and from[name]
    if source then
      local target = make(n)
      for i = 0, n - 1 do target[i] = source[positions[i]] end
      to[name] = target
    end
  end
  return to
end

--- The rows for which keep(position) holds, in order, and how many were dropped.
---@param from table
---@param keep fun(position: number): boolean
---@return table kept
---@return number dropped
function rows.filter(from, keep)
  local positions, n = arrays.ints(from.n), 0
  for i = 0, from.n - 1 do
    if keep(i) then
      positions[n] = i
      n = n + 1
    end
  end
  local kept = n == from.n and from or rows.take(from, positions, n)
  arrays.free(positions)
  return kept, from.n - n
end

--- Pairs sorted by user and item.
---@param from table
---@param users number
---@return tinykg.Csr
function rows.csr(from, users) return arrays.csr(from.n, from.users, from.items, users) end

-- The position of the latest row of a pair, order[first .. last].
local function latest(from, order, first, last)
  local times, best = from.times, order[last]
  for i = times and first or last, last do
    -- The later row of equal times.
    if times and times[order[i]] >= times[best] then best = order[i] end
  end
  return best
end

-- Moves the rows of a pair that are in the part of its first row before the others. Returns where
-- the last of them is, and counts the others.
local function own_part(from, order, first, last, overlaps)
  local parts, own = from.parts, first
  if not parts then return last end
  local stays = parts[order[first]]
  for i = first + 1, last do
    if parts[order[i]] == stays then
      own = own + 1
      order[own] = order[i]
    else
      local key = 3 * parts[order[i]] + stays
      overlaps[key] = (overlaps[key] or 0) + 1
    end
  end
  return own
end

-- Whether the rows of a pair have both labels.
local function contradict(labels, order, first, last)
  for i = first + 1, last do
    if labels and labels[order[i]] ~= labels[order[first]] then return true end
  end
  return false
end

-- The weights of the rows of a pair that have the label of the row that stays, added up.
local function summed_weight(from, order, first, last, stays)
  local sum, labels = 0, from.labels
  for i = first, last do
    if not labels or labels[order[i]] == labels[stays] then sum = sum + from.weights[order[i]] end
  end
  return sum
end

-- Columns that a repeated pair has of its first row, and of its latest.
local PLACE = { users = true, items = true, parts = true }
local LATEST = { labels = true, ratings = true, times = true }

--- Removes repeated pairs of user and item. A pair stays at its first position, with label, rating
--- and time of its latest row: by time, else by position. Weights of its rows add up. Where rows
--- have parts, only those in the part of the first one count.
---@param from table
---@param users number
---@return table kept
---@return number dropped
---@return number contradictions pairs with both labels
---@return table<number, number> overlaps how many rows of part p were dropped since their pair is
---  in part q, by 3 * p + q
function rows.distinct(from, users)
  local csr, contradictions, overlaps = rows.csr(from, users), 0, {}
  local positions, source, n = arrays.ints(from.n), arrays.ints(from.n), 0
  local weights = from.weights and arrays.floats(from.n)
  for user = 0, users - 1 do
    local first, stop = csr.offsets[user], csr.offsets[user + 1]
    while first < stop do
      local last = first
      while last + 1 < stop and csr.items[last + 1] == csr.items[first] do last = last + 1 end
      local own, at = own_part(from, csr.order, first, last, overlaps), csr.order[first]
      local stays = own > first and latest(from, csr.order, first, own) or at
      source[at] = 1 + stays
      if weights then weights[at] = summed_weight(from, csr.order, first, own, stays) end
      if contradict(from.labels, csr.order, first, own) then contradictions = contradictions + 1 end
      n, first = n + 1, last + 1
    end
  end
  csr:free()
  if n == from.n then
    arrays.free(positions, source, weights)
    return from, 0, 0, overlaps
  end
  local count = 0
  for i = 0, from.n - 1 do
    if source[i] > 0 then
      positions[count], source[count] = i, source[i] - 1
      if weights then weights[count] = weights[i] end
      count = count + 1
    end
  end
  local kept = rows.take(from, positions, n, PLACE)
  for name, values in pairs(rows.take(from, source, n, LATEST)) do kept[name] = values end
  kept.weights = weights
  arrays.free(positions, source)
  return kept, from.n - n, contradictions, overlaps
end

--- The label that all rows have; nil if there are two, or none.
---@param from table
---@return number?
function rows.only_label(from)
  local labels = from.labels
  if not labels or from.n == 0 then return nil end
  for i = 1, from.n - 1 do
    if labels[i] ~= labels[0] then return nil end
  end
  return labels[0]
end

--- The rows with label 1, without their labels.
---@param from table
---@return table
function rows.positives(from)
  local labels = from.labels
  if not labels then return from end
  local bare = tables.merged((rows.filter(from, function(i) return labels[i] == 1 end)))
  bare.labels = nil
  return bare
end

--- Joins sets of rows. Columns that one of them lacks are left out.
---@param list table[]
---@return table
function rows.concat(list)
  local n = 0
  for _, part in ipairs(list) do n = n + part.n end
  local all = { n = n }
  for name, make in pairs(makers) do
    if not tables.any(list, function(part) return not part[name] end) then
      local target, at = make(n), 0
      for _, part in ipairs(list) do
        local source = part[name]
        for i = 0, part.n - 1 do target[at + i] = source[i] end
        at = at + part.n
      end
      all[name] = target
    end
  end
  return all
end

--- A set without rows.
---@return table
function rows.none() return { n = 0, users = arrays.ints(0), items = arrays.ints(0) } end

return rows
