--- CKAN: the sets of triples of users and items are drawn once.
return {
  lockstep = {user_triples = 4, item_triples = 6, layers = 2, dim = 8, batch_size = 64},
  curve = {eval_every = 1},
  constants = function(model)
    local all = {}
    for _, of in ipairs{'users', 'items'} do
      for hop, set in ipairs(model['of_' .. of]) do
        for column, ids in pairs(set) do all[('%s.%s.%d'):format(of, column, hop)] = ids end
      end
    end
    return all
  end,
}
