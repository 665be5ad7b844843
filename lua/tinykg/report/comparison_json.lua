--- The comparison of the page as a table for JSON.
local tables = require 'tinykg.base.tables'
local groups = require 'tinykg.report.groups'
local json = require 'tinykg.base.json'
local significance = require 'tinykg.report.tests.significance'
local statistics = require 'tinykg.train.statistics'

--- The statistic of each number in a part of summary.json, such as 'test'.
local function part_of(group, part)
  local names, out = {}, {}
  for _, run in ipairs(group.finished) do
    for name in pairs(run.summary[part] or {}) do names[name] = true end
  end
  for name in pairs(names) do out[name] = groups.of_summary(group, part, name) end
  return out
end

--- Kept and peak bytes of an op-by-op FP32 program, and of ours at 32 bits.
local function columns_of(group)
  local out = {}
  for _, column in ipairs{'op_by_op', 'bits_32'} do
    out[column] = {kept = statistics.of_summary(group, 'columns', column, 'kept'),
                   peak = statistics.of_summary(group, 'columns', column, 'peak')}
  end
  return out
end

--- The settings that tell a group from others, with the values of config.json; texts, as '1, 2', of
--- those that its runs have several of.
local function settings_of(group, columns)
  local out, config = {}, group.runs[1].config
  for _, column in ipairs(columns) do
    local tree = column.key:match('^option') and config.options or config
    local is_mixed = tables.any(group.mixed or {}, function(name)
      return column.key == 'run ' .. name
    end)
    out[column.name] = is_mixed and group.settings[column.key] or tree[column.name]
  end
  return out
end

local function run_of(run)
  return {folder = run.folder, seed = run.config.seed, state = run.state}
end

--- The paired tests over users, nil where they cannot be made.
local function tests_of(section)
  local found = significance.of(section)
  return found and {best = found.best.label, against = tables.map(found.rows, function(row)
    return {name = row.group.label, tests = row.tests}
  end)}
end

--- A list of data sets, each {data, path, groups, paired_tests}; a group is {name, recipe,
--- settings, runs, test, valid, kept, memory, columns, time, best_epoch} with {mean, sd, n} for
--- each figure, over its finished runs.
---@param runs ReportRun[]
---@return table[]
return function(runs)
  local out = json.array{}
  for _, section in ipairs(groups.sections(runs)) do
    local list = {}
    for i, group in ipairs(section.groups) do
      list[i] = {name = group.label, recipe = group.recipe, runs = tables.map(group.runs, run_of),
                 settings = settings_of(group, section.columns), columns = columns_of(group),
                 best_epoch = statistics.of_summary(group, 'best_epoch')}
      for _, part in ipairs{'test', 'valid', 'kept', 'memory', 'time'} do
        list[i][part] = part_of(group, part)
      end
    end
    out[#out + 1] = {data = section.label, path = section.path, groups = list,
                     paired_tests = tests_of(section)}
  end
  return out
end
