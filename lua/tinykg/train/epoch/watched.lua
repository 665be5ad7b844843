--- The metric that early stopping watches, and by which points of a search are compared.
local metrics = require 'tinykg.train.metrics'
local rows = require 'tinykg.data.rows'
local sample = require 'tinykg.train.sample_ranking'
local tables = require 'tinykg.base.tables'

local watched = {}

--- 'recall@10', 'precision@10', ... at all cuts. ---@param cuts integer[]
---@param mark? string what stands behind each name (sample_ranking) ---@return string[]
function watched.names(cuts, mark)
  local list = {}
  for _, k in ipairs(cuts) do
    for _, name in ipairs(metrics.names) do list[#list + 1] = name .. '@' .. k .. (mark or '') end
  end
  return list
end

--- What the names of a run's metrics end in. Errors: options of ranking, of data that are not
--- ranked.
local function mark_of(o, data)
  local mark = sample.mark({users = o.eval_users, negatives = o.eval_negatives}, data)
  local asked = o.eval_users > 0 and 'eval_users' or mark ~= '' and 'eval_negatives'
    or o.per_user and 'per_user' or o.exposure and 'exposure'
  if not asked or data.task ~= 'ctr' then return mark end
  error(string.format("option %s: labelled data are not ranked (task 'ranking' ranks them)",
                      asked), 0)
end

--- Whether a list of k lacks some of what a user is offered. If it has all of it for each user of
--- validation, recall and hit are 1 whatever the model.
local function lacks_some(data, k, negatives)
  local own = data:positives(data.valid.n > 0 and 'valid' or 'test')
  local known = data:known()
  for user = 0, data.users - 1 do
    local n = own:count(user)
    if n > 0 and sample.offered(data, n, known:count(user), negatives) > k then return true end
  end
  return own.n == 0
end

--- The usual metric of ranking: recall of the longest lists, or where that is always 1, their NDCG.
local function of_ranking(o, data, cuts)
  local k = cuts[#cuts]
  if lacks_some(data, k, o.eval_negatives) then return 'recall@' .. k end
  if data.warn then
    data:warn(('lists of %d have all that each user is offered, so recall@%d is always 1: early '
      .. 'stopping goes by ndcg@%d (eval_k sets shorter lists)'):format(k, k, k))
  end
  return 'ndcg@' .. k
end

--- Warns of recall or hit that are asked for where they are always 1.
local function warn_of_constant(o, data)
  local name, k = o.metric:match('^(%a+)@(%d+)$')
  local constant = (name == 'recall' or name == 'hit') and data.warn
    and not lacks_some(data, tonumber(k), o.eval_negatives)
  if not constant then return end
  data:warn(('lists of %d have all that each user is offered: %s is always 1, and the first epoch '
    .. 'the best'):format(k, o.metric))
end

--- The name of the metric. Errors: it is not measured, or not defined.
---@param o table options of the recipe ---@param data tinykg.Data
---@param cuts integer[] ascending
---@param own table<string, function> metrics of the recipe itself
---@return string
function watched.name(o, data, cuts, own)
  local mark, ctr = mark_of(o, data), data.task == 'ctr'
  local names = ctr and {'auc', 'f1'} or watched.names(cuts)
  local label = ctr and rows.only_label(data.valid)
  if o.metric == 'auto' then
    return not ctr and of_ranking(o, data, cuts) .. mark or label and 'f1' or 'auc'
  end
  if label and o.metric == 'auc' then
    error(string.format('option metric: auc is not defined on the validation part, all %d labels '
                        .. 'are %d: f1 is', data.valid.n, label), 0)
  end
  if own[o.metric] then return o.metric end
  if tables.any(names, function(name) return name == o.metric end) then
    if not ctr then warn_of_constant(o, data) end
    return o.metric .. mark
  end
  error(string.format('option metric: %s is not measured here; there are: %s', o.metric,
                      table.concat(tables.append(names, tables.sorted_keys(own)), ' ')), 0)
end

return watched
