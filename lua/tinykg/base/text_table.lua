--- Tables of text for people to read.

local printable = require 'tinykg.base.printable'

--- Rows of texts in columns, two blanks apart.
---@param rows string[][]
---@param is_left? fun(column: integer): boolean columns to the left; without it, the first one
---@return string
return function(rows, is_left)
  local width, lines = {}, {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do width[c] = math.max(width[c] or 0, #cell) end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do
      local gap, left = (' '):rep(width[c] - #cell), c == 1
      if is_left then left = is_left(c) end
      cells[c] = left and cell .. gap or gap .. cell
    end
    lines[i] = printable.line(table.concat(cells, '  ')):gsub('%s+$', '')
  end
  return table.concat(lines, '\n')
end
