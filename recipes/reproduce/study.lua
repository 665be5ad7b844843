--- Test metrics of recipes at several widths, mean +- deviation over seeds, beside published ones.
--   local study = require 'study'
--   study{title =, data =, metrics =, entries =, seeds =, bits =, own_splits =}
-- A file that calls it is a command:
--   tinykg FILE.lua [--data DIR] [--only NAME,NAME] [--bits 32,2] [--seeds 0,1,2] [--jobs 2]
--     [--out DIR] [--plan]
-- It prints how many runs are missing and how long they will take (--plan: no more than that),
-- makes them, each a process with one thread and a folder of its own, and prints Markdown tables.
-- Runs that are there are not made again; one that was stopped goes on. Rows and columns without a
-- run are left out; a mean over fewer seeds than asked for says over how many. all.lua makes
-- several studies.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local lfs = require 'lfs'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'

local home = os.getenv 'TINYKG_HOME' or '.'

local REACHED = 0.98 -- of a published figure

---@class StudyEntry
---@field name string stands in the tables, and in names of folders
---@field recipe string a name in recipes/
---@field settings string key=value, separated by spaces
---@field data_set string? options of the data set, likewise
---@field published table<string, number>? by metric
---@field source string? of the published figures
---@field seconds number of one run on a quiet core at 32 bits, about

---@class Study
---@field title string
---@field data string a folder of $TINYKG_DATA, if there is no --data
---@field metrics string[] of summary.json's test
---@field entries StudyEntry[]
---@field seeds string of training ---@field bits string
---@field own_splits boolean? whether each seed draws a split of its own too

local function stop(status, ...)
  io.stderr:write(format.line((...):format(select(2, ...))), '\n')
  os.exit(status)
end

