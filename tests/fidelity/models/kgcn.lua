--- KGCN: its neighbours are drawn once.
return {
  lockstep = {hops = 2, aggregator = 'concat', batch_size = 64, lr = 5e-3},
  curve = {preset = 'music', eval_every = 1},
  constants = function(model)
    return {tails = model.field.tails, relations = model.field.relations}
  end,
}
