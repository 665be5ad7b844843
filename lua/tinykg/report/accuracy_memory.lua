--- Accuracy against memory: a point per group, with the metric's mean over seeds beside the peak of
--- the whole run, and beside what is kept for backward. Groups that differ in bits only are joined.
local tables = require 'tinykg.base.tables'
local bars = require 'tinykg.report.chart.bars'
local format = require 'tinykg.report.format'
local groups = require 'tinykg.report.groups'
local html = require 'tinykg.report.page.html'
local lines = require 'tinykg.report.chart.lines'
local points = require 'tinykg.report.chart.points'
local statistics = require 'tinykg.train.statistics'

local accuracy_memory = {}

local function bits_of(group) return tonumber(group.settings['run bits']) end

--- A text that is equal for groups that differ in bits only.
local function but_for_bits(group)
  return group.recipe .. '\3' .. groups.identity(group.settings, 'run bits')
end

local MOST_COLOURED = 12

--- Lists of finished groups that differ in bits only, the most bits first.
local function widths_of(section)
  local list, by_key = {}, {}
  for _, group in ipairs(section.groups) do
    if #group.finished > 0 and bits_of(group) then
      local key = but_for_bits(group)
      if not by_key[key] then
        by_key[key] = {}
        list[#list + 1] = by_key[key]
      end
      table.insert(by_key[key], group)
    end
  end
  for _, same in ipairs(list) do
    table.sort(same, function(a, b) return bits_of(a) > bits_of(b) end)
  end
  return list
end

--- The point of a group; nil if it has not measured both. `of`: the part that the metric is of;
--- `labelled`: with its bits beside it.
local function point_of(group, of, metric, part, field, labelled)
  local y = statistics.of_summary(group, of, metric)
  local x = statistics.of_summary(group, part, field)
  if not (x and y) then return nil end
  local bits = format.count(bits_of(group), 'bit')
  return {x = x.mean, y = y.mean, sd = y.sd, label = labelled and tostring(bits_of(group)),
          title = ('%s: %s %s, %s'):format(bits, metric, format.deviation(y, format.metric),
                                           format.bytes(x.mean))}
end

local function series_of(section, lists, metric, part, field)
  local bits = tables.unique(tables.map(section.groups, bits_of))
  local of = statistics.part(section.groups)
  return tables.map(lists, function(same, i)
    local list = {}
    for _, group in ipairs(same) do
      list[#list + 1] = point_of(group, of, metric, part, field, #bits > 1)
    end
    return #list > 0 and {label = groups.label(same, section.columns), points = list,
                          id = section.id and ('%s-memory-%d'):format(section.id, i),
                          colour = i > MOST_COLOURED and 0 or (i - 1) % lines.COLOURS + 1,
                          hollow = i > lines.COLOURS and i <= MOST_COLOURED} or nil
  end)
end

local function legend(series)
  if #series < 2 then return nil end
  local coloured = tables.filter(series, function(s) return s.colour ~= 0 end)
  local entries = tables.map(coloured, function(s)
    return {class = 'c' .. s.colour .. (s.hollow and ' hollow' or ''), label = s.label, id = s.id}
  end)
  if #series > #coloured then
    entries[#entries + 1] = {class = 'c0', label = format.count(#series - #coloured, 'other')}
  end
  return bars.legend(entries)
end

--- Nothing where there is one point at most. ---@param section ReportSection
function accuracy_memory.render(section)
  local lists, metric = widths_of(section), statistics.metrics(section)[1]
  if not metric then return nil end
  local part = statistics.part(section.groups)
  local title = statistics.named(part, metric)
  local peak = series_of(section, lists, metric, 'memory', 'peak')
  local kept = series_of(section, lists, metric, 'kept', 'stored_bytes')
  if #peak < 2 and #(peak[1] or {points = {}}).points < 2 then return nil end
  return {
    html.h3{'Accuracy against memory'},
    html.p{class = 'quiet', 'A point per group; lines join groups that differ in their bits alone, '
      .. 'which stand beside them. ' .. (part == 'test' and 'Test metric' or 'Validation metric')
      .. ', with its standard deviation where there are several seeds.'},
    legend(peak),
    html.div{class = 'charts',
             points.chart(title .. ' and peak', 'peak of the whole run', peak),
             points.chart(title .. ' and kept bytes', 'kept for backward', kept)}}
end

return accuracy_memory
