--- The planned memory of a run as text: a column per width; rows by kind, then by kept value.
local memory_plan = require 'tinykg.train.memory_plan'
local format = require 'tinykg.base.format'

local KINDS = {'parameter', 'gradient', 'optimizer', 'kept_exact', 'kept_quantized', 'transient',
               'graph', 'data'}
local LABEL = 46 -- characters of a row's name
local MOST = 10 -- kept values in the list

local function row(label, widths, cell)
  local parts = {label .. (' '):rep(LABEL - #label)}
  for _, bits in ipairs(memory_plan.WIDTHS) do
    if widths[bits] then parts[#parts + 1] = string.format(' %10s', cell(widths[bits])) end
  end
  return table.concat(parts)
end

local function heading(text, widths)
  return row(text, widths, function(width) return format.count(width.bits, 'bit') end)
end

-- ---- by kind ----

local function add_kept(widths, lines)
  lines[#lines + 1] = row('kept for backward', widths, function(width)
    return format.bytes(width.kept.stored_bytes)
  end)
  lines[#lines + 1] = row('times less than an op-by-op FP32 tape', widths, function(width)
    local stored = width.kept.stored_bytes
    return stored > 0 and string.format('%.1f', width.kept.reference_bytes / stored) or '-'
  end)
end

--- The memory of a step by kind, and its peak without and with evaluations.
---@param widths table<integer, WidthPlan>
---@return string
local function by_kind(widths)
  local lines = {heading('a training step at its peak', widths)}
  for _, kind in ipairs(KINDS) do
    lines[#lines + 1] = row('  ' .. kind, widths, function(width)
      return format.bytes(width.step[kind])
    end)
  end
  lines[#lines + 1] = row('  all at once', widths, function(width)
    return format.bytes(width.step.peak)
  end)
  lines[#lines + 1] = row('the whole run, evaluations included', widths, function(width)
    return format.bytes(width.memory.peak)
  end)
  add_kept(widths, lines)
  return table.concat(lines, '\n')
end

-- ---- by value ----

--- Name of a kept value: phase, recipe line, op and shape. Equal names get a number, which in a
--- model with a loop over layers is that of the layer.
local function name_of(value, phase, seen)
  local name = string.format('  %s%s %s %s%s', phase and phase .. ' ' or '', value.where or '-',
    value.op, table.concat(value.shape, 'x'), value.rule == 'mask' and ' sign' or '')
  seen[name] = (seen[name] or 0) + 1
  return seen[name] > 1 and name .. ' #' .. seen[name] or name
end

--- Rows of kept values, the largest first: name, bytes by bits, and the rule at `focus` bits.
local function values_of(widths, focus)
  local rows, by_name = {}, {}
  for _, bits in ipairs(memory_plan.WIDTHS) do
    for _, phase in ipairs(widths[bits] and widths[bits].phases or {}) do
      local seen = {}
      for _, value in ipairs(phase.values) do
        local name = name_of(value, #widths[bits].phases > 1 and phase.name, seen)
        if value.kept_bytes > 0 then
          local known = by_name[name] or {name = name, bytes = {}}
          if not by_name[name] then by_name[name], rows[#rows + 1] = known, known end
          known.bytes[bits] = value.kept_bytes
          if bits == focus then
            known.rule = value.rule == 'quantize' and 'INT' .. value.bits or value.rule
          end
        end
      end
    end
  end
  for i, r in ipairs(rows) do r.place = i end
  table.sort(rows, function(a, b)
    local x, y = a.bytes[focus] or 0, b.bytes[focus] or 0
    if x ~= y then return x > y end
    return a.place < b.place
  end)
  return rows
end

--- The kept values, the largest first.
---@param widths table<integer, WidthPlan>
---@param focus integer the bits whose rules are shown and whose bytes give the order
---@param all boolean all values, not only the ten largest
---@return string
local function by_value(widths, focus, all)
  local rows = values_of(widths, focus)
  local lines, rest = {heading('kept for backward, by line of the recipe', widths)
                       .. string.format('  at %d', focus)}, {}
  for i, r in ipairs(rows) do
    if all or i <= MOST then
      lines[#lines + 1] = row(r.name, widths, function(width)
        return format.bytes(r.bytes[width.bits] or 0)
      end) .. '  ' .. (r.rule or '-')
    else
      for bits, bytes in pairs(r.bytes) do rest[bits] = (rest[bits] or 0) + bytes end
    end
  end
  if not all and #rows > MOST then
    lines[#lines + 1] = row(string.format('  %d more (--all)', #rows - MOST), widths,
                            function(width) return format.bytes(rest[width.bits] or 0) end)
  end
  return table.concat(lines, '\n')
end

return {by_kind = by_kind, by_value = by_value}
