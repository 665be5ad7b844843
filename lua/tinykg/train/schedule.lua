--- Learning rates: options `schedule`, `decay`, `warmup` and `plateau`.
--
-- The rate of a step is lr times the schedule's share of its epoch times that of warm-up. Both are
-- functions of the position alone, but for `plateau`, whose counters are in the run's state: so a
-- run can be resumed anywhere.
local schedule = {}

-- Factors of lr in epoch e of n.
local SHARES = {
  constant = function() return 1 end,
  --- Half a cosine, from 1 towards 0 (Loshchilov & Hutter 2017, without restarts).
  cosine = function(e, n) return (1 + math.cos(math.pi * (e - 1) / n)) / 2 end,
  exponential = function(e, _, decay) return decay ^ (e - 1) end,
  plateau = function(_, _, decay, drops) return decay ^ drops end,
}

--- The factor of lr in an epoch.
---@param o {schedule: string, decay: number, epochs: integer}
---@param epoch integer from 1 ---@param drops? integer of plateaus so far, 0
---@return number
function schedule.share(o, epoch, drops)
  return SHARES[o.schedule](epoch, o.epochs, o.decay, drops or 0)
end

--- The factor of lr by which training begins slowly: it grows with each step, from one over the
--- number of the steps of `warmup` epochs to 1.
---@param o {warmup: number} ---@param epoch integer from 1
---@param done integer steps of this epoch before this one ---@param count integer of an epoch
---@return number
function schedule.warm(o, epoch, done, count)
  local steps = o.warmup * count
  local now = (epoch - 1) * count + done + 1
  return now < steps and now / steps or 1
end

--- Counts a validation for schedule = plateau: the `plateau`-th in a row that is not the best so
--- far is a drop of lr, and counting begins anew.
---@param at {waits: integer?, drops: integer?}
---@param o {plateau: integer} ---@param better boolean
function schedule.validated(at, o, better)
  at.waits = better and 0 or (at.waits or 0) + 1
  if at.waits >= o.plateau then at.waits, at.drops = 0, (at.drops or 0) + 1 end
end

return schedule
