--- Texts that a run prints.
local format = require 'tinykg.base.format'
local memory_columns = require 'tinykg.train.memory.columns'
local statistics = require 'tinykg.train.statistics'
local tables = require 'tinykg.base.tables'

local messages = {}

local SHOWN = {'auc', 'f1', 'recall@10', 'recall@20', 'ndcg@10', 'ndcg@20'}

--- The names of the metrics that are shown, in order: also with a mark of how they were measured,
--- and a recipe's own.
---@param measured table<string, any> by name ---@return string[]
function messages.metric_names(measured)
  local list = {}
  for _, shown in ipairs(SHOWN) do
    for _, name in ipairs(tables.sorted_keys(measured)) do
      if name == shown or name:sub(1, #shown + 2) == shown .. ' (' then list[#list + 1] = name end
    end
  end
  return tables.append(list, tables.filter(tables.sorted_keys(measured), statistics.is_own))
end

--- '0.7123', or '-' for a metric that is not defined. ---@param value any NaN or null then
function messages.metric(value)
  return type(value) == 'number' and value == value and string.format('%.4f', value) or '-'
end

--- 'auc 0.7123  f1 0.6543' ---@param m? table metrics
function messages.metrics(m)
  if not m then return 'no rows' end
  return table.concat(tables.map(messages.metric_names(m), function(key)
    return key .. ' ' .. messages.metric(m[key])
  end), '  ')
end

--- 'loss 0.1234', or with several phases 'cf 0.1234  kg 0.5678'. ---@param record table of the log
function messages.losses(record)
  if not record.losses then return string.format('loss %.4f', record.loss) end
  return table.concat(tables.map(tables.sorted_keys(record.losses), function(name)
    return string.format('%s %.4f', name, record.losses[name])
  end), '  ')
end

--- The line of an epoch; a star marks the best so far.
function messages.epoch(record, better)
  return string.format('epoch %3d  %s  %s  %s%s', record.epoch, messages.losses(record),
    record.valid and 'valid ' .. messages.metrics(record.valid) or '',
    format.duration(record.seconds), better and '  *' or '')
end

--- The result of a run: metrics, memory and time. ---@param summary table summary.json ---@param
--- folder string
function messages.result(summary, folder)
  return table.concat({
    string.format('test: %s  (best epoch %d)', messages.metrics(summary.test), summary.best_epoch),
    summary.columns and memory_columns.text(summary.columns) -- a run of before has none
      or 'peak of the whole run: ' .. format.bytes(summary.memory.peak),
    string.format('step %.2f ms', summary.time.step_ms),
    'run folder: ' .. folder,
  }, '\n')
end

return messages
