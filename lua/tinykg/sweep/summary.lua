--- The results of a sweep: a row per group of seeds.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local messages = require 'tinykg.run.messages'
local statistics = require 'tinykg.train.statistics'

local summary = {}

--- The number of jobs in a state.
function summary.count(jobs, state)
  local n = 0
  for _, m in ipairs(jobs) do n = n + (m.state == state and 1 or 0) end
  return n
end

--- Groups in order of their first job: {name, all (number of jobs), finished (jobs with a
--- summary)}.
local function groups_of(jobs)
  local list, by_name = {}, {}
  for _, m in ipairs(jobs) do
    local g = by_name[m.group]
    if not g then
      g = {name = m.group, all = 0, finished = {}}
      by_name[m.group], list[#list + 1] = g, g
    end
    g.all = g.all + 1
    if m.summary then table.insert(g.finished, m) end
  end
  return list
end

--- '-' for a metric that was measured and is not defined, such as the AUC of one class.
local function metric_cell(group, key)
  local s, first = statistics.of_summary(group, 'test', key), group.finished[1]
  local test = first and first.summary.test
  if not s then return type(test) == 'table' and test[key] ~= nil and '-' or '' end
  return s.sd and ('%.4f +- %.4f'):format(s.mean, s.sd) or ('%.4f'):format(s.mean)
end

local function mean_cell(group, show, ...)
  local s = statistics.of_summary(group, ...)
  return s and show(s.mean) or ''
end

local function row_of(group, metrics)
  local n = #group.finished
  local row = {group.name, n == group.all and tostring(n) or ('%d of %d'):format(n, group.all)}
  for _, key in ipairs(metrics) do row[#row + 1] = metric_cell(group, key) end
  row[#row + 1] = mean_cell(group, format.bytes, 'kept', 'stored_bytes')
  row[#row + 1] = mean_cell(group, format.bytes, 'memory', 'peak')
  row[#row + 1] = mean_cell(group, function(x) return ('%.2f'):format(x) end, 'time', 'step_ms')
  return row
end

local function measured(groups)
  local names = {}
  for _, g in ipairs(groups) do
    for _, m in ipairs(g.finished) do
      for name in pairs(type(m.summary.test) == 'table' and m.summary.test or {}) do
        names[name] = true
      end
    end
  end
  return tables.filter(messages.metric_names(names), function(key)
    return tables.any(groups, function(g) return metric_cell(g, key) ~= '' end)
  end)
end

--- The table, as text: test metrics as mean +- standard deviation over seeds; kept and peak bytes
--- and milliseconds a step as means.
---@param jobs {group: string, summary: table?}[]
---@return string
function summary.text(jobs)
  local groups = groups_of(jobs)
  local metrics = measured(groups)
  local head = tables.append({'test, mean +- sd', 'seeds'}, metrics)
  tables.append(head, {'kept', 'peak', 'step ms'})
  local rows = {head}
  for _, g in ipairs(groups) do rows[#rows + 1] = row_of(g, metrics) end
  return format.table(rows)
end

return summary
