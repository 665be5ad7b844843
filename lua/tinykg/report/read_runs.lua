--- Reads run folders for a report, with notes about what is missing.
local lfs = require 'lfs'
local folder_entries = require 'tinykg.base.folder_entries'
local json = require 'tinykg.base.json'
local json_checksum = require 'tinykg.run.folder.json_checksum'
local run_folder = require 'tinykg.run.folder'
local schema = require 'tinykg.run.folder.schema'

---@class ReportRun
---@field folder string its path, as it is shown
---@field state 'finished'|'unfinished'|'failed'
---@field config table? nil for a job of a sweep that failed before it began
---@field log table[] one record per epoch, in order
---@field summary table? nil unless finished
---@field kept table? kept.json
---@field output string? the end of what an unfinished job of a sweep printed
---@field failure string? the message that it failed with
---@field notes string[] what is missing or broken
---@field written number when config.json was written, seconds since 1970

local LEVELS = 2 -- how far below a given folder runs are searched

local function exists(path) return lfs.attributes(path, 'mode') == 'file' end

--- A job of a sweep that failed early left its output only.
local function is_run(folder)
  return exists(folder .. '/config.json')
    or exists(folder .. '/output.txt') and exists(folder .. '/../' .. run_folder.SWEEP)
end

--- JSON without its nulls.
local function without_null(value)
  if value == json.null then return nil end
  if type(value) == 'table' then
    for key, inner in pairs(value) do value[key] = without_null(inner) end
  end
  return value
end

--- The object in a file, or nil and a note.
local function object(folder, name)
  local path = folder .. '/' .. name
  if not exists(path) then return nil, 'no ' .. name end
  local value, message, damaged = json_checksum.decode(run_folder.text(folder, name), path)
  if damaged then error(message, 0) end
  if value == nil then return nil, message end
  if type(value) ~= 'table' then return nil, path .. ': not an object' end
  return without_null(value)
end

--- The tree without those of the named fields that are no objects.
local function with_objects(tree, ...)
  for _, name in ipairs{...} do
    local field = tree and tree[name]
    if field ~= nil and (type(field) ~= 'table' or field[1] ~= nil) then tree[name] = nil end
  end
  return tree
end

local KEPT = {phases = {each = {values = {each = {shape = {each = 'number'}}}}}}

local function record_of(line, ended, name)
  local record = json_checksum.line(line, ended, name)
  record = type(record) == 'table' and without_null(record)
  if not record or type(record.epoch) ~= 'number' then return nil end
  return with_objects(record, 'valid', 'losses')
end

--- The records of log.jsonl. Of an epoch that was done twice, the last record counts. A line that
--- is cut off, as a killed run may leave it, gets a note.
local function read_log(folder, notes)
  local text = run_folder.text(folder, 'log.jsonl')
  if not text then
    notes[#notes + 1] = 'no log.jsonl'
    return {}
  end
  local by_epoch, log, number = {}, {}, 0
  for line, ending in text:gmatch('([^\n]+)(\n?)') do
    number = number + 1
    local record = record_of(line, ending ~= '', ('%s/log.jsonl:%d'):format(folder, number))
    if record then by_epoch[record.epoch] = record
    else notes[#notes + 1] = ('log.jsonl:%d: not a record of an epoch'):format(number) end
  end
  for _, record in pairs(by_epoch) do log[#log + 1] = record end
  table.sort(log, function(a, b) return a.epoch < b.epoch end)
  return log
end

--- Sets why a run has no summary, by its output: the last line of a failed run is its message.
local function explain(run)
  local output, line, whole = run_folder.output(run.folder)
  local last = line:match('^tinykg: (.*)')
  run.state = 'unfinished'
  if last and last ~= 'interrupted' then run.state, run.failure = 'failed', last end
  run.output = output ~= '' and (whole and '' or '...') .. output or nil
end

--- Reads one run. Raises one line for a config.json that cannot be read, and for a file whose
--- checksum is wrong.
---@return ReportRun
local function read_run(folder)
  local run = {folder = folder, notes = {}, state = 'finished'}
  local function optional(name)
    local value, note = object(folder, name)
    run.notes[#run.notes + 1] = note
    return value
  end
  local first = exists(folder .. '/config.json') and 'config.json' or 'output.txt'
  run.written = lfs.attributes(folder .. '/' .. first, 'modification')
  run.config = with_objects(optional('config.json'), 'options', 'data_options')
  if first == 'config.json' and not run.config then error(run.notes[1], 0) end
  run.log = read_log(folder, run.notes)
  run.summary = with_objects(optional('summary.json'), 'test', 'valid', 'memory', 'kept', 'time',
                             'columns')
  run.kept = optional('kept.json')
  if run.kept and schema.mismatch(run.kept, KEPT) then
    run.kept, run.notes[#run.notes + 1] = nil, 'kept.json: not a list of phases with their values'
  end
  if not run.summary then explain(run) end
  return run
end

local function sub_folders(folder)
  local list = {}
  for _, name in ipairs(folder_entries(folder)) do
    local path = folder .. '/' .. name
    if not name:match('^%.') and lfs.attributes(path, 'mode') == 'directory' then
      list[#list + 1] = path
    end
  end
  return list
end

--- Adds the run folders at and below `folder` to `found`; folders below a run are not searched.
local function find(folder, levels, found)
  if is_run(folder) then
    found[#found + 1] = folder
  elseif levels > 0 then
    for _, path in ipairs(sub_folders(folder)) do find(path, levels - 1, found) end
  end
  return found
end

--- The runs of folders: each is a run's, or holds run folders up to two levels down. A run that is
--- found twice counts once. Raises one line for a folder without runs.
---@param folders string[]
---@return ReportRun[]
return function(folders)
  local runs, seen = {}, {}
  for _, given in ipairs(folders) do
    local folder = given:match('^(.-)/*$')
    if folder == '' then folder = '/' end
    local mode = lfs.attributes(folder, 'mode')
    if mode ~= 'directory' then
      error(given .. (mode and ': not a folder' or ': no such folder'), 0)
    end
    local found = find(folder, LEVELS, {})
    if #found == 0 then
      error(given .. ': not a run folder: no config.json there or up to two folders down', 0)
    end
    for _, path in ipairs(found) do
      local where = lfs.attributes(path)
      local identity = where.dev .. ':' .. where.ino
      if not seen[identity] then runs[#runs + 1] = read_run(path) end
      seen[identity] = true
    end
  end
  return runs
end
