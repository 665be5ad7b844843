-- tkg_rank against a sort of all scores: rows of small whole numbers, whose products are exact and
-- often equal.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local arrays = require 'tests.support.arrays'
local random_from = require('tests.support.reference_ops').random

local USERS, ITEMS, TABLE = 300, 2100, 320 -- several blocks of each, the last one smaller

--- A table of whole numbers of -3 to 3, and its tensor, which may have 16 bits.
local function whole_numbers(random, rows, cols, bits)
  local list = {}
  for r = 1, rows do
    list[r] = {}
    for c = 1, cols do list[r][c] = math.floor(random() * 7) - 3 end
  end
  return list, tk.parameter(tk.tensor(list), {bits = bits})
end

--- Ascending items of each user, none of some.
local function known_items(random, users)
  local lists = {}
  for u = 1, users do
    lists[u] = {}
    for item = 0, ITEMS - 1 do
      if u % 3 > 0 and random() < 0.05 then table.insert(lists[u], item) end
    end
  end
  return lists
end

local function scores_of(parts, row)
  local scores = {}
  for item = 1, ITEMS do
    local sum = 0
    for _, part in ipairs(parts) do
      for c, x in ipairs(part.users[row + 1]) do sum = sum + x * part.items[item][c] end
    end
    scores[item] = sum
  end
  return scores
end

--- The k best, best first, equal scores by lower id: lists of ids and scores.
local function sorted(scores, known, k)
  local out, ids = {}, {}
  for _, item in ipairs(known) do out[item] = true end
  for item = 0, ITEMS - 1 do
    if not out[item] then ids[#ids + 1] = item end
  end
  table.sort(ids, function(a, b)
    if scores[a + 1] ~= scores[b + 1] then return scores[a + 1] > scores[b + 1] end
    return a < b
  end)
  local best = {}
  for i = 1, k do best[i] = ids[i] and scores[ids[i] + 1] or -math.huge end
  for i = 1, k do ids[i] = ids[i] or -1 end
  return {unpack(ids, 1, k)}, best
end

--- Tensors of parts, rows, ids and known items as tkg_rank takes them.
local function rank(parts, rows, ids, known, k, n_items)
  local n, csr = #rows, known and arrays.csr(known)
  local a, b = ffi.new('const tkg_tensor *[?]', #parts), ffi.new('const tkg_tensor *[?]', #parts)
  for p, part in ipairs(parts) do
    a[p - 1], b[p - 1] = part.user_rows.kept, part.item_rows.kept
  end
  local top, best = ffi.new('int32_t[?]', n * k), ffi.new('float[?]', n * k)
  runtime.check(C.tkg_rank(runtime.engine, a, b, #parts, n_items or ITEMS,
    arrays.of('int32_t', rows), arrays.of('int32_t', ids), n, csr and csr.offsets,
    csr and csr.items, k, top, best))
  return top, best
end

local function model(bits)
  local random, parts = random_from(9), {}
  for p, cols in ipairs{5, 2, 130} do
    local part = {}
    part.users, part.user_rows = whole_numbers(random, TABLE, cols, bits)
    part.items, part.item_rows = whole_numbers(random, ITEMS + p, cols, bits)
    parts[p] = part
  end
  local rows, ids = {}, {}
  for u = 1, USERS do
    rows[u], ids[u] = math.floor(random() * TABLE), USERS - u
  end
  return parts, rows, ids, known_items(random, USERS)
end

local on_cpu = tk.device() == 'cpu' and it or pending

describe('ranking by products of rows', function()
  after_each(function() tk.threads(2) end)

  for _, k in ipairs{7, 100, 2090} do
    on_cpu('lists the best ' .. k .. ' that are not known, as a sort does', function()
      for _, bits in ipairs{32, 16} do
        local parts, rows, ids, known = model(bits)
        for _, threads in ipairs{1, 2} do
          tk.threads(threads)
          local top, best = rank(parts, rows, ids, known, k)
          for _, u in ipairs{1, 2, 128, 129, 256, USERS} do
            local of_user, scores = sorted(scores_of(parts, rows[u]), known[ids[u] + 1], k)
            for i = 1, k do
              local at = (u - 1) * k + i - 1
              assert.equal(of_user[i], top[at], ('user %d, place %d'):format(u, i))
              assert.equal(scores[i], best[at])
            end
          end
        end
      end
    end)
  end

  on_cpu('says which score is NaN, known or not, and what does not fit', function()
    local parts, rows, ids, known = model(32)
    local function message(...) return tostring(select(2, pcall(rank, ...))) end
    assert.matches('row 320 of a user: there are 320', message(parts, {0, 320}, {0, 1}, nil, 3))
    assert.matches('of 2200 items', message(parts, rows, ids, nil, 3, 2200), 1, true)
    known[3] = {1500, 4}
    assert.matches('known items of user 2 must ascend', message(parts, rows, ids, known, 3))
    known[3] = {4, ITEMS}
    assert.matches('known item 2100 of user 2 is out of range: 2100 items',
                   message(parts, rows, ids, known, 3))
    local bad = ffi.new('float[1]', 0 / 0)
    C.tkg_tensor_write(parts[2].item_rows.kept, bad, 2 * 1500, 1)
    for _, of_user in ipairs{{}, {1500}} do
      assert.matches('score at row 0 %(user 1%), column 1500 is NaN',
                     message(parts, {3}, {1}, {{}, of_user}, 3))
    end
  end)

  it('gives the metrics of a model as its scores do', function()
    local data = require('tests.support.odd_datasets').demo()
    local random = random_from(4)
    local Model = tk.nn.class('Model', tk.nn.Ranker)
    local _, users = whole_numbers(random, data.users, 6)
    local _, items = whole_numbers(random, data.items, 6)
    function Model.node_embeddings() return users, items end
    local scores = users:matmul(items, {transpose_b = true}):keep()
    for _, part in ipairs{'train', 'valid', 'test'} do
      assert.same(tk.metrics.ranking(scores, data, {part = part}),
                  tk.metrics.ranking(setmetatable({}, Model), data, {part = part}))
    end
  end)
end)
