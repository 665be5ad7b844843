--- The planned memory of a run as text: a column per width; rows in all, by kind, by kept value.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local memory_columns = require 'tinykg.train.memory.columns'
local memory_plan = require 'tinykg.train.memory.plan'

local KINDS = {'parameter', 'gradient', 'optimizer', 'kept_exact', 'kept_quantized', 'transient',
               'graph', 'data'}
local MOST = 10 -- kept values in the list

--- A table in the making: add(label, cell) adds a row with cell(width) per planned width.
local function new_table(widths, title)
  local rows = {}
  local function add(label, cell)
    local row = tables.append({label}, tables.map(memory_plan.WIDTHS, function(bits)
      return widths[bits] and cell(widths[bits])
    end))
    rows[#rows + 1] = row
    return row
  end
  add(title, function(width) return format.count(width.bits, 'bit') end)
  return rows, add
end

--- What is kept for backward and the peak of the whole run, beside an op-by-op FP32 program.
---@param widths table<integer, WidthPlan> ---@param exact WidthPlan at 32 bits
---@return string
local function in_all(widths, exact)
  local plans = {exact}
  for _, bits in ipairs(memory_plan.WIDTHS) do
    if bits ~= 32 then plans[#plans + 1] = widths[bits] end
  end
  return memory_columns.of_plans(plans)
end

--- The memory of a training step by kind, without evaluations.
---@param widths table<integer, WidthPlan>
---@return string
local function by_kind(widths)
  local rows, add = new_table(widths, 'a training step at its peak')
  for _, kind in ipairs(KINDS) do
    add('  ' .. kind, function(width) return format.bytes(width.step[kind]) end)
  end
  add('  all at once', function(width) return format.bytes(width.step.peak) end)
  return format.table(rows)
end

--- Name of a kept value: phase, recipe line, op and shape. Equal names get a number, which in a
--- model with a loop over layers is that of the layer.
local function name_of(value, phase, seen)
  local name = ('  %s%s %s %s%s'):format(phase and phase .. ' ' or '', value.where or '-',
    value.op, table.concat(value.shape, 'x'), value.rule == 'mask' and ' sign' or '')
  seen[name] = (seen[name] or 0) + 1
  return seen[name] > 1 and name .. ' #' .. seen[name] or name
end

--- Kept values, the largest at `focus` bits first: {name, bytes by bits, rule at `focus` bits}.
local function values_of(widths, focus)
  local values, by_name = {}, {}
  for _, bits in ipairs(memory_plan.WIDTHS) do
    for _, phase in ipairs(widths[bits] and widths[bits].phases or {}) do
      local seen = {}
      for _, value in ipairs(phase.values) do
        local name = name_of(value, #widths[bits].phases > 1 and phase.name, seen)
        if value.kept_bytes > 0 then
          local known = by_name[name] or {name = name, bytes = {}, rule = '-', place = #values}
          if not by_name[name] then by_name[name], values[#values + 1] = known, known end
          known.bytes[bits] = value.kept_bytes
          if bits == focus then
            known.rule = value.rule == 'quantize' and 'INT' .. value.bits or value.rule
          end
        end
      end
    end
  end
  table.sort(values, function(a, b)
    local x, y = a.bytes[focus] or 0, b.bytes[focus] or 0
    if x ~= y then return x > y end
    return a.place < b.place
  end)
  return values
end

--- The kept values, the largest first.
---@param widths table<integer, WidthPlan>
---@param focus integer the bits whose rules are shown and whose bytes give the order
---@param all boolean all values, not only the ten largest
---@return string
local function by_value(widths, focus, all)
  local values, rest = values_of(widths, focus), {}
  local rows, add = new_table(widths, 'kept for backward, by line of the recipe')
  table.insert(rows[1], 'at ' .. focus)
  local last = #rows[1]
  for i, value in ipairs(values) do
    if all or i <= MOST then
      local row = add(value.name, function(width)
        return format.bytes(value.bytes[width.bits] or 0)
      end)
      row[last] = value.rule
    else
      for bits, bytes in pairs(value.bytes) do rest[bits] = (rest[bits] or 0) + bytes end
    end
  end
  if not all and #values > MOST then
    add(('  %d more (--all)'):format(#values - MOST), function(width)
      return format.bytes(rest[width.bits] or 0)
    end)
  end
  return format.table(rows, function(column) return column == 1 or column == last end)
end

--- What one of several ranks sends to the others in a step of each phase.
---@param exchanged table[] of phases.exchanged ---@return string
local function sent(exchanged)
  local rows = {{'a rank sends in a step', 'in all', 'layers', 'layers again', 'rows of batches',
                 'sums'}}
  for _, e in ipairs(exchanged) do
    rows[#rows + 1] = {'  ' .. e.phase, format.bytes(e.bytes), format.bytes(e.layers),
                       format.bytes(e.again), format.bytes(e.rows), format.bytes(e.sums)}
  end
  return format.table(rows)
end

return {in_all = in_all, by_kind = by_kind, by_value = by_value, sent = sent}
