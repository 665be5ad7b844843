--- KGNN-LS: its neighbours are drawn once; labels are the rows of train.
local tk = require 'tinykg'

return {
  lockstep = {hops = 2, ls_weight = 1, batch_size = 64, lr = 5e-3},
  curve = {preset = 'music', eval_every = 1},
  constants = function(model, data)
    local labels = {}
    for i = 0, data.train.n - 1 do labels[i + 1] = data.train.labels[i] end
    return {tails = model.field.tails, relations = model.field.relations,
            users = tk.ids(data.train.users, data.train.n),
            items = tk.ids(data.train.items, data.train.n), labels = tk.tensor(labels)}
  end,
}
