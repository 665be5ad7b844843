--- Text for people: what a terminal may be shown, tables, sizes, durations and counts.
--
-- A terminal obeys control characters: those of ASCII (an escape sets its title, moves in it,
-- clears it) and, in UTF-8, U+0080 to U+009F. Names, titles and messages with them may come from
-- other people, so each control character is shown as `?`, and a tab as a blank. Files (--json,
-- .tsv) have names with them.
local utf8 = require 'tinykg.base.utf8'

local format = {}

--- One line that a terminal may be shown.
---@param text any what is no text is made one
---@return string
function format.line(text)
  return (utf8.valid(tostring(text)):gsub('\194[\128-\159]', '?'):gsub('\t', ' '):gsub('%c', '?'))
end

--- The same of a text of several lines, which stay lines.
---@param text any
---@return string
function format.lines(text)
  return (tostring(text):gsub('[^\n]+', format.line))
end

--- A name as a cell of a .tsv file: quoted, as in CSV, where it has quotation marks, which would
--- else hide the ends of lines from readers of tables; tabs and ends of lines are blanks.
---@param name string ---@return string
function format.cell(name)
  name = name:gsub('[\t\r\n]', ' ')
  return name:find('"', 1, true) and '"' .. name:gsub('"', '""') .. '"' or name
end

--- Prints one line.
function format.print(text) print(format.line(text)) end

--- A text without blanks around it, in time linear in its length: the pattern '^%s*(.-)%s*$' takes
--- quadratic time where blanks are many. ---@param text string ---@return string
function format.trimmed(text)
  local first = text:find('%S')
  return first and text:match('^.*%S', first) or ''
end

--- A word as a shell reads it. ---@param word string ---@return string
function format.quoted(word)
  return word:find('^[%w_%./,:=+@%%-]+$') and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Text in lines of at most so many columns, broken at blanks; a longer word has its own line.
---@param text any ---@param columns integer ---@param indent? string of all lines but the first
---@return string
function format.wrapped(text, columns, indent)
  local lines, now = {}, nil
  for word in format.line(text):gmatch('%S+') do
    if now and utf8.columns(now) + 1 + utf8.columns(word) > columns then
      lines[#lines + 1], now = now, (indent or '') .. word
    else
      now = now and now .. ' ' .. word or word
    end
  end
  lines[#lines + 1] = now
  return table.concat(lines, '\n')
end

--- Rows of texts in columns, two blanks apart.
---@param rows string[][]
---@param is_left? fun(column: integer): boolean columns to the left; without it, the first one
---@return string
function format.table(rows, is_left)
  local width, lines = {}, {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do
      width[c] = math.max(width[c] or 0, utf8.columns(format.line(cell)))
    end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do
      local gap, left = (' '):rep(width[c] - utf8.columns(format.line(cell))), c == 1
      if is_left then left = is_left(c) end
      cells[c] = left and cell .. gap or gap .. cell
    end
    lines[i] = format.line(table.concat(cells, '  ')):match('^.*%S') or ''
  end
  return table.concat(lines, '\n')
end

--- The shortest text that is the same number again.
function format.number(x)
  for digits = 15, 16 do
    local text = ('%.' .. digits .. 'g'):format(x)
    if tonumber(text) == x then return text end
  end
  return ('%.17g'):format(x)
end

--- 1234567 -> '1.2 MiB'
function format.bytes(n)
  local units = {'B', 'KiB', 'MiB', 'GiB', 'TiB'}
  local u = 1
  while n >= 1024 and u < #units do n, u = n / 1024, u + 1 end
  return (u == 1 and '%.0f %s' or '%.1f %s'):format(n, units[u])
end

--- 3725 -> '1:02:05'
function format.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then return ('%d:%02d:%02d'):format(s / 3600, s % 3600 / 60, s % 60) end
  return ('%d:%02d'):format(s / 60, s % 60)
end

--- A number and what there are so many of: '1 run', '3 runs'.
---@param n integer ---@param noun string ---@param plural? string noun .. 's' by default
function format.count(n, noun, plural)
  return ('%d %s'):format(n, n == 1 and noun or plural or noun .. 's')
end

return format
