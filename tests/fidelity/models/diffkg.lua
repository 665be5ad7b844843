--- DiffKG: a step of the diffusion, whose numbers are drawn before it, and one of the loss of
--- interactions, by triples that are drawn once.
local tk = require 'tinykg'

local function ids_and_numbers(model, o)
  local n = math.min(o.batch_size, model.kg.nodes)
  local ids, steps, noise = tk.no_grad(function()
    local _, chosen = tk.random('uniform', model.kg.nodes):top_k(n)
    local _, step = tk.random('uniform', n, o.steps):max(2)
    return chosen, step, tk.random('normal', n, model.kg.nodes)
  end)
  return {ids = ids, steps = steps, noise = noise}
end

return {
  task = 'ranking',
  lockstep = {dropout = 0, row_dropout = 0, hidden = 32, hops = 2, triples = 3, batch_size = 64,
              best = 2},
  curve = {eval_every = 1},
  constants = function(model, data)
    model.drawn:copy(tk.no_grad(model.draw, model))
    local g, t, kg = data.graph, data.train, model.kg:triples()
    return {heads = tk.ids(g.heads, g.n), relations = tk.ids(g.relations, g.n),
            tails = tk.ids(g.tails, g.n), users = tk.ids(t.users, t.n),
            items = tk.ids(t.items, t.n), ['edge.heads'] = tk.ids(kg.heads, kg.n),
            ['edge.tails'] = tk.ids(kg.tails, kg.n), some = model.some, drawn = model.drawn}
  end,
  parts = function(model, data, o, interactions)
    return {{name = 'diffusion', draw = function() return ids_and_numbers(model, o) end,
             loss = function(m, batch) return m:diffusion_loss{ids = batch.ids, given = batch} end},
            {name = 'cf', loss = model.loss, draw = interactions(data, o)}}
  end,
}
