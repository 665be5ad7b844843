--- Text of other people, names and titles and messages with them, as a terminal may be shown it.
-- A terminal obeys control characters: those of ASCII (an escape sets its title, moves in it,
-- clears it) and, in UTF-8, U+0080 to U+009F. Each is shown as `?`, as the readers of tables show
-- it; a tab is a blank. Letters of any script stay. Files (--json, .tsv) have names as they are.
local utf8 = require 'tinykg.base.utf8'

local printable = {}

--- One line of a text.
---@param text any what is no text is made one
---@return string
function printable.line(text)
  return (utf8.valid(tostring(text)):gsub('\194[\128-\159]', '?'):gsub('\t', ' '):gsub('%c', '?'))
end

--- A text of several lines, which stay lines.
---@param text any
---@return string
function printable.lines(text)
  return (tostring(text):gsub('[^\n]+', printable.line))
end

--- Prints one line.
function printable.print(text) print(printable.line(text)) end

return printable
