--- Ids with gaps: a file of four items, one of them 300000000, would need tables of 300,000,001
--- rows. If far fewer ids are used, they are renumbered in their order and keep the old number as
--- their name.

local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'

local sparse = {}

local FEW = 1000          -- ids for each that is used: too many
local LARGE = 2 ^ 24      -- from so many ids on, MANY are
local MANY = 10

---@class tinykg.IdColumn
---@field ids ffi.cdata* int32
---@field n number
---@field extent number one more than the largest
---@field where string? 'file:line' of the largest, where it may matter

--- A column of ids of a file.
---@param read tinykg.Columns
---@param column number from 1
---@return tinykg.IdColumn
function sparse.column(read, column)
  local extent, ids = read:extent(column), read:ids(column)
  return { ids = ids, n = read.n, extent = extent,
    where = extent > math.max(read.n, FEW) and read:where_largest(column, ids) or nil }
end

--- All ids below n, as if a file had them.
---@param n number
---@return tinykg.IdColumn
function sparse.range(n)
  return { ids = arrays.range(n), n = n, extent = n }
end

local function largest(list)
  local most = { extent = 0 }
  for _, column in ipairs(list) do
    if column.extent > most.extent then most = column end
  end
  return most
end

-- The ids of several columns in one, sorted.
local function sorted(list)
  local n, at = 0, 0
  for _, column in ipairs(list) do n = n + column.n end
  local all = arrays.ints(n)
  for _, column in ipairs(list) do
    for i = 0, column.n - 1 do all[at + i] = column.ids[i] end
    at = at + column.n
  end
  return arrays.csr(n, arrays.ints(n), all, 1)
end

-- Whether fewer than `enough` ids are used; stops when there are as many.
local function fewer(list, enough)
  local seen, count = {}, 0
  for _, column in ipairs(list) do
    for i = 0, column.n - 1 do
      local id = column.ids[i]
      if not seen[id] then
        seen[id], count = true, count + 1
        if count >= enough then return false end
      end
    end
  end
  return true
end

local function is_sparse(list, extent, mode)
  if mode then return mode == 'compact' end
  if extent < LARGE then return extent > FEW and fewer(list, extent / FEW) end
  return sorted(list):unique().n < extent / MANY
end

-- Calls each(first, last) with the positions of every id in a sorted list.
local function each_id(csr, each)
  local first = 0
  while first < csr.n do
    local last = first
    while last + 1 < csr.n and csr.items[last + 1] == csr.items[first] do last = last + 1 end
    each(first, last)
    first = last + 1
  end
end

-- Renumbers ids, those first for which is_first(csr, first, last) holds. Ids below `kept` stay.
-- Changes the columns. Returns old_of[new], how many there are, how many of them are first ones.
local function renumber(list, kept, is_first)
  local csr = sorted(list)
  local new, old_of, count = arrays.ints(csr.n), arrays.ints(csr.n + kept), kept
  for id = 0, kept - 1 do old_of[id] = id end
  local function number(wanted)
    each_id(csr, function(first, last)
      local old = csr.items[first]
      if is_first(csr, first, last) ~= wanted then return end
      if old >= kept then old_of[count], count = old, count + 1 end
      for i = first, last do new[csr.order[i]] = old < kept and old or count - 1 end
    end)
  end
  number(true)
  local firsts = count
  number(false)
  local at = 0
  for _, column in ipairs(list) do
    for i = 0, column.n - 1 do column.ids[i] = new[at + i] end
    at = at + column.n
  end
  return old_of, count, firsts
end

local function grouped(n)
  return (('%.0f'):format(n):reverse():gsub('(%d%d%d)', '%1,'):reverse():gsub('^,', ''))
end

local function warn(raw, what, most, used)
  if used == most.extent then return end
  raw.warnings[#raw.warnings + 1] = ('%s %s, %s of them used%s: numbered anew, named by their '
    .. 'numbers (option ids=given leaves them)'):format(grouped(most.extent), what, grouped(used),
      most.where and (' (the largest: %s)'):format(most.where) or '')
end

-- Renumbers users or relations.
local function compact(raw, what, list, mode)
  local extent = largest(list).extent
  if not is_sparse(list, extent, mode) then return extent end
  local old_of, count = renumber(list, 0, function() return true end)
  warn(raw, what, largest(list), count)
  return count, old_of
end


-- Renumbers items, and the entities after them. Of sparse items only those of interactions or of a
-- list are items; the others become entities.
local function compact_entities(raw, items, entities, mode)
  local all = tables.append(tables.append({}, items), entities)
  local item_extent = largest(items).extent
  local extent = math.max(item_extent, largest(entities).extent)
  local few_items = is_sparse(items, item_extent, mode)
  if not few_items and not is_sparse(all, extent, mode) then return item_extent, extent end
  local named = 0
  for _, column in ipairs(items) do named = named + column.n end
  local old_of, count, firsts = renumber(all, few_items and 0 or item_extent,
    function(csr, first, last)
      if not few_items then return csr.items[first] < item_extent end
      for i = first, last do
        if csr.order[i] < named then return true end
      end
      return false
    end)
  if few_items then warn(raw, 'items', largest(items), firsts) end
  if extent > item_extent then warn(raw, 'entities', largest(all), count) end
  return firsts, count, old_of
end

--- Renumbers sparse ids of a set, with a note. Sets raw's counts.
---@param raw table
---@param spaces table users, items, entities, relations: the columns of each; items are entities
---  too
---@param mode string? 'given': never, 'compact': always
---@return table old_of users, items, entities, relations: the old id of each, where it is another
function sparse.apply(raw, spaces, mode)
  local old_of = {}
  raw.users, old_of.users = compact(raw, 'users', spaces.users, mode)
  raw.relations, old_of.relations = compact(raw, 'relations', spaces.relations, mode)
  raw.items, raw.entities, old_of.entities =
    compact_entities(raw, spaces.items, spaces.entities, mode)
  old_of.items = old_of.entities
  return old_of
end

return sparse
