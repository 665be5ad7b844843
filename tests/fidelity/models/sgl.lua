--- SGL: its two views of the graph are drawn once for the lock-step. An edge is written as 1 if it
--- stays; the program weighs them anew.
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {batch_size = 256, dropout = 0.3},
  curve = {eval_every = 1},
  constants = function(model, data)
    tk.no_grad(model.begin_epoch, model)
    local t = data.train
    local all = {users = tk.ids(t.users, t.n), items = tk.ids(t.items, t.n),
                 heads = model.graph:heads():keep(), tails = model.graph:tails():keep()}
    for v, view in ipairs(model.views) do
      for k, weights in ipairs(view) do
        all[('view.%d.%d'):format(v, k)] = (weights * 1e6):clamp(0, 1):keep()
      end
    end
    return all
  end,
}
