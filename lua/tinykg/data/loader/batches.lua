--- Batches of interactions: slices of a random order, or users sampled with one positive each
-- (sampling.lua), copied into buffers made once. The engine samples the negatives of a ranking
-- loss.

local arrays = require 'tinykg.engine.arrays'
local close_word = require 'tinykg.base.arguments.close_word'
local sampling = require 'tinykg.data.loader.sampling'
local source_line = require 'tinykg.base.source_line'

local batches = {}

local STREAM = 0x42415431
local known_options = {
  size = true, shuffle = true, seed = true, epoch = true, split = true, task = true,
  drop_last = true, negatives = true, sampling = true, skip = true, draw = true,
}
local ASKED = {'size', 'negatives', 'sampling', 'split', 'shuffle', 'seed', 'epoch', 'drop_last',
               'draw'} -- those that a script may give

-- Positions of the rows with label 1, and how many there are.
local function positive_positions(part)
  local positions, n = arrays.ints(part.n), 0
  for i = 0, part.n - 1 do
    if part.labels[i] == 1 then
      positions[n] = i
      n = n + 1
    end
  end
  return positions, n
end

--- What the weights of the rows that batches take are multiplied with, so that their mean is 1.
---@param part table ---@param positions? ffi.cdata* of these rows; nil: all
---@param n number how many ---@return number
local function share_of_mean(part, positions, n)
  local sum = 0
  for i = 0, n - 1 do sum = sum + part.weights[positions and positions[i] or i] end
  return sum > 0 and n / sum or 0
end

-- Each row once, in an order that depends on seed and epoch.
local function interactions(part, options, labelled)
  local positions, n = nil, part.n
  if part.labels and not labelled then positions, n = positive_positions(part) end
  local order = options.shuffle ~= false
    and arrays.permutation(n, options.seed or 0, options.epoch or 0, STREAM) or nil
  local share = part.weights and share_of_mean(part, positions, n)
  return { n = n, size = math.min(options.size, n), fill = function(batch, first)
    for i = 0, batch.n - 1 do
      local at = order and order[first + i] or first + i
      if positions then at = positions[at] end
      batch.users[i], batch.items[i] = part.users[at], part.items[at]
      if batch.labels then batch.labels[i] = part.labels[at] end
      if share then batch.weights[i] = part.weights[at] * share end
    end
  end }
end

local function fail(message, ...)
  error(source_line.message(('batches: ' .. message):format(...)), 0)
end

-- Options that are whole numbers, and the largest of each: as many as a double and the engine have.
local WHOLE = { { 'seed', 2 ^ 53 }, { 'epoch', 2 ^ 32 - 1 }, { 'skip', 2 ^ 31 - 1 } }

local function check_whole(o)
  for _, one in ipairs(WHOLE) do
    local name, most = one[1], one[2]
    local value = o[name]
    if value ~= nil and not (type(value) == 'number' and value % 1 == 0 and value >= 0
                             and value <= most) then
      fail('%s %s: an integer from 0 to %.0f', name, tostring(value), most)
    end
  end
end

-- The options, checked and with their defaults.
local function completed(options)
  local o = {}
  for name, value in pairs(options) do
    if not known_options[name] then
      fail("no option '%s'%s", tostring(name), close_word.among(tostring(name), ASKED))
    end
    o[name] = value
  end
  check_whole(o)
  o.size, o.draw = o.size or 1024, o.draw or 'interactions'
  if type(o.size) ~= 'number' or o.size < 1 or o.size % 1 ~= 0 then
    fail('size %s: a positive integer', tostring(o.size))
  end
  if not sampling.KINDS[o.draw] then
    fail('draw %s: interactions, resampled, users or distinct_users', tostring(o.draw))
  end
  if o.draw ~= 'interactions' and o.shuffle == false then
    fail('draw=%s: positives are drawn, in no order that shuffle=false could keep', o.draw)
  end
  return o
end

--- The message for labelled rows that are to be sampled by users, who have only positives.
---@param draw string
---@return string
function batches.labelled(draw)
  return ('draw=%s: it draws a positive of each user, and these interactions have labels: take '
    .. 'draw=interactions, or rank them (task=ranking)'):format(draw)
end

--- An iterator over one epoch of batches: { n, users, items [, labels] [, weights], number }, the
-- arrays int32, int32, float32 and float32. Weights are shares of their mean over the epoch's rows.
-- Each call refills and returns the same table: copy what must stay. Errors: a
-- wrong option.
---@param part table rows: users, items, labels, weights
---@param options {size: number, shuffle: boolean?, seed: number?, epoch: number?, task: string?,
---  draw: string?, drop_last: boolean?, skip: integer?} shuffled unless shuffle is false; task
---  'ranking' takes only positives; draw: 'interactions' (each once), or 'resampled', 'users' or
---  'distinct_users' (loader/sampling.lua); skip: leaves out so many batches, to resume an epoch
---@return fun(): table?
---@return number count how many batches there are
function batches.iterate(part, options)
  local o = completed(options)
  local labelled = part.labels ~= nil and o.task ~= 'ranking'
  if labelled and o.draw ~= 'interactions' then
    fail('%s', batches.labelled(o.draw))
  end
  local source = (sampling[o.draw] or interactions)(part, o, labelled)
  local n, size = source.n, math.max(source.size, 1)
  local batch = { users = arrays.ints(size), items = arrays.ints(size), number = o.skip or 0,
    labels = labelled and arrays.floats(size) or nil,
    weights = part.weights and arrays.floats(size) or nil }
  local first, last = (o.skip or 0) * size, o.drop_last and n - n % size or n
  return function()
    if first >= last then return nil end
    batch.n = math.min(size, last - first)
    source.fill(batch, first)
    first, batch.number = first + batch.n, batch.number + 1
    return batch
  end, math.ceil(last / size)
end

return batches
