--- Batches of interactions: an order drawn by the engine, cut into pieces that are copied into
-- buffers made once. Negatives of a ranking loss are drawn by the engine, not here.

local columns = require 'tinykg.columns'

local batches = {}

local STREAM = 0x42415431
local known_options = {
  size = true, shuffle = true, seed = true, epoch = true, split = true, task = true,
  drop_last = true, negatives = true, sampling = true, skip = true,
}

-- Positions of the rows that take part: all of them (nil), or those with label 1.
local function positive_positions(part)
  local positions, n = columns.ints(part.n), 0
  for i = 0, part.n - 1 do
    if part.labels[i] == 1 then
      positions[n] = i
      n = n + 1
    end
  end
  return positions, n
end

local function gather(batch, part, order, positions, first)
  for i = 0, batch.n - 1 do
    local at = order and order[first + i] or first + i
    if positions then at = positions[at] end
    batch.users[i], batch.items[i] = part.users[at], part.items[at]
    if batch.labels then batch.labels[i] = part.labels[at] end
  end
end

--- An iterator over one epoch of batches: { n, users, items [, labels], number }, the arrays int32,
-- int32 and float32. Each call gives the same table and arrays again: copy what must stay.
---@param part table rows: users, items, labels
---@param options {size: number, shuffle: boolean?, seed: number?, epoch: number?, task: string?,
--- drop_last: boolean?, skip: integer?} shuffled unless shuffle is false; task 'ranking' takes only
--- positives; skip: so many batches are left out, where an epoch goes on
---@return fun(): table?
---@return number count how many batches there are
function batches.iterate(part, options)
  for name in pairs(options) do
    if not known_options[name] then error(("batches: no option '%s'"):format(name), 3) end
  end
  local size = options.size or 1024
  if type(size) ~= 'number' or size < 1 or size % 1 ~= 0 then
    error(('batches: size %s: a positive integer'):format(tostring(size)), 3)
  end
  local positions, n = nil, part.n
  local labelled = part.labels and options.task ~= 'ranking'
  if part.labels and not labelled then positions, n = positive_positions(part) end
  local order = options.shuffle ~= false
    and columns.permutation(n, options.seed or 0, options.epoch or 0, STREAM) or nil
  size = math.max(math.min(size, n), 1)
  local batch = {
    users = columns.ints(size),
    items = columns.ints(size),
    labels = labelled and columns.floats(size) or nil,
    number = options.skip or 0,
  }
  local first, last = (options.skip or 0) * size, options.drop_last and n - n % size or n
  return function()
    if first >= last then return nil end
    batch.n = math.min(size, last - first)
    gather(batch, part, order, positions, first)
    first, batch.number = first + batch.n, batch.number + 1
    return batch
  end, math.ceil(last / size)
end

return batches
