--- Pictures of growth as files: a page, and an SVG for each chart.
local atomic_file = require 'tinykg.base.atomic_file'
local growth = require 'tinykg.report.chart.growth'
local html = require 'tinykg.report.page.html'
local must = require 'tinykg.base.must'
local style = require 'tinykg.report.page.style'

local page = {}

local function write_svg(path, svg)
  svg.xmlns = 'http://www.w3.org/2000/svg'
  table.insert(svg, 1, html.style{style})
  must(atomic_file.write(path, html.markup(svg)))
end

--- Writes DIR/growth.html and a file for each chart.
---@param dir string ---@param records table[] of tinykg.bench.growth
function page.write(dir, records)
  must(atomic_file.write(dir .. '/growth.html', html.page(html.html{
    html.head{html.meta{charset = 'utf-8'}, html.title{'Growth'}, html.style{style}},
    html.body{growth.render(records)}})))
  for _, chart in ipairs(growth.charts(records)) do
    write_svg(dir .. '/' .. chart.file, chart.element)
  end
end

return page
