--- Learning rates by epoch: option `schedule`.
local schedule = {}

-- Factors of lr in epoch e of n.
local SHARES = {
  constant = function() return 1 end,
  --- Half a cosine, from 1 towards 0 (Loshchilov & Hutter 2017, without restarts).
  cosine = function(e, n) return (1 + math.cos(math.pi * (e - 1) / n)) / 2 end,
  exponential = function(e, _, decay) return decay ^ (e - 1) end,
}

--- Checks the option decay.
---@param o {decay: number}
function schedule.check(o)
  if not (o.decay > 0 and o.decay <= 1) then
    error(string.format('option decay: %g is not above 0 and at most 1', o.decay), 0)
  end
end

--- The factor of lr in an epoch. It depends on the epoch alone, so that a run can be resumed
--- anywhere.
---@param o {schedule: string, decay: number, epochs: integer}
---@param epoch integer from 1
---@return number
function schedule.share(o, epoch) return SHARES[o.schedule](epoch, o.epochs, o.decay) end

return schedule
