--- Restores the ids and the split of a data set whose rows were loaded in another order, so that a
-- model's rows belong to the same names.

local ffi = require 'ffi'
local bit = require 'bit'
local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local features = require 'tinykg.data.features'
local fingerprint = require 'tinykg.data.fingerprint'
local rows = require 'tinykg.data.rows'
local split = require 'tinykg.data.split'

local restore = {}

-- ---- the part of each interaction, 2 bits each, by user and item ----

--- The rows of all parts, the part of each (0, 1, 2), and their places by user and item.
local function together(data)
  local list, part, at = {}, arrays.ints(data.train.n + data.valid.n + data.test.n), 0
  for k, name in ipairs(split.parts) do
    local from = data[name]
    if from.n > 0 then list[#list + 1] = from end
    for i = at, at + from.n - 1 do part[i] = k - 1 end
    at = at + from.n
  end
  local all = rows.concat(list)
  return all, part
end

--- The split of a data set as bytes.
---@param data tinykg.Data ---@return string
function restore.split_of(data)
  local all, part = together(data)
  local order, size = rows.csr(all, data.users).order, math.ceil(all.n / 4)
  local codes = ffi.new('uint8_t[?]', size + 1)
  for k = 0, all.n - 1 do
    local byte = bit.rshift(k, 2)
    codes[byte] = bit.bor(codes[byte], bit.lshift(part[order[k]], 2 * bit.band(k, 3)))
  end
  return ffi.string(codes, size)
end

--- Parts of rows by the bytes of split_of.
local function parts_of(all, users, codes)
  local order, lists, counts = rows.csr(all, users).order, {}, {0, 0, 0}
  for k = 1, 3 do lists[k] = arrays.ints(all.n) end
  for k = 0, all.n - 1 do
    local part = bit.band(bit.rshift(codes:byte(bit.rshift(k, 2) + 1), 2 * bit.band(k, 3)), 3) + 1
    if part > 3 then return nil end
    lists[part][counts[part]], counts[part] = order[k], counts[part] + 1
  end
  local parts = {}
  for k, name in ipairs(split.parts) do parts[name] = rows.take(all, lists[k], counts[k]) end
  return parts
end

-- ---- numbers ----

--- The old ids of names by their new ids; nil if the names differ.
local function numbers_of(had, have)
  local ids, taken = arrays.ints(have.count), arrays.ints(have.count)
  for id = 0, have.count - 1 do
    local old = had:id(have:name(id))
    if not old or taken[old] == 1 then return nil end
    ids[id], taken[old] = old, 1
  end
  return ids
end

local function all_numbers(names, data)
  local ids = {}
  for _, kind in ipairs(fingerprint.kinds) do
    if names[kind].count ~= data.names[kind].count then return nil end
    ids[kind] = numbers_of(names[kind], data.names[kind])
    if not ids[kind] then return nil end
  end
  return ids
end

local function mapped(from, n, ids)
  local to = arrays.ints(n)
  for i = 0, n - 1 do to[i] = ids[from[i]] end
  return to
end

local function titles_of(names, ids)
  local titles = {}
  for id, title in pairs(names.titles or {}) do titles[ids[id]] = title end
  return names.titles and titles
end

--- The data set with the ids of `names` and the split of `codes`; nil if its names or its number of
--- interactions differ. Its fingerprint tells whether the rest is equal.
---@param data tinykg.Data ---@param names table<string, tinykg.Names> by kind
---@param codes string of split_of ---@return tinykg.Data?
function restore.of(data, names, codes)
  local ids, all = all_numbers(names, data), (together(data))
  if not ids or #codes ~= math.ceil(all.n / 4) then return nil end
  all.users, all.items = mapped(all.users, all.n, ids.users), mapped(all.items, all.n, ids.items)
  local parts, graph = parts_of(all, data.users, codes), data.graph
  if not parts then return nil end
  local set = tables.merged(data, parts)
  set.graph = { n = graph.n, nodes = graph.nodes, relation_count = graph.relation_count,
    heads = mapped(graph.heads, graph.n, ids.entities),
    relations = mapped(graph.relations, graph.n, ids.relations),
    tails = mapped(graph.tails, graph.n, ids.entities), weights = graph.weights }
  set.names, set.known_csr = names, nil
  set.feature_rows = features.renumbered(set.feature_rows, ids.items)
  for _, kind in ipairs(fingerprint.kinds) do
    names[kind].titles = titles_of(data.names[kind], ids[kind])
  end
  return setmetatable(set, getmetatable(data))
end

return restore
