--- Whether groups of a section differ from the best: paired tests over test users, where all their
--- runs have metrics of each user (option per_user).
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'
local paired_tests = require 'tinykg.report.tests.paired_tests'
local per_user = require 'tinykg.run.folder.per_user'
local statistics = require 'tinykg.train.statistics'

local significance = {}

--- Means over a group's finished runs of each user's metrics, by metric, then by user; nil if a run
--- has none. Users that are not in all runs are left out. Raises one line for a damaged file.
local function users_of(group, metrics)
  local sums, n = {}, #group.finished
  for i, run in ipairs(group.finished) do
    local values, why = per_user.read(run.folder, metrics)
    if why then error(why, 0) end
    if not values then return nil end
    for _, name in ipairs(metrics) do
      local sum, all = {}, sums[name] or {}
      for user, value in pairs(values[name] or {}) do
        if i == 1 or all[user] then sum[user] = (all[user] or 0) + value / n end
      end
      sums[name] = sum
    end
  end
  return n > 0 and sums or nil
end

-- Files have nine digits: what differs by less is equal, so that ties are ties.
local DIGITS = 1e9

--- The tests of one metric: `a` and `b` have the value of each user.
local function compared(a, b)
  local differences, sum = {}, 0
  for _, user in ipairs(tables.sorted_keys(a)) do
    if b[user] then
      local d = math.floor((a[user] - b[user]) * DIGITS + 0.5) / DIGITS
      differences[#differences + 1], sum = d, sum + d
    end
  end
  local n = #differences
  if n < 2 then return nil end
  local _, t = paired_tests.student(differences)
  local _, w = paired_tests.wilcoxon(differences)
  return {users = n, difference = sum / n, p_t = t, p_wilcoxon = w}
end

--- The group with the highest mean of a metric.
local function best_of(groups, metric)
  local best, highest
  for _, group in ipairs(groups) do
    local stat = statistics.of_summary(group, 'test', metric)
    if stat and (not highest or stat.mean > highest) then best, highest = group, stat.mean end
  end
  return best
end

--- Tests of each group against the one with the best first metric: nil if fewer than two have
--- metrics of each user.
---@param section ReportSection
---@return {best: ReportGroup, metrics: string[], rows: {group: ReportGroup, tests: table}[]}? tests
---  by metric: {users, difference, p_t, p_wilcoxon}, the group minus the best
function significance.of(section)
  local metrics, values = statistics.metrics(section), {}
  local tested = tables.filter(section.groups, function(group)
    values[group] = users_of(group, metrics)
    return values[group]
  end)
  local best = #tested > 1 and best_of(tested, metrics[1])
  if not best then return nil end
  local rows = {}
  for _, group in ipairs(tested) do
    local tests = {}
    for _, name in ipairs(metrics) do
      tests[name] = compared(values[group][name], values[best][name])
    end
    if group ~= best then rows[#rows + 1] = {group = group, tests = tests} end
  end
  return {best = best, metrics = metrics, rows = rows}
end

-- ---- the table ----

local function p_text(p) return p < 1e-4 and '< 0.0001' or ('%.4f'):format(p) end

local function row_of(row, metrics)
  local cells, users = {html_table.name(row.group.label)}, nil
  for _, name in ipairs(metrics) do
    local test = row.tests[name]
    users = test and test.users or users
    cells[#cells + 1] = html.td{class = 'n', test and ('%+.4f'):format(test.difference)
                                              or format.none}
    for _, key in ipairs{'p_t', 'p_wilcoxon'} do
      cells[#cells + 1] = html.td{class = 'n', test and p_text(test[key]) or format.none}
    end
  end
  return html.tr{cells, html.td{class = 'n', users or format.none}}
end

local MOST_SHOWN = 2 -- metrics: the page is not wider; `report --json` has the others

--- ---@param section ReportSection
function significance.render(section)
  local found = significance.of(section)
  if not found then return nil end
  local head, shown = {html.th{''}}, tables.first(found.metrics, MOST_SHOWN)
  for _, name in ipairs(shown) do
    head[#head + 1] = html_table.number(name, nil, 'mean over users, minus that of the best')
    head[#head + 1] = html_table.number('p, t', nil, 'paired t test over users')
    head[#head + 1] = html_table.number('p, Wilcoxon', nil, 'signed-rank test over users')
  end
  head[#head + 1] = html_table.number('users')
  return {
    html.h3{'Differences from ' .. found.best.label},
    html.p{class = 'quiet', 'Paired tests over test users, two-sided, of the mean over seeds of ' ..
      'each user; p-values are not corrected for the number of comparisons, and say nothing ' ..
      'about other seeds.'},
    html_table.of(head, tables.map(found.rows, function(row)
      return row_of(row, shown)
    end))}
end

return significance
