--- Scores of all items for users, and lists of the best: by the model's rank, by its tables, or
--- pair by pair where it has only a score.
local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'
local Ranker = require 'tinykg.nn.ranker'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'
local step = require 'tinykg.engine.step'
local tensor = require 'tinykg.engine.tensor'
local C = require 'tinykg.engine.lib'

local scoring = {}

local function check_count(name, t, n)
  if not t then runtime.fail('%s: returned nothing, expected %d scores', name, n) end
  if t:count() == n then return t end
  runtime.fail('%s: returned [%s], expected %d scores', name, table.concat(t:size(), ', '), n)
end

--- Logits of pairs. Errors: score did not return one per pair.
function scoring.pairs(model, prepared, users, items)
  return check_count('score', step.no_grad(model.score, model, users, items, prepared),
                     users:count())
end

--- Writes the logits of n pairs to `out`.
local function read_pairs(model, prepared, users, items, out)
  local scores = scoring.pairs(model, prepared, users, items)
  runtime.check(C.tkg_tensor_read(scores.kept, out, 0, scores:count()))
  scores:free()
end

-- ---- pairs at once ----

local CUT = 256 -- rows after which the engine cuts a product of matrices
local MOST = 2 ^ 22 -- bytes of values for which more pairs are scored at once than was asked for

--- Bytes of the model's largest parameter, which a step's gradients take as well.
local function largest(model)
  local bytes = 0
  for _, p in ipairs(model.parameters and model:parameters() or {}) do
    bytes = math.max(bytes, 4 * p:count())
  end
  return bytes
end

--- Pairs to score at once: `size`, or more where few take little memory, at most `items`. A score
--- has the same bits whatever this is, as long as it is a multiple of CUT.
local function pairs_at_once(model, prepared, items, size)
  size = math.max(CUT, size - size % CUT)
  local n = math.min(CUT, items)
  local ids = tensor.ids(arrays.ints(n), n)
  C.tkg_engine_trim(runtime.engine)
  local before = C.tkg_memory_live(runtime.engine, -1)
  scoring.pairs(model, prepared, ids, ids):free()
  local taken = math.max(1, C.tkg_memory_live(runtime.engine, -1) - before)
  ids:free()
  local fit = math.floor(math.min(MOST, largest(model)) / taken) * CUT
  return math.min(math.max(size, fit), math.ceil(items / CUT) * CUT)
end

--- Ids of users and items of pairs that are scored together, [n] each.
local function pair_of_ids(first, n)
  local items = arrays.ints(n)
  for i = 0, n - 1 do items[i] = first + i end
  return {first = first, n = n, ids = arrays.ints(n), items = tensor.ids(items, n)}
end

