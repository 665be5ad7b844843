--- The comparison of a section: a row a group, what differs, test metrics, memory, time.
local format = require 'tinykg.report.format'
local html_table = require 'tinykg.report.html_table'
local html = require 'tinykg.report.html'
local statistics = require 'tinykg.sweep.statistics'

local comparison = {}

-- ---- cells ----

--- 'mean +- deviation', the deviation small; the title says of how many runs.
local function cell(stat, show, class)
  if not stat then return html.td{class = 'n', format.none} end
  return html.td{
    class = class or 'n', title = stat.n > 1 and ('mean and standard deviation of %d runs')
      :format(stat.n), show(stat.mean),
    stat.sd and html.span{class = 'sd', ' \194\177 ', show(stat.sd)}}
end

--- The mean only; the title has the deviation.
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

--- '3', or how many of them have finished.
local function runs_cell(group)
  local seeds, text = {}, tostring(#group.finished)
  for i, run in ipairs(group.runs) do seeds[i] = format.setting(run.config.seed) end
  if #group.finished < #group.runs then
    text = ('%d of %d'):format(#group.finished, #group.runs)
  end
  return html.td{class = #group.finished < #group.runs and 'n warn' or 'n',
                 title = (#seeds == 1 and 'seed ' or 'seeds ') .. table.concat(seeds, ', '), text}
end

local function epoch_cell(group)
  local stat = statistics.of_summary(group, 'best_epoch')
  return plain(stat, function(x) return ((stat.sd or 0) > 0 and '%.1f' or '%.0f'):format(x) end)
end

-- ---- the table ----

local function head(section, metrics)
  local cells = {html.th{'recipe'}}
  local function add(...) cells[#cells + 1] = html_table.number(...) end
  for _, column in ipairs(section.columns) do cells[#cells + 1] = html.th{column.name} end
  add('runs', nil, 'how many seeds')
  for _, name in ipairs(metrics) do add(name, nil, 'on the test split; higher is better') end
  add('best epoch')
  add('kept', nil, 'bytes kept for backward in a step')
  add('less', nil, 'times less than an op-by-op FP32 tape keeps for the same step')
  add('peak', nil, 'most memory that the run took at once')
  add('step', 'ms', 'median, of the first phase')
  add('epoch', 's', 'mean')
  return cells
end

local function row(group, section, metrics, marks, index)
  local cells = {html_table.name(group.recipe)}
  for _, column in ipairs(section.columns) do
    cells[#cells + 1] = html.td{group.settings[column.key] or format.none}
  end
  cells[#cells + 1] = runs_cell(group)
  for _, name in ipairs(metrics) do
    cells[#cells + 1] = cell(statistics.of_summary(group, 'test', name), format.metric,
                             marks[name][index] and 'n best')
  end
  local function mean(show, ...) return plain(statistics.of_summary(group, ...), show) end
  return html.tr{
    cells, epoch_cell(group), mean(format.bytes, 'kept', 'stored_bytes'), times_less(group),
    mean(format.bytes, 'memory', 'peak'), mean(format.number, 'time', 'step_ms'),
    mean(format.number, 'time', 'epoch_s')}
end

--- Which groups to mark for each metric.
local function marks_of(section, metrics)
  local marks = {}
  for _, name in ipairs(metrics) do
    local stats = {}
    for i, group in ipairs(section.groups) do
      stats[i] = statistics.of_summary(group, 'test', name)
    end
    marks[name] = statistics.best(stats, #section.groups)
  end
  return marks
end

--- How many metrics have marks, of how many.
local function count_marks(marks)
  local marked, all = 0, 0
  for _, set in pairs(marks) do
    all = all + 1
    if next(set) then marked = marked + 1 end
  end
  return marked, all
end

--- How many groups have several finished runs, and how many have one.
local function count_groups(section)
  local several, single = 0, 0
  for _, group in ipairs(section.groups) do
    if #group.finished > 1 then several = several + 1 end
    if #group.finished == 1 then single = single + 1 end
  end
  return several, single
end

--- How to read the figures and the marks, as far as there are any.
local function reading(section, marks)
  local several, single = count_groups(section)
  local marked, all = count_marks(marks)
  local parts = {}
  local function say(condition, text)
    if condition then parts[#parts + 1] = text end
  end
  say(several > 0, 'Mean and standard deviation over seeds.')
  say(marked > 0 and several > 0, 'Marked: the highest mean, and what is no further below it ' ..
    'than the larger of the two deviations: those are not told apart.')
  say(marked > 0 and several == 0, 'Marked: the highest of each metric.')
  say(marked < all and several + single > 1, 'Metrics without a mark tell none apart.')
  say(marked > 0 and single > 0, 'Of one run nobody knows the deviation: a mark there says ' ..
    'higher, not better.')
  return table.concat(parts, ' ')
end

local function whole_table(section, metrics, marks)
  local rows = {}
  for i, group in ipairs(section.groups) do
    rows[i] = row(group, section, metrics, marks, i)
  end
  return html_table.of(head(section, metrics), rows)
end

--- A table of the metrics that the first leaves out, folded.
local function rest_table(section, rest)
  if #rest == 0 then return nil end
  local marks, names, rows = marks_of(section, rest), {html.th{''}}, {}
  for _, name in ipairs(rest) do names[#names + 1] = html_table.number(name) end
  for i, group in ipairs(section.groups) do
    local cells = {html_table.name(group.label)}
    for _, name in ipairs(rest) do
      cells[#cells + 1] = cell(statistics.of_summary(group, 'test', name), format.metric,
                               marks[name][i] and 'n best')
    end
    rows[i] = html.tr{cells}
  end
  return html.details{
    html.summary{('%d more test metrics'):format(#rest)},
    html_table.of(names, rows)}
end

--- How all runs of the section were run, in a line.
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
  add('steps', 'at most %s steps an epoch')
  add('version', 'tinykg %s')
  return #parts > 0 and html.p{class = 'quiet', table.concat(parts, ', ')}
end

--- ---@param section ReportSection
function comparison.render(section)
  local all, is_main = statistics.metrics(section)
  local main, rest = {}, {}
  for _, name in ipairs(all) do table.insert(is_main[name] and main or rest, name) end
  local marks = marks_of(section, main)
  return {common(section), whole_table(section, main, marks),
          html.p{class = 'quiet', reading(section, marks)}, rest_table(section, rest)}
end

return comparison
