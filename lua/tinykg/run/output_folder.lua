--- Chooses and opens the folder that a run writes to, so that no other run is overwritten.
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local tables = require 'tinykg.base.tables'
local checksums = require 'tinykg.store.checksums'
local folder = require 'tinykg.run.folder'
local format_options = require 'tinykg.run.format_options'
local must = require 'tinykg.base.must'
local resume = require 'tinykg.run.resume'

local output_folder = {}

local LONGEST = 100 -- bytes of settings in a folder's name

--- Given settings as a part of a folder's name, '-dim=8-lr=0.003', so that runs that differ have
--- folders that differ. A long list is cut and gets a checksum of the whole.
---@param ... table<string, any>
---@return string
function output_folder.settings(...)
  local parts = {}
  for _, given in ipairs{...} do
    for _, text in ipairs(format_options(given)) do
      parts[#parts + 1] = '-' .. text:gsub('[^%w%.,=+_-]', '_')
    end
  end
  local all = table.concat(parts)
  if #all <= LONGEST then return all end
  return all:sub(1, LONGEST - 9) .. '-' .. checksums.of_text(all)
end

--- The last part of a data set's path. ---@param path string
function output_folder.data_name(path)
  local name = path:gsub('/+$', ''):match('[^/]*$')
  if name == '.' or name == '' then name = lfs.currentdir():match('[^/]*$') end
  return name
end

local function default_name(o)
  local s = o.settings
  local more = {rounding = s.rounding ~= 'dither' and s.rounding or nil, steps = s.steps}
  return ('runs/%s-%s-%sbit-seed%.0f%s'):format(o.recipe.name:lower(),
    output_folder.data_name(o.data), s.bits, o.seed,
    output_folder.settings(o.given or {}, o.data_given or {}, more))
end

--- The name of a file that a run would overwrite in a folder that is not a run's, or nil.
local function stray(path, text)
  for _, name in ipairs(folder.FILES) do
    local same = name == 'recipe.lua' and folder.text(path, name) == text or name == 'names.tsv'
      or name == 'split.bin'
    if not same and folder.has(path, name) then return name end -- a killed start leaves equal files
  end
end

--- Says why a run must not begin in a folder, as a clause, or nil.
local function occupied(path, config, text, recipe)
  if not folder.has(path, 'config.json') then
    local name = stray(path, text)
    return name and ('there is a %s, but no config.json, so it is not a run\'s folder: name '
      .. 'another --out, or --force moves it to previous/'):format(name)
  end
  folder.config(path) -- raises an error if another program wrote it
  local finished = folder.has(path, 'summary.json')
  local begun = folder.has(path, 'last.safetensors') or folder.has(path, 'best.safetensors')
  if not finished and not begun then return nil end
  local why = resume.differs(path, config, text, recipe)
  if why then
    return ('holds %s run with other settings: %s: name another --out, or --force moves it to '
      .. 'previous/'):format(finished and 'a finished' or 'an interrupted', why)
  end
  return finished and 'holds this run, finished: --resume shows its result or goes on for more '
    .. 'epochs, --force moves it to previous/ and begins anew'
    or 'holds this run, interrupted: --resume goes on with it, --force moves it to previous/ and '
    .. 'begins anew'
end

--- Whether a run goes on with what its folder has. Raises one line where it must not begin there.
local function goes_on(path, o, config)
  if folder.has(path, folder.SWEEP) then
    error(path .. ': holds a sweep; a run needs a folder of its own', 0)
  end
  if o.force then return false end
  if o.resume and folder.has(path, 'config.json') then
    local why = resume.differs(path, config, o.text, o.recipe)
    if not why then
      folder.tidy(path)
      return true
    elseif o.resume ~= 'if the same' then
      error(('%s: cannot go on: %s (another --out begins anew)'):format(path, why), 0)
    end
  end
  local why = occupied(path, config, o.text, o.recipe)
  if why then error(path .. ': ' .. why, 0) end
  return false
end

--- Opens the folder of a run and locks it; after an error it is not locked.
---@param o table options of tinykg.run ---@param config table the future config.json
---@return string path, boolean resuming, fun() unlock
function output_folder.open(o, config)
  if o.from and not (o.out and folder.has(o.out, 'config.json')) then
    error(('%s: no run is there that could go on from %s'):format(o.out or 'no --out', o.from), 0)
  end
  local path = o.out or folder.claim(default_name(o))
  must(atomic_file.mkdirs(path))
  local unlock = folder.lock(path)
  local ok, resuming = pcall(goes_on, path, o, config)
  if not ok then
    unlock()
    error(resuming, 0)
  end
  return path, resuming, unlock
end

--- The options of a run's data set with the seed of its split: that of the resumed run, else 0. It
--- does not depend on the seed of training.
---@return table<string, any>
function output_folder.data_options(o)
  local options = tables.merged(o.data_options)
  if options.seed then return options end
  local resuming = o.resume and o.out and folder.has(o.out, 'config.json')
  options.seed = resuming and folder.config(o.out).data_options.seed or 0
  return options
end

return output_folder
