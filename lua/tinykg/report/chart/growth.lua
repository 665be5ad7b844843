--- Charts of growth: time of a step and memory of a run against what grew, log-log.
local html = require 'tinykg.report.page.html'
local lines = require 'tinykg.report.chart.lines'
local tables = require 'tinykg.base.tables'

local growth = {}

local FIGURES = {
  {field = 'ms', file = 'time', title = 'ms per step', by = 1, text = '%.1f ms'},
  {field = 'bytes', file = 'memory', title = 'MiB at most', by = 2 ^ 20, text = '%.0f MiB'},
}

local function point(r, figure)
  local y = r[figure.field] / figure.by
  return {x = r.at, y = y, title = ('%s, %d bits, %s %.0f: '):format(r.model, r.bits, r.axis, r.at)
    .. figure.text:format(y) .. (r.paper and ', on paper' or '')}
end

--- A line for each model and width, and a thin one to what is on paper.
local function lines_of(records, figure)
  local list, of, colours = {}, {}, 0
  local function line(key, fields)
    if not of[key] then
      of[key] = tables.merged(fields, {points = {}})
      list[#list + 1] = of[key]
    end
    return of[key].points
  end
  for _, r in ipairs(records) do
    local key = r.model .. ', ' .. r.bits .. ' bits'
    if not of[key] then colours = colours + 1 end
    local points = line(key, {label = key, colour = colours, dash = 1})
    if not r.paper then points[#points + 1] = point(r, figure)
    else
      local further = line(key .. ' on paper', {label = '', colour = of[key].colour, dash = 3,
                                                thin = true})
      further[1], further[2] = points[#points], point(r, figure)
    end
  end
  return list
end

--- A chart of time and one of memory for each axis.
---@param records table[] of `tinykg bench growth` ---@return {file: string, element: table}[]
function growth.charts(records)
  local list = {}
  for _, axis in ipairs(tables.unique(tables.map(records, function(r) return r.axis end))) do
    local mine = {}
    for _, r in ipairs(records) do
      if r.axis == axis then mine[#mine + 1] = r end
    end
    for _, figure in ipairs(FIGURES) do
      list[#list + 1] = {file = ('growth-%s-%s.svg'):format(axis, figure.file),
                         element = lines.chart(figure.title, lines_of(mine, figure), {over = axis})}
    end
  end
  return list
end

--- The part of a page with all of them. ---@param records table[]
function growth.render(records)
  return {
    html.h2{'Growth'},
    html.p{'Time of a step and memory of a run on generated graphs with a power law of degrees; ' ..
           'one thing grows at a time. Both axes are logarithmic. Dotted: on paper, from the ' ..
           'last two points.'},
    html.div{class = 'charts',
             tables.map(growth.charts(records), function(chart) return chart.element end)},
  }
end

return growth
