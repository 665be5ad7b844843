--- KTUP: a step of the loss of interactions and one of that of triples, by one Adam. A triple comes
--- from its head, or from its tail by an inverse relation, which the other side knows by number.
--- The lock-step does not begin at unit vectors, where a loss has a kink (max(|e|^2 - 1, 0)).
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {dim = 16, batch_size = 64, lr = 1e-2},
  curve = {eval_every = 1},
  constants = function(model)
    for _, p in ipairs(model:parameters()) do
      p:write(((p * 1.1 + tk.randn(p:size()) * 0.05):values()))
    end
  end,
  parts = function(model, data, o, interactions)
    local adam = tk.optim.adam{lr = o.lr, clip = o.clip}
    return {{name = 'cf', loss = model.loss, optimizer = adam, draw = interactions(data, o)},
            {name = 'kg', loss = model.kg_loss, optimizer = adam, draw = function()
              local heads, relations, tails, negatives = tk.no_grad(function()
                local b = model.kg:sample_triples(o.batch_size, 'triples')
                return b.heads, b.relations, b.tails, b.negatives
              end)
              return {heads = heads, relations = relations, tails = tails, negatives = negatives}
            end}}
  end,
}
