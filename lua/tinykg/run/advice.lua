--- What to try after a run that is no better than recommending what is popular.
local messages = require 'tinykg.run.messages'

local FEW = 32 -- steps per epoch, below which a smaller batch learns more from an epoch

--- A power of two that makes at least FEW steps of n rows, not below 32.
local function smaller_batch(n)
  return math.max(32, 2 ^ math.floor(math.log(n / FEW) / math.log(2)))
end

--- Options to try, as texts of --set, the most likely first.
local function to_try(summary, o, rows)
  local list = {}
  local function add(...) list[#list + 1] = ' --set ' .. string.format(...) end
  if o.lr < 0.005 then add('lr=%g', math.min(0.01, 10 * o.lr)) end
  if rows / o.batch_size < FEW and smaller_batch(rows) < o.batch_size then
    add('batch_size=%d', smaller_batch(rows))
  end
  local stopped = summary.epochs < o.epochs
  if stopped then add('patience=%d', 3 * o.patience)
  elseif summary.best_epoch > 0.8 * summary.epochs then add('epochs=%d', 5 * o.epochs) end
  if #list == 0 then add('lr=%g', o.lr / 10) end
  return table.concat(list)
end

--- One line if a run's test metric is no better than that of the most popular items, else nil.
---@param summary table summary.json ---@param o table the recipe's options
---@param rows integer training interactions ---@return string?
return function(summary, o, rows)
  local name = messages.main_metric(summary)
  local own = type(summary.test) == 'table' and summary.test[name]
  local popular = type(summary.popularity) == 'table' and summary.popularity[name]
  local compared = type(own) == 'number' and type(popular) == 'number'
  if not compared or own > popular or popular == 1 then return nil end -- nothing is better than 1
  return ('no better than popularity (test %s %.4f, popularity %.4f): try%s'):format(name, own,
    popular, to_try(summary, o, rows))
end
