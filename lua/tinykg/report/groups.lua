--- Sorts the runs of a report into sections, one per data set, and groups that differ only by seed.
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local options = require 'tinykg.data.options'
local statistics = require 'tinykg.train.statistics'

local groups = {}

---@class ReportGroup
---@field recipe string
---@field label string recipe, and settings that tell this group from the others of its section
---@field settings table<string, any> the settings of its runs, by 'option NAME' or 'run NAME';
---  of those that change times only, all that its runs have, as '1, 2'
---@field mixed string[]? the names of those of which its runs have several
---@field runs ReportRun[] ---@field finished ReportRun[] those that have a summary
---@class ReportSection
---@field label string the data set, unlike those of the other sections ---@field path string
---@field groups ReportGroup[] ---@field recipes ReportGroup[][] the groups of each recipe
---@field columns {key: string, name: string}[] settings that tell groups apart
---@field others {key: string, name: string}[] settings that differ between recipes, but not within

local NOT_SETTINGS = {seed = true, recipe = true, data = true, data_options = true,
                      data_set = true, options = true, bits_asked = true, budget = true,
                      chosen = true, recipe_sha256 = true, modules = true, origin = true,
                      scaled = true}

--- Options that change no result of a run, only what it reports beside.
local NO_RESULTS = {per_user = true, exposure = true}

--- Settings that change how long a run takes, and no bit of its results: seeds that were run with
--- others are one group.
local OF_TIME = {'check', 'checkpoint', 'tensorboard', 'threads'}
local IS_OF_TIME = {}
for _, name in ipairs(OF_TIME) do IS_OF_TIME['run ' .. name] = true end

