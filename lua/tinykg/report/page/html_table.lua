--- Tables of the page: a head, and rows that begin with a name.
local html = require 'tinykg.report.page.html'

local html_table = {}

local LONG = 30 -- characters; longer names are wrapped

--- The name at the beginning of a row.
function html_table.name(text)
  return html.th{scope = 'row', class = #text > LONG and 'long', text}
end

--- The head of a column of numbers.
function html_table.number(name, unit, title)
  return html.th{class = 'n', title = title, name, unit and html.span{class = 'unit', ' ', unit}}
end

--- The whole table, which scrolls if it is too wide. ---@param head? table cells
---@param sorts? boolean whether a click on a head sorts the rows
function html_table.of(head, rows, sorts)
  return html.div{class = 'scroll', html.table{
    class = sorts and 'sorts', head and html.thead{html.tr{head}}, html.tbody{rows}}}
end

return html_table
