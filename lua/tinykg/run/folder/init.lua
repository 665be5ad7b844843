--- The folder of a run: names of its files, reading and writing them. Of several ranks the first
--- alone writes.
--   recipe.lua          the recipe as it was
--   names.tsv           users, items, entities and relations as the model numbers them
--   split.bin           the part of each interaction (tinykg.data.restore)
--   config.json         every option, seed, version, device, and a fingerprint of the data set;
--                       written after the files above, it makes the folder a run's
--   log.jsonl           one object per epoch
--   best.safetensors    parameters of the best epoch
--   last.safetensors    all that is needed to go on (tinykg.run.folder.checkpoint)
--   last-1.safetensors  the checkpoint before it, in case it is damaged
--   per_user.tsv        test metrics of each user, with the option per_user
--   kept.json           the values that each phase's step keeps for backward
--   profile.json        seconds, bytes and flops by op, of run --profile; trace.json its events
--   summary.json        metrics, memory, kept bytes, times; written when the run is finished
--   previous/           files that --force moved away; then previous-2/, ...
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local clock = require 'tinykg.base.clock'
local close_word = require 'tinykg.base.arguments.close_word'
local folder_entries = require 'tinykg.base.folder_entries'
local tables = require 'tinykg.base.tables'
local json_checksum = require 'tinykg.run.folder.json_checksum'
local must = require 'tinykg.base.must'
local posix = require 'tinykg.base.posix'
local ranks = require 'tinykg.engine.ranks'
local read_file = require 'tinykg.base.read_file'
local schema = require 'tinykg.run.folder.schema'

local folder = {}

folder.NEXT = 'next.safetensors' -- a checkpoint that is not last.safetensors yet
folder.SWEEP = 'batch.json' -- the settings of a sweep, in its folder
--- In the order in which a run first writes them; config.json is last because it makes the folder a
--- run's.
folder.FILES = {'recipe.lua', 'names.tsv', 'split.bin', 'log.jsonl', 'best.safetensors',
                'last.safetensors', 'last-1.safetensors', 'profile.json', 'trace.json',
                'per_user.tsv', 'kept.json',
                'summary.json', 'config.json'}

--- Whether a path is that of a file that a run in the same folder reads again, or leads to one.
---@param path string ---@return boolean
function folder.owns(path)
  path = posix.realpath(path) or path
  local parent, name = path:match '^(.*)/([^/]+)$'
  parent, name = parent or '.', name or path
  return name == folder.SWEEP and lfs.attributes(path) ~= nil
    or tables.any(folder.FILES, function(own) return own == name end)
    and lfs.attributes(parent .. '/config.json', 'mode') ~= nil
end

--- What a run writes at its end, of all its epochs; the file that says that it is finished first.
local RESULTS = {'summary.json', 'per_user.tsv', 'profile.json', 'trace.json'}

--- Removes the results of a run that goes on: they are of a shorter training.
function folder.remove_results(path)
  for _, name in ipairs(RESULTS) do os.remove(path .. '/' .. name) end
end

function folder.has(path, name) return lfs.attributes(path .. '/' .. name, 'mode') == 'file' end

--- The text of a file; nil if there is none.
function folder.text(path, name) return (read_file(path .. '/' .. name)) end

local MOST_OUTPUT = 4000 -- bytes

--- The end of what a job of a sweep printed, its last line, and whether it printed no more.
---@return string text ---@return string line ---@return boolean whole
function folder.output(path)
  local file = io.open(path .. '/output.txt', 'rb')
  if not file then return '', '', true end
  local size = file:seek('end')
  file:seek('set', math.max(0, size - MOST_OUTPUT))
  local text = file:read('*a')
  file:close()
  return text, ('\n' .. text):match('.*\n([^\n]+)') or '', size <= MOST_OUTPUT
end

--- Writes a file. A link is replaced, not followed: the folder may have come from somebody else.
function folder.write_text(path, name, text)
  if not ranks.is_first() then return end
  must(atomic_file.write(path .. '/' .. name, text, {links = false}))
end

--- Writes an object as JSON with a checksum.
function folder.write(path, name, value)
  folder.write_text(path, name, json_checksum.encode(value, {indent = 2}) .. '\n')
end

local SCHEMAS = {['config.json'] = schema.CONFIG, ['summary.json'] = schema.SUMMARY,
               ['kept.json'] = schema.KEPT}

folder.CODES = 2 -- the format of codes: since 2 dither is affine unless said otherwise

--- Older versions had one kind of dither, now dither-independent.
local function name_rounding(settings)
  if not settings.codes and (settings.rounding or 'dither') == 'dither' then
    settings.rounding = 'dither-independent'
  end
end

--- The value of a JSON file of the run; nil if there is none. Raises one line for a broken one.
function folder.read(path, name)
  if not folder.has(path, name) then return nil end
  local value, message = json_checksum.decode(folder.text(path, name), path .. '/' .. name)
  if value == nil then error(message, 0) end
  local why = SCHEMAS[name] and schema.mismatch(value, SCHEMAS[name])
  if why then error(('%s/%s: not as a run writes it: %s'):format(path, name, why), 0) end
  if name == 'config.json' or name == folder.SWEEP then name_rounding(value) end
  return value
end

