--- What the prompt's terminal is like: its width, and whether it has colours.
local posix = require 'tinykg.base.posix'

local screen = {}

local NARROW, USUAL = 40, 80 -- columns: the least that text is laid out for; where nobody says

--- Columns that a line may take: one less than the terminal has, which would wrap a full line.
---@return integer
function screen.width()
  local _, columns = posix.window(1)
  return math.max(NARROW, columns or USUAL) - 1
end

local CODES = {error = '31', name = '1', prompt = '36', dim = '2'}

--- Whether a file descriptor is a terminal with colours. NO_COLOR, if it is not empty, says no
--- (no-color.org). ---@param descriptor integer
function screen.has_colour(descriptor)
  local no, term = os.getenv('NO_COLOR'), os.getenv('TERM')
  return (no == nil or no == '') and term ~= nil and term ~= 'dumb'
    and posix.is_terminal(descriptor)
end

--- A text in the colour of its kind ('error', 'name', 'prompt', 'dim'), or as it is.
---@param kind string ---@param text string ---@param descriptor? integer 1, standard output
---@return string
function screen.coloured(kind, text, descriptor)
  if not screen.has_colour(descriptor or 1) then return text end
  return '\27[' .. CODES[kind] .. 'm' .. text .. '\27[0m'
end

return screen
