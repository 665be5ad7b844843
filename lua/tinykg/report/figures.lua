--- The figures of a section, which the tables in files share: per group, what tells it from others,
--- test metrics (where no run has any, those of validation), memory and time.
local tables = require 'tinykg.base.tables'
local comparison = require 'tinykg.report.comparison'
local format = require 'tinykg.report.format'
local groups = require 'tinykg.report.groups'
local statistics = require 'tinykg.train.statistics'

local figures = {}

--- Figures that are not metrics: name, keys in summary.json, as text.
local OTHERS = {
  {'best epoch', {'best_epoch'}, function(x) return ('%.4g'):format(x) end},
  {'kept', {'kept', 'stored_bytes'}, format.bytes, unit = 'bytes'},
  {'peak', {'memory', 'peak'}, format.bytes, unit = 'bytes'},
  {'step', {'time', 'step_ms'}, format.significant, unit = 'ms'},
  {'epoch', {'time', 'epoch_s'}, format.significant, unit = 's'},
}

--- What is known of one group: {recipe, settings (texts, as section.columns), runs, metrics and
--- others (statistics by place)}.
local function row_of(section, group, part, metrics)
  return {
    recipe = group.recipe, runs = #group.finished,
    settings = tables.map(section.columns, function(column)
      return group.settings[column.key] or ''
    end),
    metrics = tables.map(metrics, function(name)
      return statistics.of_summary(group, part, name) or false
    end),
    others = tables.map(OTHERS, function(other)
      return groups.of_summary(group, unpack(other[2])) or false
    end)}
end

--- A section's figures. ---@param section ReportSection ---@param all boolean all test metrics, not
---  only those of the first table of the page
---@return {label: string, settings: string[], metrics: string[], others: table[], rows: table[],
---  marks: table} a statistic that is missing is false; marks[metric][row]: among the best
function figures.of(section, all)
  local metrics, rest = statistics.metrics(section)
  if all then tables.append(metrics, rest) end
  local part, marks, found = statistics.part(section.groups), {}, comparison.marks(section, metrics)
  local shown = tables.map(metrics, function(name)
    local as = statistics.named(part, name)
    marks[as] = found[name]
    return as
  end)
  return {
    label = section.label, metrics = shown, others = OTHERS,
    settings = tables.map(section.columns, function(column) return column.name end),
    rows = tables.map(section.groups, function(group)
      return row_of(section, group, part, metrics)
    end),
    marks = marks}
end

return figures
