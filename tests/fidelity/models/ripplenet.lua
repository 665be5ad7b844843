--- RippleNet: its ripple sets are drawn once.
return {
  lockstep = {memory = 8, batch_size = 64},
  curve = {eval_every = 1},
  constants = function(model)
    local all = {}
    for hop, set in ipairs(model.ripples) do
      for column, ids in pairs(set) do all[('%s.%d'):format(column, hop)] = ids end
    end
    return all
  end,
}
