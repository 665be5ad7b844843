--- KGAT and KGIN on KGAT's Last-FM (kgat-last-fm, its re-split), five epochs of large batches: what
--- widths cost on a large graph. `tinykg recipes/reproduce/last-fm.lua`; see study.lua.
local study = require 'study'

study{
  title = 'kgat-last-fm, five epochs', data = 'kgat-last-fm', own_splits = true,
  metrics = {'recall@20', 'ndcg@20'}, seeds = '0,1,2', bits = '32,8,4,2',
  entries = {
    {name = 'kgat', recipe = 'kgat', settings = 'lr=1e-3 batch_size=10240 epochs=5 eval_every=1',
     seconds = 180},
    {name = 'kgin', recipe = 'kgin', settings = 'lr=1e-3 batch_size=10240 epochs=5 eval_every=1',
     seconds = 90},
  },
}
