--- Test metrics of recipes at several widths, mean +- deviation over seeds, beside published ones.
--   local study = require 'study'
--   study{title =, data =, metrics =, entries =, seeds =, bits =, controls =, own_splits =,
--         baseline =, search =}
-- A file that calls it is a command:
--   tinykg FILE.lua [--data DIR] [--only NAME,NAME] [--bits 32,2] [--controls shuffled]
--     [--seeds 0,1,2] [--jobs 2] [--out DIR] [--records FILE] [--plan] [--search]
-- It prints how many runs are missing and how long they will take (--plan: no more than that),
-- makes them, each a process with one thread and a folder of its own, and prints Markdown tables.
-- Runs that are there are not made again, if they are of this data set and these settings; one that
-- was stopped goes on. Rows and columns without a run are left out; a mean over fewer seeds than
-- asked for says over how many. --records FILE: what runs found goes into that file too, and those
-- that it has are there without their folders, so that a study can be made on several machines,
-- part by part. --search makes no tables: it searches the settings of each entry by validation and
-- prints the best, to be written into the file as `found`. all.lua makes several studies.
local format = require 'tinykg.base.format'
local lfs = require 'lfs'
local output_folder = require 'tinykg.run.output_folder'
local study_records = require 'study_records'
local study_runs = require 'study_runs'
local study_tables = require 'study_tables'

local home = os.getenv 'TINYKG_HOME' or '.'

---@class StudyEntry
---@field name string stands in the tables, and in names of folders
---@field recipe string a name in recipes/
---@field settings string key=value, separated by spaces; {NAME-BITS} is the folder of that run
---@field found string? more settings, which --search found; nil: not yet, and there are no runs
---@field ranges string? what --search searches: key=A..B:log, separated by spaces
---@field data_set string? options of the data set, likewise
---@field bits string? the only widths, where others would be the same run
---@field graph boolean? false: its model has no triples, so that no control says anything of it
---@field published table<string, number>? by metric
---@field source string? of the published figures
---@field seconds number of one run on a quiet core at 32 bits, about

---@class Study
---@field title string
---@field data string a folder of $TINYKG_DATA, if there is no --data
---@field folder string? of its runs; default: as data; with another --data, its name follows
---@field metrics string[] of summary.json's test
---@field entries StudyEntry[]
---@field seeds string of training ---@field bits string
---@field controls string? values of the data set's option kg, at the first of bits: none,shuffled
---@field own_splits boolean? whether each seed draws a split of its own too
---@field baseline string? name of the entry that others are to be better than
---@field search string? of `tinykg run`, for --search: asha=8

local function stop(status, ...)
  io.stderr:write(format.line((...):format(select(2, ...))), '\n')
  os.exit(status)
end

local WORDS = {data = true, only = true, bits = true, controls = true, seeds = true, jobs = true,
               out = true, records = true}

--- The name of a study's runs in records, and of their folder: that of its data set where that is
--- not the study's own, behind the study's name if it has one.
local function name_of(study, data)
  local name = output_folder.data_name(data)
  if name == study.data then return study.folder or name end
  return study.folder and study.folder .. '-' .. name or name
end

local function options(study, words)
  local o = {bits = study.bits, control_bits = study.bits:match '[^,]+',
             controls = study.controls or '', seeds = study.seeds, jobs = '2', only = '',
             metrics = study.metrics, own_splits = study.own_splits,
             seen = {}, -- what folders have, by path
             data = (os.getenv 'TINYKG_DATA' or home .. '/../shared/data') .. '/' .. study.data}
  local k = 1
  while words[k] do
    local name = words[k]:match '^%-%-(%a+)$'
    if name == 'plan' or name == 'search' then o[name] = true
    elseif WORDS[name] and words[k + 1] then o[name], k = words[k + 1], k + 1
    else
      stop(2, 'no option %s; there are --data DIR --only NAME,.. --bits 32,2 --controls shuffled '
        .. '--seeds 0,1 --jobs N --out DIR --records FILE --plan --search', words[k])
    end
    k = k + 1
  end
  if lfs.attributes(o.data, 'mode') ~= 'directory' then
    stop(1, '%s: no such folder: --data says where %s is', o.data, study.data)
  end
  o.name = name_of(study, o.data)
  o.out = o.out or 'runs/reproduce/' .. o.name
  local ok, recorded = pcall(study_records.read, o.records)
  if not ok then stop(1, '%s', recorded) end
  o.recorded = recorded
  return o
end

--- The entries that --only names, or all. Errors: it names another.
local function chosen(study, o)
  local wanted, list = {}, {}
  for _, name in ipairs(study_runs.split(o.only)) do wanted[name] = true end
  for _, entry in ipairs(study.entries) do
    if o.only == '' or wanted[entry.name] then list[#list + 1] = entry end
    wanted[entry.name] = nil
  end
  if next(wanted) then stop(2, '--only %s: there is no such entry', next(wanted)) end
  return list
end

local module, described = {duration = study_runs.duration}, nil

--- What a file that calls this module describes, without running it.
---@param path string ---@return Study
function module.described(path)
  described = true
  local ok, message = pcall(dofile, path)
  local study = described
  described = nil
  if not ok then error(message, 0) end
  return study
end

---@class PreparedStudy
---@field missing fun(): number, number missing runs; seconds that they take one after the other
---@field run fun() makes them ---@field note fun() notes those that are there, for --records
---@field search fun() searches settings and prints the best
---@field tables fun(): string Markdown

--- A study with its options given. ---@param study Study
---@param words string[] as on a command line
---@return PreparedStudy
function module.prepare(study, words)
  local o = options(study, words)
  local entries = chosen(study, o)
  return {
    options = o,
    missing = function()
      local list, seconds = study_runs.missing(o, entries)
      return #list, seconds
    end,
    run = function() study_runs.make(study, o, entries) end,
    note = function() study_runs.note(o, entries) end,
    search = function() study_runs.search(study, o, entries) end,
    tables = function() return study_tables(study, o, entries) end,
  }
end

--- Runs a study by the words of the command line.
return setmetatable(module, {__call = function(_, study)
  if described then
    described = study
    return
  end
  local prepared = module.prepare(study, arg)
  if prepared.options.search then return prepared.search() end
  prepared.run()
  if not prepared.options.plan then print(prepared.tables()) end
end})
