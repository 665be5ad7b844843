--- Where `require` looks for modules. A relative entry of package.path, such as Lua's own ./?.lua,
--- means the current folder, which may hold somebody else's files.
local search_path = {}

local function is_absolute(entry) return entry:sub(1, 1) == '/' end

--- Splits a path into its absolute and its relative entries.
local function parted(path)
  local absolute, relative = {}, {}
  for entry in path:gmatch('[^;]+') do
    local list = is_absolute(entry) and absolute or relative
    list[#list + 1] = entry
  end
  return table.concat(absolute, ';'), table.concat(relative, ';')
end

--- Removes the relative entries, also those of LUA_PATH and LUA_CPATH, for a program of the
--- project.
---@return string path, string cpath the entries removed
function search_path.only_absolute()
  local path, cpath
  package.path, path = parted(package.path)
  package.cpath, cpath = parted(package.cpath)
  return path, cpath
end

-- All of package.path is searched before package.cpath, so an entry at its end could still hide a C
-- library of the system. A searcher at the end of package.loaders cannot.
local last = {path = '', cpath = ''}

local function searcher(name)
  local file, tried = package.searchpath(name, last.path)
  local loader, why
  if file then
    loader, why = loadfile(file)
  else
    file = package.searchpath(name, last.cpath)
    if not file then return tried end
    loader, why = package.loadlib(file, 'luaopen_' .. name:gsub('^.*%-', ''):gsub('%.', '_'))
  end
  if loader then return loader end
  error(("error loading module '%s' from file '%s':\n\t%s"):format(name, file, why), 0)
end

--- Adds entries that are searched when no other place has the module.
local function add_last(key, entries)
  if not last.added then
    last.added = true
    table.insert(package.loaders, searcher)
  end
  if (';' .. last[key] .. ';'):find(';' .. entries .. ';', 1, true) then return end
  last[key] = last[key] .. (last[key] ~= '' and entries ~= '' and ';' or '') .. entries
end

--- Moves the relative entries to the end, for a program of the user's: its modules may lie in the
--- current folder, but cannot take the place of the library's or of those that the library needs.
function search_path.relative_last()
  local path, cpath = search_path.only_absolute()
  add_last('path', path)
  add_last('cpath', cpath)
end

local function folder_of(file)
  local folder = file:match('^(.*)/[^/]*$') or '.'
  return is_absolute(folder) and folder or require('lfs').currentdir() .. '/' .. folder
end

--- The file of a module that lies beside a Lua file. ---@return string path
function search_path.beside(file, name)
  return folder_of(file) .. '/' .. name:gsub('%.', '/') .. '.lua'
end

--- The files of the loaded modules that lie beside a Lua file, by name.
---@param file string ---@return table<string, string>
function search_path.loaded_beside(file)
  local found = {}
  for name in pairs(package.loaded) do
    local path = search_path.beside(file, name)
    local elsewhere = package.searchpath(name, package.path) -- where it is looked for first
      or package.searchpath(name, package.cpath)
    if not elsewhere and package.searchpath(name, path) then found[name] = path end
  end
  return found
end

--- Adds the folder of a Lua file at the end, for modules that lie beside it.
---@param file string
function search_path.add_folder_of(file)
  local folder = folder_of(file)
  if folder:find('[;?]') then return end -- no entry can name such a folder
  add_last('path', folder .. '/?.lua')
end

return search_path
