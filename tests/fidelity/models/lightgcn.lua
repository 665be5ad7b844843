--- LightGCN: nothing is drawn but batches; the graph is that of the training interactions.
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {batch_size = 256},
  curve = {eval_every = 1},
  constants = function(_, data)
    local t = data.train
    return {users = tk.ids(t.users, t.n), items = tk.ids(t.items, t.n)}
  end,
}
