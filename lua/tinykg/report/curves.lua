--- Learning curves of a section: loss and validation metrics, a line per group.
local tables = require 'tinykg.base.tables'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local lines = require 'tinykg.report.chart.lines'
local statistics = require 'tinykg.train.statistics'

local curves = {}

local MOST_COLOURED = 12
local FEW_POINTS = 25 -- of a line in a folded chart, which has no bands

-- ---- from runs to lines ----

--- A point {x, y} per epoch of a run's log. y is nil where the value is null (a NaN); an epoch
--- without the value, such as one without evaluation, has no point.
local function points_of(run, get)
  local points = {}
  for _, record in ipairs(run.log) do
    local value, there = get(record)
    if there then points[#points + 1] = {x = record.epoch, y = value} end
  end
  return points
end

local function by_epoch(points)
  local map = {}
  for _, p in ipairs(points) do map[p.x] = p.y end
  return map
end

--- Mean and deviation at each epoch that all runs have, as points of a line; plain: without
--- deviation.
local function mean_points(runs, plain)
  local maps, mean = tables.map(runs, by_epoch), {}
  for _, p in ipairs(runs[1]) do
    local values = tables.map(maps, function(map) return map[p.x] end)
    if #values == #runs then
      local s = statistics.of(values)
      if plain then s.sd = nil end
      mean[#mean + 1] = {x = p.x, y = s.mean, text = format.deviation(s, format.metric),
                         low = s.sd and s.mean - s.sd, high = s.sd and s.mean + s.sd}
    elseif #runs == 1 then
      mean[#mean + 1] = {x = p.x}
    end
  end
  return mean
end

--- The lines of a group: the mean up to the last epoch that all finished runs have, then a thin
--- line per run. A run that did not finish beside others that did gets a thin line of its own.
local function lines_of(group, get, look, plain)
  local together, apart, list = {}, {}, {}
  for _, run in ipairs(group.runs) do
    local points = points_of(run, get)
    local counts = #group.finished == 0 or run.summary
    if #points > 0 then table.insert(counts and together or apart, points) end
  end
  local function add(points, thin)
    list[#list + 1] = {label = group.label, id = look.id, colour = look.colour, dash = look.dash,
                       points = points, thin = thin}
  end
  local mean = #together > 0 and mean_points(together, plain) or {}
  if #mean > 0 then add(mean) end
  local last = #mean > 0 and mean[#mean].x or -math.huge
  for _, points in ipairs(#together > 1 and together or {}) do
    local tail = tables.filter(points, function(p) return p.x >= last end)
    if #tail > 1 then add(tail, true) end
  end
  for _, points in ipairs(apart) do add(points, true) end
  return list
end

-- ---- colours ----

--- The groups to colour: all, or the best dozen by the first metric. Returns how many others there
--- are, too.
local function coloured(section, metric)
  local order = tables.map(section.groups, function(group, i)
    local stat = metric and (statistics.of_summary(group, 'test', metric)
                             or statistics.of_summary(group, 'valid', metric))
    return {group = group, value = stat and stat.mean or -math.huge, place = i}
  end)
  tables.sort_largest(order, 'value', 'place')
  local set = {}
  for i = 1, math.min(#order, MOST_COLOURED) do set[order[i].group] = true end
  return set, #order - MOST_COLOURED
end

--- One colour per recipe and one dash per group of it, if several recipes have few groups each;
--- else one colour per group.
local function looks_of(section, set)
  local number, count, recipes, most = {}, {}, 0, 0 -- of recipes, in the order of the groups
  local shown = tables.filter(section.groups, function(group) return set[group] end)
  for _, group in ipairs(shown) do
    if not number[group.recipe] then recipes = recipes + 1 end
    number[group.recipe] = number[group.recipe] or recipes
    count[group.recipe] = (count[group.recipe] or 0) + 1
    most = math.max(most, count[group.recipe])
  end
  local per_recipe = recipes > 1 and recipes <= lines.COLOURS and most <= lines.DASHES
  local looks, seen, place = {}, {}, {}
  for i, group in ipairs(section.groups) do
    looks[group], place[group] = {colour = 0, dash = 1}, i
  end
  for n, group in ipairs(shown) do
    local recipe = group.recipe
    seen[recipe] = (seen[recipe] or 0) + 1
    looks[group] = per_recipe and {colour = number[recipe], dash = seen[recipe]}
      or {colour = (n - 1) % lines.COLOURS + 1,
          dash = math.floor((n - 1) / lines.COLOURS) % lines.DASHES + 1}
    looks[group].id = ('%s-%d'):format(section.id, place[group])
  end
  return looks
end

local function legend(section, looks, set, hidden)
  if #section.groups == 1 then return nil end
  local items = {}
  for _, group in ipairs(section.groups) do
    if set[group] then
      local look = looks[group]
      items[#items + 1] = html.li{['data-g'] = look.id, lines.sample(look.colour, look.dash), ' ',
                                  group.label}
    end
  end
  if hidden > 0 then
    items[#items + 1] = html.li{lines.sample(0, 1), ' ', format.count(hidden, 'other')}
  end
  return html.ul{class = 'legend', items}
end

-- ---- charts ----

local function chart(section, looks, title, get, options)
  local series, back = {}, {}
  for _, group in ipairs(section.groups) do
    for _, line in ipairs(lines_of(group, get, looks[group], options and options.most)) do
      table.insert(line.colour == 0 and back or series, line)
    end
  end
  local drawn = lines.chart(title, tables.append(series, back), options)
  return drawn and html.figure{style = 'margin:0', drawn}
end

--- Names of the phases after the first, whose loss is `loss`; the others log their own.
local function other_phases(section)
  local names = {}
  for _, group in ipairs(section.groups) do
    for _, run in ipairs(group.runs) do
      local record = run.log[1] or {}
      for name, value in pairs(record.losses or {}) do
        if value ~= record.loss then names[name] = true end
      end
    end
  end
  return tables.sorted_keys(names)
end

local function metric_charts(section, looks, names, options)
  return tables.map(names, function(name)
    return chart(section, looks, 'validation ' .. name, function(record)
      return statistics.number(record.valid, name), record.valid
    end, options)
  end)
end

local LOSS = {logarithmic = true}

local function loss_charts(section, looks)
  local phases = other_phases(section)
  local charts = {chart(section, looks, #phases > 0 and 'loss, first phase' or 'loss',
                        function(record) return statistics.number(record, 'loss'), true end,
                        LOSS)}
  for _, name in ipairs(phases) do
    charts[#charts + 1] = chart(section, looks, 'loss, phase ' .. name, function(record)
      return statistics.number(record.losses, name), record.losses
    end, LOSS)
  end
  return charts
end

--- Whether a group has several runs, and whether a run has a log.
local function contents(section)
  local several_seeds, has_log = false, false
  for _, group in ipairs(section.groups) do
    several_seeds = several_seeds or #group.runs > 1
    for _, run in ipairs(group.runs) do has_log = has_log or run.log[1] ~= nil end
  end
  return several_seeds, has_log
end

--- ---@param section ReportSection
function curves.render(section)
  local several_seeds, has_log = contents(section)
  if not has_log then
    return {html.h3{'Learning curves'}, html.p{'No run has finished an epoch.'}}
  end
  local main, rest = statistics.metrics(section)
  local set, hidden = coloured(section, main[1])
  local looks = looks_of(section, set)
  local more = metric_charts(section, looks, rest, {most = FEW_POINTS})
  return {
    html.h3{'Learning curves'},
    html.p{class = 'quiet',
           several_seeds and 'Lines are means over seeds with a band of one standard ' ..
             'deviation, as far as all seeds go; beyond, thin, each seed by itself. ',
           #section.recipes > 1 and 'Losses of different recipes are different functions: ' ..
             'compare their course, not their height.'},
    legend(section, looks, set, hidden),
    html.div{class = 'charts', loss_charts(section, looks), metric_charts(section, looks, main)},
    #more > 0 and html.details{
      html.summary{format.count(#more, 'more validation metric')},
      html.div{class = 'charts', more}},
  }
end

return curves
