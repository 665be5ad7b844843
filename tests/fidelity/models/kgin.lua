--- KGIN: nothing is drawn but batches; the graphs are those of the data set.
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {dropout = 0, node_dropout = 0, lr = 1e-3, batch_size = 256, drop_last = false},
  curve = {lr = 1e-3, eval_every = 1},
  constants = function(_, data)
    local g, t = data.graph, data.train
    return {heads = tk.ids(g.heads, g.n), relations = tk.ids(g.relations, g.n),
            tails = tk.ids(g.tails, g.n), users = tk.ids(t.users, t.n),
            items = tk.ids(t.items, t.n)}
  end,
}
