--- The results of a sweep: a row per group of seeds, a mark at the best by validation, and the most
--- popular items beside them.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local messages = require 'tinykg.run.messages'
local statistics = require 'tinykg.train.statistics'
local terminal = require 'tinykg.base.terminal'

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

local function first_summary(groups)
  for _, g in ipairs(groups) do
    if g.finished[1] then return g.finished[1].summary end
  end
end

--- The groups and the best of them by validation: the highest mean of the metric of early stopping
--- among those whose jobs all are finished. None if they watch several metrics, or were not
--- validated.
local function ranked(jobs)
  local groups, best, value = groups_of(jobs), nil, nil
  local first = first_summary(groups)
  local metric = first and messages.main_metric(first)
  for _, g in ipairs(groups) do
    for _, m in ipairs(g.finished) do
      if messages.main_metric(m.summary) ~= metric then return groups, nil, nil end
    end
    local s = metric and #g.finished == g.all and statistics.of_summary(g, 'valid', metric)
    if s and (not value or s.mean > value) then best, value = g, s.mean end
  end
  return groups, best, metric
end

--- The name of the best group by validation. ---@param jobs Job[]
---@return string? name, string? metric ---@return integer groups how many there are
function summary.best(jobs)
  local groups, best, metric = ranked(jobs)
  return best and best.name, metric, #groups
end

-- ---- cells ----

--- '-' for a metric that was measured and is not defined, such as the AUC of one class.
local function metric_cell(group, part, key)
  local s, first = statistics.of_summary(group, part, key), group.finished[1]
  local found = first and first.summary[part]
  if not s then return type(found) == 'table' and found[key] ~= nil and '-' or '' end
  return s.sd and ('%.4f +- %.4f'):format(s.mean, s.sd) or ('%.4f'):format(s.mean)
end

local function mean_cell(group, show, ...)
  local s = statistics.of_summary(group, ...)
  return s and show(s.mean) or ''
end

--- A column of metrics: {head, cell(group)}; the most popular items have one on test.
local function metric_column(part, key, popular)
  return {part .. ' ' .. key, function(group) return metric_cell(group, part, key) end,
          part == 'test' and type(popular) == 'table' and popular[key] and
            messages.metric(popular[key]) or ''}
end

--- The metrics of a part that some group has, the main one first.
local function measured(groups, main, part)
  local names = {}
  for _, g in ipairs(groups) do
    for _, m in ipairs(g.finished) do
      local found = m.summary[part]
      for name in pairs(type(found) == 'table' and found or {}) do names[name] = true end
    end
  end
  local list = tables.filter(messages.metric_names(names), function(key)
    return key ~= main and tables.any(groups, function(g)
      return metric_cell(g, part, key) ~= ''
    end)
  end)
  local backwards = {names[main] and main or nil}
  for i = #list, 1, -1 do backwards[#backwards + 1] = list[i] end -- @20 before @10
  return backwards
end

--- All columns, the most important first; without test metrics those of validation.
local function columns_of(groups, main, popular)
  local part = statistics.part(groups)
  local list, names = {}, measured(groups, main, part)
  if names[1] then
    list[1] = metric_column('valid', names[1])
    if part == 'test' then list[2] = metric_column('test', names[1], popular) end
  end
  list[#list + 1] = {'peak', function(g)
    return mean_cell(g, format.bytes, 'memory', 'peak')
  end, ''}
  if names[2] then list[#list + 1] = metric_column(part, names[2], popular) end
  list[#list + 1] = {'step ms', function(g)
    return mean_cell(g, function(x) return ('%.2f'):format(x) end, 'time', 'step_ms')
  end, ''}
  list[#list + 1] = {'kept', function(g)
    return mean_cell(g, format.bytes, 'kept', 'stored_bytes')
  end, ''}
  for i = 3, #names do list[#list + 1] = metric_column(part, names[i], popular) end
  return list
end

-- ---- the table ----

local LEAST = 2 -- columns that are shown whether they fit or not: valid and test

--- The columns that fit, each with its cells of all groups and of the most popular items.
local function that_fit(columns, groups, room)
  local shown = {}
  for i, column in ipairs(columns) do
    local cells, width = {column[1]}, 0
    for _, g in ipairs(groups) do cells[#cells + 1] = column[2](g) end
    cells[#cells + 1] = column[3]
    for _, cell in ipairs(cells) do width = math.max(width, #cell) end
    if i <= LEAST or width + 2 <= room then
      room = room - width - 2
      shown[#shown + 1] = cells
    end
  end
  return shown
end

--- Names of groups, a star at the best, and how many seeds each has.
local function labels_of(groups, best)
  local names, seeds = {''}, {'seeds'}
  for i, g in ipairs(groups) do
    local n = #g.finished
    names[i + 1] = g.name .. (g == best and ' *' or '')
    seeds[i + 1] = n == g.all and tostring(n) or ('%d of %d'):format(n, g.all)
  end
  return names, seeds
end

local function width_of(list)
  local width = 0
  for _, text in ipairs(list) do width = math.max(width, #text) end
  return width
end

--- The table, as text, as wide as the terminal: validation and test metrics as mean +- standard
--- deviation over seeds, then what else fits of peak and kept bytes and milliseconds per step,
--- means. Where no run has test metrics, validation stands alone, and a line says so. The folders
--- of the runs have all.
---@param jobs {group: string, summary: table?}[]
---@param marked? boolean a star at the best by validation, which the caller explains
---@return string
function summary.text(jobs, marked)
  local groups, best, main = ranked(jobs)
  local first = first_summary(groups)
  local popular = first and first.popularity
  local names, seeds = labels_of(groups, marked and #groups > 1 and best)
  if type(popular) == 'table' then names[#names + 1] = 'popularity' end
  local room = terminal.width(1) - 1 - width_of(names) - 2 - width_of(seeds)
  local shown, rows = that_fit(columns_of(groups, main, popular), groups, room), {}
  for i, name in ipairs(names) do
    rows[i] = {name, seeds[i] or ''}
    for _, cells in ipairs(shown) do rows[i][#rows[i] + 1] = cells[i] end
  end
  local note = statistics.part(groups) == 'valid' and '\n' .. messages.NO_TEST or ''
  return format.table(rows) .. note
end

return summary
