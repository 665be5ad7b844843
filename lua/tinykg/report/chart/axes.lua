--- The axes of a chart as SVG: lines of a grid at the ticks of y, ticks of x on the line below.
local html = require 'tinykg.report.page.html'

local LETTER, MARGIN = 7, 9 -- pixels: the width of a letter; behind the picture

---@param box {left: number, right: number, bottom: number} where the picture is
---@param x {ticks: table[]} scale ---@param y {ticks: table[]} scale
---@param X fun(value: number): number from a value to its place
---@param Y fun(value: number): number
---@return table[] parts
return function(box, x, y, X, Y)
  local parts = {}
  for _, tick in ipairs(y.ticks) do
    local at = Y(tick.at)
    parts[#parts + 1] = html.line{class = 'grid', x1 = box.left, x2 = box.right, y1 = at, y2 = at}
    parts[#parts + 1] = html.text{x = box.left - 6, y = at + 4, ['text-anchor'] = 'end', tick.label}
  end
  for _, tick in ipairs(x.ticks) do
    local at, below = X(tick.at), box.bottom
    parts[#parts + 1] = html.line{class = 'axis', x1 = at, x2 = at, y1 = below, y2 = below + 4}
    local half = LETTER * #tick.label / 2 -- a label near the right border ends there
    local over = at + half > box.right + MARGIN
    parts[#parts + 1] = html.text{x = over and box.right + MARGIN or at, y = below + 17,
                                  ['text-anchor'] = over and 'end' or 'middle', tick.label}
  end
  parts[#parts + 1] = html.line{class = 'axis', x1 = box.left, x2 = box.right, y1 = box.bottom,
                                y2 = box.bottom}
  return parts
end
