--- Tables of a study's runs, in Markdown.
local format = require 'tinykg.base.format'
local study_runs = require 'study_runs'
local tables = require 'tinykg.base.tables'

local REACHED = 0.98 -- of a published figure

local columns, records = study_runs.columns, study_runs.records

--- Mean and deviation of a metric over the runs that are there, and their number; nil if none is.
---@param of string? in the record; default test
local function statistics(o, entry, column, metric, of)
  local values, mean, square = {}, 0, 0
  for _, s in ipairs(records(o, entry, column)) do
    values[#values + 1] = (s[of or 'test'] or {})[metric]
  end
  if #values == 0 then return nil end
  for _, x in ipairs(values) do mean = mean + x / #values end
  for _, x in ipairs(values) do square = square + (x - mean) ^ 2 end
  return mean, #values > 1 and math.sqrt(square / (#values - 1)) or nil, #values
end

local function metric_cell(o, entry, column, metric, of)
  local mean, deviation, runs = statistics(o, entry, column, metric, of)
  if not mean then return nil end
  return (deviation and ('%.4f +- %.4f'):format(mean, deviation) or ('%.4f'):format(mean))
    .. (runs < #study_runs.split(o.seeds) and (' (%d)'):format(runs) or '')
end

local function kept_cell(o, entry, column)
  local s = not column.data_set and records(o, entry, column)[1]
  return s and ('%s (%.0fx)'):format(format.bytes(s.kept.stored_bytes),
    s.kept.reference_bytes / math.max(s.kept.stored_bytes, 1)) or nil
end

--- A function for add_table: by how much a metric is above the baseline's at the same width, or at
--- the first where that has one run for all.
local function above_baseline(o, baseline, metric)
  return function(_, entry, column)
    local mean = entry ~= baseline and statistics(o, entry, column, metric)
    local base = statistics(o, baseline, column, metric)
      or statistics(o, baseline, columns(o)[1], metric)
    return mean and base and ('%+.1f %%'):format(100 * (mean / base - 1)) or nil
  end
end

--- The columns in which any entry has a cell.
local function columns_with(o, entries, cell)
  local list = {}
  for _, column in ipairs(columns(o)) do
    local found = false
    for _, entry in ipairs(entries) do found = found or cell(o, entry, column) ~= nil end
    if found then list[#list + 1] = column end
  end
  return list
end

--- Adds a table to `lines`: one row per entry that has a run; a column of what is published, if
--- there is any, and one per width and control.
local function add_table(lines, o, entries, title, published, cell)
  local with, any, head = columns_with(o, entries, cell), false, {title}
  for _, entry in ipairs(entries) do any = any or published(entry) ~= nil end
  if #with == 0 then return end
  if any then head[2] = 'published' end
  for _, column in ipairs(with) do head[#head + 1] = column.title end
  lines[#lines + 1] = ('\n| %s |'):format(table.concat(head, ' | '))
  lines[#lines + 1] = ('|---'):rep(#head) .. '|'
  for _, entry in ipairs(entries) do
    local cells, found = {entry.name}, false
    if any then cells[2] = published(entry) or '' end
    for _, column in ipairs(with) do
      local text = cell(o, entry, column)
      cells[#cells + 1], found = text or '', found or text ~= nil
    end
    if found then lines[#lines + 1] = '| ' .. table.concat(cells, ' | ') .. ' |' end
  end
end

--- Adds which published figures are not reached at the first width, and by how much.
local function add_reached(lines, o, entries, metrics)
  local column = columns(o)[1]
  for _, entry in ipairs(entries) do
    for _, metric in ipairs(metrics) do
      local published = (entry.published or {})[metric]
      local mean = published and statistics(o, entry, column, metric)
      if mean then
        lines[#lines + 1] =
          ('\n%s, %s at %s: %+.1f %% of the published %.4f (%s)%s'):format(entry.name, metric,
            column.title, 100 * (mean / published - 1), published, entry.source,
            mean < REACHED * published and '; not reached' or '')
      end
    end
  end
end

--- Adds a line: which means at fewer bits are below that at the first width, over as many seeds, by
--- more than its deviation.
local function add_lost(lines, o, entries, metrics)
  local first, lost, any = columns(o)[1], {}, false
  for _, entry in ipairs(entries) do
    for _, metric in ipairs(metrics) do
      local exact, deviation, seeds = statistics(o, entry, first, metric)
      for _, column in ipairs(columns(o)) do
        local mean, _, runs
        if deviation and not column.data_set and column.key ~= first.key then
          mean, _, runs = statistics(o, entry, column, metric)
        end
        any = any or mean
        if mean and runs == seeds and mean < exact - deviation then
          lost[#lost + 1] = ('%s of %s at %s'):format(metric, entry.name, column.title)
        end
      end
    end
  end
  if not any then return end
  lines[#lines + 1] = '\nMeans that are below that at ' .. first.title
    .. ' by more than its deviation over seeds: '
    .. (#lost > 0 and table.concat(lost, ', ') or 'none') .. '.'
end

--- The rows of a metric's table: entries, and what popularity alone has by any run of the first
--- column.
local function with_popularity(o, entries)
  local rows = tables.append({}, entries)
  for _, entry in ipairs(entries) do
    if records(o, entry, columns(o)[1])[1] then
      rows[#rows + 1] = {name = 'popularity', popularity_of = entry}
      break
    end
  end
  return rows
end

--- The tables of the runs that are there. ---@param o table options of the command line
---@param study Study ---@param entries StudyEntry[] ---@return string
return function(study, o, entries)
  local lines, first = {}, columns(o)[1].key
  local function nothing() end
  for _, metric in ipairs(study.metrics) do
    add_table(lines, o, with_popularity(o, entries), metric, function(entry)
      local figure = (entry.published or {})[metric]
      return figure and ('%.4f'):format(figure)
    end, function(_, entry, column)
      if not entry.popularity_of then return metric_cell(o, entry, column, metric) end
      return column.key == first
        and metric_cell(o, entry.popularity_of, column, metric, 'popularity') or nil
    end)
  end
  for _, entry in ipairs(entries) do
    if entry.name == study.baseline then
      add_table(lines, o, entries, ('%s above that of %s'):format(study.metrics[1], entry.name),
                nothing, above_baseline(o, entry, study.metrics[1]))
    end
  end
  add_table(lines, o, entries, 'kept for backward (below op-by-op)', nothing, kept_cell)
  add_reached(lines, o, entries, study.metrics)
  add_lost(lines, o, entries, study.metrics)
  return table.concat(lines, '\n')
end
