--- Evaluation metrics. Ids of users and items are 0-based. Definitions and sources of the ranking
-- metrics: engine/data/metrics.h.

local ffi = require 'ffi'
local pointers = require 'tinykg.base.pointers'
local source_line = require 'tinykg.base.source_line'
local lib = require 'tinykg.engine.lib'
local ranks = require 'tinykg.engine.ranks'

local metrics = {}

--- Names of the ranking metrics, in the order of the engine's columns.
metrics.names = { 'recall', 'precision', 'hit', 'mrr', 'map', 'ndcg', 'ndcg_kgat', 'f1' }
assert(#metrics.names == lib.TKG_METRIC_COUNT, 'metrics: the engine has other metrics')

local floats = ffi.typeof('float[?]')
local int32s = ffi.typeof('int32_t[?]')
local doubles = ffi.typeof('double[?]')

local DEEPEST = 32

local function flatten(into, value, depth)
  if depth > DEEPEST then error('tables within tables without an end', 0) end
  for i = 1, #value do
    if type(value[i]) == 'table' then
      flatten(into, value[i], depth + 1)
    else
      into[#into + 1] = value[i]
    end
  end
  return into
end

-- A table of numbers, nested or not, of a Lua table or an object with totable; else nil.
local function numbers(value)
  local found, totable = pcall(function() return value.totable end)
  if found and totable then value = totable(value) end
  return type(value) == 'table' and flatten({}, value, 1) or nil
end

-- An FFI array of `new`'s element type and its length. Arrays of that type are not copied.
local function to_array(value, n, new, type_name, what)
  if n and n < 0 then error(('%s: length %d asked for'):format(what, n), 0) end
  local element, known = pointers.type(value)
  if element then
    n = n or known
    if not n then error(what .. ': a pointer needs its length', 0) end
    if known and n > known then
      error(('%s: length %d asked of an array of %d'):format(what, n, known), 0)
    end
    if element == type_name then return value, n end
    local copy = new(n)
    for i = 0, n - 1 do copy[i] = value[i] end
    return copy, n
  end
  local list = numbers(value)
  if not list then
    error(('%s: expected a table, an FFI array or a tensor, got %s'):format(what, type(value)), 0)
  end
  n = n or #list
  if n > #list then error(('%s: length %d asked of %d values'):format(what, n, #list), 0) end
  local copy = new(n)
  for i = 1, n do
    if type(list[i]) ~= 'number' then
      error(('%s: value %d is a %s, expected a number'):format(what, i, type(list[i])), 0)
    end
    copy[i - 1] = list[i]
  end
  return copy, n
end

local function check(status)
  if status ~= 0 then error(ffi.string(lib.tkg_error()), 0) end
end

-- Calls fn; its errors name the line that called the public function.
local function blaming_caller(fn, ...)
  local ok, result, extra = pcall(fn, ...)
  if not ok then error(type(result) == 'string' and source_line.message(result) or result, 0) end
  return result, extra
end

local function pairs_of(name, scores, labels, n)
  local s, n_scores = to_array(scores, n, floats, 'float', name .. ': scores')
  local l, n_labels = to_array(labels, n, floats, 'float', name .. ': labels')
  if n_scores ~= n_labels then
    error(('%s: %d scores but %d labels'):format(name, n_scores, n_labels), 0)
  end
  return s, l, n_scores
end

local function auc(scores, labels, n)
  local s, l, count = pairs_of('auc', scores, labels, n)
  local out = doubles(1)
  check(lib.tkg_metrics_auc(s, l, count, out))
  return out[0]
end

--- Area under the ROC curve; a tie between the classes counts one half. Any increasing function of
-- the score gives the same value, so logits and probabilities both do.
--
--   print(tk.metrics.auc({0.1, 0.8, 0.4}, {0, 1, 0}))      --> 1
---@param scores table|ffi.cdata* numbers: Lua table, float array, or an object with :totable()
---@param labels table|ffi.cdata* as many labels, 0 or 1
---@param n? integer how many, needed only for FFI pointers
---@return number auc in 0..1. Errors: NaN, or a class is absent
function metrics.auc(scores, labels, n)
  return (blaming_caller(auc, scores, labels, n))
end

-- True and false positives and negatives at a threshold.
local function confusion(name, scores, labels, threshold, n)
  local s, l, count = pairs_of(name, scores, labels, n)
  if count == 0 then error(name .. ': no scores', 0) end
  local tp, fp, fn, tn = 0, 0, 0, 0
  for i = 0, count - 1 do
    local score, label = s[i], l[i]
    if score ~= score then error(('%s: score at index %d is NaN'):format(name, i), 0) end
    if label ~= 0 and label ~= 1 then
      error(('%s: label at index %d is %g, expected 0 or 1'):format(name, i, label), 0)
    end
    if score >= threshold then
      if label == 1 then tp = tp + 1 else fp = fp + 1 end
    else
      if label == 1 then fn = fn + 1 else tn = tn + 1 end
    end
  end
  return { tp = tp, fp = fp, fn = fn, tn = tn, n = count }
end

--- F1 of the positive class: 2 tp / (2 tp + fp + fn); 0 if nothing is positive or predicted so.
-- KGCN and its relatives report it for probabilities (after the sigmoid) cut at 0.5.
---@param scores table|ffi.cdata* probabilities; a score at the threshold counts as positive
---@param labels table|ffi.cdata* as many labels, 0 or 1
---@param threshold? number 0.5; give 0 for logits
---@param n? integer how many, needed only for FFI pointers
---@return number f1
function metrics.f1(scores, labels, threshold, n)
  local c = blaming_caller(confusion, 'f1', scores, labels, threshold or 0.5, n)
  return c.tp == 0 and 0 or 2 * c.tp / (2 * c.tp + c.fp + c.fn)
end

--- Share of scores on their label's side of the threshold.
---@param scores table|ffi.cdata* probabilities; a score at the threshold counts as positive
---@param labels table|ffi.cdata* as many labels, 0 or 1
---@param threshold? number 0.5; give 0 for logits
---@param n? integer how many, needed only for FFI pointers
---@return number accuracy
function metrics.accuracy(scores, labels, threshold, n)
  local c = blaming_caller(confusion, 'accuracy', scores, labels, threshold or 0.5, n)
  return (c.tp + c.tn) / c.n
end

-- Offsets and items of a CSR by user as int32 arrays. Errors: offsets do not ascend from 0 or more,
-- items outside 0..n_items-1. `csr.n` is the number of users if offsets is a pointer.
local function to_csr(csr, n_items, what)
  if type(csr) ~= 'table' or csr.offsets == nil or csr.items == nil then
    error(what .. ': expected { offsets = , items = }', 0)
  end
  local offsets, length =
    to_array(csr.offsets, csr.n and csr.n + 1, int32s, 'int', what .. '.offsets')
  if length < 1 then error(what .. '.offsets: empty; n users need n + 1 offsets', 0) end
  local n_items_given = pointers.type(csr.items) and offsets[length - 1] or nil
  local items, n = to_array(csr.items, n_items_given, int32s, 'int', what .. '.items')
  if offsets[0] < 0 or offsets[length - 1] > n then
    error(('%s: offsets %d..%d, but %d items'):format(what, offsets[0], offsets[length - 1], n), 0)
  end
  for user = 0, length - 2 do
    if offsets[user + 1] < offsets[user] then
      error(('%s: offsets fall at user %d'):format(what, user), 0)
    end
    for i = offsets[user], offsets[user + 1] - 1 do
      if items[i] < 0 or items[i] >= n_items then
        error(('%s: item %d of user %d is out of range: there are %d items'):format(
          what, items[i], user, n_items), 0)
      end
    end
  end
  return { offsets = offsets, items = items, users = length - 1 }
end

-- The users with a test item, as an int32 array; the others are not scored.
local function users_to_rank(users, n, test, known)
  local kept, count = int32s(math.max(n, 1)), 0
  for i = 0, n - 1 do
    local user = users[i]
    if user < 0 or user >= test.users or (known and user >= known.users) then
      error(('ranking: user %d is out of range: test has %d users, known %s'):format(
        user, test.users, known and known.users or 'none'), 0)
    end
    if test.offsets[user + 1] > test.offsets[user] then
      kept[count], count = user, count + 1
    end
  end
  return kept, count
end

-- Ascending distinct cuts as an int32 array.
local function to_cuts(k)
  local sorted, cuts = {}, {}
  for i, value in ipairs(type(k) == 'table' and k or { k }) do
    if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 or value > 2 ^ 31 - 1 then
      error(('ranking: k is %s, expected whole numbers from 1'):format(tostring(value)), 0)
    end
    sorted[i] = value
  end
  if #sorted == 0 then error('ranking: k is empty', 0) end
  table.sort(sorted)
  for _, value in ipairs(sorted) do
    if value ~= cuts[#cuts] then cuts[#cuts + 1] = value end
  end
  return cuts, int32s(#cuts, cuts)
end

local function whole(value, default, what)
  value = value or default
  if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 then
    error(('%s is %s, expected a whole number from 1'):format(what, tostring(value)), 0)
  end
  return value
end

local function prepare(options)
  if type(options) ~= 'table' then
    error('ranking: expected a model and a data set, got ' .. type(options), 0)
  end
  local o = { score = options.score, top = options.top, each = options.each,
              together = options.together,
              progress = options.progress or function() end }
  if type(o.score or o.top) ~= 'function' then error('ranking: score must be a function', 0) end
  o.items = whole(options.items, nil, 'ranking: items')
  o.block = whole(options.block, 256, 'ranking: block')
  o.test = to_csr(options.test, o.items, 'ranking: test')
  o.known = options.known and to_csr(options.known, o.items, 'ranking: known')
  local users, n = to_array(options.users, options.n, int32s, 'int', 'ranking: users')
  o.users, o.n = users_to_rank(users, n, o.test, o.known)
  if o.n == 0 then error(('ranking: none of the %d users has a test item'):format(n), 0) end
  o.k, o.ks = to_cuts(options.k or { 10, 20 })
  return o
end

-- The best k_max items of users first .. first + count - 1 by `score`.
local function top_by_scores(o, first, count, k_max, top)
  local known = o.known or {}
  local scores = o.score(o.users, first, count)
  local element, length = pointers.type(scores)
  if element ~= 'float' or (length and length < count * o.items) then
    error(('ranking: score returned %s, expected a buffer of %d x %d floats'):format(
      element and tostring(ffi.typeof(scores)) or type(scores), count, o.items), 0)
  end
  check(lib.tkg_metrics_topk(scores, count, o.items, o.users + first, known.offsets, known.items,
    k_max, top, nil))
end

-- The metrics in an array of the engine, divided by `n`.
local function by_name(o, values, n)
  local result = {}
  for i, k in ipairs(o.k) do
    for j, name in ipairs(metrics.names) do
      result[name .. '@' .. k] = values[(i - 1) * #metrics.names + j - 1] / n
    end
  end
  return result
end

-- Tells o.each the metrics and the list of each user of a block.
local function tell_each(o, users, count, k_max, top)
  local values, counted = doubles(#o.k * #metrics.names), ffi.new('int64_t[1]')
  for r = 0, count - 1 do
    ffi.fill(values, ffi.sizeof(values))
    check(lib.tkg_metrics_ranking(top + r * k_max, 1, k_max, users + r, o.test.offsets,
      o.test.items, o.ks, #o.k, values, counted))
    o.each(users[r], by_name(o, values, 1), top + r * k_max)
  end
end

local LISTED = 2 ^ 23 -- entries of lists in memory at once, 64 MiB, or those of one block of users

-- Users of a block: those given, or fewer where `top` lists many items: a multiple of those that
-- the CPU ranks together, so that lists have the same bits.
local function users_at_once(o, k_max)
  if not o.top then return o.block end
  local together = lib.TKG_RANKED_USERS
  return math.min(o.block, together * math.max(1, math.floor(LISTED / k_max / together)))
end

local GATHERED = 2 ^ 20 -- entries of lists that a rank makes between two exchanges, about

-- How many blocks lie between two exchanges of ranks: 1 without others.
local function blocks_per_round(o, k_max)
  local size = ranks.size()
  return size == 1 and 1 or size * math.max(1, math.floor(GATHERED / (o.block * k_max)))
end

-- Lists the best items for the users of n blocks from user `first` on: each rank for a share of the
-- blocks, then they exchange the lists.
local function list_round(o, first, n, k_max, top, best)
  local function users_of(rank)
    local from, count = ranks.share_of(n, rank)
    local begin = math.min(first + from * o.block, o.n)
    return begin, math.min(first + (from + count) * o.block, o.n) - begin
  end
  local own, count = users_of()
  for i = 0, math.ceil(n / ranks.size()) - 1 do
    local at = own + i * o.block
    local some, place = math.min(o.block, own + count - at), top + (at - first) * k_max
    if o.together then
      o.top(o.users + at, math.max(0, some), k_max, place, best)
    elseif some <= 0 or ranks.must_stop() then
      break
    elseif o.top then
      o.top(o.users + at, some, k_max, place, best)
    else
      top_by_scores(o, at, some, k_max, place)
    end
  end
  ranks.agree_if_together()
  ranks.gather(top, function(rank)
    local begin, users = users_of(rank)
    return 4 * (begin - first) * k_max, 4 * users * k_max
  end)
end

-- Sums over all users, in their order, so that they are the same bits for any number of ranks.
-- `score` and `top` are called outside of any pcall, so that their errors keep their line.
local function sum_blocks(o)
  local k_max = math.min(o.k[#o.k], o.items) -- no list has more
  o.block = users_at_once(o, k_max)
  local blocks, round = math.ceil(o.n / o.block), blocks_per_round(o, k_max)
  local top = int32s(math.min(math.min(round, blocks) * o.block, o.n) * k_max)
  local best = o.top and floats(math.min(o.block, o.n) * k_max)
  local sums, counted = doubles(#o.k * #metrics.names), ffi.new('int64_t[1]')
  for block = 0, blocks - 1, round do
    local first, n = block * o.block, math.min(round, blocks - block)
    list_round(o, first, n, k_max, top, best)
    local count = math.min(n * o.block, o.n - first)
    check(lib.tkg_metrics_ranking(top, count, k_max, o.users + first, o.test.offsets, o.test.items,
      o.ks, #o.k, sums, counted))
    if o.each then tell_each(o, o.users + first, count, k_max, top) end
    o.progress(first + count, o.n)
  end
  return sums, tonumber(counted[0])
end

---@class tinykg.Csr items by user: those of user u are items[offsets[u] .. offsets[u + 1] - 1]
---@field offsets table|ffi.cdata* int32, one more than there are users
---@field items table|ffi.cdata* int32
---@field n? integer how many users, needed only if offsets is an FFI pointer

---@class tinykg.RankingOptions
---@field users table|ffi.cdata* int32 ids of the users to evaluate
---@field n? integer how many users, needed only for an FFI pointer
---@field items integer how many items, all of which are ranked
---@field score? fun(users: ffi.cdata*, first: integer, count: integer): ffi.cdata*
---@field top? fun(users: ffi.cdata*, count: integer, k: integer, top: ffi.cdata*, best: ffi.cdata*)
---  instead of score: writes the best k items, none of them known, and their scores
---@field together? boolean ranks call `top` together, one that has no users with none
---@field known? tinykg.Csr items that are never recommended: the train positives
---@field test tinykg.Csr what should have been recommended; each user's items ascend
---@field k? integer|integer[] cuts, {10, 20}
---@field block? integer users scored at a time, 256: the memory is block x items floats
---@field progress? fun(done: integer, total: integer) called after each block
---@field each? fun(user: integer, values: table<string, number>, top: ffi.cdata*) called for each
---  user that is counted, with its metrics and its list of the largest k, at most all items, padded
---  with -1

--- Full ranking of all items for each user, in blocks of users.
-- `score(users, first, count)` returns a buffer of count x items floats, row-major, the scores of
-- users[first] .. users[first + count - 1]. It may return the same buffer each time; known items in
-- it are overwritten with -inf. Users without a test item are neither scored nor counted. Equal
-- scores rank by lower item id. The result does not depend on block or threads.
--
-- `ndcg` has min(k, test items) hits in its ideal list (Järvelin and Kekäläinen 2002; KGIN's and
-- RecBole's). `ndcg_kgat` is KGAT's: the ideal list is made of the hits retrieved among the largest
-- k asked for. It is never lower and must not be compared with the former.
--
-- ranking(model, data, {k = {10, 20}, part = 'test'}) ranks all items but the known ones for every
-- user of a part of a data set. Instead of a model it takes a tensor of scores [users, items].
---@param options tinykg.RankingOptions|Module|Tensor
---@param data? tinykg.Data with a model or scores
---@param more? {k: integer|integer[], part: string, size: integer, progress: function}
---@return table result means: ['recall@10'], ['ndcg@10'], ...; `users` is how many were counted
function metrics.ranking(options, data, more)
  if data ~= nil then return require('tinykg.train.evaluate').ranking(options, data, more) end
  local o = blaming_caller(prepare, options)
  local sums, counted = sum_blocks(o)
  local result = by_name(o, sums, counted)
  result.users = counted
  return result
end

local function topk(options)
  local items = whole(options.items, nil, 'topk: items')
  local rows, k = whole(options.rows, 1, 'topk: rows'), whole(options.k, nil, 'topk: k')
  local users = options.users and to_array(options.users, rows, int32s, 'int', 'topk: users')
  local known = options.known and to_csr(options.known, items, 'topk: known')
  for r = 0, known and rows - 1 or -1 do
    local user = users and users[r] or r
    if user < 0 or user >= known.users then
      error(('topk: user %d is out of range: known has %d users'):format(user, known.users), 0)
    end
  end
  local scores = to_array(options.scores, rows * items, floats, 'float', 'topk: scores')
  local top, best = int32s(rows * k), floats(rows * k)
  check(lib.tkg_metrics_topk(scores, rows, items, users, known and known.offsets,
    known and known.items, k, top, best))
  return top, best
end

---@class tinykg.TopkOptions
---@field scores table|ffi.cdata* rows x items; a float array is masked in place
---@field items integer how many items
---@field rows? integer 1
---@field k integer how many to list
---@field users? table|ffi.cdata* user of each row, needed with `known`; default: row r is user r
---@field known? tinykg.Csr items to leave out

--- The k best items of each row, best first, equal scores by lower id.
---@param options tinykg.TopkOptions
---@return ffi.cdata* ids int32[rows * k], padded with -1
---@return ffi.cdata* scores float[rows * k], padded with -inf
function metrics.topk(options)
  local top, best = blaming_caller(topk, options)
  return top, best -- no tail call: the caller's line is counted by level
end

return metrics
