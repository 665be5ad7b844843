--- Batches as tensors, for step functions.
local Ranker = require('tinykg.nn').Ranker
local arrays = require 'tinykg.engine.arrays'
local items_of_users = require 'tinykg.graph.items_of_users'
local batches = require 'tinykg.data.loader.batches'
local ops = require 'tinykg.engine.ops'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'
local show = require 'tinykg.data.look.show'
local step = require 'tinykg.engine.step'
local tensor = require 'tinykg.engine.tensor'

local loader = {}

--- Errors: more ids than int32 has.
local function count_of(name, n)
  if n < 0 or n >= 2 ^ 31 then runtime.fail('loader.%s: there cannot be %.0f ids', name, n) end
  return n
end

--- Tensors of one batch size, made once and refilled.
local function buffers(cache, n, labelled, weighted)
  local b = cache[n]
  if not b then
    b = show.batch{n = n, users = tensor.create(tensor.I32, {n}),
                   items = tensor.create(tensor.I32, {n}),
                   labels = labelled and tensor.create(tensor.F32, {n}) or nil,
                   weights = weighted and tensor.create(tensor.F32, {n}) or nil}
    cache[n] = b
  end
  return b
end

local function fill(b, raw)
  b.users:write(raw.users, 0, raw.n)
  b.items:write(raw.items, 0, raw.n)
  if b.labels then b.labels:write(raw.labels, 0, raw.n) end
  if b.weights then b.weights:write(raw.weights, 0, raw.n) end
  b.number = raw.number
  return b
end

--- Copies sampled ids over those of the last batch: a step whose data stay in the same places can
--- be replayed.
local function refill(old, drawn)
  return old and old:copy(drawn) or drawn
end

--- An iterator over one epoch of a part: {n, users, items [, labels] [, weights]} with int32 and
--- f32 tensors; weights, of a data set that has some, are shares of their mean over the epoch.
--- The tensors are refilled by the next batch.
---@param part {n: integer, users: ffi.cdata*, items: ffi.cdata*} rows of a data set
---@param options table as of loader/batches.lua
---@param sampler? fun(users: Tensor): Tensor samples negatives of each batch
---@param cache? table the tensors by batch size, for the next epoch to use again; {} at first
---@return fun(): table?, integer count
function loader.batches(part, options, sampler, cache)
  cache = cache or {}
  local iterate, count = batches.iterate(part, options)
  return function()
    local raw = iterate()
    if not raw then return nil end
    local batch = fill(buffers(cache, raw.n, raw.labels ~= nil, raw.weights ~= nil), raw)
    if sampler then
      batch.negatives = refill(batch.negatives, step.no_grad(sampler, batch.users))
    end
    return batch
  end, count
end

local OneTable = {__index = Ranker} -- a model whose users and items are nodes of one graph

--- Rows of a batch's users, items and sampled items out of one table of all nodes, gathered by one
--- op: see nn.Ranker's batch_embeddings.
---@param all Tensor [nodes, d]; item i is row i
---@param batch {users: Tensor, items: Tensor, negatives: Tensor?}
---@param user_nodes Tensor int32 [users]: the row of each user
---@return Tensor u [n, d], Tensor i [n, d], Tensor? j [n k, d]
function loader.rows(all, batch, user_nodes)
  return setmetatable({user_nodes = user_nodes}, OneTable):batch_embeddings(batch, all)
end

--- The rows of users in a table of all nodes, where they follow other nodes.
---@param users integer how many ---@param first integer the row of user 0
---@return Tensor int32 [users]
function loader.user_nodes(users, first)
  local ids = arrays.ints(count_of('user_nodes', users))
  for u = 0, users - 1 do ids[u] = first + u end
  return tensor.constant(tensor.I32, {users}, ids)
end

