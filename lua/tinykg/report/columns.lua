--- A section's memory in three columns, an op-by-op FP32 program of the same ops, ours at 32 bits,
--- the run itself, each for what is kept for backward and for the peak of the whole run.
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'
local statistics = require 'tinykg.train.statistics'

local columns = {}

local PARTS = {op_by_op = 'by an op-by-op FP32 program of the same ops',
               bits_32 = 'by the same run at 32 bits', chosen = 'by this run'}

--- A cell per column: bytes of the three, and how many times less than the first the last is.
local function cells_of(group, key)
  local function mean(part)
    local stat = statistics.of_summary(group, 'columns', part, key)
    return stat and stat.mean
  end
  local function cell(text) return html.td{class = 'n', text or format.none} end
  local reference, exact, own = mean 'op_by_op', mean 'bits_32', mean 'chosen'
  return {cell(reference and format.bytes(reference)), cell(exact and format.bytes(exact)),
          cell(own and format.bytes(own)),
          cell(reference and own and own > 0 and format.times(reference / own))}
end

local function head_of(key, title)
  local function number(name, part)
    return html_table.number(key .. ', ' .. name, nil, title .. ', ' .. PARTS[part])
  end
  return {number('op-by-op', 'op_by_op'), number('32 bits', 'bits_32'), number('here', 'chosen'),
          html_table.number('less', nil, 'times less than the op-by-op program')}
end

--- Nothing where no run says so, as those of before. ---@param section ReportSection
function columns.render(section)
  local shown = tables.filter(section.groups, function(group)
    return statistics.of_summary(group, 'columns', 'op_by_op', 'peak')
  end)
  if #shown == 0 then return nil end
  local head = {html.th{''}, head_of('kept', 'kept for backward in a step'),
                head_of('peak', 'most memory that the whole run takes at once')}
  return {
    html.h3{'Memory beside an ordinary FP32 program'},
    html.p{class = 'quiet', 'Bytes kept for backward and the peak of the whole run: of a ' ..
      'program that runs the same ops one after the other in FP32, as PyTorch does, of the same ' ..
      'run at 32 bits, and of the run itself.'},
    html_table.of(head, tables.map(shown, function(group)
      return html.tr{html_table.name(group.label), cells_of(group, 'kept'),
                     cells_of(group, 'peak')}
    end))}
end

return columns
