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

local NESTED = {options = 'option ', data_options = 'data option ', origin = ''}

--- All settings of a run, flat: texts by name. ---@return table<string, string>
local function flat(config)
  local found = {}
  for name, value in pairs(config) do
    if type(value) == 'table' and NESTED[name] then
      for key, inner in pairs(value) do found[NESTED[name] .. key] = format.setting(inner) end
    elseif name ~= 'data_set' then
      found[name] = format.setting(value)
    end
  end
  return found
end

--- Those of several runs that all have. ---@param list table<string, string>[]
local function shared(list)
  local found = #list > 1 and tables.merged(list[1]) or {}
  for _, settings_ in ipairs(list) do
    for name, value in pairs(found) do
      if settings_[name] ~= value then found[name] = nil end
    end
  end
  return found
end

--- A table of settings but those that are in another. ---@param but? table<string, string>
local function settings_table(found, but)
  local rows = {}
  for _, name in ipairs(tables.sorted_keys(found)) do
    if not (but and but[name]) then
      rows[#rows + 1] = html.tr{html_table.name(name), html.td{class = 'value',
                                                               html.code{found[name]}}}
    end
  end
  return #rows > 0 and html_table.of(nil, rows)
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

local function run_details(run, common)
  local config = run.config or {}
  local state = state_of(run)
  return html.details{
    html.summary{
      html.code{run.folder}, config.recipe and {' ', tostring(config.recipe)},
      config.seed and {', seed ', format.setting(config.seed)},
      state and html.span{class = 'warn', ' \194\183 ', state},
      #run.notes > 0 and not state and html.span{class = 'quiet', ' \194\183 ', run.notes[1]}},
    notes_of(run), run.output and html.pre{run.output},
    run.config and settings_table(flat(config), common)}
end

--- The settings that all runs of each recipe share, by recipe.
local function common_of(runs)
  local lists, names = {}, {}
  for _, run in ipairs(runs) do
    local name = run.config and tostring(run.config.recipe)
    if name and not lists[name] then lists[name], names[#names + 1] = {}, name end
    if name then table.insert(lists[name], flat(run.config)) end
  end
  local common, parts = {}, {}
  for _, name in ipairs(names) do
    common[name] = shared(lists[name])
    if next(common[name]) then
      parts[#parts + 1] = html.details{
        html.summary{('What all %d runs of %s share'):format(#lists[name], name)},
        settings_table(common[name])}
    end
  end
  return common, parts
end

--- ---@param runs ReportRun[]
function settings.render(runs)
  local common, parts = common_of(runs)
  return {html.h2{id = 'runs', 'Runs'},
          html.p{class = 'quiet',
                 'Every setting of each run, what all runs of a recipe share once.'},
          parts, tables.map(runs, function(run)
    return run_details(run, run.config and common[tostring(run.config.recipe)])
  end)}
end

return settings
