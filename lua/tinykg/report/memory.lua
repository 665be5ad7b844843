--- The memory of a section: values kept for backward, and the peak by kind.
local tables = require 'tinykg.base.tables'
local bars = require 'tinykg.report.chart.bars'
local format = require 'tinykg.report.format'
local groups = require 'tinykg.report.groups'
local html = require 'tinykg.report.page.html'
local html_table = require 'tinykg.report.page.html_table'
local saved = require 'tinykg.report.saved'
local statistics = require 'tinykg.train.statistics'

local memory = {}

local KINDS = {{'parameter', 'c1'}, {'gradient', 'c6'}, {'optimizer', 'c4'}, {'kept_exact', 'c2'},
               {'kept_quantized', 'c3'}, {'transient', 'c5'}, {'graph', 'c7'}, {'data', 'c8'}}

-- ---- groups with the same memory ----

--- The run that stands for a group: one with kept.json, else one with a summary.
local function example_run(group)
  for _, run in ipairs(group.runs) do
    if run.kept then return run end
  end
  return group.finished[1]
end

--- A text that is equal for groups with the same memory, whatever the learning rate.
local function identity(group, run)
  local function bytes(...) return statistics.number(run.summary, ...) or run.folder end
  return table.concat({group.recipe, group.settings['run bits'] or '',
                       bytes('kept', 'reference_bytes'), bytes('kept', 'stored_bytes'),
                       bytes('memory', 'optimizer')}, '\1')
end

--- Names each picture by what its groups have in common, or by its first group if that is not
--- unique.
local function name_pictures(pictures, section)
  local count = {}
  for _, p in ipairs(pictures) do
    p.label = groups.label(p.groups, section.columns)
    count[p.label] = (count[p.label] or 0) + 1
  end
  for _, p in ipairs(pictures) do
    if count[p.label] > 1 then p.label = p.groups[1].label end
  end
  return pictures
end

--- The groups that differ in memory. Groups of, say, a grid over the learning rate share a picture.
---@param section ReportSection
---@return {label: string, groups: ReportGroup[], run: ReportRun, kept: table?}[]
function memory.pictures(section)
  local pictures, by_key = {}, {}
  for _, group in ipairs(section.groups) do
    local run = example_run(group)
    local key = run and identity(group, run)
    if run and not by_key[key] then
      by_key[key] = {groups = {}, run = run, kept = run.kept}
      pictures[#pictures + 1] = by_key[key]
    end
    if run then table.insert(by_key[key].groups, group) end
  end
  return name_pictures(pictures, section)
end

-- ---- peak by kind ----

--- Kinds with memory in a summary, in the order of KINDS, then others that a summary names.
local function kinds_of(pictures)
  local present, known, list = {}, {peak = true}, {}
  for _, p in ipairs(pictures) do
    for name, value in pairs(p.run.summary and p.run.summary.memory or {}) do
      if type(value) == 'number' and value > 0 then present[name] = true end
    end
  end
  for _, kind in ipairs(KINDS) do
    known[kind[1]] = true
    if present[kind[1]] then list[#list + 1] = kind end
  end
  for _, name in ipairs(tables.sorted_keys(present)) do
    if not known[name] then list[#list + 1] = {name, 'c0'} end
  end
  return list
end

local function words(kind) return (kind:gsub('_', ' ')) end

--- The statistic of a kind's peak over all finished runs of a picture's groups.
local function peak_of(p, name)
  local list = {}
  for _, group in ipairs(p.groups) do
    for _, run in ipairs(group.finished) do
      list[#list + 1] = statistics.number(run.summary, 'memory', name)
    end
  end
  return statistics.of(list)
end

local function chart(pictures, kinds)
  local rows = tables.map(pictures, function(p)
    local peak = peak_of(p, 'peak')
    local segments = tables.map(kinds, function(kind)
      local stat = peak_of(p, kind[1])
      return stat and {value = stat.mean, class = kind[2],
                       title = words(kind[1]) .. ': ' .. format.bytes(stat.mean)}
    end)
    return {label = p.label, segments = segments,
            text = peak and 'peak ' .. format.bytes(peak.mean) or ''}
  end)
  local entries = tables.map(kinds, function(kind)
    return {class = kind[2], label = words(kind[1])}
  end)
  return {bars.legend(entries), bars.chart('peak memory by kind', rows)}
end

local function kind_table(pictures, kinds)
  local head, rows = {html.th{''}}, {}
  for _, kind in ipairs(kinds) do head[#head + 1] = html_table.number(words(kind[1])) end
  head[#head + 1] = html_table.number('peak')
  for i, p in ipairs(pictures) do
    local cells = {html_table.name(p.label)}
    local function add(name)
      local stat = peak_of(p, name)
      cells[#cells + 1] = html.td{class = 'n', stat and format.bytes(stat.mean) or format.none}
    end
    for _, kind in ipairs(kinds) do add(kind[1]) end
    add('peak')
    rows[i] = html.tr{cells}
  end
  return html_table.of(head, rows)
end

local function peaks(pictures)
  local finished = tables.filter(pictures, function(p) return p.run.summary end)
  local kinds = kinds_of(finished)
  if #kinds == 0 then return nil end
  return {
    html.h3{'Peak memory by kind'},
    html.p{class = 'quiet', 'Each kind at its own highest. They need not fall together, so they ' ..
      'may add up to more than the peak.'},
    chart(finished, kinds), kind_table(finished, kinds)}
end

--- ---@param section ReportSection
function memory.render(section)
  local pictures = memory.pictures(section)
  if #pictures == 0 then
    return {html.h3{'Memory'}, html.p{'No run has finished: summary.json would say.'}}
  end
  return {saved.render(pictures), peaks(pictures)}
end

return memory
