--- The comparison table of a section: a row per group with settings that differ, test metrics
--- (where no run has any, those of validation), memory and time.
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local groups = require 'tinykg.report.groups'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'
local significance = require 'tinykg.report.tests.significance'
local statistics = require 'tinykg.train.statistics'

local comparison = {}

-- ---- cells ----

--- A cell 'mean +- deviation' whose title has the number of runs.
local function cell(stat, show, class)
  if not stat then return html.td{class = 'n', format.none} end
  return html.td{
    class = class or 'n', title = stat.n > 1 and ('mean and standard deviation of %d runs')
      :format(stat.n), show(stat.mean),
    stat.sd and html.span{class = 'sd', ' \194\177 ', show(stat.sd)}}
end

--- A cell with the mean; its title has the deviation.
local function plain(stat, show)
  if not stat then return html.td{class = 'n', format.none} end
  return html.td{class = 'n', title = stat.sd and format.deviation(stat, show), show(stat.mean)}
end

local function times_less(group)
  local reference = statistics.of_summary(group, 'kept', 'reference_bytes')
  local stored = statistics.of_summary(group, 'kept', 'stored_bytes')
  local both = reference and stored and stored.mean > 0
  return html.td{class = 'n', both and format.times(reference.mean / stored.mean) or format.none}
end

--- The number of runs, and of finished ones where that is less.
local function runs_cell(group)
  local all = #group.finished == #group.runs
  local seeds = tables.map(group.runs, function(run) return format.setting(run.config.seed) end)
  return html.td{class = all and 'n' or 'n warn',
                 title = (#seeds == 1 and 'seed ' or 'seeds ') .. table.concat(seeds, ', '),
                 #group.finished, not all and ' of ' .. #group.runs}
end

local function epoch_cell(group)
  local stat = statistics.of_summary(group, 'best_epoch')
  return plain(stat, function(x) return ((stat.sd or 0) > 0 and '%.1f' or '%.0f'):format(x) end)
end

-- ---- the table ----

local function head(section, metrics)
  local cells, part = {html.th{'recipe'}}, statistics.part(section.groups)
  local function add(...) cells[#cells + 1] = html_table.number(...) end
  for _, column in ipairs(section.columns) do cells[#cells + 1] = html.th{column.name} end
  add('runs', nil, 'how many seeds')
  for _, name in ipairs(metrics) do
    add(statistics.named(part, name), nil, ('on the %s split%s'):format(part,
      statistics.judges(name) and '; higher is better' or ''))
  end
  add('best epoch')
  add('kept', nil, 'bytes kept for backward in a step')
  add('less', nil, 'times less than an op-by-op FP32 tape keeps for the same step')
  add('peak', nil, 'most memory that the run took at once')
  add('step', 'ms', 'median, of the first phase')
  add('epoch', 's', 'mean')
  return cells
end

local function add_metrics(cells, group, part, metrics, marks, index)
  for _, name in ipairs(metrics) do
    cells[#cells + 1] = cell(statistics.of_summary(group, part, name), format.metric,
                             marks[name][index] and 'n best')
  end
end

local function row(group, section, metrics, marks, index)
  local cells = {html_table.name(group.recipe)}
  for _, column in ipairs(section.columns) do
    cells[#cells + 1] = html.td{group.settings[column.key] or format.none}
  end
  cells[#cells + 1] = runs_cell(group)
  add_metrics(cells, group, statistics.part(section.groups), metrics, marks, index)
  local function mean(show, ...) return plain(groups.of_summary(group, ...), show) end
  return html.tr{
    cells, epoch_cell(group), mean(format.bytes, 'kept', 'stored_bytes'), times_less(group),
    mean(format.bytes, 'memory', 'peak'), mean(format.significant, 'time', 'step_ms'),
    mean(format.significant, 'time', 'epoch_s')}
end

--- By metric: the groups to mark, true by place.
---@param section ReportSection ---@param metrics string[]
---@return table<string, table<integer, boolean>>
function comparison.marks(section, metrics)
  local marks, part = {}, statistics.part(section.groups)
  for _, name in ipairs(metrics) do
    local stats = {}
    for i, group in ipairs(section.groups) do
      stats[i] = statistics.of_summary(group, part, name)
    end
    marks[name] = statistics.judges(name) and statistics.best(stats, #section.groups) or {}
  end
  return marks
end

--- Notes on how to read the figures and the marks.
local function reading(section, marks)
  local several, single, marked, unmarked, mixed = 0, 0, false, false, {}
  for _, group in ipairs(section.groups) do
    if #group.finished > 1 then several = several + 1 end
    if #group.finished == 1 then single = single + 1 end
    for _, name in ipairs(group.mixed or {}) do mixed[name] = true end
  end
  for _, set in pairs(marks) do
    if next(set) then marked = true else unmarked = true end
  end
  local parts = {}
  local function add(condition, text)
    if condition then parts[#parts + 1] = text end
  end
  local is_valid = statistics.part(section.groups) == 'valid'
  add(is_valid, 'No run has rows in test: metrics are those of validation, which chose the epochs.')
  add(several > 0, 'Mean and standard deviation over seeds.')
  add(marked and several > 0, 'Marked: the highest mean, and what is no further below it ' ..
    'than the larger of the two deviations: those are not told apart.')
  add(marked and several == 0, 'Marked: the highest of each metric.')
  add(unmarked and several + single > 1, 'Metrics without a mark tell none apart.')
  add(marked and single > 0, 'The deviation of a single run is not known: a mark there means ' ..
    'higher, not better.')
  add(next(mixed), ('No times of a group whose runs differ in %s.'):format(
    format.list(tables.sorted_keys(mixed))))
  return table.concat(parts, ' ')
end

--- A folded table of the metrics that the first table leaves out.
local function rest_table(section, rest)
  if #rest == 0 then return nil end
  local marks, names = comparison.marks(section, rest), {html.th{''}}
  local part = statistics.part(section.groups)
  for _, name in ipairs(rest) do
    names[#names + 1] = html_table.number(statistics.named(part, name))
  end
  local rows = tables.map(section.groups, function(group, i)
    local cells = {html_table.name(group.label)}
    add_metrics(cells, group, part, rest, marks, i)
    return html.tr{cells}
  end)
  return html.details{
    html.summary{format.count(#rest, ('more %s metric'):format(part))},
    html_table.of(names, rows, true)}
end

--- A line with the settings that all runs of the section share.
local function common(section)
  local parts, first = {}, section.groups[1].settings
  local differs = {}
  for _, list in ipairs{section.columns, section.others} do
    for _, column in ipairs(list) do differs[column.key] = true end
  end
  local function add(name, text)
    local value = first['run ' .. name]
    if value and not differs['run ' .. name] then parts[#parts + 1] = text:format(value) end
  end
  add('bits', first['run bits'] == '1' and '%s bit' or '%s bits')
  add('rounding', 'rounding %s')
  add('device', 'device %s')
  add('threads', first['run threads'] == '1' and '%s thread' or '%s threads')
  add('steps', 'at most %s steps per epoch')
  add('version', 'tinykg %s')
  return #parts > 0 and html.p{class = 'quiet', table.concat(parts, ', ')}
end

--- ---@param section ReportSection
function comparison.render(section)
  local main, rest = statistics.metrics(section)
  local marks = comparison.marks(section, main)
  local rows = tables.map(section.groups, function(group, i)
    return row(group, section, main, marks, i)
  end)
  return {common(section), html_table.of(head(section, main), rows, true),
          html.p{class = 'quiet', reading(section, marks)}, rest_table(section, rest),
          significance.render(section)}
end

return comparison
