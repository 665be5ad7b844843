--- What came out of a batch: a row for each group of seeds.
local progress = require 'tinykg.progress'

local summary = {}

local METRICS = {'auc', 'f1', 'recall@10', 'recall@20', 'ndcg@10', 'ndcg@20'}

--- Mean and standard deviation (of a sample, n - 1; nil for one value).
---@param list number[]
---@return number mean, number? deviation
function summary.spread(list)
  local mean, square = 0, 0
  for _, x in ipairs(list) do mean = mean + x / #list end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  return mean, #list > 1 and math.sqrt(square / (#list - 1)) or nil
end

--- How many members are in a state.
function summary.count(members, state)
  local n = 0
  for _, m in ipairs(members) do n = n + (m.state == state and 1 or 0) end
  return n
end

--- Groups in order, each with the summaries of its members that have one.
local function groups_of(members)
  local list, by_name = {}, {}
  for _, m in ipairs(members) do
    local g = by_name[m.group]
    if not g then
      g = {name = m.group, all = 0, summaries = {}}
      by_name[m.group], list[#list + 1] = g, g
    end
    g.all = g.all + 1
    if m.summary then table.insert(g.summaries, m.summary) end
  end
  return list
end

local function values(summaries, get)
  local list = {}
  for _, s in ipairs(summaries) do
    local value = get(s)
    if type(value) == 'number' then list[#list + 1] = value end
  end
  return list
end

local function metric_cell(summaries, key)
  local list = values(summaries, function(s) return s.test and s.test[key] end)
  if #list == 0 then return '' end
  local mean, deviation = summary.spread(list)
  return deviation and ('%.4f +- %.4f'):format(mean, deviation) or ('%.4f'):format(mean)
end

local function mean_of(summaries, get, text)
  local list = values(summaries, get)
  return #list > 0 and text((summary.spread(list))) or ''
end

local function row_of(group, metrics)
  local s = group.summaries
  local row = {group.name, #s == group.all and tostring(#s) or ('%d of %d'):format(#s, group.all)}
  for _, key in ipairs(metrics) do row[#row + 1] = metric_cell(s, key) end
  row[#row + 1] = mean_of(s, function(r) return r.kept.stored_bytes end, progress.bytes)
  row[#row + 1] = mean_of(s, function(r) return r.memory.peak end, progress.bytes)
  row[#row + 1] = mean_of(s, function(r) return r.time.step_ms end,
                          function(x) return ('%.2f'):format(x) end)
  return row
end

local function measured(groups)
  local list = {}
  for _, key in ipairs(METRICS) do
    for _, g in ipairs(groups) do
      if metric_cell(g.summaries, key) ~= '' then
        list[#list + 1] = key
        break
      end
    end
  end
  return list
end

--- Rows of texts in columns, the first one to the left.
local function aligned(rows)
  local width, lines = {}, {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do width[c] = math.max(width[c] or 0, #cell) end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do
      cells[c] = (' '):rep(width[c] - #cell)
      cells[c] = c == 1 and cell .. cells[c] or cells[c] .. cell
    end
    lines[i] = table.concat(cells, '  ')
  end
  return table.concat(lines, '\n')
end

--- The table, as text: test metrics as mean +- standard deviation over seeds; kept and peak bytes
--- and milliseconds a step as means.
---@param members Member[]
---@return string
function summary.text(members)
  local groups = groups_of(members)
  local metrics = measured(groups)
  local head = {'test, mean +- sd', 'seeds'}
  for _, key in ipairs(metrics) do head[#head + 1] = key end
  for _, key in ipairs{'kept', 'peak', 'step ms'} do head[#head + 1] = key end
  local rows = {head}
  for _, g in ipairs(groups) do rows[#rows + 1] = row_of(g, metrics) end
  return aligned(rows)
end

return summary
