--- Sampled batches: users first, then a positive of each. A sample depends on seed, epoch and place
-- alone, so that an epoch can be resumed anywhere.

local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arrays = require 'tinykg.engine.arrays'
local rows = require 'tinykg.data.rows'

local sampling = {}

--- The values of option `draw`.
sampling.KINDS = { interactions = true, resampled = true, users = true, distinct_users = true }

local STREAM = 0x44524157
local words = ffi.new 'uint32_t[4]'

-- Computes the Philox words of a place: words[0] chooses the user, words[2] the positive.
local function draw_words(options, place)
  C.tkg_philox(options.seed or 0, place, options.epoch or 0, STREAM, words)
end

-- A number of 0 .. n - 1, each within 2^-32 of equally likely.
local function below(word, n) return math.floor(word / 4294967296 * n) end

-- Weights of rows in the order of a CSR, divided by their mean.
local function shares_of_mean(weights, csr)
  local shares, sum = arrays.floats(csr.n), 0
  for i = 0, csr.n - 1 do sum = sum + weights[i] end
  for p = 0, csr.n - 1 do
    shares[p] = sum > 0 and weights[csr.order[p]] * csr.n / sum or 0
  end
  return shares
end

local found = setmetatable({}, { __mode = 'k' })

-- The positives of a part by user: { n, users with any, count of these, owners: the user of each
-- positive, offsets, items [, weights, as shares of their mean] }. Made once.
local function taken(part)
  if found[part] then return found[part] end
  local positives, most = rows.positives(part), 0
  for i = 0, positives.n - 1 do most = math.max(most, positives.users[i] + 1) end
  local csr = rows.csr(positives, most)
  local users, count = arrays.filled_rows(csr.offsets, most)
  found[part] = { n = csr.n, users = users, count = count, owners = positives.users,
    offsets = csr.offsets, items = csr.items,
    weights = positives.weights and shares_of_mean(positives.weights, csr) }
  return found[part]
end

-- Writes a user, and the positive that the words choose, to row i of a batch.
local function put(batch, i, of, user)
  local first = of.offsets[user]
  local at = first + below(words[2], of.offsets[user + 1] - first)
  batch.users[i], batch.items[i] = user, of.items[at]
  if of.weights then batch.weights[i] = of.weights[at] end
end

--- Users sampled uniformly, with replacement; an epoch has as many rows as the part has positives
-- (LightGCN-PyTorch code/utils.py:72-92, without its rows without positives).
---@param part table rows of a data set
---@param options {size: number, seed: number?, epoch: number?}
---@return table source { n: rows of an epoch, size: of a batch, fill: fun(batch, first) }
function sampling.users(part, options)
  local of = taken(part)
  return { n = of.n, size = math.min(options.size, of.n), fill = function(batch, first)
    for i = 0, batch.n - 1 do
      draw_words(options, first + i)
      put(batch, i, of, of.users[below(words[0], of.count)])
    end
  end }
end

-- Samples distinct members of `order` (Fisher and Yates), writes them, and restores `order`:
-- batches do not depend on each other.
local function fill_distinct(batch, first, of, order, swapped, options)
  for i = 0, batch.n - 1 do
    draw_words(options, first + i)
    local j = i + below(words[0], of.count - i)
    order[i], order[j], swapped[i] = order[j], order[i], j
    put(batch, i, of, order[i])
  end
  for i = batch.n - 1, 0, -1 do order[i], order[swapped[i]] = order[swapped[i]], order[i] end
end

--- The user of each interaction once per epoch, in an order that depends on seed and epoch, with
-- any of that user's positives (KGCL-SIGIR22 code/dataloader.py:498-507).
---@param part table rows of a data set
---@param options {size: number, seed: number?, epoch: number?}
---@return table source as sampling.users
function sampling.resampled(part, options)
  local of = taken(part)
  local order = arrays.permutation(of.n, options.seed or 0, options.epoch or 0, STREAM)
  return { n = of.n, size = math.min(options.size, of.n), fill = function(batch, first)
    for i = 0, batch.n - 1 do
      draw_words(options, first + i)
      put(batch, i, of, of.owners[order[first + i]])
    end
  end }
end

--- No user twice in a batch; n // size + 1 full batches per epoch (KGAT-pytorch
-- data_loader/loader_base.py:99-114 and main_kgat.py:112; CKE: knowledge_graph_attention_network
-- Model/utility/load_data.py:97-131 and Model/Main.py:231). A batch of more users than there are is
-- sampled with replacement, as in both.
---@param part table rows of a data set
---@param options {size: number, seed: number?, epoch: number?}
---@return table source as sampling.users
function sampling.distinct_users(part, options)
  local of, size = taken(part), options.size
  local source = sampling.users(part, options)
  source.size, source.n = size, of.n > 0 and (math.floor(of.n / size) + 1) * size or 0
  if size > of.count then return source end
  local order, swapped = arrays.ints(of.count), arrays.ints(size)
  for i = 0, of.count - 1 do order[i] = of.users[i] end
  source.fill = function(batch, first) fill_distinct(batch, first, of, order, swapped, options) end
  return source
end

return sampling
