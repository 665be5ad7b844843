--- Where `require` looks for modules. A relative entry of package.path, such as the ./?.lua that Lua
--- begins with, means whichever folder one is in: often one that somebody else filled.
local search_path = {}

--- The entries of a path for which keep(is_absolute) holds, in order.
local function entries(path, keep)
  local list = {}
  for entry in path:gmatch('[^;]+') do
    if keep(entry:sub(1, 1) == '/') then list[#list + 1] = entry end
  end
  return table.concat(list, ';')
end

local function is_absolute(absolute) return absolute end
local function is_relative(absolute) return not absolute end

--- Removes the relative entries, those of LUA_PATH and LUA_CPATH too. For a program of our own.
function search_path.only_absolute()
  package.path = entries(package.path, is_absolute)
  package.cpath = entries(package.cpath, is_absolute)
end

--- Moves the relative entries behind the others, so that the modules of the system are found first.
--- For a program of the user's, whose own modules may lie where it is run.
function search_path.relative_last()
  for _, key in ipairs{'path', 'cpath'} do
    local first, last = entries(package[key], is_absolute), entries(package[key], is_relative)
    package[key] = first .. (first ~= '' and last ~= '' and ';' or '') .. last
  end
end

--- Adds the folder of a Lua file that the user named, behind all others: its modules lie beside it.
---@param file string
function search_path.add_folder_of(file)
  local folder = file:match('^(.*)/[^/]*$') or '.'
  if folder:sub(1, 1) ~= '/' then folder = require('lfs').currentdir() .. '/' .. folder end
  if folder:find('[;?]') then return end -- a path has no way to name such a folder
  local entry = folder:gsub('/%.$', '') .. '/?.lua'
  if not (';' .. package.path .. ';'):find(';' .. entry .. ';', 1, true) then
    package.path = package.path .. ';' .. entry
  end
end

return search_path
