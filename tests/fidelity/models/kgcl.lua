--- KGCL: views of one epoch, drawn once; a step of the loss of interactions and one of triples.
local tk = require 'tinykg'

local COLUMNS = {'heads', 'relations', 'tails', 'negatives', 'counts'}

return {
  task = 'ranking',
  lockstep = {dropout = 0, node_dropout = 0, batch_size = 256, kg_batch_size = 256,
              drop_last = false},
  curve = {eval_every = 1},
  constants = function(model, data)
    tk.no_grad(model.draw_views, model)
    local g, t, c = data.graph, data.train, {}
    for v, view in ipairs(model.views) do
      c['mask.' .. v], c['scale.' .. v] = view.mask, view.scale
    end
    c.heads, c.relations = tk.ids(g.heads, g.n), tk.ids(g.relations, g.n)
    c.tails, c.users, c.items = tk.ids(g.tails, g.n), tk.ids(t.users, t.n), tk.ids(t.items, t.n)
    return c
  end,
  parts = function(model, data, o, interactions)
    local kg, given = model.kg, nil
    model.kg = {sample_triples = function() return given end}
    return {{name = 'cf', loss = model.loss, draw = interactions(data, o)},
            {name = 'kg', loss = function(_, batch)
              given = batch
              return model:kg_loss()
            end, draw = function()
              local batch, drawn = {}, {tk.no_grad(function()
                local b = kg:sample_triples(model.kg_size, 'heads', {negatives = 'tails'})
                return b.heads, b.relations, b.tails, b.negatives, b.counts
              end)}
              for k, column in ipairs(COLUMNS) do batch[column] = drawn[k] end
              return batch
            end}}
  end,
}
