--- KGAT: a step of the loss of interactions and one of that of triples, in turns, behind a refresh
--- of the attention. Loops of the graph stay, as in the program.
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {dropout = 0, lr = 1e-3, batch_size = 256, kg_batch_size = 512, loops = true},
  curve = {lr = 1e-3, eval_every = 1},
  constants = function(model, data)
    tk.no_grad(model.update_attention, model)
    local g, t = data.graph, data.train
    return {heads = tk.ids(g.heads, g.n), relations = tk.ids(g.relations, g.n),
            tails = tk.ids(g.tails, g.n), users = tk.ids(t.users, t.n),
            items = tk.ids(t.items, t.n)}
  end,
  parts = function(model, data, o, interactions)
    local columns = {'heads', 'relations', 'tails', 'negatives'}
    return {{name = 'cf', loss = model.loss, draw = interactions(data, o)},
            {name = 'kg', loss = model.kg_loss, draw = function()
              local batch, drawn = {}, {tk.no_grad(function()
                local b = model.graph:sample_triples(o.kg_batch_size)
                return b.heads, b.relations, b.tails, b.negatives
              end)}
              for k, column in ipairs(columns) do batch[column] = drawn[k] end
              return batch
            end}}
  end,
}
