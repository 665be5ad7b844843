--- What runs found, in a file that stays when their folders go: one JSON object per line,
--- {"run":, "settings":, "code":, "test":, "popularity":, "kept":}, sorted by run.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local lfs = require 'lfs'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local tk = require 'tinykg'

local home = os.getenv 'TINYKG_HOME' or '.'

local study_records = {}

---@class StudyRecord
---@field run string STUDY/ENTRY-COLUMN-SEED
---@field settings string that it was trained with; another's record counts as missing
---@field code string the commit that noted it; where there is no repository, the version
---@field test table<string, number> by metric
---@field popularity table<string, number>? by metric
---@field kept {stored_bytes: number, reference_bytes: number}

local function code()
  local git = io.popen(('git -C %s describe --always --dirty=+ 2>/dev/null'):format(
    format.quoted(home)))
  local commit = git and git:read '*l'
  if git then git:close() end
  return commit or tk.version
end

--- The record of a run's summary. ---@param metrics string[] that it keeps
---@return StudyRecord
function study_records.of(run, settings, summary, metrics)
  local record = {run = run, settings = settings, test = {}, popularity = {},
                  kept = {stored_bytes = summary.kept.stored_bytes,
                          reference_bytes = summary.kept.reference_bytes}}
  for _, metric in ipairs(metrics) do
    record.test[metric] = summary.test[metric]
    record.popularity[metric] = (summary.popularity or {})[metric]
  end
  return record
end

local function is_record(r)
  return type(r) == 'table' and type(r.run) == 'string' and type(r.settings) == 'string'
    and type(r.test) == 'table' and type(r.kept) == 'table'
end

--- The records of a file by run; none without a file, or where there is none yet. Errors: it cannot
--- be read, its folder is missing, or a line is no record.
---@param path string? ---@return table<string, StudyRecord>
function study_records.read(path)
  if not path then return {} end
  if not lfs.attributes(path) then -- before hours of runs that could not be noted
    local folder = path:match '^(.*)/[^/]*$' or '.'
    if lfs.attributes(folder ~= '' and folder or '/', 'mode') ~= 'directory' then
      error(folder .. ': no such folder', 0)
    end
    return {}
  end
  local records, number = {}, 0
  for line in must(read_file(path)):gmatch '[^\n]+' do
    number = number + 1
    local at = path .. ':' .. number
    local record = must(json.decode(line, at))
    if not is_record(record) then error(at .. ': not the record of a run', 0) end
    records[record.run] = record
  end
  return records
end

--- Adds records to a file, each in the place of an older one of the same run. One that says the
--- same stays as it is, with its commit.
---@param path string ---@param list StudyRecord[] without their code, which is this one
function study_records.add(path, list)
  local records, runs, lines, commit = study_records.read(path), {}, {}, code()
  for _, record in ipairs(list) do
    local old = records[record.run]
    record.code = old and old.code
    if not old or json.encode(record) ~= json.encode(old) then
      record.code, records[record.run] = commit, record
    end
  end
  for run in pairs(records) do runs[#runs + 1] = run end
  table.sort(runs)
  for k, run in ipairs(runs) do lines[k] = json.encode(records[run]) .. '\n' end
  must(atomic_file.write(path, lines))
end

return study_records
