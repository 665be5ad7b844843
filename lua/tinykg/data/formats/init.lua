--- Which format a folder is in: of those whose files are all there, the one with most files.

local lfs = require 'lfs'

local choose = {}

-- Of equal ones the first.
local loaders = {
  require 'tinykg.data.formats.recbole',
  require 'tinykg.data.formats.kgcn',
  require 'tinykg.data.formats.kgat',
  require 'tinykg.data.formats.plain',
}

--- The loaders by name.
choose.formats = {}
for _, loader in ipairs(loaders) do choose.formats[loader.name] = loader end

local function check_folder(dir)
  local mode = lfs.attributes(dir, 'mode')
  if not mode then error(('%s: no such folder'):format(dir), 0) end
  if mode ~= 'directory' then error(('%s: not a folder'):format(dir), 0) end
end

local function nothing_found(dir)
  local looked_for = {}
  for i, loader in ipairs(loaders) do
    looked_for[i] = ('%s (%s)'):format(loader.looked_for, loader.name)
  end
  error(('%s: no data set found: looked for %s'):format(dir, table.concat(looked_for, ', ')), 0)
end

--- The loader for a folder. Raises a message where there is none.
---@param dir string
---@param format string? the one that is asked for
---@return table loader
---@return string? warning where there are files of another format too
function choose.loader(dir, format)
  check_folder(dir)
  if format then return choose.formats[format] end
  local best, most, others = nil, 0, {}
  for _, loader in ipairs(loaders) do
    local score = loader.score(dir)
    if score > most then best, most = loader, score end
    if score >= 1 then others[#others + 1] = loader.name end
  end
  if not best then nothing_found(dir) end
  if #others < 2 then return best end
  for i = #others, 1, -1 do
    if others[i] == best.name then table.remove(others, i) end
  end
  return best, ('read as %s, though there are files of %s too: --data-set format=%s reads those')
    :format(best.name, table.concat(others, ' and '), others[1])
end

return choose
