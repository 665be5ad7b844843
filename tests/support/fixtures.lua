--- Temporary folders and files for specs.

local lfs = require 'lfs'
local json = require 'tinykg.base.json'
local read_file = require 'tinykg.base.read_file'

local fixtures = {}

local made = {}

--- Removes a file, or a folder with all that is in it.
function fixtures.remove(path)
  if lfs.symlinkattributes(path, 'mode') == 'directory' then
    for entry in lfs.dir(path) do
      if entry ~= '.' and entry ~= '..' then fixtures.remove(path .. '/' .. entry) end
    end
  end
  os.remove(path)
end

--- Makes a folder; `contents` maps file names (with sub/folders) to text or lists of lines.
function fixtures.dir(contents)
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  made[#made + 1] = path
  for name, text in pairs(contents or {}) do fixtures.write(path .. '/' .. name, text) end
  return path
end

--- Writes a file: text as it is, or lines that each get a line end. Makes one missing folder.
function fixtures.write(path, text)
  local parent = path:match('^(.*)/')
  if not lfs.attributes(parent, 'mode') then assert(lfs.mkdir(parent)) end
  local file = assert(io.open(path, 'wb'))
  file:write(type(text) == 'table' and table.concat(text, '\n') .. '\n' or text)
  file:close()
  return path
end

--- Copies `base` and puts the entries of `changes` into the copy; false removes an entry.
function fixtures.merged(base, changes)
  local all = {}
  for key, value in pairs(base) do all[key] = value end
  for key, value in pairs(changes or {}) do all[key] = value or nil end
  return all
end

--- Removes all folders that dir made.
function fixtures.clean()
  for _, path in ipairs(made) do fixtures.remove(path) end
  made = {}
end

--- Returns whether a command-line tool is installed.
function fixtures.has_tool(name)
  return os.execute('command -v ' .. name .. ' >/dev/null 2>&1') == 0
end

--- Compresses path with gzip or xz; returns the new path, or nil without the tool.
function fixtures.compress(path, tool)
  if not fixtures.has_tool(tool) then return nil end
  assert(os.execute(tool .. " -f '" .. path .. "'") == 0)
  return path .. (tool == 'xz' and '.xz' or '.gz')
end

--- Returns the names in a folder, sorted.
function fixtures.names(dir)
  local list = {}
  for entry in lfs.dir(dir) do
    if entry ~= '.' and entry ~= '..' then list[#list + 1] = entry end
  end
  table.sort(list)
  return list
end

--- Returns the bytes of a file.
function fixtures.bytes(path)
  local file = assert(io.open(path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

--- The value of a JSON file; nil and a message if it cannot be read or is not JSON.
function fixtures.json(path)
  local text, message = read_file(path)
  if not text then return nil, message end
  return json.decode(text, path)
end

--- Returns n elements of an FFI array as a list, those from `first` on, 0 by default.
function fixtures.list(array, n, first)
  local list = {}
  for i = 1, n do list[i] = array[(first or 0) + i - 1] end
  return list
end

--- Returns the message that a call raises, as a string. Fails if it raises none.
function fixtures.message(call, ...)
  local ok, message = pcall(call, ...)
  assert(not ok, 'expected an error')
  return tostring(message)
end

--- Returns the rows of a part as sorted texts 'user item [label]'.
function fixtures.pairs_of(part)
  local list = {}
  for i = 0, part.n - 1 do
    list[i + 1] = ('%d %d'):format(part.users[i], part.items[i])
      .. (part.labels and (' %g'):format(part.labels[i]) or '')
  end
  table.sort(list)
  return list
end

--- Returns the triples of a graph as texts 'head relation tail', in order.
function fixtures.triples_of(graph)
  local list = {}
  for i = 0, graph.n - 1 do
    list[i + 1] = ('%d %d %d'):format(graph.heads[i], graph.relations[i], graph.tails[i])
  end
  return list
end

return fixtures