--- Until the next version: nn.Ranker for a class whose models have all() and `items`, a count.
local function scores_by_rows(model)
  model.batch_embeddings, model.score = Ranker.batch_embeddings, Ranker.score
  function model:node_embeddings() return self:all() end
  function model:rank(users, all)
    local counted = setmetatable({item_count = self.items}, {__index = self})
    return Ranker.rank(counted, users, all)
  end
end

--- A CSR of ids by user as tensors, for sampling negatives. ---@param csr table of data:known
---@param users integer ---@return {offsets: Tensor, items: Tensor}
local function known_of(csr, users)
  local function ids(array, n) return tensor.ids(array, n) end -- data, not part of a graph
  if users < 0 or users > csr.rows then
    runtime.fail('loader.sampler: %d users, but the lists are of %d', users, csr.rows)
  end
  return {offsets = ids(csr.offsets, users + 1), items = ids(csr.items, csr.n)}
end

--- Adds a table for sampling items by popularity ^ `power` (the alias method: Vose 1991).
---@param known table of known_of ---@param csr table of data:known
local function add_popularity(known, csr, items, power)
  local weight, sum = arrays.doubles(count_of('sampler', items)), 0
  for i = 0, csr.n - 1 do
    local item = csr.items[i]
    if item < 0 or item >= items then
      runtime.fail('loader.sampler: item %d, but there are %d', item, items)
    end
    weight[item] = weight[item] + 1
  end
  for i = 0, items - 1 do
    weight[i] = weight[i] ^ power
    sum = sum + weight[i]
  end
  local probability, alias = arrays.floats(items), arrays.ints(items)
  local small, large = {}, {}
  for i = 0, items - 1 do
    weight[i], alias[i] = weight[i] * items / sum, i
    local list = weight[i] < 1 and small or large
    list[#list + 1] = i
  end
  while #small > 0 and #large > 0 do
    local s, l = table.remove(small), large[#large]
    probability[s], alias[s] = weight[s], l
    weight[l] = weight[l] + weight[s] - 1
    if weight[l] < 1 then
      table.remove(large)
      small[#small + 1] = l
    end
  end
  for _, list in ipairs{small, large} do
    for _, i in ipairs(list) do probability[i] = 1 end
  end
  known.probability = tensor.constant(tensor.F32, {items}, probability)
  known.alias = tensor.constant(tensor.I32, {items}, alias)
end

--- The power of popularity that `by` stands for; nil: uniform. Errors: it is neither.
local function power_of(by)
  if by == nil or by == 'uniform' then return nil end
  if by == 'popularity' then return 1 end
  if type(by) == 'number' and by >= 0 and by < math.huge then return by end
  error(("negative sampling: '%s' is not uniform, popularity or a power of it from 0"):format(
    tostring(by)), 0)
end

--- Returns a function that samples `count` items per user that the user does not know. Inside a
--- step the step's plan samples anew in each run.
---@param data tinykg.Data ---@param count integer
---@param by? string|number 'uniform' (default), 'popularity', or a power of it, as 0.75
---@param model? table known items are read in a graph of the model that has them, not copied
---@return fun(users: Tensor): Tensor int32 [n, count]
function loader.sampler(data, count, by, model)
  local csr, power = data:known(), power_of(by)
  local in_graph = model and not power and items_of_users(model, csr)
  local known = not in_graph and known_of(csr, data.users)
  if power then add_popularity(known, csr, data.items, power) end
  return function(users)
    local a, from = tensor.attribute(), known or in_graph()
    a.i[0], a.i[2] = count, data.items
    if power then
      return tensor.record('sample_negatives', a, from.offsets, from.items, users,
                           from.probability, from.alias)
    end
    return tensor.record('sample_negatives', a, from.offsets, from.items, users)
  end
end

--- A batch as pairs with labels, in a step: those of labelled data as they are; without labels, its
--- interactions with label 1 and each user with the sampled items with label 0 and, where
--- interactions have weights, weight 1.
---@param batch {users: Tensor, items: Tensor, labels: Tensor?, negatives: Tensor?,
---  weights: Tensor?}
---@return {users: Tensor, items: Tensor, labels: Tensor, weights: Tensor?}
function loader.labelled(batch)
  if batch.labels then return batch end
  local n, users, items = batch.users:size(1), {batch.users}, {batch.items}
  for k = 1, batch.negatives:size(2) do
    users[k + 1], items[k + 1] = batch.users, batch.negatives:narrow(2, k, 1):reshape(-1)
  end
  local sampled = ops.full(0, n * (#users - 1))
  return {users = ops.cat(users), items = ops.cat(items),
          labels = ops.cat{ops.full(1, n), sampled},
          weights = batch.weights and ops.cat{batch.weights, ops.full(1, sampled:size(1))} or nil}
end

loader.item_triples = require 'tinykg.data.loader.item_triples'

--- All pairs of 0 .. n - 1 and 0 .. m - 1, int32 [n m]. Made once.
---@param n integer ---@param m integer
---@return Tensor rows 0, 0, ... 1, 1, ... ---@return Tensor columns 0, 1, ... 0, 1, ...
function loader.pairs(n, m)
  local made, key = runtime.cache.pairs or {}, n .. ' ' .. m
  runtime.cache.pairs = made
  if not made[key] then
    count_of('pairs', math.min(n, m))
    local count = count_of('pairs', n * m)
    local rows, cols = arrays.ints(count), arrays.ints(count)
    for i = 0, n * m - 1 do rows[i], cols[i] = math.floor(i / m), i % m end
    made[key] = {tensor.ids(rows, n * m), tensor.ids(cols, n * m)}
  end
  return unpack(made[key])
end

local AT_ONCE = 2 ^ 21 -- floats that rank_pairs makes

--- Scores of all items for each user by a function of pairs, for as many users at once as fit.
---@param users Tensor int32 [n] ---@param items integer how many
---@param floats integer numbers that score makes per pair
---@param score fun(users: Tensor, items: Tensor, row: Tensor): Tensor users int32 [m]; pair k,
---  of all m x items, is of users[row[k]] and items[k]; it returns [m items]
---@return Tensor [n, items]
function loader.rank_pairs(users, items, floats, score)
  local n, parts = users:size(1), {}
  local size = math.max(1, math.floor(AT_ONCE / (items * floats)))
  for first = 1, n, size do
    local part = users:rows(first, math.min(first + size - 1, n))
    local row, item = loader.pairs(part:size(1), items)
    parts[#parts + 1] = score(part, item, row)
  end
  return ops.cat(parts):reshape(n, -1)
end

--- The ids 0 .. n - 1. Made once: ids of each evaluation would wait for Lua's collector.
local function all_ids(n)
  local made = runtime.cache.all_ids or {}
  runtime.cache.all_ids = made
  made[n] = made[n] or tensor.ids(arrays.range(n), n)
  return made[n]
end

--- Rows of all ids 0 .. n - 1 by a function of ids, for as many at once as fit.
---@param n integer ---@param floats integer numbers that rows_of makes per id
---@param rows_of fun(ids: Tensor): Tensor of int32 [m], [m, d]
---@return Tensor [n, d]
function loader.all_rows(n, floats, rows_of)
  local parts, size = {}, math.max(1, math.floor(AT_ONCE / floats))
  local ids = all_ids(n)
  for first = 1, n, size do
    parts[#parts + 1] = rows_of(ids:rows(first, math.min(first + size - 1, n)))
  end
  return ops.cat(parts)
end

--- For each item, the distinct items that its users know in train, itself among them; for an item
--- that nobody knows, itself.
---@param data tinykg.Data ---@return tinykg.Csr a row per item, for graph:ripples
function loader.collaborators(data) return require('tinykg.data.loader.collaborators')(data) end

return renamed.add(loader, 'tk.loader.', {scores_by_rows = scores_by_rows})