--- Returns a function that writes the scores of all items for some users by a model that scores
--- pairs, and one that frees its memory. Which pairs are computed together depends on the items
--- alone.
local function by_pairs(model, prepared, data, size)
  local blocks = {}
  for first = 0, data.items - 1, size do
    blocks[#blocks + 1] = pair_of_ids(first, math.min(size, data.items - first))
  end
  return function(users, count, out)
    for row = 0, count - 1 do
      for _, b in ipairs(blocks) do
        for i = 0, b.n - 1 do b.ids[i] = users[row] end
        local ids = tensor.ids(b.ids, b.n)
        read_pairs(model, prepared, ids, b.items, out + row * data.items + b.first)
        ids:free()
      end
    end
  end, function()
    for _, b in ipairs(blocks) do b.items:free() end
  end
end

local function at_once(model, prepared, data)
  return function(users, count, out)
    local ids = tensor.ids(users, count)
    local scores = check_count('rank', step.no_grad(model.rank, model, ids, prepared),
                               count * data.items)
    runtime.check(C.tkg_tensor_read(scores.kept, out, 0, scores:count()))
    scores:free()
    ids:free()
  end, function() end
end

--- Returns a function that scores all items for users ids[0 .. count - 1], at most `block` of them,
--- and one that frees its memory. The former returns floats [count, items], each time in the same
--- buffer.
---@param size integer pairs scored at once, at least ---@param fixed? boolean no more than that
function scoring.scorer(model, prepared, data, block, size, fixed)
  local out = arrays.floats(block * data.items)
  local write, free
  if model.rank then
    write, free = at_once(model, prepared, data)
  else
    size = fixed and size or pairs_at_once(model, prepared, data.items, size)
    write, free = by_pairs(model, prepared, data, size)
  end
  return function(ids, count)
    write(ids, count, out)
    return out
  end, free
end

-- ---- the best by the model's tables ----

--- Users that are ranked by their rows between two looks at Ctrl-C.
scoring.RANKED = 4096

--- The number of ranks that there are, or that are planned for.
local function rank_count()
  return math.max(ranks.size(), C.tkg_engine_planned_ranks(runtime.engine))
end

--- Users to rank by their rows at once: fewer where ranks share them, on the CPU, whose lists are
--- the same bits as long as blocks are whole.
---@param n integer users to rank ---@return integer
function scoring.ranked_at_once(n)
  local size = rank_count()
  if size == 1 or ffi.string(C.tkg_engine_device(runtime.engine)) ~= 'cpu' then
    return scoring.RANKED
  end
  local blocks = math.ceil(n / C.TKG_RANKED_USERS)
  return math.min(scoring.RANKED, C.TKG_RANKED_USERS * math.max(1, math.ceil(blocks / size)))
end

--- Pointers to the tensors of a list.
local function pointers_to(list)
  local out = ffi.new('const tkg_tensor *[?]', #list)
  for k, t in ipairs(list) do out[k - 1] = t.kept end
  return out
end

--- Whether the engine lists the best items by the model's tables: not those of a model whose rank
--- is its own, nor on a device that scores item by item.
local function ranks_by_rows(model)
  return model.ranked and model.rank == Ranker.rank and C.tkg_ranks(runtime.engine) ~= 0
end

--- Whether it does so by tables of which each rank has some columns: ranks then list together.
function scoring.ranks_divided(model)
  return rank_count() > 1 and ranks_by_rows(model)
    and ffi.string(C.tkg_engine_device(runtime.engine)) == 'cpu'
end

--- Returns a function that lists the best items for at most RANKED users as metrics.ranking's `top`
--- does; nil for a model whose rank is its own, and on a device that scores item by item.
---@param known? tinykg.Csr
function scoring.ranker(model, prepared, data, known)
  if not ranks_by_rows(model) then return nil end
  local users, items, nodes = model:ranked(prepared)
  local of_users, of_items = pointers_to(users), pointers_to(items)
  local row_of, rows = nodes and nodes:values(), ffi.new('int32_t[?]', scoring.RANKED)
  return function(ids, count, k, top, scores)
    for i = 0, count - 1 do rows[i] = row_of and row_of[ids[i]] or ids[i] end
    runtime.check(C.tkg_rank(runtime.engine, of_users, of_items, #users, data.items, rows, ids,
      count, known and known.offsets, known and known.items, k, top, scores))
  end
end

-- ---- the best of sampled items ----

--- Scores n pairs, `size` at once.
local function score_pairs(model, prepared, users, items, n, size, out)
  for first = 0, n - 1, size do
    local count = math.min(size, n - first)
    local a, b = tensor.ids(users + first, count), tensor.ids(items + first, count)
    read_pairs(model, prepared, a, b, out + first)
    a:free()
    b:free()
  end
end

--- Returns a function that lists the best of some items only, as metrics.ranking's `top` does.
---@param candidates fun(users: ffi.cdata*, count: integer): tinykg.Csr of each of these users, by
---  its place among them
function scoring.sampled(model, prepared, data, size, candidates)
  size = pairs_at_once(model, prepared, data.items, size)
  return function(ids, count, k, top, best)
    local csr = candidates(ids, count)
    local users, scores = arrays.ints(csr.n), arrays.floats(csr.n)
    for row = 0, count - 1 do
      for i = csr.offsets[row], csr.offsets[row + 1] - 1 do users[i] = ids[row] end
    end
    score_pairs(model, prepared, users, csr.items, csr.n, size, scores)
    for row = 0, count - 1 do
      local first, at = csr.offsets[row], row * k
      runtime.check(C.tkg_metrics_topk(scores + first, 1, csr:count(row), nil, nil, nil, k,
                                       top + at, best + at))
      for i = at, at + k - 1 do
        if top[i] >= 0 then top[i] = csr.items[first + top[i]] end
      end
    end
  end
end

return scoring
