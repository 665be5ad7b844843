--- Lists of the best items for users, by the scores that evaluation ranks by. Users without
--- interactions in train get the most popular items. Somebody new who names items gets the mean
--- scores of the users most alike. Equal scores are in the order of item numbers.
local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local evaluate = require 'tinykg.train.evaluate'
local find = require 'tinykg.data.find'
local metrics = require 'tinykg.train.metrics'
local ranks = require 'tinykg.engine.ranks'
local rows = require 'tinykg.data.rows'
local runtime = require 'tinykg.engine.runtime'

local PEERS = 50 -- most alike users whose scores are averaged for somebody new

---@class Recommender
---@field known tinykg.Csr train and validation
---@field declined tinykg.Csr? pairs with label 0 of train and validation, unless they were drawn
local Recommender = {}
Recommender.__index = Recommender

--- The id of a name or number. Raises a message, with the caller's line, when there is none.
local function id_of(names, what, text)
  local id, message = find.id(names, what, text)
  if not id then runtime.fail('%s', message) end
  return id
end

--- Ids of a list of items (names or numbers).
local function items_of(data, list)
  return tables.map(list or {}, function(item) return id_of(data.names.items, 'item', item) end)
end

--- Ids of the items that no list has: those of `exclude`, and all that `only` lacks.
local function hidden_of(data, o)
  local hidden = items_of(data, o.exclude)
  if not o.only then return hidden end
  local wanted = {}
  for _, item in ipairs(items_of(data, o.only)) do wanted[item] = true end
  for item = 0, data.items - 1 do
    if not wanted[item] then hidden[#hidden + 1] = item end
  end
  return hidden
end

--- What likes stand for: items are themselves, an entity is the items that share a triple with it.
--- Errors: a name of neither, an entity without items.
---@param data tinykg.Data ---@param list (string|number)[] numbers are items
---@return integer[] liked all of these items ---@return integer[] named those that are named
local function likes_of(data, list)
  local liked, named, seen = {}, {}, {}
  local function add(item)
    if not seen[item] then liked[#liked + 1], seen[item] = item, true end
  end
  for _, text in ipairs(list) do
    local item = type(text) == 'number' and text or find.exact(data.names.items, text)
    local entity = not item and data.names.entities:id(text)
    if not item and not entity and #find.close(data.names.items, text) == 0
      and #find.close(data.names.entities, text) > 0 then
      id_of(data.names.entities, 'item or entity', text) -- its message has close ones
    elseif item or not entity then
      named[#named + 1] = id_of(data.names.items, 'item', text) -- or its message
      add(named[#named])
    end
    local before, g = #liked, data.graph
    for p = 0, entity and g.n - 1 or -1 do
      local other = g.heads[p] == entity and g.tails[p] or g.tails[p] == entity and g.heads[p]
      if other and other < data.items then add(other) end
    end
    if entity and #liked == before then
      runtime.fail("likes: no item shares a triple with '%s'", text)
    end
  end
  return liked, named
end

--- The pairs with label 0 of train and validation that users have themselves; nil: none.
---@param data tinykg.Data ---@return tinykg.Csr?
local function declined_of(data)
  if data.task ~= 'ctr' or data.drawn then return nil end
  local both = data.valid.n > 0 and rows.concat{data.train, data.valid} or data.train
  return rows.csr(rows.filter(both, function(i) return both.labels[i] == 0 end), data.users)
end

--- Makes a recommender; release() frees its memory.
---@param run OpenRun
---@param o? {k: integer, exclude: (string|number)[], only: (string|number)[], all: boolean} k: 20;
---  exclude: items not to list; only: no others; all: list items of train and validation too
---@return Recommender
local function new(run, o)
  o = o or {}
  local data = run.data
  local self = setmetatable({run = run, data = data, k = math.min(o.k or 20, data.items),
                             all = o.all, exclude = hidden_of(data, o),
                             known = evaluate.known(data, 'test'), trained = data:known(),
                             declined = declined_of(data),
                             held_out = data:positives('test')}, Recommender)
  self.order, self.evaluated = evaluate.order(data, self.held_out)
  self.place = arrays.ints(data.users)
  for p = 0, data.users - 1 do self.place[self.order[p]] = p end
  return self
end

--- The model's scores of all items for ids[0 .. n - 1]: floats [n, items], overwritten by the next
--- call.
function Recommender:scores(ids, n)
  if not self.score then
    self.score, self.free = evaluate.scorer(self.run.model, self.data)
  end
  return self.score(ids, n)
end

function Recommender:release()
  if self.free then self.free() end
  self.score, self.free = nil, nil
end

--- The block of users that evaluation scores together with a user: ids, how many, and the user's
--- place among them. A model that scores pairs scores the user alone.
local function block_with(self, user)
  if not self.run.model.rank then return ffi.new('int32_t[1]', user), 1, 0 end
  local place = self.place[user]
  local first, last = 0, self.evaluated
  if place >= self.evaluated then first, last = self.evaluated, self.data.users end
  local block = evaluate.block_of(self.data)
  first = first + math.floor((place - first) / block) * block
  return self.order + first, math.min(block, last - first), place - first
end

--- The scores of all items for a user, the same bits as in evaluation.
---@return ffi.cdata* floats [items], overwritten by the next call
function Recommender:row(user)
  local ids, n, at = block_with(self, user)
  if self.first ~= ids[0] or n == 1 or not self.score then
    self.block, self.first = self:scores(ids, n), ids[0]
  end
  self.one = self.one or ffi.new('float[?]', self.data.items)
  ffi.copy(self.one, self.block + at * self.data.items, 4 * self.data.items)
  return self.one
end

local function contains(csr, user, item)
  for p = csr.offsets[user], csr.offsets[user + 1] - 1 do
    if csr.items[p] == item then return true end
  end
  return false
end

--- The part of the data in which a user took an item: 'train', 'valid', 'test' or nil.
function Recommender:taken(user, item)
  if contains(self.trained, user, item) then return 'train' end
  if contains(self.known, user, item) then return 'valid' end
  return contains(self.held_out, user, item) and 'test' or nil
end

--- Whether an item is on no list of a user, who has it in train or validation, whatever its label.
function Recommender:has(user, item)
  return contains(self.known, user, item)
    or self.declined ~= nil and contains(self.declined, user, item)
end

--- What is said of an item in a list of a user: where they took it, or had it with label 0.
local function mark_of(self, user, item)
  local declined = self.declined and contains(self.declined, user, item)
  return self:taken(user, item) or declined and 'label 0' or nil
end

--- How many of some items are on no list of a user, who has them. ---@param items (string|number)[]
function Recommender:count_hidden(user, items)
  return self.all and 0 or #tables.filter(items_of(self.data, items), function(item)
    return self:has(user, item)
  end)
end

--- The best items of a row of scores: FFI arrays [k] of ids, -1 behind the last, and of scores.
--- Masks the row in place. ---@param user integer? ---@param likes integer[]?
local function best_of(self, scores, user, likes)
  for _, hidden in ipairs{self.exclude, likes or {}} do
    for _, item in ipairs(hidden) do scores[item] = -math.huge end
  end
  for _, own in ipairs(user and not self.all and {self.known, self.declined} or {}) do
    for p = own.offsets[user], own.offsets[user + 1] - 1 do scores[own.items[p]] = -math.huge end
  end
  return metrics.topk{scores = scores, items = self.data.items, k = self.k}
end

--- A list of {id, score, taken} from arrays of k ids and scores.
local function listed(self, ids, scores, user)
  local list = {}
  for i = 0, self.k - 1 do
    if ids[i] < 0 then break end
    list[i + 1] = {id = ids[i], score = scores[i], taken = user and mark_of(self, user, ids[i])}
  end
  return list
end

--- A new array of how many users took each item in train: floats [items].
local function popularity(self)
  local items = self.data.items
  if not self.counts then
    self.counts = ffi.new('float[?]', items)
    for p = 0, self.trained.n - 1 do
      local item = self.trained.items[p]
      self.counts[item] = self.counts[item] + 1
    end
  end
  local copy = ffi.new('float[?]', items)
  ffi.copy(copy, self.counts, 4 * items)
  return copy
end

--- Whether a user took nothing in train, so that the list is by popularity.
function Recommender:is_cold(user)
  return self.trained.offsets[user] == self.trained.offsets[user + 1]
end

local function best_for(self, user)
  return best_of(self, self:is_cold(user) and popularity(self) or self:row(user), user)
end

--- The list of a user, the best first: {id, score, taken} each.
function Recommender:list(user)
  local ids, scores = best_for(self, user)
  return listed(self, ids, scores, user)
end

--- Lists of many users, ids[0 .. n - 1], scored in evaluation's blocks; ranks share the users.
--- Takes memory for k ids and scores per user.
---@param ids ffi.cdata* int32 ---@param progress? fun(done: integer, n: integer)
---@return fun(i: integer): table list of ids[i]
function Recommender:lists(ids, n, progress)
  local keys, k = arrays.doubles(n), self.k
  for i = 0, n - 1 do keys[i] = self.place[ids[i]] end
  local order, at_of = arrays.argsort(n, keys), arrays.ints(n)
  local top, best = arrays.ints(n * k), arrays.floats(n * k)
  local first, count = ranks.share_of(n)
  for at = first, first + count - 1 do
    local items, scores = best_for(self, ids[order[at]])
    ffi.copy(top + at * k, items, 4 * k)
    ffi.copy(best + at * k, scores, 4 * k)
    local done = at - first + 1
    if progress and done % 64 == 0 then progress(math.floor(done * n / count), n) end
  end
  for _, list in ipairs{top, best} do
    ranks.gather(list, function(rank)
      local from, some = ranks.share_of(n, rank)
      return 4 * k * from, 4 * k * some
    end)
  end
  for at = 0, n - 1 do at_of[order[at]] = at end
  return function(i) return listed(self, top + at_of[i] * k, best + at_of[i] * k, ids[i]) end
end

--- The users whose items of train are most like a list, by the cosine of the two sets (items
--- shared / sqrt(items of one x items of the other)), the most alike first: {id, alike} each.
local function peers_of(self, likes)
  local wanted, count, found = {}, 0, {}
  for _, item in ipairs(likes) do
    count = count + (wanted[item] and 0 or 1)
    wanted[item] = true
  end
  for user = 0, self.data.users - 1 do
    local first, last, shared = self.trained.offsets[user], self.trained.offsets[user + 1] - 1, 0
    for p = first, last do
      if wanted[self.trained.items[p]] then shared = shared + 1 end
    end
    if shared > 0 then
      found[#found + 1] = {id = user, alike = shared / math.sqrt(count * (last - first + 1))}
    end
  end
  return tables.sort_largest(found, 'alike', 'id')
end

--- The list of somebody who took nothing in train and likes some items (ids), by the mean of the
--- model's scores for the users most alike, weighted by their likeness; by popularity if there are
--- none.
---@param likes integer[] ---@param hidden? integer[] items that are not listed, `likes`
---@param user? integer one of the data who took nothing in train
---@return table list, string by 'alike' or 'popularity' ---@return integer peers
function Recommender:newcomer(likes, hidden, user)
  local peers, items = peers_of(self, likes), self.data.items
  local n, sum, mean = math.min(#peers, PEERS), 0, popularity(self)
  for i = 1, n do sum = sum + peers[i].alike end
  if n > 0 then ffi.fill(mean, 4 * items) end
  for i = 1, n do
    local scores = self:scores(ffi.new('int32_t[1]', peers[i].id), 1)
    for item = 0, items - 1 do mean[item] = mean[item] + peers[i].alike / sum * scores[item] end
  end
  local ids, scores = best_of(self, mean, user, hidden or likes)
  return listed(self, ids, scores, user), n > 0 and 'alike' or 'popularity', n
end

--- Sets of each entry of a list its rank, from 1, its item (the data set's own name), its title,
--- where the data set has one, and its name as it is shown, which is both.
---@param names tinykg.Names of the items
local function describe(names, list)
  for rank, one in ipairs(list) do
    one.rank, one.item = rank, names:name(one.id)
    one.title, one.name = names.titles and names.titles[one.id], names:label(one.id)
  end
end

return {new = new, describe = describe, items_of = items_of, likes_of = likes_of, id_of = id_of}
