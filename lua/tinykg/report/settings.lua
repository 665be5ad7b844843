--- The settings of runs: those that differ between recipes, and all settings of each run, with
--- notes on missing files and failures.
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'

local settings = {}

--- A table of the settings that differ between recipes only, mostly their defaults.
---@param section ReportSection
function settings.between_recipes(section)
  if #section.others == 0 then return nil end
  local function cells_of(cell)
    return tables.map(section.recipes, function(of_recipe) return cell(of_recipe[1]) end)
  end
  local head = {html.th{''}, cells_of(function(group) return html.th{group.recipe} end)}
  local rows = tables.map(section.others, function(column)
    return html.tr{html_table.name(column.name), cells_of(function(group)
      return html.td{group.settings[column.key] or format.none}
    end)}
  end)
  return html.details{
    html.summary{'Settings that differ between the recipes'},
    html_table.of(head, rows)}
end

local function add_rows(rows, map, prefix)
  for _, name in ipairs(tables.sorted_keys(map)) do
    if name ~= 'options' and name ~= 'data_options' and name ~= 'data_set' then
      rows[#rows + 1] = html.tr{html_table.name(prefix .. name),
                                html.td{html.code{format.setting(map[name])}}}
    end
  end
end

local function config_table(config)
  local rows = {}
  add_rows(rows, config, '')
  add_rows(rows, config.data_options or {}, 'data option ')
  add_rows(rows, config.options or {}, 'option ')
  return html_table.of(nil, rows)
end

--- Why a run has no summary, and its last epoch; nil for a finished run.
local function state_of(run)
  if run.state == 'finished' then return nil end
  local last = run.log[#run.log]
  return (run.failure and 'failed: ' .. run.failure
            or 'not finished: interrupted, or running still') ..
    (last and ('; epoch %g was its last'):format(last.epoch) or '; no epoch is logged')
end

local function notes_of(run)
  local items = tables.map(run.notes, function(note) return html.li{note} end)
  return (#items > 1 or run.state ~= 'finished') and #items > 0 and html.ul{class = 'notes', items}
end

local function run_details(run)
  local config = run.config or {}
  local state = state_of(run)
  return html.details{
    html.summary{
      html.code{run.folder}, config.recipe and {' ', tostring(config.recipe)},
      config.seed and {', seed ', format.setting(config.seed)},
      state and html.span{class = 'warn', ' \194\183 ', state},
      #run.notes > 0 and not state and html.span{class = 'quiet', ' \194\183 ', run.notes[1]}},
    notes_of(run), run.output and html.pre{run.output}, run.config and config_table(config)}
end

--- ---@param runs ReportRun[]
function settings.render(runs)
  return {html.h2{id = 'runs', 'Runs'}, html.p{class = 'quiet', 'Every setting of each run.'},
          tables.map(runs, run_details)}
end

return settings
