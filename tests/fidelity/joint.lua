--- Steps of models that draw a batch of triples within their loss (CKE, CFKG): what is drawn comes
--- with the batch instead, so that it can be written down.
local tk = require 'tinykg'

local COLUMNS = {'heads', 'relations', 'tails', 'negatives'}

--- One part, over interactions and the triples that model.kg would have drawn.
---@param by string as of graph:sample_triples
---@return fun(model, data, o, interactions): table[]
return function(by)
  return function(model, data, o, interactions)
    local kg, draw, given = model.kg, interactions(data, o), {}
    model.kg = {edges = kg.edges, sample_triples = function(_, _, how)
      assert((how or 'heads') == by, 'this model draws triples in another way')
      return given
    end}
    return {{name = 'loss', loss = function(self, batch)
      for _, column in ipairs(COLUMNS) do given[column] = batch['kg_' .. column] end
      return self:loss(batch)
    end, draw = function()
      local batch = draw()
      batch.kg_heads, batch.kg_relations, batch.kg_tails, batch.kg_negatives = tk.no_grad(function()
        local drawn = kg:sample_triples(model.kg_batch_size, by)
        return drawn.heads, drawn.relations, drawn.tails, drawn.negatives
      end)
      return batch
    end}}
  end
end
