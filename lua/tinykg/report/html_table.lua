--- Tables of the page: a head, rows that each begin with a name.
local html = require 'tinykg.report.html'

local html_table = {}

local LONG = 30 -- names up to here stay on a line

--- The name that a row begins with.
function html_table.name(text)
  return html.th{scope = 'row', class = #text > LONG and 'long', text}
end

--- The head of a column of numbers.
function html_table.number(name, unit, title)
  return html.th{class = 'n', title = title, name, unit and html.span{class = 'unit', ' ', unit}}
end

--- The whole table, which scrolls by itself where it is too wide. ---@param head? table cells
function html_table.of(head, rows)
  return html.div{class = 'scroll',
                  html.table{head and html.thead{html.tr{head}}, html.tbody{rows}}}
end

return html_table
