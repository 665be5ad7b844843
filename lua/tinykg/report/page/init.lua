--- The report: one self-contained page about a list of runs.
local tables = require 'tinykg.base.tables'
local accuracy_memory = require 'tinykg.report.accuracy_memory'
local columns = require 'tinykg.report.columns'
local comparison = require 'tinykg.report.comparison'
local curves = require 'tinykg.report.curves'
local format = require 'tinykg.report.format'
local growth_charts = require 'tinykg.report.chart.growth'
local groups = require 'tinykg.report.groups'
local html = require 'tinykg.report.page.html'
local memory = require 'tinykg.report.memory'
local origins = require 'tinykg.report.page.origins'
local script = require 'tinykg.report.page.script'
local settings = require 'tinykg.report.settings'
local statistics = require 'tinykg.train.statistics'
local style = require 'tinykg.report.page.style'

local page = {}

local function recipes_of(runs)
  return tables.unique(tables.map(runs, function(run)
    return run.config and tostring(run.config.recipe or '?')
  end))
end

local MOST_NAMES = 4

local function list_of(names, noun)
  return #names > MOST_NAMES and format.count(#names, noun) or format.list(names)
end

local function title_of(runs, sections)
  local names = recipes_of(runs)
  local data = tables.map(sections, function(section) return section.label end)
  if #names == 0 then return 'Runs that failed' end
  return list_of(names, 'recipe') .. ' on ' .. list_of(data, 'data set')
end

--- '2026-11-25 19:03', or the first and the last of several times.
local function times(runs)
  local first, last = math.huge, 0
  for _, run in ipairs(runs) do
    first, last = math.min(first, run.written or first), math.max(last, run.written or 0)
  end
  local from, to = os.date('%Y-%m-%d %H:%M', first), os.date('%Y-%m-%d %H:%M', last)
  if from == to then return from end
  return from .. ' to ' .. (from:sub(1, 10) == to:sub(1, 10) and to:sub(12) or to)
end

--- '18 runs', and how many are not finished or failed, with a link to the reasons.
local function counts(runs)
  local n = {}
  for _, run in ipairs(runs) do n[run.state] = (n[run.state] or 0) + 1 end
  local function wrong(state, words)
    return n[state] and {', ', html.a{class = 'warn', href = '#runs', n[state] .. words}}
  end
  return {format.count(#runs, 'run'), wrong('unfinished', ' not finished'),
          wrong('failed', ' failed')}
end

--- The part about one data set; its name is the heading if there are several.
local function section_part(section, several)
  return {
    html.h2{several and section.label or 'Comparison'}, origins.render(section),
    comparison.render(section), settings.between_recipes(section),
    columns.render(section), accuracy_memory.render(section),
    curves.render(section), memory.render(section),
  }
end

--- The page as HTML.
---@param runs ReportRun[] ---@param growth? table[] of `tinykg bench growth`
---@return string
function page.render(runs, growth)
  local sections = groups.sections(runs)
  local title, parts = title_of(runs, sections), {}
  for i, section in ipairs(sections) do
    section.id = 's' .. i
    groups.best_first(section, statistics.metrics(section)[1])
    parts[i] = section_part(section, #sections > 1)
  end
  return html.page(html.html{
    lang = 'en',
    html.head{
      html.meta{charset = 'utf-8'},
      html.meta{name = 'viewport', content = 'width=device-width, initial-scale=1'},
      html.title{title}, html.style{style}},
    html.body{
      html.h1{title},
      html.p{class = 'quiet', counts(runs), ', begun ', times(runs)},
      parts, growth and growth_charts.render(growth), settings.render(runs),
      html.script{script}}})
end

return page
