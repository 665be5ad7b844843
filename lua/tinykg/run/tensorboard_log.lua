--- What a run tells TensorBoard.
local must = require 'tinykg.base.must'
local tensorboard = require 'tinykg.run.tensorboard'
local format_options = require 'tinykg.run.format_options'

local function metrics(board, part, values, step)
  for name, value in pairs(values or {}) do
    if type(value) == 'number' and value == value and name ~= 'users' then
      must(board:scalar(part .. '/' .. name, value, step))
    end
  end
end

local nobody = {epoch = function() end, result = function() end}

--- Event files in a run's folder; with wanted = false nothing is written.
---@param path string the folder ---@param config table config.json
---@param from integer the first step that this part of the run will make
---@return table board {epoch(record): an epoch of the log, result(summary, step)}
return function(path, config, wanted, from)
  if not wanted then return nobody end
  local board = must(tensorboard.open(path, {purge_step = from > 1 and from or nil}))
  local lines = {}
  for _, item in ipairs(format_options(config.options)) do lines[#lines + 1] = '    ' .. item end
  must(board:text('options', table.concat(lines, '\n'), 0))
  return {
    epoch = function(record)
      for name, loss in pairs(record.losses or {loss = record.loss}) do
        must(board:scalar('train/' .. name, loss, record.step))
      end
      metrics(board, 'valid', record.valid, record.step)
      must(board:scalar('time/epoch_s', record.seconds, record.step))
      must(board:scalar('memory/live', record.memory, record.step))
      must(board:flush())
    end,
    result = function(summary, step)
      metrics(board, 'test', summary.test, step)
      must(board:scalar('memory/kept', summary.kept.stored_bytes, step))
      must(board:close())
    end,
  }
end
