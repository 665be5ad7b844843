--- Line charts as SVG: a line per group, a band of its deviation, values under the pointer.
local tables = require 'tinykg.base.tables'
local html = require 'tinykg.report.page.html'
local axes = require 'tinykg.report.chart.axes'
local scale = require 'tinykg.report.chart.scale'

local lines = {}

local WIDTH, HEIGHT = 372, 226
local LEFT, RIGHT, TOP, BOTTOM = 44, 362, 28, 192
local BOX = {left = LEFT, right = RIGHT, bottom = BOTTOM}
local DASHES = {false, '6 3', '2 3', '9 3 2 3'}
local MANY_POINTS = 60 -- with more, not every epoch shows its value

---@class LinePoint
---@field x number ---@field y number? nil breaks the line
---@field low number? ---@field high number? of the band
---@field title string? under the pointer
---@class Line
---@field label string ---@field colour integer 1..8, or 0 for one in the background
---@field dash integer 1..4
---@field points LinePoint[] by rising x
---@field thin boolean? a single seed's

--- Number of colours and of dashes.
lines.COLOURS, lines.DASHES = 8, #DASHES

local function extent(series)
  local box = {x0 = math.huge, x1 = -math.huge, y0 = math.huge, y1 = -math.huge}
  for _, line in ipairs(series) do
    for _, p in ipairs(line.points) do
      box.x0, box.x1 = math.min(box.x0, p.x), math.max(box.x1, p.x)
      if p.y then
        box.y0 = math.min(box.y0, p.low or p.y)
        box.y1 = math.max(box.y1, p.high or p.y)
      end
    end
  end
  return box
end

--- Functions from values to x and y in the picture.
local function placer(x, y, logarithmic)
  return function(px) return LEFT + x.place(px) * (RIGHT - LEFT) end,
    function(py)
      if logarithmic then py = math.max(py, y.low) end -- a band may reach below zero
      return BOTTOM - y.place(py) * (BOTTOM - TOP)
    end
end

--- Splits points at gaps.
local function pieces(points)
  local list, piece = {}, nil
  for _, p in ipairs(points) do
    if p.y then
      if not piece then
        piece = {}
        list[#list + 1] = piece
      end
      piece[#piece + 1] = p
    else
      piece = nil
    end
  end
  return list
end

local function path_of(points, X, Y, get)
  return table.concat(tables.map(points, function(p, i)
    return ('%s%.1f %.1f'):format(i == 1 and 'M' or 'L', X(p.x), Y(get(p)))
  end))
end

local function band_of(points, X, Y)
  local back = {}
  for i = #points, 1, -1 do back[#back + 1] = points[i] end
  return path_of(points, X, Y, function(p) return p.low or p.y end)
    .. path_of(back, X, Y, function(p) return p.high or p.y end):gsub('^M', 'L') .. 'Z'
end

local function has_band(points)
  return tables.any(points, function(p) return p.low end)
end

--- A circle per point that shows its value under the pointer. It is visible there, and for a point
--- without neighbours.
local function targets(line, X, Y)
  local parts, step = {}, math.ceil(#line.points / MANY_POINTS)
  for i, p in ipairs(line.points) do
    if p.y and p.title and ((i - 1) % step == 0 or i == #line.points) then
      local alone = not (i > 1 and line.points[i - 1].y)
        and not (line.points[i + 1] and line.points[i + 1].y)
      parts[#parts + 1] = html.circle{class = alone and 'dot' or 'target', cx = X(p.x),
                                      cy = Y(p.y), r = alone and 3 or 5, html.title{p.title}}
    end
  end
  return parts
end

local function draw(line, X, Y)
  local parts = {}
  for _, piece in ipairs(pieces(line.points)) do
    if has_band(piece) then
      parts[#parts + 1] = html.path{class = 'band', d = band_of(piece, X, Y)}
    end
    parts[#parts + 1] = html.path{
      class = line.thin and 'line thin' or 'line', ['stroke-dasharray'] = DASHES[line.dash],
      d = path_of(piece, X, Y, function(p) return p.y end), html.title{line.label}}
  end
  if line.colour ~= 0 then parts[#parts + 1] = targets(line, X, Y) end
  return html.g{class = 'c' .. line.colour, parts}
end

local LABEL = 12 -- pixels from one label to the next

--- The labels of lines at their last points, moved up where they would overlap.
local function names_of(series, X, Y)
  local list, above = {}, math.huge
  for _, line in ipairs(series) do
    local last = line.points[#line.points]
    if line.label ~= '' then
      list[#list + 1] = {x = X(last.x) - 4, y = Y(last.y) - 6, label = line.label,
                         colour = line.colour}
    end
  end
  table.sort(list, function(a, b) return a.y > b.y or a.y == b.y and a.label < b.label end)
  return tables.map(list, function(name)
    above = math.min(name.y, above - LABEL)
    return html.g{class = 'c' .. name.colour, html.text{
      class = 'name', x = name.x, y = above, ['text-anchor'] = 'end', name.label}}
  end)
end

--- Whether a logarithmic axis suits: positive values more than 30 times apart.
local function logarithmic_suits(box) return box.y0 > 0 and box.y1 > 30 * box.y0 end

--- A chart over epochs, or with option `over` over something else; nil where no line has a value.
---@param title string ---@param series Line[]
---@param options? {logarithmic: boolean, over: string} logarithmic: allow a logarithmic axis; over:
---  what x is, which is logarithmic then, as y is; each line has its label at its end
function lines.chart(title, series, options)
  options = options or {}
  local box = extent(series)
  if box.y0 > box.y1 then return nil end
  local over = options.over
  local log = over or options.logarithmic and logarithmic_suits(box)
  local x = over and scale.logarithmic(box.x0, box.x1, 1.5)
    or scale.values(box.x0, box.x1, {ticks = 7, whole = true})
  local y = log and scale.logarithmic(box.y0, box.y1) or scale.values(box.y0, box.y1)
  local X, Y = placer(x, y, log)
  local drawn = {}
  for i = #series, 1, -1 do drawn[#drawn + 1] = draw(series[i], X, Y) end -- the first on top
  return html.svg{
    viewBox = ('0 0 %d %d'):format(WIDTH, HEIGHT), role = 'img', ['aria-label'] = title,
    html.text{class = 'title', x = 0, y = 14, title, log and not over and ' (logarithmic)'},
    axes(BOX, x, y, X, Y), drawn,
    over and names_of(series, X, Y),
    html.text{x = RIGHT, y = HEIGHT - 3, ['text-anchor'] = 'end', over or 'epoch'},
  }
end

--- The sample of a line for a legend.
function lines.sample(colour, dash)
  return html.svg{class = 'sample c' .. colour, viewBox = '0 0 26 10', width = 26, height = 10,
                  html.path{class = 'line', d = 'M1 5L25 5', ['stroke-dasharray'] = DASHES[dash]}}
end

return lines
