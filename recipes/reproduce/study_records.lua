--- What runs found, in a file that stays when their folders go: one JSON object per line,
--- {"run":, "settings":, "code":, "test":, "popularity":, "kept":}, sorted by run.
local atomic_file = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'
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
  local git = io.popen(("git -C '%s' describe --always --dirty=+ 2>/dev/null"):format(
    home:gsub("'", "'\\''")))
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

--- The records of a file by run; none where there is no file yet. Errors: FILE:LINE: not JSON.
---@param path string ---@return table<string, StudyRecord>
function study_records.read(path)
  local records, number = {}, 0
  for line in (read_file(path) or ''):gmatch '[^\n]+' do
    number = number + 1
    local record = must(json.decode(line, path .. ':' .. number))
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
