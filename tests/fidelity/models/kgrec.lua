--- KGRec: a step's random numbers are drawn before it, so that they can be written down.
local tk = require 'tinykg'

--- In the order in which the recipe draws them: name, kind, what each is of.
local DRAWN = {{'some', 'uniform', 'kg'}, {'pairs', 'uniform', 'taken'}, {'gumbel', 'gumbel', 'kg'},
               {'any', 'uniform', 'kg'}, {'noise1', 'gumbel', 'taken'},
               {'noise2', 'gumbel', 'taken'}, {'order', 'uniform', 'items'}}

local function drawn(model, batch)
  for _, d in ipairs(DRAWN) do
    if d[3] == 'items' then batch[d[1]] = tk.random(d[2], model.item_count):keep()
    else batch[d[1]] = tk.random(d[2], model[d[3]].edges):keep() end
  end
  return batch
end

--- The loss, with the batch's numbers in place of new ones.
local function loss(model, batch)
  local random, at = tk.random, 0
  tk.random = function()
    at = at + 1
    return batch[DRAWN[at][1]]
  end
  local ok, value = pcall(model.loss, model, batch)
  tk.random = random
  return ok and value or error(value, 0)
end

return {
  task = 'ranking',
  lockstep = {dropout = 0, lr = 1e-3, batch_size = 256, hidden = 40, drop_last = false},
  curve = {lr = 1e-3, eval_every = 1},
  constants = function(model)
    local kg, taken = model.kg:triples(), model.taken:triples()
    return {['edge.heads'] = tk.ids(kg.heads, kg.n), ['edge.tails'] = tk.ids(kg.tails, kg.n),
            ['edge.relations'] = tk.ids(kg.relations, kg.n),
            ['pair.users'] = tk.ids(taken.heads, taken.n),
            ['pair.items'] = tk.ids(taken.tails, taken.n)}
  end,
  parts = function(model, data, o, interactions)
    local draw = interactions(data, o)
    return {{name = 'loss', loss = loss, draw = function() return drawn(model, draw()) end}}
  end,
}
