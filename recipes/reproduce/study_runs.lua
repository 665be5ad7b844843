--- Runs of a study: which there are, commands of those that are missing, searches of settings.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local study_folders = require 'study_folders'
local study_records = require 'study_records'
local tables = require 'tinykg.base.tables'

local quoted = format.quoted
local home = os.getenv 'TINYKG_HOME' or '.'

---@class Column a width, or a control at the first width
---@field key string in names of folders ---@field title string
---@field bits string ---@field data_set string? of the runs; a width has none

local study_runs = {}

--- Words between commas. ---@param text string ---@return string[]
function study_runs.split(text)
  local list = {}
  for word in text:gmatch '[^,]+' do list[#list + 1] = word end
  return list
end

local split = study_runs.split

--- The columns of tables: widths, then controls. ---@param o table options of the command line
---@return Column[]
function study_runs.columns(o)
  local list = {}
  for _, bits in ipairs(split(o.bits)) do
    list[#list + 1] = {key = bits, title = bits .. ' bits', bits = bits}
  end
  for _, kg in ipairs(split(o.controls)) do
    list[#list + 1] = {key = kg, title = 'graph: ' .. kg, bits = o.control_bits,
                        data_set = 'kg=' .. kg}
  end
  return list
end

--- Whether an entry has runs in a column: none before its settings were searched.
local function has(entry, column)
  if entry.ranges and not entry.found then return false end
  if column.data_set then return entry.graph ~= false end
  return not entry.bits or (',' .. entry.bits .. ','):find(',' .. column.bits .. ',', 1, true)
end

local function run_name(entry, column, seed)
  return ('%s-%s-%s'):format(entry.name, column.key, seed)
end

--- All that a run is trained with, but for its seed.
local function settings_of(entry, column)
  local words = entry.recipe
  local function add(more) words = more and words .. ' ' .. more or words end
  add(entry.settings)
  add(entry.found)
  add(entry.data_set)
  add(column.data_set)
  return words
end

local function words_of(...)
  local list = {}
  for _, text in ipairs{...} do
    for word in text:gmatch '%S+' do list[#list + 1] = word end
  end
  return list
end

--- What is asked of an entry's runs of a seed, before its column. {RUN} in settings is the folder
--- of a run of the same seed. ---@param found string? more settings ---@return AskedRun
local function asked_of_entry(o, entry, seed, found)
  local set, files = words_of(entry.settings or '', found or ''), {}
  for k, word in ipairs(set) do
    local key, run, rest = word:match '^([%w_]+)={(.-)}(.*)$'
    if key then files[key] = ('%s-%s%s'):format(run, seed, rest) end
    set[k] = word:gsub('{(.-)}', function(name) return ('%s/%s-%s'):format(o.out, name, seed) end)
  end
  return {recipe = entry.recipe, set = set, files = files, data = o.data,
          data_set = words_of(entry.data_set or '')}
end

--- What is asked of a run. ---@return AskedRun
local function asked_of(o, entry, column, seed)
  local asked = asked_of_entry(o, entry, seed, entry.found)
  asked.bits, asked.seed = column.bits, seed
  tables.append(asked.data_set, words_of(column.data_set or '',
                                         o.own_splits and 'seed=' .. seed or ''))
  return asked
end

--- What the folder of a run has, as study_folders.summary; looked at once, until runs are made.
local function in_folder(o, entry, column, seed)
  local path = o.out .. '/' .. run_name(entry, column, seed)
  if not o.seen[path] then
    local found, why = study_folders.summary(path, asked_of(o, entry, column, seed))
    o.seen[path] = {found = found, why = why}
  end
  return o.seen[path].found, o.seen[path].why
end

--- The record of a run, from its folder, or else from those that were read. ---@return StudyRecord?
local function record_of(o, entry, column, seed)
  local run = run_name(entry, column, seed)
  local found, settings = in_folder(o, entry, column, seed), settings_of(entry, column)
  run = o.name .. '/' .. run
  if found then return study_records.of(run, settings, found, o.metrics) end
  local record = o.recorded[run]
  return record and record.settings == settings and record or nil
end

--- Records of an entry's runs in a column that are there, by seed. ---@return StudyRecord[]
function study_runs.records(o, entry, column)
  local list = {}
  for _, seed in ipairs(split(o.seeds)) do
    list[#list + 1] = record_of(o, entry, column, seed)
  end
  return list
end

--- Options of a command. ---@param words string[]
local function flags(name, words)
  return table.concat(tables.map(words, function(word) return name .. ' ' .. quoted(word) end), ' ')
end

--- A command that begins `tinykg run`, or goes on with it; what it says goes into a file, of which
--- the last line is shown if it fails.
---@param asked AskedRun ---@param words string other options
local function command(asked, words, dir)
  return ('%s run %s --data %s %s %s %s --threads 1 --quiet --resume --out %s >%s.log 2>&1 '
    .. '|| printf "%%s failed: %%s\\n" %s "$(tail -n 1 %s.log)"'):format(quoted(home .. '/tinykg'),
    quoted(asked.recipe), quoted(asked.data), flags('--data-set', asked.data_set),
    flags('--set', asked.set), words, dir, dir, dir, dir)
end

--- The command that trains an entry.
local function training(o, entry, column, seed)
  local words = ('--bits %s --seed %s'):format(column.bits, seed)
  return command(asked_of(o, entry, column, seed), words,
                 quoted(o.out .. '/' .. run_name(entry, column, seed)))
end

--- Calls back for every run of a study, seed by seed: with the first all rows are there.
local function each_run(o, entries, call)
  for _, seed in ipairs(split(o.seeds)) do
    for _, entry in ipairs(entries) do
      for _, column in ipairs(study_runs.columns(o)) do
        if has(entry, column) then call(entry, column, seed) end
      end
    end
  end
end

--- The runs, by name, whose files {RUN} in the settings of missing ones names: a record of them is
--- not enough.
local function needed(o, entries)
  local names = {}
  each_run(o, entries, function(entry, column, seed)
    if record_of(o, entry, column, seed) then return end
    for run in (entry.settings or ''):gmatch '{(.-)}' do names[run .. '-' .. seed] = true end
  end)
  return names
end

--- Commands of the runs that are missing. The seconds that they will take, one after the other.
---@return string[], number seconds, integer runs in all
---@return string[] others why folders of missing runs have finished ones of other settings or data
function study_runs.missing(o, entries)
  local list, seconds, total, files_of, others = {}, 0, 0, needed(o, entries), {}
  each_run(o, entries, function(entry, column, seed)
    local run = run_name(entry, column, seed)
    total = total + 1
    local found, why = in_folder(o, entry, column, seed)
    if found or not files_of[run] and record_of(o, entry, column, seed) then return end
    list[#list + 1] = training(o, entry, column, seed)
    others[#others + 1] = why and ('%s/%s: %s'):format(o.out, run, why)
    seconds = seconds + entry.seconds
  end)
  return list, seconds, total, others
end

--- Notes the runs that are there in the file of --records, if there is one.
function study_runs.note(o, entries)
  if not o.records then return end
  local list = {}
  each_run(o, entries, function(entry, column, seed)
    list[#list + 1] = record_of(o, entry, column, seed)
  end)
  study_records.add(o.records, list)
end

--- How long so many seconds of runs take at `jobs` runs at a time, in words.
---@return string
function study_runs.duration(seconds, jobs)
  local hours = seconds / tonumber(jobs) / 3600
  return hours < 1 and format.count(math.ceil(hours * 60), 'minute') or ('%.1f hours'):format(hours)
end

--- Runs commands, `jobs` at a time. ---@param dir string where their output goes
local function execute(o, dir, list)
  must(atomic_file.mkdirs(dir))
  local xargs = must(io.popen(('xargs -0 -n 1 -P %d sh -c'):format(tonumber(o.jobs)), 'w'))
  xargs:write(table.concat(list, '\0'), '\0')
  xargs:close()
  o.seen = {}
end

--- Says how many runs are missing and how long they take, and makes them unless it is a plan. In
--- folders that have other runs it makes none: `tinykg run --resume` refuses them.
function study_runs.make(study, o, entries)
  local list, seconds, total, others = study_runs.missing(o, entries)
  io.stderr:write(format.line(
    ('%s: %s, %d missing, %s at a time in %s; about %s on quiet cores'):format(study.title,
      format.count(total, 'run'), #list, o.jobs, o.out,
      study_runs.duration(seconds, o.jobs))), '\n')
  if #others > 0 then
    io.stderr:write(format.line(('%d of them in folders of other runs, which stay as they are '
      .. '(another --out, or remove them): %s'):format(#others, others[1])), '\n')
  end
  if o.plan then return end
  if #list > 0 then execute(o, o.out, list) end
  study_runs.note(o, entries)
end

-- Searches split the data as the runs of this seed do.
local FIRST_SPLIT = 0

--- Searches settings, as many points for each entry, and prints the best of each.
function study_runs.search(study, o, entries)
  local list, out = {}, o.out .. '/search'
  for _, entry in ipairs(entries) do
    if entry.ranges then
      local words = ('%s --search %s'):format(flags('--grid', words_of(entry.ranges)), study.search)
      list[#list + 1] = command(asked_of_entry(o, entry, FIRST_SPLIT), words,
                                quoted(out .. '/' .. entry.name))
    end
  end
  execute(o, out, list)
  for _, entry in ipairs(entries) do
    local log = entry.ranges and read_file(out .. '/' .. entry.name .. '.log')
    if log then print(entry.name .. ': ' .. (log:match 'best by validation[^\n]*' or 'failed')) end
  end
end

return study_runs
