--- The items that each user has in train, as they lie in a graph of a model: the tails of the
--- user's edges, ascending. A sampler of negatives reads them there.
local packed = require 'tinykg.graph.packed'

--- A function that records where the edges of each user begin, int32 [users + 1], and the tails of
--- all edges, int32 [edges]: views of a graph's memory.
---@param model table ---@param train tinykg.Csr what data:known() returns
---@return nil|fun(): {offsets: Tensor, items: Tensor} nil if no field of the model is a graph with
---  these interactions
return function(model, train)
  for _, field in pairs(model) do
    local graph = type(field) == 'table' and rawget(field, 'train') == train and field
    if graph and not packed.is_backward(graph.layout) then
      return function()
        local offsets = packed.view(graph, 'offsets')
        return {offsets = offsets:narrow(1, (graph.first_user or 0) + 1, train.rows + 1),
                items = packed.view(graph, 'tails')}
      end
    end
  end
end
