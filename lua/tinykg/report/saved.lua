--- The values that steps keep for backward: compared with an op-by-op tape, by rule, and by line of
--- the recipe.
local tables = require 'tinykg.base.tables'
local bars = require 'tinykg.report.chart.bars'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'
local statistics = require 'tinykg.train.statistics'

local saved = {}

local RULES = {
  {'exact', 'c2', 'kept as it is'},
  {'quantize', 'c1', 'kept in few bits'},
  {'mask', 'c3', 'one bit per element, such as a sign'},
  {'recompute', 'c5', 'computed again in backward'},
  {'resident', 'c8', 'a parameter, an input or the graph: there anyway'},
}

local MOST_LINES = 12

-- ---- figures ----

--- Sums of a phase's values: {rule = {count, exact, kept}}, in bytes.
local function by_rule(phase)
  local sums = {}
  for _, value in ipairs(phase.values) do
    local rule = tostring(value.rule)
    local sum = sums[rule] or {count = 0, exact = 0, kept = 0}
    sum.count = sum.count + 1
    sum.exact = sum.exact + (tonumber(value.exact_bytes) or 0)
    sum.kept = sum.kept + (tonumber(value.kept_bytes) or 0)
    sums[rule] = sum
  end
  return sums
end

--- Phases of a picture (memory.pictures): {name, reference_bytes, stored_bytes, values?}, from
--- kept.json or, without, from the summary.
local function phases_of(picture)
  if picture.kept and #picture.kept.phases > 0 then return picture.kept.phases end
  local summary, phases = picture.run.summary and picture.run.summary.kept or {}, {}
  local by_name = type(summary.phases) == 'table' and summary.phases or {}
  for i, name in ipairs(tables.sorted_keys(by_name)) do
    phases[i] = {name = name, reference_bytes = by_name[name].reference_bytes,
                 stored_bytes = by_name[name].stored_bytes}
  end
  if #phases == 0 and summary.stored_bytes then phases[1] = summary end
  return phases
end

--- A row per picture and phase: {label, phase, reference, stored}.
local function rows_of(pictures)
  local rows = {}
  for _, picture in ipairs(pictures) do
    local phases = phases_of(picture)
    for _, phase in ipairs(phases) do
      local label = picture.label
      if #phases > 1 then label = label .. ': ' .. tostring(phase.name) end
      rows[#rows + 1] = {label = label, phase = phase, picture = picture,
                         reference = statistics.number(phase, 'reference_bytes') or 0,
                         stored = statistics.number(phase, 'stored_bytes') or 0}
    end
  end
  return rows
end

-- ---- charts ----

local function compared(row)
  local text = format.bytes(row.stored) .. ' of ' .. format.bytes(row.reference)
  if row.stored > 0 and row.reference > 0 then
    text = text .. ', ' .. format.times(row.reference / row.stored) .. ' less'
  end
  return text
end

local function reference_chart(rows)
  local list = tables.map(rows, function(row)
    return {label = row.label, outline = row.reference, text = compared(row),
            title = 'op-by-op FP32: ' .. format.bytes(row.reference),
            segments = {{value = row.stored, class = 'c1',
                         title = 'kept: ' .. format.bytes(row.stored)}}}
  end)
  return {bars.legend{{class = 'c1', label = 'kept'},
                      {outline = true, label = 'kept by an op-by-op FP32 tape'}},
          bars.chart('kept for backward, beside an op-by-op FP32 tape', list)}
end

