--- Point charts as SVG: a line per series through labelled points, with bars of their deviation.
local tables = require 'tinykg.base.tables'
local html = require 'tinykg.report.page.html'
local axes = require 'tinykg.report.chart.axes'
local scale = require 'tinykg.report.chart.scale'

local points = {}

local WIDTH, HEIGHT = 372, 246
local LEFT, RIGHT, TOP, BOTTOM = 52, 350, 28, 200
local BOX = {left = LEFT, right = RIGHT, bottom = BOTTOM}

---@class ChartPoint
---@field x number bytes ---@field y number ---@field sd number? of y
---@field label string? beside the point ---@field title string under the pointer
---@class PointSeries
---@field label string ---@field colour integer 1..8 ---@field id string? of its legend entry
---@field points ChartPoint[] in the order of the line ---@field hollow boolean?

local function extent(series)
  local most, low, high = 0, math.huge, -math.huge
  for _, s in ipairs(series) do
    for _, p in ipairs(s.points) do
      most = math.max(most, p.x)
      low, high = math.min(low, p.y - (p.sd or 0)), math.max(high, p.y + (p.sd or 0))
    end
  end
  return most, low, high
end

local function draw_point(p, X, Y)
  local x, y = X(p.x), Y(p.y)
  local bar = p.sd and html.path{class = 'line thin', d = ('M%.1f %.1fL%.1f %.1f'):format(
    x, Y(p.y - p.sd), x, Y(p.y + p.sd))}
  return {bar, html.circle{class = 'dot', cx = x, cy = y, r = 4, html.title{p.title}},
          p.label and html.text{x = x + 8, y = y - 6, p.label}}
end

local function draw(s, X, Y)
  local line = table.concat(tables.map(s.points, function(p, i)
    return ('%s%.1f %.1f'):format(i == 1 and 'M' or 'L', X(p.x), Y(p.y))
  end))
  return html.g{class = 'c' .. s.colour .. (s.hollow and ' hollow' or ''), ['data-g'] = s.id,
                html.path{class = 'line thin', d = line, html.title{s.label}},
                tables.map(s.points, function(p) return draw_point(p, X, Y) end)}
end

--- A chart of bytes, from 0, and a measured value.
---@param title string ---@param x_label string ---@param series PointSeries[]
function points.chart(title, x_label, series)
  local most, low, high = extent(series)
  local x, y = scale.bytes(1.05 * most), scale.values(low, high)
  local function X(value) return LEFT + x.place(value) * (RIGHT - LEFT) end
  local function Y(value) return BOTTOM - y.place(value) * (BOTTOM - TOP) end
  return html.svg{
    viewBox = ('0 0 %d %d'):format(WIDTH, HEIGHT), role = 'img', ['aria-label'] = title,
    html.text{class = 'title', x = 0, y = 14, title}, axes(BOX, x, y, X, Y),
    tables.map(series, function(s) return draw(s, X, Y) end),
    html.text{x = RIGHT, y = HEIGHT - 8, ['text-anchor'] = 'end', x_label},
  }
end

return points
