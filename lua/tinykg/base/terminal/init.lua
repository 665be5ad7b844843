--- What a terminal shows: its width, colour, bars.
local posix = require 'tinykg.base.posix'

local terminal = {}

local WIDTH = 80 -- of a stream that is no terminal, and of a terminal that does not say

--- The columns of a stream. ---@param descriptor integer 1 or 2 ---@return integer
function terminal.width(descriptor)
  local _, columns = posix.window(descriptor)
  return columns or WIDTH
end

local NARROWEST = 40 -- columns that text is laid out for

--- Columns that a line may take: one less than there are, as a full line would be wrapped.
---@param descriptor integer 1 or 2 ---@return integer
function terminal.room(descriptor)
  return math.max(NARROWEST, terminal.width(descriptor)) - 1
end

--- A line of a list, 'what' and, from column `at` on, its text, in lines that fit a terminal: what
--- goes on begins under the text. Elsewhere it is one line. ---@param descriptor integer
---@param what string ---@param at integer ---@param text string ---@return string
function terminal.listed(descriptor, what, at, text)
  local gap = (' '):rep(at - 1)
  local head = what .. (' '):rep(math.max(at > 1 and 1 or 0, at - 1 - #what))
  local room = terminal.width(descriptor) - at
  if not posix.is_terminal(descriptor) or room < 20 then return head .. text end
  local lines, now = {}, head
  for word in text:gmatch('%S+') do
    local blank = now:find('%S$') and ' ' or ''
    if #now + #blank + #word > at - 1 + room and now ~= head and now ~= gap then
      lines[#lines + 1], now, blank = now, gap, ''
    end
    now = now .. blank .. word
  end
  lines[#lines + 1] = now
  return table.concat(lines, '\n')
end

--- Whether a stream takes escape sequences: a terminal that is not dumb.
---@param descriptor integer ---@return boolean
function terminal.takes_escapes(descriptor)
  return posix.is_terminal(descriptor) and os.getenv('TERM') ~= 'dumb'
end

--- Whether a stream is written in colour: where it takes escape sequences, unless NO_COLOR is set
--- (no-color.org). ---@param descriptor integer ---@return boolean
function terminal.has_colour(descriptor)
  local refused = os.getenv('NO_COLOR')
  return (refused == nil or refused == '') and terminal.takes_escapes(descriptor)
end

local CODES = {bold = 1, dim = 2, red = 31, green = 32, yellow = 33, cyan = 36}

--- The text in a colour, or as it is where the stream has none.
---@param text string ---@param colour string bold, dim, red, green, yellow or cyan
---@param descriptor integer of the stream ---@return string
function terminal.paint(text, colour, descriptor)
  if not terminal.has_colour(descriptor) then return text end
  return ('\27[%dm%s\27[0m'):format(CODES[colour], text)
end

--- Empties the line of the cursor, such as one with the ^C that a terminal shows. Does nothing on a
--- stream that is no terminal. ---@param descriptor integer 1 or 2
function terminal.clear_line(descriptor)
  if not posix.is_terminal(descriptor) then return end
  local stream = descriptor == 1 and io.stdout or io.stderr
  stream:write(terminal.takes_escapes(descriptor) and '\r\27[K'
               or '\r' .. (' '):rep(terminal.width(descriptor) - 1) .. '\r')
  stream:flush()
end

--- A bar '[=====>    ]' of so many columns. ---@param share number done, 0 to 1
---@param columns integer at least 3 ---@return string
function terminal.bar(share, columns)
  local room = columns - 2
  local full = math.floor(math.max(0, math.min(share, 1)) * room)
  local head = full < room and full > 0 and '>' or ''
  return '[' .. ('='):rep(full - #head) .. head .. (' '):rep(room - full) .. ']'
end

local LEAST, MOST = 8, 26 -- columns of a bar; without room for the least there is none

--- 'before [===>  ] after' in at most so many columns.
---@param before string ---@param share number? 0 to 1; nil: no bar ---@param after string
---@param columns integer ---@return string
function terminal.with_bar(before, share, after, columns)
  local room = math.min(columns - #before - #after - 4, MOST)
  local bar = share and room >= LEAST and terminal.bar(share, room) .. '  ' or ''
  return (before .. '  ' .. bar .. after):sub(1, columns)
end

return terminal
