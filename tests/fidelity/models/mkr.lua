--- MKR: a step of the loss of interactions and one of that of triples, in turns.
local tk = require 'tinykg'

return {
  lockstep = {layers = 2, high_layers = 2, batch_size = 64, l2 = 1e-3},
  curve = {preset = 'music', eval_every = 1},
  parts = function(model, data, o, interactions)
    return {{name = 'cf', loss = model.loss, draw = interactions(data, o)},
            {name = 'kg', loss = model.kg_loss,
             optimizer = tk.optim.adam{lr = o.kg_lr, eps_hat = 1e-8},
             draw = function()
               local heads, relations, tails = tk.no_grad(function()
                 local b = model.kg:sample_triples(o.batch_size, 'triples')
                 return b.heads, b.relations, b.tails
               end)
               return {heads = heads, relations = relations, tails = tails}
             end}}
  end,
}