--- ': did you mean runs/kgat?' where a folder beside one that is missing has a name close to its.
local function beside(path)
  local above, name = path:match('^(.*/)([^/]+)/*$')
  above, name = above or '', name or path
  local ok, names = pcall(folder_entries, above == '' and '.' or above)
  names = tables.filter(ok and names or {}, function(other)
    return folder.has(above .. other, 'config.json') or folder.has(above .. other, folder.SWEEP)
  end)
  local close = close_word.of(name, names)
  return close and (': did you mean %s%s?'):format(above, close) or ''
end

--- Says what a folder without config.json is.
local function no_run(path)
  if not folder.has(path, folder.SWEEP) then
    return ': not the folder of a run (it has no config.json)'
  end
  local runs = tables.filter(folder_entries(path), function(name)
    return folder.has(path .. '/' .. name, 'config.json')
  end)
  return ': a sweep, not a run' .. (runs[1] and (': name one of its runs, as %s/%s'):format(
    path:gsub('(.)/+$', '%1'), runs[1]) or '')
end

--- The configuration of a run's folder. Raises one line if there is none. Older versions named the
--- seed of the split only where it was not the run's.
function folder.config(path)
  if not lfs.attributes(path, 'mode') then error(path .. ': no such run' .. beside(path), 0) end
  local config = folder.read(path, 'config.json')
  if not config then error(path .. no_run(path), 0) end
  config.data_options = config.data_options or {}
  config.data_options.seed = config.data_options.seed or config.seed
  return config
end

-- ---- the folder of a new run ----

--- Makes a new folder: `base`, or base-2, base-3, ... if other processes have made those.
function folder.claim(base)
  must(atomic_file.mkdirs(base:match('^(.*)/[^/]*$') or '.'))
  local path, n = base, 1
  while true do
    local ok, why = lfs.mkdir(path)
    if ok then return path end
    if not lfs.symlinkattributes(path, 'mode') then
      error(('%s: cannot be made: %s'):format(path, tostring(why)), 0)
    end
    n = n + 1
    path = base .. '-' .. n
  end
end

--- Names of FILES that are there, and of event files: TensorBoard takes all of a folder as one run.
local function files_of(path)
  local logs = tables.filter(folder_entries(path), function(name)
    return name:find('tfevents', 1, true)
  end)
  return tables.append(logs, tables.filter(folder.FILES, function(name)
    return folder.has(path, name)
  end))
end

--- Prepares the folder for a new run: moves the files of an earlier one to previous/.
function folder.fresh(path)
  if not ranks.is_first() then return end
  must(atomic_file.mkdirs(path))
  local files = files_of(path)
  if #files == 0 then return end
  local aside = folder.claim(path .. '/previous')
  for _, name in ipairs(files) do must(os.rename(path .. '/' .. name, aside .. '/' .. name)) end
end

-- ---- one writer at a time ----

local PATIENCE = 3 -- seconds: a job outlives its sweep, when that is killed, for a moment

--- Locks a folder against other processes until this process ends or calls the result. Raises one
--- line when another process has the lock.
---@param path string an existing folder
---@return fun() unlock
function folder.lock(path)
  local until_then = clock.now() + PATIENCE
  local descriptor = posix.open(path, posix.O_CLOEXEC)
  while descriptor and posix.lock(descriptor) == false do
    if clock.now() > until_then then
      posix.close(descriptor)
      error(path .. ': another process is writing there', 0)
    end
    clock.sleep(0.05)
  end
  return function() if descriptor then posix.close(descriptor) end end
end

--- Removes unfinished files of a run that was killed.
function folder.tidy(path)
  for _, name in ipairs(folder_entries(path)) do
    if atomic_file.is_unfinished(name) or name == folder.NEXT then
      os.remove(path .. '/' .. name)
    end
  end
end

--- The records of log.jsonl. A line that a crash cut off is left out; raises one line for a damaged
--- one.
function folder.log(path)
  local list, number = {}, 0
  for line, ending in (folder.text(path, 'log.jsonl') or ''):gmatch('([^\n]+)(\n?)') do
    number = number + 1
    local record = json_checksum.line(line, ending ~= '', ('%s/log.jsonl:%d'):format(path, number))
    if type(record) == 'table' and type(record.epoch) == 'number' then list[#list + 1] = record end
  end
  return list
end

--- A function that adds a record to log.jsonl. Records of later epochs than `epoch` are removed:
--- that work was lost.
---@param epoch? integer nil: all records are removed
function folder.logger(path, epoch)
  if not ranks.is_first() then return function() end end
  local lines, name = {}, path .. '/log.jsonl'
  for _, record in ipairs(epoch and folder.log(path) or {}) do
    if record.epoch <= epoch then lines[#lines + 1] = json_checksum.encode(record) .. '\n' end
  end
  folder.write_text(path, 'log.jsonl', table.concat(lines))
  local file = must(atomic_file.append(name))
  return function(record)
    local done, why = file:write(json_checksum.encode(record), '\n')
    if done then done, why = file:flush() end
    if not done then error(name .. ': ' .. tostring(why), 0) end
  end
end

--- The absolute path.
function folder.absolute(path)
  return path:match('^/') and path or lfs.currentdir() .. '/' .. path
end

return folder
