--- Recognises the format of a folder: of those whose files are all there, the one with most files.

local lfs = require 'lfs'
local tables = require 'tinykg.base.tables'

local choose = {}

-- The first one counts if several have as many files.
local formats = {
  require 'tinykg.data.formats.recbole',
  require 'tinykg.data.formats.kgcn',
  require 'tinykg.data.formats.kgat',
  require 'tinykg.data.formats.plain',
}

--- The formats by name.
choose.formats = {}
for _, format in ipairs(formats) do choose.formats[format.name] = format end

local function check_folder(dir)
  if dir == '' then error('the name of the data set is empty: it is a folder', 0) end
  local mode = lfs.attributes(dir, 'mode')
  if not mode then error(('%s: no such folder'):format(dir), 0) end
  if mode ~= 'directory' then
    error(dir .. ': not a folder: a data set is a folder, with interactions.csv (user, item), or '
      .. 'files of KGAT, KGCN or RecBole', 0)
  end
end

local function nothing_found(dir)
  local looked_for = tables.map(formats, function(format)
    return ('%s (%s)'):format(format.looked_for, format.name)
  end)
  error(('%s: no data set found: looked for %s'):format(dir, table.concat(looked_for, ', ')), 0)
end

--- The format of a folder. Errors: none is found.
---@param dir string
---@param name string? the format asked for
---@return table format
---@return string? warning if there are files of another format too
function choose.of_folder(dir, name)
  check_folder(dir)
  if name then return choose.formats[name] end
  local best, most, others = nil, 0, {}
  for _, format in ipairs(formats) do
    local score = format.score(dir)
    if score > most then best, most = format, score end
    if score >= 1 then others[#others + 1] = format.name end
  end
  if not best then nothing_found(dir) end
  if #others < 2 then return best end
  others = tables.filter(others, function(other) return other ~= best.name end)
  return best, ('read as %s, though there are files of %s too: --data-set format=%s reads those')
    :format(best.name, table.concat(others, ' and '), others[1])
end

return choose
