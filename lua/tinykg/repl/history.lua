--- The history of the prompt, in $XDG_STATE_HOME/tinykg/history. Each line is written at once, so
-- that none is lost and several sessions can share the file.
local atomic_file = require 'tinykg.base.atomic_file'
local read_file = require 'tinykg.base.read_file'

local history = {}

local KEPT, ROOM = 1000, 1500 -- a file of more than ROOM lines is cut to KEPT

local function state_folder()
  local state, home = os.getenv('XDG_STATE_HOME'), os.getenv('HOME')
  if state and state:find('^/') then return state end
  return home and home ~= '' and home .. '/.local/state' or nil
end

--- Cuts the file to KEPT lines; returns the last one.
local function shorten(path)
  local lines = {}
  for line in (read_file(path) or ''):gmatch('[^\n]+') do lines[#lines + 1] = line end
  if #lines > ROOM then
    local text = table.concat(lines, '\n', #lines - KEPT + 1) .. '\n'
    atomic_file.write(path, text)
  end
  return lines[#lines]
end

--- Opens the history. ---@return table? history {path, last line, add = function(self, line)}
---@return string? message why there is none
function history.open()
  local state = state_folder()
  if not state then return nil, 'HOME is not set' end
  local folder = state .. '/tinykg'
  local ok, why = atomic_file.mkdirs(folder)
  if not ok then return nil, why end
  local path = folder .. '/history'
  local last = shorten(path)
  local file, message = io.open(path, 'a')
  if not file then return nil, message end
  return {path = path, last = last, add = function(_, line)
    file:write(line, '\n')
    file:flush()
  end}
end

return history
