--- KGCN: its neighbours are drawn once.
return {
  lockstep = {hops = 2, aggregator = 'concat', batch_size = 64, lr = 5e-3},
  curve = {preset = 'music', eval_every = 1},
  constants = function(model)
    return {tails = model.neighbor_tails, relations = model.neighbor_relations}
  end,
}
