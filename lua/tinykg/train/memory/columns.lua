--- The memory of a run in columns: what an op-by-op FP32 program of the same ops takes, what ours
--- takes at 32 bits, and at the chosen width; of each what is kept for backward and the peak of the
--- whole run, evaluations included.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'

local columns = {}

---@class MemoryColumns
---@field op_by_op {kept: number, peak: number} bytes (engine/passes/fp32_peak.c)
---@field bits_32 {kept: number, peak: number}
---@field chosen {bits: integer, kept: number, peak: number}

--- What a run, or its plan, takes. ---@param run WidthPlan or the result of training, and its bits
local function ours(run)
  return {bits = run.bits, kept = run.kept.stored_bytes, peak = run.memory.peak}
end

--- The columns of a run. ---@param chosen WidthPlan or what training returned, with its bits
--- ---@param exact? WidthPlan of the same run at 32 bits; nil if that is the run itself
---@return MemoryColumns
function columns.of(chosen, exact)
  local at_32 = ours(exact or chosen)
  return {op_by_op = {kept = chosen.kept.reference_bytes, peak = chosen.reference_peak},
          bits_32 = {kept = at_32.kept, peak = at_32.peak}, chosen = ours(chosen)}
end

--- '23.7', or '-' where nothing is left.
local function times_less(reference, bytes)
  return bytes > 0 and ('%.1f'):format(reference / bytes) or '-'
end

--- The columns as text: op-by-op FP32, then a column per width, each with how many times less.
---@param op_by_op {kept: number, peak: number}
---@param widths {bits: integer, kept: number, peak: number}[]
---@return string
function columns.table(op_by_op, widths)
  local rows = {tables.append({'', 'op-by-op FP32'}, tables.map(widths, function(width)
    return format.count(width.bits, 'bit')
  end))}
  for _, row in ipairs{{'kept', 'kept for backward'}, {'peak', 'peak of the whole run'}} do
    local key, reference = row[1], op_by_op[row[1]]
    rows[#rows + 1] = tables.append({row[2], format.bytes(reference)},
      tables.map(widths, function(width) return format.bytes(width[key]) end))
    rows[#rows + 1] = tables.append({'  times less', ''}, tables.map(widths, function(width)
      return times_less(reference, width[key])
    end))
  end
  return format.table(rows)
end

--- The same of one run: op-by-op FP32, 32 bits, the chosen width. ---@param c MemoryColumns
---@return string
function columns.text(c)
  local widths = {{bits = 32, kept = c.bits_32.kept, peak = c.bits_32.peak}}
  local other = c.chosen.bits ~= 32 or c.chosen.peak ~= c.bits_32.peak -- a budget changes more
  if other then widths[2] = c.chosen end
  return columns.table(c.op_by_op, widths)
end

--- Plans of some widths as columns of a table, the most exact first. ---@param plans WidthPlan[]
---@return string
function columns.of_plans(plans)
  return columns.table({kept = plans[1].kept.reference_bytes, peak = plans[1].reference_peak},
                       tables.map(plans, ours))
end

return columns
