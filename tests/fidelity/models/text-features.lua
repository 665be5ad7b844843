--- CoLaKG: nothing is drawn in a step without dropout; the vectors of texts are what tinykg has.
local tk = require 'tinykg'

return {
  task = 'ranking',
  lockstep = {item_dropout = 0, user_dropout = 0, neighbor_dropout = 0, edge_dropout = 0,
              batch_size = 64},
  curve = {eval_every = 1},
  constants = function(model, data)
    local t = data.train
    return {texts = model.texts, users = tk.ids(t.users, t.n), items = tk.ids(t.items, t.n)}
  end,
}