local function split(text)
  local list = {}
  for word in text:gmatch '[^,]+' do list[#list + 1] = word end
  return list
end

-- ---- the command line ----

local WORDS = {data = true, only = true, bits = true, seeds = true, jobs = true, out = true}

local function options(study, words)
  local o = {bits = study.bits, seeds = study.seeds, jobs = '2', only = '',
             data = (os.getenv 'TINYKG_DATA' or home .. '/../shared/data') .. '/' .. study.data,
             out = 'runs/reproduce/' .. study.data}
  local k = 1
  while words[k] do
    local name = words[k]:match '^%-%-(%a+)$'
    if name == 'plan' then o.plan = true
    elseif WORDS[name] and words[k + 1] then o[name], k = words[k + 1], k + 1
    else
      stop(2, 'no option %s; there are --data DIR --only NAME,.. --bits 32,2 --seeds 0,1 --jobs N '
        .. '--out DIR --plan', words[k])
    end
    k = k + 1
  end
  if lfs.attributes(o.data, 'mode') ~= 'directory' then
    stop(1, '%s: no such folder: --data says where %s is', o.data, study.data)
  end
  return o
end

--- The entries that --only names, or all. Errors: it names another.
local function chosen(study, o)
  local wanted, list = {}, {}
  for _, name in ipairs(split(o.only)) do wanted[name] = true end
  for _, entry in ipairs(study.entries) do
    if o.only == '' or wanted[entry.name] then list[#list + 1] = entry end
    wanted[entry.name] = nil
  end
  if next(wanted) then stop(2, '--only %s: there is no such entry', next(wanted)) end
  return list
end

-- ---- runs ----

local function folder(o, entry, bits, seed)
  return ('%s/%s-%s-%s'):format(o.out, entry.name, bits, seed)
end

local function summary(dir)
  local text = read_file(dir .. '/summary.json')
  return text and json.decode(text, dir)
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function flags(name, pairs_text)
  return ((pairs_text or ''):gsub('%S+', function(pair) return name .. ' ' .. pair end))
end

--- The command that trains an entry, or goes on with it; what it says goes into a file.
local function command(study, o, entry, bits, seed)
  local dir = quoted(folder(o, entry, bits, seed))
  local its_split = study.own_splits and ' --data-set seed=' .. seed or ''
  return ('%s run %s --data %s%s %s %s --bits %s --seed %s --threads 1 --quiet --resume --out %s '
    .. '>%s.log 2>&1 || echo %s failed'):format(quoted(home .. '/tinykg'), entry.recipe,
    quoted(o.data), its_split, flags('--data-set', entry.data_set), flags('--set', entry.settings),
    bits, seed, dir, dir, dir)
end

--- Commands of the runs that are missing, seed by seed: with the first all rows are there. The
--- seconds that they will take, one after the other.
local function missing(study, o, entries)
  local list, seconds, total = {}, 0, 0
  for _, seed in ipairs(split(o.seeds)) do
    for _, entry in ipairs(entries) do
      for _, bits in ipairs(split(o.bits)) do
        total = total + 1
        if not summary(folder(o, entry, bits, seed)) then
          list[#list + 1] = command(study, o, entry, bits, seed)
          seconds = seconds + entry.seconds
        end
      end
    end
  end
  return list, seconds, total
end

--- How long so many seconds of runs take at `jobs` runs at a time, in words.
local function duration(seconds, jobs)
  local hours = seconds / tonumber(jobs) / 3600
  return hours < 1 and format.count(math.ceil(hours * 60), 'minute') or ('%.1f hours'):format(hours)
end

local function run_all(study, o, entries)
  local list, seconds, total = missing(study, o, entries)
  io.stderr:write(format.line(
    ('%s: %s, %d missing, %s at a time in %s; about %s on quiet cores'):format(study.title,
      format.count(total, 'run'), #list, o.jobs, o.out, duration(seconds, o.jobs))), '\n')
  if o.plan or #list == 0 then return end
  must(atomic_file.mkdirs(o.out))
  local path = o.out .. '/commands'
  must(atomic_file.write(path, table.concat(list, '\0') .. '\0'))
  os.execute(('xargs -0 -n 1 -P %d sh -c <%s'):format(tonumber(o.jobs), quoted(path)))
end

-- ---- tables ----

--- Mean and deviation of a metric over the runs that are there, and their number; nil if none is.
local function statistics(o, entry, bits, metric)
  local values, mean, square = {}, 0, 0
  for _, seed in ipairs(split(o.seeds)) do
    local s = summary(folder(o, entry, bits, seed))
    if s then values[#values + 1] = s.test[metric] end
  end
  if #values == 0 then return nil end
  for _, x in ipairs(values) do mean = mean + x / #values end
  for _, x in ipairs(values) do square = square + (x - mean) ^ 2 end
  return mean, #values > 1 and math.sqrt(square / (#values - 1)) or nil, #values
end

local function metric_cell(o, entry, bits, metric)
  local mean, deviation, runs = statistics(o, entry, bits, metric)
  if not mean then return nil end
  return (deviation and ('%.4f +- %.4f'):format(mean, deviation) or ('%.4f'):format(mean))
    .. (runs < #split(o.seeds) and (' (%d)'):format(runs) or '')
end

local function kept_cell(o, entry, bits)
  for _, seed in ipairs(split(o.seeds)) do
    local s = summary(folder(o, entry, bits, seed))
    if s then
      return ('%s (%.0fx)'):format(format.bytes(s.kept.stored_bytes),
        s.kept.reference_bytes / math.max(s.kept.stored_bytes, 1))
    end
  end
end

--- The widths, of all, at which any entry has a cell.
local function widths_with(o, entries, cell)
  local list = {}
  for _, bits in ipairs(split(o.bits)) do
    local found = false
    for _, entry in ipairs(entries) do found = found or cell(o, entry, bits) ~= nil end
    if found then list[#list + 1] = bits end
  end
  return list
end

--- Adds a table to `lines`: one row per entry that has a run; a column of what is published, if
--- there is any, and one per width.
local function add_table(lines, o, entries, title, published, cell)
  local widths, any = widths_with(o, entries, cell), false
  for _, entry in ipairs(entries) do any = any or published(entry) ~= nil end
  lines[#lines + 1] = ('\n| %s |%s %s bits |'):format(title, any and ' published |' or '',
    table.concat(widths, ' bits | '))
  lines[#lines + 1] = '|---' .. ('|---'):rep(#widths + (any and 1 or 0)) .. '|'
  for _, entry in ipairs(entries) do
    local cells, found = {entry.name}, false
    if any then cells[2] = published(entry) or '' end
    for _, bits in ipairs(widths) do
      local text = cell(o, entry, bits)
      cells[#cells + 1], found = text or '', found or text ~= nil
    end
    if found then lines[#lines + 1] = '| ' .. table.concat(cells, ' | ') .. ' |' end
  end
end

--- Adds which published figures are not reached at the first width, and by how much.
local function add_reached(lines, o, entries, metrics)
  local bits = split(o.bits)[1]
  for _, entry in ipairs(entries) do
    for _, metric in ipairs(metrics) do
      local published = (entry.published or {})[metric]
      local mean = published and statistics(o, entry, bits, metric)
      if mean then
        lines[#lines + 1] =
          ('\n%s, %s at %s bits: %+.1f %% of the published %.4f (%s)%s'):format(entry.name, metric,
            bits, 100 * (mean / published - 1), published, entry.source,
            mean < REACHED * published and '; not reached' or '')
      end
    end
  end
end

--- The tables of the runs that are there.
local function tables_of(study, o, entries)
  local lines = {}
  for _, metric in ipairs(study.metrics) do
    add_table(lines, o, entries, metric, function(entry)
      local figure = (entry.published or {})[metric]
      return figure and ('%.4f'):format(figure)
    end, function(_, entry, bits) return metric_cell(o, entry, bits, metric) end)
  end
  add_table(lines, o, entries, 'kept for backward (below op-by-op)', function() end, kept_cell)
  add_reached(lines, o, entries, study.metrics)
  return table.concat(lines, '\n')
end

-- ---- the module ----

local module, described = {duration = duration}, nil

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
---@field run fun() makes them
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
      local list, seconds = missing(study, o, entries)
      return #list, seconds
    end,
    run = function() run_all(study, o, entries) end,
    tables = function() return tables_of(study, o, entries) end,
  }
end

--- Runs a study by the words of the command line.
return setmetatable(module, {__call = function(_, study)
  if described then
    described = study
    return
  end
  local prepared = module.prepare(study, arg)
  prepared.run()
  if not prepared.options.plan then print(prepared.tables()) end
end})
