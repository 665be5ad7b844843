--- Run folders as a report needs them: what is there, and notes about what is not.
local lfs = require 'lfs'
local json = require 'tinykg.json'

local read = {}

---@class ReportRun
---@field folder string as it is shown
---@field state 'finished'|'unfinished'|'failed'
---@field config table? nil where a member of a batch failed before it began
---@field log table[] one record an epoch, epochs rising
---@field summary table? nil unless finished
---@field kept table? kept.json
---@field failure string? what a failed member of a batch left
---@field notes string[] what is missing or broken
---@field written number seconds, when config.json was

local LEVELS = 2 -- of folders below one that is named

local function exists(path) return lfs.attributes(path, 'mode') == 'file' end

local function is_run(folder)
  return exists(folder .. '/config.json') or exists(folder .. '/failed.txt')
end

--- JSON without its nulls: what is null is not there.
local function without_null(value)
  if value == json.null then return nil end
  if type(value) == 'table' then
    for key, inner in pairs(value) do value[key] = without_null(inner) end
  end
  return value
end

--- An object of a file, or nil and what to note.
local function object(folder, name)
  local path = folder .. '/' .. name
  if not exists(path) then return nil, 'no ' .. name end
  local value, message = json.read(path)
  if value == nil then return nil, message end
  if type(value) ~= 'table' then return nil, path .. ': not an object' end
  return without_null(value)
end

local function text_of(path)
  local file = io.open(path, 'rb')
  local text = file and file:read('*a')
  if file then file:close() end
  return text
end

local function record_of(line)
  local record = json.decode(line)
  record = type(record) == 'table' and without_null(record)
  return record and type(record.epoch) == 'number' and record or nil
end

--- The records of log.jsonl. An epoch that a resumed run did again counts as it went last; a line
--- that is cut, as a killed run may leave it, is noted.
local function read_log(folder, notes)
  local text = text_of(folder .. '/log.jsonl')
  if not text then
    notes[#notes + 1] = 'no log.jsonl'
    return {}
  end
  local by_epoch, log, number = {}, {}, 0
  for line in text:gmatch('[^\n]+') do
    number = number + 1
    local record = record_of(line)
    if record then by_epoch[record.epoch] = record
    else notes[#notes + 1] = ('log.jsonl:%d: not a record of an epoch'):format(number) end
  end
  for _, record in pairs(by_epoch) do log[#log + 1] = record end
  table.sort(log, function(a, b) return a.epoch < b.epoch end)
  return log
end

local MOST_OF_OUTPUT = 4000

--- Why a member of a batch failed, and the end of what it printed.
local function failure_of(folder)
  local failed, output = text_of(folder .. '/failed.txt'), text_of(folder .. '/output.txt')
  if not failed then return nil end
  if output and output ~= '' then
    if #output > MOST_OF_OUTPUT then output = '...' .. output:sub(-MOST_OF_OUTPUT) end
    failed = failed .. '\noutput.txt:\n' .. output
  end
  return failed
end

--- One run. An unreadable config.json is an error: there is nothing to say of such a run.
---@return ReportRun
local function read_run(folder)
  local run = {folder = folder, notes = {}, failure = failure_of(folder), state = 'finished'}
  local function optional(name)
    local value, note = object(folder, name)
    run.notes[#run.notes + 1] = note
    return value
  end
  local config, message = object(folder, 'config.json')
  if not config and not run.failure then error(message, 0) end
  if not config then run.notes[1] = message end
  run.config = config
  run.log = read_log(folder, run.notes)
  run.summary = optional('summary.json')
  run.kept = optional('kept.json')
  if not run.summary then run.state = run.failure and 'failed' or 'unfinished' end
  run.written = lfs.attributes(folder .. (config and '/config.json' or '/failed.txt'),
                               'modification')
  return run
end

local function sub_folders(folder)
  local list = {}
  for name in lfs.dir(folder) do
    local path = folder .. '/' .. name
    if not name:match('^%.') and lfs.attributes(path, 'mode') == 'directory' then
      list[#list + 1] = path
    end
  end
  table.sort(list)
  return list
end

--- Adds the run folders at and below `folder` to `found`. What is below a run is its own.
local function find(folder, levels, found)
  if is_run(folder) then
    found[#found + 1] = folder
  elseif levels > 0 then
    for _, path in ipairs(sub_folders(folder)) do find(path, levels - 1, found) end
  end
  return found
end

--- The runs of folders: each a run's, or one that holds run folders one or two levels down. A run
--- that is reached twice counts once. Raises one line where a folder holds no run.
---@param folders string[]
---@return ReportRun[]
function read.runs(folders)
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

return read
