--- Horizontal bars as SVG, in segments, with a label before and a text behind each bar.
local html = require 'tinykg.report.page.html'
local scale = require 'tinykg.report.chart.scale'

local bars = {}

local WIDTH, ROW, BAR, TEXT = 920, 24, 13, 215
local LETTER = 6.4 -- average width in pixels
local LONGEST = 44 -- letters of a label

---@class Bar
---@field label string
---@field segments {value: number, class: string, title: string?}[] one behind the other
---@field outline number? a second bar around them, for comparison
---@field title string? of the outline
---@field text string behind the bar

--- A label cut to LONGEST letters, and its length. The phase, behind a colon, stays.
local function shortened(text)
  local letters = {}
  for letter in text:gmatch('[%z\1-\127\194-\255][\128-\191]*') do
    letters[#letters + 1] = letter
  end
  if #letters <= LONGEST then return text, #letters end
  local tail = text:match(': [%w_.-]*$') or ''
  local kept = #tail < LONGEST / 2 and LONGEST - 1 - #tail or LONGEST - 1
  return table.concat(letters, '', 1, kept) .. '\226\128\166'
    .. (kept < LONGEST - 1 and tail or ''), LONGEST
end

local function most(rows)
  local highest, longest = 0, 0
  for _, row in ipairs(rows) do
    local sum = 0
    for _, segment in ipairs(row.segments) do sum = sum + segment.value end
    highest = math.max(highest, sum, row.outline or 0)
    longest = math.max(longest, select(2, shortened(row.label)))
  end
  return highest, longest
end

local function draw_row(row, y, left, X)
  local parts, at = {}, 0
  if row.outline then
    parts[1] = html.rect{class = 'outline', x = left, y = y, width = X(row.outline) - left,
                         height = BAR, row.title and html.title{row.title}}
  end
  for _, segment in ipairs(row.segments) do
    if segment.value > 0 then
      parts[#parts + 1] = html.rect{
        class = 'segment ' .. segment.class, x = X(at), y = y, height = BAR,
        width = math.max(X(at + segment.value) - X(at), 0.8),
        segment.title and html.title{segment.title}}
      at = at + segment.value
    end
  end
  local short = shortened(row.label)
  return {
    html.text{x = left - 8, y = y + 11, ['text-anchor'] = 'end', short,
              short ~= row.label and html.title{row.label}},
    parts, html.text{class = 'strong', x = X(math.max(at, row.outline or 0)) + 7, y = y + 11,
                     row.text},
  }
end

--- A chart of bytes. ---@param title string ---@param rows Bar[]
function bars.chart(title, rows)
  local highest, longest = most(rows)
  local left = math.max(60, longest * LETTER + 14)
  local axis = scale.bytes(highest)
  local function X(value) return left + axis.place(value) * (WIDTH - TEXT - left) end
  local bottom = 4 + #rows * ROW
  local parts = {}
  for _, tick in ipairs(axis.ticks) do
    local at = X(tick.at)
    parts[#parts + 1] = html.line{class = 'grid', x1 = at, x2 = at, y1 = 0, y2 = bottom}
    parts[#parts + 1] = html.text{x = at, y = bottom + 14, ['text-anchor'] = 'middle', tick.label}
  end
  for i, row in ipairs(rows) do
    parts[#parts + 1] = draw_row(row, 6 + (i - 1) * ROW, left, X)
  end
  return html.div{class = 'scroll', html.svg{
    class = 'wide', viewBox = ('0 0 %d %d'):format(WIDTH, bottom + 20), role = 'img',
    ['aria-label'] = title, parts}}
end

--- A legend of segments. ---@param entries {class: string, label: string, id: string?}[]
---  id: of the series that it hides
function bars.legend(entries)
  local items = {}
  for i, entry in ipairs(entries) do
    items[i] = html.li{
      ['data-g'] = entry.id,
      html.svg{class = 'sample', viewBox = '0 0 12 12', width = 12, height = 12,
               html.rect{class = entry.outline and 'outline' or 'segment ' .. entry.class, x = 0.5,
                         y = 0.5, width = 11, height = 11}},
      ' ', entry.label}
  end
  return html.ul{class = 'legend', items}
end

return bars