local function rule_chart(rows)
  local list, entries = {}, {}
  for _, row in ipairs(rows) do
    if row.phase.values then
      local sums, segments = by_rule(row.phase), {}
      for _, rule in ipairs(RULES) do
        local sum = sums[rule[1]]
        if sum and sum.kept > 0 then
          segments[#segments + 1] = {value = sum.kept, class = rule[2],
                                     title = rule[1] .. ': ' .. format.bytes(sum.kept)}
        end
      end
      list[#list + 1] = {label = row.label, segments = segments, text = format.bytes(row.stored)}
    end
  end
  if #list == 0 then return nil end
  for i = 1, 3 do entries[i] = {class = RULES[i][2], label = RULES[i][1] .. ': ' .. RULES[i][3]} end
  return {html.h3{'Kept for backward, by rule'}, bars.legend(entries),
          bars.chart('kept for backward, by rule', list)}
end

-- ---- tables ----

--- A bar of exact bytes with the kept bytes on it; `whole` is the longest bar of the table.
local function meter(exact, stored, whole)
  local function width(x) return ('width:%.1f%%'):format(100 * x / math.max(whole, 1)) end
  return html.td{html.div{class = 'meter', html.i{style = width(exact)},
                          html.b{style = width(stored)}}}
end

local function bytes_cell(n) return html.td{class = 'n', format.bytes(n)} end

local NUMBERS = {values = true, exact = true, kept = true, value = true}

local function heading(...)
  return tables.map({...}, function(name)
    return NUMBERS[name] and html_table.number(name) or html.th{name}
  end)
end

local function rule_table(phase)
  local sums, rows, whole = by_rule(phase), {}, 0
  for _, sum in pairs(sums) do whole = math.max(whole, sum.exact) end
  for _, rule in ipairs(RULES) do
    local sum = sums[rule[1]]
    if sum then
      rows[#rows + 1] = html.tr{
        html_table.name(rule[1]), html.td{rule[3]},
        html.td{class = 'n', sum.count}, bytes_cell(sum.exact), bytes_cell(sum.kept),
        meter(sum.exact, sum.kept, whole)}
    end
  end
  return html_table.of(heading('rule', 'what becomes of a value', 'values', 'exact', 'kept', ''),
                       rows)
end

--- Values that take memory, the largest first: {value, nth (of the values of its line), of, ...}.
local function costly(phase)
  local list, count = {}, {}
  for i, value in ipairs(phase.values) do
    local key = tostring(value.where) .. ' ' .. tostring(value.op)
    count[key] = (count[key] or 0) + 1
    list[i] = {value = value, nth = count[key], key = key, place = i,
               exact = tonumber(value.exact_bytes) or 0, kept = tonumber(value.kept_bytes) or 0}
  end
  local found = {}
  for _, entry in ipairs(list) do
    entry.of = count[entry.key]
    if entry.kept > 0 then found[#found + 1] = entry end
  end
  return tables.sort_largest(found, 'kept', 'place')
end

local function line_row(entry, whole)
  local value = entry.value
  local rule = tostring(value.rule)
  if rule == 'quantize' then rule = 'INT' .. tostring(value.bits) end
  return html.tr{
    html.td{html.code{value.where or format.none}}, html.td{tostring(value.op)},
    html.td{class = 'n', entry.of > 1 and ('%d of %d'):format(entry.nth, entry.of) or ''},
    html.td{format.shape(value.shape)}, html.td{rule}, bytes_cell(entry.exact),
    bytes_cell(entry.kept), meter(entry.exact, entry.kept, whole)}
end

local function rest_row(list, whole)
  local exact, stored = 0, 0
  for i = MOST_LINES + 1, #list do
    exact, stored = exact + list[i].exact, stored + list[i].kept
  end
  return html.tr{html.td{colspan = 5, ('the other %d'):format(#list - MOST_LINES)},
                 bytes_cell(exact), bytes_cell(stored), meter(0, 0, whole)}
end

local function line_table(phase)
  local list, rows, whole = costly(phase), {}, 0
  for i = 1, math.min(#list, MOST_LINES) do whole = math.max(whole, list[i].exact) end
  for i = 1, math.min(#list, MOST_LINES) do rows[i] = line_row(list[i], whole) end
  if #list > MOST_LINES then rows[#rows + 1] = rest_row(list, whole) end
  if #rows == 0 then return nil end
  return html_table.of(heading('line', 'op', 'value', 'shape', 'as', 'exact', 'kept', ''), rows)
end

local function phase_details(row, open)
  if not row.phase.values then return nil end
  return html.details{
    open = open, html.summary{row.label, html.span{class = 'quiet', ' \194\183 ', compared(row)}},
    rule_table(row.phase), line_table(row.phase)}
end

--- ---@param pictures table[] of memory.pictures
function saved.render(pictures)
  local rows = rows_of(pictures)
  if #rows == 0 then return nil end
  local details = tables.map(rows, function(row) return phase_details(row, #rows <= 2) end)
  local missing = tables.map(pictures, function(picture)
    return not picture.kept and picture.label or nil
  end)
  return {
    html.h3{'Kept for backward'}, reference_chart(rows), rule_chart(rows),
    #details > 0 and {
      html.h3{'Kept for backward, by line of the recipe'},
      html.p{class = 'quiet', 'What backward reads: bytes if it were kept exactly (grey) and as ' ..
        'it is kept (blue), the largest first. The n-th value of a line is usually that of ' ..
        'layer n. Exact bytes are of what this engine reads, fewer values than an op-by-op ' ..
        'tape keeps.'}},
    details,
    #missing > 0 and html.p{
      class = 'quiet', 'Rules and lines come from kept.json; there is none of ',
      #missing == #pictures and 'these runs' or format.list(missing), '.'},
  }
end

return saved
