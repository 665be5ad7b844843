--- Texts that a run prints.
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local memory_columns = require 'tinykg.train.memory.columns'
local statistics = require 'tinykg.train.statistics'
local tables = require 'tinykg.base.tables'
local terminal = require 'tinykg.base.terminal'

local messages = {}

local SHOWN = {auc = 1, f1 = 2, recall = 3, ndcg = 4}

--- Where a metric stands among those that are shown, nil if it does not: also with a mark of how it
--- was measured. F1 is that of labels.
local function place_of(name)
  local base, k = name:match('^(%a+)@?(%d*)')
  local place = SHOWN[base]
  if not place or not name:find('^%a+@?%d*$') and not name:find('^%a+@?%d* %(') then return nil end
  return (place <= 2) == (k == '') and place * 1e9 + (tonumber(k) or 0) or nil
end

--- The names of the metrics that are shown, in order: AUC, F1 of labels, recall and NDCG at each k,
--- also with a mark of how they were measured, and a recipe's own.
---@param measured table<string, any> by name ---@return string[]
function messages.metric_names(measured)
  local list = tables.filter(tables.sorted_keys(measured), place_of)
  table.sort(list, function(a, b) return place_of(a) < place_of(b) end)
  return tables.append(list, tables.filter(tables.sorted_keys(measured), statistics.is_own))
end

--- '0.7123', or '-' for a metric that is not defined. ---@param value any NaN or null then
function messages.metric(value)
  return type(value) == 'number' and value == value and string.format('%.4f', value) or '-'
end

--- The metric that a run is chosen by: that of early stopping; of a run of before, the last shown.
---@param summary table summary.json ---@return string?
function messages.main_metric(summary)
  if summary.metric then return summary.metric end
  local test = type(summary.test) == 'table' and summary.test or {}
  local shown = messages.metric_names(test)
  for _, name in ipairs{'auc', 'recall@20', 'recall@10'} do
    if test[name] then return name end
  end
  return shown[1]
end

messages.NO_TEST = 'no rows in test: metrics are those of validation, which chose the epochs'

--- 'recall@20: test 0.3012, valid 0.3245' of a finished run. ---@param summary table
function messages.short(summary)
  local name, parts = messages.main_metric(summary), {}
  for _, part in ipairs{'test', 'valid'} do
    local value = name and type(summary[part]) == 'table' and summary[part][name]
    local is_due = part == 'test' and type(summary.test) == 'table' -- '-' where it has no value
    if name and (value or is_due) then
      parts[#parts + 1] = ('%s %s'):format(part, messages.metric(value))
    end
  end
  if #parts == 0 then return 'no rows in test' end
  return ('%s: %s'):format(name, table.concat(parts, ', '))
    .. (type(summary.test) ~= 'table' and ', no rows in test' or '')
end

--- 'loss 0.1234', or with several phases 'cf 0.1234  kg 0.5678'. ---@param record table of the log
function messages.losses(record)
  if not record.losses then return string.format('loss %.4f', record.loss) end
  return table.concat(tables.map(tables.sorted_keys(record.losses), function(name)
    return string.format('%s %.4f', name, record.losses[name])
  end), '  ')
end

local WIDTH = 79 -- of the line of an epoch; one column less than a terminal's 80

--- Metrics as ' recall@20 0.3012  ndcg@20 0.1234', the watched one first, then those of the
--- longest lists, as many as fit.
local function that_fit(valid, metric, room)
  local names, text = messages.metric_names(valid), ''
  for i = #names, 1, -1 do -- @20 before @10
    if names[i] == metric then table.insert(names, table.remove(names, i)) end
  end
  for i = #names, 1, -1 do
    local more = (' %s %s '):format(names[i], messages.metric(valid[names[i]]))
    if #text + #more <= room or i == #names then text = text .. more end
  end
  return text:sub(1, -2)
end

--- The line of an epoch in 79 columns: losses, what was validated, seconds; a star marks the best
--- so far. log.jsonl has all metrics.
---@param record table of the log ---@param better boolean? ---@param metric string that decides
function messages.epoch(record, better, metric)
  local before = ('epoch %3d  %s'):format(record.epoch, messages.losses(record))
  local star = better and record.valid and ' *' or ''
  local after = ('  %s%s'):format(format.duration(record.seconds), star)
  local valid = record.valid and '  valid' .. that_fit(record.valid, metric,
                                                       WIDTH - #before - #after - 7)
  return before .. (valid or '') .. after
end

--- What a star means. ---@param metric string
function messages.star(metric) return ('* the best epoch so far, by valid %s'):format(metric) end

local SEEN = 60 -- seconds after which an epoch is shown that was not validated

--- A function that prints the line of an epoch that was validated, or that is the first in
--- a minute: log.jsonl has all. What the star means is said once.
function messages.printer()
  local last, told = clock.now(), false
  return function(record, better, metric)
    if better == nil and clock.now() - last < SEEN then return end
    last = clock.now()
    if record.valid and not told then
      print(messages.star(metric))
      told = true
    end
    local line = messages.epoch(record, better, metric)
    print(better and terminal.paint(line, 'green', 1) or line)
  end
end

--- Metrics of the parts of a run as a table, a column per part.
local function table_of(summary)
  local parts = {{'test', summary.test}, {'valid', summary.valid},
                 {'popularity', summary.popularity}}
  parts = tables.filter(parts, function(part) return type(part[2]) == 'table' end)
  if #parts == 0 then return 'no rows in test' end
  local rows = {tables.append({''}, tables.map(parts, function(part) return part[1] end))}
  for _, name in ipairs(messages.metric_names(parts[1][2])) do
    rows[#rows + 1] = tables.append({name}, tables.map(parts, function(part)
      return part[2][name] ~= nil and messages.metric(part[2][name]) or ''
    end))
  end
  return format.table(rows)
end

local function best_epoch(summary)
  local by = summary.metric and type(summary.valid) == 'table' and ', by valid ' .. summary.metric
  return ('best epoch %d of %d%s'):format(summary.best_epoch, summary.epochs, by or '')
end

--- The result of a run: metrics of test, of validation and of the most popular items, memory and
--- time. ---@param summary table summary.json ---@param folder string
function messages.result(summary, folder)
  return table.concat({
    table_of(summary), best_epoch(summary),
    summary.columns and memory_columns.text(summary.columns) -- a run of before has none
      or 'peak of the whole run: ' .. format.bytes(summary.memory.peak),
    string.format('step %.2f ms', summary.time.step_ms),
    'run folder: ' .. folder,
  }, '\n')
end

return messages
