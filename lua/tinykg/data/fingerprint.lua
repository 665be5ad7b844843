--- The fingerprint of a data set: counts, and hashes of 64 bits. Those of names, interactions,
-- split and graph do not depend on the order of rows and tell what differs. `numbering`, `order`
-- and `graph_order` depend on the order of the arrays: if they are equal too, a model's rows belong
-- to the same names, and training continues bit for bit.

local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local lib = require 'tinykg.engine.lib'
local split = require 'tinykg.data.split'

local fingerprint = {}

--- The kinds of names, as in data.names.
fingerprint.kinds = { 'users', 'items', 'entities', 'relations' }

local word = ffi.typeof('uint64_t')
local words = ffi.typeof('uint64_t[?]')

local function hex(hash) return bit.tohex(hash, 16) end

--- Whether names are the decimal numbers of their ids.
---@param names tinykg.Names
function fingerprint.are_numbers(names) return not names.dictionary and not names.source end

--- A hash per id, of its name.
---@param names tinykg.Names
local function hashes_of(names)
  local hashes = words(names.count + 1)
  local numbers = fingerprint.are_numbers(names)
  for id = 0, names.count - 1 do
    if numbers then
      hashes[id] = id + 1
    else
      local name = names:name(id)
      hashes[id] = lib.tkg_hash_text(name, #name)
    end
  end
  return hashes
end

-- The hash of rows in any order.
local function hash_rows(n, hashes, ids, values)
  local sum = words(1)
  lib.tkg_hash_rows(n, #ids, ffi.new('const uint64_t *[?]', #ids, hashes),
    ffi.new('const int32_t *[?]', #ids, ids), values, sum)
  return sum[0]
end

-- The hash of a list of hashes, which depends on their order, after hash `from`.
local function chained(from, hashes, n)
  return lib.tkg_hash_text(ffi.cast('const char *', hashes), 8 * n) + from * 31ULL
end

--- The fingerprint of names that are numbered from 0.
---@param all table<string, tinykg.Names> by kind
---@return string hash, table<string, ffi.cdata*> hashes by kind
local function of_names(all)
  local hashes, sum = {}, word(0)
  for _, kind in ipairs(fingerprint.kinds) do
    hashes[kind] = hashes_of(all[kind])
    sum = chained(sum, hashes[kind], all[kind].count)
  end
  return hex(sum), hashes
end

--- The hash of names in their order. ---@param all table<string, tinykg.Names> by kind
---@return string
function fingerprint.of_names(all) return (of_names(all)) end

-- The hash of rows in any order: (user, item, label), (head, relation, tail), or one name; with
-- `values`, of these instead of labels.
local function of_rows(part, hashes, values)
  return hash_rows(part.n, { hashes.users, hashes.items }, { part.users, part.items },
    values or part.labels)
end

local function of_graph(graph, hashes, values)
  return hash_rows(graph.n, { hashes.entities, hashes.relations, hashes.entities },
    { graph.heads, graph.relations, graph.tails }, values)
end

-- The hash of the weights of interactions and triples; nil without any.
local function of_weights(data, hashes)
  local train, graph = data.train, data.graph
  if not (train.weights or graph.weights) then return nil end
  return hex((train.weights and of_rows(train, hashes, train.weights) or word(0)) * 31ULL
    + (graph.weights and of_graph(graph, hashes, graph.weights) or word(0)))
end

local function of_set(hashes, n)
  return hash_rows(n, { hashes }, { arrays.range(n) })
end

--- The hash of int32 arrays in their order: { array, n } each.
local function of_arrays(list)
  local sum = word(0)
  for _, array in ipairs(list) do
    sum = sum * 31ULL + lib.tkg_hash_text(ffi.cast('const char *', array[1]), 4 * array[2])
  end
  return sum
end

local function of_order(data)
  local list = {}
  for _, name in ipairs(split.parts) do
    list[#list + 1] = { data[name].users, data[name].n }
    list[#list + 1] = { data[name].items, data[name].n }
  end
  return of_arrays(list)
end

local function of_graph_order(graph)
  return of_arrays { { graph.heads, graph.n }, { graph.relations, graph.n },
    { graph.tails, graph.n } }
end

--- The hash of the features of items by name, whatever the items' order; nil without features.
local function of_features(held, hashes)
  if not held then return nil end
  local sum, bytes = word(held.columns), 4 * held.columns
  for id = 0, held.n / held.columns - 1 do
    local row = lib.tkg_hash_text(ffi.cast('const char *', held.values + id * held.columns), bytes)
    sum = sum + bit.bxor(row, hashes[id]) * (2ULL * hashes[id] + 1)
  end
  return hex(sum)
end

--- Describes a data set.
---@param data tinykg.Data
---@return table fingerprint numbers, texts and tables of these
function fingerprint.of(data)
  local found, all, parts = { triples = data.graph.n, names = {} }, word(0), word(0)
  local numbering, hashes = of_names(data.names)
  for _, kind in ipairs(fingerprint.kinds) do
    found[kind], found.names[kind] = data[kind], hex(of_set(hashes[kind], data[kind]))
  end
  for _, name in ipairs(split.parts) do
    local hash = of_rows(data[name], hashes)
    found[name], all, parts = data[name].n, all + hash, parts * 31ULL + hash
  end
  found.numbering, found.interactions, found.split = numbering, hex(all), hex(parts)
  found.graph, found.order = hex(of_graph(data.graph, hashes)), hex(of_order(data))
  found.graph_order = hex(of_graph_order(data.graph))
  found.features = of_features(rawget(data, 'feature_rows'), hashes.items)
  found.weights = of_weights(data, hashes)
  return found
end

-- ---- comparing ----

local function counts_that_differ(was, is)
  local keys = { 'users', 'items', 'entities', 'relations', 'triples', 'train', 'valid', 'test' }
  return tables.map(keys, function(key)
    return was[key] ~= is[key]
      and ('%s %s, were %s'):format(key, tostring(is[key]), tostring(was[key])) or nil
  end)
end

--- Whether ids have the same names and features, the parts the same rows in any order, and the
--- graph the same triples in the same order.
---@param was table ---@param is table
function fingerprint.same_numbers(was, is)
  return was.numbering == is.numbering and was.split == is.split
    and was.graph_order == is.graph_order and was.graph == is.graph and was.features == is.features
    and was.weights == is.weights
end

--- A clause that says what changed from one fingerprint to another; nil: nothing.
---@param was table ---@param is table
---@return string?
function fingerprint.difference(was, is)
  if was.order == is.order and fingerprint.same_numbers(was, is) then return nil end
  local list = counts_that_differ(was, is)
  for _, kind in ipairs(fingerprint.kinds) do
    if was[kind] == is[kind] and (was.names or {})[kind] ~= is.names[kind] then
      list[#list + 1] = ('other names among its %d %s'):format(is[kind], kind)
    end
  end
  if #list == 0 then
    if was.interactions ~= is.interactions then list[1] = 'other interactions, as many as were' end
    if was.graph ~= is.graph then list[#list + 1] = 'other triples, as many as were' end
    if #list == 0 and was.split ~= is.split and was.numbering == is.numbering then
      list[1] = 'the same interactions in another split'
    end
  end
  if was.features ~= is.features then
    list[#list + 1] = not was.features and 'features of items, which it did not have'
      or is.features and 'other features of items' or 'no features of items'
  end
  if was.weights ~= is.weights then list[#list + 1] = 'other weights' end
  if #list > 0 then return table.concat(list, '; ') end
  return 'the same rows in another order, which numbers, split and batches depend on'
end

return fingerprint