--- The beginnings of the hashes of a recipe and of the modules that it reads: runs of a recipe and
--- of what it was before it was edited are no seeds of one model.
local function program_of(config)
  local hashes = {config.recipe_sha256}
  for _, name in ipairs(tables.sorted_keys(config.modules or {})) do
    hashes[#hashes + 1] = config.modules[name]
  end
  return table.concat(tables.map(hashes, function(hash) return tostring(hash):sub(1, 8) end), ' ')
end

local function settings_of(config)
  local settings = {['run program'] = program_of(config)}
  for name, value in pairs(config) do
    if not NOT_SETTINGS[name] then settings['run ' .. name] = format.setting(value) end
  end
  for name, value in pairs(config.options or {}) do
    if not NO_RESULTS[name] then settings['option ' .. name] = format.setting(value) end
  end
  return settings
end

--- A text that is equal for equal settings, apart from those that change times only.
---@param settings table<string, string> ---@param but? string a setting that is left out
function groups.identity(settings, but)
  return table.concat(tables.map(tables.sorted_keys(settings), function(key)
    return key ~= but and not IS_OF_TIME[key] and key .. '\1' .. settings[key] .. '\2' or nil
  end))
end

--- A text that is equal for settings that change times only and are equal.
local function time_identity(config)
  return table.concat(tables.map(OF_TIME, function(name) return format.setting(config[name]) end),
                      '\2')
end

--- The statistic of a number in summary.json over a group's finished runs. No times where the runs
--- were not alike in what changes them.
---@param group ReportGroup ---@param ... string keys, outermost first
function groups.of_summary(group, ...)
  if (...) == 'time' and group.mixed then return nil end
  return statistics.of_summary(group, ...)
end

-- ---- sections and groups ----

--- A data set's name and options, without the names of its columns, which tell no data sets apart,
--- and without the default seed of the split.
local function data_label(config)
  local path = tostring(config.data or '?')
  local parts = {}
  for _, name in ipairs(tables.sorted_keys(config.data_options or {})) do
    local usual = name == 'columns' or name == 'seed' and config.data_options.seed == 0
    if not usual then
      parts[#parts + 1] = name .. ' ' .. options.shown(config.data_options[name])
    end
  end
  local name = path:gsub('/+$', ''):match('[^/]*$')
  return name .. (#parts > 0 and ' (' .. table.concat(parts, ', ') .. ')' or '')
end

--- What tells versions of a data set apart, whatever the order of their rows.
local function version_of(config)
  local was = config.data_set or {}
  local names = tables.map(tables.sorted_keys(was.names or {}), function(kind)
    return was.names[kind]
  end)
  return table.concat({table.concat(names, ' '), was.interactions or '', was.split or '',
                       was.graph or '', was.features or '', was.weights or ''}, '\1')
end

local function counts_of(config)
  local was = config.data_set or {}
  local function number(key) return was[key] or '?' end
  return ('%s users, %s items, %s + %s + %s interactions, %s triples'):format(number 'users',
    number 'items', number 'train', number 'valid', number 'test', number 'triples')
end

--- Adds what `word` says of a section to the labels of those that have the same one, if it differs.
local function tell_apart(sections, word)
  local of_label = {}
  for _, section in ipairs(sections) do
    of_label[section.label] = tables.append(of_label[section.label] or {}, {section})
  end
  for _, alike in pairs(of_label) do
    if #tables.unique(tables.map(alike, word)) > 1 then
      for _, section in ipairs(alike) do section.label = section.label .. ', ' .. word(section) end
    end
  end
end

--- The first group of equal ones that lacks a seed, of those the first with equal times if there is
--- one; nil: all have the seed.
local function without_seed(copies, seed, time)
  local lacking = tables.filter(copies, function(copy) return not copy.seeds[seed] end)
  return tables.filter(lacking, function(copy) return copy.time == time end)[1] or lacking[1]
end

--- Adds a run to its group. A second run with the same seed begins a new group: a seed that is
--- counted twice would make the deviation too small.
local function add(section, run)
  local settings, time = settings_of(run.config), time_identity(run.config)
  local recipe = tostring(run.config.recipe or '?')
  local key, seed = recipe .. '\3' .. groups.identity(settings), tostring(run.config.seed)
  local copies = section.by_key[key] or {}
  section.by_key[key] = copies
  local group = without_seed(copies, seed, time)
  if not group then
    group = {recipe = recipe, settings = settings, seeds = {}, runs = {}, finished = {},
             folder = run.folder, time = time}
    section.groups[#section.groups + 1], copies[#copies + 1] = group, group
  end
  for _, copy in ipairs(#copies > 1 and copies or {}) do
    copy.settings['run folder'] = copy.folder
  end
  group.seeds[seed] = true
  group.runs[#group.runs + 1] = run
  if run.summary then group.finished[#group.finished + 1] = run end
end

--- Sets the settings of a group that change times only: all that its runs have.
local function name_times(group)
  for _, name in ipairs(OF_TIME) do
    local values = tables.unique(tables.map(group.runs, function(run)
      return format.setting(run.config[name])
    end))
    if #values > 1 then
      table.sort(values, function(a, b) return (tonumber(a) or 0) < (tonumber(b) or 0) end)
      group.settings['run ' .. name] = table.concat(values, ', ')
      group.mixed = tables.append(group.mixed or {}, {name})
    end
  end
end

-- ---- settings that tell groups apart ----

--- Keys whose values differ among groups; groups without the key do not count.
local function differing(list)
  local first, found = {}, {}
  for _, group in ipairs(list) do
    for key, value in pairs(group.settings) do
      if first[key] == nil then first[key] = value
      elseif first[key] ~= value then found[key] = true end
    end
  end
  return found
end

local function by_recipe(list)
  local lists, found = {}, {}
  for _, group in ipairs(list) do
    local of_recipe = found[group.recipe]
    if not of_recipe then
      of_recipe = {}
      found[group.recipe], lists[#lists + 1] = of_recipe, of_recipe
    end
    of_recipe[#of_recipe + 1] = group
  end
  return lists
end

local function as_columns(keys)
  local columns = tables.map(tables.sorted_keys(keys), function(key)
    return {key = key, name = key:match(' (.*)')}
  end)
  table.sort(columns, function(a, b) -- bits, other settings of runs, then options
    if (a.name == 'bits') ~= (b.name == 'bits') then return a.name == 'bits' end
    local run_a, run_b = a.key:match('^run'), b.key:match('^run')
    if run_a ~= run_b then return run_a ~= nil end
    return a.name < b.name
  end)
  return columns
end

--- Sets the columns, settings that differ within a recipe or say how a run was made, and `others`,
--- settings that differ only between recipes.
local function find_columns(section)
  local columns, differs_within, others = {}, {}, differing(section.groups)
  for _, list in ipairs(by_recipe(section.groups)) do
    for key in pairs(differing(list)) do columns[key], differs_within[key] = true, true end
  end
  for key in pairs(others) do
    if key:match('^run') and key ~= 'run recipe_file' then columns[key] = true end
  end
  local program = 'run program' -- differs between recipes anyway
  columns[program], others[program] = differs_within[program], nil
  for key in pairs(columns) do others[key] = nil end
  section.columns, section.others = as_columns(columns), as_columns(others)
end

--- '2 bits', 'lr 0.01', 'cpu'.
local function words(name, value)
  if name == 'bits' then return value .. (value == '1' and ' bit' or ' bits') end
  if name == 'device' or name == 'rounding' or name == 'folder' then return value end
  return name .. ' ' .. value
end

--- The recipe of some groups, and the settings in `columns` that they share.
function groups.label(list, columns)
  local parts, shared = {list[1].recipe}, list[1].settings
  for _, column in ipairs(columns) do
    local value = shared[column.key]
    for _, group in ipairs(list) do
      if group.settings[column.key] ~= value then value = nil end
    end
    if value then parts[#parts + 1] = words(column.name, value) end
  end
  return table.concat(parts, ', ')
end

--- Whether value a comes before b: numbers by size, the exact width first.
local function before(name, a, b)
  local x, y = tonumber(a), tonumber(b)
  if not (x and y) then return a < b end
  if name == 'bits' then return x > y end
  return x < y
end

--- Sorts groups by recipe, in the order of the runs, then by the settings that differ.
local function sort_groups(section)
  local place = {}
  for i, group in ipairs(section.groups) do
    place[group.recipe] = place[group.recipe] or i
    place[group] = i
  end
  table.sort(section.groups, function(a, b)
    if a.recipe ~= b.recipe then return place[a.recipe] < place[b.recipe] end
    for _, column in ipairs(section.columns) do
      local x, y = a.settings[column.key] or '', b.settings[column.key] or ''
      if x ~= y then return before(column.name, x, y) end
    end
    return place[a] < place[b]
  end)
end

--- The best group of the validated ones first: by the mean of the metric of early stopping, by what
--- `metric` names on test where runs do not say which that was. The others stay in their order.
---@param section ReportSection ---@param metric? string
function groups.best_first(section, metric)
  local watched, value, place = nil, {}, {}
  for i, group in ipairs(section.groups) do
    place[group] = i
    for _, run in ipairs(group.finished) do
      watched = watched == nil and (run.summary.metric or false)
        or watched == run.summary.metric and watched
    end
  end
  for _, group in ipairs(section.groups) do
    local stat = watched and statistics.of_summary(group, 'valid', watched)
      or not watched and metric and statistics.of_summary(group, 'test', metric)
    value[group] = stat and stat.mean or -math.huge
  end
  table.sort(section.groups, function(a, b)
    if value[a] ~= value[b] then return value[a] > value[b] end
    return place[a] < place[b]
  end)
  section.by = watched and 'valid ' .. watched or metric and 'test ' .. metric
end

--- The sections of a report, one per data set with its options, in the order of the runs: runs on a
--- set before and after it changed are in two. Runs without a config.json are in none.
---@param runs ReportRun[]
---@return ReportSection[]
function groups.sections(runs)
  local sections, by_data = {}, {}
  for _, run in ipairs(runs) do
    if run.config then
      local label, path = data_label(run.config), tostring(run.config.data or '?')
      local key = table.concat({path, label, version_of(run.config)}, '\1')
      if not by_data[key] then
        by_data[key] = {label = label, path = path, groups = {}, by_key = {},
                        counts = counts_of(run.config), number = #sections + 1}
        sections[#sections + 1] = by_data[key]
      end
      add(by_data[key], run)
    end
  end
  tell_apart(sections, function(section) return section.path end)
  tell_apart(sections, function(section) return section.counts end)
  tell_apart(sections, function(section) return 'version ' .. section.number end)
  for _, section in ipairs(sections) do
    for _, group in ipairs(section.groups) do name_times(group) end
    find_columns(section)
    sort_groups(section)
    section.recipes = by_recipe(section.groups)
    for _, group in ipairs(section.groups) do
      group.label = groups.label({group}, section.columns)
    end
  end
  return sections
end

return groups
