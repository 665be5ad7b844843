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
local MANY_POINTS = 50 -- of a line; of a longer one not every epoch is drawn

---@class LinePoint
---@field x number ---@field y number? nil breaks the line
---@field low number? ---@field high number? of the band
---@field text string? its value, shown under the pointer
---@class Line
---@field label string ---@field id string? of the legend's entry that hides it
---@field colour integer 1..8, or 0 for one in the background
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

-- Paths are drawn ten times as large, in whole numbers, each relative to the one before: that is
-- short and exact to a tenth of a pixel.
local FINE = 10

--- A path through points as {x, y} of the picture.
local function path_of(places)
  local parts, x0, y0 = {}, 0, 0
  for i, place in ipairs(places) do
    local x, y = math.floor(FINE * place[1] + 0.5), math.floor(FINE * place[2] + 0.5)
    parts[i] = i == 1 and ('M%d %d'):format(x, y)
      or (i == 2 and 'l' or ' ') .. ('%d %d'):format(x - x0, y - y0)
    x0, y0 = x, y
  end
  return table.concat(parts)
end

local function places_of(points, X, Y, get)
  return tables.map(points, function(p) return {X(p.x), Y(get(p))} end)
end

local function band_of(points, X, Y)
  local places = places_of(points, X, Y, function(p) return p.low or p.y end)
  local above = places_of(points, X, Y, function(p) return p.high or p.y end)
  for i = #above, 1, -1 do places[#places + 1] = above[i] end
  return path_of(places) .. 'Z'
end

local function has_band(points)
  return tables.any(points, function(p) return p.low end)
end

--- The points of a piece that are drawn: every `step`-th epoch, so that all lines of a chart have
--- the same, and the first and the last.
local function thinned(piece, step)
  if step == 1 then return piece end
  local list = {}
  for i, p in ipairs(piece) do
    if i == 1 or i == #piece or p.x % step == 0 then list[#list + 1] = p end
  end
  return list
end

--- Attributes that the page's script shows values of: x as steps from one to the next, texts.
local function values_of(line, piece)
  if line.colour == 0 or line.thin or not piece[1].text then return nil, nil end
  local x, before = {}, 0
  for i, p in ipairs(piece) do x[i], before = ('%.10g'):format(p.x - before), p.x end
  return table.concat(x, ','), table.concat(tables.map(piece, function(p) return p.text end), ';')
end

local function draw_piece(line, piece, X, Y)
  local alone = #piece == 1
  local x, texts = values_of(line, piece)
  local places = places_of(piece, X, Y, function(p) return p.y end)
  if alone then places[2] = places[1] end -- a path without length, whose round ends are a dot
  return {
    has_band(piece) and not alone and html.path{class = 'band', d = band_of(piece, X, Y)},
    html.path{class = (line.thin and 'line thin' or 'line') .. (alone and ' dot' or ''),
              ['stroke-dasharray'] = DASHES[line.dash], ['data-x'] = x, ['data-v'] = texts,
              ['data-name'] = x and line.label, d = path_of(places),
              not x and html.title{line.label}},
  }
end

local function draw(line, X, Y, step)
  return html.g{class = 'c' .. line.colour, ['data-g'] = line.id, transform = 'scale(.1)',
                tables.map(pieces(line.points), function(piece)
    return draw_piece(line, thinned(piece, step), X, Y)
  end)}
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
---@param options? {logarithmic: boolean, over: string, most: integer} logarithmic: allow a
---  logarithmic axis; over: what x is, which is logarithmic then, as y is; each line has its label
---  at its end; most: points of a line
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
  local drawn, step = {}, over and 1 or math.ceil((box.x1 - box.x0) / (options.most or MANY_POINTS))
  for i = #series, 1, -1 do -- the first on top
    drawn[#drawn + 1] = draw(series[i], X, Y, math.max(1, step))
  end
  return html.svg{
    viewBox = ('0 0 %d %d'):format(WIDTH, HEIGHT), role = 'img', ['aria-label'] = title,
    ['data-axis'] = not over and ('%d %d %.10g %.10g'):format(LEFT, RIGHT, x.low, x.high),
    html.text{class = 'title', x = 0, y = 14, title, log and not over and ' (logarithmic)'},
    axes(BOX, x, y, X, Y), drawn,
    not over and html.line{class = 'rule', y1 = TOP, y2 = BOTTOM, visibility = 'hidden'},
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
