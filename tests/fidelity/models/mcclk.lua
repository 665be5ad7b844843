--- MCCLK: what is alike is found anew before each step, as in the program.
local tk = require 'tinykg'

return {
  lockstep = {dropout = 0, node_dropout = 0, batch_size = 256, drop_last = false},
  curve = {eval_every = 1},
  constants = function(_, data)
    local g, t = data.graph, data.train
    return {heads = tk.ids(g.heads, g.n), relations = tk.ids(g.relations, g.n),
            tails = tk.ids(g.tails, g.n), users = tk.ids(t.users, t.n),
            items = tk.ids(t.items, t.n)}
  end,
  parts = function(model, data, o, interactions)
    local draw = interactions(data, o)
    return {{name = 'loss', loss = model.loss, draw = function()
      tk.no_grad(model.begin_epoch, model)
      return draw()
    end}}
  end,
}
