--- Writes a run's metrics, losses and options for TensorBoard.
local tables = require 'tinykg.base.tables'
local format_options = require 'tinykg.run.format_options'
local must = require 'tinykg.base.must'
local ranks = require 'tinykg.engine.ranks'
local tensorboard = require 'tinykg.run.tensorboard'

local function metrics(events, part, values, step)
  for name, value in pairs(values or {}) do
    if type(value) == 'number' and value == value and name ~= 'users' then
      must(events:scalar(part .. '/' .. name, value, step))
    end
  end
end

local no_log = {epoch = function() end, result = function() end}

--- Opens an event file in a run's folder; with wanted = false nothing is written.
---@param path string the folder ---@param config table config.json
---@param from integer the first step of this part of the run
---@return table log {epoch(record): a record of log.jsonl, result(summary, step)}
return function(path, config, wanted, from)
  if not wanted or not ranks.is_first() then return no_log end
  local events = must(tensorboard.open(path, {purge_step = from > 1 and from or nil}))
  local lines = tables.map(format_options(config.options), function(item)
    return '    ' .. item
  end)
  must(events:text('options', table.concat(lines, '\n'), 0))
  return {
    epoch = function(record)
      for name, loss in pairs(record.losses or {loss = record.loss}) do
        must(events:scalar('train/' .. name, loss, record.step))
      end
      metrics(events, 'valid', record.valid, record.step)
      must(events:scalar('time/epoch_s', record.seconds, record.step))
      must(events:scalar('memory/live', record.memory, record.step))
      must(events:flush())
    end,
    result = function(summary, step)
      metrics(events, 'test', summary.test, step)
      must(events:scalar('memory/kept', summary.kept.stored_bytes, step))
      must(events:close())
    end,
  }
end
