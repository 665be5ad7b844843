--- Bits for each saved value: for any limit of bytes, those that add the least variance to the
--- gradients. A value of n numbers in b bits adds about c n / (2^b - 1)^2 (engine/METHOD.md section
--- 4), where c is its sensitivity: the square of the range of its rows times the squared norm of
--- what is multiplied with it. Before anything has run, all rows have range 1, and c is the number
--- of times that backward reads the copy, where codes that are read as they are count twice, for
--- their noise is multiplied with itself. Sensitivities that were measured can be given instead.
---
--- A value is lowered one width at a time, next the one that adds the least variance per byte. This
--- order does not depend on the limit: what fits a larger one is a beginning of it.
local tables = require 'tinykg.base.tables'

local value_bits = {}

local function variance(bits) return bits < 32 and 1 / (2 ^ bits - 1) ^ 2 or 0 end

--- Adds up the rows of one value, which may be saved as a whole and by rows.
local function add(known, value)
  known.bytes = known.bytes + value.kept_bytes
  if value.rule ~= 'quantize' then return end
  known.bits, known.op, known.shape = value.bits, value.op, value.shape
  known.readers = math.max(known.readers, value.readers)
end

--- The saved values of a plan by phase and name, in order.
local function values_of(width)
  local list, by_key = {}, {}
  for _, phase in ipairs(width.phases) do
    for _, value in ipairs(phase.values) do
      local key = value.value and phase.name .. '\n' .. value.value
      if key and not by_key[key] then
        by_key[key] = {key = key, phase = phase.name, name = value.value, bytes = 0, bits = 32,
                       readers = 0}
        list[#list + 1] = by_key[key]
      end
      if key then add(by_key[key], value) end
    end
  end
  return list, by_key
end

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

--- The sensitivity of a value: the measured one, or the prior relative to their mean.
local function sensitivity(value, measured)
  local phase = measured and measured.values[value.phase]
  return phase and phase[value.name] or value.readers * (measured and measured.mean or 1)
end

--- The moves of one value from width to width, each with what it costs: `harm`, variance per byte.
local function moves_of(at, by_width, widths, measured)
  local list, harm = {}, 0
  for _, bits in ipairs(widths) do
    local to = by_width[bits][at.key]
    local saved = to and at.bytes - to.bytes or 0
    if to and to.bits < 32 and saved > 0 then
      local added = sensitivity(to, measured) * count(to.shape)
        * (variance(to.bits) - variance(at.bits))
      harm = math.max(harm, added / saved) -- no move of a value comes before the one before it
      list[#list + 1] = {key = at.key, value = to, bits = bits, harm = harm, added = added,
                         saved = saved}
      at = to
    end
  end
  return list
end

--- The moves of all values in the order of what they cost.
---@param widths table<integer, WidthPlan> plans at 32, 8, ... bits
---@param order integer[] these bits, the most exact first
---@param measured? {values: table<string, table<string, number>>, mean: number} sensitivities by
---  phase and value
---@return table[] moves {key, value, bits, harm, added, saved}
function value_bits.moves(widths, order, measured)
  local all, by_width = {}, {}
  for _, bits in ipairs(order) do by_width[bits] = select(2, values_of(widths[bits])) end
  for _, value in ipairs((values_of(widths[order[1]]))) do
    tables.append(all, moves_of(value, by_width, order, measured))
  end
  for i, move in ipairs(all) do move.place = i end
  table.sort(all, function(a, b)
    if a.harm ~= b.harm then return a.harm < b.harm end
    if a.bits ~= b.bits then return a.bits > b.bits end
    if a.saved ~= b.saved then return a.saved > b.saved end
    return a.place < b.place
  end)
  return all
end

--- The bits of values after some moves, for Step and config.json: the fewest are the run's bits,
--- the others stand by phase and value.
---@param moves table[] in order
---@return integer bits, table<string, table<string, integer>>? by_phase
function value_bits.after(moves, all)
  local bits_of, least = {}, 32
  for _, move in ipairs(all) do bits_of[move.key] = 32 end
  for _, move in ipairs(moves) do
    bits_of[move.key], least = move.bits, math.min(least, move.bits)
  end
  local by_phase
  for _, move in ipairs(all) do
    local bits, phase = bits_of[move.key], move.value.phase
    if bits ~= least then
      by_phase = by_phase or {}
      by_phase[phase] = by_phase[phase] or {}
      by_phase[phase][move.value.name] = bits
    end
  end
  return least, by_phase
end

return value_bits
